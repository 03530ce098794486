"""BG/NBD and Gamma–Gamma against the published figures, `lifetimes`, finite differences, and simulation."""

import re
import warnings
from typing import Any

import numpy as np
import pytest
from cdnow import (
    CALIBRATION_ENDS,
    beta_geo,
    bought_like,
    cdnow_orders,
    cdnow_spend,
    cdnow_summary,
    gamma_gamma,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_shops import columns_of
from scipy.integrate import quad
from scipy.special import beta as beta_function

from rewards.metrics.lifetime import bgnbd, gammagamma
from rewards.metrics.lifetime.bgnbd import BGNBD
from rewards.metrics.lifetime.expecting import (
    chance_active,
    chance_of_purchase,
    expected_if_active,
    expected_of_new,
    expected_purchases,
)
from rewards.metrics.lifetime.frequencies import frequencies
from rewards.metrics.lifetime.gammagamma import GammaGamma
from rewards.metrics.lifetime.search import Unidentified
from rewards.metrics.orders import day_number

SUMMARY = cdnow_summary()
ORDERS = columns_of(cdnow_orders())
UNTIL = day_number(CALIBRATION_ENDS)
logs = st.floats(-1.5, 1.5)


def fitted(*to: Any) -> BGNBD:
    found = bgnbd.fit(*to)
    assert isinstance(found, BGNBD), found
    return found


def test_bgnbd_gives_the_published_figures() -> None:
    """Fader, Hardie and Lee (2005), table 2."""
    found = fitted(*SUMMARY)
    printed = [f"{value:.3f}" for value in (found.r, found.alpha, found.a, found.b)]
    assert printed == ["0.243", "4.414", "0.793", "2.426"]
    assert f"{found.log_likelihood:.1f}" == "-9582.4"


def test_both_give_the_published_figures_from_the_orders_themselves() -> None:
    """Days count here, where the published data have weeks rounded to two digits; note 025 for the amounts."""
    of = frequencies(ORDERS.before(UNTIL), UNTIL)
    assert len(of) == 2357
    buying = fitted(of.x, of.t_x / 7, of.age / 7)
    assert [f"{value:.3f}" for value in (buying.r, buying.a)] == ["0.243", "0.793"]
    assert (buying.alpha, buying.b) == pytest.approx((4.414, 2.426), abs=1e-3)
    amounts = gammagamma.fit(of.x, of.mean / 100)
    assert isinstance(amounts, GammaGamma)
    assert [f"{value:.2f}" for value in (amounts.p, amounts.q, amounts.v)] == ["6.25", "3.74", "15.44"]


def test_the_unit_of_time_and_of_money_changes_nothing_else() -> None:
    weeks = fitted(*SUMMARY)
    days = fitted(SUMMARY[0], SUMMARY[1] * 7, SUMMARY[2] * 7)
    assert (days.r, days.alpha, days.a, days.b) == pytest.approx(
        (weeks.r, weeks.alpha * 7, weeks.a, weeks.b), rel=1e-8
    )
    x, mean = cdnow_spend()
    dollars, cents = gammagamma.fit(x, mean), gammagamma.fit(x, mean * 100)
    assert isinstance(dollars, GammaGamma)
    assert isinstance(cents, GammaGamma)
    assert (cents.p, cents.q, cents.v) == pytest.approx((dollars.p, dollars.q, dollars.v * 100), rel=1e-8)
    # A density of cents is a hundredth of one of dollars.
    assert cents.log_likelihood == pytest.approx(dollars.log_likelihood - len(x) * np.log(100), abs=1e-6)


def test_fits_agree_with_lifetimes() -> None:
    other, ours = beta_geo(*SUMMARY), fitted(*SUMMARY)
    assert (ours.r, ours.alpha, ours.a, ours.b) == pytest.approx(tuple(other.params_), rel=1e-5)
    errors = np.array(ours.log_errors) * (ours.r, ours.alpha, ours.a, ours.b)
    # `lifetimes` takes the hessian by logarithms with time scaled; alpha's error is told in scaled time there.
    assert errors[[0, 2, 3]] == pytest.approx(np.asarray(other.standard_errors_)[[0, 2, 3]], rel=1e-3)
    x, mean = cdnow_spend()
    other, found = gamma_gamma(x, mean), gammagamma.fit(x, mean)
    assert isinstance(found, GammaGamma)
    assert (found.p, found.q, found.v) == pytest.approx(tuple(other.params_), rel=1e-5)
    assert found.log_likelihood == pytest.approx(-other._negative_log_likelihood_ * len(x), abs=1e-6)


@given(logs, logs, logs, logs)
@settings(max_examples=30, deadline=None)
def test_likelihood_agrees_with_lifetimes(r: float, alpha: float, a: float, b: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lifetimes import BetaGeoFitter

        theirs = -BetaGeoFitter._negative_log_likelihood(
            np.array([r, alpha, a, b]), *SUMMARY, np.ones(len(SUMMARY[0])), 0.0
        )
    ours = bgnbd.log_likelihood(bgnbd.patterns(*SUMMARY), np.exp([r, alpha, a, b])).value
    assert ours / len(SUMMARY[0]) == pytest.approx(theirs, abs=1e-9)


@given(logs, logs, logs)
@settings(max_examples=30, deadline=None)
def test_likelihood_of_amounts_agrees_with_lifetimes(p: float, q: float, v: float) -> None:
    x, mean = cdnow_spend()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lifetimes import GammaGammaFitter

        theirs = -GammaGammaFitter._negative_log_likelihood(
            np.array([p, q, v]), x, mean, np.ones(len(x)), 0.0
        )
    ours = gammagamma.log_likelihood(x, mean, np.exp([p, q, v])).value
    assert ours / len(x) == pytest.approx(theirs, abs=1e-9)


def slopes_by_differences(value: Any, at: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Return the derivatives of a function by central differences."""
    found = []
    for each in range(len(at)):
        move = np.zeros(len(at))
        move[each] = step * at[each]
        found.append((value(at + move) - value(at - move)) / (2 * step * at[each]))
    return np.array(found)


@given(logs, logs, logs, logs, st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_slopes_of_purchases_are_those_of_finite_differences(
    r: float, alpha: float, a: float, b: float, seed: int
) -> None:
    of = bgnbd.patterns(
        *bought_like(seed, 40, (0.8, 60, 0.8, 2.5)), np.random.default_rng(seed).integers(1, 5, 40)
    )
    at = np.exp([r, alpha + 3, a, b])
    told = bgnbd.log_likelihood(of, at)
    by_differences = slopes_by_differences(lambda each: bgnbd.log_likelihood(of, each).value, at)
    assert told.gradient * at == pytest.approx(by_differences * at, rel=1e-5, abs=1e-3)
    bent = slopes_by_differences(lambda each: bgnbd.log_likelihood(of, each).gradient, at)
    scale = np.outer(at, at)
    assert told.hessian * scale == pytest.approx(bent * scale, rel=1e-5, abs=1e-3)
    assert told.hessian == pytest.approx(told.hessian.T)


@given(logs, logs, logs, st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_slopes_of_amounts_are_those_of_finite_differences(p: float, q: float, v: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, mean = rng.integers(1, 9, 40).astype(float), rng.gamma(2.0, 1.0, 40) + 0.01
    at = np.exp([p, q, v])
    told = gammagamma.log_likelihood(x, mean, at)
    by_differences = slopes_by_differences(lambda each: gammagamma.log_likelihood(x, mean, each).value, at)
    assert told.gradient * at == pytest.approx(by_differences * at, rel=1e-5, abs=1e-3)
    bent = slopes_by_differences(lambda each: gammagamma.log_likelihood(x, mean, each).gradient, at)
    assert told.hessian * np.outer(at, at) == pytest.approx(bent * np.outer(at, at), rel=1e-5, abs=1e-3)


def test_patterns_are_the_same_as_single_customers() -> None:
    x, t_x, age = (np.round(each) for each in SUMMARY)
    distinct, counts = np.unique(np.stack([x, t_x, age]), axis=1, return_counts=True)
    assert len(counts) < len(x)
    of_all, of_patterns = fitted(x, t_x, age), fitted(*distinct, counts)
    assert of_all.log_likelihood == pytest.approx(of_patterns.log_likelihood, rel=1e-12)
    assert (of_all.r, of_all.alpha, of_all.a, of_all.b) == pytest.approx(
        (of_patterns.r, of_patterns.alpha, of_patterns.a, of_patterns.b), rel=1e-7
    )


@pytest.mark.slow
def test_the_truth_is_found_again_and_a_rough_start_leads_to_the_same_top(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth = (0.8, 60.0, 0.8, 2.5)
    of = bought_like(7, 40_000, truth)
    found = fitted(*of)
    # Whole days make purchases of one day one, which slows everybody a little.
    for value, true, error in zip(
        (found.r, found.alpha, found.a, found.b), truth, found.log_errors, strict=True
    ):
        assert abs(np.log(value / true)) < 4 * error + 0.02
    monkeypatch.setattr(bgnbd, "ROUGH", 2_000)
    assert (fitted(*of).r, fitted(*of).b) == pytest.approx((found.r, found.b), rel=1e-6)


@pytest.mark.parametrize("horizon", [0.5, 39.0, 400.0])
def test_expectations_agree_with_lifetimes(horizon: float) -> None:
    other = beta_geo(*SUMMARY)
    model = BGNBD(*other.params_)
    x, t_x, age = SUMMARY
    theirs = other.conditional_expected_number_of_purchases_up_to_time(horizon, *SUMMARY)
    assert expected_purchases(model, [horizon], x, t_x, age)[0] == pytest.approx(theirs, rel=1e-8, abs=1e-9)
    assert chance_active(model, x, t_x, age) == pytest.approx(
        other.conditional_probability_alive(*SUMMARY), abs=1e-12
    )
    of_new = expected_of_new(model, np.array([horizon]))[0]
    assert of_new == pytest.approx(other.expected_number_of_purchases_up_to_time(horizon), rel=1e-8)
    # P(at least one) of somebody new is what is left of P(none); equation 8.
    nothing = np.zeros(1)
    least_one = chance_of_purchase(model, horizon, nothing, nothing, nothing)[0]
    assert least_one == pytest.approx(1 - other.probability_of_n_purchases_up_to_time(horizon, 0), abs=1e-9)


@pytest.mark.parametrize(("a", "b"), [(1.0, 2.0), (1.000001, 2.0), (0.4, 0.6), (2.5, 3.0), (0.01, 5.0)])
def test_expectation_is_the_integral_that_it_stands_for(a: float, b: float) -> None:
    """Somebody active buys at a rate λ·e^(−λps); the mean over λ and p of its integral to t, by quadrature."""
    model, t, x, age = BGNBD(0.7, 30.0, a, b), 90.0, 3.0, 200.0
    power, scale = model.r + x, model.alpha + age

    def at(u: float) -> float:
        # E over λ of (1 − e^(−λpt))/p, in closed form; with u = p^a the density of p has no peak at 0.
        p = u ** (1 / a)
        purchases = -np.expm1(-power * np.log1p(p * t / scale)) / p if p > 1e-12 else power * t / scale
        return float(purchases * (1 - p) ** (b + x - 1) / (a * beta_function(a, b + x)))

    by_quadrature = quad(at, 0, 0.5, limit=200)[0] + quad(at, 0.5, 1, limit=200)[0]
    found = expected_if_active(model, t, np.array([x]), np.array([age]))[0]
    assert found == pytest.approx(by_quadrature, rel=1e-7)


def test_expectations_keep_their_digits_for_very_many_purchases() -> None:
    model = BGNBD(0.8, 60.0, 0.8, 2.5)
    found = expected_purchases(
        model, [30.0, 365.0], np.array([900.0]), np.array([1000.0]), np.array([1000.0])
    )
    # Somebody who bought on nine days of ten will go on, as far as the chance to leave after each lets: a/(b + x) or so.
    assert np.isfinite(found).all()
    assert 20 < found[0, 0] < 30 * 0.9
    assert found[0, 0] < found[1, 0] < 365 * 0.9


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_expectations_are_monotone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = BGNBD(*np.exp(rng.uniform(-1.5, 1.5, 4)) * np.array([1, 50, 1, 2]))
    x = rng.integers(0, 20, 50).astype(float)
    age = rng.integers(20, 900, 50).astype(float)
    t_x = np.where(x > 0, np.floor(rng.uniform(0, 1, 50) * age), 0.0)
    several = expected_purchases(model, [1.0, 30.0, 90.0, 365.0], x, t_x, age)
    assert (np.diff(several, axis=0) > -1e-12).all()
    assert (several >= 0).all()
    chances = [chance_of_purchase(model, horizon, x, t_x, age) for horizon in (1.0, 30.0, 365.0)]
    assert (np.diff(chances, axis=0) >= 0).all()
    assert (np.array(chances) < 1).all()
    # Nobody is more likely to buy at all than to buy so often in the mean, and silence never makes it likelier.
    assert (chances[1] <= several[1] + 1e-9).all()
    later = chance_of_purchase(model, 30.0, x, t_x, age + 10)
    assert (later <= chances[1] + 1e-12).all()


def test_combined_horizons_are_the_sums_of_them() -> None:
    model, of = BGNBD(0.8, 60.0, 0.8, 2.5), bought_like(3, 60, (0.8, 60, 0.8, 2.5))
    weights = np.array([[0.9, 0.8, 0.7], [0.0, 0.0, 1.0]])
    apart = expected_purchases(model, [30.0, 60.0, 90.0], *of)
    assert expected_purchases(model, [30.0, 60.0, 90.0], *of, weights) == pytest.approx(weights @ apart)


def unidentified(x: Any, t_x: Any, age: Any) -> str:
    found = bgnbd.fit(x, t_x, age)
    assert isinstance(found, Unidentified), found
    return found.reason


def test_where_the_customers_tell_nothing_there_is_no_fit() -> None:
    ages = np.arange(200.0)
    assert "nobody has bought anything" in unidentified([], [], [])
    assert "second time" in unidentified(np.zeros(200), np.zeros(200), ages)
    assert "any time after" in unidentified(np.ones(200), np.zeros(200), ages)
    # Everybody buys every tenth day.
    assert "how often they buy" in unidentified(np.floor(ages / 10), np.floor(ages / 10) * 10, ages)


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ((1.0, 40.0, 1e-6, 1.0), "stopped buying|leave"),  # nobody leaves
        ((1e6, 4e7, 0.8, 2.5), "how often they buy"),  # all at one rate
        ((1.0, 40.0, 3e5, 1e6), "leave"),  # all equally likely to leave
    ],
)
def test_where_customers_do_not_differ_there_is_no_fit(
    parameters: tuple[float, float, float, float], word: str
) -> None:
    assert re.search(word, unidentified(*bought_like(5, 2_000, parameters)))


def test_where_amounts_tell_nothing_there_is_no_fit() -> None:
    rng = np.random.default_rng(2)
    x = rng.integers(1, 5, 300).astype(float)
    cases = {
        "nobody has": gammagamma.fit(np.zeros(9), np.ones(9)),
        "same amount": gammagamma.fit(x, np.full(300, 12.0)),
        "differ in what they spend": gammagamma.fit(x, rng.gamma(3.0 * x, 1 / (3.0 * x))),
        "no mean": gammagamma.fit(np.full(3000, 4.0), np.exp(rng.standard_t(1, 3000).clip(-30, 30) * 3)),
    }
    for word, found in cases.items():
        assert isinstance(found, Unidentified), (word, found)
        assert word in found.reason, (word, found)


def test_expected_spend_agrees_with_lifetimes_and_lies_between_own_and_all() -> None:
    x, mean = cdnow_spend()
    other = gamma_gamma(x, mean)
    model = GammaGamma(*other.params_)
    theirs = other.conditional_expected_average_profit(x, mean)
    assert model.expected(x, mean) == pytest.approx(np.asarray(theirs), rel=1e-9)
    assert model.expected(0, 999.0) == pytest.approx(model.mean)
    between = model.expected(x, mean)
    assert ((between - model.mean) * (between - mean) <= 1e-9).all()
