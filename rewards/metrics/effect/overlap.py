"""Are there others like them: how alike two groups are before and after weighting, and whether they can be compared.

Customers who chose something can only be compared with others who might have chosen it too. The propensity is the
probability of having chosen, given what was known before; where it is near one there is nobody to compare with.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rewards.metrics.effect.evidence import LIMITS, Limits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Who chose with a probability above this has hardly anybody alike who did not.
_NEARLY_CERTAIN = 0.95
_MOST_STEPS = 50


def propensity(x: "NDArray[np.float64]", chose: "NDArray[np.bool_]") -> "NDArray[np.float64] | None":
    """Return each customer's probability of having chosen, by logistic regression (maximum likelihood, Newton's steps).

    None where there is no answer: columns that follow from each other, or that tell the groups apart wholly.

    Args:
        x: what was known before, customers × columns, with a column of ones.
        chose: who did.
    """
    import numpy as np
    from scipy.special import expit

    if not independent(x):
        return None
    beta = np.zeros(x.shape[1])
    for _ in range(_MOST_STEPS):
        p = expit(x @ beta)
        hessian = (x * (p * (1 - p))[:, None]).T @ x
        try:
            step = np.linalg.solve(hessian, x.T @ (chose - p))
        except np.linalg.LinAlgError:
            return None
        if not np.isfinite(step).all():
            return None
        beta += np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-10:
            found: NDArray[np.float64] = expit(x @ beta)
            return found if found[~chose].max() < 1 - 1e-9 else None
    return None


def independent(x: "NDArray[np.float64]") -> bool:
    """Return whether no column follows from the others, as far as a computer's digits tell."""
    import numpy as np

    length = np.sqrt((x**2).sum(axis=0))
    if not x.size or not length.all():
        return False
    # Of the small matrix of products, which costs next to nothing however many customers there are.
    return bool(np.linalg.eigvalsh((x.T @ x) / np.outer(length, length))[0] > 1e-10)


def standardised(
    x: "NDArray[np.float64]", chose: "NDArray[np.bool_]", weight: "NDArray[np.float64] | None" = None
) -> "NDArray[np.float64]":
    """Return the difference of means of each column in standard deviations (of both groups, unweighted).

    Args:
        x: customers × columns.
        chose: which group.
        weight: of those who did not choose, as long as ``x``; none is all alike.
    """
    import numpy as np

    one, other = x[chose], x[~chose]
    spread = np.sqrt((one.var(axis=0, ddof=1) + other.var(axis=0, ddof=1)) / 2)
    mean = np.average(other, axis=0, weights=None if weight is None else weight[~chose])
    difference = one.mean(axis=0) - mean
    return np.where(spread > 0, difference / np.where(spread > 0, spread, 1.0), 0.0)


def effective(weight: "NDArray[np.float64]") -> float:
    """Return how many equally weighted customers weighted ones are worth: (Σw)²/Σw² (Kish)."""
    squares = float((weight**2).sum())
    return float(weight.sum()) ** 2 / squares if squares else 0.0


@dataclass(frozen=True)
class Overlap:
    """How comparable two groups are.

    Attributes:
        p: each customer's propensity.
        weight: what each counts so that others look like those who chose: their odds, and 1 for who chose.
        before, after: standardised differences of columns without and with weights.
        effective: how many others the weighted ones are worth.
        without_match: the share of those who chose like whom hardly anybody did not.
    """

    p: "NDArray[np.float64]"
    weight: "NDArray[np.float64]"
    before: "NDArray[np.float64]"
    after: "NDArray[np.float64]"
    effective: float
    without_match: float


def overlap_of(x: "NDArray[np.float64]", chose: "NDArray[np.bool_]") -> Overlap | None:
    """Return how comparable those who chose are with those who did not; None where one can be told from the other.

    Args:
        x: what was known before, customers × columns, with a column of ones first.
        chose: who did; some did and some did not.
    """
    import numpy as np

    p = propensity(x, chose)
    if p is None:
        return None
    weight = np.where(chose, 1.0, p / (1 - p))
    limit = min(_NEARLY_CERTAIN, float(p[~chose].max()))
    columns = x[:, 1:]
    return Overlap(
        p,
        weight,
        standardised(columns, chose),
        standardised(columns, chose, weight),
        effective(weight[~chose]),
        float((p[chose] > limit).mean()),
    )


def why_not(overlap: Overlap | None, names: tuple[str, str], limits: Limits = LIMITS) -> str | None:
    """Return why two groups cannot be compared, as a sentence; None where they can.

    Args:
        overlap: how comparable they are.
        names: of those who chose and of the others, such as ``("members", "non-members")``.
        limits: what is refused.
    """
    if overlap is None:
        return (
            f"What was known before tells {names[0]} and {names[1]} apart wholly, so that nobody can be compared with"
            " anybody alike."
        )
    if overlap.without_match > limits.most_without_match:
        return (
            f"{overlap.without_match:.0%} of {names[0]} have hardly anybody like them among {names[1]}; at most"
            f" {limits.most_without_match:.0%} may."
        )
    if overlap.effective < limits.least_effective:
        return (
            f"Only a few {names[1]} are like {names[0]}: weighted to look like them they are worth"
            f" {overlap.effective:,.0f} customers, and it takes {limits.least_effective:,}."
        )
    worst = float(abs(overlap.after).max(initial=0.0))
    if worst >= limits.most_difference:
        return (
            f"Even weighted, {names[1]} do not look like {names[0]}: something known before differs by {worst:.2f}"
            f" standard deviations, and less than {limits.most_difference:g} is needed."
        )
    return None
