"""The engine on a real database: what each command books, what is refused, what a repeat answers."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from sqlalchemy import text

from rewards.core.database import Database
from rewards.decide import Submission
from rewards.decide.commands import (
    Adjust,
    Award,
    Capture,
    Command,
    Redeem,
    Return,
    Reverse,
    ReverseRedemption,
    Settle,
    Void,
)
from rewards.engine import Answer, Engine
from rewards.ledger.verification import verify
from rewards.program.document import ProgramDocument
from rewards.program.versions import publish

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


class Shop:
    """A storefront that talks to the engine directly, with a key for each command."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.engine = Engine(database)
        self.keys = 0

    def send(self, command: Command, now: datetime = NOW, key: str | None = None) -> Answer:
        self.keys += 1
        if isinstance(command, Settle):
            return self.engine.execute([Submission(command, None, "time")], now)[0]
        return self.engine.execute([Submission(command, key or f"k{self.keys}", "test")], now)[0]

    def do(self, command: Command, now: datetime = NOW) -> dict[str, Any]:
        answer = self.send(command, now)
        assert answer.status in (200, 201), answer.body
        return json.loads(answer.body)

    def refused(self, command: Command, now: datetime = NOW) -> dict[str, Any]:
        answer = self.send(command, now)
        assert 400 <= answer.status < 500, answer.body
        return json.loads(answer.body)

    def buy(
        self, order: str, minor: int, *, at: datetime | None = None, now: datetime = NOW, **more: Any
    ) -> dict[str, Any]:
        return self.do(purchase(order, minor, at=at, **more), now)

    def publish(self, document: dict[str, Any], effective_from: datetime = NOW - 400 * DAY) -> None:
        with self.database.engine.begin() as conn:
            publish(
                conn,
                ProgramDocument.model_validate(program(**document)),
                effective_from=effective_from,
                now=NOW,
                actor="test",
            )

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.database.engine.connect() as conn:
            return [tuple(row) for row in conn.execute(text(query))]

    def entries(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT kind, points FROM entries WHERE customer_id = 'c' ORDER BY seq")


def purchase(order: str, minor: int, *, at: datetime | None = None, **more: Any) -> Award:
    activity = {"type": "purchase", "order_id": order, "total_minor": minor, "currency": "USD", **more}
    return Award.model_validate({"customer_id": "c", "occurred_at": at, "activity": activity})


def program(**sections: Any) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "name": "Test",
        "currency": "USD",
        "timezone": "UTC",
        "earn": [
            {
                "id": "base",
                "activity": "purchase",
                "gives": {"type": "per_amount", "points": 1, "per_minor": 100},
            },
            {"id": "welcome", "activity": "signup", "gives": {"type": "fixed", "points": 100}},
        ],
        **sections,
    }


@pytest.fixture
def shop(database: Database) -> Iterator[Shop]:
    yield Shop(database)
    with database.engine.connect() as conn:
        assert verify(conn).breaks == []


def balance(available: int = 0, pending: int = 0, held: int = 0, deficit: int = 0) -> dict[str, int]:
    return {"available": available, "pending": pending, "held": held, "deficit": deficit}


def refund(refund_id: str, **extent: Any) -> Reverse:
    order = extent.pop("order", "1")
    return Reverse(customer_id="c", order_id=order, refund_id=refund_id, **extent)


class TestAward:
    def test_answers_as_the_contract_says(self, shop: Shop) -> None:
        answer = shop.buy("1001", 4999)
        assert answer["points"] == 49
        assert answer["status"] == "available"
        assert answer["expires_at"] == "2027-11-01T12:00:00Z"
        assert answer["explanation"][0]["rule_id"] == "base"
        assert answer["balance"] == balance(49)

    def test_a_repeat_answers_the_same_and_changes_nothing(self, shop: Shop) -> None:
        first = shop.send(purchase("1", 500), key="a")
        again = shop.send(purchase("1", 500), NOW + DAY, key="a")
        assert (again.status, again.body, again.replayed) == (201, first.body, True)
        assert shop.entries() == [("award", 5)]

    def test_the_same_key_with_another_body_is_refused(self, shop: Shop) -> None:
        shop.send(purchase("1", 500), key="a")
        answer = shop.send(purchase("1", 600), key="a")
        assert (answer.status, json.loads(answer.body)["code"]) == (422, "idempotency-key-reused")

    def test_an_order_is_awarded_once(self, shop: Shop) -> None:
        shop.buy("1", 500)
        assert shop.refused(purchase("1", 500))["code"] == "already-awarded"

    def test_repeats_and_refusals_within_one_batch(self, shop: Shop) -> None:
        batch = [
            Submission(purchase("1", 500), "a", "test"),
            Submission(purchase("1", 500), "a", "test"),
            Submission(purchase("1", 500), "b", "test"),
            Submission(Redeem(customer_id="c", points=6), "c", "test"),
            Submission(Redeem(customer_id="c", points=5), "d", "test"),
        ]
        assert [each.status for each in shop.engine.execute(batch, NOW)] == [201, 201, 409, 409, 201]
        assert shop.entries() == [("award", 5), ("redeem", -5)]

    def test_a_refusal_changes_nothing_and_is_remembered(self, shop: Shop) -> None:
        shop.buy("1", 500)
        first = shop.send(Redeem(customer_id="c", points=6), key="r")
        shop.buy("2", 500)
        again = shop.send(Redeem(customer_id="c", points=6), key="r")
        assert (again.status, again.body, again.replayed) == (409, first.body, True)

    def test_a_refused_first_award_creates_no_customer(self, shop: Shop) -> None:
        refusal = shop.refused(purchase("1", 500, at=NOW + DAY))
        assert refusal["code"] == "occurred-in-future"
        assert shop.rows("SELECT count(*) FROM accounts") == [(0,)]

    def test_an_award_that_expired_before_it_arrived(self, shop: Shop) -> None:
        answer = shop.buy("1", 500, at=NOW - 400 * DAY)
        assert (answer["status"], answer["balance"]) == ("expired", balance())
        assert shop.entries() == [("award", 5), ("expire", -5)]

    def test_pending_points_become_available_by_time_alone(self, shop: Shop) -> None:
        shop.publish({"points": {"pending": "P14D"}})
        assert shop.buy("1", 500)["balance"] == balance(pending=5)
        assert (
            shop.refused(Redeem(customer_id="c", points=1), NOW + 13 * DAY)["code"] == "insufficient-points"
        )
        assert shop.do(Redeem(customer_id="c", points=1), NOW + 14 * DAY)["balance"] == balance(4)

    def test_points_expire_by_time_alone(self, shop: Shop) -> None:
        shop.buy("1", 500)
        assert (
            shop.refused(Redeem(customer_id="c", points=1), datetime(2027, 11, 1, 12, tzinfo=UTC))[
                "available"
            ]
            == 0
        )

    def test_text_that_copy_could_mistake_is_stored_as_it_is(self, shop: Shop) -> None:
        order = 'a\\b"c,{}\\N'
        shop.buy(order, 500, channel="tab\tnew\nline\\")
        assert shop.rows("SELECT cause FROM entries") == [(f"purchase:{order}",)]
        assert shop.rows("SELECT body ->> 'channel' FROM activities") == [("tab\tnew\nline\\",)]
        assert shop.refused(purchase(order, 500))["code"] == "already-awarded"


class TestRedemption:
    def test_spends_the_soonest_to_expire_first(self, shop: Shop) -> None:
        shop.buy("late", 1000)
        shop.buy("soon", 1000, at=NOW - 100 * DAY)
        shop.do(Redeem(customer_id="c", points=12))
        assert shop.rows("SELECT lot_seq, remaining FROM lots ORDER BY lot_seq") == [(1, 8), (2, 0)]

    def test_hold_capture_in_part(self, shop: Shop) -> None:
        shop.buy("1", 1000)
        held = shop.do(Redeem(customer_id="c", points=8, hold=True))
        assert (held["status"], held["balance"]) == ("held", balance(2, held=8))
        taken = shop.do(Capture(redemption_id=held["redemption_id"], points=3))
        assert (taken["status"], taken["points"], taken["balance"]) == ("captured", 3, balance(7))
        assert shop.entries() == [("award", 10), ("hold", -8), ("release", 8), ("redeem", -3)]
        assert shop.refused(Void(redemption_id=held["redemption_id"]))["code"] == "hold-already-resolved"

    def test_a_hold_lapses_by_time_alone(self, shop: Shop) -> None:
        shop.buy("1", 1000)
        held = shop.do(Redeem(customer_id="c", points=8, hold=True, hold_expires_in="PT10M"))
        later = NOW + timedelta(minutes=10)
        assert shop.refused(Capture(redemption_id=held["redemption_id"]), later)["code"] == "hold-expired"
        assert shop.do(Redeem(customer_id="c", points=10), later)["balance"] == balance()

    def test_a_hold_still_pays_from_a_lot_that_expired_meanwhile(self, shop: Shop) -> None:
        shop.buy("1", 1000)
        before, after = datetime(2027, 11, 1, 11, 50, tzinfo=UTC), datetime(2027, 11, 1, 12, 10, tzinfo=UTC)
        held = shop.do(Redeem(customer_id="c", points=8, hold=True), before)
        taken = shop.do(Capture(redemption_id=held["redemption_id"], points=5), after)
        assert taken["balance"] == balance()
        assert shop.entries()[2:] == [("expire", -2), ("release", 8), ("redeem", -5), ("expire", -3)]

    def test_reversing_returns_points_with_their_old_expiry(self, shop: Shop) -> None:
        shop.buy("1", 1000)
        spent = shop.do(Redeem(customer_id="c", points=8))
        back = shop.do(ReverseRedemption(redemption_id=spent["redemption_id"]), NOW + DAY)
        assert (back["status"], back["balance"]) == ("reversed", balance(10))
        assert shop.rows("SELECT remaining FROM lots") == [(10,)]
        again = ReverseRedemption(redemption_id=spent["redemption_id"])
        assert shop.refused(again)["code"] == "already-reversed"

    def test_reversing_after_expiry_does_not_dodge_it(self, shop: Shop) -> None:
        shop.buy("1", 1000)
        spent = shop.do(Redeem(customer_id="c", points=8))
        back = shop.do(ReverseRedemption(redemption_id=spent["redemption_id"]), NOW + 400 * DAY)
        assert back["balance"] == balance()

    @pytest.mark.parametrize(
        "made_up", ["x", "rdm_Yw.1", "rdm_Yw.99", "rdm_.1", "rdm_Yw.01", "awd_Yw.1", "rdm_YQBi.1"]
    )
    def test_an_unknown_id(self, shop: Shop, made_up: str) -> None:
        shop.buy("1", 1000)
        assert shop.refused(Void(redemption_id=made_up))["code"] == "redemption-not-found"

    def test_the_programs_limits(self, shop: Shop) -> None:
        shop.publish({"redemption": {"minimum_points": 100, "step_points": 50, "max_order_share_pct": 50}})
        shop.buy("1", 100_000)
        for points, total, code in [
            (50, 10_000, "below-minimum-redemption"),
            (120, 10_000, "not-a-redemption-step"),
            (100, None, "order-total-missing"),
            (150, 200, "exceeds-order-share"),
        ]:
            assert (
                shop.refused(Redeem(customer_id="c", points=points, order_total_minor=total))["code"] == code
            )
        half = Redeem(customer_id="c", points=100, order_id="9", order_total_minor=200)
        assert shop.do(half)["value_minor"] == 100
        assert shop.refused(half)["maximum"] == 0


class TestReversal:
    def test_in_full(self, shop: Shop) -> None:
        shop.buy("1", 4999)
        answer = shop.do(refund("r1", full=True))
        assert (answer["points_clawed_back"], answer["balance"]) == (49, balance())
        assert shop.refused(refund("r2", full=True))["code"] == "already-reversed"

    def test_the_same_refund_delivered_twice(self, shop: Shop) -> None:
        shop.buy("1", 4999)
        shop.do(refund("r1", amount_minor=1000))
        assert shop.refused(refund("r1", amount_minor=1000))["code"] == "already-reversed"

    def test_three_parts_that_do_not_divide_evenly(self, shop: Shop) -> None:
        shop.buy("1", 1000)
        taken = [
            shop.do(refund(f"r{part}", amount_minor=minor))["points_clawed_back"]
            for part, minor in enumerate((333, 333, 334))
        ]
        assert taken == [3, 4, 3]
        assert shop.refused(refund("r9", amount_minor=1))["code"] in (
            "already-reversed",
            "refund-exceeds-order",
        )

    def test_more_than_the_order(self, shop: Shop) -> None:
        shop.buy("1", 1000)
        shop.do(refund("r1", amount_minor=400))
        assert shop.refused(refund("r2", amount_minor=601))["remaining_minor"] == 600

    def test_by_line(self, shop: Shop) -> None:
        lines = [
            {"line_id": "a", "quantity": 3, "amount_minor": 3000},
            {"line_id": "b", "amount_minor": 2000},
        ]
        shop.buy("1", 5000, items=lines)
        assert shop.do(refund("r1", items=[{"line_id": "a", "quantity": 1}]))["points_clawed_back"] == 10
        assert shop.do(refund("r2", items=[{"line_id": "a"}]))["points_clawed_back"] == 20
        assert shop.refused(refund("r3", items=[{"line_id": "a", "quantity": 1}]))["status"] == 409
        assert shop.refused(refund("r3", items=[{"line_id": "z"}]))["code"] == "line-not-found"
        assert shop.do(refund("r3", items=[{"line_id": "b", "amount_minor": 2000}]))["balance"] == balance()

    def test_after_the_points_were_spent_the_customer_owes_them(self, shop: Shop) -> None:
        shop.buy("1", 5000)
        shop.do(Redeem(customer_id="c", points=50))
        assert shop.do(refund("r1", full=True))["balance"] == balance(deficit=50)
        assert shop.buy("2", 3000)["balance"] == balance(deficit=20)
        assert shop.buy("3", 3000)["balance"] == balance(10)
        assert shop.do(refund("r3", full=True, order="3"))["balance"] == balance(deficit=20)

    def test_a_clamped_balance_stops_at_zero(self, shop: Shop) -> None:
        shop.publish({"points": {"negative_balance": "clamp"}})
        shop.buy("1", 5000)
        shop.do(Redeem(customer_id="c", points=30))
        answer = shop.do(refund("r1", full=True))
        assert (answer["points_clawed_back"], answer["points_written_off"]) == (20, 30)
        assert answer["balance"] == balance()
        assert shop.buy("2", 1000)["balance"] == balance(10)

    def test_points_on_hold_do_not_outlive_their_refunded_order(self, shop: Shop) -> None:
        shop.publish({"points": {"negative_balance": "clamp"}})
        shop.buy("1", 5000)
        held = shop.do(Redeem(customer_id="c", points=50, hold=True))
        assert shop.do(refund("r1", full=True))["points_written_off"] == 50
        assert shop.do(Void(redemption_id=held["redemption_id"]))["balance"] == balance()
        assert shop.entries()[-2:] == [("release", 50), ("clawback", -50)]

    def test_points_spent_from_a_refunded_order_do_not_come_back(self, shop: Shop) -> None:
        shop.publish({"points": {"negative_balance": "clamp"}})
        shop.buy("1", 5000)
        spent = shop.do(Redeem(customer_id="c", points=30))
        shop.do(refund("r1", full=True))
        assert shop.do(ReverseRedemption(redemption_id=spent["redemption_id"]))["balance"] == balance()

    def test_a_line_of_an_order_that_points_paid_for_whole(self, shop: Shop) -> None:
        shop.do(Adjust(customer_id="c", points=2000, reason="moved"))
        shop.do(Redeem(customer_id="c", points=2000, order_id="1"))
        lines = [{"line_id": "a", "amount_minor": 1000}, {"line_id": "b", "amount_minor": 1000}]
        shop.buy("1", 0, discount_minor=2000, items=lines)
        assert shop.do(refund("r1", items=[{"line_id": "a"}]))["points_reinstated"] == 1000
        assert shop.do(refund("r2", items=[{"line_id": "b"}]))["balance"] == balance(2000)

    def test_gives_back_the_points_that_paid(self, shop: Shop) -> None:
        shop.buy("0", 10_000)
        shop.do(Redeem(customer_id="c", points=60, order_id="1"))
        shop.buy("1", 3000)
        first = shop.do(refund("r1", amount_minor=1000))
        assert (first["points_clawed_back"], first["points_reinstated"]) == (10, 20)
        rest = shop.do(refund("r2", full=True))
        assert (rest["points_clawed_back"], rest["points_reinstated"]) == (20, 40)
        assert rest["balance"] == balance(100)

    def test_of_points_that_expired_leaves_zero_not_less(self, shop: Shop) -> None:
        shop.buy("1", 5000)
        answer = shop.do(refund("r1", full=True), NOW + 400 * DAY)
        assert answer["balance"] == balance()
        assert shop.entries() == [("award", 50), ("expire", -50), ("unexpire", 50), ("clawback", -50)]

    def test_under_the_version_that_awarded_it(self, shop: Shop) -> None:
        shop.buy("1", 5000)
        doubled = [
            {
                "id": "base",
                "activity": "purchase",
                "gives": {"type": "per_amount", "points": 2, "per_minor": 100},
            }
        ]
        shop.publish({"earn": doubled}, effective_from=NOW)
        assert shop.do(refund("r1", amount_minor=2500))["points_clawed_back"] == 25

    def test_a_return_that_names_no_order(self, shop: Shop) -> None:
        shop.buy("1", 5000, at=NOW - 3 * DAY)
        shop.buy("2", 2000, at=NOW - 2 * DAY)
        back = shop.do(Return(customer_id="c", refund_id="x", occurred_at=NOW, amount_minor=5000))
        assert back["matched"] == [{"order_id": "1", "amount_minor": 5000}]
        back = shop.do(Return(customer_id="c", refund_id="y", occurred_at=NOW, amount_minor=2500))
        assert (back["matched"], back["unmatched_minor"]) == ([{"order_id": "2", "amount_minor": 2000}], 500)
        lost = Return(customer_id="c", refund_id="z", occurred_at=NOW, amount_minor=1)
        assert shop.refused(lost)["code"] == "order-not-found"


class TestAdjustment:
    def test_credits_and_debits(self, shop: Shop) -> None:
        assert shop.do(Adjust(customer_id="c", points=50, reason="moved"))["balance"] == balance(50)
        debit = Adjust(customer_id="c", points=-60, reason="mistake")
        assert shop.refused(debit)["available"] == 50
        forced = Adjust(customer_id="c", points=-60, reason="mistake", allow_negative=True)
        assert shop.do(forced)["balance"] == balance(deficit=10)

    def test_settling_an_account_with_nothing_due_books_nothing(self, shop: Shop) -> None:
        shop.buy("1", 500)
        shop.do(Settle(customer_id="c"))
        assert shop.entries() == [("award", 5)]


class TestInactivity:
    POLICY: ClassVar[dict[str, Any]] = {"points": {"expiry": {"type": "inactivity", "period": "P6M"}}}

    def test_activity_keeps_points_alive(self, shop: Shop) -> None:
        shop.publish(self.POLICY)
        shop.buy("1", 500)
        assert shop.buy("2", 500, now=NOW + 150 * DAY)["balance"] == balance(10)
        assert shop.buy("3", 500, now=NOW + 300 * DAY)["balance"] == balance(15)
        assert shop.buy("4", 500, now=NOW + 500 * DAY)["balance"] == balance(5)


def test_the_number_of_statements_does_not_depend_on_the_batch(shop: Shop, tmp_path: Path) -> None:
    def batch(size: int, first: int) -> list[Submission]:
        return [
            Submission(
                Award.model_validate(
                    {
                        "customer_id": f"c{number}",
                        "activity": {
                            "type": "purchase",
                            "order_id": f"{first}",
                            "total_minor": 500,
                            "currency": "USD",
                        },
                    }
                ),
                f"k{first}",
                "test",
            )
            for number in range(size)
        ]

    shop.engine.execute(batch(1000, 0), NOW)
    counts = [_statements(shop, batch(size, first), tmp_path) for size, first in ((1, 1), (1000, 2), (1, 3))]
    assert counts[0] == counts[1] == counts[2]
    assert 5 < counts[0] < 20


def _statements(shop: Shop, batch: list[Submission], folder: Path) -> int:
    """Count what goes over the wire, COPY included, by the driver library's own trace."""
    path = folder / "trace"
    with shop.database.engine.connect() as conn, path.open("w") as trace:
        driver = conn.connection.driver_connection
        driver.prepare_threshold = None
        driver.pgconn.trace(trace.fileno())
        conn.rollback()
        conn.close()
        shop.engine.execute(batch, NOW)
        driver.pgconn.untrace()
    lines = path.read_text().splitlines()
    return sum(1 for line in lines if "\tF\t" in line and ("\tQuery" in line or "\tExecute" in line))
