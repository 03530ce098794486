"""`rewards serve`, `worker` and `migrate`: the processes that a deployment runs."""

import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

from rewards.commands.console import open_database, say
from rewards.core.errors import SetupError

if TYPE_CHECKING:
    from rewards.core.settings import Settings

HostOption = Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every network.")]
PortOption = Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")]

#: How long the scheduler gets to finish its jobs when the server stops, and how soon it is started again.
STOP_SECONDS = 15.0
RESTART_SECONDS = 2.0


def serve(
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer requests.")] = 2,
    no_scheduler: Annotated[
        bool, typer.Option("--no-scheduler", help="Leave the jobs to a `rewards worker` elsewhere.")
    ] = False,
) -> None:
    """Serve the API and the pages, and run the jobs, until stopped."""
    require_free_port(host, port)
    settings = settings_for_address(host, port)
    with open_database(settings):
        run_server(settings, host, port, workers, with_scheduler=not no_scheduler)


def worker(
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Run the jobs on time, without the API, until stopped. Any number may run; each turn is taken once."""
    from rewards.core.logs import configure_logging
    from rewards.core.settings import load_settings
    from rewards.scheduler import Scheduler, run_until_stopped

    settings = load_settings()
    configure_logging(settings)
    with open_database(settings, pool_size=4) as database:
        run_until_stopped(Scheduler(database), with_parent=with_parent)


def migrate() -> None:
    """Bring the database to this version's schema; a new one begins with a starter program."""
    from rewards.core.database import connect_database, pending_migrations
    from rewards.core.database import migrate as bring_to_head
    from rewards.core.settings import load_settings

    database = connect_database(load_settings())
    try:
        was_pending = pending_migrations(database)
        bring_to_head(database)
    finally:
        database.dispose()
    say("The database is now at this version's schema" if was_pending else "The database is up to date")


def run_server(
    settings: "Settings", host: str, port: int, workers: int, *, with_scheduler: bool = True
) -> None:
    """Serve until stopped, with a scheduler beside it where one is wanted."""
    from rewards.core.settings import secret_key

    secret_key(settings)  # where it is missing, that is said here and not by each worker
    with _scheduler_beside() if with_scheduler else _nothing():
        # By its name: the engine's packages stand below the API and do not import it.
        import_module("api.serving").serve(settings, host, port, workers)


def require_free_port(host: str, port: int) -> None:
    """Raise a :class:`SetupError` where nobody could listen there, before any work is done."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SetupError(f"Port {port} is in use: choose another with --port") from None
        raise SetupError(f"Cannot listen on {host}:{port}: {error.strerror}; see --host and --port") from None


def settings_for_address(host: str, port: int) -> "Settings":
    """Read the settings; links lead to where this server listens unless REWARDS_PUBLIC_URL says otherwise."""
    from rewards.core.settings import load_settings

    settings = load_settings()
    if "public_url" not in settings.model_fields_set:
        # In the environment, so that the server's workers read the same.
        os.environ["REWARDS_PUBLIC_URL"] = local_url(host, port)
        settings = load_settings()
    return settings


def local_url(host: str, port: int) -> str:
    """Return the address under which this machine reaches a server on ``host``."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{reachable}:{port}"


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _scheduler_beside() -> Iterator[None]:
    """Run the scheduler in a process of its own, and start it again should it end.

    It has a process group of its own, so Ctrl-C reaches it only through us; it ends when its standard input
    does, which is also when this process is killed.
    """
    beside = _SchedulerProcess()
    beside.start()
    try:
        yield
    finally:
        beside.stop()


class _SchedulerProcess:
    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher = threading.Thread(target=self._keep_running, name="scheduler-watcher", daemon=True)

    def start(self) -> None:
        self._process = self._launch()
        self._watcher.start()

    def stop(self) -> None:
        self._stopping.set()
        self._end_input()
        self._watcher.join(STOP_SECONDS)
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()

    def _launch(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "rewards.cli", "worker", "--with-parent"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, process_group=0)  # noqa: S603 - ourselves

    def _keep_running(self) -> None:
        while self._process is not None:
            status = self._process.wait()
            if self._stopping.is_set():
                return
            self._end_input()
            say(f"The scheduler ended with status {status}; starting it again")
            if self._stopping.wait(RESTART_SECONDS):
                return
            self._process = self._launch()
            if self._stopping.is_set():  # meanwhile
                self._end_input()

    def _end_input(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
