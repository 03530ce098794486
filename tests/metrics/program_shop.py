"""A shop that lives through a year and a half with the real engine, for the tests of the program's figures."""

import json
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from rewards.core.database import Database
from rewards.decide.commands import (
    Adjust,
    Award,
    Capture,
    Purchase,
    Redeem,
    Reverse,
    ReverseRedemption,
    Tag,
    Void,
)
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.facts.refresh import refresh
from rewards.jobs import run_job
from rewards.program.loading import load_text
from rewards.program.versions import publish

ZONE = ZoneInfo("America/New_York")
STARTS = datetime(2025, 3, 1, 15, tzinfo=UTC)
ENDS = datetime(2026, 9, 20, 15, tzinfo=UTC)
PROGRAM = """
schema_version: 1
name: Test
currency: USD
timezone: America/New_York
earn:
- {id: base, activity: purchase, gives: {type: per_amount, points: 2, per_minor: 100}}
- {id: welcome, activity: signup, gives: {type: fixed, points: 50}}
points:
  pending: P14D
  expiry: {type: after, period: P5M, round_up_to: month}
  negative_balance: NEGATIVE
redemption: {points: 10, value_minor: VALUE, minimum_points: 1, step_points: 1}
ladder:
  window: {type: rolling, period: P12M}
  lasts: {type: after, period: P6M}
  downgrade: {to: one_lower}
  tiers:
  - {id: bronze, name: Bronze}
  - {id: silver, name: Silver, ways_in: [{points: 150}], redemption_value_pct: 150}
"""


def document(value: int, negative: str = "allow") -> Any:
    return load_text(PROGRAM.replace("VALUE", str(value)).replace("NEGATIVE", negative))


class Life:
    """Customers buy, spend, hold, send back and are adjusted, ten days at a time; time books what is due now and then."""

    def __init__(self, database: Database, seed: int, *, negative: str = "allow") -> None:
        self.database, self.engine, self.random = database, Engine(database), Random(seed)
        self.customers = [f"c-{number}" for number in range(25)]
        self.number = 0
        self.orders: list[tuple[str, str, int]] = []
        self.redemptions: list[tuple[str, str, bool]] = []
        self._publish(15, STARTS - timedelta(days=400), STARTS - timedelta(days=1), negative)
        now, is_dearer = STARTS, False
        while now < ENDS:
            self._some_days(now)
            if self.random.random() < 0.7:
                self.settle(now)
            if now.date() >= date(2025, 12, 6) and not is_dearer:
                # Points are worth more from then on.
                self._publish(20, now, now, negative)
                is_dearer = True
            now += timedelta(days=10)
        self.execute(now, Tag(customer_id="c-3", tags=["staff"]), keyless=True)
        self.settle(now)
        refresh(database, now)

    def _publish(self, value: int, effective_from: datetime, now: datetime, negative: str) -> None:
        with self.database.engine.begin() as conn:
            publish(conn, document(value, negative), effective_from=effective_from, now=now, actor="test")

    def settle(self, now: datetime) -> None:
        for job in ("release-holds", "expire", "tiers"):
            run_job(job, self.database, now)

    def execute(self, now: datetime, *commands: Any, keyless: bool = False) -> list[dict[str, Any] | None]:
        submissions = []
        for command in commands:
            self.number += 1
            key = None if keyless else f"k{self.number}"
            submissions.append(Submission(command, key, "test", remember_refusal=False))
        answers = self.engine.execute(submissions, now)
        return [json.loads(each.body) if each.status < 300 else None for each in answers]

    def _some_days(self, now: datetime) -> None:
        bought = []
        for customer in self.random.sample(self.customers, 9):
            at = now - timedelta(hours=self.random.choice([0, 0, 3, 30, 200, 2000]))
            total, order = self.random.choice([500, 1999, 5000, 12_345]), f"o{len(self.orders)}"
            activity = Purchase(type="purchase", order_id=order, total_minor=total, currency="USD")
            bought.append(Award(customer_id=customer, occurred_at=at, activity=activity))
            self.orders.append((customer, order, total))
        self.execute(now, *bought)
        spent = []
        for customer in self.random.sample(self.customers, 5):
            is_held = self.random.random() < 0.4
            lasts = self.random.choice(["PT30M", "P3D", "P20D"]) if is_held else None
            points = self.random.randint(5, 90)
            spent.append(Redeem(customer_id=customer, points=points, hold=is_held, hold_expires_in=lasts))
        for each, told in zip(spent, self.execute(now, *spent), strict=True):
            if told is not None:
                self.redemptions.append((each.customer_id, told["redemption_id"], each.hold))
        self._second_thoughts(now + timedelta(minutes=10))

    def _second_thoughts(self, now: datetime) -> None:
        if self.redemptions:
            for _, redemption, is_held in self.random.choices(self.redemptions[-12:], k=3):
                kinds: list[Any] = [Void, Capture, Capture] if is_held else [ReverseRedemption]
                if self.random.random() < 0.5:
                    self.execute(now, self.random.choice(kinds)(redemption_id=redemption))
        customer, order, total = self.random.choice(self.orders[-40:])
        self.execute(
            now,
            Reverse(
                customer_id=customer,
                order_id=order,
                refund_id=f"r{self.number}",
                occurred_at=now - timedelta(days=self.random.choice([0, 0, 4])),
                amount_minor=self.random.choice([total, total // 3]),
            ),
        )
        if self.random.random() < 0.3:
            points = self.random.choice([-40, 25, 100])
            who = self.random.choice(self.customers)
            self.execute(now, Adjust(customer_id=who, points=points, reason="x", allow_negative=True))


class Row(NamedTuple):
    """An entry as plain SQL has it."""

    customer: str
    seq: int
    kind: str
    points: int
    at: datetime
    cause: str

    @property
    def counted(self) -> datetime:
        """What expires at the end of a day is gone with that day."""
        return self.at - timedelta(microseconds=self.kind in ("expire", "unexpire"))


class Rows:
    """All rows of the ledger, in plain lists, without the accounts that do not count."""

    def __init__(self, conn: Connection, without: tuple[str, ...] = ("c-3",)) -> None:
        def read(columns: str, table: str) -> list[Any]:
            found = conn.execute(text(f"SELECT {columns} FROM {table} ORDER BY 1, 2"))
            return [row for row in found if row[0] not in without]

        self.entries = [
            Row(*row) for row in read("customer_id, seq, kind, points, occurred_at, cause", "entries")
        ]
        self.lots = read("customer_id, lot_seq, points, remaining, available_at, expires_at", "lots")
        self.taken: dict[tuple[str, int], list[tuple[int, int, int]]] = defaultdict(list)
        for customer, entry, lot, debit, points in read(
            "customer_id, entry_seq, lot_seq, debit_seq, points", "consumptions"
        ):
            self.taken[customer, entry].append((lot, debit, points))
        self.redemptions = {
            (row[0], row[1]): row
            for row in read("customer_id, redeem_seq, value_minor, captured", "redemptions")
            if row[1] is not None
        }
        self.moves = read("customer_id, move_seq, from_tier, to_tier, at", "moves")

    def between(self, since: datetime, until: datetime, *kinds: str) -> list[Row]:
        return [row for row in self.entries if since <= row.counted < until and row.kind in kinds]


def midnight(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), ZONE)
