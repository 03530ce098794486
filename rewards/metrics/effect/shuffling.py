"""Few stores: how often shuffling the dates of their roll-out gives as much, instead of their spread.

With fewer than about ten roll-out units their spread says too little of how far a figure may be off. Had the dates been
dealt otherwise the same figure could be worked out from what the same customers did; the share of deals that give at
least as much is exact, provided that the dates had nothing to do with how the units were doing. See Fisher's
randomisation test, and Rosenbaum (2002), "Covariance adjustment", for the interval by inverting it.
"""

from collections import Counter
from math import factorial, prod
from typing import TYPE_CHECKING, Literal, NamedTuple

from rewards.metrics.effect.staggered import Panel, weights_of_overall

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_DEALS = 1_000


class Shuffled(NamedTuple):
    """What dealing the dates anew comes to.

    Attributes:
        value: the figure with the dates as they were.
        p_value: the share of deals that give at least as much, to either side, were there no effect.
        low, high: the effects, the same for all, that the deals do not contradict; None where they contradict none.
        deals: how many different deals there are.
    """

    value: float
    p_value: float
    low: float | None
    high: float | None
    deals: int


def deals_of(panel: Panel) -> int:
    """Return how many different ways there are to deal the dates to the units."""
    counts = Counter(panel.group.tolist())
    return factorial(len(panel.group)) // prod(factorial(each) for each in counts.values())


def shuffle(
    panel: Panel, anticipation: int = 1, side: Literal["after", "before"] = "after", level: float = 0.95
) -> Shuffled | None:
    """Deal the dates anew, all ways or a thousand of them by chance, and compare; None where there is no figure.

    Args:
        panel: the units.
        anticipation: as in :func:`rewards.metrics.effect.staggered.group_time`.
        side: whether the effect is compared, or what should have been zero before it.
        level: of the interval.
    """
    import numpy as np

    weights = weights_of_overall(panel, anticipation, side)
    if weights is None:
        return None
    value = float((weights * panel.total).sum())
    # What an effect of one per customer and period would have added, with the dates as they were.
    had = (np.arange(panel.periods)[None, :] >= panel.group[:, None]) * panel.size[:, None]
    values, slopes = [], []
    for order in _orders(panel):
        dealt = weights_of_overall(panel.shuffled(order), anticipation, side)
        if dealt is not None:
            values.append((dealt * panel.total).sum())
            slopes.append((dealt * had).sum())
    p_value = float((np.abs(values) >= abs(value) - 1e-9 * np.abs(values).max()).mean())
    low, high = _inverted(np.array(values), np.array(slopes), value, 1 - level)
    return Shuffled(value, p_value, low, high, deals_of(panel))


def _orders(panel: Panel) -> "NDArray[np.int64]":
    """Return which unit's date each unit gets, a row for each deal; the first is as it was."""
    import numpy as np

    units = len(panel.group)
    if deals_of(panel) <= MOST_DEALS:
        dates, codes = np.unique(panel.group, return_inverse=True)
        places = [int(np.flatnonzero(codes == code)[0]) for code in range(len(dates))]
        dealt = _arrangements(tuple(np.bincount(codes).tolist()))
        return np.array([[places[code] for code in deal] for deal in dealt], dtype=np.int64)
    # The seed is fixed, so that the same data give the same figure.
    generator = np.random.default_rng(units)
    chosen = [np.arange(units)] + [generator.permutation(units) for _ in range(MOST_DEALS - 1)]
    return np.array(chosen, dtype=np.int64)


def _arrangements(counts: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return each different row of so many of each code."""
    if not sum(counts):
        return [()]
    found = []
    for code, left in enumerate(counts):
        if left:
            rest = (*counts[:code], left - 1, *counts[code + 1 :])
            found += [(code, *tail) for tail in _arrangements(rest)]
    return found


def _inverted(
    values: "NDArray[np.float64]", slopes: "NDArray[np.float64]", value: float, alpha: float
) -> tuple[float | None, float | None]:
    """Return the ends of the effects d for which |values − d·slopes| ≥ |value − d| in more than alpha of deals.

    Each deal changes its mind at two effects at most; between those nothing changes.
    """
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        turns = np.concatenate([(value - values) / (1 - slopes), (value + values) / (1 + slopes)])
    turns = np.unique(turns[np.isfinite(turns)])
    if not len(turns):
        return None, None
    reach = 1 + float(np.abs(turns).max())
    edges = np.concatenate([[-reach], turns, [reach]])
    middles = (edges[1:] + edges[:-1]) / 2
    tiny = 1e-9 * reach
    kept = (
        np.abs(values[None, :] - middles[:, None] * slopes[None, :])
        >= np.abs(value - middles)[:, None] - tiny
    )
    accepted = kept.mean(axis=1) > alpha
    if accepted[0] or accepted[-1]:
        return None, None
    where = np.flatnonzero(accepted)
    return (float(value),) * 2 if not len(where) else (float(edges[where[0]]), float(edges[where[-1] + 1]))
