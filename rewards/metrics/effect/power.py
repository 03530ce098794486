"""How many customers it takes to see what a program changes, by the share that is held out. Pure.

With z for the two-sided level and for the power, p0 the holdout's rate and p1 the program's, and k = program ÷ holdout,
the holdout needs ``(z_α/2 + z_β)² · (p0·q0 + p1·q1/k) / (p1 − p0)²`` customers (Fleiss, Levin and Paik, *Statistical
Methods for Rates and Proportions*, 3rd edition, §4.4, without continuity correction); a mean has ``σ²·(1 + 1/k)`` in
place of the rates' variances. What a covariate from before explains, ρ² of the variance, is saved (CUPED; Deng et al.
2013).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import NormalDist

#: Below so many customers within the horizon a staggered start is offered: half of all wait, and nobody for ever.
FEW_CUSTOMERS = 35_000
#: A permanent holdout of 5 to 10 % only tells something from about here on.
MANY_CUSTOMERS = 66_000
SHARES_PCT = (5.0, 10.0, 20.0, 30.0, 50.0)
#: The primary outcome looks at the 90 days after a customer is exposed.
MATURES_DAYS = 90
STAGGERED_DAYS = 90
DAYS_A_MONTH = 365.25 / 12
#: What is longer than this is not worth waiting for: shops and programs have changed by then.
HORIZON_MONTHS = 12


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to be told apart.

    Attributes:
        variance: of one customer's outcome in the holdout.
        variance_program: of one in the program.
        difference: the least between the two means that is to be seen; not 0.
    """

    variance: float
    variance_program: float
    difference: float


def of_rate(baseline: float, lift: float) -> Outcome:
    """Return a rate between 0 and 1 that the program is to change by ``lift``, relative to it: 0.1 is 10 % more.

    Raises:
        ValueError: the baseline, or what it would become, is no rate between 0 and 1, or nothing is to change.
    """
    changed = baseline * (1 + lift)
    if not (0 < baseline < 1 and 0 < changed < 1):
        raise ValueError(
            f"a rate of {baseline:.1%} cannot change by {lift:+.1%}: both are to be between 0 and 100 %"
        )
    if not lift:
        raise ValueError("no lift at all can never be seen; give the least that would matter")
    return Outcome(baseline * (1 - baseline), changed * (1 - changed), changed - baseline)


def of_mean(mean: float, deviation: float, lift: float) -> Outcome:
    """Return a mean, with its standard deviation between customers, that is to change by ``lift``, relative to it.

    Raises:
        ValueError: the mean or the deviation is not above 0, or nothing is to change.
    """
    if mean <= 0 or deviation <= 0 or not lift:
        raise ValueError("give a mean and a standard deviation above 0, and a lift other than 0")
    return Outcome(deviation**2, deviation**2, mean * lift)


@dataclass(frozen=True, slots=True)
class Needed:
    """How many customers a share takes, and how long they take to come.

    Attributes:
        share_pct: of the holdout.
        holdout, program: customers of each arm.
        weeks: until that many were exposed and the last of them has had its time; None where nobody comes.
    """

    share_pct: float
    holdout: int
    program: int
    weeks: float | None

    @property
    def total(self) -> int:
        """Customers of both arms."""
        return self.holdout + self.program


def needed(
    outcome: Outcome,
    share_pct: float,
    customers_per_month: float,
    *,
    level: float = 0.95,
    power: float = 0.8,
    correlation: float = 0.0,
    matures_days: int = MATURES_DAYS,
) -> Needed:
    """Return what it takes to see a difference with a share held out.

    Args:
        outcome: what is to be told apart.
        share_pct: of the holdout, between 0 and 100.
        customers_per_month: who come to be exposed in a month.
        level: of the interval, two-sided.
        power: how often a difference of that size is to be seen.
        correlation: of the outcome with a customer's own past, from −1 to 1; 0 for new customers.
        matures_days: for how long a customer is looked at.

    Raises:
        ValueError: an argument is outside of what it can be.
    """
    if not (0 < share_pct < 100 and 0 < level < 1 and 0 < power < 1 and abs(correlation) < 1):
        raise ValueError("the share, level, power and correlation are each between nothing and all")
    normal = NormalDist()
    z = normal.inv_cdf(0.5 + level / 2) + normal.inv_cdf(power)
    k = (100 - share_pct) / share_pct
    spread = outcome.variance + outcome.variance_program / k
    holdout = z**2 * spread / outcome.difference**2 * (1 - correlation**2)
    # Whole customers, and at least one of each.
    sizes = max(1, ceil(holdout)), max(1, ceil(holdout * k))
    weeks = None
    if customers_per_month > 0:
        weeks = (sum(sizes) / customers_per_month * DAYS_A_MONTH + matures_days) / 7
    return Needed(share_pct, *sizes, weeks)


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do, and why.

    Attributes:
        options: by share, smallest first.
        best: the smallest share that is done within the horizon; None where none is.
        staggered: whether a staggered start is the better offer.
        text: the reason, in sentences.
    """

    options: Sequence[Needed]
    best: Needed | None
    staggered: bool
    text: str


def advise(
    outcome: Outcome,
    customers_per_month: float,
    *,
    shares_pct: Sequence[float] = SHARES_PCT,
    horizon_months: float = HORIZON_MONTHS,
    power: float = 0.8,
    correlation: float = 0.0,
) -> Advice:
    """Return what each share takes, and which to choose; see :func:`needed` for the arguments.

    Raises:
        ValueError: as :func:`needed`.
    """
    options = [
        needed(outcome, share, customers_per_month, power=power, correlation=correlation)
        for share in sorted(shares_pct)
    ]
    within = customers_per_month * horizon_months
    weeks = horizon_months * DAYS_A_MONTH / 7
    best = next((each for each in options if each.weeks is not None and each.weeks <= weeks), None)
    if within < FEW_CUSTOMERS:
        return Advice(options, best, True, _few(within, horizon_months, best))
    if best is None:
        cheapest = min(options, key=lambda each: each.total)
        text = (
            f"About {within:,.0f} customers come in {horizon_months:g} months, and the smallest design takes "
            f"{cheapest.total:,}. A difference this small will not be seen in that time: look for a larger one, wait "
            "longer, or judge by another outcome."
        )
        return Advice(options, None, False, text)
    text = f"Hold out {best.share_pct:g} %: the smallest share that is done within {horizon_months:g} months."
    if best.share_pct <= 10 and within >= MANY_CUSTOMERS:
        text += " With so many customers that share can stay for good, so that the effect is known later too."
    return Advice(options, best, False, text)


def _few(within: float, horizon_months: float, best: Needed | None) -> str:
    start = (
        f"About {within:,.0f} customers come in {horizon_months:g} months; below {FEW_CUSTOMERS:,} a small holdout "
        "tells next to nothing. Begin staggered: half of all customers take part at once, the other half "
        f"{STAGGERED_DAYS} days later. That has the power of halves, and nobody is left out for ever."
    )
    if best is None:
        return f"{start} Even so a difference this small may not be seen; the result will say so."
    return f"{start} Or hold out {best.share_pct:g} % for {best.weeks:.0f} weeks."
