"""What the state machine and the crowds found, kept as short stories."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from invariants import broken
from pydantic import ValidationError
from sqlalchemy import text

from rewards.core.database import Database
from rewards.decide import Submission
from rewards.decide.commands import (
    Adjust,
    Award,
    Capture,
    Command,
    Purchase,
    Redeem,
    Reverse,
    ReverseRedemption,
    Settle,
    Void,
)
from rewards.engine import Engine
from rewards.ledger.statements import read_balance
from rewards.ledger.verification import verify
from rewards.program import periods
from rewards.program.document import ProgramDocument
from rewards.program.earning import earn
from rewards.program.points import ExpiresAfter, PointsPolicy
from rewards.program.versions import publish

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def fixed(rule_id: str, points: int, **more: Any) -> dict[str, Any]:
    """A rule that gives each purchase so many points."""
    return {"id": rule_id, "activity": "purchase", "gives": {"type": "fixed", "points": points}, **more}


class Shop:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.engine = Engine(database)
        self.sent = 0

    def publish(self, **points: Any) -> None:
        """Put a program in force that gives a point for each 1.00, with these rules for points and refunds."""
        gives = {"type": "per_amount", "points": 1, "per_minor": 100}
        document: dict[str, Any] = {
            "schema_version": 1,
            "name": "Test",
            "currency": "USD",
            "timezone": "UTC",
            "earn": points.pop("earn", [{"id": "base", "activity": "purchase", "gives": gives}]),
            "caps": points.pop("caps", []),
            "refunds": {"rounding": points.pop("rounding", "half_up")},
            "points": points,
        }
        with self.database.engine.begin() as conn:
            parsed = ProgramDocument.model_validate(document)
            publish(conn, parsed, effective_from=NOW - 900 * DAY, now=NOW, actor="test")

    def do(self, command: Command, at: datetime = NOW) -> dict[str, Any]:
        self.sent += 1
        key = None if isinstance(command, Settle) else f"k{self.sent}"
        answer = self.engine.execute([Submission(command, key, "test")], at)[0]
        assert answer.status in (200, 201), answer.body
        told: dict[str, Any] = json.loads(answer.body)
        return told

    def buy(self, order: str, minor: int, at: datetime = NOW, **more: Any) -> dict[str, Any]:
        activity = {"type": "purchase", "order_id": order, "total_minor": minor, "currency": "USD", **more}
        return self.do(Award.model_validate({"customer_id": "c", "activity": activity}), at)

    def redeem(self, points: int, at: datetime = NOW, **more: Any) -> str:
        return str(self.do(Redeem(customer_id="c", points=points, **more), at)["redemption_id"])

    def refund(self, refund_id: str, at: datetime = NOW, order: str = "1", **extent: Any) -> dict[str, Any]:
        return self.do(
            Reverse.model_validate({"customer_id": "c", "order_id": order, "refund_id": refund_id, **extent}),
            at,
        )

    def balance(self, at: datetime) -> tuple[int, int, int, int]:
        """What a statement foresees for ``at``."""
        with self.database.engine.connect() as conn:
            found = read_balance(conn, "c", at, NOW)
        assert found is not None
        return found[0].available, found[0].pending, found[0].held, found[0].deficit


@pytest.fixture
def shop(database: Database) -> Iterator[Shop]:
    """A shop whose ledger must keep every invariant in the end."""
    yield Shop(database)
    with database.engine.connect() as conn:
        assert broken(conn) == []
    with database.engine.connect() as conn:
        assert verify(conn).breaks == []


def available(told: dict[str, Any]) -> int:
    return int(told["balance"]["available"])


def test_what_one_server_gave_another_whose_clock_is_behind_can_spend(shop: Shop) -> None:
    assert available(shop.buy("1", 5_000)) == 50
    shop.redeem(50, NOW - timedelta(milliseconds=20))


def test_a_debt_is_not_paid_on_behalf_of_a_capture(shop: Shop) -> None:
    """What was paid to the debt would have come back with the capture's reversal, to another lot than it came from."""
    shop.buy("soon", 5_000, NOW - 300 * DAY)
    held = shop.redeem(50, hold=True, hold_expires_in="P30D")
    shop.buy("late", 1_000)
    shop.do(Adjust(customer_id="c", points=-15, reason="mistake", allow_negative=True))
    shop.do(Capture(redemption_id=held, points=20))
    assert available(shop.do(ReverseRedemption(redemption_id=held))) == 45
    # All 45 are of the purchase that expires first.
    assert shop.balance(NOW + 66 * DAY) == (0, 0, 0, 0)


def test_a_debt_is_paid_when_a_hold_lapses_whether_or_not_a_job_has_run(shop: Shop) -> None:
    """Its points expired later, before anyone looked; the debt was paid all the same."""
    shop.buy("1", 5_000)
    shop.redeem(50, hold=True)
    shop.refund("r", full=True)
    told = shop.do(Settle(customer_id="c"), NOW + 500 * DAY)
    assert told["balance"] == {"available": 0, "pending": 0, "held": 0, "deficit": 0}


def test_units_that_come_back_one_by_one_leave_nothing(shop: Shop) -> None:
    shop.publish(rounding="floor")
    shop.buy("1", 1_000, items=[{"line_id": "a", "quantity": 3, "amount_minor": 1_000}])
    taken = [shop.refund(f"r{unit}", items=[{"line_id": "a", "quantity": 1}]) for unit in range(3)]
    assert [each["amount_minor"] for each in taken] == [333, 333, 334]
    assert sum(each["points_clawed_back"] for each in taken) == 10


def test_discounted_lines_that_come_back_one_by_one_leave_nothing(shop: Shop) -> None:
    shop.publish(rounding="floor")
    items = [{"line_id": line, "amount_minor": 100} for line in "abc"]
    shop.buy("1", 100, discount_minor=200, items=items)
    taken = [shop.refund(line, items=[{"line_id": line}]) for line in "abc"]
    assert [each["amount_minor"] for each in taken] == [33, 34, 33]
    assert sum(each["points_clawed_back"] for each in taken) == 1


def test_an_order_that_is_awarded_after_its_refund_can_be_refunded(shop: Shop) -> None:
    shop.buy("0", 5_000)
    shop.redeem(20, order_id="1")
    assert shop.refund("early", full=True)["points_reinstated"] == 20
    shop.buy("1", 3_000)
    assert available(shop.refund("r", full=True)) == 50


def test_a_hold_that_is_let_go_to_pay_a_debt_is_no_overdraft(shop: Shop) -> None:
    shop.buy("1", 5_000)
    held = shop.redeem(50, hold=True)
    shop.refund("r", amount_minor=2_000)
    assert available(shop.do(Void(redemption_id=held))) == 30


def test_a_statement_foresees_that_written_off_points_do_not_come_back(shop: Shop) -> None:
    shop.publish(negative_balance="clamp")
    shop.buy("1", 5_000)
    shop.redeem(20, hold=True)
    assert shop.refund("r", full=True)["points_written_off"] == 20
    assert shop.balance(NOW + DAY) == (0, 0, 0, 0)


class TestWhatInactivityEndedStaysSo:
    """The customer comes back after a year; what died meanwhile must not live again by way of a cancellation."""

    @pytest.fixture(autouse=True)
    def _program(self, shop: Shop) -> None:
        shop.publish(expiry={"type": "inactivity", "period": "P6M"})
        shop.buy("1", 5_000)

    def test_by_reversing_a_redemption(self, shop: Shop) -> None:
        spent = shop.redeem(30, NOW + DAY)
        shop.buy("2", 1_000, NOW + 365 * DAY)
        assert available(shop.do(ReverseRedemption(redemption_id=spent), NOW + 366 * DAY)) == 10

    def test_by_voiding_a_hold(self, shop: Shop) -> None:
        held = shop.redeem(30, NOW + DAY, hold=True, hold_expires_in="P366D")
        shop.buy("2", 1_000, NOW + 365 * DAY)
        assert available(shop.do(Void(redemption_id=held), NOW + 366 * DAY)) == 10

    def test_by_capturing_a_part_of_a_hold(self, shop: Shop) -> None:
        held = shop.redeem(30, NOW + DAY, hold=True, hold_expires_in="P366D")
        assert available(shop.do(Capture(redemption_id=held, points=5), NOW + 366 * DAY)) == 0

    def test_but_a_credit_by_hand_lives(self, shop: Shop) -> None:
        told = shop.do(Adjust(customer_id="c", points=25, reason="come back"), NOW + 365 * DAY)
        assert available(told) == 25


def test_points_that_come_back_after_inactivity_stay_dead(database: Database) -> None:
    """A redemption that is taken back gives the points to a lot that inactivity has ended meanwhile."""
    shop = Shop(database)
    shop.publish(expiry={"type": "inactivity", "period": "P30D"})
    shop.buy("1", 10_000, NOW - 100 * DAY)
    redemption = shop.redeem(60, NOW - 99 * DAY)
    shop.buy("2", 700)
    shop.do(ReverseRedemption(redemption_id=redemption))
    assert shop.balance(NOW)[0] == 7
    assert shop.balance(NOW - 69 * DAY - timedelta(seconds=1))[0] == 40
    with database.engine.connect() as conn:
        assert list(verify(conn).breaks) == []


def test_two_deaths_in_one_batch_end_each_lot_at_its_own(database: Database) -> None:
    """A backdated purchase may be dead as it arrives; the next one must not move the end of older lots."""
    shop = Shop(database)
    shop.publish(expiry={"type": "inactivity", "period": "P30D"})
    shop.buy("1", 10_000, NOW - 200 * DAY)
    redemption = shop.redeem(60, NOW - 200 * DAY)
    batch = [
        Submission(
            Award.model_validate(
                {
                    "customer_id": "c",
                    "occurred_at": NOW - age * DAY,
                    "activity": {
                        "type": "purchase",
                        "order_id": order,
                        "total_minor": 700,
                        "currency": "USD",
                    },
                }
            ),
            order,
            "test",
        )
        for order, age in (("2", 100), ("3", 50), ("4", 0))
    ]
    assert [each.status for each in shop.engine.execute(batch, NOW)] == [201, 201, 201]
    shop.do(ReverseRedemption(redemption_id=redemption))
    assert shop.balance(NOW)[0] == 7
    with database.engine.connect() as conn:
        assert list(verify(conn).breaks) == []
        died = conn.execute(text("SELECT expires_at FROM lots ORDER BY lot_seq")).scalars().all()
    assert died == [NOW - 170 * DAY, NOW - 70 * DAY, NOW - 20 * DAY, None]


class TestRulesWithLivesOfTheirOwn:
    """An award in several lots, one for each life that its points have."""

    @pytest.fixture(autouse=True)
    def _program(self, shop: Shop) -> None:
        shop.publish(earn=[fixed("soon", 50, expiry={"type": "after", "period": "P1M"}), fixed("late", 50)])
        told = shop.buy("1", 10_000)
        assert [lot["points"] for lot in told["lots"]] == [50, 50]

    def test_a_refund_takes_from_one_lot_what_was_spent_of_the_other(self, shop: Shop) -> None:
        shop.redeem(50)
        told = shop.refund("r", amount_minor=5_000)
        assert told["balance"] == {"available": 0, "pending": 0, "held": 0, "deficit": 0}

    def test_a_refund_forgives_nothing_that_is_there(self, shop: Shop) -> None:
        shop.publish(
            negative_balance="clamp",
            earn=[fixed("soon", 50, expiry={"type": "after", "period": "P1M"}), fixed("late", 50)],
        )
        shop.buy("2", 10_000)
        shop.redeem(150)
        told = shop.refund("r", order="2", amount_minor=5_000)
        assert (told["points_clawed_back"], told["points_written_off"]) == (50, 0)


class TestBudgets:
    """What all customers together may be given by a rule."""

    @pytest.fixture(autouse=True)
    def _program(self, shop: Shop) -> None:
        shop.publish(earn=[fixed("first", 50, budget={"points": 80})])

    def test_a_refund_frees_what_it_takes_back(self, shop: Shop) -> None:
        assert [shop.buy(order, 1_000)["points"] for order in "123"] == [50, 30, 0]
        shop.refund("r", order="1", amount_minor=500)
        assert shop.buy("4", 1_000)["points"] == 25
        shop.refund("s", order="2", full=True)
        assert shop.buy("5", 1_000)["points"] == 30

    def test_one_that_says_other_than_the_activities_is_found(self, shop: Shop, database: Database) -> None:
        shop.buy("1", 1_000)
        with database.engine.begin() as conn:
            conn.execute(text("UPDATE budgets SET points = 49"))
        with database.engine.connect() as conn:
            (found,) = verify(conn).breaks
        assert (found.invariant, found.customer_id) == ("budgets", "")
        assert "(49, 1)" in found.detail
        with database.engine.begin() as conn:
            conn.execute(text("UPDATE budgets SET points = 50"))


def test_a_clock_a_little_ahead_does_not_miss_what_the_day_has_counted(shop: Shop) -> None:
    """The activity counts as of now, before midnight, and its own moment is of the next day."""
    shop.publish(earn=[fixed("daily", 50, caps=[{"per": "day", "points": 80}])])
    midnight = NOW.replace(hour=0) + DAY
    at, ahead = midnight - timedelta(minutes=1), midnight + timedelta(minutes=1)
    assert shop.buy("1", 1_000, at)["points"] == 50
    activity = {"type": "purchase", "order_id": "2", "total_minor": 1_000, "currency": "USD"}
    given = {"customer_id": "c", "occurred_at": ahead, "activity": activity}
    assert shop.do(Award.model_validate(given), at)["points"] == 30


def test_lives_of_rules_are_checked_where_the_document_says_nothing_of_points() -> None:
    expiring = {"type": "after", "period": "P7D"}
    document = {
        "schema_version": 1,
        "name": "Test",
        "currency": "USD",
        "timezone": "UTC",
        "earn": [fixed("late", 5, pending="P30D", expiry=expiring)],
    }
    with pytest.raises(ValidationError, match="points could expire before they are available"):
        ProgramDocument.model_validate(document)


def test_an_exclusive_multiplier_is_refused() -> None:
    """It would apply alone, have nothing to multiply, and keep all other rules from giving anything."""
    double = {"type": "multiplier", "multiplier_pct": 200, "of": ["base"]}
    earn = [fixed("base", 5), fixed("double", 5) | {"gives": double, "stacking": "exclusive"}]
    document = {"schema_version": 1, "name": "Test", "currency": "USD", "timezone": "UTC", "earn": earn}
    with pytest.raises(ValidationError, match="it cannot apply alone"):
        ProgramDocument.model_validate(document)


def test_the_last_moment_of_a_day_is_within_a_window_until_midnight(shop: Shop) -> None:
    shop.publish(earn=[fixed("sunday", 5, windows=[{"days": ["SU"]}])])
    midnight = NOW.replace(hour=0) + DAY
    tick = timedelta(microseconds=1)
    assert [shop.buy(f"{at}", 100, at)["points"] for at in (midnight - tick, midnight)] == [5, 0]


def test_what_an_award_stores_does_not_hang_on_what_a_process_remembers(shop: Shop) -> None:
    """Past 128 policies all are forgotten; points that live as the program says went by another way after that."""
    shop.publish(earn=[fixed("plain", 5, priority=1)])
    shop.buy("1", 100)
    document = ProgramDocument.model_validate(
        {"schema_version": 1, "name": "Test", "currency": "USD", "timezone": "UTC"}
    )
    for days in range(1, 200):
        policy = PointsPolicy(expiry=ExpiresAfter(type="after", period=f"P{days}D"))
        periods.times(policy, document.zone)
    shop.buy("2", 100)
    with shop.database.engine.connect() as conn:
        one, other = conn.execute(text("SELECT grants FROM activities ORDER BY award_seq")).scalars()
    assert one == other


def test_a_multiplier_of_many_rules_stores_small_weights() -> None:
    """A common denominator of fifty rules' lines had hundreds of digits, for each line of the order."""
    by_line = [
        {
            "id": f"r{number}",
            "activity": "purchase",
            "gives": {"type": "per_amount", "points": 1, "per_minor": 1, "items": f"item.sku == 's{number}'"},
        }
        for number in range(50)
    ]
    double = {"id": "m", "activity": "purchase", "gives": {"type": "multiplier", "multiplier_pct": 200}}
    document = {"schema_version": 1, "name": "Test", "currency": "USD", "timezone": "UTC"}
    items = [
        {"line_id": str(line), "sku": f"s{line % 50}", "amount_minor": 10**10 + 7 * line * line + 1}
        for line in range(100)
    ]
    order = {"type": "purchase", "order_id": "1", "total_minor": 10**13, "currency": "USD", "items": items}
    program = ProgramDocument.model_validate(document | {"earn": [*by_line, double]})
    *_, multiplied = earn(program, Purchase.model_validate(order)).grants
    assert multiplied.lines is not None
    assert len(multiplied.lines) == 100
    assert max(multiplied.lines.values()) <= 2**53
    # Each line gave a point for each of its minor units, so that is what it weighs.
    whole = sum(multiplied.lines.values())
    for item in items:
        share = Fraction(multiplied.lines[item["line_id"]], whole) * multiplied.points
        assert abs(share - item["amount_minor"]) < 1
