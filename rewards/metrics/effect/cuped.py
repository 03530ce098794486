"""CUPED: taking out of an outcome what was known of each customer before their exposure.

It moves no estimate away from the truth and takes away noise, as much as the past tells of the future; that is
sometimes much and sometimes nothing, and :class:`Adjusted` says how much it was.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rewards.metrics.effect.estimators import Estimate, difference_in_means

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: A covariate by which fewer customers of an arm differ from the others explains them one by one, and no variance.
LEAST_VARYING = 10


@dataclass(frozen=True, slots=True)
class Adjusted:
    """An estimate before and after adjusting it by the past.

    Attributes:
        raw: the difference in means.
        adjusted: the same after adjusting; ``raw`` itself where there is nothing to adjust by.
        removed: how much of the variance went, as a share: 0.4 is as good as 1/(1−0.4) times the customers. It can be
            slightly below zero.
        method: ``none``, ``cuped`` (one coefficient for both arms) or ``regression`` (arms by themselves).
    """

    raw: Estimate
    adjusted: Estimate
    removed: float
    method: str


def adjust(
    y: "NDArray[np.float64]",
    x: "NDArray[np.float64] | None",
    has_history: "NDArray[np.bool_] | None",
    arm: "NDArray[np.int8]",
) -> Adjusted | None:
    """Return the difference between the arms, raw and adjusted by ``x``; None where the raw one cannot be told.

    Args:
        y: the outcome.
        x: the covariate from before the exposure, 0 where there is no history; None to adjust by nothing.
        has_history: whether there was any purchase to know the covariate from.
        arm: 1 for the program, 0 for the holdout.
    """
    import numpy as np

    raw = difference_in_means(y, arm)
    if raw is None:
        return None
    if x is None or has_history is None or not _varies(x, arm):
        return Adjusted(raw, raw, 0.0, "none")
    if has_history.all():
        adjusted, method = cuped(y, x, arm), "cuped"
    else:
        columns = [x]
        is_new = (~has_history).astype(np.float64)
        if _varies(is_new, arm):
            columns.append(is_new)
        adjusted, method = interacted(y, np.vstack(columns), arm), "regression"
    if adjusted is None:
        return Adjusted(raw, raw, 0.0, "none")
    return Adjusted(raw, adjusted, 1.0 - (adjusted.se / raw.se) ** 2, method)


def theta(y: "NDArray[np.float64]", x: "NDArray[np.float64]") -> float:
    """Return cov(x, y) / var(x) of both arms pooled."""
    import numpy as np

    return float(np.cov(x, y)[0, 1] / x.var(ddof=1))


def cuped(y: "NDArray[np.float64]", x: "NDArray[np.float64]", arm: "NDArray[np.int8]") -> Estimate | None:
    """Return the difference in means of ``y − θ(x − mean(x))``, θ pooled (Deng, Xu, Kohavi and Walker, 2013)."""
    return difference_in_means(y - theta(y, x) * (x - x.mean()), arm)


def interacted(
    y: "NDArray[np.float64]", x: "NDArray[np.float64]", arm: "NDArray[np.int8]"
) -> Estimate | None:
    """Return the coefficient of the arm in OLS on arm, centred covariates and their products, with HC2 errors.

    Lin (2013): the same as a regression in each arm by itself, read off at the covariates' common mean. With no
    covariates HC2 gives Welch's variance. A covariate that is a combination of the others counts once; None where an
    arm has too few customers.

    Args:
        y: the outcome, n.
        x: the covariates, k × n; each varies in both arms.
        arm: 1 for the program, 0 for the holdout, n.
    """
    # In standard deviations, so that money and indicators are alike to the arithmetic.
    centre, spread = x.mean(axis=1, keepdims=True), x.std(axis=1, keepdims=True)
    levels, variances = [], []
    for number in (1, 0):
        here = arm == number
        found = _intercept(y[here], (x[:, here] - centre) / spread)
        if found is None:
            return None
        levels.append(found[0])
        variances.append(found[1])
    se = float((variances[0] + variances[1]) ** 0.5)
    if not se > 0:
        return None
    return Estimate(levels[0] - levels[1], se, levels[0], levels[1], float(variances[1] ** 0.5), len(y))


def _intercept(y: "NDArray[np.float64]", x: "NDArray[np.float64]") -> tuple[float, float] | None:
    """Return the intercept of a regression and its HC2 variance."""
    import numpy as np

    design = np.vstack([np.ones(len(y)), x])
    if len(y) <= len(design):
        return None
    # Two or three columns in standard deviations are not too much for the normal equations.
    inverse = np.linalg.pinv(design @ design.T, rcond=1e-11, hermitian=True)
    weighed = inverse @ design
    coefficients = weighed @ y
    residuals = y - coefficients @ design
    leverage = np.minimum(np.einsum("ij,ij->j", design, weighed), 1 - 1e-9)
    # The first row of (X'X)⁻¹X' is how much each observation weighs in the intercept.
    return float(coefficients[0]), float(((weighed[0] * residuals) ** 2 / (1 - leverage)).sum())


def _varies(x: "NDArray[np.float64]", arm: "NDArray[np.int8]") -> bool:
    """Say whether enough customers of each arm differ from what is commonest in it."""
    import numpy as np

    for number in (1, 0):
        here = x[arm == number]
        if len(here) < 2 * LEAST_VARYING:
            return False
        # What all but a few have is the median too, which needs no sorting to be found.
        if np.count_nonzero(here != np.partition(here, len(here) // 2)[len(here) // 2]) < LEAST_VARYING:
            return False
    return True
