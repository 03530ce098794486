"""A program that began in one store, region or channel after the other: the effect by when it began and when it is.

ATT(g,t) of Callaway & Sant'Anna, "Difference-in-Differences with multiple time periods", Journal of Econometrics 225
(2021), without covariates: of the units that began in period g, how much more their customers changed from the last
period before until t than the customers of units that had not begun by then. Units that have begun never serve as
controls, which is what two-way fixed effects get wrong.

Without covariates only sums by unit matter: all here computes on units, however many customers they have. Periods are
counted 0, 1, …; figures are per customer and period, in the unit of the outcome.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: The group of units in which the program has not begun.
NEVER = 1_000_000


@dataclass(frozen=True)
class Panel:
    """The customers of each roll-out unit over time; the same customers in each period.

    Attributes:
        size: customers of each unit, float, above zero; as long as there are units.
        total: what they did together in each period, float, units × periods.
        group: the period in which the program began in the unit, or :data:`NEVER`.
    """

    size: "NDArray[np.float64]"
    total: "NDArray[np.float64]"
    group: "NDArray[np.int64]"

    @property
    def periods(self) -> int:
        """How many periods there are."""
        return int(self.total.shape[1])

    @property
    def began(self) -> "NDArray[np.bool_]":
        """Which units began within the panel."""
        began: NDArray[np.bool_] = self.group < self.periods
        return began

    def shuffled(self, order: "NDArray[np.int64]") -> "Panel":
        """Return the same units with each other's dates."""
        return replace(self, group=self.group[order])


@dataclass(frozen=True)
class Estimate:
    """A figure with what each unit contributes to its error.

    ``influence`` is summed over the customers of a unit and divided by the number of all customers, so that the
    squared error is the sum of its squares.
    """

    value: float
    influence: "NDArray[np.float64]"

    @property
    def se(self) -> float:
        """The standard error clustered by unit, as ``csdid`` gives it (no correction for few units)."""
        return float((self.influence**2).sum() ** 0.5)


class Cell(NamedTuple):
    """ATT(g,t)."""

    group: int
    period: int
    base: int
    estimate: Estimate


def group_time(
    panel: Panel,
    anticipation: int = 1,
    base: Literal["varying", "universal"] = "universal",
    *,
    is_corrected: bool = True,
) -> list[Cell]:
    """Return ATT(g,t) for each group that has a period before it, and each period that has controls.

    Args:
        panel: the units.
        anticipation: so many periods before it began, customers may have reacted already; those are neither compared
            with nor called before.
        base: whether a period before is compared with the one before it (``varying``, as in R's ``did``), or with the
            last before anticipation (``universal``), as an event study and the sensitivity to trends need it.
        is_corrected: whether each unit's contribution to the error is corrected for what it moved the mean of its own
            group (HC2); without, errors are those of ``csdid``, which are too small where groups have few units.
    """
    import numpy as np

    found = []
    for group in np.unique(panel.group[panel.began]):
        reference = int(group) - anticipation - 1
        if reference < 0:
            continue
        for period in range(panel.periods):
            is_before = period < group - anticipation
            since = period - 1 if is_before and base == "varying" else reference
            if since < 0 or since == period:
                continue
            treated = panel.group == group
            controls = (panel.group > max(period, since) + anticipation) & ~treated
            if controls.any():
                estimate = _two_by_two(panel, treated, controls, period, since, is_corrected)
                found.append(Cell(int(group), period, since, estimate))
    return found


def _two_by_two(
    panel: Panel,
    treated: "NDArray[np.bool_]",
    controls: "NDArray[np.bool_]",
    period: int,
    base: int,
    is_corrected: bool,
) -> Estimate:
    import numpy as np

    change = panel.total[:, period] - panel.total[:, base]
    customers1, customers0 = panel.size[treated].sum(), panel.size[controls].sum()
    mean1, mean0 = change[treated].sum() / customers1, change[controls].sum() / customers0
    influence = treated * (change - mean1 * panel.size) / customers1
    influence -= controls * (change - mean0 * panel.size) / customers0
    if is_corrected:
        share = panel.size * np.where(treated, 1 / customers1, np.where(controls, 1 / customers0, 0.0))
        # A unit that is all of its side says nothing of how far that may be off.
        influence = np.where(share < 1 - 1e-9, influence / np.sqrt(np.maximum(1 - share, 1e-9)), 0.0)
    return Estimate(float(mean1 - mean0), influence)


class Average(NamedTuple):
    """An average of ATT(g,t) with the share that each of those has in it, in the order in which they were given."""

    estimate: Estimate
    shares: "NDArray[np.float64]"


def _average(panel: Panel, cells: Sequence[Cell], keep: "NDArray[np.bool_]") -> Average:
    """Return the average of some cells, weighted by their groups' customers; the error knows they are a sample."""
    import numpy as np

    at = np.flatnonzero(keep)
    groups = np.array([cells[each].group for each in at.tolist()])
    member = panel.group[None, :] == groups[:, None]
    weight = (member * panel.size).sum(axis=1) / panel.size.sum()
    share = weight / weight.sum()
    values = np.array([cells[each].estimate.value for each in at.tolist()])
    value = float(share @ values)
    influence = share @ np.array([cells[each].estimate.influence for each in at.tolist()])
    # Had other customers come, the groups' shares would differ: d(Σwv/Σw) = Σ(v − value)dw / Σw.
    influence = influence + ((values - value) @ (member * panel.size)) / (panel.size.sum() * weight.sum())
    shares = np.zeros(len(cells))
    shares[at] = share
    return Average(Estimate(value, influence), shares)


def _mean(averages: Sequence[Average]) -> Average:
    import numpy as np

    return Average(
        Estimate(
            float(np.mean([each.estimate.value for each in averages])),
            np.mean([each.estimate.influence for each in averages], axis=0),
        ),
        np.mean([each.shares for each in averages], axis=0),
    )


def by_event_time(panel: Panel, cells: Sequence[Cell]) -> dict[int, Average]:
    """Return the effect by periods since it began, 0 being the first; those before it are negative."""
    import numpy as np

    since = np.array([cell.period - cell.group for cell in cells])
    return {int(each): _average(panel, cells, since == each) for each in np.unique(since)}


def by_period(panel: Panel, cells: Sequence[Cell]) -> dict[int, Average]:
    """Return the effect by period, over the units that had begun by then."""
    import numpy as np

    period, group = np.array([[cell.period, cell.group] for cell in cells]).T
    return {
        int(each): _average(panel, cells, (period == each) & (group <= each))
        for each in np.unique(period[period >= group])
    }


def by_group(panel: Panel, cells: Sequence[Cell]) -> dict[int, Average]:
    """Return the effect by when it began, over all periods since."""
    import numpy as np

    period, group = np.array([[cell.period, cell.group] for cell in cells]).T
    return {
        int(each): _average(panel, cells, (group == each) & (period >= group))
        for each in np.unique(group[period >= group])
    }


def overall(
    panel: Panel, cells: Sequence[Cell], kind: Literal["group", "simple", "dynamic", "calendar"] = "group"
) -> Average | None:
    """Return one figure for all; None where no group has both a period since it began and controls in it.

    ``group``, which the paper recommends, is the average over customers of what their unit's roll-out changed on
    average since; ``simple`` weights each period of each group, ``dynamic`` and ``calendar`` average the figures by
    time since it began, and by period.
    """
    import numpy as np

    after = np.array([cell.period >= cell.group for cell in cells], dtype=bool)
    if not after.any():
        return None
    if kind == "simple":
        return _average(panel, cells, after)
    if kind == "dynamic":
        return _mean([each for since, each in by_event_time(panel, cells).items() if since >= 0])
    if kind == "calendar":
        return _mean(list(by_period(panel, cells).values()))
    groups = by_group(panel, cells)
    # Each group's figure counts as a cell of its own, so that the same average does.
    wholes = [Cell(group, group, group, each.estimate) for group, each in groups.items()]
    whole = _average(panel, wholes, np.ones(len(wholes), dtype=bool))
    return Average(whole.estimate, whole.shares @ np.array([each.shares for each in groups.values()]))


class Band(NamedTuple):
    """Half-widths within which all of some figures lie at once; ``critical`` is in standard errors, for many units."""

    critical: float
    halves: "NDArray[np.float64]"


def simultaneous(
    estimates: Sequence[Estimate], groups: "NDArray[np.int64]", level: float = 0.95, draws: int = 1999
) -> Band:
    """Return the band in which all of some figures lie together, by the multiplier bootstrap over units.

    Each draw gives each unit's contribution a sign by chance; the seed comes from the figures, so that the same data
    give the same band. Where a figure rests on few units its half-width is that of Student's distribution with
    Satterthwaite's degrees of freedom at the same probability.

    Args:
        estimates: the figures, with corrected errors.
        groups: the units' groups, within which they vary.
        level: of the band.
        draws: of the bootstrap.
    """
    import numpy as np
    from scipy.special import ndtr, ndtri, stdtrit

    influence = np.array([each.influence for each in estimates])
    errors = np.sqrt((influence**2).sum(axis=1))
    moving = errors > 0
    critical = float(ndtri(0.5 + level / 2))
    if moving.any():
        signs = _generator(influence).integers(0, 2, (draws, influence.shape[1])) * 2.0 - 1.0
        furthest = np.abs(signs @ influence[moving].T / errors[moving]).max(axis=1)
        critical = max(critical, float(np.quantile(furthest, level)))
    return Band(critical, stdtrit(degrees_of(influence, groups), ndtr(critical)) * errors)


def degrees_of(influence: "NDArray[np.float64]", groups: "NDArray[np.int64]") -> "NDArray[np.float64]":
    """Return Satterthwaite's degrees of freedom of figures: a group of n units knows its spread from n − 1 of them."""
    import numpy as np

    codes = np.unique(groups, return_inverse=True)[1]
    counts = np.bincount(codes)
    parts = (influence**2) @ (codes[:, None] == np.arange(len(counts)))
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = parts.sum(axis=1) ** 2 / (parts**2 / np.maximum(counts - 1, 1)).sum(axis=1)
    return np.where(np.isfinite(degrees), np.maximum(degrees, 1.0), 1.0)


def _generator(data: "NDArray[np.float64]") -> "np.random.Generator":
    from hashlib import sha256

    import numpy as np

    seed = sha256(np.ascontiguousarray(np.round(data, 12)).tobytes()).digest()[:8]
    return np.random.default_rng(int.from_bytes(seed, "big"))


def weights_of_overall(
    panel: Panel, anticipation: int = 1, side: Literal["after", "before"] = "after"
) -> "NDArray[np.float64] | None":
    """Return how much what each unit did in each period counts in the overall effect, units × periods.

    The sum of its product with ``panel.total`` is :func:`overall` (``group``), at a fraction of the cost; None where
    there is no such effect. With ``before`` it is the same average over the periods before the base instead, which is
    zero where trends were the same.
    """
    import numpy as np

    periods = np.arange(panel.periods)
    weights = np.zeros(panel.total.shape)
    customers = 0.0
    for group in np.unique(panel.group[panel.began]):
        base = int(group) - anticipation - 1
        treated = panel.group == group
        latest = np.maximum(periods, base)
        controls = (panel.group[:, None] > latest[None, :] + anticipation) & ~treated[:, None]
        sizes0 = (controls * panel.size[:, None]).sum(axis=0)
        told = ((periods >= group) if side == "after" else (periods < base)) & (sizes0 > 0)
        if base < 0 or not told.any():
            continue
        size1 = panel.size[treated].sum()
        mine = treated[:, None] / size1 - controls / np.where(sizes0 > 0, sizes0, 1.0)
        mine = np.where(told, mine, 0.0) / told.sum()
        mine[:, base] -= mine.sum(axis=1)
        weights += size1 * mine
        customers += size1
    return weights / customers if customers else None
