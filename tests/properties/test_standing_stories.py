"""Random lives on random ladders through the engine: what is on record is always what the whole history says.

Each customer's story mixes orders in and out of order, refunds in part and in full, grants by hand, edits of the ladder and
the work of time, cut into batches at random. `verify` folds every history again and compares.
"""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import text

from rewards.core.database import Database
from rewards.decide.commands import (
    Award,
    EndGrant,
    Enroll,
    GrantStanding,
    Purchase,
    Record,
    Redeem,
    Referral,
    Reverse,
    Review,
    Settle,
)
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.ledger.verification import verify
from rewards.program.loading import load_text
from rewards.program.versions import publish

START = datetime(2025, 1, 1, tzinfo=UTC)
CUSTOMERS = 25
WINDOWS = (
    "{type: lifetime}",
    "{type: rolling, period: P30D}",
    "{type: calendar, unit: month}",
    "{type: anniversary}",
    "{type: dates, dates: ['02-15', '08-31']}",
)
LASTS = (
    "{type: for_ever}",
    "{type: while_qualified}",
    "{type: after, period: P45D}",
    "{type: after, period: P1M, round_up_to: month}",
)
TO_PERIOD_END = ("{type: period_end}", "{type: period_end, more_periods: 1}")
PROGRAM = """
schema_version: 1
name: Stories
currency: GBP
timezone: Europe/London
earn:
- {id: base, activity: purchase, gives: {type: per_amount, points: 1, per_minor: 100}}
- {id: gold-day, activity: purchase, when: customer.tier == 'gold', gives: {type: fixed, points: 7}}
- {id: review, activity: review, gives: {type: fixed, points: 15}, counts_to_tiers: false}
- {id: friend, activity: referral, gives: {type: fixed, points: 30}}
- {id: hello, activity: tier, gives: {type: fixed, points: 11}, occurrences: {first: 3}}
"""


def program(random: Random) -> str:
    window = random.choice(WINDOWS)
    is_periodic = window not in WINDOWS[:2]
    lasts = random.choice(LASTS + (TO_PERIOD_END if is_periodic else ()))
    upgrade = "at_once"
    if is_periodic and "while" not in lasts and random.random() < 0.25:
        upgrade = "period_end"
    to = random.choice(("none", "first", "one_lower", "qualified"))
    grace = random.choice((None, "P10D", "P0D"))
    if to == "one_lower" and "while" in lasts:
        grace = "P10D"
    down = f"{{to: {to}" + (f", grace: {grace}, round_up_to: month}}" if grace else "}")
    first = random.choice(("", "ways_in: [{orders: 1}], "))
    more = random.choice(("", "{when: customer.purchases >= 4}, "))
    return (
        PROGRAM
        + f"""
ladder:
  window: {window}
  lasts: {lasts}
  upgrade: {upgrade}
  counts_from: {random.choice(("this_activity", "next_activity"))}
  downgrade: {down}
  refunds: {random.choice(("lower", "keep"))}
  edits: {random.choice(("requalify", "raise_only"))}
  tiers:
  - {{id: bronze, name: Bronze, {first}}}
  - {{id: silver, name: Silver, ways_in: [{more}{{points: {random.choice((60, 100))}}}, {{spend_minor: 15000}}], earn_multiplier_pct: 150, pending: P3D}}
  - {{id: gold, name: Gold, ways_in: [{{points: 150}}, {{orders: 3, window: {{type: lifetime}}}}], needs: all,
     never_downgrade: {random.choice(("true", "false"))}, earn_multiplier_pct: 200, redemption_value_pct: 120, expiry: {{type: after, period: P90D}}}}
  - {{id: friend, name: Friend, invitation_only: true}}
"""
    )


class Life:
    def __init__(self, customer_id: str, random: Random) -> None:
        self.customer_id, self.random = customer_id, random
        self.orders: list[tuple[str, int, datetime]] = []
        self.number = 0

    def step(self, now: datetime) -> Submission:
        random, who = self.random, self.customer_id
        self.number += 1
        key = f"{who}-{self.number}"
        late = timedelta(days=random.choice((0, 0, 0, 1, 20, 80)), hours=random.randrange(24))
        at = max(now - late, START)
        draw = random.random()
        command: Any
        if draw < 0.5 or not self.orders:
            total = random.choice((1_00, 20_00, 45_00, 120_00))
            self.orders.append((key, total, at))
            activity = Purchase(type="purchase", order_id=key, total_minor=total, currency="GBP")
            kind = Record if random.random() < 0.1 else Award
            command = kind(customer_id=who, occurred_at=random.choice((at, None)), activity=activity)
        elif draw < 0.62:
            order_id, total, _ = random.choice(self.orders)
            extent = random.choice(({"full": True}, {"amount_minor": max(total // 3, 1)}))
            command = Reverse(customer_id=who, order_id=order_id, refund_id=key, **extent)
        elif draw < 0.68:
            command = Award(customer_id=who, activity=Review(type="review", subject=key))
        elif draw < 0.72:
            activity = Referral(type="referral", referred_customer_id="friend-" + key)
            command = Award(customer_id=who, occurred_at=at, activity=activity)
        elif draw < 0.77:
            command = Redeem(customer_id=who, points=random.choice((1, 10)))
        elif draw < 0.82:
            until = random.choice((None, now + timedelta(days=random.randrange(1, 60), hours=5)))
            command = GrantStanding(
                customer_id=who, tier=random.choice(("silver", "friend")), until=until, reason="x"
            )
        elif draw < 0.85:
            command = EndGrant(customer_id=who, reason="x")
        elif draw < 0.87:
            command = Enroll(customer_id=who, member_since=START - timedelta(days=random.randrange(400)))
        else:
            command = Settle(customer_id=who)
        keyless = isinstance(command, Settle | GrantStanding | EndGrant | Enroll)
        return Submission(command, None if keyless else key, "tests")


@pytest.mark.parametrize("seed", range(8))
def test_what_is_on_record_is_what_the_history_says(seed: int, database: Database) -> None:
    random = Random(seed)
    engine = Engine(database)
    lives = [Life(f"c{number}", Random(f"{seed} {number}")) for number in range(CUSTOMERS)]

    def announce(now: datetime) -> None:
        with database.engine.begin() as conn:
            later = now + timedelta(days=random.choice((0, 0, 9, -20)), hours=3)
            publish(conn, load_text(program(random)), now=now, actor="tests", effective_from=later)

    now = START
    announce(now)
    statuses: dict[int, int] = {}
    for day in range(40):
        now += timedelta(days=random.choice((1, 2, 5, 11)), hours=random.randrange(24), minutes=7)
        if day in (15, 28):
            announce(now)
        batch = [life.step(now) for life in lives for _ in range(random.choice((0, 1, 1, 3)))]
        random.shuffle(batch)
        for answer in engine.execute(batch, now):
            statuses[answer.status] = statuses.get(answer.status, 0) + 1
        if day % 13 == 12:
            check(database)
    engine.execute([Submission(Settle(customer_id=life.customer_id), None, "tests") for life in lives], now)
    check(database)
    assert statuses[201] > 500
    assert 500 not in statuses
    with database.engine.connect() as conn:
        reasons = set(conn.scalars(text("SELECT DISTINCT reason FROM moves")))
    assert len(reasons) >= 3, reasons


def check(database: Database) -> None:
    with database.engine.connect() as conn:
        report = verify(conn)
    assert report.ok, report.breaks[:5]
