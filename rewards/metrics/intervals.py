"""How far a figure may be from the truth: intervals of shares, of differences and of means.

Plain numbers in, :class:`rewards.metrics.result.Interval` out. Shares are between 0 and 1. An interval says what
another sample of as many customers might have shown; it knows nothing of customers who were left out or miscounted.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from rewards.metrics.result import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95


def z(level: float = LEVEL) -> float:
    """Return how many standard errors a two-sided interval of ``level`` reaches to each side: 1.96 at 0.95.

    Raises:
        ValueError: the level is not between 0 and 1.
    """
    from scipy.special import ndtri

    if not 0 < level < 1:
        raise ValueError("a level lies between 0 and 1")
    return float(ndtri(0.5 + level / 2))


def two_sided_p(statistic: float) -> float:
    """Return how probable a standard normal figure at least this far from zero is, to either side."""
    from scipy.special import ndtr

    return float(2 * ndtr(-abs(statistic)))


def wilson(k: float, n: float, level: float = LEVEL) -> Interval | None:
    """Return Wilson's score interval of the share ``k / n``, within 0 and 1; None where ``n`` is 0.

    Wilson (1927), without continuity correction. It holds its level for small counts and for shares near 0 and 1,
    where value ± 1.96 standard errors does not.

    Raises:
        ValueError: ``k`` is below 0 or above ``n``.
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is no share")
    if n == 0:
        return None
    low, high = wilson_bounds(k, n, level)
    return Interval(float(low), float(high), level)


def wilson_bounds(
    k: "ArrayLike", n: "ArrayLike", level: float = LEVEL
) -> "tuple[NDArray[Any], NDArray[Any]]":
    """Return the low and the high end of :func:`wilson` for many shares at once; not a number where ``n`` is 0."""
    import numpy as np

    reach = z(level)
    hits, size = np.asarray(k, dtype=float), np.asarray(n, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = hits / size
        scale = 1 + reach**2 / size
        middle = (share + reach**2 / (2 * size)) / scale
        half = reach * np.sqrt(share * (1 - share) / size + reach**2 / (4 * size**2)) / scale
        # Rounding must not put the ends beyond what was seen where nobody or everybody did it.
        low = np.where(hits == 0, 0.0, np.maximum(middle - half, 0.0))
        high = np.where(hits == size, 1.0, np.minimum(middle + half, 1.0))
    empty = size == 0
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def newcombe(k1: float, n1: float, k0: float, n0: float, level: float = LEVEL) -> Interval | None:
    """Return the interval of the difference of two independent shares, ``k1/n1 − k0/n0``; None where either is empty.

    Newcombe (1998), method 10: each end is put together from the Wilson intervals of the two shares. It stays within
    −1 and 1.
    """
    first, other = wilson(k1, n1, level), wilson(k0, n0, level)
    if first is None or other is None:
        return None
    share1, share0 = k1 / n1, k0 / n0
    difference = share1 - share0
    below = ((share1 - first.low) ** 2 + (other.high - share0) ** 2) ** 0.5
    above = ((first.high - share1) ** 2 + (share0 - other.low) ** 2) ** 0.5
    return Interval(difference - below, difference + above, level)


def normal(value: float, se: float, level: float = LEVEL) -> Interval:
    """Return value ± z·se."""
    half = z(level) * se
    return Interval(value - half, value + half, level)


def student(value: float, se: float, degrees: float, level: float = LEVEL) -> Interval:
    """Return value ± t·se with t of Student's distribution with this many degrees of freedom."""
    from scipy.special import stdtrit

    half = float(stdtrit(degrees, 0.5 + level / 2)) * se
    return Interval(value - half, value + half, level)


class Difference(NamedTuple):
    """The difference of two means, as :func:`welch` tells it."""

    value: float
    se: float
    degrees: float
    interval: Interval
    p_value: float


def welch(
    mean1: float, variance1: float, n1: float, mean0: float, variance0: float, n0: float, level: float = LEVEL
) -> Difference | None:
    """Return ``mean1 − mean0`` of two independent samples whose variances may differ; None where it cannot be told.

    The variances are those of the samples (divided by n − 1). Welch (1947), with Satterthwaite's degrees of freedom.
    It cannot be told with fewer than two in a sample, nor where neither sample varies.
    """
    from scipy.special import stdtr

    if min(n1, n0) < 2 or variance1 + variance0 <= 0:
        return None
    part1, part0 = variance1 / n1, variance0 / n0
    se = (part1 + part0) ** 0.5
    degrees = (part1 + part0) ** 2 / (part1**2 / (n1 - 1) + part0**2 / (n0 - 1))
    value = mean1 - mean0
    p_value = float(2 * stdtr(degrees, -abs(value) / se))
    return Difference(value, se, degrees, student(value, se, degrees, level), p_value)


def welch_of(
    sample1: "NDArray[np.float64]", sample0: "NDArray[np.float64]", level: float = LEVEL
) -> Difference | None:
    """Return :func:`welch` of two samples."""
    if min(len(sample1), len(sample0)) < 2:
        return None
    return welch(
        float(sample1.mean()), float(sample1.var(ddof=1)), len(sample1),
        float(sample0.mean()), float(sample0.var(ddof=1)), len(sample0), level,
    )  # fmt: skip
