"""A shop whose customers climb: what tests of ladders in force, and of drafts, stand on."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import text

from rewards.core.database import Database
from rewards.decide.commands import Award, Purchase, Reverse
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.jobs import run_job
from rewards.ledger.verification import verify
from rewards.program.document import ProgramDocument
from rewards.program.loading import load_text
from rewards.program.versions import load_history, publish

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
PROGRAM = """
schema_version: 1
name: Tea and company
currency: GBP
timezone: Europe/London
earn:
- {id: base, activity: purchase, gives: {type: per_amount, points: 1, per_minor: 100}}
RULES
"""
LADDER = """
ladder:
  window: {type: rolling, period: P12M}
  lasts: {type: after, period: P6M}
  downgrade: {to: one_lower}
  tiers:
  - {id: bronze, name: Bronze}
  - {id: silver, name: Silver, ways_in: [{points: 100}]}
  - {id: gold, name: Gold, ways_in: [{points: 300}]}
"""
HIGHER = LADDER.replace("points: 100", "points: 150")


def document(ladder: str = "", rules: str = "") -> ProgramDocument:
    return load_text(PROGRAM.replace("RULES", rules) + ladder)


class Shop:
    """A database with a program, and orders of many customers."""

    def __init__(self, database: Database, ladder: str = "", rules: str = "") -> None:
        self.database = database
        self.engine = Engine(database)
        self.publish(ladder, NOW - 900 * DAY, rules)
        self.orders = 0

    def publish(self, ladder: str, at: datetime, rules: str = "", now: datetime | None = None) -> int:
        with self.database.engine.begin() as conn:
            return publish(
                conn, document(ladder, rules), now=now or at, actor="tests", effective_from=at
            ).version

    def buy(self, customer_id: str, pounds: int, at: datetime, now: datetime | None = None) -> None:
        self.run([self.order(customer_id, pounds, at)], now or at)

    def order(self, customer_id: str, pounds: int, at: datetime) -> Award:
        self.orders += 1
        name, total = f"o{self.orders}", pounds * 100
        activity = Purchase(type="purchase", order_id=name, total_minor=total, currency="GBP")
        return Award(customer_id=customer_id, occurred_at=at, activity=activity)

    def run(self, commands: Sequence[Any], now: datetime) -> None:
        keys = [f"k{self.orders}-{number}" for number in range(len(commands))]
        submissions = [Submission(each, key, "tests") for each, key in zip(commands, keys, strict=True)]
        for answer in self.engine.execute(submissions, now):
            assert answer.status < 300, answer.body

    def submission(self, customer_id: str, pounds: int, at: datetime) -> Submission:
        order = self.order(customer_id, pounds, at)
        return Submission(order, f"k{self.orders}", "tests")

    def document_in_force(self, at: datetime) -> ProgramDocument:
        with self.database.engine.connect() as conn:
            return load_history(conn).in_force(at).document

    def crowd(self, customers: int, seed: int = 1) -> None:
        """Let customers buy at random over two years, and send a little back."""
        random = Random(seed)
        orders = [
            self.order(f"c-{number:05d}", random.randrange(5, 160), NOW - random.randrange(1, 700) * DAY)
            for number in range(customers)
            for _ in range(random.randrange(1, 6))
        ]
        for start in range(0, len(orders), 2_000):
            self.run(orders[start : start + 2_000], NOW - DAY)
            self.orders += 1
        refunds = [
            Reverse(customer_id=each.customer_id, order_id=each.activity.order_id, refund_id="r", full=True)
            for each in orders
            if random.random() < 0.1
        ]
        self.run(refunds, NOW - DAY / 2)

    def job(self, now: datetime) -> str:
        return run_job("tiers", self.database, now).detail

    def tiers(self) -> dict[str, str | None]:
        with self.database.engine.connect() as conn:
            rows = conn.execute(text("SELECT customer_id, tier FROM accounts ORDER BY 1"))
            return {row.customer_id: row.tier for row in rows}

    def moves(self, customer_id: str) -> list[tuple[str | None, str | None, str]]:
        with self.database.engine.connect() as conn:
            rows = conn.execute(
                text("SELECT from_tier, to_tier, reason FROM moves WHERE customer_id = :c ORDER BY move_seq"),
                {"c": customer_id},
            )
            return [tuple(row) for row in rows]

    def check(self) -> None:
        with self.database.engine.connect() as conn:
            report = verify(conn)
        assert report.ok, report.breaks[:5]
