"""The difference between two arms and how far it may be from the truth: means, ratios, relative lift.

Arrays in, plain figures out. ``arm`` is 1 for the program and 0 for the holdout; a difference is program minus holdout.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rewards.metrics.intervals import normal, student, two_sided_p, welch_of
from rewards.metrics.result import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Estimate:
    """A difference between the arms, in the unit of the outcome.

    Attributes:
        difference: program minus holdout.
        se: its standard error, heteroscedastic.
        program, holdout: the two levels.
        holdout_se: the standard error of the holdout's level.
        customers: how many it is worked out from, both arms together.
        degrees: of freedom, of Student's distribution; None takes the normal one.
    """

    difference: float
    se: float
    program: float
    holdout: float
    holdout_se: float
    customers: int
    degrees: float | None = None

    def interval(self, level: float = 0.95) -> Interval:
        """Return the interval for one look at a time fixed beforehand."""
        if self.degrees is None:
            return normal(self.difference, self.se, level)
        return student(self.difference, self.se, self.degrees, level)

    @property
    def p_value(self) -> float:
        """How probable so large a difference is at one look, were there none in truth."""
        from scipy.special import stdtr

        if self.degrees is None:
            return two_sided_p(self.difference / self.se)
        return float(2 * stdtr(self.degrees, -abs(self.difference) / self.se))

    def relative(self, reach: float) -> "Relative | None":
        """Return the difference relative to the holdout; ``reach`` is how many standard errors an interval has."""
        return relative_lift(self.difference, self.se, self.holdout, self.holdout_se, reach)


def difference_in_means(y: "NDArray[np.float64]", arm: "NDArray[np.int8]") -> Estimate | None:
    """Return the difference of the arms' means (Welch); None with fewer than two in an arm, or where nothing varies."""
    sample1, sample0 = y[arm == 1], y[arm == 0]
    found = welch_of(sample1, sample0)
    if found is None:
        return None
    return Estimate(
        found.value,
        found.se,
        float(sample1.mean()),
        float(sample0.mean()),
        float(sample0.std(ddof=1)) / len(sample0) ** 0.5,
        len(y),
        found.degrees,
    )


def difference_of_ratios(
    above: "NDArray[np.float64]", below: "NDArray[np.float64]", arm: "NDArray[np.int8]"
) -> Estimate | None:
    """Return the difference of ``Σabove/Σbelow`` between the arms, such as money per order; None where it has none.

    Orders of one customer are alike, so the variance is worked out over customers, by the delta method: that of
    ``(above − ratio·below) / mean(below)`` (Deng, Knoblich and Lu, 2018).
    """
    import numpy as np

    levels, errors = [], []
    for number in (1, 0):
        top, bottom = above[arm == number], below[arm == number]
        if len(top) < 2 or bottom.sum() <= 0:
            return None
        ratio = float(top.sum() / bottom.sum())
        influence = (top - ratio * bottom) / bottom.mean()
        levels.append(ratio)
        errors.append(float(influence.std(ddof=1)) / len(top) ** 0.5)
    se = float(np.hypot(*errors))
    if se <= 0:
        return None
    return Estimate(levels[0] - levels[1], se, levels[0], levels[1], errors[1], len(arm))


def winsorised(y: "NDArray[np.float64]", share: float = 0.99) -> "NDArray[np.float64]":
    """Return the figures with those above the ``share`` quantile of both arms together lowered to it."""
    import numpy as np

    return np.minimum(y, np.quantile(y, share)) if len(y) else y


@dataclass(frozen=True, slots=True)
class Relative:
    """A difference relative to the holdout's level: 0.1 is 10 % more. The interval is None where it has no bounds."""

    value: float
    low: float | None
    high: float | None


def relative_lift(
    difference: float, se: float, holdout: float, holdout_se: float, reach: float
) -> Relative | None:
    """Return ``difference / holdout`` with Fieller's interval; None where the holdout's level is not above zero.

    The two levels are independent, so the covariance of the difference with the holdout's level is minus the
    variance of the latter. A relative lift of r is inside where ``difference − r·holdout`` is within ``reach`` of its
    own standard errors (Fieller, 1954), which also holds for the reach of an always-valid interval. Where the
    holdout's level could be zero, the set has no bounds, and none are given.
    """
    if holdout <= 0:
        return None
    value = difference / holdout
    shared = holdout_se**2
    square = holdout**2 - reach**2 * shared
    if square <= 0:
        return Relative(value, None, None)
    middle = difference * holdout + reach**2 * shared
    constant = difference**2 - reach**2 * se**2
    root = max(middle**2 - square * constant, 0.0) ** 0.5
    return Relative(value, (middle - root) / square, (middle + root) / square)
