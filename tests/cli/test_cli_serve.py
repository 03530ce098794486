"""`rewards serve` as people run it: as a process, with its workers and its scheduler."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psutil
import pytest

from rewards.core.settings import Settings

pytestmark = pytest.mark.slow


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A running server and what it says on standard error."""

    def __init__(self, process: Any, port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.said: list[str] = []
        self._reader = threading.Thread(target=lambda: self.said.extend(process.stderr), daemon=True)
        self._reader.start()

    def wait_until_ready(self) -> None:
        self._wait(lambda: self._answers() and any("scheduler started" in line for line in self.said))

    def wait_for(self, words: str, times: int = 1) -> None:
        self._wait(lambda: sum(words in line for line in self.said) >= times)

    def scheduler(self) -> psutil.Process:
        (found,) = [
            each for each in psutil.Process(self.process.pid).children() if "worker" in each.cmdline()
        ]
        return found

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 40
        while not condition():
            assert self.process.poll() is None, "".join(self.said)
            assert time.monotonic() < deadline, "".join(self.said)
            time.sleep(0.1)

    def end(self) -> int:
        code = int(self.process.wait(30))
        self._reader.join(10)
        self.process.stdout.close()
        self.process.stderr.close()
        return code


@pytest.fixture
def serve(start: Callable[..., Any], settings: Settings, port: int) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def serve(*arguments: object) -> Server:
        server = Server(start("serve", "--port", port, "--workers", 1, *arguments, settings=settings), port)
        started.append(server)
        return server

    yield serve
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
            server.end()


def test_a_server_runs_its_jobs_and_stops_when_told(
    serve: Callable[..., Server], start: Callable[..., Any], settings: Settings, port: int
) -> None:
    server = serve()
    server.wait_until_ready()

    second = start("serve", "--port", port, settings=settings)
    _, err = second.communicate(timeout=30)
    assert (second.returncode, err) == (1, f"Port {port} is in use: choose another with --port\n")

    server.scheduler().kill()
    server.wait_for("starting it again")
    server.wait_for("scheduler started", times=2)

    server.process.send_signal(signal.SIGINT)
    assert server.end() == 0
    assert "Traceback" not in "".join(server.said)
    assert any("scheduler stopped" in line for line in server.said)


def test_nothing_is_left_of_a_server_that_was_killed(serve: Callable[..., Server]) -> None:
    server = serve()
    server.wait_until_ready()
    family = psutil.Process(server.process.pid).children(recursive=True)
    assert len(family) >= 2
    server.process.kill()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
    server.end()


def test_the_scheduler_can_be_left_to_others(serve: Callable[..., Server]) -> None:
    server = serve("--no-scheduler")
    server._wait(server._answers)
    assert not any("worker" in each.cmdline() for each in psutil.Process(server.process.pid).children())
    server.process.send_signal(signal.SIGTERM)
    assert server.end() == 0
    assert not any("scheduler" in line for line in server.said)
