"""Kaplan–Meier, restricted means and log-rank against lifelines, SciPy, statsmodels and plain loops."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rewards.metrics.survival import Curve, kaplan_meier, log_rank, rmst, rmst_difference

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import lifelines
    from lifelines.statistics import logrank_test
    from lifelines.utils import median_survival_times, restricted_mean_survival_time
    from scipy import stats
    from statsmodels.duration.survfunc import SurvfuncRight, survdiff

Sample = tuple[np.ndarray, np.ndarray]


def sample_of(seed: int, size: int | None = None, censored: float = 0.3, most: int = 400) -> Sample:
    """Waits in whole days with ties, some of 0 days, some of which are still going on."""
    rng = np.random.default_rng(seed)
    size = size or int(rng.integers(30, 900))
    waits = np.minimum(rng.weibull(0.8, size) * rng.uniform(10, 200), most).astype(np.int64)
    return waits, rng.random(size) > censored


def fitted(waits: np.ndarray, events: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lifelines.KaplanMeierFitter().fit(waits, events)


@pytest.mark.parametrize("seed", range(25))
def test_the_curve_and_its_interval_are_those_of_lifelines(seed: int) -> None:
    waits, events = sample_of(seed)
    mine, theirs = kaplan_meier(waits, events), fitted(waits, events)
    there = theirs.survival_function_["KM_estimate"].reindex(mine.time)
    np.testing.assert_allclose(mine.survival, there, atol=1e-9)
    ends = theirs.confidence_interval_.reindex(mine.time).to_numpy()
    for own, other in zip(mine.bounds(), ends.T, strict=True):
        known = ~np.isnan(other) & (mine.survival > 0)
        np.testing.assert_allclose(own[known], other[known], atol=1e-9)
    assert mine.size == len(waits)
    assert mine.events.sum() == events.sum()


@pytest.mark.parametrize("seed", range(25))
def test_the_curve_and_its_interval_are_those_of_scipy(seed: int) -> None:
    waits, events = sample_of(seed)
    mine = kaplan_meier(waits, events)
    theirs = stats.ecdf(stats.CensoredData(uncensored=waits[events], right=waits[~events])).sf
    np.testing.assert_allclose(mine.survival, theirs.evaluate(mine.time), atol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        low, high = theirs.confidence_interval(0.9, method="log-log")
    within = (mine.survival > 0) & (mine.survival < 1)
    own_low, own_high = mine.bounds(0.9)
    np.testing.assert_allclose(own_low[within], low.evaluate(mine.time)[within], atol=1e-9)
    np.testing.assert_allclose(own_high[within], high.evaluate(mine.time)[within], atol=1e-9)


@pytest.mark.parametrize("seed", range(25))
def test_the_median_and_its_ends_are_those_of_lifelines(seed: int) -> None:
    waits, events = sample_of(seed, censored=0.15 + 0.02 * seed)
    mine, theirs = kaplan_meier(waits, events), fitted(waits, events)
    median = float(theirs.median_survival_time_)
    assert mine.median() == (median if math.isfinite(median) else None)
    low, high = median_survival_times(theirs.confidence_interval_).to_numpy().ravel()
    assert mine.median_ends() == (low if math.isfinite(low) else None, high if math.isfinite(high) else None)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("tau", [1, 17.5, 60, 200])
def test_the_restricted_mean_is_that_of_lifelines(seed: int, tau: float) -> None:
    waits, events = sample_of(seed, 400)
    found = rmst(kaplan_meier(waits, events), tau)
    assert found is not None
    assert found.value == pytest.approx(restricted_mean_survival_time(fitted(waits, events), t=tau), abs=1e-6)


def loop_rmst(waits: np.ndarray, events: np.ndarray, tau: float) -> tuple[float, float]:
    """The area below the curve and its variance, day by day, as the textbook writes them."""
    times = sorted({float(wait) for wait in waits if wait <= tau})
    survival, steps = 1.0, [(0.0, 1.0)]
    for time in times:
        risk = sum(1 for wait in waits if wait >= time)
        died = sum(1 for wait, event in zip(waits, events, strict=True) if wait == time and event)
        survival *= 1 - died / risk
        steps.append((time, survival))

    def area(start: float) -> float:
        total = 0.0
        for at, (time, height) in enumerate(steps):
            end = steps[at + 1][0] if at + 1 < len(steps) else tau
            total += max(0.0, end - max(time, start)) * height
        return total

    variance = 0.0
    for time in times:
        risk = sum(1 for wait in waits if wait >= time)
        died = sum(1 for wait, event in zip(waits, events, strict=True) if wait == time and event)
        if died and died < risk:
            variance += area(time) ** 2 * died / (risk * (risk - died))
    return area(0.0), variance


@pytest.mark.parametrize("seed", range(6))
def test_the_restricted_mean_and_its_variance_are_those_of_a_loop(seed: int) -> None:
    waits, events = sample_of(seed, 80)
    found = rmst(kaplan_meier(waits, events), 45)
    assert found is not None
    assert found[:2] == pytest.approx(loop_rmst(waits, events, 45), rel=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_without_censoring_the_variance_is_that_of_a_plain_mean(seed: int) -> None:
    waits, _ = sample_of(seed)
    found = rmst(kaplan_meier(waits, np.ones(len(waits), dtype=bool)), 100)
    cut = np.minimum(waits, 100)
    assert found is not None
    assert found.value == pytest.approx(cut.mean(), rel=1e-9)
    assert found.variance == pytest.approx(cut.var() / len(cut), rel=1e-9)


def test_the_standard_error_with_censoring_is_that_of_resampling() -> None:
    waits, events = sample_of(3, 500, censored=0.4)
    found = rmst(kaplan_meier(waits, events), 60)
    rng = np.random.default_rng(7)
    again = []
    for _ in range(600):
        pick = rng.integers(0, len(waits), len(waits))
        one = rmst(kaplan_meier(waits[pick], events[pick]), 60)
        assert one is not None
        again.append(one.value)
    assert found is not None
    assert found.se == pytest.approx(np.std(again), rel=0.12)


@pytest.mark.parametrize("seed", range(25))
def test_log_rank_is_that_of_scipy_lifelines_and_statsmodels(seed: int) -> None:
    (waits1, events1), (waits0, events0) = sample_of(seed), sample_of(seed + 100)
    found = log_rank(waits1, events1, waits0, events0)
    assert found is not None
    scipy = stats.logrank(
        stats.CensoredData(uncensored=waits1[events1], right=waits1[~events1]),
        stats.CensoredData(uncensored=waits0[events0], right=waits0[~events0]),
    )
    assert found.statistic == pytest.approx(float(scipy.statistic), abs=1e-9)
    assert found.p_value == pytest.approx(float(scipy.pvalue), abs=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = logrank_test(waits1, waits0, events1, events0)
        chi2, _ = survdiff(
            np.concatenate([waits1, waits0]),
            np.concatenate([events1, events0]),
            np.repeat([1, 0], [len(waits1), len(waits0)]),
        )
    assert found.statistic**2 == pytest.approx(other.test_statistic, abs=1e-6)
    assert found.p_value == pytest.approx(other.p_value, abs=1e-6)
    assert found.statistic**2 == pytest.approx(float(chi2), abs=1e-6)


def test_log_rank_holds_for_shops_for_which_scipy_overflows() -> None:
    rng = np.random.default_rng(0)
    size = 300_000
    waits1, waits0 = rng.integers(0, 30, size), rng.integers(0, 31, size)
    events1, events0 = rng.random(size) < 0.9, rng.random(size) < 0.9
    found = log_rank(waits1, events1, waits0, events0)
    expected = variance = 0.0
    for day in range(31):  # in floating point, by the textbook
        risk1, risk0 = float((waits1 >= day).sum()), float((waits0 >= day).sum())
        died = float((events1 & (waits1 == day)).sum() + (events0 & (waits0 == day)).sum())
        risk = risk1 + risk0
        expected += died * risk1 / risk
        variance += died * (risk1 / risk) * (risk0 / risk) * (risk - died) / (risk - 1)
    assert found is not None
    assert found.statistic == pytest.approx((events1.sum() - expected) / math.sqrt(variance), rel=1e-9)


def test_a_curve_by_hand() -> None:
    # The fan belts of SciPy's documentation: broken after 77 47 81 56 80, still going after 62 60 43 71 37.
    waits = [77, 47, 81, 56, 80, 62, 60, 43, 71, 37]
    curve = kaplan_meier(waits, [True] * 5 + [False] * 5)
    assert curve.time.tolist() == [37, 43, 47, 56, 60, 62, 71, 77, 80, 81]
    assert curve.survival.tolist() == pytest.approx([1, 1, 0.875, 0.75, 0.75, 0.75, 0.75, 0.5, 0.25, 0])
    assert curve.at(46) == 1.0
    assert curve.at(47) == pytest.approx(0.875)
    assert curve.median() == 77
    assert curve.at(500) == 0  # it has reached 0, which it stays at
    # 47·1 + 9·0.875 + 4·0.75 = 57.875 up to day 60; of it 10.875 after day 47 (8 at risk) and 3 after day 56 (7).
    mean = rmst(curve, 60)
    assert mean is not None
    assert mean.value == pytest.approx(57.875)
    assert mean.variance == pytest.approx(10.875**2 / (8 * 7) + 3**2 / (7 * 6))


def test_beyond_what_was_watched_nothing_is_known() -> None:
    curve = kaplan_meier([1, 5, 9], [True, False, False])
    assert curve.watched == 9
    assert curve.at(9) == pytest.approx(2 / 3)
    assert curve.at(9.5) is None
    assert curve.interval_at(10) is None
    assert rmst(curve, 10) is None
    assert rmst(curve, 0) is None
    assert curve.median() is None
    assert curve.median_ends()[1] is None


def test_an_event_at_once_counts() -> None:
    curve = kaplan_meier([0, 0, 3, 4], [True, False, True, False])
    # Of four at risk at 0 one has it; the one censored at 0 is at risk then, and not after.
    assert (curve.at_risk.tolist(), curve.survival.tolist()) == (
        [4, 2, 1],
        pytest.approx([0.75, 0.375, 0.375]),
    )
    assert curve.at(0) == 0.75


def test_where_all_have_had_it_the_interval_is_unknown() -> None:
    curve = kaplan_meier([1, 2], [True, True])
    low, high = curve.bounds()
    assert np.isnan([low[1], high[1]]).all()
    assert curve.interval_at(2) is None
    assert curve.interval_at(0.5) == (1, 1, 0.95)
    mean = rmst(curve, 5)
    assert mean is not None
    assert mean.value == 1.5


def test_nobody() -> None:
    curve = kaplan_meier([], [])
    assert (curve.size, curve.median(), curve.at(1), rmst(curve, 1)) == (0, None, None, None)
    assert log_rank([], [], [], []) is None
    assert log_rank([1, 2], [False, False], [3], [False]) is None


def test_bad_durations_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        kaplan_meier([-1, 2], [True, True])
    with pytest.raises(ValueError, match="at least 0"):
        kaplan_meier([math.nan, 2.0], [True, True])
    with pytest.raises(ValueError, match="each duration"):
        kaplan_meier([1, 2], [True])


@pytest.mark.parametrize("seed", range(5))
def test_the_difference_of_two_means(seed: int) -> None:
    one, other = (kaplan_meier(*sample_of(each, 300)) for each in (seed, seed + 50))
    found, first, second = rmst_difference(one, other, 90), rmst(one, 90), rmst(other, 90)
    assert found is not None
    assert first is not None
    assert second is not None
    assert found.value == pytest.approx(first.value - second.value)
    assert found.se == pytest.approx(math.hypot(first.se, second.se))
    assert found.interval.low == pytest.approx(found.value - 1.959963984540054 * found.se)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(found.value) / found.se), abs=1e-9)


@hypothesis_settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=40))
def test_whole_days_and_fractions_give_the_same_curve(pairs: list[tuple[int, bool]]) -> None:
    waits, events = (np.array(each) for each in zip(*pairs, strict=True))
    days, fractions = kaplan_meier(waits, events), kaplan_meier(waits.astype(float) / 7, events)
    theirs = SurvfuncRight(waits.astype(float), events.astype(int))
    assert isinstance(days, Curve)
    np.testing.assert_array_equal(days.survival, fractions.survival)
    np.testing.assert_array_equal(days.at_risk, fractions.at_risk)
    np.testing.assert_allclose(fractions.time * 7, days.time)
    np.testing.assert_allclose(days.survival[days.events > 0], theirs.surv_prob, atol=1e-12)
