"""Redemption rate, cost of rewards, breakage, tiers and liability, on shops that lived, against plain loops."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from program_shop import ENDS, ZONE, Life, Rows, midnight
from sqlalchemy import Connection, event

from rewards.core.database import Database
from rewards.metrics import breakage, costs, liability, redeeming, tiers_over_time
from rewards.metrics.ledger_reading.fates import EXPIRED, REDEEMED, TAKEN, read_fates
from rewards.metrics.result import BadParameter, Result
from rewards.metrics.source import Source
from rewards.metrics.store import open_source

AS_OF = date(2026, 9, 18)


@pytest.fixture
def lived(database: Database) -> Iterator[Connection]:
    Life(database, seed=5)
    with database.engine.connect() as conn:
        yield conn


def source_of(conn: Connection, as_of: date = AS_OF) -> Source:
    return open_source(conn, as_of=as_of, now=ENDS + timedelta(days=2))


def table(result: Result, key: str) -> list[Any]:
    return [list(row) for row in next(each for each in result.tables if each.key == key).rows]


@pytest.mark.slow
def test_all_figures_of_a_shop_that_lived(lived: Connection) -> None:
    """One shop, which takes seconds to live, for all of these."""
    rows = Rows(lived)
    assert {row.kind for row in rows.entries} == {
        "award", "clawback", "redeem", "reinstate", "hold", "release", "adjust", "expire"
    } | ({"unexpire"} & {row.kind for row in rows.entries})  # fmt: skip
    for as_of in (AS_OF, date(2026, 5, 31), date(2025, 11, 2), date(2025, 12, 31)):
        source = source_of(lived, as_of)
        redemption_rate(source, rows)
        reward_cost(source, rows)
        tiers(source, rows)
        issued_is_one_figure(source)
    fates(lived, rows)
    value_of_tiers(source_of(lived), rows)
    statements_do_not_grow(lived)
    without_what_is_needed(source_of(lived))


def redemption_rate(source: Source, rows: Rows) -> None:
    since, until = midnight(source.as_of - timedelta(days=89)), midnight(source.as_of + timedelta(days=1))
    result = redeeming.METRICS[0](source, days=90)
    issued = sum(row.points for row in rows.between(since, until, "award", "clawback"))
    redeemed = -sum(row.points for row in rows.between(since, until, "redeem", "reinstate"))
    assert (result.numerator, result.denominator) == (redeemed, issued)
    assert result.value == redeemed / issued
    of_customers = redeeming.METRICS[0](source, days=90, of="customers")
    active = {row.customer for row in rows.between(since, until, "award", "redeem") if row.points}
    spent = {row.customer for row in rows.between(since, until, "redeem")}
    assert (of_customers.numerator, of_customers.denominator) == (len(spent), len(active))
    assert of_customers.interval is not None
    by_month = Counter()
    for row in rows.between(midnight(date(2020, 1, 1)), until, "award", "clawback"):
        by_month[row.counted.astimezone(ZONE).strftime("%Y-%m")] += row.points
    assert {month: points for month, points, _ in table(result, "by-month") if points} == {
        month: points for month, points in by_month.items() if points
    }


def reward_cost(source: Source, rows: Rows) -> None:
    since, until = midnight(source.as_of - timedelta(days=179)), midnight(source.as_of + timedelta(days=1))
    result = costs.METRICS[0](source, days=180, cost_share=0.5)
    value = 0.0
    for row in rows.between(since, until, "redeem"):
        value += rows.redemptions[row.customer, row.seq][2]
    for row in rows.between(since, until, "reinstate"):
        for lot, debit, points in rows.taken[row.customer, row.seq]:
            if debit != row.seq:
                _, _, value_minor, captured = rows.redemptions[row.customer, debit]
                value += value_minor * points / captured
                assert lot > 0
    ((_, points, face, cost, revenue, share),) = table(result, "summary")
    assert face == pytest.approx(value, abs=20)  # what came back is rounded once a month
    assert abs(cost - face / 2) <= 1
    assert result.value == cost
    assert points == -sum(row.points for row in rows.between(since, until, "redeem", "reinstate"))
    assert share == pytest.approx(cost / revenue)
    issued = {what: points for what, points, _ in table(result, "issued")}
    assert sum(issued.values()) == sum(row.points for row in rows.between(since, until, "award"))


def tiers(source: Source, rows: Rows) -> None:
    result = tiers_over_time.METRICS[0](source)
    assert result.value is not None
    for month, *counts in table(result, "over-time"):
        year, number = map(int, month.split("-"))
        following = date(year + number // 12, number % 12 + 1, 1)
        end = midnight(min(following, source.as_of + timedelta(days=1)))
        # In the order in which they were booked, so that the last stands.
        there = {customer: to_tier for customer, _, _, to_tier, at in rows.moves if at < end}
        assert counts == [sum(tier == name for tier in there.values()) for name in ("bronze", "silver")], (
            month
        )
    members = tiers_over_time.METRICS[0].rows
    assert members is not None
    assert len(members(source, months=24).rows) == result.value


def issued_is_one_figure(source: Source) -> None:
    """The roll-forward, the redemption rate and the cost of rewards say the same of the same days."""
    first = source.as_of - timedelta(days=44)
    rolled = {
        row[0]: row[1] for row in table(liability.METRICS[0](source, **{"from": first}), "roll-forward")
    }
    rate = redeeming.METRICS[0](source, **{"from": first})
    cost = costs.METRICS[0](source, **{"from": first})
    assert rolled["Issued"] + rolled["Taken back by refunds"] == rate.denominator
    assert -rolled["Redeemed"] - rolled["Came back from cancelled redemptions"] == rate.numerator
    assert table(cost, "summary")[0][1] == rate.numerator
    assert sum(row[1] for row in table(cost, "issued")) == rolled["Issued"]


def fates(conn: Connection, rows: Rows) -> None:
    """What became of each month's points, one consumption at a time."""
    months = [date(2024, 9, 1) + timedelta(days=31 * n) for n in range(24)]
    months = [each.replace(day=1) for each in months]
    until = midnight(date(2026, 9, 1))
    found = read_fates(conn, until, [midnight(each) for each in months])
    place = {month.strftime("%Y-%m"): n for n, month in enumerate(months)}
    entries = {(row.customer, row.seq): row for row in rows.entries}
    issued = np.zeros(24, dtype=int)
    gone = np.zeros((24, 24, 3), dtype=int)
    month_of = {}
    for customer, lot, points, *_ in rows.lots:
        row = entries[customer, lot]
        if row.counted < until:
            month_of[customer, lot] = place[row.at.astimezone(ZONE).strftime("%Y-%m")]
            issued[month_of[customer, lot]] += points
    for (customer, seq), takings in rows.taken.items():
        row = entries[customer, seq]
        if row.counted >= until:
            continue
        for lot, debit, points in takings:
            own = debit == seq
            if lot == 0 or row.kind == "hold" or (row.kind == "release" and not own):
                continue
            fate = TAKEN
            if row.kind == "redeem" or (row.kind == "reinstate" and not own):
                fate = REDEEMED
            elif row.kind in ("expire", "unexpire"):
                fate = EXPIRED
            born = month_of[customer, lot]
            age = max(place[row.counted.astimezone(ZONE).strftime("%Y-%m")] - born, 0)
            gone[born, age, fate] += points
    assert found.issued.sum(axis=1).tolist() == issued.tolist()
    assert found.gone.sum(axis=1).tolist() == gone.tolist()
    result = breakage.METRICS[0](source_of(conn))
    assert result.value is not None
    assert result.interval is not None
    assert 0 <= result.interval.low <= result.value <= result.interval.high <= 1
    assert result.evidence == "estimated"
    assert sum(row[1] for row in table(result, "by-month")) == issued.sum()
    _, redeemed, not_redeemed = table(result, "expected")
    assert redeemed[1] + not_redeemed[1] == table(result, "expected")[0][1]
    assert redeemed[2] <= redeemed[1] <= redeemed[3]


def value_of_tiers(source: Source, rows: Rows) -> None:
    """Points of customers in silver are worth half as much again."""
    held = liability.METRICS[0].rows
    assert held is not None
    listed = held(source, at=None, clock="occurred").rows
    total: dict[str, int] = defaultdict(int)
    for _, tier, available, pending, on_hold, *_ in listed:
        total[tier] += available + pending + on_hold
    result = liability.METRICS[0](source)
    assert result.numerator == sum(total.values())
    # Twenty cents for ten points since December, rounded down as redemptions are.
    assert result.value is not None
    assert abs(result.value - (total["bronze"] * 2 + total["silver"] * 3)) <= 4
    assert total["silver"] > 0
    assert not any(row[0] == "c-3" for row in listed)
    with pytest.raises(BadParameter, match="not be later"):
        liability.METRICS[0](source, **{"from": date(2027, 1, 1)})
    with pytest.raises(BadParameter, match="at must be"):
        liability.METRICS[0](source, at="yesterday")
    with pytest.raises(BadParameter, match="from must be"):
        liability.METRICS[0](source, **{"from": date(1, 1, 1)})
    for at in ("0001-01-01", "9999-12-31T23:59:59-12:00", "9999-12-31"):
        with pytest.raises(BadParameter, match="at must be"):
            liability.METRICS[0](source, at=at)
    assert liability.METRICS[0](source, at=f"{AS_OF}T12:00+23:59").value is not None
    noon = liability.METRICS[0](source, at=f"{AS_OF}T12:00")
    assert noon.parameters["at"] == f"{AS_OF}T12:00:00-04:00"


def statements_do_not_grow(conn: Connection) -> None:
    counted = Counter()

    def count(*_: Any) -> None:
        counted["statements"] += 1

    event.listen(conn.engine, "before_cursor_execute", count)
    try:
        for metric in (liability, breakage, redeeming, costs, tiers_over_time):
            source = source_of(conn, date(2025, 12, 31))
            source.orders.days  # noqa: B018 - read what many metrics share
            counted.clear()
            metric.METRICS[0](source)
            assert counted["statements"] <= 10
    finally:
        event.remove(conn.engine, "before_cursor_execute", count)


def without_what_is_needed(source: Source) -> None:
    """Before there was anything, or without a database, there is no figure but a reason."""
    early = Source(source.store, date(2020, 1, 1), ZONE, "USD", conn=source.conn, programs=source.programs)
    assert redeeming.METRICS[0](early).reason_if_null == (
        "No points were issued, net of refunds, from 2019-01-02 to 2020-01-01."
    )
    assert "Nobody earned" in str(redeeming.METRICS[0](early, of="customers").reason_if_null)
    assert breakage.METRICS[0](early).reason_if_null == "No points were awarded in any month that has ended."
    young = Source(source.store, date(2025, 1, 20), ZONE, "USD", conn=source.conn, programs=source.programs)
    assert "it takes at least 3" in str(breakage.METRICS[0](young).reason_if_null)
    assert liability.METRICS[0](early).value == 0
    assert costs.METRICS[0](early).value == 0
    nowhere = Source(source.store, AS_OF, ZONE, "USD")
    for metric in (liability, breakage, redeeming, costs, tiers_over_time):
        assert "not at hand" in str(metric.METRICS[0](nowhere).reason_if_null)
