"""Brings in who was a member of the program, and since when: the date of joining in each customer's profile.

A member from before a holdout's start is no new customer, and takes no part in the draw; so members are imported before
the holdout begins.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from rewards.core.database import Database
from rewards.core.progress import Progress, unheard
from rewards.engine import Engine
from rewards.importing.chunks import ACTOR
from rewards.importing.columns import Columns, FactsReport, OnceEach, chunks, past_instant
from rewards.importing.csvfile import CsvFile
from rewards.importing.running import write_errors
from rewards.profiles.enrolling import enroll
from rewards.profiles.storing import put_profiles
from rewards.program.versions import load_history

_REQUIRED = ("customer_id", "joined_at")


class _Member(NamedTuple):
    line: int
    customer_id: str
    joined_at: datetime


def import_members(
    path: Path,
    database: Database,
    *,
    now: datetime,
    errors_path: Path | None = None,
    progress: Progress = unheard,
) -> FactsReport:
    """Import a CSV file of members: ``customer_id, joined_at``. Running it again changes nothing.

    Raises:
        SetupError: the file cannot be read, or ``errors_path`` cannot be written; nothing was changed.
        BusyError: the database does not answer; run it again and it goes on where it stopped.
    """
    file = CsvFile(path)
    columns = Columns(file, _REQUIRED)
    with database.engine.connect() as conn:
        history = load_history(conn)
    once = OnceEach("duplicate-customer", "customer_id")

    def read(line: int, record: Sequence[str]) -> _Member:
        customer_id = columns.customer(record)
        joined_at = past_instant(columns.cell(record, "joined_at"), "joined_at", history, now)
        once.check(line, customer_id)
        return _Member(line, customer_id, joined_at)

    if errors_path is not None:
        write_errors(errors_path, file, ())
    report, engine = FactsReport(), Engine(database)
    for chunk in chunks(file, report, read, lambda done: progress("Importing", done, file.size)):
        _import_chunk(database, chunk, now, report)
        enroll(database, engine, (each.customer_id for each in chunk), ACTOR, now)
    progress("Importing", file.size, file.size)
    report.rejected.sort()
    if errors_path is not None:
        write_errors(errors_path, file, report.rejected)
    return report


def _import_chunk(database: Database, chunk: Sequence[_Member], now: datetime, report: FactsReport) -> None:
    with database.engine.begin() as conn:
        outcomes = put_profiles(
            conn, {each.customer_id: {"joined_at": each.joined_at} for each in chunk}, now
        )
    for each in chunk:
        match outcomes[each.customer_id]:
            case "erased":
                report.reject(
                    each.line, "profile-erased", "the customer was erased, and is not known any more"
                )
            case "unchanged":
                report.already_there += 1
            case _:
                report.imported += 1
