"""Brings in arms that others have drawn, such as by an earlier tool: they go before the lot of the program's holdout.

Who has met one arm stays in it: a row that says the other one is rejected, whether that was assigned, or drawn by lot
and met since.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from pydantic_core import from_json
from sqlalchemy import Connection, text

from rewards.core.database import Database
from rewards.core.errors import SetupError
from rewards.core.progress import Progress, unheard
from rewards.core.wire import TextArray
from rewards.decide.commands import EXPERIMENT_ID, Assign
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.facts.exposures import refresh_exposures
from rewards.facts.state import hold_runs, mark_changed
from rewards.importing.chunks import ACTOR
from rewards.importing.columns import Columns, FactsReport, OnceEach, Unfit, chunks, past_instant
from rewards.importing.csvfile import CsvFile
from rewards.importing.running import write_errors
from rewards.program.experiments import holdout_runs
from rewards.program.history import ProgramHistory
from rewards.program.holdout import Arm
from rewards.program.versions import load_history

_REQUIRED = ("customer_id", "arm")
_OPTIONAL = ("experiment_id", "assigned_at")
_ID = re.compile(EXPERIMENT_ID)
_SHAPE = "letters, digits, hyphens, underscores and dots, at most 64"
_ARMS: dict[str, Arm] = {"program": "program", "holdout": "holdout"}


class _Assigned(NamedTuple):
    line: int
    customer_id: str
    experiment_id: str
    arm: Arm
    assigned_at: datetime


def import_assignments(
    path: Path,
    database: Database,
    *,
    now: datetime,
    experiment_id: str | None = None,
    errors_path: Path | None = None,
    progress: Progress = unheard,
) -> FactsReport:
    """Import a CSV file of arms: ``customer_id, arm``, optional ``experiment_id, assigned_at``.

    Args:
        path: the file.
        database: where to.
        now: the present.
        experiment_id: of the rows that name none; unless given, the program's holdout that begins last.
        errors_path: gets the rejected rows, with reasons.
        progress: told of bytes read.

    Raises:
        SetupError: the file cannot be read, ``errors_path`` cannot be written, or no experiment is named and the
            program has none; nothing was changed.
        BusyError: the database does not answer; run it again and it goes on where it stopped.
    """
    file = CsvFile(path)
    columns = Columns(file, _REQUIRED, _OPTIONAL)
    with database.engine.connect() as conn:
        history = load_history(conn)
    usual = experiment_id or _usual(history)
    if usual is None and "experiment_id" not in columns:
        raise SetupError("The program has no holdout; name the experiment with --experiment")
    once = OnceEach("duplicate-customer", "customer and experiment")

    def read(line: int, record: Sequence[str]) -> _Assigned:
        customer_id = columns.customer(record)
        typed = columns.cell(record, "arm")
        arm = _ARMS.get(typed.lower())
        if arm is None:
            raise Unfit("invalid-arm", f"arm is {typed[:40]!r}; write program or holdout")
        named = columns.cell(record, "experiment_id") or usual
        if named is None:
            raise Unfit("invalid-experiment", "experiment_id is empty, and the program has no holdout")
        if not _ID.fullmatch(named):
            raise Unfit("invalid-experiment", f"{named[:64]!r} is no name of an experiment: {_SHAPE}")
        assigned_at = columns.cell(record, "assigned_at")
        at = past_instant(assigned_at, "assigned_at", history, now) if assigned_at else now
        once.check(line, customer_id, named)
        return _Assigned(line, customer_id, named, arm, at)

    if errors_path is not None:
        write_errors(errors_path, file, ())
    report, engine = FactsReport(), Engine(database)
    for chunk in chunks(file, report, read, lambda done: progress("Importing", done, file.size)):
        _import_chunk(database, engine, chunk, now, report)
    progress("Importing", file.size, file.size)
    report.rejected.sort()
    if errors_path is not None:
        write_errors(errors_path, file, report.rejected)
    return report


def _usual(history: ProgramHistory) -> str | None:
    runs = holdout_runs(history)
    return runs[-1].terms.experiment_id if runs else None


def _import_chunk(
    database: Database, engine: Engine, chunk: Sequence[_Assigned], now: datetime, report: FactsReport
) -> None:
    customers = sorted({each.customer_id for each in chunk})
    with database.engine.begin() as conn:
        # Whom the lot has drawn and who has done something since is on record as exposed first.
        refresh_exposures(conn, customers)
        met = _met(conn, customers)
    wanted: list[_Assigned] = []
    for each in chunk:
        arm = met.get((each.customer_id, each.experiment_id), each.arm)
        if arm == each.arm:
            wanted.append(each)
            continue
        reason = f"the customer has met the experiment in the arm {arm}, and stays in it"
        report.reject(each.line, "already-exposed", reason)
    commands = [
        Assign(
            customer_id=each.customer_id,
            experiment_id=each.experiment_id,
            arm=each.arm,
            assigned_at=each.assigned_at,
        )
        for each in wanted
    ]
    answers = engine.execute(
        [Submission(each, None, ACTOR, remember_refusal=False) for each in commands], now
    )
    for each, answer in zip(wanted, answers, strict=True):
        body = from_json(answer.body)
        if answer.status >= 400:
            report.reject(each.line, body["code"], body["detail"])
        elif body["is_new"]:
            report.imported += 1
        else:
            report.already_there += 1
    with database.engine.begin() as conn:
        hold_runs(conn)
        if refresh_exposures(conn, customers):
            mark_changed(conn)


_MET = text("""
SELECT customer_id, experiment_id, arm FROM exposures WHERE customer_id = ANY(:customers)""")


def _met(conn: Connection, customers: Sequence[str]) -> dict[tuple[str, str], str]:
    rows = conn.execute(_MET, {"customers": TextArray(customers)})
    return {(customer_id, experiment_id): arm for customer_id, experiment_id, arm in rows}
