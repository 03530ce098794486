"""What customers will be worth: expected purchases times expected spend, discounted; a plain mean where no model fits.

Source of the sum: Fader, Hardie and Lee, "RFM and CLV", 2005. All of it is pure: frequencies in, figures out.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rewards.metrics.lifetime import bgnbd, gammagamma
from rewards.metrics.lifetime.bgnbd import BGNBD
from rewards.metrics.lifetime.expecting import expected_purchases
from rewards.metrics.lifetime.frequencies import Frequencies
from rewards.metrics.lifetime.gammagamma import GammaGamma
from rewards.metrics.lifetime.search import Unidentified
from rewards.metrics.lifetime.sums import dot, sums

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MONTH_DAYS = 365 / 12
#: Fewer customers with a second purchase than this say too little about how rates and leaving are spread.
LEAST_REPEATERS = 50
#: A shop whose first purchase is less long ago has not seen customers stay away yet.
LEAST_DAYS = 90
#: From this correlation on, of how often with how much, the product of the two models is in doubt.
LARGEST_CORRELATION = 0.3
#: A cohort with fewer customers than this is predicted by the mean of all cohorts.
LEAST_COHORT = 20


@dataclass(frozen=True, slots=True)
class Terms:
    """How the future is valued.

    Attributes:
        months: how far it is looked at, each month of 365/12 days.
        discount: what a month of waiting costs, as a share: worth in month k is divided by (1 + discount)^k.
        margin: the share of revenue that counts; 1 makes the figure revenue.
    """

    months: int = 12
    discount: float = 0.01
    margin: float = 1.0


@dataclass(frozen=True, slots=True)
class Models:
    """The two fitted models, and how often goes with how much.

    Attributes:
        purchases: of purchases, with days as its unit.
        amounts: of amounts in minor units, or why there is none; then everybody is expected to spend ``mean_spend``.
        mean_spend: the mean of repeat purchases over all customers who made one, minor units, not below 0.
        correlation: of the number of repeat purchases with their mean amount, over repeaters (Pearson); None where
            one of them does not vary.
    """

    purchases: BGNBD
    amounts: GammaGamma | Unidentified
    mean_spend: float
    correlation: float | None

    def spend(self, of: Frequencies) -> "Floats":
        """Return what each customer's next purchases are expected to come to, minor units, not below 0."""
        import numpy as np

        if isinstance(self.amounts, Unidentified):
            return np.full(len(of), self.mean_spend)
        # A customer's refunds may exceed what the other repeat purchases came to; nobody is expected to bring less
        # than nothing.
        return np.maximum(self.amounts.expected(of.x, of.mean), 0.0)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What each customer is expected to bring: arrays in the order of the frequencies.

    Attributes:
        value: discounted, times the margin, minor units.
        purchases: how many purchases within all months; None by cohort means.
        spend: what a purchase will come to, minor units; None by cohort means.
        models: None by cohort means, and then ``why`` says why.
    """

    value: "Floats"
    purchases: "Floats | None"
    spend: "Floats | None"
    models: Models | None
    why: str | None


def fit_models(of: Frequencies) -> Models | Unidentified:
    """Return the models of these customers, or why there are none, as a clause."""

    repeaters = int((of.x > 0).sum())
    if not len(of):
        return Unidentified("nobody has bought anything yet")
    if of.age.max() < LEAST_DAYS:
        return Unidentified(f"the first purchase is {of.age.max():.0f} days ago, and {LEAST_DAYS} are needed")
    if repeaters < LEAST_REPEATERS:
        return Unidentified(
            f"{repeaters} customers have bought on a second day, and {LEAST_REPEATERS} are needed"
        )
    purchases = bgnbd.fit(of.x, of.t_x, of.age)
    if isinstance(purchases, Unidentified):
        return purchases
    x, mean = of.x[of.x > 0], of.mean[of.x > 0]
    from_x, from_mean = x - x.mean(), mean - mean.mean()
    both = (dot(from_x, from_x) * dot(from_mean, from_mean)) ** 0.5
    correlation = dot(from_x, from_mean) / both if both > 0 else None
    typical = max(dot(x, mean) / float(x.sum()), 0.0)
    return Models(purchases, gammagamma.fit(x, mean), typical, correlation)


def forecast(of: Frequencies, models: Models | Unidentified, terms: Terms) -> Forecast:
    """Return Σ over months k of E[purchases in month k] · E[spend] · margin / (1 + discount)^k for each customer."""
    import numpy as np

    if isinstance(models, Unidentified):
        return Forecast(cohort_means(of, terms), None, None, None, models.reason)
    months = np.arange(1.0, terms.months + 1)
    worth = (1 + terms.discount) ** -months
    # What is expected until the end of month k counts at the worth of k less that of k + 1: the months between cancel.
    until_the_end = np.zeros(terms.months)
    until_the_end[-1] = 1.0
    combined = np.stack([worth - np.append(worth[1:], 0.0), until_the_end])
    discounted, purchases = expected_purchases(
        models.purchases, list(MONTH_DAYS * months), of.x, of.t_x, of.age, combined
    )
    spend = models.spend(of)
    return Forecast(terms.margin * discounted * spend, purchases, spend, models, None)


def cohort_means(of: Frequencies, terms: Terms) -> "Floats":
    """Return what customers bring who go on as their cohort did in the mean so far; see :func:`cohort_rates`."""
    worth = sum((1 + terms.discount) ** -month for month in range(1, terms.months + 1))
    value: Floats = cohort_rates(of) * MONTH_DAYS * worth * terms.margin
    return value


def cohort_rates(of: Frequencies) -> "Floats":
    """Return what each customer's cohort spends a day and customer, minor units, not below 0.

    A cohort is the month of the first purchase. Its rate is what its customers spent after their first purchase day,
    divided by the days that they have been customers, together. Cohorts of fewer than :data:`LEAST_COHORT` customers,
    or with no day to look back on, take the rate of all.
    """
    import numpy as np

    month = of.first_day.astype("datetime64[D]").astype("datetime64[M]")
    cohorts, at = np.unique(month, return_inverse=True)
    repeat, days = sums(at, of.mean * of.x, len(cohorts)), sums(at, of.age, len(cohorts))
    alone = (sums(at, None, len(cohorts)) >= LEAST_COHORT) & (days > 0)
    overall = repeat.sum() / max(days.sum(), 1.0)
    rate = np.where(alone, repeat / np.maximum(days, 1.0), overall)
    rates: Floats = np.maximum(rate, 0.0)[at]
    return rates
