"""Intervals against statsmodels and scipy."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.metrics import intervals

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from scipy import stats
    from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

counts = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
levels = st.sampled_from([0.8, 0.9, 0.95, 0.99, 0.999])


@given(counts, levels)
def test_wilson_is_that_of_statsmodels(count: tuple[int, int], level: float) -> None:
    k, n = count
    found = intervals.wilson(k, n, level)
    low, high = proportion_confint(k, n, alpha=1 - level, method="wilson")
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    assert 0 <= found.low <= k / n <= found.high <= 1


def test_wilson_by_hand() -> None:
    # 4 of 10: middle (0.4 + 3.8416/20) / 1.38416 = 0.42775; half 1.96 * sqrt(0.024 + 3.8416/400) / 1.38416 = 0.25958.
    found = intervals.wilson(4, 10)
    assert found is not None
    assert (round(found.low, 4), round(found.high, 4)) == (0.1682, 0.6873)
    assert intervals.wilson(0, 10).low == 0.0  # type: ignore[union-attr]
    assert intervals.wilson(10, 10).high == 1.0  # type: ignore[union-attr]


@given(counts, counts, levels)
def test_newcombe_is_that_of_statsmodels(one: tuple[int, int], other: tuple[int, int], level: float) -> None:
    found = intervals.newcombe(*one, *other, level)
    low, high = confint_proportions_2indep(*one, *other, method="newcomb", compare="diff", alpha=1 - level)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    assert -1 <= found.low <= found.high <= 1


def test_newcombe_of_the_paper() -> None:
    # Newcombe (1998), table II, method 10: 56/70 − 48/80 is 0.0524 to 0.3339.
    found = intervals.newcombe(56, 70, 48, 80)
    assert found is not None
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)


def test_an_empty_sample_has_no_interval() -> None:
    assert intervals.wilson(0, 0) is None
    assert intervals.newcombe(0, 0, 3, 4) is None
    low, high = intervals.wilson_bounds([0, 1], [0, 2])
    assert np.isnan([low[0], high[0]]).all()
    assert (low[1], high[1]) == intervals.wilson(1, 2)[:2]  # type: ignore[index]


@pytest.mark.parametrize(("k", "n"), [(3, 2), (-1, 2)])
def test_more_than_all_is_no_share(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        intervals.wilson(k, n)


def test_a_level_is_between_0_and_1() -> None:
    with pytest.raises(ValueError, match="level"):
        intervals.z(95)
    assert intervals.z() == pytest.approx(1.959963984540054, abs=1e-12)
    assert intervals.two_sided_p(1.959963984540054) == pytest.approx(0.05, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_welch_is_that_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.gamma(1, 20, rng.integers(2, 400)), rng.gamma(2, 9, rng.integers(2, 400))
    found = intervals.welch_of(one, other)
    expected = stats.ttest_ind(one, other, equal_var=False)
    low, high = expected.confidence_interval(0.95)
    assert found is not None
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-9)
    assert found.degrees == pytest.approx(expected.df, rel=1e-9)
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), rel=1e-9)


def test_welch_that_cannot_be_told() -> None:
    assert intervals.welch_of(np.ones(1), np.ones(5)) is None
    assert intervals.welch_of(np.ones(5), np.ones(5)) is None


def test_loading_the_module_loads_no_numbers() -> None:
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import json, sys, rewards.metrics.intervals; print(json.dumps(list(sys.modules)))",
        ],
        check=True,
        capture_output=True,
    )
    assert not {"numpy", "scipy"} & set(json.loads(said.stdout))
