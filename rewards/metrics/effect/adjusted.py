"""Adjusted association: those who chose against others weighted and modelled to look like them. Grade C.

The doubly robust difference for those who chose (AIPW, ATT): residuals of a regression on what was known before,
fitted on the others, compared with the others' weighted by their odds of choosing. It is right if either the
regression or the odds are, and *if nothing else made people choose*, which no figure can show. The E-value says how
strong such a thing would have to be.

Sant'Anna & Zhao, "Doubly robust difference-in-differences estimators", Journal of Econometrics 219 (2020), give the
influence function; VanderWeele & Ding, "Sensitivity analysis in observational research: introducing the E-value",
Annals of Internal Medicine 167 (2017), the E-value.
"""

from typing import TYPE_CHECKING, NamedTuple

from rewards.metrics.effect.overlap import Overlap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Adjusted(NamedTuple):
    """A difference adjusted for what was known before.

    Attributes:
        value: how much more those who chose did than others who looked alike.
        se: its standard error; it knows that the regression and the odds were estimated.
        chosen: the mean of those who chose.
        alike: what others who looked alike did: ``chosen − value``.
        naive: the difference without any adjustment.
    """

    value: float
    se: float
    chosen: float
    alike: float
    naive: float


def adjusted_difference(
    y: "NDArray[np.float64]", chose: "NDArray[np.bool_]", x: "NDArray[np.float64]", overlap: Overlap
) -> Adjusted:
    """Return the doubly robust difference between those who chose and others like them.

    Args:
        y: what each customer did afterwards.
        chose: who chose.
        x: what was known before, customers × columns, with a column of ones; of full rank among the others.
        overlap: of the same customers.
    """
    import numpy as np

    n, d = len(y), chose.astype(float)
    odds = np.where(chose, 0.0, overlap.weight)
    others = x[~chose]
    gram = others.T @ others
    rest = y - x @ np.linalg.solve(gram, others.T @ y[~chose])
    mean1, mean0 = d.mean(), odds.mean()
    left1, left0 = float((d * rest).mean() / mean1), float((odds * rest).mean() / mean0)
    # How the regression's and the odds' coefficients would have come out with other customers.
    inverse = np.linalg.inv(gram / n)
    by_regression = (((1 - d) * rest)[:, None] * x) @ inverse
    hessian = (x * (overlap.p * (1 - overlap.p))[:, None]).T @ x / n
    by_odds = ((d - overlap.p)[:, None] * x) @ np.linalg.inv(hessian)
    one = d * (rest - left1) - by_regression @ (d[:, None] * x).mean(axis=0)
    other = (
        odds * (rest - left0)
        + by_odds @ ((odds * (rest - left0))[:, None] * x).mean(axis=0)
        - by_regression @ (odds[:, None] * x).mean(axis=0)
    )
    influence = one / mean1 - other / mean0
    value, chosen = left1 - left0, float(y[chose].mean())
    return Adjusted(
        value,
        float(np.sqrt((influence**2).sum()) / n),
        chosen,
        chosen - value,
        chosen - float(y[~chose].mean()),
    )


def e_value(ratio: float) -> float:
    """Return the E-value of a risk ratio: 1 where it is 1, larger the further it is from 1, to either side.

    So strongly, as a risk ratio, something that was not recorded would have to go along both with choosing and with
    what was done afterwards, to explain the ratio away.

    Raises:
        ValueError: the ratio is not above 0.
    """
    if ratio <= 0:
        raise ValueError("a ratio of risks is above 0")
    ratio = max(ratio, 1 / ratio)
    return float(ratio + (ratio * (ratio - 1)) ** 0.5)


class EValues(NamedTuple):
    """The E-value of a figure, and of the end of its interval that is nearer to nothing (1: it covers that)."""

    figure: float
    nearest: float


def e_values(found: Adjusted, low: float, high: float, spread: float | None) -> EValues | None:
    """Return the E-values of an adjusted difference; None where it does not make sense (a share of zero).

    Args:
        found: the difference.
        low: where its interval begins.
        high: where it ends.
        spread: the standard deviation of what was done; with it the ratio is exp(0.91·difference/spread), as
            VanderWeele and Ding have it for what is no share. None for shares.
    """
    from math import exp

    nearest = 0.0 if low <= 0 <= high else min(low, high, key=abs)

    def ratio(difference: float) -> float:
        if spread is not None:
            return exp(0.91 * difference / spread)
        return (found.alike + difference) / found.alike if found.alike > 0 else 0.0

    ratios = ratio(found.value), ratio(nearest)
    if min(ratios) <= 0 or spread == 0:
        return None
    return EValues(e_value(ratios[0]), e_value(ratios[1]))
