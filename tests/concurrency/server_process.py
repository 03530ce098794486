"""A real server in processes of its own, that tests may kill: own home, own database, full durability."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from rewards.core.clock import utc_now
from rewards.core.database import Database, connect_database, migrate
from rewards.core.keys import create_key
from rewards.core.settings import Settings


class ServerProcess:
    """``rewards serve`` with two workers on a free port of the loopback interface."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="rewards-crash-"))
        self.settings = Settings(database_url=None, home=self.home)
        self.database: Database = connect_database(self.settings, application_name="test")
        migrate(self.database)
        with self.database.engine.begin() as conn:
            self.key = create_key(conn, name="test", scope="admin", now=utc_now())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "rewards.cli", "serve", "--no-scheduler", "--workers", "2"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("REWARDS_")}
        environment |= {"REWARDS_HOME": str(self.home), "REWARDS_LOG_FORMAT": "json"}
        with (self.home / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--port", str(self.port)],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        give_up_at = time.monotonic() + 60
        while not self._is_ready():
            assert time.monotonic() < give_up_at, (self.home / "serve.log").read_text()[-3_000:]
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        with suppress(OSError, http.client.HTTPException), Caller(self) as caller:
            return caller.send("GET", "/readyz")[0] == 200
        return False

    def kill_server(self) -> None:
        """Kill the server and its workers, all at once, without a word."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def kill_database(self) -> None:
        """Kill the postmaster; its children notice and end."""
        with suppress(FileNotFoundError, ProcessLookupError, IndexError, ValueError):
            pid_file = next(self.home.rglob("postmaster.pid"), None)
            if pid_file is not None:
                os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill_server()
        self.database.dispose()
        from rewards.core.embedded import embedded_server

        embedded_server(self.home).close()
        shutil.rmtree(self.home, ignore_errors=True)


class Caller:
    """One keep-alive connection to the server."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def send(
        self, method: str, path: str, body: Any = None, idempotency_key: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Return status and body; the connection is opened anew where it was lost."""
        headers = {"Authorization": f"Bearer {self._server.key}", "Content-Type": "application/json"}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        try:
            self._connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = self._connection.getresponse()
            return response.status, json.loads(response.read() or b"{}")
        except (OSError, http.client.HTTPException, ValueError):
            self._connection.close()
            raise

    def insist(
        self, path: str, body: Any, idempotency_key: str, give_up_at: float
    ) -> tuple[int, dict[str, Any]]:
        """POST until there is an answer that is not “try again”, always under the same key."""
        while True:
            try:
                status, answer = self.send("POST", path, body, idempotency_key)
                if status < 500 and status != 429:
                    return status, answer
            except (OSError, http.client.HTTPException, ValueError):
                pass
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"no answer to {idempotency_key}")
            time.sleep(0.05)
