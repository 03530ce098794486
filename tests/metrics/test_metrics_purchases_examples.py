"""The metrics of purchases by hand, on the small shop of docs/guides/metrics-purchases.md, and at their edges."""

import json
import math
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from metric_shops import LONDON, Order, columns_of, random_orders, source_of

from rewards.metrics import churn, cohorts, idle, repeat, retention, return_periods, second_purchase
from rewards.metrics.activity import period_of
from rewards.metrics.intervals import wilson
from rewards.metrics.orders import LeftOut, Orders
from rewards.metrics.result import BadParameter, Interval, Metric, Result, Table
from rewards.metrics.source import Source

MODULES = (repeat, second_purchase, retention, churn, return_periods, cohorts, idle)
ALL: dict[str, Metric] = {metric.name: metric for module in MODULES for metric in module.METRICS}
AS_OF = date(2026, 10, 31)

#: Customer, day, amount and refund in pounds. Two of b's orders are of one day.
SMALL = """
a 01-10 40 0 | a 03-05 60 0 | a 08-20 100 0 | a 10-10 80 0 | b 02-01 10 0 | b 02-01 15 0 | c 02-14 50 0 | c 09-30 30 0
d 05-03 25 0 | d 05-20 35 0 | d 10-25 45 0 | e 07-01 70 0 | e 08-15 50 0 | f 08-05 90 20 | g 09-12 20 0 | g 10-02 60 0
h 10-20 55 0
"""


def small() -> list[Order]:
    rows = []
    for number, each in enumerate(SMALL.replace("\n", "|").strip("|").split("|")):
        who, day, amount, refunded = each.split()
        at = datetime.fromisoformat(f"2026-{day}T09:00:00+00:00") + timedelta(minutes=number)
        rows.append(Order("abcdefgh".index(who), at, int(amount) * 100, int(refunded) * 100))
    return rows


def ask(name: str, rows: list[Order] | Orders | None = None, as_of: date = AS_OF, **arguments: Any) -> Result:
    others = {key: arguments.pop(key) for key in ("history_start", "zone") if key in arguments}
    return ALL[name](source_of(small() if rows is None else rows, as_of, **others), **arguments)


def cells(table: Table, *keys: str) -> list[tuple[Any, ...]]:
    places = [[column.key for column in table.columns].index(key) for key in keys]
    return [tuple(row[place] for place in places) for row in table.rows]


def table_of(result: Result, key: str) -> Table:
    return next(table for table in result.tables if table.key == key)


# By hand.

FIGURES: list[tuple[str, dict[str, Any], tuple[float, float]]] = [
    ("repeat-rate", {"days": 90}, (2, 7)),
    ("repeat-rate", {"days": 90, "customers": "all-customers"}, (2, 8)),
    ("repeat-rate", {"window": "month"}, (0, 4)),
    ("repeat-rate", {"window": "quarter"}, (1, 5)),
    ("repeat-rate", {"days": 365}, (5, 8)),
    ("repeat-rate", {"days": 365, "unit": "orders"}, (6, 8)),
    ("returning-share", {"days": 90}, (5, 7)),
    ("matured-repeat-rate", {"within_days": 60}, (3, 6)),
    ("matured-repeat-rate", {"within_days": 60, "unit": "orders"}, (4, 6)),
    ("retention", {"window": "month", "active_days": 60}, (3, 5)),
    ("retention-count", {"window": "month", "active_days": 60}, (4, 5)),
    ("churn-accounts", {"window": "month", "active_days": 60}, (2, 5)),
    ("churn-revenue", {"window": "month", "active_days": 60}, (14_000, 27_000)),
    ("churn-revenue", {"window": "month", "active_days": 60, "revenue": "gross"}, (16_000, 29_000)),
    ("n-day-retention", {}, (2, 6)),
    ("unbounded-retention", {}, (4, 6)),
    ("bracket-retention", {}, (2, 7)),
    ("cohorts", {}, (2, 7)),
    ("dormant", {"dormant_at": 0.5}, (2, 8)),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), FIGURES, ids=lambda each: str(each)[:40])
def test_a_figure_by_hand(name: str, arguments: dict[str, Any], expected: tuple[float, float]) -> None:
    found = ask(name, **arguments)
    assert (found.numerator, found.denominator) == expected
    assert found.value == pytest.approx(expected[0] / expected[1])
    assert found.evidence == "measured"
    if name in ("retention-count", "churn-revenue"):
        assert found.interval is None  # no share of the same customers; too few of them
    else:
        assert found.interval == wilson(*expected)


def test_time_to_second_purchase_by_hand() -> None:
    # Waits: 17 20 45 54 228 ended; 11 87 272 go on. At 17 seven are at risk: 6/7, 5/7, 4/7, 3/7; at 228 two: 3/14.
    found = ask("time-to-second-purchase", horizon_days=250)
    assert found.value == 54
    curve = cells(table_of(found, "curve"), "day", "waiting", "at_risk", "events")
    assert curve == [
        (0, 1, 8, 0),
        (11, 1, 8, 0),
        (17, pytest.approx(6 / 7), 7, 1),
        (20, pytest.approx(5 / 7), 6, 1),
        (45, pytest.approx(4 / 7), 5, 1),
        (54, pytest.approx(3 / 7), 4, 1),
        (87, pytest.approx(3 / 7), 3, 0),
        (228, pytest.approx(3 / 14), 2, 1),
    ]
    within = {row[0]: row[1:] for row in cells(table_of(found, "within"), "days", "bought", "mean_wait")}
    assert within[30] == pytest.approx((2 / 7, 17 + 3 * 6 / 7 + 10 * 5 / 7))
    assert within[60] == pytest.approx((4 / 7, 17 + 3 * 6 / 7 + 25 * 5 / 7 + 9 * 4 / 7 + 6 * 3 / 7))


def test_in_orders_a_second_order_on_the_first_day_comes_at_0_days() -> None:
    curve = cells(
        table_of(ask("time-to-second-purchase", unit="orders"), "curve"), "day", "events", "waiting"
    )
    assert curve[0] == (0, 1, pytest.approx(7 / 8))


def test_churn_of_revenue_by_hand() -> None:
    # Before October: a 100, c 30, e 50, f 90 − 20, g 20: 270. Before November: a 80, c 30, g 20 + 60: 190, of which 130
    # is no more than before; e and f, 120 of the 270, are lost.
    forms = cells(table_of(ask("churn-revenue", window="month", active_days=60), "forms"), "rate")
    assert forms == [(pytest.approx(140 / 270),), (pytest.approx(190 / 270),), (pytest.approx(120 / 270),)]


def test_movement_by_hand() -> None:
    found = ask("retention", window="month", active_days=60)
    assert [row[1] for row in table_of(found, "movement").rows] == [5, 3, 2, 1, 0, 1, 5]
    rows = ALL["retention"].rows(source_of(small(), AS_OF), window="month", days=None, active_days=60)  # type: ignore[misc]
    assert {row[0]: row[1] for row in rows.rows} == {
        "c-0": "kept",
        "c-2": "kept",
        "c-6": "kept",
        "c-4": "lost",
        "c-5": "lost",
        "c-3": "reactivated",
        "c-7": "new",
    }


def test_dormant_by_hand() -> None:
    # Gaps 17 20 45 51 54 158 168 228: 90 % at 168 + 0.3·60, 99 % at 168 + 0.93·60. b is idle for 272 days.
    found = ask("dormant")
    assert cells(table_of(found, "states"), "customers") == [(7,), (0,), (1,), (1,)]
    assert table_of(found, "segments").rows[0][4:6] == pytest.approx((186, 223.8))
    assert "only 8 gaps" in found.notes[0]
    assert cells(table_of(found, "reactivated"), "month", "customers")[-2:] == [
        ("2026-09", 1),
        ("2026-10", 0),
    ]


def test_cohorts_by_hand() -> None:
    found = ask("cohorts")
    customers = {
        row[:2]: row[2:] for row in cells(table_of(found, "customers"), "cohort", "k", "buyers", "size")
    }
    assert customers["2026-01", 0] == (1, 1)
    assert customers["2026-01", 2] == (1, 1)
    assert customers["2026-02", 0] == (2, 2)
    assert customers["2026-02", 7] == (1, 2)
    assert ("2026-10", 1) not in customers
    assert len(customers) == 10 + 9 + 6 + 4 + 3 + 2 + 1  # months without new customers have no row
    money = {row[:2]: row[2] for row in cells(table_of(found, "revenue"), "cohort", "k", "revenue_minor")}
    assert (money["2026-08", 0], money["2026-02", 0]) == (7_000, 7_500)


# Edges.


@pytest.mark.parametrize("name", ALL)
def test_an_empty_shop_has_no_figures_but_reasons(name: str) -> None:
    for history in (None, date(2026, 1, 1)):
        found = ask(name, [], history_start=history)
        assert found.value is None
        assert found.reason_if_null is not None
        assert found.reason_if_null.endswith(".")
        metric = ALL[name]
        assert metric.rows is not None
        table = metric.rows(
            source_of([], AS_OF, history_start=history), **{p.name: p.default for p in metric.parameters}
        )
        assert not table.rows


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        (
            "repeat-rate",
            {"from": date(2026, 4, 1), "to": date(2026, 5, 1)},
            "Nobody bought from 2026-04-01 to 2026-04-30",
        ),
        ("returning-share", {"from": date(2026, 4, 1), "to": date(2026, 5, 1)}, "Nobody bought"),
        (
            "matured-repeat-rate",
            {"from": date(2026, 3, 1), "to": date(2026, 5, 1)},
            "Nobody bought for the first time",
        ),
        ("time-to-second-purchase", {"from": date(2026, 3, 1), "to": date(2026, 5, 1)}, "for the first time"),
        (
            "retention",
            {"from": date(2026, 1, 1), "active_days": 30},
            "Nobody bought in the 30 days before 2026-01-01",
        ),
        ("retention-count", {"from": date(2026, 1, 1), "active_days": 30}, "nobody to keep or lose"),
        ("churn-accounts", {"from": date(2026, 1, 1), "active_days": 30}, "nobody to keep or lose"),
        ("churn-revenue", {"from": date(2026, 1, 1), "active_days": 30}, "nobody to keep or lose"),
        ("n-day-retention", {"k": 12}, "For nobody have 390 days passed"),
        ("unbounded-retention", {"k": 12}, "For nobody have 390 days passed"),
        ("bracket-retention", {"brackets": "300-400"}, "For nobody have 401 days passed"),
        ("cohorts", {"k": 10}, "For no cohort"),
    ],
)
def test_nothing_to_divide_by_is_null_with_its_reason(
    name: str, arguments: dict[str, Any], reason: str
) -> None:
    found = ask(name, **arguments)
    assert found.value is None
    assert reason in (found.reason_if_null or "")


def test_a_shop_of_one_time_buyers_has_no_median_and_nobody_dormant() -> None:
    rows = [Order(each, datetime(2026, 1, 1 + each, tzinfo=UTC), 100) for each in range(9)]
    wait = ask("time-to-second-purchase", rows)
    assert wait.value is None
    assert "Half of the customers have not bought again yet" in (wait.reason_if_null or "")
    assert "100% would still be waiting" in (wait.reason_if_null or "")
    assert table_of(wait, "curve").rows[-1][1:4] == (1, 1, 1)
    idle_ones = ask("dormant", rows)
    assert idle_ones.value is None
    assert "no telling how long a usual break is" in (idle_ones.reason_if_null or "")
    assert ask("repeat-rate", rows).value == 0  # nine bought, none twice: that is a figure
    assert ask("retention", rows, window="quarter").parameters["active_days"] == 30


def test_a_young_cohort_is_estimated_and_says_so() -> None:
    since = {"from": date(2026, 1, 1), "to": date(2026, 11, 1)}
    found = ask("matured-repeat-rate", within_days=60, **since)
    assert found.value == pytest.approx(4 / 7)  # 1 − S(60) of the curve by hand
    assert (found.evidence, found.numerator, found.parameters["is_matured"]) == ("estimated", None, False)
    assert any("counted as of 2026-12-30" in note for note in found.notes)
    exact = ask("matured-repeat-rate", as_of=date(2026, 12, 30), within_days=60, **since)
    assert (exact.evidence, exact.parameters["is_matured"]) == ("measured", True)
    assert (
        ask("matured-repeat-rate", as_of=date(2026, 12, 29), within_days=60, **since).evidence == "estimated"
    )
    early = ask("matured-repeat-rate", within_days=90, **{"from": date(2026, 8, 1), "to": date(2026, 11, 1)})
    assert early.value is None
    assert "only for 87" in (early.reason_if_null or "")


def test_a_month_is_told_when_all_of_it_has_had_its_days() -> None:
    # Who first bought on 31 August has had 61 days at the end of 31 October, and not 62.
    for within, is_told in ((61, True), (62, False)):
        by_month = {row[0]: row[1:] for row in ask("matured-repeat-rate", within_days=within).tables[0].rows}
        assert (by_month["2026-08"][3] is not None) is is_told
        assert by_month["2026-08"][4] == 1
        assert by_month["2026-07"][:1] == (1,)


def test_a_second_purchase_after_exactly_so_many_days_is_in_time() -> None:
    rows = [
        Order(0, datetime(2026, 1, 1, 12, tzinfo=UTC), 1),
        Order(0, datetime(2026, 3, 2, 12, tzinfo=UTC), 1),
    ]
    assert ask("matured-repeat-rate", rows, within_days=60).value == 1
    assert ask("matured-repeat-rate", rows, within_days=59).value == 0


def test_retention_by_counts_can_leave_its_scale_and_warns() -> None:
    def bought(customer: int, *days: str) -> list[Order]:
        return [Order(customer, datetime.fromisoformat(f"2026-{day}T12:00:00+00:00"), 100) for day in days]

    back = bought(0, "09-15") + bought(1, "03-01", "10-05") + bought(2, "03-01", "10-06") + bought(0, "10-07")
    above = ask("retention-count", back, window="month", active_days=30)
    assert above.value == 3
    assert any("More than 100 %" in note and "2 customers" in note for note in above.notes)
    assert ask("retention", back, window="month", active_days=30).value == 1
    gone = bought(0, "07-15") + [each for who in range(1, 5) for each in bought(who, "08-05")]
    below = ask("retention-count", gone, **{"from": date(2026, 8, 1)}, active_days=30)
    assert below.value == -4
    assert any("Below 0 %" in note and "4 customers" in note for note in below.notes)


def test_activity_that_reaches_over_the_period_is_told() -> None:
    assert any("longer than the period" in note for note in ask("retention", days=20, active_days=60).notes)
    assert not any("longer than the period" in note for note in ask("retention", active_days=60).notes)


def test_net_revenue_retention_above_100_is_told() -> None:
    found = ask("churn-revenue", as_of=date(2026, 8, 31), **{"from": date(2026, 7, 1)}, active_days=60)
    assert found.value == 1  # before July d brought 25 + 35, before September nothing
    rows = [Order(0, datetime(2026, 9, 9, tzinfo=UTC), 100), Order(0, datetime(2026, 10, 9, tzinfo=UTC), 350)]
    grown = ask("churn-revenue", rows, window="month", active_days=30)
    assert (grown.value, table_of(grown, "forms").rows[1][1]) == (0, 3.5)
    assert any("above 100 % (350.0%)" in note for note in grown.notes)


def test_refunds_above_what_was_paid_floor_gross_churn_and_not_net_retention() -> None:
    def order(customer: int, month: int, amount: int, refunded: int = 0) -> Order:
        return Order(customer, datetime(2026, month, 9, tzinfo=UTC), amount, refunded)

    rows = [
        order(0, 9, 100),
        order(0, 10, 50, 80),
        order(1, 9, 60, 90),
        order(1, 10, 40),
        order(2, 9, 100),
        order(2, 10, 70),
    ]
    found = ask("churn-revenue", rows, window="month", active_days=30)
    # r0: 100, −30, 100; r1: −30, 40, 70. Gross: 1 − (0 + 0 + 70) ÷ 200. Net: 80 ÷ 170.
    assert (found.numerator, found.denominator) == (130, 200)
    assert table_of(found, "forms").rows[1][1] == pytest.approx(80 / 170)
    assert any("2 customers were refunded more" in note for note in found.notes)
    refunded = [order(0, 9, 100, 100), order(0, 10, 100)]
    none = ask("churn-revenue", refunded, window="month", active_days=30)
    assert none.value is None
    assert "was refunded" in (none.reason_if_null or "")


def test_the_interval_of_lost_revenue_is_that_of_resampling_customers() -> None:
    source = source_of(random_orders(8, customers=600, days=400), date(2026, 2, 1))
    period = period_of(source, "days", 90, 60, {})
    money = churn.revenues(source.orders, period, is_net=True)
    rng, again = np.random.default_rng(1), []
    for _ in range(1500):
        pick = rng.integers(0, len(money.units), len(money.units))
        one = churn.Revenues(money.units[pick], money.r0[pick], money.r1[pick], money.is_active[pick])
        again.append([each.value for each in (one.gross(), one.lasting(), one.left())])
    for each, spread in zip(
        (money.gross(), money.lasting(), money.left()), np.std(again, axis=0), strict=True
    ):
        assert each.interval is not None
        assert (each.interval.high - each.interval.low) / (2 * 1.96) == pytest.approx(spread, rel=0.12)


def test_calendar_days_and_24_hours_differ_where_the_clock_is_put_forward() -> None:
    # 22:00 on 28 March and 22:30 on the 29th in London are 23.5 hours apart: another day, and yet within 24 hours.
    rows = [
        Order(0, datetime(2026, 3, 28, 22, tzinfo=LONDON), 1),
        Order(0, datetime(2026, 3, 29, 22, 30, tzinfo=LONDON), 1),
    ]
    asked = {"period_days": 1, "k": 1, "zone": LONDON}
    assert ask("n-day-retention", rows, clock="calendar", **asked).value == 1
    assert ask("n-day-retention", rows, clock="rolling", **asked).value == 0
    assert ask("unbounded-retention", rows, clock="rolling", **asked).value == 0


def test_a_period_counts_when_it_is_over_and_not_before() -> None:
    rows = [Order(0, datetime(2026, 9, 2, 23, tzinfo=UTC), 1), Order(0, datetime(2026, 10, 5, tzinfo=UTC), 1)]
    assert (
        ask("n-day-retention", rows, as_of=date(2026, 10, 31)).denominator == 1
    )  # 2 September + 60 days is 1 November
    assert ask("n-day-retention", rows, as_of=date(2026, 10, 30)).value is None
    assert (
        ask("n-day-retention", rows, as_of=date(2026, 10, 31), clock="rolling").value is None
    )  # not until 23:00
    assert ask("n-day-retention", rows, as_of=date(2026, 11, 1), clock="rolling").value == 1


def test_what_is_too_recent_is_greyed() -> None:
    found = ask("unbounded-retention", random_orders(2), as_of=date(2026, 2, 4))
    grey = cells(table_of(found, "periods"), "greyed", "watched_days", "rate", "gone")
    assert grey[0][0] is False
    assert grey[-1][0] is True
    assert all(row[2] + row[3] == pytest.approx(1) for row in grey)
    late = ask("unbounded-retention", random_orders(2), as_of=date(2026, 2, 4), k=len(grey) - 1)
    assert any("Too recent to judge" in note for note in late.notes)


@pytest.mark.parametrize("text", ["", "1", "1-30, 20-40", "31-60, 1-30", "30-1", "1-30,,31-60", "a-b"])
def test_brackets_are_in_order_and_disjoint(text: str) -> None:
    with pytest.raises(BadParameter, match="brackets"):
        ask("bracket-retention", brackets=text)


def test_other_arguments_that_cannot_be() -> None:
    for name in (
        "repeat-rate",
        "returning-share",
        "matured-repeat-rate",
        "retention",
        "time-to-second-purchase",
    ):
        with pytest.raises(BadParameter, match="from must be before to"):
            ask(name, **{"from": date(2026, 5, 1), "to": date(2026, 5, 1)})
    with pytest.raises(BadParameter, match="below lost_at"):
        ask("dormant", dormant_at=0.99, lost_at=0.9)


@pytest.mark.parametrize("name", ["repeat-rate", "returning-share", "retention", "matured-repeat-rate"])
@pytest.mark.parametrize("day", [date(1, 1, 2), date(1899, 12, 31), date(1900, 1, 2)])
def test_windows_beyond_the_calendar_are_refused(name: str, day: date) -> None:
    with pytest.raises(BadParameter, match="1900-01-01"):
        ask(name, to=day)
    with pytest.raises(BadParameter, match="1900-01-01"):
        ask(name, **{"from": day - timedelta(days=1), "to": date(1900, 1, 1)})


@pytest.mark.parametrize("name", ALL)
def test_before_the_first_order_there_is_nothing_to_tell(name: str) -> None:
    for day in (date(1, 1, 1), date(1899, 1, 1), date(2025, 12, 31)):
        try:
            assert ask(name, as_of=day).value is None
        except BadParameter as error:
            assert "1900-01-01" in str(error)  # noqa: PT017 - a refusal is as good an answer


def test_a_window_that_is_not_over_ends_with_the_day_asked_for() -> None:
    found = ask("repeat-rate", **{"from": date(2026, 8, 3), "to": date(2027, 1, 1)})
    assert (found.numerator, found.denominator, found.parameters["to"]) == (2, 7, "2026-11-01")
    assert any("not over" in note for note in found.notes)


def test_calendar_windows_are_whole() -> None:
    asked = {
        unit: ask("repeat-rate", window=unit, as_of=date(2026, 3, 30)).parameters
        for unit in ("month", "quarter", "year")
    }
    assert [(each["from"], each["to"]) for each in asked.values()] == [
        ("2026-02-01", "2026-03-01"),
        ("2025-10-01", "2026-01-01"),
        ("2025-01-01", "2026-01-01"),
    ]
    assert ask("repeat-rate", window="month", as_of=date(2026, 3, 31)).parameters["from"] == "2026-03-01"


def test_where_orders_are_known_from_some_day_on_only_first_seen_is_not_first_bought() -> None:
    start = date(2026, 2, 10)
    found = ask("cohorts", history_start=start)
    flags = dict(cells(table_of(found, "customers"), "cohort", "cut_off"))
    # Nine of ten gaps are at most 186 days, so that until 15 August some who look new may not be.
    assert flags == {f"2026-{month}": month <= "08" for month in ("01", "02", "05", "07", "08", "09", "10")}
    assert (found.numerator, found.denominator) == (
        1,
        1,
    )  # September's, the only cohort left that has a month after
    assert any("first seen is not first bought" in note for note in found.notes)
    matured = ask("matured-repeat-rate", within_days=60, history_start=start)
    assert matured.denominator == 4  # a and b were there before the orders that are known
    assert any("Orders are known from 2026-02-10 on" in note for note in matured.notes)
    assert ask("n-day-retention", history_start=start).denominator == 4
    curve = ask("time-to-second-purchase", history_start=start)
    assert table_of(curve, "curve").rows[0][4] == 6
    assert ask("cohorts").notes == []


def test_the_last_cells_are_partial_unless_a_month_ends() -> None:
    middle = ask("cohorts", as_of=date(2026, 10, 30))
    partial = [row[:2] for row in cells(table_of(middle, "customers"), "cohort", "k", "partial") if row[2]]
    assert partial == [
        ("2026-01", 9),
        ("2026-02", 8),
        ("2026-05", 5),
        ("2026-07", 3),
        ("2026-08", 2),
        ("2026-09", 1),
        ("2026-10", 0),
    ]
    assert (middle.numerator, middle.denominator) == (1, 6)
    assert any("is not over" in note for note in middle.notes)
    assert not any(row[0] for row in cells(table_of(ask("cohorts"), "customers"), "partial"))


def test_what_was_left_out_is_told() -> None:
    columns = columns_of(small())
    columns = Orders(
        columns.unit, columns.day, columns.at, columns.amount, columns.refunded, LeftOut(3, 2, 1, 4, 5)
    )
    for name in ALL:
        notes = ask(name, columns).notes
        assert (
            "Orders left out: 3 that cost nothing, 2 paid with points alone, 1 not in GBP, 4 of test and staff accounts."
            in notes
        )
        assert "5 purchases that were refunded whole are counted as purchases." in notes


# For any shop.

ARGUMENTS: dict[str, st.SearchStrategy[Any]] = {
    "unit": st.sampled_from(["purchase-days", "orders"]),
    "window": st.sampled_from(["days", "month", "quarter", "year"]),
    "days": st.integers(1, 400),
    "customers": st.sampled_from(["buyers-in-window", "all-customers"]),
    "within_days": st.integers(0, 200),
    "horizon_days": st.integers(1, 500),
    "active_days": st.none() | st.integers(1, 400),
    "revenue": st.sampled_from(["net", "gross"]),
    "period_days": st.integers(1, 90),
    "k": st.integers(0, 20),
    "periods": st.integers(1, 30),
    "clock": st.sampled_from(["calendar", "rolling"]),
    "brackets": st.sampled_from(["0-0", "1-30, 31-90", "5-300, 301-900"]),
    "cohorts": st.integers(1, 30),
    "dormant_at": st.sampled_from([0.5, 0.9]),
    "lost_at": st.sampled_from([0.95, 0.99]),
    "from": st.none(),
    "to": st.none() | st.dates(date(2025, 6, 1), date(2026, 12, 1)),
}
orders = st.builds(
    Order,
    st.integers(0, 6),
    st.datetimes(datetime(2025, 1, 1), datetime(2026, 10, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis adds the zone
    st.integers(1, 10_000),
    st.sampled_from([0, 0, 500, 20_000]),
)


@pytest.mark.parametrize("name", ALL)
@hypothesis_settings(max_examples=25)
@given(st.lists(orders, max_size=25), st.dates(date(2025, 1, 1), date(2026, 12, 1)), st.booleans(), st.data())
def test_every_figure_is_whole(
    name: str, rows: list[Order], as_of: date, is_cut: bool, data: st.DataObject
) -> None:
    metric = ALL[name]
    asked = {each.name: data.draw(ARGUMENTS[each.name], each.name) for each in metric.parameters}
    source = source_of(rows, as_of, history_start=date(2025, 8, 10) if is_cut else None)
    try:
        found = metric(source, **asked)
    except BadParameter:
        return
    _holds(found)
    assert metric.rows is not None
    table = metric.rows(source, **asked)
    json.dumps(table.rows, allow_nan=False)


def _holds(found: Result) -> None:
    json.dumps(
        [found.value, found.numerator, found.denominator, found.interval, found.parameters], allow_nan=False
    )
    if found.value is not None and found.denominator is not None:
        assert found.numerator is not None
        assert found.value == pytest.approx(found.numerator / found.denominator)
    if isinstance(found.interval, Interval):
        assert found.value is not None
        assert found.interval.low - 1e-12 <= found.value <= found.interval.high + 1e-12
    for table in found.tables:
        for row in table.rows:
            assert len(row) == len(table.columns)
            json.dumps(row, allow_nan=False)
            assert all(cell is None or isinstance(cell, str | bool | int | float) for cell in row)
            assert not any(isinstance(cell, float) and not math.isfinite(cell) for cell in row)


def test_definitions_say_what_they_need_to() -> None:
    assert list(ALL) == [
        "repeat-rate",
        "returning-share",
        "matured-repeat-rate",
        "time-to-second-purchase",
        "retention",
        "retention-count",
        "churn-accounts",
        "churn-revenue",
        "n-day-retention",
        "unbounded-retention",
        "bracket-retention",
        "cohorts",
        "dormant",
    ]
    for metric in ALL.values():
        said = metric.definition
        assert said.formula
        assert said.window
        assert said.edges
        assert bool(said.numerator) == bool(said.denominator) == (metric.name != "time-to-second-purchase")


def test_loading_the_modules_loads_no_numbers() -> None:
    names = ", ".join(module.__name__ for module in MODULES)
    said = subprocess.run(
        [sys.executable, "-c", f"import json, sys, {names}; print(json.dumps(list(sys.modules)))"],
        check=True,
        capture_output=True,
    )
    assert not {"numpy", "scipy", "sqlalchemy"} & set(json.loads(said.stdout))


def test_sources_are_left_as_they_are() -> None:
    source: Source = source_of(small(), AS_OF)
    before = [getattr(source.orders, name).copy() for name in ("unit", "day", "at", "amount", "refunded")]
    for metric in ALL.values():
        metric(source)
    for name, was in zip(("unit", "day", "at", "amount", "refunded"), before, strict=True):
        np.testing.assert_array_equal(getattr(source.orders, name), was)
