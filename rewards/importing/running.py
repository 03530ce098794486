"""Brings a file's orders into the ledger, in chunks, so that it can be interrupted and run again.

Each row has an idempotency key of its own, and each chunk is one transaction: what an interrupted import has
done stays done, and a second run finds it there and changes nothing.
"""

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from rewards.core.database import Database
from rewards.core.errors import SetupError
from rewards.core.progress import Progress, unheard
from rewards.decide.submission import Submission
from rewards.engine import Answer, Engine
from rewards.importing.csvfile import Broken, CsvFile
from rewards.importing.orders import REPORTED, Order, OrderReader, Rejection
from rewards.program.versions import load_history

CHUNK_ROWS = 1_000
ACTOR = "import"


@dataclass(slots=True)
class ImportReport:
    """What became of each row of a file.

    Attributes:
        rows: all rows but blank ones.
        awarded: orders that were recorded now, with ``points`` between them.
        returns_matched: returns that were taken from an order now; ``points_clawed_back`` with all returns.
        returns_partly_matched: those that the customer's orders covered only in part.
        returns_unmatched: those with no order to take them from; nothing came of them.
        already_there: rows that an earlier import, or a request, had brought.
        rejected: rows that were not imported, and why.
        notes: the returns that were not, or only partly, matched.
    """

    rows: int = 0
    awarded: int = 0
    points: int = 0
    returns_matched: int = 0
    returns_partly_matched: int = 0
    returns_unmatched: int = 0
    points_clawed_back: int = 0
    already_there: int = 0
    rejected: list[Rejection] = field(default_factory=list)
    notes: list[Rejection] = field(default_factory=list)

    @property
    def handled(self) -> int:
        """Rows that are in the ledger now, or that nothing can be done about."""
        return self.rows - len(self.rejected)

    @property
    def failed(self) -> bool:
        """Whether a row was rejected for no fault of its own: the engine could not execute its command."""
        return any(rejection.code == "internal-error" for rejection in self.rejected)

    def rejected_by_code(self) -> list[tuple[str, int]]:
        """Return how many rows were rejected for each reason, the most frequent first."""
        return Counter(rejection.code for rejection in self.rejected).most_common()


def import_orders(
    path: Path,
    database: Database,
    *,
    now: datetime,
    award: bool = True,
    errors_path: Path | None = None,
    progress: Progress = unheard,
) -> ImportReport:
    """Import a CSV file of orders and returns.

    Args:
        path: the file; see ``docs/guides/importing.md`` for its columns.
        database: where to.
        now: the present; orders after it are rejected.
        award: False records the orders without giving points for them.
        errors_path: gets the rejected rows and the returns that were not matched, with reasons.
        progress: told of bytes read, then of rows imported.

    Raises:
        SetupError: the file cannot be read, or ``errors_path`` cannot be written; nothing was changed.
        BusyError: the database does not answer; run it again and it goes on where it stopped.
    """
    file = CsvFile(path)
    with database.engine.connect() as connection:
        history = load_history(connection)
    reader = OrderReader(file, history)
    if errors_path is not None:
        _write_errors(errors_path, file, ())
    orders, rejected = reader.read(lambda done: progress("Reading", done, file.size))
    progress("Reading", file.size, file.size)
    report = ImportReport(rows=len(orders) + len(rejected), rejected=rejected)
    engine = Engine(database)
    for start in range(0, len(orders), CHUNK_ROWS):
        progress("Importing", start, len(orders))
        _import_chunk(engine, reader, orders[start : start + CHUNK_ROWS], report, award=award, now=now)
    progress("Importing", len(orders), len(orders))
    report.rejected.sort()
    report.notes.sort()
    if errors_path is not None:
        _write_errors(errors_path, file, (*report.rejected, *report.notes))
    return report


def _import_chunk(
    engine: Engine,
    reader: OrderReader,
    orders: Iterable[Order],
    report: ImportReport,
    *,
    award: bool,
    now: datetime,
) -> None:
    sent: list[Order] = []
    submissions: list[Submission] = []
    for order in orders:
        try:
            command = reader.command(order, award=award)
        except ValueError as error:
            report.rejected.append(Rejection(order.line, "invalid-row", str(error)))
            continue
        sent.append(order)
        submissions.append(
            Submission(command, f"import:orders:{order.order_id}", actor=ACTOR, remember_refusal=False)
        )
    for order, answer in zip(sent, engine.execute(submissions, now), strict=True):
        _count(order, answer, report)


def _count(order: Order, answer: Answer, report: ImportReport) -> None:
    if answer.replayed:
        report.already_there += 1
        return
    body: dict[str, Any] = from_json(answer.body)
    if answer.status >= 400:
        _count_refusal(order, body, report)
    elif not order.is_return:
        report.awarded += 1
        report.points += body["points"]
    else:
        report.points_clawed_back += body["points_clawed_back"]
        if body.get("unmatched_minor"):
            report.returns_partly_matched += 1
            reason = f"{body['unmatched_minor']} minor units of it exceed the customer's earlier orders"
            report.notes.append(Rejection(order.line, "return-partly-matched", reason))
        else:
            report.returns_matched += 1


def _count_refusal(order: Order, body: dict[str, Any], report: ImportReport) -> None:
    code, reason = body["code"], body["detail"]
    # A refund that came by another way is there; an order with nothing left to refund is another matter.
    if code == "already-awarded" or (code == "already-reversed" and "remaining_minor" not in body):
        report.already_there += 1
    elif order.is_return and code in ("order-not-found", "customer-not-found"):
        report.returns_unmatched += 1
        report.notes.append(Rejection(order.line, "return-not-matched", reason))
    else:
        if code == "idempotency-key-reused":
            reason = f"order_id {order.order_id} was imported before with other content, which stands"
        report.rejected.append(Rejection(order.line, code, reason))


def _write_errors(path: Path, file: CsvFile, rejections: Iterable[Rejection]) -> None:
    """Write the rows that ``rejections`` name, with code and reason, as a CSV that can be imported again."""
    if path.exists() and path.samefile(file.path):
        raise SetupError(f"{path} is the file to import; give --errors another name")
    by_line = {rejection.line: rejection for rejection in rejections}
    kept = [at for at, name in enumerate(file.header) if name.lower() not in REPORTED]
    try:
        with path.open("w", encoding="utf-8", newline="") as target:
            writer = csv.writer(target)
            writer.writerow([*REPORTED, *(file.header[at] for at in kept)])
            if not by_line:
                return
            for line, record in file.records():
                if (rejection := by_line.get(line)) is not None:
                    fields = [""] * len(kept) if isinstance(record, Broken) else [record[at] for at in kept]
                    writer.writerow([*rejection, *fields])
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}") from None
