"""Shops in a database for the tests of metrics: orders go in as a shop sends them, and the facts follow.

``from metric_database import load_shop, Purchased`` and ask for the fixture ``database`` of the session's server.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from rewards.core.database import Database
from rewards.decide.commands import Award, Purchase, Record, Reverse, Survey, Tag
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.facts.refresh import Refreshed, refresh
from rewards.metrics.source import Source
from rewards.metrics.store import open_source
from rewards.program.versions import publish, starter_program

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
ACTOR = "test"


class Purchased(NamedTuple):
    """An order of a shop, with what was refunded of it afterwards."""

    customer: str
    order: str
    at: datetime
    total: int
    refunded: int = 0
    points: int = 0
    currency: str = "GBP"
    refunded_at: datetime | None = None
    attributes: dict[str, Any] = {}  # noqa: RUF012 - never changed


def submit(database: Database, commands: Iterable[tuple[Any, str | None]], now: datetime = NOW) -> None:
    """Execute commands with their keys, a thousand at a time; all must be accepted."""
    engine, all_of_them = Engine(database), list(commands)
    for start in range(0, len(all_of_them), 1_000):
        part = [
            Submission(command, key, ACTOR, remember_refusal=False)
            for command, key in all_of_them[start : start + 1_000]
        ]
        for answer in engine.execute(part, now):
            assert answer.status in (200, 201), answer.body


def commands_of(orders: Iterable[Purchased], *, award: bool = True) -> list[tuple[Any, str]]:
    """Return the commands of orders and their refunds, each with its key."""
    kind: Any = Award if award else Record
    commands: list[tuple[Any, str]] = []
    for each in orders:
        activity = Purchase(
            type="purchase",
            order_id=each.order,
            total_minor=each.total,
            points_minor=each.points,
            currency=each.currency,
            attributes=each.attributes,
        )
        award_ = kind(customer_id=each.customer, occurred_at=each.at, activity=activity)
        commands.append((award_, f"order-{each.order}"))
        if each.refunded:
            refund = Reverse(
                customer_id=each.customer,
                order_id=each.order,
                refund_id=f"r-{each.order}",
                occurred_at=each.refunded_at or each.at,
                amount_minor=each.refunded,
            )
            commands.append((refund, f"refund-{each.order}"))
    return commands


def load_shop(
    database: Database,
    orders: Iterable[Purchased] = (),
    *,
    now: datetime = NOW,
    zone: str = "Europe/London",
    currency: str = "GBP",
    award: bool = True,
) -> Refreshed:
    """Publish a starter program of this zone and currency, send orders to the engine, and work out the facts."""
    document = starter_program(currency, zone)
    with database.engine.begin() as connection:
        publish(connection, document, effective_from=datetime(1990, 1, 1, tzinfo=UTC), now=now, actor=ACTOR)
    submit(database, commands_of(orders, award=award), now)
    return refresh(database, now)


def answered(customer: str, survey: str, at: datetime, answers: dict[str, Any]) -> tuple[Any, str]:
    """Return the command of an answered survey, with its key; the program must have the survey."""
    activity = Survey(type="survey", survey_id=survey, answers=answers)
    return Award(customer_id=customer, occurred_at=at, activity=activity), f"survey-{survey}"


def tag(database: Database, customer: str, tags: Sequence[str], now: datetime = NOW) -> None:
    """Give a customer these tags, as the API does: without a key."""
    submit(database, [(Tag(customer_id=customer, tags=list(tags)), None)], now)


def source_at(connection: Connection, as_of: date | None = None, now: datetime = NOW) -> Source:
    """Return the source that the API would make."""
    return open_source(connection, as_of=as_of, now=now)


def rows(connection: Connection, query: str, **named: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a query as tuples."""
    return [tuple(row) for row in connection.execute(text(query), named)]
