"""How many customers it takes: the published figures, statsmodels', and what a simulated shop sees with so many."""

import warnings
from itertools import pairwise
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.metrics.effect.power import (
    DAYS_A_MONTH,
    FEW_CUSTOMERS,
    advise,
    needed,
    of_mean,
    of_rate,
)


def test_the_figures_of_the_definitions() -> None:
    """METRICS §1: +5 % relative on 20 % takes about 140,000 customers with 10 % held out, and 51,000 with halves."""
    outcome = of_rate(0.20, 0.05)
    assert needed(outcome, 10, 1).total == 140_052
    assert needed(outcome, 50, 1).total == 51_160


@given(
    st.floats(0.02, 0.6), st.floats(0.02, 0.2), st.sampled_from([5, 10, 20, 50]), st.sampled_from([0.8, 0.9])
)
def test_rates_as_an_independent_library_has_them(
    baseline: float, lift: float, share_pct: float, power: float
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from statsmodels.stats.power import normal_power_het
    found = needed(of_rate(baseline, lift), share_pct, 1, power=power)
    changed, k = baseline * (1 + lift), found.program / found.holdout
    spread = sqrt(baseline * (1 - baseline) + changed * (1 - changed) / k)
    reached = normal_power_het(baseline * lift, found.holdout, 0.05, std_null=spread, std_alternative=spread)
    # As few as are enough: one customer less of the holdout would be too few.
    fewer = normal_power_het(
        baseline * lift, found.holdout - 1, 0.05, std_null=spread, std_alternative=spread
    )
    assert reached >= power - 1e-3
    assert fewer <= power + 1e-3


@given(st.floats(1, 1e6), st.floats(0.2, 5), st.floats(0.02, 0.5), st.sampled_from([5, 20, 50]))
def test_means_as_an_independent_library_has_them(
    mean: float, spread: float, lift: float, share_pct: float
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from statsmodels.stats.power import NormalIndPower
    found = needed(of_mean(mean, mean * spread, lift), share_pct, 1)
    ratio = (100 - share_pct) / share_pct
    holdout = NormalIndPower().solve_power(effect_size=lift / spread, alpha=0.05, power=0.8, ratio=ratio)
    assert found.holdout == pytest.approx(holdout, rel=1e-3, abs=1.01)


def test_a_simulated_shop_sees_it_as_often_as_was_asked_for() -> None:
    import numpy as np

    baseline, lift, share = 0.3, 0.15, 20
    found = needed(of_rate(baseline, lift), share, 1)
    draws = np.random.default_rng(5)
    program = draws.binomial(found.program, baseline * (1 + lift), 20_000) / found.program
    held_out = draws.binomial(found.holdout, baseline, 20_000) / found.holdout
    error = np.sqrt(program * (1 - program) / found.program + held_out * (1 - held_out) / found.holdout)
    seen = np.abs(program - held_out) > 1.959964 * error
    assert 0.785 < seen.mean() < 0.815


def test_what_the_past_explains_is_saved() -> None:
    outcome = of_mean(100, 300, 0.1)
    plain, helped = needed(outcome, 20, 1), needed(outcome, 20, 1, correlation=0.6)
    assert helped.holdout == pytest.approx(plain.holdout * 0.64, abs=1)


def test_weeks_are_until_the_last_customer_has_had_the_time() -> None:
    found = needed(of_rate(0.2, 0.2), 50, 1_000)
    assert found.weeks == pytest.approx(found.total / 1_000 * DAYS_A_MONTH / 7 + 90 / 7)
    assert needed(of_rate(0.2, 0.2), 50, 0).weeks is None


@given(st.floats(0.05, 0.6), st.floats(0.05, 0.5))
def test_a_smaller_share_takes_more_in_all_and_fewer_held_out(baseline: float, lift: float) -> None:
    options = advise(of_rate(baseline, lift), 10_000).options
    assert [each.share_pct for each in options] == [5, 10, 20, 30, 50]
    assert all(a.total >= b.total for a, b in pairwise(options))
    assert all(a.holdout <= b.holdout for a, b in pairwise(options))


def test_small_shops_are_offered_a_staggered_start() -> None:
    few = advise(of_rate(0.2, 0.1), (FEW_CUSTOMERS - 1) / 12)
    assert few.staggered
    assert "nobody is left out for ever" in few.text
    many = advise(of_rate(0.2, 0.1), 100_000)
    assert (many.staggered, many.best) == (False, many.options[0])
    assert "stay for good" in many.text
    hopeless = advise(of_rate(0.2, 0.01), 5_000)
    assert (hopeless.staggered, hopeless.best) == (False, None)
    assert "will not be seen" in hopeless.text


@pytest.mark.parametrize(
    ("baseline", "lift"), [(0, 0.1), (1, 0.1), (0.6, 0.7), (0.2, 0), (0.2, -1), (-0.1, 0.1)]
)
def test_what_no_rate_can_do_is_refused(baseline: float, lift: float) -> None:
    with pytest.raises(ValueError, match=r"rate|lift"):
        of_rate(baseline, lift)


@pytest.mark.parametrize("share_pct", [0, 100, -1])
def test_a_share_is_a_part(share_pct: float) -> None:
    with pytest.raises(ValueError, match="share"):
        needed(of_rate(0.2, 0.1), share_pct, 1)
    with pytest.raises(ValueError, match="deviation"):
        of_mean(10, 0, 0.1)
