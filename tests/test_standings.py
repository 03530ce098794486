"""Standings through the engine: an award moves, a refund takes back, time lets go, and the ledger's checks hold."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic_core import from_json
from sqlalchemy import text

from rewards.core.database import Database
from rewards.decide.commands import (
    Adjust,
    Award,
    EndGrant,
    Enroll,
    GrantStanding,
    Purchase,
    Redeem,
    Reverse,
    Settle,
)
from rewards.decide.submission import Submission
from rewards.engine import Answer, Engine
from rewards.ledger.verification import verify
from rewards.preview.running import replay
from rewards.program.loading import load_text
from rewards.program.versions import load_history, publish

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
PROGRAM = """
schema_version: 1
name: Tea and company
currency: GBP
timezone: Europe/London
earn:
- {id: base, activity: purchase, gives: {type: per_amount, points: 1, per_minor: 100}}
LADDER
"""
LADDER = """
ladder:
  window: {type: calendar, unit: year}
  lasts: {type: period_end}
  tiers:
  - {id: bronze, name: Bronze}
  - {id: silver, name: Silver, ways_in: [{points: 100}], earn_multiplier_pct: 150}
  - {id: gold, name: Gold, ways_in: [{points: 300}], earn_multiplier_pct: 200, redemption_value_pct: 150}
"""
WELCOME = "- {id: welcome, activity: tier, when: activity.name == 'silver', gives: {type: fixed, points: 25}}"


class Shop:
    """A database with a program, and commands of one customer."""

    def __init__(self, database: Database, ladder: str = LADDER, rules: str = "") -> None:
        self.database = database
        self.engine = Engine(database)
        self.publish(ladder, START - timedelta(days=1), rules)
        self.keys = 0

    def publish(self, ladder: str, at: datetime, rules: str = "") -> None:
        with self.database.engine.begin() as conn:
            document = load_text(PROGRAM.replace("LADDER", rules + ladder))
            publish(conn, document, now=at, actor="tests", effective_from=at)

    def run(self, command: Any, now: datetime) -> dict[str, Any]:
        self.keys += 1
        keyless = isinstance(command, Settle | GrantStanding | EndGrant | Enroll)
        key = None if keyless else f"k{self.keys}"
        answer = self.engine.execute([Submission(command, key, "tests")], now)[0]
        assert answer.status < 300, answer.body
        return from_json(answer.body)

    def buy(
        self, order_id: str, total_minor: int, at: datetime, now: datetime | None = None
    ) -> dict[str, Any]:
        activity = Purchase(type="purchase", order_id=order_id, total_minor=total_minor, currency="GBP")
        return self.run(Award(customer_id="c", occurred_at=at, activity=activity), now or at)

    def refund(self, order_id: str, at: datetime) -> dict[str, Any]:
        return self.run(Reverse(customer_id="c", order_id=order_id, refund_id="r" + order_id, full=True), at)

    def settle(self, now: datetime) -> None:
        self.run(Settle(customer_id="c"), now)

    def tier(self) -> str | None:
        with self.database.engine.connect() as conn:
            return conn.scalar(text("SELECT tier FROM accounts WHERE customer_id = 'c'"))

    def due(self) -> datetime | None:
        with self.database.engine.connect() as conn:
            return conn.scalar(text("SELECT standing_due_at FROM accounts"))

    def moves(self) -> list[tuple[str | None, str | None, str]]:
        with self.database.engine.connect() as conn:
            rows = conn.execute(text("SELECT from_tier, to_tier, reason FROM moves ORDER BY move_seq"))
            return [tuple(row) for row in rows]

    def events(self) -> list[str]:
        with self.database.engine.connect() as conn:
            return list(conn.scalars(text("SELECT type FROM outbox ORDER BY event_seq")))

    def check(self) -> None:
        with self.database.engine.connect() as conn:
            report = verify(conn)
        assert report.ok, report.breaks


@pytest.fixture
def shop(database: Database) -> Shop:
    return Shop(database)


def test_an_award_moves_the_customer_up_and_the_next_one_is_worth_more(shop: Shop) -> None:
    first = shop.buy("1", 90_00, START)
    assert first["tier"] == {
        "id": "bronze",
        "name": "Bronze",
        "next": {"id": "silver", "name": "Silver", "remaining": 10, "unit": "points"},
    }
    second = shop.buy("2", 20_00, START + timedelta(days=1))
    assert (second["points"], second["tier"]["id"]) == (20, "silver")
    third = shop.buy("3", 20_00, START + timedelta(days=2))
    assert third["points"] == 30
    assert third["explanation"][-1] == {
        "rule_id": "tier:silver",
        "points": 10,
        "text": "Silver: 1.5 times 20 points",
    }
    # The points on top count to no tier.
    assert third["tier"]["next"]["remaining"] == 300 - 130
    assert shop.moves() == [(None, "bronze", "joined"), ("bronze", "silver", "earned")]
    assert shop.events() == ["tier.upgraded"]
    shop.check()


def test_the_activity_that_reaches_a_tier_may_be_given_points_by_it(database: Database) -> None:
    shop = Shop(database, LADDER + "  counts_from: this_activity\n")
    assert shop.buy("1", 120_00, START)["points"] == 180
    assert shop.buy("2", 200_00, START + timedelta(days=1))["points"] == 400
    shop.check()


def test_a_refund_takes_the_tier_back_that_rested_on_the_order(shop: Shop) -> None:
    shop.buy("1", 90_00, START)
    shop.buy("2", 20_00, START + timedelta(days=1))
    shop.buy("3", 10_00, START + timedelta(days=2))
    shop.refund("2", START + timedelta(days=3))
    assert shop.tier() == "silver"
    shop.refund("3", START + timedelta(days=4))
    assert shop.tier() == "bronze"
    assert shop.moves()[-1] == ("silver", "bronze", "corrected")
    assert shop.events() == ["tier.upgraded", "tier.downgraded"]
    shop.check()


def test_a_refund_by_policy_takes_no_tier_back(database: Database) -> None:
    shop = Shop(database, LADDER + "  refunds: keep\n")
    shop.buy("1", 120_00, START)
    shop.refund("1", START + timedelta(days=3))
    assert shop.tier() == "silver"
    shop.settle(datetime(2027, 1, 1, tzinfo=UTC))
    assert shop.tier() == "bronze"
    shop.check()


def test_time_lets_go_of_a_tier_after_a_warning(shop: Shop) -> None:
    shop.buy("1", 120_00, START)
    # What was bought in 2026 is enough for 2027, so nothing is lost at the end of 2026.
    for due in (datetime(2026, 12, 2, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)):
        assert shop.due() == due
        shop.settle(due)
    assert shop.events() == ["tier.upgraded"]
    assert shop.due() == datetime(2027, 12, 2, tzinfo=UTC)
    for _ in range(2):
        shop.settle(datetime(2027, 12, 3, tzinfo=UTC))
    assert shop.events() == ["tier.upgraded", "tier.will-expire"]
    assert shop.due() == datetime(2028, 1, 1, tzinfo=UTC)
    shop.settle(datetime(2028, 1, 1, tzinfo=UTC))
    assert shop.tier() == "bronze"
    assert shop.events()[-1] == "tier.downgraded"
    shop.check()


def test_an_order_that_is_sent_late_counts_when_it_occurred(shop: Shop) -> None:
    shop.buy("1", 60_00, START)
    shop.buy("2", 10_00, START + timedelta(days=20))
    late = shop.buy("0", 50_00, START + timedelta(days=3), now=START + timedelta(days=30))
    assert late["points"] == 50
    assert late["tier"]["id"] == "silver"
    # Between the two it would have been silver: what was given then stands, and from now on it is.
    assert shop.buy("3", 10_00, START + timedelta(days=31))["points"] == 15
    shop.check()


def test_points_are_worth_more_in_a_higher_tier(shop: Shop) -> None:
    shop.buy("1", 100_00, START)
    spent = shop.run(Redeem(customer_id="c", points=10), START + timedelta(days=1))
    assert spent["value_minor"] == 10
    shop.buy("2", 300_00, START + timedelta(days=1))
    hold = shop.run(Redeem(customer_id="c", points=10, hold=True), START + timedelta(days=2))
    assert hold["value_minor"] == 15
    shop.check()


def test_a_granted_standing_holds_until_its_end_and_then_what_was_earned_goes_on(shop: Shop) -> None:
    shop.buy("1", 120_00, START)
    until = START + timedelta(days=30)
    granted = shop.run(
        GrantStanding(customer_id="c", tier="gold", until=until, reason="a friend"), START + timedelta(days=1)
    )
    assert granted["tier"]["id"] == "gold"
    assert shop.buy("2", 10_00, START + timedelta(days=2))["points"] == 20
    shop.check()
    shop.settle(until)
    assert shop.tier() == "silver"
    assert [reason for _, _, reason in shop.moves()] == ["joined", "earned", "granted", "grant-ended"]
    shop.run(GrantStanding(customer_id="c", tier="gold", reason="again"), until + timedelta(days=1))
    shop.run(EndGrant(customer_id="c", reason="over"), until + timedelta(days=2))
    assert shop.tier() == "silver"
    shop.check()


def test_rules_welcome_to_a_tier_and_a_refund_takes_the_welcome_back(database: Database) -> None:
    shop = Shop(database, rules=WELCOME)
    shop.buy("1", 120_00, START)
    with database.engine.connect() as conn:
        assert conn.scalar(text("SELECT available FROM accounts")) == 145
    assert shop.buy("2", 10_00, START + timedelta(days=1))["tier"]["next"]["remaining"] == 300 - 130
    shop.check()
    shop.refund("1", START + timedelta(days=2))
    with database.engine.connect() as conn:
        assert conn.scalar(text("SELECT balance FROM accounts")) == 15
    shop.check()


def test_a_ladder_that_is_published_places_those_who_are_there(database: Database) -> None:
    shop = Shop(database, ladder="")
    shop.buy("1", 120_00, START)
    assert shop.tier() is None
    shop.publish(LADDER, START + timedelta(days=5))
    assert shop.buy("2", 10_00, START + timedelta(days=6))["points"] == 15
    assert shop.tier() == "silver"
    shop.check()
    shop.publish(LADDER.replace("points: 100", "points: 200"), START + timedelta(days=8))
    shop.settle(START + timedelta(days=9))
    assert shop.tier() == "bronze"
    assert [reason for _, _, reason in shop.moves()] == ["program", "program", "program"]
    shop.check()


def test_many_orders_in_one_batch_are_as_one_after_the_other(shop: Shop) -> None:
    def submission(day: int) -> Submission:
        activity = Purchase(type="purchase", order_id=f"o{day}", total_minor=30_00, currency="GBP")
        at = START + timedelta(days=day * 9)
        return Submission(Award(customer_id="c", occurred_at=at, activity=activity), f"b{day}", "tests")

    answers: list[Answer] = shop.engine.execute(
        [submission(day) for day in range(60)], START + timedelta(days=600)
    )
    assert all(answer.status == 201 for answer in answers), answers
    shop.check()
    assert shop.tier() == "gold"
    assert from_json(answers[5].body)["points"] == 45


def test_a_member_since_and_an_adjustment(shop: Shop) -> None:
    shop.run(Adjust(customer_id="c", points=5, reason="hello"), START)
    shop.run(Enroll(customer_id="c", member_since=START - timedelta(days=3)), START)
    assert shop.tier() == "bronze"
    shop.check()


def test_a_replay_under_the_program_in_force_comes_to_the_same(database: Database) -> None:
    shop = Shop(
        database,
        LADDER.replace("{type: calendar, unit: year}", "{type: rolling, period: P30D}").replace(
            "{type: period_end}", "{type: after, period: P60D}"
        ),
        rules=WELCOME,
    )
    for number in range(12):
        shop.buy(str(number), 60_00, START + timedelta(days=11 * number))
    shop.refund("3", START + timedelta(days=140))
    now = START + timedelta(days=400)
    shop.settle(now)
    with database.engine.connect() as conn:
        given = conn.scalar(text("SELECT sum(points) FROM entries WHERE kind = 'award'"))
        document = load_history(conn).latest.document
    with database.engine.connect() as conn:
        report = replay(conn, document, as_of=now)
    assert (report.totals.issued.before, report.totals.issued.after) == (given, given)
    assert report.totals.clawed_back.before == report.totals.clawed_back.after > 0
