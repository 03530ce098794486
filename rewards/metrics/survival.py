"""How long until something happens, where for some it has not happened yet: Kaplan–Meier, restricted mean, log-rank.

Whoever is still waiting is *censored*: they count among those at risk until the day up to which they were watched, and
are never dropped, since leaving them out would make every wait look short.

It counts by distinct time, so that a million customers with waits in whole days need no sorting. ``scipy.stats.ecdf``
and ``scipy.stats.logrank`` give the same on small samples (the tests hold them side by side) but do not fit here: the
former keeps to itself the counts that the variance of a restricted mean needs, and the latter multiplies four counts
in 64 bits, which overflows without a word: with 100,000 customers an arm who wait whole days its statistic is wrong.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from rewards.metrics.intervals import LEVEL, normal, two_sided_p, z
from rewards.metrics.result import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Curve:
    """A survival curve, as steps: arrays of one length, one place for each distinct time.

    Attributes:
        time: at which somebody had the event or was last seen, ascending, float64.
        at_risk: who was still waiting just before it, int64.
        events: who had the event at it, int64.
        survival: the share that is still waiting just after it: S(t) = ∏(1 − d/n), float64.
    """

    time: "NDArray[np.float64]"
    at_risk: "NDArray[np.int64]"
    events: "NDArray[np.int64]"
    survival: "NDArray[np.float64]"

    @property
    def size(self) -> int:
        """How many were watched."""
        return int(self.at_risk[0]) if len(self.time) else 0

    @property
    def watched(self) -> float:
        """For how long the longest was watched; beyond it the curve is unknown, unless it has reached 0."""
        return float(self.time[-1]) if len(self.time) else -1.0

    def knows(self, time: float) -> bool:
        """Return whether the curve is known at a time."""
        return len(self.time) > 0 and (time <= self.watched or self.survival[-1] == 0)

    @cached_property
    def _greenwood(self) -> "NDArray[np.float64]":
        import numpy as np

        left = (self.at_risk - self.events).astype(float)
        with np.errstate(divide="ignore"):
            return np.cumsum(self.events / (self.at_risk * left))

    def bounds(self, level: float = LEVEL) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
        """Return the ends of the log-log interval at each time: 1 before the first event, not a number where S is 0.

        They are S^exp(±z·se), se² = Greenwood's sum / ln² S (Kalbfleisch and Prentice), and stay within 0 and 1.
        """
        import numpy as np

        with np.errstate(divide="ignore", invalid="ignore"):
            reach = z(level) * np.sqrt(self._greenwood) / np.abs(np.log(self.survival))
            low, high = self.survival ** np.exp(reach), self.survival ** np.exp(-reach)
        whole, empty = self.survival == 1, self.survival == 0
        none = np.where(empty, np.nan, 1.0)
        return np.where(whole | empty, none, low), np.where(whole | empty, none, high)

    def at(self, time: float) -> float | None:
        """Return S at a time; None where nobody was watched for so long."""
        import numpy as np

        if not self.knows(time):
            return None
        place = int(np.searchsorted(self.time, time, side="right")) - 1
        return float(self.survival[place]) if place >= 0 else 1.0

    def interval_at(self, time: float, level: float = LEVEL) -> Interval | None:
        """Return the log-log interval of S at a time; None where there is none."""
        import numpy as np

        if not self.knows(time):
            return None
        place = int(np.searchsorted(self.time, time, side="right")) - 1
        if place < 0:
            return Interval(1.0, 1.0, level)
        low, high = (float(end[place]) for end in self.bounds(level))
        return None if low != low else Interval(low, high, level)  # noqa: PLR0124 - not a number

    def median(self) -> float | None:
        """Return the first time at which no more than half are still waiting; None where that has not happened."""
        return self._first_at_half(self.survival)

    def median_ends(self, level: float = LEVEL) -> tuple[float | None, float | None]:
        """Return the ends of the median's interval (Brookmeyer and Crowley, log-log); None for one not reached yet."""
        low, high = self.bounds(level)
        return self._first_at_half(low), self._first_at_half(high)

    def _first_at_half(self, curve: "NDArray[np.float64]") -> float | None:
        import numpy as np

        # Where nobody is left waiting the interval has no ends, and half has been passed in any case. A product that
        # is one half but for rounding is one half.
        reached = np.flatnonzero((curve <= 0.5 + 1e-12) | (self.survival == 0))
        return float(self.time[reached[0]]) if len(reached) else None


def kaplan_meier(durations: "ArrayLike", events: "ArrayLike") -> Curve:
    """Return the survival curve of waits.

    Arguments:
        durations: how long each was watched, at least 0, in one unit of time.
        events: whether it ended with the event (true) or is still waiting (false).

    Those who are censored at the time of an event are at risk of it, as is usual. Kaplan and Meier (1958).

    Raises:
        ValueError: the arrays differ in length, or a duration is negative or not a number.
    """
    import numpy as np

    waits, happened = np.asarray(durations), np.asarray(events, dtype=bool)
    if waits.shape != happened.shape or waits.ndim != 1:
        raise ValueError("each duration needs to know whether it ended with the event")
    if len(waits) and not waits.min() >= 0:
        raise ValueError("durations are at least 0")
    time, seen, died = _counted(waits, happened)
    at_risk = len(waits) - np.cumsum(seen) + seen
    return Curve(time, at_risk, died, np.cumprod(1 - died / np.maximum(at_risk, 1)))


def _counted(waits: "NDArray[Any]", happened: "NDArray[np.bool_]") -> "tuple[NDArray[Any], ...]":
    """Return the distinct times, and how many waits end and how many events happen at each."""
    import numpy as np

    if len(waits) and np.issubdtype(waits.dtype, np.integer) and waits.max() < 1_000_000:
        seen = np.bincount(waits)  # whole days need no sorting
        died = np.bincount(waits[happened], minlength=len(seen))
        place = np.flatnonzero(seen)
        return place.astype(float), seen[place], died[place]
    time, where = np.unique(waits.astype(float), return_inverse=True)
    size = len(time)
    return time, np.bincount(where, minlength=size), np.bincount(where[happened], minlength=size)


class Mean(NamedTuple):
    """A restricted mean survival time, in the unit of the durations, and the variance of that estimate."""

    value: float
    variance: float
    tau: float

    @property
    def se(self) -> float:
        """Its standard error."""
        return float(self.variance**0.5)

    def interval(self, level: float = LEVEL) -> Interval:
        """Return value ± z·se."""
        return normal(self.value, self.se, level)


def rmst(curve: Curve, tau: float) -> Mean | None:
    """Return the mean wait within ``tau``: the area below the curve from 0 to it. None where it is not known so far.

    The variance is Σ (area from t to τ)² · d / (n·(n − d)) over the events until τ (Klein and Moeschberger 2003, 4.5).
    """
    import numpy as np

    if tau <= 0 or not curve.knows(tau):
        return None
    upto = int(np.searchsorted(curve.time, tau, side="left"))
    time = curve.time[:upto]
    edges = np.concatenate([[0.0], time, [tau]])
    areas = np.diff(edges) * np.concatenate([[1.0], curve.survival[:upto]])
    after = np.cumsum(areas[::-1])[::-1][1:]  # from each time to tau
    risk, died = curve.at_risk[:upto].astype(float), curve.events[:upto]
    left = risk - died
    # Where all who were at risk had the event the curve is 0 from there on, and nothing is left to vary.
    parts = np.where(left > 0, after**2 * died / (risk * np.maximum(left, 1)), 0.0)
    return Mean(float(areas.sum()), float(parts.sum()), float(tau))


class MeanDifference(NamedTuple):
    """How much longer the first wait than the others, within ``tau``."""

    value: float
    se: float
    interval: Interval
    p_value: float | None
    tau: float


def rmst_difference(curve1: Curve, curve0: Curve, tau: float, level: float = LEVEL) -> MeanDifference | None:
    """Return the difference of two restricted means, first − other; None where either is not known until ``tau``."""
    first, other = rmst(curve1, tau), rmst(curve0, tau)
    if first is None or other is None:
        return None
    value, se = first.value - other.value, (first.variance + other.variance) ** 0.5
    p_value = two_sided_p(value / se) if se > 0 else None
    return MeanDifference(value, se, normal(value, se, level), p_value, float(tau))


class LogRank(NamedTuple):
    """A log-rank test: ``statistic`` is standard normal where the curves are equal; its square is the χ² of others.

    It is positive where the first had more events than expected: where they wait less.
    """

    statistic: float
    p_value: float


def log_rank(
    durations1: "ArrayLike", events1: "ArrayLike", durations0: "ArrayLike", events0: "ArrayLike"
) -> LogRank | None:
    """Return the log-rank test of two samples, two-sided; None where no event leaves anything to compare.

    Mantel (1966), with the hypergeometric variance.
    """
    import numpy as np

    one = kaplan_meier(durations1, events1)
    both = kaplan_meier(
        np.concatenate([np.asarray(durations1), np.asarray(durations0)]),
        np.concatenate([np.asarray(events1, dtype=bool), np.asarray(events0, dtype=bool)]),
    )
    at = both.events > 0
    risk, died = both.at_risk[at].astype(float), both.events[at].astype(float)
    place = np.searchsorted(one.time, both.time[at])
    risk1 = np.append(one.at_risk, 0)[place].astype(float)
    part = risk1 / np.maximum(risk, 1)
    variance = float(np.sum(died * part * (1 - part) * (risk - died) / np.maximum(risk - 1, 1)))
    if variance <= 0:
        return None
    statistic = float((one.events.sum() - np.sum(died * part)) / variance**0.5)
    return LogRank(statistic, two_sided_p(statistic))
