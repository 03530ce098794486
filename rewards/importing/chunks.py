"""A chunk of orders, from rows to what became of them: one transaction of the engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from rewards.decide.submission import Submission
from rewards.engine import Answer, Engine
from rewards.importing.orders import Order, Rejection, command_of
from rewards.importing.report import ImportReport

CHUNK_ROWS = 1_000
ACTOR = "import"


@dataclass(frozen=True, slots=True)
class Terms:
    """What is the same for every row of an import.

    Attributes:
        attribute_names: the file's columns that become attributes.
        award: False records the orders without giving points for them.
        now: the present; orders after it are rejected.
    """

    attribute_names: tuple[str, ...]
    award: bool
    now: datetime


def import_chunk(engine: Engine, orders: Sequence[Order], terms: Terms) -> ImportReport:
    """Execute orders as one transaction, and return what became of them.

    Raises:
        BusyError: the database does not answer.
    """
    report = ImportReport(rows=len(orders))
    sent: list[Order] = []
    submissions: list[Submission] = []
    for order in orders:
        try:
            command = command_of(order, terms.attribute_names, award=terms.award)
        except ValueError as error:
            report.rejected.append(Rejection(order.line, "invalid-row", str(error)))
            continue
        sent.append(order)
        submissions.append(
            Submission(command, f"import:orders:{order.order_id}", actor=ACTOR, remember_refusal=False)
        )
    for order, answer in zip(sent, engine.execute(submissions, terms.now), strict=True):
        _count(order, answer, report)
    return report


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
