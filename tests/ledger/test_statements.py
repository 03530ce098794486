"""Statements on a real ledger: what was, what is, what will be, and the history in plain words."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from rewards.core.database import Database
from rewards.decide import Submission
from rewards.decide.commands import (
    Adjust,
    Award,
    Capture,
    Command,
    Redeem,
    Reverse,
    ReverseRedemption,
    Settle,
    Void,
)
from rewards.engine import Engine
from rewards.ledger.history import HistoryLine, history_view
from rewards.ledger.statements import customer_statement, entries_page, rfc3339
from rewards.program.document import ProgramDocument
from rewards.program.versions import load_history, publish

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
FIGURES = ("available", "pending", "held", "deficit")


class Shop:
    """A storefront with one customer, whose clock is turned by hand."""

    _customers = count(1)

    def __init__(self, database: Database, **points: Any) -> None:
        self.database = database
        self.engine = Engine(database)
        self.customer = f"c-{next(self._customers)}"
        self.now = NOW
        self._keys = count(1)
        document = {
            "schema_version": 1,
            "name": "Tea Club",
            "currency": "GBP",
            "timezone": "Europe/London",
            "earn": [
                {
                    "id": "base",
                    "activity": "purchase",
                    "gives": {"type": "per_amount", "points": 1, "per_minor": 1},
                },
                {"id": "app", "activity": "custom", "gives": {"type": "fixed", "points": 5}},
                {"id": "friend", "activity": "referral", "gives": {"type": "fixed", "points": 7}},
            ],
            "points": {"expiry": {"type": "after", "period": "P30D"}, **points},
        }
        with database.engine.begin() as conn:
            publish(
                conn,
                ProgramDocument.model_validate(document),
                effective_from=NOW - 3650 * DAY,
                now=NOW,
                actor="test",
            )

    def send(self, command: Command) -> dict[str, Any]:
        submission = Submission(command, f"k{next(self._keys)}", "test")
        return json.loads(self.engine.execute([submission], self.now)[0].body)

    def buy(self, order_id: str, points: int, *, ago: timedelta | None = None) -> dict[str, Any]:
        activity = {"type": "purchase", "order_id": order_id, "total_minor": points, "currency": "GBP"}
        occurred_at = None if ago is None else self.now - ago
        return self.send(
            Award.model_validate(
                {"customer_id": self.customer, "occurred_at": occurred_at, "activity": activity}
            )
        )

    def do(self, **activity: Any) -> dict[str, Any]:
        return self.send(Award.model_validate({"customer_id": self.customer, "activity": activity}))

    def spend(self, points: int, **more: Any) -> dict[str, Any]:
        return self.send(Redeem(customer_id=self.customer, points=points, **more))

    def refund(self, order_id: str, refund_id: str = "r", **extent: Any) -> dict[str, Any]:
        return self.send(Reverse(customer_id=self.customer, order_id=order_id, refund_id=refund_id, **extent))

    def statement(self, as_of: datetime | None = None) -> dict[str, Any]:
        with self.database.engine.connect() as conn:
            found = customer_statement(conn, load_history(conn), self.customer, as_of, self.now)
        assert found is not None
        return found

    def balance(self, as_of: datetime | None = None) -> tuple[int, ...]:
        return tuple(self.statement(as_of)["balance"][name] for name in FIGURES)

    def account(self) -> tuple[int, ...]:
        query = "SELECT available, pending, held, deficit FROM accounts WHERE customer_id = :customer"
        with self.database.engine.connect() as conn:
            return tuple(conn.execute(text(query), {"customer": self.customer}).one())

    def settled(self) -> tuple[int, ...]:
        """Book what is due, and return the account's own figures."""
        self.send(Settle(customer_id=self.customer))
        return self.account()

    def history(self, limit: int = 50, before_seq: int | None = None) -> list[HistoryLine]:
        with self.database.engine.connect() as conn:
            return history_view(conn, self.customer, limit, before_seq, load_history(conn))

    def told(self) -> list[str]:
        return [line.sentence.replace("\N{NO-BREAK SPACE}", " ") for line in self.history()]


@pytest.fixture
def shop(database: Database) -> Shop:
    return Shop(database)


class TestStatement:
    def test_of_an_unknown_customer_is_none(self, database: Database) -> None:
        with database.engine.connect() as conn:
            assert customer_statement(conn, load_history(conn), "nobody", None, NOW) is None
            assert customer_statement(conn, load_history(conn), "nobody", NOW - DAY, NOW) is None

    def test_says_what_there_is_and_what_becomes_of_it(self, database: Database) -> None:
        shop = Shop(database, pending="P3D")
        shop.buy("1", 100, ago=10 * DAY)
        shop.buy("2", 40)
        held = shop.spend(30, hold=True, hold_expires_in="P1D")
        assert shop.statement() == {
            "customer_id": shop.customer,
            "as_of": "2026-11-01T12:00:00Z",
            "balance": {"available": 70, "pending": 40, "held": 30, "deficit": 0},
            "expirations": [
                # Thirty days after 13:00 on the clocks of London, which went back on 25 October.
                {"expires_at": "2026-11-21T13:00:00Z", "points": 70, "pending": False},
                {"expires_at": "2026-12-01T12:00:00Z", "points": 40, "pending": True},
            ],
            "pending": [{"available_at": "2026-11-04T12:00:00Z", "points": 40}],
            "holds": [
                {
                    "redemption_id": held["redemption_id"],
                    "points": 30,
                    "expires_at": "2026-11-02T12:00:00Z",
                }
            ],
            "tier": None,
            "standing": None,
            "program": {"status": "enrolled", "experiment_id": None, "arm": None},
            "enrolled": True,
            "held_out": False,
            "customer_since": rfc3339(NOW - 10 * DAY),
        }

    def test_never_expiring_points_come_last(self, database: Database) -> None:
        shop = Shop(database, expiry={"type": "never"})
        shop.buy("1", 100)
        assert shop.statement()["expirations"] == [{"expires_at": None, "points": 100, "pending": False}]

    def test_inactivity_moves_the_expiry_of_everything(self, database: Database) -> None:
        shop = Shop(database, expiry={"type": "inactivity", "period": "P10D"})
        shop.buy("1", 100)
        shop.now += 5 * DAY
        shop.buy("2", 10)
        deadline = rfc3339(NOW + 15 * DAY)
        assert shop.statement()["expirations"] == [{"expires_at": deadline, "points": 110, "pending": False}]
        assert shop.balance(NOW + 14 * DAY) == (110, 0, 0, 0)
        assert shop.balance(NOW + 15 * DAY) == (0, 0, 0, 0)

    def test_nothing_needs_a_job_to_have_run(self, shop: Shop) -> None:
        shop.buy("1", 100)
        shop.spend(60, hold=True, hold_expires_in="PT1H")
        shop.now += timedelta(hours=1)
        assert shop.balance() == (100, 0, 0, 0)
        assert shop.account() == (40, 0, 60, 0)  # no longer true, and no longer told
        shop.now = NOW + 31 * DAY
        assert shop.balance() == (0, 0, 0, 0)
        assert shop.statement()["expirations"] == []
        assert shop.settled() == (0, 0, 0, 0)

    def test_debt_leaves_nothing_to_expire(self, shop: Shop) -> None:
        shop.buy("1", 100)
        shop.spend(70)
        shop.refund("1", full=True)
        assert shop.balance() == (0, 0, 0, 70)
        assert shop.statement()["expirations"] == []


class TestThePast:
    def test_before_the_first_entry_there_was_nothing(self, shop: Shop) -> None:
        shop.buy("1", 100)
        statement = shop.statement(NOW - DAY)
        assert statement["as_of"] == "2026-10-31T12:00:00Z"
        assert set(statement["balance"].values()) == {0}
        assert statement["expirations"] == statement["holds"] == statement["pending"] == []

    def test_a_backdated_award_counts_from_when_it_occurred(self, shop: Shop) -> None:
        shop.buy("1", 100, ago=10 * DAY)
        shop.spend(60)
        assert shop.balance(NOW - 11 * DAY) == (0, 0, 0, 0)
        assert shop.balance(NOW - 10 * DAY) == (100, 0, 0, 0)
        assert shop.balance() == (40, 0, 0, 0)

    def test_a_hold_that_was_captured_was_held_before(self, shop: Shop) -> None:
        shop.buy("1", 100)
        held = shop.spend(60, hold=True, hold_expires_in="P2D")
        shop.now += DAY
        shop.send(Capture(redemption_id=held["redemption_id"], points=50))
        assert shop.balance(NOW) == (40, 0, 60, 0)
        assert shop.balance(shop.now - timedelta(microseconds=1)) == (40, 0, 60, 0)
        assert shop.balance(shop.now) == (50, 0, 0, 0)

    def test_a_booked_expiry_was_no_expiry_before_its_instant(self, shop: Shop) -> None:
        shop.buy("1", 100)
        shop.now = NOW + 40 * DAY
        shop.settled()
        assert shop.balance(NOW + 29 * DAY) == (100, 0, 0, 0)
        assert shop.balance(NOW + 30 * DAY) == (0, 0, 0, 0)

    def test_of_a_refund_of_expired_points_that_occurred_before_the_expiry(self, shop: Shop) -> None:
        shop.buy("1", 100)
        refunded_at = NOW + 20 * DAY
        shop.now = NOW + 40 * DAY
        shop.settled()
        shop.refund("1", full=True, occurred_at=refunded_at)
        assert shop.balance(refunded_at - DAY) == (100, 0, 0, 0)
        assert shop.balance(refunded_at) == (0, 0, 0, 0)
        assert shop.balance(NOW + 35 * DAY) == (0, 0, 0, 0)
        assert shop.balance() == shop.account() == (0, 0, 0, 0)


class TestTheFuture:
    def test_pending_arrives_holds_lapse_and_lots_expire(self, database: Database) -> None:
        shop = Shop(database, pending="P3D")
        shop.buy("1", 100, ago=10 * DAY)
        shop.buy("2", 40)
        shop.spend(30, hold=True, hold_expires_in="P1D")
        assert shop.balance(NOW + timedelta(hours=23)) == (70, 40, 30, 0)
        assert shop.balance(NOW + DAY) == (100, 40, 0, 0)
        assert shop.balance(NOW + 3 * DAY) == (140, 0, 0, 0)
        assert shop.balance(NOW + 25 * DAY) == (40, 0, 0, 0)
        assert shop.balance(NOW + 3650 * DAY) == (0, 0, 0, 0)

    def test_points_held_past_their_expiry_do_not_come_back(self, shop: Shop) -> None:
        shop.buy("1", 100, ago=20 * DAY)
        shop.spend(30, hold=True, hold_expires_in="P20D")
        assert shop.balance(NOW + 15 * DAY) == (0, 0, 30, 0)
        assert shop.balance(NOW + 20 * DAY) == (0, 0, 0, 0)

    def test_a_lapsed_hold_pays_the_debt(self, shop: Shop) -> None:
        shop.buy("1", 100)
        shop.spend(40)
        shop.spend(50, hold=True, hold_expires_in="P2D")
        shop.refund("1", full=True)
        assert shop.balance() == (0, 0, 50, 90)
        assert shop.balance(NOW + 2 * DAY) == (0, 0, 0, 40)
        shop.now += 2 * DAY
        assert shop.settled() == (0, 0, 0, 40)

    def test_what_a_lapsed_hold_pays_does_not_depend_on_when_it_is_booked(self, shop: Shop) -> None:
        shop.buy("1", 100)
        shop.buy("2", 20, ago=20 * DAY)
        shop.spend(60, hold=True, hold_expires_in="P2D")  # the 20 that expire first, and 40
        shop.refund("1", full=True)
        assert shop.balance() == (0, 0, 60, 40)
        assert shop.balance(NOW + 2 * DAY) == (20, 0, 0, 0)
        assert shop.balance(NOW + 15 * DAY) == (20, 0, 0, 0)
        shop.now += 15 * DAY
        assert shop.settled() == (20, 0, 0, 0)


PROGRAMS: list[dict[str, Any]] = [
    {"expiry": {"type": "never"}},
    {"pending": "P2D", "expiry": {"type": "after", "period": "P9D"}},
    {"expiry": {"type": "inactivity", "period": "P6D"}},
    {
        "pending": "P1D",
        "expiry": {"type": "dates", "dates": ["11-05", "11-15", "12-01"], "minimum_life": "P3D"},
    },
]

_amounts = st.integers(1, 60)
_steps = st.one_of(
    st.tuples(st.just("buy"), _amounts),
    st.tuples(st.just("spend"), _amounts),
    st.tuples(st.just("hold"), _amounts, st.integers(1, 200)),
    st.tuples(st.sampled_from(["capture", "void", "undo"]), st.integers(0, 3), st.integers(1, 30)),
    st.tuples(st.just("refund"), st.integers(0, 3), _amounts),
    st.tuples(st.just("adjust"), st.integers(-40, 40).filter(bool)),
)
_scenes = st.lists(st.tuples(st.integers(0, 100), _steps), min_size=1, max_size=14)


class Player:
    """Plays random commands; those that the engine refuses are as good as any."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.orders: list[str] = []
        self.redemptions: list[str] = []

    def play(self, number: int, step: tuple[Any, ...]) -> None:
        shop = self.shop
        match step:
            case ("buy", points):
                self.orders.append(f"o{number}")
                shop.buy(f"o{number}", points)
            case ("buy", points, hours):
                self.orders.append(f"o{number}")
                shop.buy(f"o{number}", points, ago=timedelta(hours=hours))
            case ("refund", which, points, hours) if self.orders:
                order_id, at = self.orders[which % len(self.orders)], shop.now - timedelta(hours=hours)
                shop.refund(order_id, f"r{number}", amount_minor=points, occurred_at=at)
            case ("spend", points):
                self._redeemed(shop.spend(points))
            case ("hold", points, hours):
                self._redeemed(shop.spend(points, hold=True, hold_expires_in=f"PT{hours}H"))
            case ("refund", which, points) if self.orders:
                order_id = self.orders[which % len(self.orders)]
                shop.refund(order_id, f"r{number}", amount_minor=points)
            case ("adjust", points):
                shop.send(
                    Adjust(
                        customer_id=shop.customer, points=points, reason="x", allow_negative=points % 2 == 0
                    )
                )
            case (kind, which, points) if self.redemptions and kind in ("capture", "void", "undo"):
                redemption_id = self.redemptions[which % len(self.redemptions)]
                commands: dict[str, Callable[[], Command]] = {
                    "capture": lambda: Capture(redemption_id=redemption_id, points=points),
                    "void": lambda: Void(redemption_id=redemption_id),
                    "undo": lambda: ReverseRedemption(redemption_id=redemption_id),
                }
                shop.send(commands[kind]())

    def _redeemed(self, answer: dict[str, Any]) -> None:
        if "redemption_id" in answer:
            self.redemptions.append(answer["redemption_id"])


@pytest.mark.parametrize("points", PROGRAMS, ids=["never", "after", "inactivity", "dates"])
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(scenes=_scenes, ahead=st.lists(st.integers(1, 400), min_size=1, max_size=3))
def test_a_statement_says_what_was_told_and_booked(
    database: Database, points: dict[str, Any], scenes: list[tuple[int, tuple[Any, ...]]], ahead: list[int]
) -> None:
    """What is told now agrees with the account; later, as of then, the same is told; what will be, comes."""
    shop = Shop(database, **points)
    player = Player(shop)
    player.play(0, ("buy", 50))
    told: list[tuple[datetime, dict[str, Any]]] = []
    for number, (hours, step) in enumerate(scenes, 1):
        shop.now += timedelta(hours=hours + 1)
        before = shop.balance()
        assert before == shop.settled()
        player.play(number, step)
        statement = shop.statement()
        assert shop.balance() == shop.account(), step
        assert sum(each["points"] for each in statement["expirations"]) == sum(shop.balance()[:2])
        told.append((shop.now, statement))
    present = shop.now
    for hours in sorted(ahead):
        at = present + timedelta(hours=hours)
        shop.now = present
        foreseen = shop.balance(at)
        shop.now = at
        assert shop.balance() == foreseen
    foreseen = shop.balance(shop.now)
    assert foreseen == shop.settled()
    shop.now += timedelta(seconds=1)
    for at, statement in told:
        then = shop.statement(at)
        if points["expiry"]["type"] == "inactivity":
            # The deadline of a past day is told as it stands today.
            assert then["balance"] == statement["balance"]
        else:
            assert then == statement


_backdated = st.one_of(
    st.tuples(st.just("buy"), _amounts, st.integers(0, 300)),
    st.tuples(st.just("refund"), st.integers(0, 3), _amounts, st.integers(0, 300)),
    _steps,
)


@pytest.mark.parametrize("points", PROGRAMS, ids=["never", "after", "inactivity", "dates"])
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(scenes=st.lists(st.tuples(st.integers(0, 100), _backdated), min_size=1, max_size=14))
def test_at_any_instant_the_balance_is_the_sum_of_the_entries_until_then(
    database: Database, points: dict[str, Any], scenes: list[tuple[int, tuple[Any, ...]]]
) -> None:
    """Whatever was told late: so liability can be summed over entries."""
    shop = Shop(database, **points)
    player = Player(shop)
    player.play(0, ("buy", 50))
    for number, (hours, step) in enumerate(scenes, 1):
        shop.now += timedelta(hours=hours + 1)
        player.play(number, step)
    assert shop.balance() == shop.settled()
    with shop.database.engine.connect() as conn:
        entries = conn.execute(
            text(
                "SELECT occurred_at, points FROM entries WHERE customer_id = :customer ORDER BY occurred_at"
            ),
            {"customer": shop.customer},
        ).all()
    shop.now += timedelta(seconds=1)
    for at in {entry.occurred_at for entry in entries}:
        available, pending, _, deficit = shop.balance(at)
        assert available + pending - deficit == sum(
            each.points for each in entries if each.occurred_at <= at
        ), at


class TestEntries:
    def test_come_newest_first_page_by_page(self, shop: Shop) -> None:
        for order in range(1, 6):
            shop.buy(str(order), order)
        with shop.database.engine.connect() as conn:
            first = entries_page(conn, shop.customer, 2)
            second = entries_page(conn, shop.customer, 2, first[-1]["seq"])
            last = entries_page(conn, shop.customer, 2, second[-1]["seq"])
        assert [entry["seq"] for entry in first + second + last] == [5, 4, 3, 2, 1]
        assert first[0] == {
            "seq": 5,
            "kind": "award",
            "points": 5,
            "balance_after": 15,
            "occurred_at": "2026-11-01T12:00:00Z",
            "recorded_at": "2026-11-01T12:00:00Z",
            "cause": "purchase:5",
            "program_version": first[0]["program_version"],
            "actor": "test",
            "note": None,
            "digest": first[0]["digest"],
            "explanation": [{"rule_id": "base", "points": 5, "text": "1 point per 0.01 GBP on 0.05 GBP"}],
        }
        assert len(bytes.fromhex(first[0]["digest"])) == 32


class TestHistory:
    def test_tells_the_life_of_points_in_sentences(self, shop: Shop) -> None:
        shop.buy("1001", 1049)
        shop.do(type="custom", name="app-install")
        shop.do(type="referral", referred_customer_id="a-friend")
        shop.spend(500, order_id="1002")
        held = shop.spend(100, hold=True, order_id="1003")
        shop.send(Capture(redemption_id=held["redemption_id"], points=60))
        shop.send(ReverseRedemption(redemption_id=held["redemption_id"]))
        shop.refund("1001", "r:1", amount_minor=49)
        shop.refund("1002", "r:2", full=True)
        shop.send(Adjust(customer_id=shop.customer, points=1, reason="sorry"))
        shop.now += 31 * DAY
        shop.settled()
        assert shop.told()[::-1][:12] == [
            "Earned 1,049 points for order 1001",
            "Earned 5 points for app-install",
            "Earned 7 points for bringing a friend",
            "Spent 500 points, worth £5.00, on order 1002",
            "Set 100 points aside for order 1003",
            "100 points no longer set aside for order 1003",
            "Spent 60 points, worth £0.60, on order 1003",
            "60 points came back: you no longer spent them on order 1003",
            "Refund of order 1001: 49 points taken back",
            "Refund of order 1002: the 500 points that paid for it came back",
            "Refund of order 1002: no points taken back",
            "The shop gave you 1 point",
        ]
        assert set(shop.told()[:-12]) == {
            "1,000 points expired (earned for order 1001)",
            "5 points expired (earned for app-install)",
            "7 points expired (earned for bringing a friend)",
            "1 point expired",
        }

    def test_dates_are_in_the_programs_zone_and_awards_say_when_they_count(self, database: Database) -> None:
        shop = Shop(database, pending="P1D")
        shop.now = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)
        shop.buy("1", 10)
        (line,) = shop.history()
        assert line.occurred_at.isoformat() == "2026-07-02T00:30:00+01:00"
        assert line.available_at == shop.now + DAY
        assert line.expires_at == shop.now + 30 * DAY

    def test_the_reason_of_an_adjustment_is_told_and_nobody_elses(self, shop: Shop) -> None:
        shop.send(Adjust(customer_id=shop.customer, points=5, reason="A gift"))
        assert [line.note for line in shop.history()] == ["A gift"]

    def test_goes_page_by_page(self, shop: Shop) -> None:
        for order in range(1, 6):
            shop.buy(str(order), order)
        assert [line.seq for line in shop.history(2)] == [5, 4]
        assert [line.seq for line in shop.history(2, before_seq=4)] == [3, 2]
        assert shop.history(2, before_seq=1) == []
