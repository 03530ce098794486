"""Brings a file's customers into the profiles, in chunks, so that it can be interrupted and run again.

A row says of its customer what the file has columns for, and leaves the rest of a profile as it is: a row that says
what is known changes nothing. So what an interrupted import has done stays done, and a second run finds it there.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from rewards.core.database import Database
from rewards.core.errors import SetupError
from rewards.core.progress import Progress, unheard
from rewards.decide.commands import ShopId
from rewards.engine import Engine
from rewards.importing.chunks import ACTOR
from rewards.importing.csvfile import Broken, CsvFile
from rewards.importing.orders import LONGEST_ATTRIBUTE_NAME, MOST_ATTRIBUTES, REPORTED, Rejection
from rewards.importing.running import write_errors
from rewards.profiles.enrolling import enroll
from rewards.profiles.profile import Profile
from rewards.profiles.storing import Outcome, put_profiles
from rewards.program.history import ProgramHistory
from rewards.program.versions import load_history

CHUNK_ROWS = 1_000
_OPTIONAL = ("email", "name", "joined_at", "birthday")
_ID: TypeAdapter[str] = TypeAdapter(ShopId)


@dataclass(slots=True)
class CustomersReport:
    """What became of each row of a file.

    Attributes:
        rows: all rows but blank ones.
        created, changed, unchanged: profiles that came to be, that say something else now, and that said it already.
        rejected: rows that were not imported, and why.
    """

    rows: int = 0
    created: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: list[Rejection] = field(default_factory=list)

    def rejected_by_code(self) -> list[tuple[str, int]]:
        """Return how many rows were rejected for each reason, the most frequent first."""
        return Counter(rejection.code for rejection in self.rejected).most_common()


class _Customer(NamedTuple):
    line: int
    customer_id: str
    fields: dict[str, Any]


def import_customers(
    path: Path,
    database: Database,
    *,
    now: datetime,
    errors_path: Path | None = None,
    progress: Progress = unheard,
) -> CustomersReport:
    """Import a CSV file of customers.

    Args:
        path: the file; see ``docs/guides/customers.md`` for its columns.
        database: where to.
        now: the present.
        errors_path: gets the rejected rows, with reasons.
        progress: told of bytes read.

    Raises:
        SetupError: the file cannot be read, or ``errors_path`` cannot be written; nothing was changed.
        BusyError: the database does not answer; run it again and it goes on where it stopped.
    """
    file = CsvFile(path)
    with database.engine.connect() as conn:
        history = load_history(conn)
    reader = _Reader(file, history, now)
    if errors_path is not None:
        write_errors(errors_path, file, ())
    report = CustomersReport()
    engine = Engine(database)
    for chunk in reader.chunks(report, lambda done: progress("Importing", done, file.size)):
        _import_chunk(database, chunk, now, report)
        enroll(database, engine, (each.customer_id for each in chunk), ACTOR, now)
    progress("Importing", file.size, file.size)
    report.rejected.sort()
    if errors_path is not None:
        write_errors(errors_path, file, report.rejected)
    return report


def _import_chunk(
    database: Database, chunk: Sequence[_Customer], now: datetime, report: CustomersReport
) -> None:
    given = {each.customer_id: each.fields for each in chunk}
    with database.engine.begin() as conn:
        outcomes = put_profiles(conn, given, now)
    for each in chunk:
        _count(each, outcomes[each.customer_id], report)


def _count(customer: _Customer, outcome: Outcome, report: CustomersReport) -> None:
    if outcome == "erased":
        reason = "the customer was erased; put the profile over the API, with restore_erased, if the person came back"
        report.rejected.append(Rejection(customer.line, "profile-erased", reason))
        return
    setattr(report, outcome, getattr(report, outcome) + 1)


class _Reader:
    """Reads customers from a CSV file.

    Raises:
        SetupError: the header lacks ``customer_id``, or has more further columns than a profile can keep.
    """

    def __init__(self, file: CsvFile, history: ProgramHistory, now: datetime) -> None:
        self._file = file
        self._history = history
        self._now = now
        known = {"customer_id", *_OPTIONAL, *REPORTED}
        self._columns = {
            name.lower() if name.lower() in known else name: position
            for position, name in enumerate(file.header)
        }
        if "customer_id" not in self._columns:
            raise SetupError(
                f"{file.path} has no column customer_id; its header has {', '.join(file.header)[:200]}"
            )
        self._attributes = [name for name in self._columns if name not in known]
        if len(self._attributes) > MOST_ATTRIBUTES:
            raise SetupError(f"{file.path} has more than {MOST_ATTRIBUTES} columns of its own; remove some")
        if long := next((name for name in self._attributes if len(name) > LONGEST_ATTRIBUTE_NAME), None):
            limit = LONGEST_ATTRIBUTE_NAME
            raise SetupError(f"{file.path}: the column name {long[:80]!r} is longer than {limit} characters")

    def chunks(self, report: CustomersReport, on_bytes_read: Any) -> Iterator[list[_Customer]]:
        """Yield the customers of the file, a thousand at a time, and report the unfit rows."""
        chunk: list[_Customer] = []
        line_of: dict[str, int] = {}
        for line, record in self._file.records(on_bytes_read):
            report.rows += 1
            found = self._customer(line, record, line_of)
            if isinstance(found, Rejection):
                report.rejected.append(found)
                continue
            chunk.append(found)
            if len(chunk) == CHUNK_ROWS:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    def _customer(
        self, line: int, record: Sequence[str] | Broken, line_of: dict[str, int]
    ) -> _Customer | Rejection:
        if isinstance(record, Broken):
            return Rejection(line, "unreadable-row", record.reason)
        try:
            customer_id = _ID.validate_python(record[self._columns["customer_id"]].strip())
        except ValidationError:
            reason = "customer_id must have 1 to 128 characters, none of them a control character"
            return Rejection(line, "invalid-customer-id", reason)
        first = line_of.setdefault(customer_id, line)
        if first != line:
            reason = f"the customer_id {customer_id} is on line {first} already; give each customer one row"
            return Rejection(line, "duplicate-customer", reason)
        try:
            return _Customer(line, customer_id, self._fields(record))
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            column = str(problem["loc"][0])
            if column == "attributes":
                column = str(problem["loc"][1])
            reason = f"{column}: {problem['msg'].removeprefix('Value error, ')}"
            return Rejection(line, f"invalid-{_CODES.get(column, 'attribute')}", reason)

    def _fields(self, record: Sequence[str]) -> dict[str, Any]:
        """Return what a row says of a customer; an empty cell says that there is nothing.

        Raises:
            ValidationError: it says what a profile cannot hold.
        """
        given: dict[str, Any] = {
            name: record[self._columns[name]].strip() or None for name in _OPTIONAL if name in self._columns
        }
        if given.get("joined_at") is not None:
            given["joined_at"] = self._instant(given["joined_at"])
        attributes = {name: record[self._columns[name]].strip() or None for name in self._attributes}
        checked = Profile.model_validate({**given, "attributes": attributes})
        return {**{name: getattr(checked, name) for name in given}, "attributes": checked.attributes}

    def _instant(self, text: str) -> datetime | str:
        """Read an instant; without an offset it is on the clock of the program in force."""
        try:
            instant = datetime.fromisoformat(text)
            if instant.tzinfo is None:
                zone = self._history.in_force(instant.replace(tzinfo=UTC)).document.zone
                instant = instant.replace(tzinfo=zone)
            instant = instant.astimezone(UTC)
        except (ValueError, OverflowError):
            return text  # which the profile refuses, in its own words
        return instant if instant <= self._now else "a time that lies ahead"


_CODES = {"email": "email", "name": "name", "birthday": "birthday", "joined_at": "time"}
