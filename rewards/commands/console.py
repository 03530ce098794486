"""What all commands share: the database, messages on stderr, progress, and failures in one line."""

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import typer
from typer.core import TyperGroup

from rewards.core.errors import BusyError, SetupError

if TYPE_CHECKING:
    from rewards.core.database import Database
    from rewards.core.progress import Progress
    from rewards.core.settings import Settings

SECONDS_BETWEEN_LINES = 5.0


def say(message: str) -> None:
    """Tell the person something; stdout is for results, so that they can be piped."""
    print(message, file=sys.stderr, flush=True)


class CommandLine(TyperGroup):
    """Turns expected failures of any command into a line on stderr and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            lines = _expected(error)
            if lines is None:
                raise
            say(lines)
            raise typer.Exit(1) from error


def _expected(error: Exception) -> str | None:
    """Return what to tell of a failure that is nobody's bug; None for one that is."""
    if isinstance(error, SetupError | BusyError):
        return str(error)
    # Looked up among what is loaded: a command that did not load SQLAlchemy cannot fail by it.
    failures = sys.modules.get("sqlalchemy.exc")
    if failures is not None and isinstance(
        error, (failures.OperationalError, failures.InterfaceError, failures.TimeoutError)
    ):
        return f"The database does not answer: {_first_line(getattr(error, 'orig', None) or error)}"
    loading = sys.modules.get("rewards.program.loading")
    if loading is not None and isinstance(error, loading.ProgramInvalid):
        return str(error)
    return None


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def open_database(settings: "Settings | None" = None, *, pool_size: int = 2) -> "Iterator[Database]":
    """Connect for the length of a command.

    The embedded database is brought to this version's schema at once, since nobody else looks after it. Your
    own is left as it is: when to migrate it is for you to decide.

    Raises:
        SetupError: it does not answer, or needs ``rewards migrate`` first.
    """
    from rewards.core.database import connect_database, migrate, pending_migrations
    from rewards.core.settings import load_settings

    database = connect_database(settings or load_settings(), pool_size=pool_size)
    try:
        if pending_migrations(database):
            if not database.is_embedded:
                raise SetupError("The database is not at this version's schema: run `rewards migrate`")
            migrate(database)
        yield database
    finally:
        database.dispose()


@contextmanager
def shown_progress() -> "Iterator[Progress]":
    """Show progress on stderr: a bar on a terminal, else a line every few seconds."""
    if sys.stderr.isatty():
        with _bars() as report:
            yield report
    else:
        yield _Lines()


@contextmanager
def stopped_between_steps(progress: "Progress") -> "Iterator[Progress]":
    """Let Ctrl-C end the command at the next report of progress, and a second Ctrl-C at once.

    An interrupt in the middle of a transaction may come up as an error of the driver's, which is tried again as
    if the connection had been lost; the command would then go on as if nobody had asked it to stop.

    Raises:
        KeyboardInterrupt: from the progress that it yields.
    """
    asked: list[int] = []

    def ask(number: int, _frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    def report(stage: str, done: int, total: int | None) -> None:
        if asked:
            raise KeyboardInterrupt
        progress(stage, done, total)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield report
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _bars() -> "Iterator[Progress]":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield report


class _Lines:
    """Progress where nobody watches a bar: in logs."""

    def __init__(self) -> None:
        self._next_at = time.monotonic() + SECONDS_BETWEEN_LINES

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        if time.monotonic() >= self._next_at:
            say(f"{stage}: {done:,}" + (f" of {total:,}" if total is not None else ""))
            self._next_at = time.monotonic() + SECONDS_BETWEEN_LINES


def parse_instant(text: str, zone: ZoneInfo) -> datetime:
    """Read an instant that was given as an option; without an offset it is on the clock of ``zone``.

    Raises:
        SetupError: it is not one.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise SetupError(f"{text!r} is not a time; write it like 2026-11-01T12:00:00Z") from None
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=zone)


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows as aligned columns, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
