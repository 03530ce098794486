"""What a draft would have done: figures worked out by hand, and that nothing is written."""

import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from rewards.core.database import Database
from rewards.decide.commands import (
    Adjust,
    Award,
    Capture,
    Command,
    Record,
    Redeem,
    Retract,
    Reverse,
    Tag,
    Void,
)
from rewards.decide.submission import Submission
from rewards.demo.loading import load as load_demo
from rewards.engine import Answer, Engine
from rewards.ledger.tables import SQLModel
from rewards.preview import PreviewReport, replay, running
from rewards.preview.report import Change, Mover
from rewards.preview.tally import standard_error
from rewards.program.document import PointsPolicy, ProgramDocument
from rewards.program.versions import load_history, publish

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
ORDERS = Path(__file__).parents[2] / "shared" / "data" / "online_retail_2010_2011_orders.csv"


class Store:
    """A shop whose program gives a point per dollar that lives for a year, and 10 points for joining."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._engine = Engine(database)
        self._number = 0
        with database.engine.begin() as conn:
            publish(
                conn,
                program(),
                effective_from=datetime(1970, 1, 1, tzinfo=UTC),
                now=NOW - 999 * DAY,
                actor="t",
            )

    def do(self, command: Command, now: datetime = NOW) -> Answer:
        self._number += 1
        [answer] = self._engine.execute([Submission(command, f"k{self._number}", "test")], now)
        assert answer.status < 300, answer.body
        return answer

    def buy(self, customer_id: str, order_id: str, dollars: int, at: datetime, **others: Any) -> None:
        self.do(purchase(customer_id, order_id, dollars, at, **others), at)

    def preview(self, document: ProgramDocument, as_of: datetime = NOW, **others: Any) -> PreviewReport:
        with self.database.engine.connect() as conn:
            return replay(conn, document, as_of=as_of, **others)


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def program(points: int = 1, **others: Any) -> ProgramDocument:
    document: dict[str, Any] = {
        "schema_version": 1,
        "name": "Test",
        "currency": "USD",
        "timezone": "UTC",
        "earn": [
            {
                "id": "base",
                "activity": "purchase",
                "gives": {"type": "per_amount", "points": points, "per_minor": 100},
            },
            {"id": "welcome", "activity": "signup", "gives": {"type": "fixed", "points": 10}},
        ],
        "points": {"expiry": {"type": "after", "period": "P12M"}},
    }
    return ProgramDocument.model_validate(document | others)


def purchase(
    customer_id: str,
    order_id: str,
    dollars: int,
    at: datetime | None,
    kind: type[Award] = Award,
    **others: Any,
) -> Award:
    activity = {"type": "purchase", "order_id": order_id, "total_minor": 100 * dollars, "currency": "USD"}
    return kind.model_validate({"customer_id": customer_id, "occurred_at": at, "activity": activity | others})


def contents(database: Database) -> dict[str, str]:
    """A hash of all that is in each table."""
    with database.engine.connect() as conn:
        return {
            table: sha256(
                str(conn.execute(text(f"SELECT t::text FROM {table} AS t ORDER BY 1")).all()).encode()
            ).hexdigest()
            for table in SQLModel.metadata.tables
        }


def figures(report: PreviewReport) -> dict[str, Any]:
    told = report.as_json()
    told.pop("seconds")
    return told


def assert_nothing_changes(report: PreviewReport, given_and_taken_back: int = 0) -> None:
    """Up to ``given_and_taken_back`` points of welcomes are given by the replay and taken back by a refund, where the shop's
    own history had both the step up and the refund in one batch, so that no welcome was ever sent."""
    assert report.changed == 0
    assert (report.refused, report.redemptions_cut) == ([], 0)
    for each in report.issued:
        extra = each.points.after - each.points.before
        assert extra == 0 or (each.rule_id.startswith("welcome-") and 0 < extra <= given_and_taken_back)
    for flows in (report.totals, *report.months.values()):
        extra = flows.issued.after - flows.issued.before
        assert 0 <= extra <= given_and_taken_back
        assert flows.clawed_back.after - flows.clawed_back.before == extra
    for change in (
        *(
            getattr(flows, name)
            for flows in (report.totals, *report.months.values())
            for name in flows.__slots__
            if name not in ("issued", "clawed_back")
        ),
        report.liability_points,
        report.liability_minor,
    ):
        assert change.before == change.after
    # Where a point is worth one minor unit, as in every shop of these tests where that matters.
    extra = report.totals.issued.after - report.totals.issued.before
    assert report.cost_minor.after - report.cost_minor.before == extra


# What is reported.


def test_a_doubled_rule_gives_twice_as_much(store: Store) -> None:
    store.buy("ann", "1", 40, NOW - 40 * DAY)
    store.buy("ann", "2", 60, NOW - 5 * DAY)
    store.do(Award.model_validate({"customer_id": "bob", "activity": {"type": "signup"}}), NOW - 5 * DAY)
    report = store.preview(program(points=2))
    assert [(each.month, each.rule_id, each.points) for each in report.issued] == [
        ("2026-09", "base", Change(40, 80)),
        ("2026-10", "base", Change(60, 120)),
        ("2026-10", "welcome", Change(10, 10)),
    ]
    assert report.totals.issued == Change(110, 210)
    assert report.liability_points == Change(110, 210)
    assert report.cost_minor == Change(110, 210)
    assert (report.customers, report.activities, report.changed) == (2, 3, 1)
    assert (report.up, report.down) == ([Mover("ann", Change(100, 200))], [])
    assert report.sample is None


def test_a_draft_that_begins_later_leaves_alone_what_was_before(store: Store) -> None:
    store.buy("ann", "1", 40, NOW - 40 * DAY)
    store.buy("ann", "2", 60, NOW - 5 * DAY)
    report = store.preview(program(points=2), since=NOW - 10 * DAY)
    assert [(each.month, each.points) for each in report.issued] == [("2026-10", Change(60, 120))]
    assert report.liability_points == Change(100, 160)
    ended = store.preview(program(points=2), until=NOW - 10 * DAY)
    assert [(each.month, each.points) for each in ended.issued] == [("2026-09", Change(40, 80))]
    assert ended.liability_points == Change(40, 80)


def test_what_points_are_worth_is_rounded_down_once(store: Store) -> None:
    for order in range(3):
        store.buy("ann", str(order), 5, NOW - DAY)
    report = store.preview(program(redemption={"points": 10, "value_minor": 9}))
    assert report.cost_minor == Change(15, 13)
    assert report.liability_minor == Change(15, 13)


def test_refunds_take_back_what_the_draft_gave(store: Store) -> None:
    lines = [{"line_id": "a", "amount_minor": 6_000}, {"line_id": "b", "quantity": 3, "amount_minor": 4_000}]
    store.buy("ann", "1", 100, NOW - 9 * DAY, items=lines)
    store.buy("ann", "2", 100, NOW - 9 * DAY)
    store.buy("ann", "3", 100, NOW - 9 * DAY)
    common = {"customer_id": "ann", "refund_id": "r"}
    by_line = {"order_id": "1", "items": [{"line_id": "b", "quantity": 1}]}
    for extent in (by_line, {"order_id": "2", "amount_minor": 2_500}, {"order_id": "3", "full": True}):
        store.do(Reverse.model_validate(common | extent), NOW - DAY)
    report = store.preview(program(points=10))
    assert report.totals.clawed_back == Change(13 + 25 + 100, 133 + 250 + 1000)
    assert report.liability_points == Change(162, 1617)


def test_what_is_not_covered_any_more_is_redeemed_as_far_as_it_goes(store: Store) -> None:
    store.buy("ann", "1", 100, NOW - 9 * DAY)
    store.do(Redeem(customer_id="ann", points=80), NOW - 8 * DAY)
    store.do(Redeem(customer_id="ann", points=15), NOW - 8 * DAY)
    half = program(points=1)
    half = program(earn=[each | {"gives": {"type": "fixed", "points": 50}} for each in _earn(half)])
    report = store.preview(half)
    assert report.totals.redeemed == Change(95, 50)
    assert (report.redemptions_cut, report.points_cut) == (2, 45)
    assert report.liability_points == Change(5, 0)


def test_limits_on_redeeming_do_not_undo_what_was_redeemed(store: Store) -> None:
    store.buy("ann", "1", 100, NOW - 9 * DAY)
    store.do(Redeem(customer_id="ann", points=7), NOW - 8 * DAY)
    limits = {"minimum_points": 50, "step_points": 50, "max_order_share_pct": 10}
    report = store.preview(program(redemption=limits))
    assert report.totals.redeemed == Change(7, 7)
    assert report.refused == []


def test_holds_are_captured_voided_and_kept_as_they_were(store: Store) -> None:
    store.buy("ann", "1", 100, NOW - 9 * DAY)

    def hold(points: int, lasts: str = "P20D") -> str:
        command = Redeem(customer_id="ann", points=points, hold=True, hold_expires_in=lasts)
        found = store.do(command, NOW - 8 * DAY).body
        return found.split('"redemption_id":"')[1].split('"')[0]

    store.do(Capture(redemption_id=hold(30), points=20), NOW - 7 * DAY)
    store.do(Void(redemption_id=hold(10)), NOW - 7 * DAY)
    hold(5, "P1D")  # lapses
    hold(40)
    assert_nothing_changes(store.preview(program()))
    report = store.preview(program(points=2))
    assert report.totals.redeemed == Change(20, 20)
    assert report.liability_points == Change(80, 180)


def test_what_is_due_and_not_booked_counts_on_both_sides(store: Store) -> None:
    store.buy("ann", "1", 100, NOW - 400 * DAY)
    report = store.preview(program())
    assert report.totals.expired == Change(100, 100)
    assert report.liability_points == Change(0, 0)
    never = store.preview(program().model_copy(update={"points": PointsPolicy()}))
    assert never.totals.expired == Change(100, 0)
    assert never.up == [Mover("ann", Change(0, 100))]


def test_recorded_history_earns_nothing_and_late_orders_what_they_earned(store: Store) -> None:
    store.do(purchase("ann", "old", 500, NOW - 90 * DAY, Record), NOW - DAY)
    store.do(purchase("ann", "late", 7, NOW - 90 * DAY), NOW)
    store.do(Redeem(customer_id="ann", points=7, order_id="next"), NOW)
    refund = {"customer_id": "ann", "order_id": "next", "refund_id": "r", "full": True}
    store.do(Reverse.model_validate(refund), NOW)  # comes before its award
    store.do(purchase("ann", "next", 3, NOW - DAY), NOW)
    store.do(Adjust(customer_id="ann", points=-90, reason="fraud", allow_negative=True), NOW)
    assert_nothing_changes(store.preview(program()))
    report = store.preview(program(points=2))
    assert report.totals.issued == Change(10, 20)
    assert report.totals.adjusted == Change(-90, -90)
    assert report.liability_points == Change(-80, -70)


def test_what_the_draft_refuses_is_told_with_an_example(store: Store) -> None:
    store.buy("ann", "1", 100, NOW - 9 * DAY)
    store.buy("ann", "2", 100, NOW - 9 * DAY)
    store.do(Reverse(customer_id="ann", order_id="1", refund_id="r", amount_minor=100), NOW)
    report = store.preview(program(currency="GBP"))
    activity, refund = report.refused
    assert (activity.what, activity.code, activity.count) == ("activity", "currency-mismatch", 2)
    assert (activity.customer_id, activity.name) == ("ann", "purchase:1")
    assert (refund.what, refund.code, refund.count) == ("refund", "order-not-found", 1)
    assert report.totals.issued == Change(200, 0)
    assert (report.currency_before, report.currency) == ("USD", "GBP")


def test_a_shop_without_customers_has_a_report(store: Store) -> None:
    report = store.preview(program(), customers_sample=10)
    assert (report.customers, report.months, report.sample) == (0, {}, None)


def test_caps_budgets_conditions_and_tags_are_those_of_the_draft(store: Store) -> None:
    rules = [
        {**each, "caps": [{"per": "month", "points": 70, "then": "reduce"}]}
        for each in _earn(program())
        if each["id"] == "base"
    ]
    gift = {"id": "gift", "activity": "purchase", "gives": {"type": "fixed", "points": 10}}
    rules += [gift | {"budget": {"times": 3}}, gift | {"id": "vip", "when": "'vip' in customer.tags"}]
    document = program(earn=rules)
    for order in range(3):
        for customer_id in ("ann", "bob", "cy"):
            store.buy(customer_id, str(order), 30, NOW - 20 * DAY + order * DAY)
    store.do(Tag(customer_id="cy", tags=["vip"]), NOW - DAY)
    store.do(Reverse(customer_id="ann", order_id="0", refund_id="r", full=True), NOW - DAY)
    issued = {each.rule_id: each.points.after for each in store.preview(document).issued}
    assert issued == {"base": 210, "gift": 30, "vip": 30}
    # And where they are in force, they give what the ledger has, but for who got the budget.
    with store.database.engine.begin() as conn:
        publish(conn, document, effective_from=NOW, now=NOW, actor="t")
    store.buy("ann", "3", 100, NOW)
    store.do(Reverse(customer_id="ann", order_id="3", refund_id="r", amount_minor=5_000), NOW)
    store.buy("ann", "4", 100, NOW)
    assert_nothing_changes(store.preview(document, since=NOW))
    sample = store.preview(document, customers_sample=2)
    assert sample.notes == [
        "The sample had the budgets of rules to itself; all customers would spend them sooner."
    ]


def test_what_was_retracted_is_retracted_again(store: Store) -> None:
    store.do(Award.model_validate({"customer_id": "ann", "activity": {"type": "signup"}}), NOW - DAY)
    store.do(Retract(customer_id="ann", activity_key="signup"), NOW)
    assert_nothing_changes(store.preview(program()))
    rules = [each | {"gives": {"type": "fixed", "points": 30}} for each in _earn(program())]
    assert store.preview(program(earn=rules)).totals.clawed_back == Change(10, 30)


# Samples.


def many(store: Store, customers: int, orders: int = 1) -> None:
    engine = Engine(store.database)
    for number in range(customers):
        commands = [
            Submission(purchase(f"c-{number}", str(order), number % 7 + 1, NOW - DAY), f"k{order}", "test")
            for order in range(orders)
        ]
        engine.execute(commands, NOW)


def test_a_sample_stands_for_all_and_is_the_same_each_time(store: Store) -> None:
    many(store, 400)
    whole, sample = store.preview(program(2)), store.preview(program(2), customers_sample=100)
    assert sample.customers == 100
    assert sample.sample is not None
    assert (sample.sample.of, sample.sample.factor) == (400, 4.0)
    error = sample.sample.issued_standard_error.after
    assert 0 < error < whole.totals.issued.after / 10
    assert abs(sample.totals.issued.after - whole.totals.issued.after) < 3 * error
    assert figures(sample) == figures(store.preview(program(2), customers_sample=100))
    assert store.preview(program(2), customers_sample=400).sample is None


def test_the_standard_error_is_the_textbooks() -> None:
    values = [3, 5, 10]
    # 12 of 3: mean 6, variance 13, and 12 * sqrt((1 - 3/12) * 13 / 3).
    assert standard_error(sum(each**2 for each in values), sum(values), 3, 12) == round(12 * 3.25**0.5)
    assert standard_error(9, 3, 1, 12) == 0
    assert standard_error(sum(each**2 for each in values), sum(values), 3, 3) == 0


def test_a_large_shop_has_a_quick_answer_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    many(store, 600)
    monkeypatch.setattr(running, "LARGE", 599)
    monkeypatch.setattr(running, "QUICK", 50)
    quick: list[PreviewReport] = []
    told: list[tuple[int, int | None]] = []
    whole = store.preview(
        program(2), on_sample=quick.append, progress=lambda _stage, done, total: told.append((done, total))
    )
    assert whole.sample is None
    assert [each.customers for each in quick] == [250]
    assert told == [(0, 600), (250, 600), (500, 600), (600, 600)]
    assert store.preview(program(2), is_quick_enough=True).customers == 50


def test_a_replay_that_takes_too_long_tells_what_it_has(store: Store) -> None:
    many(store, 300)
    for stopped in (
        store.preview(program(2), seconds=0.0001),
        store.preview(program(2), is_stopped=lambda: True),
    ):
        assert stopped.sample is not None
        assert (stopped.customers, stopped.sample.of) == (250, 300)
        assert stopped.notes[0].startswith("The replay was stopped after 250 of 300 customers")


# What it does not do.


def test_nothing_is_written(store: Store) -> None:
    store.buy("ann", "1", 100, NOW - 400 * DAY)
    store.buy("ann", "2", 100, NOW - DAY)
    before = contents(store.database)
    store.preview(program(points=3))
    assert contents(store.database) == before


def test_memory_does_not_grow_with_the_history(store: Store) -> None:
    def peak() -> int:
        tracemalloc.start()
        try:
            store.preview(program(2))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    many(store, 300, orders=10)
    peak()
    small = peak()
    many_more = Store.__new__(Store)
    many_more.database = store.database
    engine = Engine(store.database)
    for start in range(1_000, 3_000, 100):
        commands = [
            Submission(purchase(f"c-{number}", str(order), 5, NOW - DAY), f"k{order}", "test")
            for number in range(start, start + 100)
            for order in range(10)
        ]
        engine.execute(commands, NOW)
    assert peak() < 1.3 * small


# Whole shops.


@pytest.mark.slow
def test_the_program_in_force_gives_what_the_ledger_has(database: Database) -> None:
    load_demo(database, NOW)
    with database.engine.connect() as conn:
        history = load_history(conn)
    latest = history.latest
    with database.engine.connect() as conn:
        report = replay(conn, latest.document, as_of=NOW, since=latest.effective_from)
    assert_nothing_changes(report, given_and_taken_back=500)
    totals = report.totals
    assert min(totals.issued.after, totals.clawed_back.after, totals.redeemed.after, totals.expired.after) > 0
    with database.engine.connect() as conn:
        stored = conn.execute(text("SELECT sum(balance) + sum(held), count(*) FROM accounts")).one()
    assert (report.liability_points.after, report.customers) == tuple(stored)


@pytest.mark.slow
@pytest.mark.skipif(not ORDERS.exists(), reason="the real shop's data are not here")
def test_a_real_year_is_replayed_as_it_was_and_under_doubled_points(store: Store) -> None:
    from rewards.importing.running import import_orders

    document = with_currency(program(), "GBP")
    with store.database.engine.begin() as conn:
        publish(conn, document, effective_from=datetime(1970, 1, 1, tzinfo=UTC), now=NOW - DAY, actor="t")
    imported = import_orders(ORDERS, store.database, now=NOW)
    report = store.preview(document)
    assert (report.activities, report.totals.issued.after) == (imported.awarded, imported.points)
    assert_nothing_changes(report)
    doubled = store.preview(with_currency(program(points=2), "GBP"))
    # Half points are rounded away less often.
    assert 2 * imported.points <= doubled.totals.issued.after <= 2 * imported.points + imported.awarded


def with_currency(document: ProgramDocument, currency: str) -> ProgramDocument:
    return document.model_copy(update={"currency": currency})


def _earn(document: ProgramDocument) -> Sequence[dict[str, Any]]:
    return document.model_dump(mode="json")["earn"]  # type: ignore[no-any-return]
