"""The figures of a trial against independent libraries and against formulas written out."""

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from rewards.metrics.effect.always_valid import (
    always_valid_interval,
    always_valid_p,
    customers_needed,
    mixing,
    reach,
)
from rewards.metrics.effect.analysis import benjamini_hochberg
from rewards.metrics.effect.cace import complier_effect
from rewards.metrics.effect.checks import independence_p, ratio_p
from rewards.metrics.effect.cuped import adjust, cuped, interacted, theta
from rewards.metrics.effect.estimators import (
    Estimate,
    difference_in_means,
    difference_of_ratios,
    relative_lift,
    winsorised,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import statsmodels.api as sm
    from statsmodels.stats.multitest import multipletests

SEEDS = range(5)


class Drawn:
    """Customers with a past, an arm and an outcome."""

    def __init__(self, seed: int, n: int = 600, new: float = 0.3) -> None:
        rng = np.random.default_rng(seed)
        self.arm = (rng.uniform(size=n) < 0.7).astype(np.int8)
        self.has_history = rng.uniform(size=n) >= new
        self.x = np.where(self.has_history, rng.gamma(2, 400, n), 0.0)
        self.y = 300 + 0.8 * self.x + 200 * self.has_history + rng.gamma(1, 500, n) + 60 * self.arm
        self.orders = rng.poisson(1.5, n).astype(float)
        self.enrolled = (rng.uniform(size=n) < 0.6) & (self.arm == 1)

    def split(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return values[self.arm == 1], values[self.arm == 0]


@pytest.mark.parametrize("seed", SEEDS)
def test_difference_in_means_is_scipys_welch(seed: int) -> None:
    drawn = Drawn(seed)
    found = difference_in_means(drawn.y, drawn.arm)
    assert found is not None
    theirs = stats.ttest_ind(*drawn.split(drawn.y), equal_var=False)
    ends = theirs.confidence_interval(0.95)
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-6)
    assert tuple(found.interval())[:2] == pytest.approx((ends.low, ends.high), rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_cuped_is_welch_of_the_residuals_of_statsmodels(seed: int) -> None:
    drawn = Drawn(seed, new=0.0)
    slope = sm.OLS(drawn.y, sm.add_constant(drawn.x)).fit().params[1]
    assert theta(drawn.y, drawn.x) == pytest.approx(slope, rel=1e-9)
    theirs = stats.ttest_ind(*drawn.split(drawn.y - slope * drawn.x), equal_var=False)
    found = cuped(drawn.y, drawn.x, drawn.arm)
    assert found is not None
    assert found.difference / found.se == pytest.approx(theirs.statistic, rel=1e-6)
    # The level stays where it was: only the noise goes.
    ours = adjust(drawn.y, drawn.x, drawn.has_history, drawn.arm)
    assert ours is not None
    assert ours.method == "cuped"
    assert ours.adjusted == found
    assert abs(ours.adjusted.holdout - ours.raw.holdout) < 3 * ours.raw.holdout_se
    assert ours.removed == pytest.approx(1 - found.se**2 / ours.raw.se**2)
    assert ours.removed > 0.2


@pytest.mark.parametrize("seed", SEEDS)
def test_interacted_regression_is_statsmodels_ols_with_hc2(seed: int) -> None:
    drawn = Drawn(seed)
    is_new = (~drawn.has_history).astype(float)
    past = np.column_stack([drawn.x, is_new])
    centred = past - past.mean(axis=0)
    arm = drawn.arm.astype(float)
    design = np.column_stack([np.ones(len(arm)), arm, centred, arm[:, None] * centred])
    theirs = sm.OLS(drawn.y, design).fit(cov_type="HC2")
    found = interacted(drawn.y, past.T, drawn.arm)
    assert found is not None
    assert found.difference == pytest.approx(theirs.params[1], rel=1e-6)
    assert found.se == pytest.approx(theirs.bse[1], rel=1e-6)
    assert found.holdout == pytest.approx(theirs.params[0], rel=1e-6)
    assert found.holdout_se == pytest.approx(theirs.bse[0], rel=1e-6)
    ours = adjust(drawn.y, drawn.x, drawn.has_history, drawn.arm)
    assert ours is not None
    assert (ours.method, ours.adjusted.difference) == ("regression", pytest.approx(found.difference))


def test_collinear_pasts_are_left_out_and_count_once() -> None:
    drawn = Drawn(3)
    once = interacted(drawn.y, drawn.x[None, :], drawn.arm)
    twice = interacted(drawn.y, np.vstack([drawn.x, 3 * drawn.x + 7]), drawn.arm)
    assert once is not None
    assert twice is not None
    assert twice.difference == pytest.approx(once.difference)
    assert twice.se == pytest.approx(once.se)


def test_without_a_past_the_raw_difference_is_all_there_is() -> None:
    drawn = Drawn(1)
    nobody, zeros = np.zeros(len(drawn.y), dtype=bool), np.zeros(len(drawn.y))
    few = zeros.copy()
    few[:8] = 50.0
    for past, known in ((zeros, nobody), (few, few > 0)):
        found = adjust(drawn.y, past, known, drawn.arm)
        assert found is not None
        assert (found.method, found.removed) == ("none", 0.0)
        assert found.adjusted == found.raw
    assert adjust(zeros, drawn.x, drawn.has_history, drawn.arm) is None


@pytest.mark.parametrize("seed", SEEDS)
def test_ratios_agree_with_the_bootstrap_of_customers(seed: int) -> None:
    drawn = Drawn(seed)
    top = drawn.y * drawn.orders
    found = difference_of_ratios(top, drawn.orders, drawn.arm)
    assert found is not None
    (top1, top0), (below1, below0) = drawn.split(top), drawn.split(drawn.orders)
    assert found.difference == pytest.approx(top1.sum() / below1.sum() - top0.sum() / below0.sum())
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(800):
        first, other = rng.integers(0, len(top1), len(top1)), rng.integers(0, len(top0), len(top0))
        draws.append(top1[first].sum() / below1[first].sum() - top0[other].sum() / below0[other].sum())
    assert found.se == pytest.approx(np.std(draws), rel=0.15)


@pytest.mark.parametrize("seed", SEEDS)
def test_relative_lift_is_where_the_test_of_it_is_passed(seed: int) -> None:
    drawn = Drawn(seed)
    sample1, sample0 = drawn.split(drawn.y)
    found = difference_in_means(drawn.y, drawn.arm)
    assert found is not None
    relative = found.relative(1.96)
    assert relative is not None
    assert relative.low is not None
    assert relative.high is not None
    assert relative.low < relative.value < relative.high
    # At each end the hypothesis "the program's mean is (1 + r) times the holdout's" is just rejected.
    for end in (relative.low, relative.high):
        gap = sample1.mean() - (1 + end) * sample0.mean()
        se = math.hypot(
            sample1.std(ddof=1) / len(sample1) ** 0.5, (1 + end) * sample0.std(ddof=1) / len(sample0) ** 0.5
        )
        assert abs(gap / se) == pytest.approx(1.96, rel=1e-6)


def test_a_level_that_may_be_zero_has_no_bounded_lift() -> None:
    found = relative_lift(0.01, 0.02, 0.01, 0.01, 1.96)
    assert found is not None
    assert (found.low, found.high) == (None, None)
    assert relative_lift(0.01, 0.02, 0.0, 0.01, 1.96) is None


def test_winsorising_lowers_the_highest_hundredth_of_both_arms() -> None:
    y = np.arange(1_000.0)
    assert winsorised(y).max() == pytest.approx(np.quantile(y, 0.99))
    assert (winsorised(y) == y).sum() == 990


def estimate(difference: float, se: float, customers: int) -> Estimate:
    return Estimate(difference, se, 1 + difference, 1.0, se, customers)


def test_always_valid_interval_is_the_formula() -> None:
    # METRICS §3.8, written out again.
    alpha, expected, n, se = 0.05, 5_000, 3_210, 0.0123
    rho = math.sqrt((-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / expected)
    half = (
        se
        * math.sqrt(n)
        * math.sqrt(2 * (n * rho**2 + 1) / (n * rho) ** 2 * math.log(math.sqrt(n * rho**2 + 1) / alpha))
    )
    found = always_valid_interval(estimate(0.02, se, n), expected)
    assert mixing(expected) == pytest.approx(rho)
    assert (found.low, found.high) == pytest.approx((0.02 - half, 0.02 + half))
    # It is about half again as wide as a fixed one, and tightest about where it was meant to be.
    assert 1.4 < reach(5_000) / 1.96 < 1.7
    widths = {n: reach(n) for n in (500, 5_000, 500_000)}
    assert widths[5_000] < widths[500]
    assert widths[5_000] < widths[500_000]


@pytest.mark.parametrize("z", [0.1, 2.0, 3.5, 60.0])
def test_always_valid_p_is_where_the_interval_just_reaches_zero(z: float) -> None:
    one = estimate(z * 0.01, 0.01, 4_000)
    p = always_valid_p(one)
    interval = always_valid_interval(one)
    assert (p < 0.05) == (interval.low > 0)
    if 1e-200 < p < 1:
        rho = mixing()
        grown = 4_000 * rho**2 + 1
        half = math.sqrt(4_000) * math.sqrt(2 * grown / (4_000 * rho) ** 2 * math.log(math.sqrt(grown) / p))
        assert half == pytest.approx(z)


def test_customers_needed_narrow_the_interval_to_what_was_asked() -> None:
    one = estimate(0.0, 0.01, 4_000)
    needed = customers_needed(one, 0.02)
    assert needed is not None
    assert needed > 4_000
    se = 0.01 * math.sqrt(4_000 / needed)
    assert se * reach(needed) == pytest.approx(0.02, rel=1e-6)
    assert customers_needed(one, 0.0) is None
    assert customers_needed(one, 1e-9) is None


@pytest.mark.parametrize("seed", SEEDS)
def test_complier_effect_is_the_wald_estimate_with_its_robust_error(seed: int) -> None:
    drawn = Drawn(seed)
    found = complier_effect(drawn.y, drawn.enrolled, drawn.arm)
    assert found is not None
    assert found.effect is not None
    assert found.se is not None
    # Two stages: the arm is the instrument of taking part. Its coefficient, and the sandwich by hand.
    n = len(drawn.y)
    instruments = np.column_stack([np.ones(n), drawn.arm])
    design = np.column_stack([np.ones(n), drawn.enrolled])
    beta = np.linalg.solve(instruments.T @ design, instruments.T @ drawn.y)
    assert found.effect == pytest.approx(beta[1], rel=1e-6)
    rest = drawn.y - design @ beta
    leverage = np.einsum("ij,ij->i", instruments @ np.linalg.inv(instruments.T @ instruments), instruments)
    meat = instruments.T @ (instruments * (rest**2 / (1 - leverage))[:, None])
    bread = np.linalg.inv(instruments.T @ design)
    assert found.se == pytest.approx(math.sqrt((bread @ meat @ bread.T)[1, 1]), rel=1e-6)
    # And by the delta method, term by term.
    (y1, y0), (d1, d0) = drawn.split(drawn.y), drawn.split(drawn.enrolled.astype(float))
    itt, moved = y1.mean() - y0.mean(), d1.mean() - d0.mean()
    var_itt = y1.var(ddof=1) / len(y1) + y0.var(ddof=1) / len(y0)
    var_moved = d1.var(ddof=1) / len(d1) + d0.var(ddof=1) / len(d0)
    both = np.cov(y1, d1)[0, 1] / len(y1) + np.cov(y0, d0)[0, 1] / len(y0)
    delta = (var_itt + (itt / moved) ** 2 * var_moved - 2 * itt / moved * both) / moved**2
    assert found.se == pytest.approx(math.sqrt(delta), rel=1e-6)
    assert found.f == pytest.approx(moved**2 / var_moved)


def test_a_weak_offer_says_nothing_of_taking_part() -> None:
    drawn = Drawn(2)
    rng = np.random.default_rng(99)
    found = complier_effect(drawn.y, rng.uniform(size=len(drawn.y)) < 0.1, drawn.arm)
    assert found is not None
    assert found.effect is None
    assert found.reason_if_null is not None
    assert "F is" in found.reason_if_null


def test_who_all_do_as_they_were_drawn_have_the_effect_itself() -> None:
    drawn = Drawn(2)
    found = complier_effect(drawn.y, drawn.arm == 1, drawn.arm)
    raw = difference_in_means(drawn.y, drawn.arm)
    assert found is not None
    assert raw is not None
    assert found.effect == pytest.approx(raw.difference)
    assert found.se == pytest.approx(raw.se)
    assert found.f == math.inf


@pytest.mark.parametrize("seed", SEEDS)
def test_tests_of_counts_are_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(20, 400, 2)
    theirs = stats.chisquare(counts[::-1], counts.sum() * np.array([0.3, 0.7]))
    assert ratio_p(int(counts[0]), int(counts[1]), 0.3) == pytest.approx(theirs.pvalue, rel=1e-6)
    table = rng.integers(5, 60, (2, 3))
    expected = stats.chi2_contingency(table, correction=False).pvalue
    assert independence_p(table) == pytest.approx(expected, rel=1e-6)
    assert independence_p(np.array([[5, 0], [9, 0]])) is None


@pytest.mark.parametrize("seed", SEEDS)
def test_q_values_are_statsmodels(seed: int) -> None:
    p_values = np.random.default_rng(seed).uniform(size=9) ** 3
    theirs = multipletests(p_values, method="fdr_bh")[1]
    assert benjamini_hochberg(p_values.tolist()) == pytest.approx(theirs.tolist(), rel=1e-9)
    assert benjamini_hochberg([]) == []


def test_the_worked_example_of_the_guide() -> None:
    customers, again = {1: 4_812, 0: 4_790}, {1: 1_097, 0: 1_024}
    y = np.concatenate([np.arange(customers[arm]) < again[arm] for arm in (1, 0)]).astype(float)
    arm = np.repeat([1, 0], [customers[1], customers[0]]).astype(np.int8)
    found = difference_in_means(y, arm)
    assert found is not None
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "effect.md").read_text()
    running, fixed = always_valid_interval(found), found.interval()
    assert f"between −{-running.low * 100:.1f} and +{running.high * 100:.1f} percentage points" in guide
    assert f"the usual interval: −{-fixed.low * 100:.1f} to +{fixed.high * 100:.1f}" in guide
    assert f"is +{found.difference * 100:.1f} percentage points" in " ".join(guide.split())
    assert f"here {reach(found.customers):.1f} standard errors" in guide
    # At 400 new customers a week.
    needed = customers_needed(found, 0.1 * found.holdout)
    assert needed is not None
    assert f"about {round((needed - found.customers) / 400)} weeks to go" in guide
