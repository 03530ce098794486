"""Killing the server and the database under load: nothing acknowledged is lost, nothing is doubled.

A shop with its own REWARDS_HOME, with a database that syncs to the disk as it does in earnest, is served by two
workers while callers send commands and repeat each under its idempotency key until it is answered. Meanwhile
the server's processes and the database's first process are killed in turn. The server comes back by itself from
a killed database or worker; killed as a whole it is started again. REWARDS_TEST_KILLS=50 is the full run; without
it three kills are tried.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import psutil
import pytest
from crowd import Acknowledged, Caller
from invariants import broken
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from rewards.core.embedded import embedded_server
from rewards.decide.commands import Award, Capture, Command, Redeem, Reverse, ReverseRedemption, Void
from rewards.engine import Answer

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("REWARDS_TEST_KILLS", "3"))
CALLERS = 12
CUSTOMERS = [f"c{number}" for number in range(100)]
#: How long the shop may be away after a kill, from the kill to the next answers.
PATIENCE_SECONDS = 60.0
REPOSITORY = Path(__file__).parents[2]


class ShopServer:
    """``rewards serve`` in processes of its own, and the database that it starts for itself."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.log = home.with_suffix(".log")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("REWARDS_")
        }
        self._environment |= {"REWARDS_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command("serve", "--workers", "2", "--port", str(self.port)),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def run(self, *arguments: str) -> str:
        """Run another command of the shop's and return what it prints."""
        finished = subprocess.run(
            self._command(*arguments),
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert finished.returncode == 0, (arguments, finished.stdout[-2000:], finished.stderr[-2000:])
        return finished.stdout

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "rewards.cli", *arguments]

    def is_ready(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        return False

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.is_ready():
            assert time.monotonic() < deadline, self.log.read_text(errors="replace")[-3000:]
            time.sleep(0.05)

    def processes(self) -> list[psutil.Process]:
        """The server's own: the one in charge, its workers, its scheduler. The database is nobody's child."""
        if self._process is None:
            return []
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(self._process.pid)
            return [family, *family.children(recursive=True)]
        return []

    def kill_worker(self) -> None:
        """Kill one of the processes that answer requests; another takes its place."""
        workers = [each for each in self.processes()[1:] if "spawn_main" in " ".join(each.cmdline())]
        workers[0].send_signal(signal.SIGKILL)

    def kill(self) -> None:
        """Kill all of the server's processes, as the end of a container does."""
        assert self._process is not None
        family = self.processes()
        random.Random(self._process.pid).shuffle(family)
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self._process.wait(10)
        psutil.wait_procs(family, timeout=10)

    def kill_database(self) -> None:
        postmaster = embedded_server(self.home).postmaster()
        assert postmaster is not None
        postmaster.send_signal(signal.SIGKILL)

    def end(self) -> None:
        """Leave nothing running, however the test went."""
        if self._process is not None:
            self.kill()
        postmaster = embedded_server(self.home).postmaster()
        if postmaster is not None:
            postmaster.send_signal(signal.SIGINT)
            with suppress(psutil.TimeoutExpired):
                postmaster.wait(20)


@contextmanager
def served(home: Path) -> Iterator[ShopServer]:
    server = ShopServer(home)
    try:
        server.start()
        server.wait_until_ready()
        yield server
    finally:
        server.end()


PATHS = {
    Award: "/v1/awards",
    Redeem: "/v1/redemptions",
    Reverse: "/v1/reversals",
    Capture: "/v1/redemptions/{}/capture",
    Void: "/v1/redemptions/{}/void",
    ReverseRedemption: "/v1/redemptions/{}/reverse",
}


def request_of(command: Command) -> tuple[str, dict[str, Any]] | None:
    """Return the address and body of a command; None for one that has none."""
    path = PATHS.get(type(command))
    if path is None:
        return None
    body = command.model_dump(mode="json", exclude_defaults=True)
    return path.format(body.pop("redemption_id", "")), body


class Load:
    """Callers who go on until told to stop, and do not let go of a command before it is answered."""

    def __init__(self, url: str, key: str) -> None:
        self.told = Acknowledged()
        self.statuses: Counter[int] = Counter()
        self.errors: list[BaseException] = []
        self._url, self._key = url, key
        self._stopping = Event()
        self._going = Event()
        self._threads = [Thread(target=self._run, args=(number,), daemon=True) for number in range(CALLERS)]

    def start(self) -> None:
        self._going.set()
        for thread in self._threads:
            thread.start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the callers finish what they are at and wait, so that checking does not take longer each time."""
        self._going.clear()
        yield
        self._going.set()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive(), "a caller's command was not answered"

    def wait_for_answers(self, count: int) -> None:
        """Wait until so many more commands were answered."""
        enough, deadline = len(self.told) + count, time.monotonic() + PATIENCE_SECONDS
        while len(self.told) < enough and not self.errors:
            assert time.monotonic() < deadline, "nothing is answered any more"
            time.sleep(0.01)
        if self.errors:
            raise self.errors[0]

    def _run(self, number: int) -> None:
        try:
            caller = Caller(number, CUSTOMERS)
            with httpx.Client(base_url=self._url, headers={"authorization": f"Bearer {self._key}"}) as client:
                while not self._stopping.is_set():
                    self._going.wait()
                    kind, customer_id, submission = caller.next()
                    request = request_of(submission.command)
                    key = submission.idempotency_key
                    if request is None or key is None:
                        continue
                    answer = self._until_answered(client, *request, key)
                    caller.heard(kind, customer_id, Answer(answer.status_code, answer.text))
                    if answer.status_code != 404:
                        self.told.add(kind, customer_id, key, answer.status_code, answer.text)
        except BaseException as error:  # noqa: BLE001 - it fails the test, in the test's own thread
            self.errors.append(error)

    def _until_answered(
        self, client: httpx.Client, path: str, body: dict[str, Any], key: str
    ) -> httpx.Response:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with suppress(httpx.TransportError):
                answer = client.post(path, json=body, headers={"idempotency-key": key}, timeout=40)
                self.statuses[answer.status_code] += 1
                # What took effect is told to its sender in the end; 500 would be a fault of ours.
                assert answer.status_code in (200, 201, 404, 409, 422, 503), (path, body, answer.text)
                if answer.status_code != 503:
                    return answer
            assert time.monotonic() < deadline, f"{path} was not answered in {PATIENCE_SECONDS} s"
            time.sleep(0.05)


def check(server: ShopServer, database: Engine, load: Load, since: int) -> None:
    """Check all that was acknowledged from number ``since`` on, and the whole ledger."""
    report = json.loads(server.run("check", "--json"))
    assert report["ok"], report["breaks"][:5]
    with database.connect() as conn:
        assert load.told.missing(conn, since) == []
    with database.connect().execution_options(isolation_level="REPEATABLE READ") as conn:
        assert broken(conn) == []


def test_killed_servers_and_databases_lose_and_double_nothing() -> None:
    # Not in tmp_path: the database of root's server is another user's, and pytest shuts that folder to others.
    home = Path(os.environ["REWARDS_TEST_HOME"]) / f"crash-{uuid.uuid4().hex[:8]}"
    dice = random.Random(KILLS)
    with served(home) as server:
        # A lease of our own: `rewards check`, were it the only user for a moment, would stop the server as it ends.
        keeper = embedded_server(home)
        database = create_engine(keeper.ensure_running(), poolclass=NullPool)
        load = Load(server.url, server.run("key", "create", "--scope", "admin", "--name", "crash").strip())
        load.start()
        load.wait_for_answers(50)
        checked = 0
        for kill in range(KILLS):
            time.sleep(dice.uniform(0, 0.3))
            match kill % 4:
                case 0:
                    server.kill()
                    server.start()
                case 2:
                    server.kill_worker()
                case _:
                    server.kill_database()
            load.wait_for_answers(50)
            server.wait_until_ready()
            # Answers may have been on their way when the kill came; look at a database that is there.
            keeper.ensure_running()
            with load.paused():
                seen = len(load.told)
                check(server, database, load, checked)
                checked = seen
        load.stop()
        keeper.ensure_running()
        assert load.errors == []
        check(server, database, load, 0)
        with database.connect() as conn:
            assert load.told.doubled(conn) == []
        keeper.close()
        print(f"{KILLS} kills, {len(load.told)} commands acknowledged, {dict(load.statuses)}")
