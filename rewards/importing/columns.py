"""The columns of a file whose rows are about customers: what is there, what is missing, and how cells are read."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from rewards.core.errors import SetupError
from rewards.decide.commands import ShopId
from rewards.importing.csvfile import Broken, CsvFile
from rewards.importing.orders import REPORTED, Rejection
from rewards.program.history import ProgramHistory

CHUNK_ROWS = 1_000
_ID: TypeAdapter[str] = TypeAdapter(ShopId)

Row = TypeVar("Row")


class Unfit(Exception):
    """A row cannot be imported; ``code`` is what it is counted as."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(slots=True)
class FactsReport:
    """What became of each row of a file.

    Attributes:
        rows: all rows but blank ones.
        imported: rows that say something new, which is on record now.
        already_there: rows that said what was on record.
        points: that were given.
        rejected: rows that were not imported, and why.
    """

    rows: int = 0
    imported: int = 0
    already_there: int = 0
    points: int = 0
    rejected: list[Rejection] = field(default_factory=list)

    def reject(self, line: int, code: str, reason: str) -> None:
        """Count a row that was not imported."""
        self.rejected.append(Rejection(line, code, reason))

    def rejected_by_code(self) -> list[tuple[str, int]]:
        """Return how many rows were rejected for each reason, the most frequent first."""
        return Counter(rejection.code for rejection in self.rejected).most_common()

    @property
    def failed(self) -> bool:
        """Whether nothing could be imported, or a row failed for no fault of its own."""
        is_faulty = any(rejection.code == "internal-error" for rejection in self.rejected)
        return is_faulty or bool(self.rows and len(self.rejected) == self.rows)


class Columns:
    """A file's columns by name.

    Args:
        file: the file.
        required: names that there must be.
        optional: names that mean something, too.

    Attributes:
        others: all further names, in their order; those of an errors file are left out.

    Raises:
        SetupError: a required column is missing.
    """

    def __init__(self, file: CsvFile, required: Sequence[str], optional: Sequence[str] = ()) -> None:
        known = {*required, *optional, *REPORTED}
        self._places = {
            name.lower() if name.lower() in known else name: position
            for position, name in enumerate(file.header)
        }
        if missing := [name for name in required if name not in self._places]:
            raise SetupError(
                f"{file.path} has no column {', '.join(missing)};"
                f" its header has {', '.join(file.header)[:200]}"
            )
        self.others = [name for name in self._places if name not in known]

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def cell(self, record: Sequence[str], name: str) -> str:
        """Return a cell without the white space around it; empty where there is no such column."""
        place = self._places.get(name)
        return "" if place is None else record[place].strip()

    def customer(self, record: Sequence[str]) -> str:
        """Return the cell ``customer_id``.

        Raises:
            Unfit: it is no id.
        """
        return shop_id(self.cell(record, "customer_id"), "customer_id")


def shop_id(text: str, column: str) -> str:
    """Return a cell that is to be an id of the shop's.

    Raises:
        Unfit: it is none.
    """
    try:
        return _ID.validate_python(text)
    except ValidationError:
        reason = f"{column} must have 1 to 128 characters, none of them a control character"
        raise Unfit(f"invalid-{column.replace('_', '-')}", reason) from None


def past_instant(text: str, column: str, history: ProgramHistory, now: datetime) -> datetime:
    """Return a cell that is to be a time up to now; without an offset it is on the clock of the program in force.

    Raises:
        Unfit: it is none, or lies ahead.
    """
    if not text:
        raise Unfit("invalid-time", f"{column} is empty")
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=history.in_force(instant.replace(tzinfo=UTC)).document.zone)
        instant = instant.astimezone(UTC)
    except (ValueError, OverflowError):
        reason = f"{column} is {text[:40]!r}; write a time like 2026-11-01T12:00:00+01:00"
        raise Unfit("invalid-time", reason) from None
    if instant > now:
        raise Unfit("invalid-time", f"{column} is {text[:40]!r}, which lies ahead")
    return instant


def chunks(
    file: CsvFile,
    report: FactsReport,
    read: Callable[[int, Sequence[str]], Row],
    on_bytes_read: Callable[[int], None],
) -> Iterator[list[Row]]:
    """Yield the rows of a file as ``read`` makes them, a thousand at a time, and report those that are unfit.

    Raises:
        SetupError: the file cannot be read or is not UTF-8.
    """
    chunk: list[Row] = []
    for line, record in file.records(on_bytes_read):
        report.rows += 1
        if isinstance(record, Broken):
            report.reject(line, "unreadable-row", record.reason)
            continue
        try:
            chunk.append(read(line, record))
        except Unfit as unfit:
            report.reject(line, unfit.code, unfit.reason)
            continue
        if len(chunk) == CHUNK_ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


class OnceEach:
    """Rejects a second row about the same thing, naming the line of the first."""

    def __init__(self, code: str, what: str) -> None:
        self._code, self._what = code, what
        self._line_of: dict[tuple[str, ...], int] = {}

    def check(self, line: int, *key: str) -> None:
        """Note what a row is about.

        Raises:
            Unfit: an earlier row is about the same.
        """
        first = self._line_of.setdefault(key, line)
        if first != line:
            raise Unfit(
                self._code, f"{self._what} {' and '.join(key)} is on line {first} already; give it one row"
            )
