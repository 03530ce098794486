"""Intervals that may be looked at every day: they hold at all times together, not at one look fixed beforehand.

A fixed 95 % interval that is looked at weekly excludes a truth of zero about a quarter of the time within half a year.
These are wider, and exclude it at most 5 % of the time, however often they are looked at and whenever one stops.
"""

from math import exp, log, sqrt

from rewards.metrics.effect.estimators import Estimate
from rewards.metrics.result import Interval

ALPHA = 0.05
#: The number of customers at which the interval is tightest, where nobody says how many there will be.
EXPECTED_CUSTOMERS = 5_000.0
#: Beyond this many nobody waits.
_MOST_CUSTOMERS = 10**9


def mixing(expected: float = EXPECTED_CUSTOMERS, alpha: float = ALPHA) -> float:
    """Return ρ, by which the interval is tightest at ``expected`` customers: √((−2 ln α + ln(−2 ln α + 1)) / N*)."""
    return sqrt((-2 * log(alpha) + log(-2 * log(alpha) + 1)) / expected)


def reach(customers: float, expected: float = EXPECTED_CUSTOMERS, alpha: float = ALPHA) -> float:
    """Return how many standard errors the always-valid interval has to each side, with so many customers in both arms.

    The normal-mixture confidence sequence in its asymptotic form (Robbins, 1970; Waudby-Smith, Arbour, Sinha, Kennedy
    and Ramdas, 2021): √N·√(2(Nρ²+1)/(Nρ)²·ln(√(Nρ²+1)/α)).
    """
    rho = mixing(expected, alpha)
    grown = customers * rho**2 + 1
    return sqrt(customers) * sqrt(2 * grown / (customers * rho) ** 2 * log(sqrt(grown) / alpha))


def always_valid_interval(
    estimate: Estimate, expected: float = EXPECTED_CUSTOMERS, level: float = 0.95
) -> Interval:
    """Return the interval that may be looked at as often as one likes."""
    half = estimate.se * reach(estimate.customers, expected, 1 - level)
    return Interval(estimate.difference - half, estimate.difference + half, level)


def always_valid_p(estimate: Estimate, expected: float = EXPECTED_CUSTOMERS, alpha: float = ALPHA) -> float:
    """Return the smallest α at which this look's always-valid interval excludes zero, with ρ made for ``alpha``."""
    rho = mixing(expected, alpha)
    weight = estimate.customers * rho**2
    z = estimate.difference / estimate.se
    # e to the minus 745 is the smallest number there is.
    return min(1.0, sqrt(weight + 1) * exp(-min(z**2 * weight / (2 * (weight + 1)), 700.0)))


def customers_needed(
    estimate: Estimate, half_width: float, expected: float = EXPECTED_CUSTOMERS, alpha: float = ALPHA
) -> float | None:
    """Return with how many customers the always-valid interval reaches ``half_width`` to each side.

    Customers to come are taken to vary as those until now. None where no number below a thousand million is enough.
    """
    if half_width <= 0:
        return None
    spread = estimate.se * sqrt(estimate.customers)

    def half(customers: float) -> float:
        return spread / sqrt(customers) * reach(customers, expected, alpha)

    low, high = 2.0, float(_MOST_CUSTOMERS)
    if half(high) > half_width:
        return None
    # The width falls as customers come, so halving the span on a scale of powers finds the number.
    for _ in range(80):
        middle = sqrt(low * high)
        low, high = (middle, high) if half(middle) > half_width else (low, middle)
    return high
