"""The place that benchmarks run in: a server and a database of their own, thrown away afterwards."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rewards.core.clock import utc_now
from rewards.core.database import Database, connect_database, migrate
from rewards.core.keys import create_key
from rewards.core.settings import Settings

CURRENCY = "GBP"


@dataclass(slots=True)
class Shop:
    """A migrated database, a key for its API, and where they live."""

    settings: Settings
    database: Database
    key: str

    @contextmanager
    def serving(self, workers: int = 2) -> Iterator[int]:
        """Serve the API in processes of its own and yield its port."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        command = [sys.executable, "-m", "rewards.cli", "serve", "--no-scheduler"]
        command += ["--port", str(port), "--workers", str(workers)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("REWARDS_")}
        environment |= {"REWARDS_HOME": str(self.settings.home), "REWARDS_LOG_FORMAT": "json"}
        log = self.settings.home / "serve.log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            _wait_until_ready(port, process, log)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
    raise RuntimeError(f"the server did not come up:\n{log.read_text()[-2_000:]}")


@contextmanager
def shop() -> Iterator[Shop]:
    """Yield a fresh shop on an embedded database, fully durable as in real use."""
    home = Path(tempfile.mkdtemp(prefix="rewards-bench-"))
    try:
        settings = Settings(home=home, currency=CURRENCY, database_url=None)
        database = connect_database(settings, application_name="bench")
        try:
            migrate(database)
            with database.engine.begin() as conn:
                key = create_key(conn, name="bench", scope="admin", now=utc_now())
            yield Shop(settings, database, key)
        finally:
            database.dispose()
            from rewards.core.embedded import embedded_server

            embedded_server(home).close()
    finally:
        shutil.rmtree(home, ignore_errors=True)
