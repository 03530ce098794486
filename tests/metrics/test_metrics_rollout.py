"""A roll-out from orders to the figure with its grade, and the other comparisons without a holdout, from a database."""

import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from metric_database import ACTOR, NOW, Purchased, commands_of, load_shop, source_at, submit, tag
from metric_shops import columns_of, random_orders, source_of

from rewards.core.database import Database
from rewards.decide.commands import Award, Enroll, Purchase, Signup
from rewards.facts.identities import set_identity
from rewards.facts.refresh import refresh
from rewards.metrics.effect import adjusted_association, members, rollout_effect, tier_threshold
from rewards.metrics.effect.evidence import GRADES, too_few
from rewards.metrics.effect.recorded import read_homes, read_joined, read_scores
from rewards.metrics.effect.rollout_effect import result_of
from rewards.metrics.effect.rollout_shown import Reading
from rewards.metrics.effect.rollouts import Grid, grid_of, panel_of, read_dates, usable
from rewards.metrics.effect.staggered import NEVER, Panel
from rewards.metrics.orders import day_number, day_of
from rewards.metrics.result import BadParameter, Metric, Result
from rewards.program.document import ProgramDocument
from rewards.program.versions import publish, starter_program

START = date(2025, 11, 3)  # of the first period that is compared
LENGTH = 28


def metric(module: object) -> Metric:
    return module.METRICS[0]  # type: ignore[attr-defined,no-any-return]


def checked(found: Result) -> Result:
    """Return a result all of whose figures are plain, finite and in tables as wide as their headings."""
    figures = [found.value, *(found.interval or ()), *found.parameters.values()]
    for table in found.tables:
        for row in table.rows:
            assert len(row) == len(table.columns)
            figures += row
    assert all(type(each) in (int, float, str, bool, date, type(None)) for each in figures)
    assert all(math.isfinite(each) for each in figures if isinstance(each, float))
    assert all(note.endswith((".", "?")) for note in [*found.notes, found.reason_if_null or "."])
    return found


def test_dates_are_read() -> None:
    assert read_dates("leeds=2026-03-02, new york = 1970-01-02,hull=never") == {
        "leeds": day_number(date(2026, 3, 2)),
        "new york": 1,
        "hull": None,
    }
    for wrong in ("leeds", "leeds=soon", "leeds=2026-03-02,leeds=never", "=2026-03-02"):
        with pytest.raises(BadParameter, match=r"write|date"):
            read_dates(wrong)


def test_periods_lie_around_the_first_date() -> None:
    assert grid_of([1000, 1050], 700, 1100, 28, 6) == Grid(1000 - 5 * 28, 28, 5 + 3)
    assert grid_of([1000], 0, 1100, 28, 6) == Grid(1000 - 6 * 28, 28, 6 + 3)
    assert grid_of([1000], 950, 1100, 28, 6) is None
    assert grid_of([1000], 0, 1027, 28, 6) is None
    grid = Grid(100, 10, 5)
    assert [grid.period_of(day) for day in (None, 100, 109, 110, 149, 150)] == [NEVER, 0, 0, 1, 4, NEVER]


@pytest.mark.parametrize("outcome", ["share-buying", "purchases", "revenue"])
def test_the_panel_is_that_of_a_loop(outcome: str) -> None:
    rows = random_orders(4, 150)
    orders = columns_of(rows)
    first = int(orders.day.min())
    grid = Grid(first + 100, 20, 6)
    known = sorted({each.customer for each in rows if day_number(each.at.date()) < grid.start})
    home = {customer: customer % 4 for customer in known}
    dates = [grid.start + 45, None, grid.start + 60, grid.start - 5]
    panel = panel_of(
        orders,
        grid,
        np.array(known, dtype=np.int32),
        np.array([home[each] for each in known]),
        dates,
        outcome,  # type: ignore[arg-type]
    )
    for unit in range(4):
        mine = [customer for customer in known if home[customer] == unit]
        assert panel.size[unit] == len(mine)
        for period in range(6):
            low = grid.start + period * 20
            total = 0
            for customer in mine:
                did = [
                    each
                    for each in rows
                    if each.customer == customer and low <= day_number(each.at.date()) < low + 20
                ]
                days = {each.at.date() for each in did}
                total += {"share-buying": bool(days), "purchases": len(days)}.get(
                    outcome, sum(each.amount - each.refunded for each in did)
                )
            assert panel.total[unit, period] == total
    assert panel.group.tolist() == [2, NEVER, 3, -1]
    kept, names = usable(panel, list("abcd"), 1)
    assert (names, kept.group.tolist()) == (["a", "b", "c"], [2, NEVER, 3])


def stores(groups: list[int], drift: float = 0.0, seed: int = 1, size: float = 60.0) -> Reading:
    """Return stores whose customers buy more often by 0.2 once it began, and drift before it too."""
    rng = np.random.default_rng(seed)
    time, group = np.arange(10), np.array(groups)
    mean = 0.4 + rng.normal(0, 0.02, (len(groups), 10)) + 0.2 * (time >= group[:, None])
    mean += drift * (group < NEVER)[:, None] * time
    panel = Panel(np.full(len(groups), size), mean * size, group)
    return Reading(panel, panel, [f"s{at}" for at in range(len(groups))], Grid(day_number(START), LENGTH, 10))


def test_a_roll_out_in_many_stores_is_b_with_everything_beside_it() -> None:
    found = checked(result_of(stores([4, 4, 5, 5, 6, 6, *[NEVER] * 8]), "share-buying", 1))
    assert found.evidence == "B"
    assert found.value == pytest.approx(0.2, abs=0.03)
    assert found.interval is not None
    assert found.interval.low < 0.2 < found.interval.high
    assert {table.key for table in found.tables} == {"by-time", "places", "sensitivity"}
    words = " ".join(found.notes)
    assert "changed alike as far as can be told" in words
    assert "Rambachan–Roth" in words
    events = {row[0]: row for row in found.tables[0].rows}
    assert events[0][2] < 0.2 < events[0][3]
    assert min(events) < -2 < max(events)
    assert -2 not in events  # the base period itself


def test_trends_that_differed_before_make_it_description() -> None:
    for groups in ([4, 4, 5, 5, 6, 6, *[NEVER] * 8], [4, 4, 4, 4, NEVER, NEVER, NEVER, NEVER]):
        found = checked(result_of(stores(groups, drift=0.05), "share-buying", 1))
        assert found.evidence == "D"
        assert found.value is not None
        assert found.interval is None
        words = " ".join([*found.notes, *(table.title for table in found.tables)])
        assert words.startswith("Downgraded from B to D: before it began")
        for banned in ("lift", "p =", "p-value", "effect"):
            assert banned not in words.lower()
        assert all(len(table.columns) < 4 for table in found.tables)


def test_few_stores_or_single_ones_have_their_dates_dealt_anew() -> None:
    few = checked(result_of(stores([4, 4, 5, NEVER, NEVER, NEVER, NEVER]), "share-buying", 1))
    assert few.evidence == "B"
    assert few.interval is not None
    assert few.interval.low < 0.2 < few.interval.high
    assert "shuffled" in few.notes[0]
    alone = checked(result_of(stores([4, 5, 6, *[NEVER] * 9]), "share-buying", 1))
    assert "shuffled" in alone.notes[0]
    # Two deals show no trend that might be there.
    two = checked(result_of(stores([4, NEVER], size=200), "share-buying", 1))
    assert two.evidence == "D"
    assert "cannot be compared" in two.notes[0]


def test_what_shows_nothing_is_refused_in_words() -> None:
    together = checked(result_of(stores([4] * 12), "share-buying", 1))
    assert together.value is None
    assert "nowhere to compare with" in str(together.reason_if_null)
    small = checked(result_of(stores([4, 4, NEVER, NEVER], size=20), "share-buying", 1))
    assert "There are 40 customers where it began" in str(small.reason_if_null)
    nobody = stores([4, 4, NEVER, NEVER])
    silent = nobody._replace(bought=Panel(nobody.panel.size, nobody.panel.total * 0, nobody.panel.group))
    assert "Only 0 of the customers where it began" in str(
        result_of(silent, "share-buying", 1).reason_if_null
    )
    assert too_few(("a", "b"), (100, 100), (10, 10)) is None
    assert set(GRADES) == set("ABCD")


def test_without_a_database_they_say_so() -> None:
    source = source_of(random_orders(1, 50), date(2026, 1, 1))
    calls: list[Result] = [
        metric(rollout_effect)(source, rollouts="leeds=2025-10-01"),
        metric(tier_threshold)(source),
        metric(adjusted_association)(source),
        metric(members)(source),
    ]
    assert all("no database" in str(each.reason_if_null) for each in calls)
    assert [each.evidence for each in calls] == ["B", "B", "C", "D"]
    assert "No roll-out is named" in str(metric(rollout_effect)(source).reason_if_null)


DATES = {
    f"store-{at:02}": {0: 4, 1: 5, 2: 6}.get(at % 6) for at in range(12)
}  # the period in which it begins; None for never


def rolled_out() -> list[Purchased]:
    """Return orders of 480 customers of twelve stores over ten periods, who buy more often once it began."""
    rng = np.random.default_rng(3)
    orders = []
    begin = datetime(START.year, START.month, START.day, 12, tzinfo=UTC)
    for customer in range(480):
        store = f"store-{customer % 12:02}"
        began = DATES[store]
        days = [-int(rng.integers(1, 100))]
        for period in range(10):
            if rng.random() < 0.3 + 0.25 * (began is not None and period >= began):
                days += [period * LENGTH + int(each) for each in rng.integers(0, LENGTH, 2)]
        for number, day in enumerate(days):
            # Where somebody goes later on changes nothing.
            where = store if day < 0 or rng.random() < 0.8 else "store-03"
            at = begin + timedelta(days=day)
            orders.append(
                Purchased(
                    f"c-{customer}",
                    f"{customer}-{number}",
                    at,
                    1000 + day,
                    attributes={"store": where, "region": store[-1:]},
                )
            )
    return orders


def test_the_figure_is_that_of_loops_over_orders(database: Database) -> None:
    orders = rolled_out()
    load_shop(database, orders, zone="UTC")
    began = {name: None if at is None else START + timedelta(days=at * LENGTH) for name, at in DATES.items()}
    written = ",".join(f"{name}={day or 'never'}" for name, day in began.items())
    with database.engine.connect() as connection:
        as_of = START + timedelta(days=10 * LENGTH - 1)
        source = source_at(connection, as_of)
        source.history_start = START - timedelta(days=4 * LENGTH)
        units, homes = read_homes(connection, "store", day_number(START))
        assert len(units) == 480
        assert dict(zip(source.store.names(units.tolist()), homes, strict=True)) == {
            f"c-{customer}": f"store-{customer % 12:02}" for customer in range(480)
        }
        found = checked(metric(rollout_effect)(source, rollouts=written))
        dealt = metric(rollout_effect)(
            source, rollouts="0=2026-02-23,1=2026-02-23,2=2026-03-23", attribute="region"
        )
        money = checked(metric(rollout_effect)(source, rollouts=written, outcome="revenue"))
        missing = checked(metric(rollout_effect)(source, rollouts=written, attribute="shop"))
        early = checked(metric(rollout_effect)(source, rollouts="store-00=2025-08-01"))
    # Each customer's periods with a purchase, from the orders as they were sent.
    bought = {(each.customer, (each.at.date() - START).days // LENGTH) for each in orders}
    groups = []
    for group in (4, 5, 6):
        cells = []
        for period in range(group, 10):
            change: dict[bool, list[int]] = {True: [], False: []}
            for customer in range(480):
                mine = DATES[f"store-{customer % 12:02}"]
                if mine == group or mine is None or mine > period + 1:
                    did = [(f"c-{customer}", each) in bought for each in (period, group - 2)]
                    change[mine == group].append(did[0] - did[1])
            cells.append(np.mean(change[True]) - np.mean(change[False]))
        groups.append(np.mean(cells))
    assert found.evidence == "B"
    assert found.value == pytest.approx(np.mean(groups))
    assert found.interval is not None
    assert found.interval.low < 0.25 < found.interval.high
    assert found.interval.low > 0
    assert found.parameters["rollouts"] == written
    assert [row[0] for row in found.tables[1].rows] == list(DATES)
    assert "480 customers" in " ".join(found.notes)
    assert "shuffled" in " ".join(dealt.notes)
    assert "No date was given for 3, 4, 5, 6, 7 and others" in " ".join(dealt.notes)
    assert money.unit == "minor"
    assert money.value is not None
    assert "has the attribute 'shop'" in str(missing.reason_if_null)
    assert "too little time" in str(early.reason_if_null)


def test_customers_belong_where_they_last_bought_before(database: Database) -> None:
    """By channel or attribute, for persons, without staff; an order that does not say where is passed over."""

    def order(
        customer: str, number: str, day: int, store: str | None, channel: str | None = None
    ) -> tuple[Award, str]:
        purchase = Purchase(
            type="purchase", order_id=number, total_minor=500, currency="GBP", channel=channel,
            attributes={"store": store} if store else {},
        )  # fmt: skip
        when = datetime(2026, 3, day, 12, tzinfo=UTC)
        return Award(customer_id=customer, occurred_at=when, activity=purchase), f"order-{number}"

    load_shop(database)
    submit(
        database,
        [
            order("c-1", "1", 1, "leeds", "web"),
            order("c-1", "2", 2, "york", "app"),
            order("c-1", "3", 3, None),
            order("c-1", "4", 20, "hull", "shop"),
            order("c-2", "5", 4, "leeds"),
            order("c-3", "6", 5, "york", "web"),
            order("c-4", "7", 5, "york", "web"),
            order("c-5", "8", 25, "york", "web"),
        ],
    )
    tag(database, "c-4", ["staff"])
    with database.engine.begin() as connection:
        set_identity(connection, "c-3", "c-2", actor=ACTOR, now=NOW)
    refresh(database, NOW)
    with database.engine.connect() as connection:
        source = source_at(connection)
        before = day_number(date(2026, 3, 20))
        for attribute, expected in (
            ("store", {"c-1": "york", "c-2": "york"}),
            ("channel", {"c-1": "app", "c-2": "web"}),
        ):
            units, homes = read_homes(connection, attribute, before)
            assert dict(zip(source.store.names(units.tolist()), homes, strict=True)) == expected
            assert units.tolist() == sorted(units.tolist())


def test_who_joined_when_is_read_for_persons(database: Database) -> None:
    def at(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    orders = [Purchased(f"c-{each}", f"o-{each}", at("2026-01-05T12:00"), 500) for each in range(1, 7)]
    load_shop(database, orders)
    signup = Signup(type="signup")
    submit(
        database,
        [
            (Award(customer_id="c-1", occurred_at=at("2026-02-01T12:00"), activity=signup), "s-1"),
            (Enroll(customer_id="c-2", member_since=at("2026-06-01T23:30")), None),
            (Award(customer_id="c-2", occurred_at=at("2026-01-07T12:00"), activity=signup), "s-2"),
            (Enroll(customer_id="c-3", member_since=at("2026-03-01T12:00")), None),
            (Enroll(customer_id="c-4", member_since=at("2026-10-31T12:00")), None),
            (Enroll(customer_id="c-5", member_since=at("2026-01-01T12:00")), None),
        ],
    )
    tag(database, "c-5", ["staff"])
    with database.engine.begin() as connection:
        set_identity(connection, "c-3", "c-6", actor=ACTOR, now=NOW)
    refresh(database, NOW)
    with database.engine.connect() as connection:
        source = source_at(connection, date(2026, 10, 30))
        units, days = read_joined(source)
        names = source.store.names(units.tolist())
        # On the shop's clock; who joined after the day is no member yet.
        assert dict(zip(names, map(day_of, days.tolist()), strict=True)) == {
            "c-1": date(2026, 2, 1),
            "c-2": date(2026, 6, 2),
            "c-6": date(2026, 3, 1),
        }
        beside = checked(metric(members)(source))
        assert beside.evidence == "D"
        assert [row[1] for row in beside.tables[0].rows] == [3, 1]
        refused = checked(metric(adjusted_association)(source))
        assert "fewer than 100 on a side" in str(refused.reason_if_null)


def test_nobody_who_joined_is_told(database: Database) -> None:
    load_shop(database, [Purchased("c-1", "1", datetime(2026, 1, 5, tzinfo=UTC), 500)])
    with database.engine.connect() as connection:
        source = source_at(connection)
        for each in (members, adjusted_association):
            assert "Of no customer it is known when they joined" in str(metric(each)(source).reason_if_null)
        assert "There were no tiers" in str(metric(tier_threshold)(source).reason_if_null)


def test_scores_are_what_counted_to_the_tier(database: Database) -> None:
    """Points of orders of a year less what refunds took back, and who was in the tier, from the orders as sent."""
    ladder = {
        "tiers": [
            {"id": "start", "name": "Start"},
            {"id": "gold", "name": "Gold", "ways_in": [{"points": 50}]},
        ],
        "window": {"type": "rolling", "period": "P12M"},
    }
    document = starter_program("GBP", "Europe/London").model_dump(mode="json", exclude_defaults=True) | {
        "ladder": ladder
    }
    rng = np.random.default_rng(8)
    at = datetime(2026, 7, 1, 23, tzinfo=UTC)  # midnight on the shop's clock, ninety-two days before the end
    orders, expected = [], {}
    for customer in range(400):
        total = 0
        for number in range(3):
            when = at - timedelta(days=int(rng.integers(-60, 500)), hours=3)
            paid, refunded = int(rng.integers(200, 4000)) * 1, 0
            if number == 2:
                refunded = paid // 2
            orders.append(Purchased(f"c-{customer}", f"{customer}-{number}", when, paid, refunded))
            if datetime(2025, 7, 1, 23, tzinfo=UTC) <= when < at:
                points = paid // 100
                total += points - int(refunded * points / paid + 0.5)
        if total:
            expected[f"c-{customer}"] = total
    with database.engine.begin() as connection:
        publish(
            connection,
            ProgramDocument.model_validate(document),
            effective_from=datetime(1990, 1, 1, tzinfo=UTC), now=NOW, actor=ACTOR,
        )  # fmt: skip
    # As they came: a standing on record is what was known, and what comes late corrects it later.
    submit(database, commands_of(sorted(orders, key=lambda each: each.at)))
    refresh(database, NOW)
    with database.engine.connect() as connection:
        source = source_at(connection, date(2026, 9, 29))
        begins = datetime(2025, 7, 2, tzinfo=source.zone)
        scores = read_scores(connection, "points", begins, datetime(2026, 7, 2, tzinfo=source.zone), ["gold"])
        names = source.store.names(scores.unit.tolist())
        assert dict(zip(names, scores.score.tolist(), strict=True)) == expected
        # The standing lasts once it is reached, but nobody is in who never had enough.
        assert 0 < scores.is_in.sum() < len(names)
        assert all(is_in for is_in, score in zip(scores.is_in, scores.score, strict=True) if score >= 50)
        found = checked(metric(tier_threshold)(source))
        assert found.parameters["tier"] == "gold"
        assert (found.parameters["threshold"], found.parameters["measure"]) == (50, "points")
