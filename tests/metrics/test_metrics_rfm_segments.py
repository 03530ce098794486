"""RFM, value segments and customers at risk: against the words of their definitions, as plain loops."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cdnow import cdnow_orders
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_shops import LONDON, Order, columns_of, random_orders, real_shop, source_of
from scipy.stats import rankdata

from rewards.metrics import at_risk, lifetime_value, predicted_value, rfm, segments_by_value
from rewards.metrics.lifetime.bgnbd import BGNBD
from rewards.metrics.lifetime.frequencies import frequencies
from rewards.metrics.lifetime.pace import chance_at_own_pace, kept_of_own_pace
from rewards.metrics.lifetime.prediction import Models, Terms, fit_models, forecast
from rewards.metrics.orders import day_number
from rewards.metrics.result import BadParameter, Metric, Table
from rewards.metrics.source import Source

RFM, SEGMENTS, AT_RISK = rfm.METRICS[0], segments_by_value.METRICS[0], at_risk.METRICS[0]
AS_OF = date(2025, 12, 1)
CDNOW_ENDS = date(1998, 6, 30)
seeds = st.integers(0, 10_000)
values = st.lists(st.integers(-5, 20), min_size=1, max_size=80)


def rows_of(metric: Metric, source: Source, **others: Any) -> dict[str, dict[str, Any]]:
    """Return a metric's listing by customer."""
    assert metric.rows is not None
    table = metric.rows(source, **({each.name: each.default for each in metric.parameters} | others))
    keys = [column.key for column in table.columns]
    return {row[0]: dict(zip(keys, row, strict=True)) for row in table.rows}


def table_of(metric: Metric, source: Source, key: str, **others: Any) -> Table:
    """Return a table of a metric's result."""
    return next(table for table in metric(source, **others).tables if table.key == key)


# RFM


@given(values)
def test_a_score_is_the_formula(of: list[int]) -> None:
    ranks = rankdata(of, method="min")
    assert rfm.score(np.array(of)).tolist() == [1 + int(5 * (rank - 1) // len(of)) for rank in ranks]


@given(values)
def test_scores_are_monotone_and_equals_are_equal(of: list[int]) -> None:
    found = rfm.score(np.array(of))
    assert ((found >= 1) & (found <= 5)).all()
    assert found.min() == 1
    for value, score in zip(of, found, strict=True):
        assert all(other <= score for less, other in zip(of, found, strict=True) if less < value)
        assert all(other == score for same, other in zip(of, found, strict=True) if same == value)


@given(st.permutations(range(40)))
def test_without_ties_the_classes_are_even(of: list[int]) -> None:
    assert np.bincount(rfm.score(np.array(of)))[1:].tolist() == [8] * 5


@given(
    seeds,
    st.sampled_from([None, 30, 200]),
    st.sampled_from(["sum", "mean"]),
    st.sampled_from(["net", "paid"]),
)
@settings(max_examples=30, deadline=None)
def test_rfm_is_that_of_a_plain_loop(seed: int, days: int | None, money: str, amounts: str) -> None:
    rows = random_orders(seed, customers=40)
    source = source_of(rows, AS_OF)
    bought: dict[int, list[tuple[date, int]]] = {}
    for row in rows:
        day = row.at.date()
        if day <= AS_OF and (days is None or day > AS_OF - timedelta(days=days)):
            bought.setdefault(row.customer, []).append(
                (day, row.amount - (row.refunded if amounts == "net" else 0))
            )
    listed = rows_of(RFM, source, days=days, money=money, amounts=amounts)
    assert set(listed) == {f"c-{customer}" for customer in bought}
    if not bought:
        assert "Nobody bought anything" in (RFM(source, days=days).reason_if_null or "")
        return
    expected = {}
    for customer, each in bought.items():
        purchases = len({day for day, _ in each})
        total = sum(amount for _, amount in each)
        expected[customer] = (
            (AS_OF - max(day for day, _ in each)).days,
            purchases,
            total / purchases if money == "mean" else total,
        )
    by = [
        rankdata(column, method="min")
        for column in zip(*((-r, f, m) for r, f, m in expected.values()), strict=True)
    ]
    for at, (customer, (recency, purchases, total)) in enumerate(expected.items()):
        row = listed[f"c-{customer}"]
        assert (row["recency_days"], row["purchases"]) == (recency, purchases)
        assert row["money_minor"] == pytest.approx(total, abs=0.51)
        scores = [1 + int(5 * (rank[at] - 1) // len(expected)) for rank in by]
        assert [row["r"], row["f"], row["m"]] == scores
        assert row["rfm"] == "".join(map(str, scores))
    result = RFM(source, days=days, money=money, amounts=amounts)
    best = sum(all(row[each] >= 4 for each in "rfm") for row in listed.values())
    assert (result.numerator, result.denominator) == (best, len(bought))
    matrix = next(table for table in result.tables if table.key == "matrix")
    assert sum(row[2] for row in matrix.rows) == len(bought)


def test_rfm_says_why_a_class_is_empty() -> None:
    result = RFM(source_of(cdnow_orders(), CDNOW_ENDS))
    assert any("nobody has an F of 2" in note for note in result.notes)
    found = next(table for table in result.tables if table.key == "f")
    assert [row[3] for row in found.rows if row[0] == 2] == [0]


# Value segments


@given(values)
def test_segments_partition_by_place_and_never_part_equals(of: list[int]) -> None:
    found = segments_by_value.segment(np.array(of))
    ranks, n = rankdata(of, method="min"), len(of)
    for rank, number in zip(ranks, found, strict=True):
        place = (rank - 1) * 10
        assert number == (3 if place >= 9 * n else 2 if place >= 7 * n else 1 if place >= 3 * n else 0)
    assert len({(value, number) for value, number in zip(of, found.tolist(), strict=True)}) == len(set(of))


@given(st.permutations(range(50)))
def test_without_ties_segments_are_of_their_size(of: list[int]) -> None:
    assert np.bincount(segments_by_value.segment(np.array(of))).tolist() == [15, 20, 10, 5]


@pytest.mark.parametrize("by", ["predicted", "past"])
def test_segments_and_moves_add_up(by: str) -> None:
    source = source_of(cdnow_orders(), CDNOW_ENDS)
    since = date(1997, 9, 30)
    result = SEGMENTS(source, by=by, since=since)
    assert (result.evidence, result.parameters["by"]) == (
        "estimated" if by == "predicted" else "measured",
        by,
    )
    tables = {table.key: [list(row) for row in table.rows] for table in result.tables}
    listed = rows_of(SEGMENTS, source, by=by, since=since)
    assert len(listed) == 2357
    for name, _, customers, value, *_ in tables["segments"]:
        members = [row for row in listed.values() if row["segment"] == name]
        assert customers == len(members)
        assert value == pytest.approx(sum(row["value_minor"] for row in members), abs=len(members))
    assert sum(row[1] for row in tables["segments"]) == pytest.approx(1)
    assert result.value == pytest.approx(tables["segments"][0][1])
    # Who was in a segment then is what the metric says of that day itself.
    then = rows_of(SEGMENTS, source_of(cdnow_orders(), since), by=by)
    assert {customer: row["segment_before"] for customer, row in listed.items() if customer in then} == {
        customer: row["segment"] for customer, row in then.items()
    }
    for before, now, part, customers in tables["migration"]:
        pairs = [row for row in listed.values() if (row["segment_before"], row["segment"]) == (before, now)]
        assert customers == len(pairs)
        of_before = sum(row["segment_before"] == before for row in listed.values())
        assert part == (pytest.approx(customers / of_before) if of_before else None)
    assert sum(row[3] for row in tables["migration"]) == 2357


def test_new_customers_come_from_nowhere() -> None:
    rows = random_orders(8, customers=400)
    listed = rows_of(SEGMENTS, source_of(rows, AS_OF), since=date(2025, 6, 30))
    first = {}
    for row in rows:
        first[f"c-{row.customer}"] = min(first.get(f"c-{row.customer}", row.at), row.at)
    for customer, row in listed.items():
        assert (row["segment_before"] == "new") == (first[customer].date() > date(2025, 6, 30))


def test_where_nothing_can_be_predicted_the_past_ranks_and_it_is_said() -> None:
    source = source_of(real_shop(), date(2011, 12, 9), LONDON)
    result = SEGMENTS(source)
    assert result.parameters == {"by": "past", "since": "2011-11-09"}
    assert "how customers leave" in result.notes[0]
    revenue: dict[int, int] = {}
    for row in real_shop():
        if row.at.date() > date(2010, 12, 9):
            revenue[row.customer] = revenue.get(row.customer, 0) + row.amount
    top = sorted(revenue.values(), reverse=True)[: int(result.tables[0].rows[0][2])]
    assert result.numerator == sum(top)
    assert result.denominator == sum(revenue.values())


def test_where_all_are_equal_there_is_no_top_but_a_reason() -> None:
    rows = [Order(customer, datetime(2025, 11, 1, tzinfo=UTC), 1_000) for customer in range(20)]
    result = SEGMENTS(source_of(rows, AS_OF))
    assert result.value is None
    assert "no top tenth" in (result.reason_if_null or "")
    assert [row[2] for row in result.tables[0].rows] == [0, 0, 0, 20]
    assert "no purchases" in (SEGMENTS(source_of([], AS_OF)).reason_if_null or "")
    refunded = [row._replace(refunded=1_000) for row in rows]
    assert "nothing" in (SEGMENTS(source_of(refunded, AS_OF)).reason_if_null or "")
    with pytest.raises(BadParameter, match="since must be before 2025-12-01"):
        SEGMENTS(source_of(rows, AS_OF), since=AS_OF)


@pytest.mark.parametrize(
    ("as_of", "since"),
    [
        ("2025-12-01", "2025-11-01"),
        ("2025-03-31", "2025-02-28"),
        ("2024-03-30", "2024-02-29"),
        ("2025-01-31", "2024-12-31"),
    ],
)
def test_moves_are_since_a_month_before(as_of: str, since: str) -> None:
    assert SEGMENTS(source_of([], date.fromisoformat(as_of))).parameters["since"] == since


# At risk


def cdnow_models() -> tuple[Any, Models]:
    until = day_number(CDNOW_ENDS) + 1
    of = frequencies(columns_of(cdnow_orders()), until)
    models = fit_models(of)
    assert isinstance(models, Models)
    return of, models


def test_at_risk_is_the_words_of_its_definition() -> None:
    source = source_of(cdnow_orders(), CDNOW_ENDS)
    of, models = cdnow_models()
    model: BGNBD = models.purchases
    listed = rows_of(AT_RISK, source, lost="counted")
    hits = 0
    for unit, x, t_x, age in zip(of.unit, of.x, of.t_x, of.age, strict=True):
        if not x:
            assert f"c-{unit}" not in listed
            continue
        power = model.r + x
        odds = model.a / (model.b + x - 1) * ((model.alpha + age) / (model.alpha + t_x)) ** power
        now = (1 - ((model.alpha + age) / (model.alpha + age + 90)) ** power) / (1 + odds)
        own = 1 - ((model.alpha + t_x) / (model.alpha + t_x + 90)) ** power
        assert (f"c-{unit}" in listed) == (now < 0.5 * own)
        if now < 0.5 * own:
            hits += 1
            row = listed[f"c-{unit}"]
            assert (row["chance"], row["chance_at_own_pace"]) == (
                pytest.approx(now, abs=1e-4),
                pytest.approx(own, abs=1e-4),
            )
            assert row["idle_days"] == age - t_x
    result = AT_RISK(source, lost="counted")
    assert (result.numerator, result.denominator) == (hits, int((of.x > 0).sum()))
    assert [row["left_of_chance"] for row in listed.values()] == sorted(
        row["left_of_chance"] for row in listed.values()
    )


def test_the_lost_are_told_apart_and_the_model_stands_beside_idle_time() -> None:
    source = source_of(cdnow_orders(), CDNOW_ENDS)
    apart, counted = rows_of(AT_RISK, source), rows_of(AT_RISK, source, lost="counted")
    assert set(apart) == {customer for customer, row in counted.items() if row["state"] != "lost"}
    assert len(apart) < len(counted)
    beside = {(row[0], row[1]): row[2] for row in table_of(AT_RISK, source, "beside").rows}
    assert sum(beside.values()) == AT_RISK(source).denominator
    assert beside["behind", "active"] + beside["behind", "dormant"] == len(apart)
    checked = {(row[0], row[1]): row[3] for row in table_of(AT_RISK, source, "check").rows}
    # METRICS: both the chance of a purchase and idle time rank CDNOW far better than chance.
    assert checked["chance of a purchase", "all"] > 0.75
    assert checked["days since the last purchase", "all"] > 0.75
    assert checked["what is left of their chance", "repeaters"] > 0.65


def test_each_row_says_why_in_words() -> None:
    listed = rows_of(AT_RISK, source_of(cdnow_orders(), CDNOW_ENDS))
    row = next(row for row in listed.values() if row["state"] == "dormant")
    assert row["why"] == (
        f"Bought on {row['purchase_days']} days, about {round(row['usual_gap_days'])} days apart, and not for "
        f"{row['idle_days']} days: {row['chance']:.0%} likely to buy within 90 days, {row['chance_at_own_pace']:.0%} at the "
        f"earlier pace; longer than nine of ten breaks of customers who bought as often ({round(row['break_days'])} days)."
    )


@given(st.integers(0, 30), st.integers(1, 400), st.integers(0, 400), st.integers(1, 400), st.integers(1, 365))
def test_what_is_left_falls_with_silence_from_the_day_of_the_purchase(
    x: int, t_x: int, idle: int, more: int, horizon: int
) -> None:
    model = BGNBD(0.7, 40.0, 0.8, 2.5)
    t_x = t_x if x else 0

    def left(silent: int) -> float:
        zero = np.zeros(1)
        of = type("Of", (), {"x": zero + x, "t_x": zero + t_x, "age": zero + t_x + silent})
        return float(kept_of_own_pace(model, of, float(horizon))[0])  # type: ignore[arg-type]

    # Somebody may leave with the very purchase that they made, once it is a repeat.
    stays = 1 - model.a / (model.a + model.b + x - 1) if x else 1.0
    assert left(0) == pytest.approx(stays)
    assert left(idle + more) < left(idle) + 1e-15


def test_the_chance_at_their_own_pace_is_between_0_and_1() -> None:
    of, models = cdnow_models()
    own = chance_at_own_pace(models.purchases, of, 90.0)
    assert ((own > 0) & (own < 1)).all()


def test_without_a_model_idle_time_takes_its_place() -> None:
    source = source_of(real_shop(), date(2011, 12, 9), LONDON)
    result = AT_RISK(source)
    assert (result.parameters["method"], result.evidence) == ("idle", "measured")
    assert "no model can be fitted" in result.notes[0]
    listed = rows_of(AT_RISK, source)
    assert len(listed) == result.numerator
    assert all(row["state"] == "dormant" and row["idle_days"] > row["break_days"] for row in listed.values())
    past = [row["idle_days"] / row["break_days"] for row in listed.values()]
    assert past == sorted(past, reverse=True)
    assert "likely" not in next(iter(listed.values()))["why"]


def test_without_repeaters_nobody_can_fall_behind() -> None:
    for rows in ([], [Order(customer, datetime(2025, 1, 1, tzinfo=UTC), 100) for customer in range(9)]):
        result = AT_RISK(source_of(rows, AS_OF))
        assert result.value is None
        assert "nobody has a pace" in (result.reason_if_null or "")
        assert rows_of(AT_RISK, source_of(rows, AS_OF)) == {}


@given(seeds)
@settings(max_examples=5, deadline=None)
def test_the_order_in_which_orders_came_changes_nothing(seed: int) -> None:
    rows = random_orders(seed, customers=120)
    one, other = source_of(rows, AS_OF), source_of(rows[::-1], AS_OF)
    for metric in (RFM, SEGMENTS, AT_RISK):
        assert metric(one) == metric(other)


def test_segments_rank_by_the_forecast() -> None:
    of, models = cdnow_models()
    value = forecast(of, models, Terms()).value
    listed = rows_of(SEGMENTS, source_of(cdnow_orders(), CDNOW_ENDS))
    assert [f"c-{unit}" for unit in of.unit[np.argsort(-value)][:50]] == list(listed)[:50]


def test_the_guide_tells_the_figures_of_cdnow() -> None:
    guide = " ".join(
        (Path(__file__).parents[2] / "docs" / "guides" / "metrics-lifetime.md").read_text().split()
    )
    source = source_of(cdnow_orders(), CDNOW_ENDS)
    paid, expected = lifetime_value.METRICS[0](source), predicted_value.METRICS[0](source)
    assert paid.interval is not None
    low, high = (f"{each / 100:.2f}" for each in paid.interval[:2])
    assert f"{paid.value / 100:.2f} a customer, between {low} and {high} with 95 % confidence" in guide
    assert f"{expected.value / 100:.2f} a customer in the next 12 months" in guide
    held = next(table for table in expected.tables if table.key == "holdout_revenue").rows
    for (_, told, happened, off), words in zip(held, ("the models", "cohort means"), strict=True):
        share = f"{off:+.1%}" if abs(off) < 0.1 else f"{off:+.0%}"
        assert (
            f"| {words} | {told / 100:,.0f} | {happened / 100:,.0f} | {share.replace('%', ' %')} |" in guide
        )
    result = SEGMENTS(source)
    assert f"{100 * result.value:.1f} % for CDNOW" in guide
    moved = [row[3] for row in next(table for table in result.tables if table.key == "migration").rows]
    assert (
        f"{moved[0]} of the {sum(moved[:4])} at the top a month before are still there, {moved[1]} are"
        in guide
    )
    checked = {(row[0], row[1]): row[3] for row in table_of(AT_RISK, source, "check").rows}
    chance, idle = checked["chance of a purchase", "all"], checked["days since the last purchase", "all"]
    assert (
        f"For CDNOW {chance:.0%} by the chance of a purchase, {idle:.0%} by idle time".replace("%", " %")
        in guide
    )
    assert rows_of(AT_RISK, source)["c-2163"]["why"] in guide.replace("> ", "")
