"""Lifetime value so far and to come, against naive loops, `lifetimes`, and what a shop may look like."""

import json
import warnings
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pytest
from cdnow import bought_like, cdnow_orders
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_shops import LONDON, Order, columns_of, random_orders, real_shop, source_of

from rewards.metrics import at_risk, engagement, lifetime_value, predicted_value, rfm, segments_by_value
from rewards.metrics.lifetime import bgnbd, checking, prediction
from rewards.metrics.lifetime.checking import auc, check
from rewards.metrics.lifetime.frequencies import Frequencies, frequencies
from rewards.metrics.lifetime.gammagamma import GammaGamma
from rewards.metrics.lifetime.prediction import (
    Models,
    Terms,
    cohort_means,
    cohort_rates,
    fit_models,
    forecast,
)
from rewards.metrics.lifetime.search import Unidentified
from rewards.metrics.lifetime.sums import coded
from rewards.metrics.orders import day_number, day_of
from rewards.metrics.result import BadParameter, Metric

LIFETIME, PREDICTED = lifetime_value.METRICS[0], predicted_value.METRICS[0]
AS_OF = date(2025, 12, 1)
seeds = st.integers(0, 10_000)


def by_customer(rows: list[Order], as_of: date) -> dict[int, dict[date, int]]:
    """Return what each customer paid each day, less refunds, in plain dicts."""
    found: dict[int, dict[date, int]] = {}
    for row in rows:
        day = row.at.date()
        if day <= as_of:
            days = found.setdefault(row.customer, {})
            days[day] = days.get(day, 0) + row.amount - row.refunded
    return found


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_frequencies_are_those_of_a_plain_loop(seed: int) -> None:
    rows = random_orders(seed, customers=40)
    until = day_number(AS_OF) + 1
    of = frequencies(columns_of(rows).before(until), until)
    expected = by_customer(rows, AS_OF)
    assert of.unit.tolist() == sorted(expected)
    for at, customer in enumerate(sorted(expected)):
        days = sorted(expected[customer])
        repeat = [expected[customer][day] for day in days[1:]]
        assert of.x[at] == len(days) - 1
        assert of.t_x[at] == (days[-1] - days[0]).days
        assert of.age[at] == (AS_OF - days[0]).days
        assert of.idle[at] == (AS_OF - days[-1]).days
        assert of.spent[at] == sum(expected[customer].values())
        assert of.mean[at] == pytest.approx(sum(repeat) / len(repeat) if repeat else 0)


def test_frequencies_agree_with_lifetimes() -> None:
    rows = [row for row in random_orders(3, customers=150) if row.refunded == 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas as pd
        from lifetimes.utils import summary_data_from_transaction_data

        table = pd.DataFrame(
            [(row.customer, row.at.replace(tzinfo=None), row.amount) for row in rows],
            columns=["id", "at", "amount"],
        )
        theirs = summary_data_from_transaction_data(
            table[table["at"] < "2025-12-02"],
            "id",
            "at",
            "amount",
            observation_period_end="2025-12-01",
            freq="D",
        ).sort_index()
    until = day_number(AS_OF) + 1
    of = frequencies(columns_of(rows).before(until), until)
    assert of.unit.tolist() == theirs.index.tolist()
    for ours, name in ((of.x, "frequency"), (of.t_x, "recency"), (of.age, "T"), (of.mean, "monetary_value")):
        assert ours == pytest.approx(theirs[name].to_numpy())


@given(seeds, st.sampled_from([None, 0.0, 0.35, 1.0]))
@settings(max_examples=20, deadline=None)
def test_lifetime_value_is_what_is_left_after_refunds(seed: int, margin: float | None) -> None:
    rows = random_orders(seed, customers=30)
    source = source_of(rows, AS_OF)
    each = {
        customer: sum(days.values()) * (1.0 if margin is None else margin)
        for customer, days in by_customer(rows, AS_OF).items()
    }
    result = LIFETIME(source, margin=margin)
    values = list(each.values())
    assert result.numerator == pytest.approx(sum(values))
    assert result.denominator == len(values)
    assert result.value == pytest.approx(np.mean(values))
    assert result.interval is not None
    assert result.interval.high - np.mean(values) == pytest.approx(
        1.959964 * np.std(values, ddof=1) / len(values) ** 0.5
    )
    assert ("revenue" in " ".join(result.notes)) == (margin is None)
    listed = {row[0]: row[3] for row in lifetime_value.lifetime_value_rows(source, margin).rows}
    assert listed == {f"c-{customer}": round(value) for customer, value in each.items()} or margin == 0.35
    cohorts = next(table for table in result.tables if table.key == "cohorts")
    assert sum(row[1] for row in cohorts.rows) == len(values)
    assert sum(row[2] for row in cohorts.rows) == pytest.approx(sum(values), abs=len(cohorts.rows))


@pytest.mark.parametrize("metric", [LIFETIME, PREDICTED])
def test_without_purchases_there_is_no_value_but_a_reason(metric: Metric) -> None:
    result = metric(source_of([], AS_OF))
    assert result.value is None
    assert result.reason_if_null == "There are no purchases up to 2025-12-01."
    assert metric.rows is not None
    assert not metric.rows(
        source_of([], AS_OF), **{each.name: each.default for each in metric.parameters}
    ).rows


def test_one_customer_has_a_value_but_no_interval_and_nothing_to_come() -> None:
    source = source_of([Order(1, datetime(2025, 3, 1, tzinfo=UTC), 5_000)], AS_OF)
    assert LIFETIME(source).value == 5_000
    assert LIFETIME(source).interval is None
    assert "second day" in (PREDICTED(source).reason_if_null or "")


def simulated(seed: int = 4, customers: int = 3_000) -> Frequencies:
    """Return customers who live by the models' own words, in days and minor units."""
    rng = np.random.default_rng(seed)
    x, t_x, age = bought_like(seed, customers, (0.8, 60, 0.8, 2.5))
    mean = np.where(
        x > 0,
        rng.gamma(6 * np.maximum(x, 1), 1) / np.maximum(x, 1) / rng.gamma(4, 1 / 2400.0, customers),
        0.0,
    )
    first = (day_number(AS_OF) - age).astype(np.int32)
    return Frequencies(np.arange(customers, dtype=np.int32), first, x, t_x, age, mean * (x + 1), mean)


def models_of(of: Frequencies) -> Models:
    found = fit_models(of)
    assert isinstance(found, Models), found
    return found


def test_forecast_is_that_of_lifetimes_with_its_months(monkeypatch: pytest.MonkeyPatch) -> None:
    of = simulated()
    models = models_of(of)
    assert isinstance(models.amounts, GammaGamma)
    # `lifetimes` takes a month for 30 days.
    monkeypatch.setattr(prediction, "MONTH_DAYS", 30.0)
    found = forecast(of, models, Terms(12, 0.02, 0.4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas as pd
        from lifetimes import BetaGeoFitter, GammaGammaFitter

        buying, amounts = BetaGeoFitter(), GammaGammaFitter()
        mine = models.purchases
        buying.params_ = pd.Series({"r": mine.r, "alpha": mine.alpha, "a": mine.a, "b": mine.b})
        buying.predict = buying.conditional_expected_number_of_purchases_up_to_time
        amounts.params_ = pd.Series({"p": models.amounts.p, "q": models.amounts.q, "v": models.amounts.v})
        theirs = amounts.customer_lifetime_value(
            buying,
            pd.Series(of.x),
            pd.Series(of.t_x),
            pd.Series(of.age),
            pd.Series(of.mean),
            time=12,
            discount_rate=0.02,
            freq="D",
        )
    assert found.value == pytest.approx(0.4 * theirs.to_numpy(), rel=1e-6)
    assert found.purchases == pytest.approx(buying.predict(360, of.x, of.t_x, of.age), rel=1e-6)


@given(st.integers(1, 36), st.floats(0, 0.2), st.floats(0.01, 1))
@settings(max_examples=15, deadline=None)
def test_a_longer_look_a_larger_margin_and_less_discount_are_worth_more(
    months: int, discount: float, margin: float
) -> None:
    of = simulated(5, 400)
    models = Models(bgnbd.BGNBD(0.8, 60, 0.8, 2.5), GammaGamma(6, 4, 2400), 4800.0, 0.0)
    value = forecast(of, models, Terms(months, discount, margin)).value
    assert (value >= 0).all()
    assert (forecast(of, models, Terms(months + 1, discount, margin)).value > value).all()
    assert (forecast(of, models, Terms(months, discount + 0.01, margin)).value < value).all()
    assert forecast(of, models, Terms(months, discount, margin / 2)).value == pytest.approx(value / 2)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_cohort_means_are_those_of_a_plain_loop(seed: int) -> None:
    rows = random_orders(seed, customers=120)
    until = day_number(AS_OF) + 1
    of = frequencies(columns_of(rows).before(until), until)
    spent: dict[str, list[tuple[float, float]]] = {}
    for customer, days in by_customer(rows, AS_OF).items():
        first = min(days)
        repeat = sum(days.values()) - days[first]
        spent.setdefault(f"{first:%Y-%m}", []).append((repeat, (AS_OF - first).days))
        assert customer in of.unit
    everybody = [each for cohort in spent.values() for each in cohort]
    overall = sum(each[0] for each in everybody) / max(sum(each[1] for each in everybody), 1)
    rates = cohort_rates(of)
    for at in range(len(of)):
        cohort = spent[f"{day_of(int(of.first_day[at])):%Y-%m}"]
        age = sum(each[1] for each in cohort)
        rate = sum(each[0] for each in cohort) / age if len(cohort) >= 20 and age else overall
        assert rates[at] == pytest.approx(max(rate, 0))
    worth = sum(1.01**-month for month in range(1, 13)) * 365 / 12
    assert cohort_means(of, Terms(12, 0.01, 0.5)) == pytest.approx(rates * worth * 0.5)


def test_too_few_or_too_young_customers_are_predicted_by_their_cohort_and_it_is_said() -> None:
    few = source_of(random_orders(1, customers=60), AS_OF)
    result = PREDICTED(few)
    assert result.parameters["method"] == "cohort-means"
    assert result.evidence == "estimated"
    assert "cohort means" in result.notes[0]
    assert "50 are needed" in result.notes[0]
    young = source_of(random_orders(1, customers=2_000, days=80, per_year=40), date(2025, 3, 20))
    assert "90 are needed" in PREDICTED(young).notes[0]
    # Nobody leaves, so that how customers leave cannot be learnt.
    rng = np.random.default_rng(1)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    loyal = [
        Order(customer, start + timedelta(days=float(day)), 1_000 + int(rng.integers(0, 500)))
        for customer in range(300)
        for day in np.cumsum(rng.exponential(rng.gamma(2.0, 20.0), 60))
        if day < 600
    ]
    result = PREDICTED(source_of(loyal, date(2025, 8, 22)))
    assert result.parameters["method"] == "cohort-means"
    assert "leave" in result.notes[0]
    assert result.value is not None


def test_amounts_that_are_all_alike_leave_the_mean_and_it_is_said() -> None:
    source = source_of(random_orders(1), AS_OF)
    result = PREDICTED(source)
    assert result.parameters["method"] == "bg-nbd-gamma-gamma"
    assert "the mean of all repeat purchases" in result.notes[0]
    assert {row[4] for row in predicted_value.predicted_value_rows(source, 12, 0.01, None).rows} == {
        round(models_of(frequencies(source.orders, source.until)).mean_spend)
    }


def test_a_correlation_of_how_often_with_how_much_is_told_and_warned_of() -> None:
    of = simulated()
    calm = models_of(of)
    assert calm.correlation == pytest.approx(np.corrcoef(of.x[of.x > 0], of.mean[of.x > 0])[0, 1])
    rows = cdnow_orders()
    quiet = PREDICTED(source_of(rows, date(1998, 6, 30)))
    assert any("correlation of 0.0" in note and "in doubt" not in note for note in quiet.notes)
    bought: dict[int, int] = {}
    for row in rows:
        bought[row.customer] = bought.get(row.customer, 0) + 1
    tied = [row._replace(amount=row.amount + 500 * bought[row.customer] ** 2) for row in rows]
    loud = PREDICTED(source_of(tied, date(1998, 6, 30)))
    assert any("in doubt" in note for note in loud.notes)


def test_prediction_of_cdnow_comes_near_to_what_happened() -> None:
    """The last half year, predicted from the year before: the published finding is that BG/NBD is within a few percent."""
    source = source_of(cdnow_orders(), date(1998, 6, 30))
    result = PREDICTED(source)
    tables = {table.key: table for table in result.tables}
    by, expected, happened, off, _ = tables["holdout_purchases"].rows[0]
    assert by == "the model"
    assert abs(off) < 0.05
    assert expected == pytest.approx(happened * (1 + off), abs=0.1)
    revenue = {row[0]: abs(row[3]) for row in tables["holdout_revenue"].rows}
    assert revenue["the model"] < 0.1 < revenue["cohort means"]
    assert any("made on 1997-12-3" in note for note in result.notes)
    assert {row[1] for row in tables["models"].rows} == {
        "r",
        "alpha",
        "a",
        "b",
        "p",
        "q",
        "v",
        "log-likelihood",
    }


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_what_happened_since_is_counted_by_a_plain_loop(seed: int) -> None:
    rows = random_orders(seed, customers=80)
    until = day_number(AS_OF) + 1
    found = check(columns_of(rows).before(until), until)
    assert not isinstance(found, Unidentified)
    split = day_of(found.split)
    all_days = by_customer(rows, AS_OF)
    before = {customer for customer, days in all_days.items() if min(days) < split}
    since = {customer: [day for day in all_days[customer] if day >= split] for customer in before}
    assert (found.days, found.customers) == ((AS_OF - split).days + 1, len(before))
    assert found.bought == sum(bool(days) for days in since.values())
    assert found.purchases == sum(len(days) for days in since.values())
    assert found.revenue == sum(all_days[customer][day] for customer, days in since.items() for day in days)


def test_the_check_uses_nothing_of_what_it_is_held_against() -> None:
    rows = cdnow_orders()
    until = day_number(date(1998, 6, 30)) + 1
    first = check(columns_of(rows), until)
    assert isinstance(first, checking.Check)
    split = day_of(first.split)
    changed = [row for row in rows if row.at.date() < split or row.customer % 3]
    second = check(columns_of(changed), until)
    assert isinstance(second, checking.Check)
    assert first.model is not None
    assert second.model is not None
    assert (second.model.purchases, second.revenue_by_means) == (
        first.model.purchases,
        first.revenue_by_means,
    )
    assert second.purchases < first.purchases


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=30))
def test_auc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[int, bool]]) -> None:
    hits = [score for score, happened in pairs if happened]
    others = [score for score, happened in pairs if not happened]
    wins = [1.0 if hit > other else 0.5 if hit == other else 0.0 for hit in hits for other in others]
    found = auc(
        np.array([float(score) for score, _ in pairs]),
        np.array([happened for _, happened in pairs], dtype=bool),
    )
    assert found == (pytest.approx(sum(wins) / len(wins)) if wins else None)


@given(st.lists(st.one_of(st.integers(0, 50), st.floats(-5, 1e9)), max_size=40))
def test_coded_is_unique(values: list[Any]) -> None:
    for array in (np.array(values, dtype=float), np.array([int(each) for each in values])):
        found, theirs = coded(array), np.unique(array, return_inverse=True)
        assert found[0].tolist() == theirs[0].tolist()
        assert found[1].tolist() == theirs[1].tolist()


def test_the_real_shop_is_predicted_with_its_reasons() -> None:
    """How its customers leave cannot be learnt from one year: they hardly do. (`lifetimes` does not settle either.)"""
    source = source_of(real_shop(), date(2011, 12, 9), LONDON)
    result = PREDICTED(source)
    assert result.value is not None
    assert result.parameters["method"] == "cohort-means"
    assert "how customers leave" in result.notes[0]
    assert result.denominator == 4338


def test_parameters_are_refused_where_they_make_no_sense() -> None:
    source = source_of(random_orders(2, customers=5), AS_OF)
    for wrong in ({"margin": 1.5}, {"months": 0}, {"discount": -0.1}, {"colour": "red"}):
        with pytest.raises(BadParameter):
            PREDICTED(source, **wrong)


@cache
def shops() -> dict[str, Any]:
    """Return shops of every kind, as sources."""
    once = [Order(customer, datetime(2025, 1, 1 + customer % 28, tzinfo=UTC), 100) for customer in range(60)]
    return {
        "none": source_of([], AS_OF),
        "one": source_of(once[:1], AS_OF),
        "once each": source_of(once, AS_OF),
        "all refunded": source_of([row._replace(refunded=row.amount) for row in random_orders(1)], AS_OF),
        "more refunded than paid": source_of(
            [row._replace(refunded=2 * row.amount) for row in random_orders(2)], AS_OF
        ),
        "today": source_of([row._replace(at=datetime(2025, 12, 1, tzinfo=UTC)) for row in once], AS_OF),
        "small": source_of(random_orders(3, customers=40), AS_OF),
        "usual": source_of(random_orders(4, customers=300), AS_OF),
        "cut": source_of(random_orders(4, customers=300), AS_OF, history_start=date(2025, 2, 1)),
        "cdnow": source_of(cdnow_orders(), date(1998, 6, 30)),
    }


@pytest.mark.parametrize("kind", list(shops()))
@pytest.mark.parametrize(
    "module", [lifetime_value, predicted_value, segments_by_value, rfm, at_risk, engagement]
)
def test_every_shop_has_a_figure_or_a_reason_in_plain_values(kind: str, module: Any) -> None:
    (metric,) = module.METRICS
    source = shops()[kind]
    result = metric(source)
    defaults = {each.name: each.default for each in metric.parameters}
    if result.unit == "share" and result.value is not None:
        assert 0 <= result.value <= 1
        assert result.value == pytest.approx(result.numerator / result.denominator)
    if result.reason_if_null is not None:
        assert result.reason_if_null.endswith(".")
    assert all(note.endswith(".") for note in result.notes)
    figures = [result.value, result.numerator, result.denominator, *(result.interval or ())]
    for table in (*result.tables, metric.rows(source, **defaults)):
        assert len({column.key for column in table.columns}) == len(table.columns)
        for row in table.rows:
            assert len(row) == len(table.columns)
            figures += row
    # A subclass such as numpy's float is not plain.
    assert {type(each) for each in figures} <= {int, float, str, type(None)}
    json.dumps([figures, dict(result.parameters)], allow_nan=False)
