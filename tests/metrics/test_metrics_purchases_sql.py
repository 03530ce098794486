"""The metrics of purchases against plain SQL, on random shops and the real one, in several time zones, with merges."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import purchase_sql as sql
import pytest
from metric_shops import Order, columns_of, random_orders, real_shop, source_of
from sqlalchemy import Engine

from rewards.metrics import churn, cohorts, idle, repeat, retention, return_periods, second_purchase
from rewards.metrics.orders import day_number
from rewards.metrics.result import Metric, Result, Table
from rewards.metrics.source import Source

ALL: dict[str, Metric] = {
    metric.name: metric
    for module in (repeat, second_purchase, retention, churn, return_periods, cohorts, idle)
    for metric in module.METRICS
}


@dataclass
class Both:
    """A shop as SQL sees it and as the metrics do, as of one day."""

    sql: sql.Shop
    source: Source

    def ask(self, name: str, **arguments: Any) -> Result:
        return ALL[name](self.source, **arguments)


SHOPS = [
    "real London",
    "real Auckland",
    "random Los Angeles",
    "random Kolkata",
    "random UTC merged",
    "small Auckland",
]
_ZONES = {
    "London": "Europe/London",
    "Auckland": "Pacific/Auckland",
    "Angeles": "America/Los_Angeles",
    "Kolkata": "Asia/Kolkata",
    "merged": "UTC",
}


def _rows(name: str) -> tuple[list[Order], date, dict[int, int]]:
    if name.startswith("real"):
        return real_shop(), date(2011, 11, 16), {}
    if name.startswith("small"):
        return random_orders(3, customers=25, days=500), date(2026, 5, 31), {}
    rows = random_orders(len(name), customers=220, days=500, per_year=9)
    merges = {each: each + 1 for each in range(0, 100, 7)} if "merged" in name else {}
    return rows, date(2026, 4, 9), merges


@pytest.fixture(scope="module", params=SHOPS)
def both(request: pytest.FixtureRequest, worker_engine: Engine) -> Iterator[Both]:
    """A shop that is only read, in a transaction that is rolled back."""
    rows, as_of, merges = _rows(request.param)
    zone = ZoneInfo(next(value for key, value in _ZONES.items() if key in request.param))
    random.Random(5).shuffle(rows)  # orders arrive late and in any order
    columns = columns_of(
        [each._replace(customer=merges.get(each.customer, each.customer)) for each in rows], zone
    )
    with worker_engine.connect() as connection:
        shop = sql.Shop(connection, rows, zone, merges).as_of(as_of)
        yield Both(shop, source_of(columns, as_of, zone))
        connection.rollback()


def _windows(both: Both) -> list[tuple[dict[str, Any], date, date]]:
    """Ways to ask for a window, and the days that each must mean, worked out by PostgreSQL's calendar."""
    until = both.source.as_of + timedelta(days=1)
    asked: list[tuple[dict[str, Any], date, date]] = [
        ({"days": days}, until - timedelta(days=days), until) for days in (30, 90, 365)
    ]
    for unit, months in (("month", 1), ("quarter", 3), ("year", 12)):
        a, b = both.sql.row(
            f"SELECT (date_trunc('{unit}', until::timestamp) - interval '{months} months')::date, date_trunc('{unit}', until::timestamp)::date FROM shop"
        )
        asked.append(({"window": unit}, a, b))
    begin = until - timedelta(days=200)
    asked.append(({"from": begin, "to": begin + timedelta(days=77)}, begin, begin + timedelta(days=77)))
    return asked


def _share(result: Result) -> tuple[Any, Any, Any]:
    value = None if result.value is None else pytest.approx(result.numerator / result.denominator, abs=1e-12)  # type: ignore[operator]
    assert value is None or result.value == value
    return result.numerator, result.denominator, result.value


def _expected(hits: int, of: int) -> tuple[int, int, float | None]:
    return hits, of, hits / of if of else None


@pytest.mark.parametrize("unit", ["purchase-days", "orders"])
def test_repeat_rate_and_returning_share(both: Both, unit: str) -> None:
    for asked, a, b in _windows(both):
        hits, buyers, ever = both.sql.row(sql.REPEAT, a=a, b=b, unit=unit)
        assert _share(both.ask("repeat-rate", unit=unit, **asked)) == _expected(hits, buyers), asked
        of_all = both.ask("repeat-rate", unit=unit, customers="all-customers", **asked)
        assert _share(of_all) == _expected(hits, ever), asked
        came, of = both.sql.row(sql.RETURNING, a=a, b=b, unit=unit)
        assert _share(both.ask("returning-share", unit=unit, **asked)) == _expected(came, of), asked


@pytest.mark.parametrize("unit", ["purchase-days", "orders"])
@pytest.mark.parametrize("within", [0, 90])
def test_matured_repeat_rate(both: Both, unit: str, within: int) -> None:
    until = both.source.as_of + timedelta(days=1)
    b = until - timedelta(days=within)
    for a, asked in ((b - timedelta(days=365), {}), (b - timedelta(days=60), {"days": 60})):
        hits, of = both.sql.row(sql.MATURED, a=a, b=b, unit=unit, within=within)
        found = both.ask("matured-repeat-rate", unit=unit, within_days=within, **asked)
        assert _share(found) == _expected(hits, of)
        assert found.parameters["is_matured"] is True
    table = found.tables[0]
    for month, rate, _, _, hits, of in table.rows:
        a = date.fromisoformat(f"{month}-01")
        b = (a + timedelta(days=32)).replace(day=1)
        expected, size = both.sql.row(sql.MATURED, a=a, b=b, unit=unit, within=within)
        is_over = b + timedelta(days=within) <= until
        assert (hits, of) == (expected if is_over else None, size)
        assert rate == (pytest.approx(expected / size) if is_over and size else None)


@pytest.mark.parametrize("unit", ["purchase-days", "orders"])
def test_time_to_second_purchase_and_the_estimate_of_a_young_cohort(both: Both, unit: str) -> None:
    until = both.source.as_of + timedelta(days=1)
    a = min(each[0] for each in both.sql.rows("SELECT min(day) FROM purchase"))
    curve = both.sql.rows(sql.CURVE, a=a, b=until, unit=unit)
    found = both.ask("time-to-second-purchase", unit=unit, horizon_days=3650)
    mine = [row for row in found.tables[0].rows if row[0] > 0 or row[5] > 0 or curve[0][0] == 0]
    assert [(row[0], row[4], row[5]) for row in mine] == [(day, risk, died) for day, risk, died, _ in curve]
    np.testing.assert_allclose([row[1] for row in mine], [row[3] for row in curve], atol=1e-9)
    half = next((day for day, _, _, left in curve if left <= 0.5 + 1e-12), None)
    assert found.value == half
    begin = until - timedelta(days=120)
    young = both.sql.rows(sql.CURVE, a=begin, b=until, unit=unit)
    estimate = both.ask("matured-repeat-rate", unit=unit, within_days=60, **{"from": begin, "to": until})
    left = next((row[3] for row in reversed(young) if row[0] <= 60), 1.0)
    assert estimate.evidence == "estimated"
    assert estimate.value == (
        pytest.approx(1 - left, abs=1e-9) if young[-1][0] >= 60 or young[-1][3] == 0 else None
    )


def test_retention_and_churn(both: Both) -> None:
    (usual,) = both.sql.row(sql.USUAL)
    for active in (None, 45):
        w = usual if active is None else active
        for asked, a, b in _windows(both):
            before, kept, lost, fresh, gone, back, after = both.sql.row(sql.MOVEMENT, a=a, b=b, w=w)
            found = both.ask("retention", active_days=active, **asked)
            assert _share(found) == _expected(kept, before), asked
            assert found.parameters["active_days"] == w
            if before + after:
                assert [row[1] for row in found.tables[0].rows] == [
                    before,
                    kept,
                    lost,
                    fresh,
                    gone,
                    back,
                    after,
                ]
            assert _share(both.ask("churn-accounts", active_days=active, **asked)) == _expected(lost, before)
            count = both.ask("retention-count", active_days=active, **asked)
            assert _share(count) == _expected(after - fresh, before)
            for is_net in (True, False) if active is None else (True,):
                shares = both.sql.row(sql.REVENUE, a=a, b=b, w=w, net=is_net)
                money = both.ask(
                    "churn-revenue", active_days=active, revenue="net" if is_net else "gross", **asked
                )
                if shares[0] is None:
                    assert money.value is None
                else:
                    told = [row[1] for row in money.tables[0].rows]
                    assert told == pytest.approx([float(each or 0) for each in shares], abs=1e-12)
                    assert money.value == told[0]


@pytest.mark.parametrize("clock", ["calendar", "rolling"])
def test_n_day_unbounded_and_bracket_retention(both: Both, clock: str) -> None:
    for days in (7, 30):
        on = both.ask("n-day-retention", period_days=days, clock=clock)
        later = both.ask("unbounded-retention", period_days=days, clock=clock)
        for table, place in ((on.tables[0], 0), (later.tables[0], 1)):
            for row in table.rows:
                found = both.sql.row(sql.SINCE[clock], low=row[0] * days, high=(row[0] + 1) * days)
                assert (row[4], row[5]) == (found[place], found[2]), (days, row)
        for k in (1, 3):
            expected = both.sql.row(sql.SINCE[clock], low=k * days, high=(k + 1) * days)
            one = both.ask("n-day-retention", period_days=days, k=k, clock=clock)
            two = both.ask("unbounded-retention", period_days=days, k=k, clock=clock)
            assert (one.numerator, one.denominator) == (expected[0], expected[2])
            assert (two.numerator, two.denominator) == (expected[1], expected[2])
    brackets = both.ask("bracket-retention", brackets="0-0, 1-7, 10-40, 41-200", clock=clock)
    for row, (low, high) in zip(brackets.tables[0].rows, ((0, 0), (1, 7), (10, 40), (41, 200)), strict=True):
        hits, _, of = both.sql.row(sql.SINCE[clock], low=low, high=high + 1)
        assert (row[4], row[5]) == (hits, of)


@pytest.mark.parametrize("revenue", ["net", "gross"])
def test_cohorts(both: Both, revenue: str) -> None:
    found = both.ask("cohorts", cohorts=600, revenue=revenue)
    customers, money = found.tables[:2]
    expected = {(month, k): (buyers, size, net if revenue == "net" else gross) for month, k, buyers, size, net, gross in both.sql.rows(sql.COHORTS)}  # fmt: skip
    told = {(row[0], row[1]): (row[3], row[4]) for row in customers.rows}
    revenues = {(row[0], row[1]): row[3] for row in money.rows}
    assert {cell: (*counts, revenues[cell]) for cell, counts in told.items() if cell in expected} == expected
    assert all(told[cell][0] == revenues[cell] == 0 for cell in set(told) - set(expected))
    is_over = both.source.as_of.month != (both.source.as_of + timedelta(days=1)).month
    assert {row[:2] for row in customers.rows if row[5]} == (
        set()
        if is_over
        else {row[:2] for row in customers.rows if _cell_month(row) == both.source.as_of.strftime("%Y-%m")}
    )
    whole = [row for row in customers.rows if row[1] == 1 and not row[5]]
    assert (found.numerator, found.denominator) == (
        sum(row[3] for row in whole),
        sum(row[4] for row in whole),
    )


def _cell_month(row: Any) -> str:
    year, month = map(int, row[0].split("-"))
    at = year * 12 + month - 1 + row[1]
    return f"{at // 12}-{at % 12 + 1:02}"


def test_dormant_lost_and_reactivated(both: Both) -> None:
    found = both.ask("dormant")
    active, dormant, lost, back = both.sql.row(sql.DORMANT)
    assert [row[1] for row in found.tables[0].rows] == [active, dormant, lost, back]
    assert _share(found) == _expected(dormant, active + dormant + lost)


@pytest.mark.parametrize("name", [name for name in ALL if ALL[name].rows is not None])
def test_the_rows_are_the_customers_that_the_figure_counts(both: Both, name: str) -> None:
    metric = ALL[name]
    assert metric.rows is not None
    table: Table = metric.rows(both.source, **{each.name: each.default for each in metric.parameters})
    found = both.ask(name)
    ids = [row[0] for row in table.rows]
    assert len(set(ids)) == len(ids)
    assert all(len(row) == len(table.columns) for row in table.rows)
    keys = [column.key for column in table.columns]
    if "counted" in keys:
        counted = [row[keys.index("counted")] for row in table.rows]
        if (
            found.numerator is not None and name != "cohorts"
        ):  # cohorts that are not over are among the rows too
            assert (sum(counted), len(counted)) == (found.numerator, found.denominator)
    elif "moved" in keys:
        moved = [row[keys.index("moved")] for row in table.rows]
        told = [row[1] for row in found.tables[0].rows]
        assert moved.count("kept") + moved.count("lost") == told[0]
        assert (moved.count("kept"), moved.count("lost"), moved.count("reactivated")) == (
            told[1],
            told[2],
            told[5],
        )
        assert (moved.count("new and gone"), len(moved)) == (
            told[4],
            told[0] + told[3] + told[5] - _both_sides(both, found),
        )
    elif "state" in keys:
        states = [row[keys.index("state")] for row in table.rows]
        assert [states.count(each) for each in ("active", "dormant", "lost")] == [
            row[1] for row in found.tables[0].rows[:3]
        ]
    else:
        assert sum(row[keys.index("before_minor")] for row in table.rows if row[2] > 0) == found.denominator


def _both_sides(both: Both, found: Result) -> int:
    """How many are new in the period and active at its start: none, since the start's window ends before it."""
    return 0


@pytest.mark.parametrize("name", ["repeat-rate", "returning-share", "retention"])
def test_earlier_windows_are_what_asking_for_them_gives(both: Both, name: str) -> None:
    for window in ("days", "month", "quarter"):
        asked: dict[str, Any] = {"window": window, "days": 60} | (
            {"active_days": 40} if name == "retention" else {}
        )
        found = both.ask(name, **asked)
        table = found.tables[-1]
        assert table.rows[-1][1] == found.value
        for row in table.rows:
            end = date.fromisoformat(row[0]) + timedelta(days=1)
            days = {"days": 60, "month": 31, "quarter": 93}[window]
            start = (
                end - timedelta(days=60)
                if window == "days"
                else (end - timedelta(days=days - 3)).replace(day=1)
            )
            span = {"from": start, "to": end}
            again = both.ask(
                name, **{key: value for key, value in asked.items() if key == "active_days"}, **span
            )
            assert (row[1], row[4], row[5]) == (again.value, again.numerator, again.denominator), (
                window,
                row,
            )
            assert day_number(start) >= int(both.source.orders.day.min()) or row is table.rows[-1]
