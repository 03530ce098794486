"""How wrong the predictions would have been: made as of an earlier day, held against what happened since.

The customers of the first part of the history are what the model is fitted to; the rest of the history is what it is
held against. Nothing of the rest is used in the fit, but refunds are those known now.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rewards.metrics.lifetime.expecting import chance_of_purchase, expected_purchases
from rewards.metrics.lifetime.frequencies import Frequencies, frequencies
from rewards.metrics.lifetime.pace import kept_of_own_pace
from rewards.metrics.lifetime.prediction import Models, cohort_rates, fit_models
from rewards.metrics.lifetime.search import Unidentified
from rewards.metrics.lifetime.sums import dot, sums
from rewards.metrics.orders import Orders

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: The part of the history that is held back, and at most so many days of it.
SHARE_HELD_BACK = 1 / 3
MOST_DAYS = 365
#: Fewer days than this tell little.
LEAST_DAYS = 30


@dataclass(frozen=True, slots=True)
class Check:
    """Predictions made as of ``split`` for the customers known then, and what happened in the ``days`` after.

    Attributes:
        split: the day number at which the days that were held back begin.
        days: how many they are.
        customers: how many were predicted; ``bought`` of them bought in those days.
        revenue: what they came to in those days, net of refunds, minor units.
        revenue_by_means: what was expected of them by cohort means.
        repeaters: how many were repeaters.
        auc_idle, auc_idle_repeaters: how often somebody who bought was ranked above somebody who did not, by the days
            since the last purchase, among all and among repeaters; 0.5 is chance. None where all or none bought.
        model: how the models did; None where they had no answer yet, and then ``why`` says why.
    """

    split: int
    days: int
    customers: int
    bought: int
    purchases: float
    revenue: float
    revenue_by_means: float
    repeaters: int
    auc_idle: float | None
    auc_idle_repeaters: float | None
    model: "ModelCheck | None"
    why: str | None


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """How the models did.

    Attributes:
        purchases: how many purchase days were expected of all together.
        revenue: what was expected of all together, minor units.
        mean_expected: the mean rate of all customers until then, for these days: purchase days of a customer.
        error, error_of_mean: the mean distance of the expected number of purchases from what a customer made, by the
            model, and by expecting ``mean_expected`` of everybody.
        auc: by the model's chance of a purchase, see :class:`Check`.
        auc_repeaters: the same among repeaters; ``auc_kept`` by that chance relative to their own earlier pace.
    """

    purchases: float
    revenue: float
    mean_expected: float
    error: float
    error_of_mean: float
    auc: float | None
    auc_repeaters: float | None
    auc_kept: float | None


def check(orders: Orders, until: int) -> Check | Unidentified:
    """Return how well the last part of the history would have been predicted, or why that cannot be told.

    Args:
        orders: purchases, all on days before ``until``.
        until: the day number after the last day that counts.
    """
    if not len(orders):
        return Unidentified("nobody has bought anything yet")
    days = min(int((until - int(orders.day.min())) * SHARE_HELD_BACK), MOST_DAYS)
    if days < LEAST_DAYS:
        return Unidentified(f"a third of the history is {days} days, and {LEAST_DAYS} are needed")
    split = until - days
    known = frequencies(orders.before(split), split)
    models = fit_models(known)
    made, spent = _since(orders, known.unit, split)
    bought, again = made > 0, known.x > 0
    why = models.reason if isinstance(models, Unidentified) else None
    how = None if isinstance(models, Unidentified) else _of_models(models, known, made, float(days))
    return Check(
        split,
        days,
        len(known),
        int(bought.sum()),
        float(made.sum()),
        float(spent.sum()),
        float(cohort_rates(known).sum() * days),
        int(again.sum()),
        auc(-known.idle, bought),
        auc(-known.idle[again], bought[again]),
        how,
        why,
    )


def _of_models(models: Models, known: Frequencies, made: "Floats", days: float) -> ModelCheck:
    import numpy as np

    expected = expected_purchases(models.purchases, [days], known.x, known.t_x, known.age)[0]
    chance = chance_of_purchase(models.purchases, days, known.x, known.t_x, known.age)
    bought, again = made > 0, known.x > 0
    mean = float(known.x.sum() / max(known.age.sum(), 1.0) * days)
    return ModelCheck(
        float(expected.sum()),
        dot(expected, models.spend(known)),
        mean,
        float(np.abs(expected - made).mean()),
        float(np.abs(mean - made).mean()),
        auc(chance, bought),
        auc(chance[again], bought[again]),
        auc(kept_of_own_pace(models.purchases, known, days)[again], bought[again]),
    )


def _since(orders: Orders, units: "NDArray[np.int32]", split: int) -> "tuple[Floats, Floats]":
    """Return purchase days and net revenue of these customers from ``split`` on."""
    import numpy as np

    days = orders.days
    late = np.flatnonzero(days.day >= split)
    at = np.searchsorted(units, days.unit[late])
    known = at < len(units)
    known[known] = units[at[known]] == days.unit[late][known]
    at, late = at[known], late[known]
    net = (days.amount[late] - days.refunded[late]).astype(float)
    return sums(at, None, len(units)), sums(at, net, len(units))


def auc(score: "Floats", happened: "NDArray[np.bool_]") -> float | None:
    """Return how often a score is higher where something happened than where it did not; ties count half.

    The area under the ROC curve, by ranks (Mann and Whitney). None where it happened to all or to nobody.
    """
    from scipy.stats import rankdata

    hits = int(happened.sum())
    others = len(happened) - hits
    if not hits or not others:
        return None
    ranks = rankdata(score)
    return float((ranks[happened].sum() - hits * (hits + 1) / 2) / (hits * others))
