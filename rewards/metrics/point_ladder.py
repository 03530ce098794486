"""What becomes of points: the share that is never redeemed, from what became of those of each month of award. Pure.

The chain ladder of insurers, on points: at each age in months, of the points that were still open, what share was
redeemed, expired or was taken back, over all months of award that are old enough. Chained, as Kaplan and Meier chain
survival, and told apart by what ended it (Aalen and Johansen, 1978). What nobody has seen yet, the points older than
any month of award that was followed, makes the range: they may all be redeemed, or none of them.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rewards.metrics.intervals import z
from rewards.metrics.ledger_reading.fates import EXPIRED, REDEEMED, TAKEN, Fates

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Ladder(NamedTuple):
    """What becomes of a point by the months since it was awarded; each array as long as there are ages.

    Attributes:
        at_risk: points that were open when the age began, over the months of award that were followed through it.
        redeemed, expired, taken: shares of all points that have gone that way by the end of the age.
        open: the share that is still open then.
    """

    at_risk: "NDArray[np.int64]"
    redeemed: "NDArray[np.float64]"
    expired: "NDArray[np.float64]"
    taken: "NDArray[np.float64]"
    open: "NDArray[np.float64]"


def climb(issued: "NDArray[np.int64]", gone: "NDArray[np.int64]") -> Ladder:
    """Return the ladder of months of award, all of which have ended, the oldest first.

    Args:
        issued: points awarded, by month: M.
        gone: points that left, net of what came back, by month, age in months and fate: M × M × 3. The month at
            place m was followed through the ages 0 to M − 1 − m.
    """
    import numpy as np

    months = len(issued)
    left = issued[:, None] - np.cumsum(gone.sum(axis=2), axis=1)
    before = np.concatenate([issued[:, None], left[:, :-1]], axis=1)
    followed = np.add.outer(np.arange(months), np.arange(months)) < months
    at_risk = np.where(followed, before, 0).sum(axis=0)
    exits = np.where(followed[:, :, None], gone, 0).sum(axis=0)
    ages = int(np.argmax(at_risk <= 0)) if (at_risk <= 0).any() else months
    at_risk, exits = at_risk[:ages], exits[:ages]
    hazard = exits / at_risk[:, None] if ages else np.zeros((0, 3))
    still_open = np.cumprod(1 - hazard.sum(axis=1))
    begun = np.concatenate([[1.0], still_open[:-1]]) if ages else still_open
    ended = np.cumsum(begun[:, None] * hazard, axis=0)
    return Ladder(at_risk, ended[:, REDEEMED], ended[:, EXPIRED], ended[:, TAKEN], still_open)


class Broken(NamedTuple):
    """The share of points that is never redeemed, of those that no refund takes back: at best guess, least and most."""

    value: float
    low: float
    high: float


def broken(ladder: Ladder) -> Broken | None:
    """Return the breakage that a ladder amounts to; None where no point has been redeemed or has expired.

    Of the points that are older than was seen, as many expire at best guess as of those that have gone; at least
    none, at most all of them.
    """
    if not len(ladder.open):
        return None
    redeemed, expired = float(ladder.redeemed[-1]), float(ladder.expired[-1])
    unseen = max(float(ladder.open[-1]), 0.0)
    kept = redeemed + expired + unseen
    if redeemed + expired <= 0 or kept <= 0:
        return None
    return Broken(
        expired / (redeemed + expired), max(expired, 0.0) / kept, min((expired + unseen) / kept, 1.0)
    )


def spread(fates: Fates) -> Broken | None:
    """Return the breakage of all customers, its range widened by 95 % of sampling at both ends."""
    whole = broken(climb(fates.issued.sum(axis=1), fates.gone.sum(axis=1)))
    if whole is None:
        return None
    errors = _errors(fates, lambda part: broken(climb(part.issued.sum(axis=1), part.gone.sum(axis=1))))
    if errors is None:
        return Broken(whole.value, 0.0, 1.0)
    low, high = whole.low - z() * errors[1], whole.high + z() * errors[2]
    return Broken(whole.value, max(low, 0.0), min(high, 1.0))


def _errors(fates: Fates, statistic: Callable[[Fates], Sequence[float] | None]) -> list[float] | None:
    """Return the standard errors of figures by a jackknife that leaves out one group of customers at a time.

    Points of one customer share their fate, so customers, not points, are what varies (Kott, 2001). None where there
    are too few groups to tell.
    """
    import numpy as np

    found = []
    for group in np.flatnonzero(fates.issued.any(axis=0)):
        without = statistic(
            Fates(np.delete(fates.issued, group, axis=1), np.delete(fates.gone, group, axis=1))
        )
        if without is not None:
            found.append(without)
    if len(found) < 2:
        return None
    each = np.array(found)
    errors = np.sqrt((len(found) - 1) / len(found) * ((each - each.mean(axis=0)) ** 2).sum(axis=0))
    return [float(error) for error in errors]


class Expected(NamedTuple):
    """Of points that are open, how many will be redeemed: at best guess, least and most."""

    value: float
    low: float
    high: float


def to_be_redeemed(ladder: Ladder, still_open: "NDArray[np.int64]") -> Expected:
    """Return how many open points will be redeemed, given how many are open that were followed through each age.

    Points at an age go on as the ladder does from there; what is open beyond its last age, and what is older, at best
    guess as those that have gone did, at least not at all, at most wholly.
    """
    import numpy as np

    if not len(ladder.open):
        return Expected(0.0, 0.0, float(still_open.sum()))
    redeemed, expired = float(ladder.redeemed[-1]), float(ladder.expired[-1])
    guess = redeemed / (redeemed + expired) if redeemed + expired > 0 else 0.5
    last = len(ladder.open) - 1
    at = np.minimum(np.arange(len(still_open)), last)
    with np.errstate(divide="ignore", invalid="ignore"):
        sure = np.where(ladder.open[at] > 0, (redeemed - ladder.redeemed[at]) / ladder.open[at], 0.0)
        unseen = np.where(ladder.open[at] > 0, ladder.open[-1] / ladder.open[at], 1.0)
    low, rest = float((still_open * sure).sum()), float((still_open * unseen).sum())
    return Expected(low + guess * rest, low, low + rest)


def expected(fates: Fates) -> Expected:
    """Return how many of the points that are open will be redeemed, the range widened by 95 % of sampling."""

    def shares(part: Fates) -> Sequence[float] | None:
        left = open_by_age(part)
        if not left.sum():
            return None
        found = to_be_redeemed(climb(part.issued.sum(axis=1), part.gone.sum(axis=1)), left)
        return [each / float(left.sum()) for each in found]

    left = open_by_age(fates)
    whole = to_be_redeemed(climb(fates.issued.sum(axis=1), fates.gone.sum(axis=1)), left)
    errors = _errors(fates, shares)
    total = float(left.sum())
    if errors is None:
        return Expected(whole.value, 0.0, total)
    low, high = whole.low - z() * errors[1] * total, whole.high + z() * errors[2] * total
    return Expected(whole.value, max(low, 0.0), min(high, total))


def open_by_age(fates: Fates) -> "NDArray[np.int64]":
    """Return the points still open at the end, by how many months of age they were followed through."""
    left = fates.issued.sum(axis=1) - fates.gone.sum(axis=(1, 2, 3))
    reversed_: NDArray[np.int64] = left[::-1].clip(min=0)
    return reversed_
