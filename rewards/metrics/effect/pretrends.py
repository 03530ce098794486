"""Were the stores on the same way before: the test of trends before a roll-out, and what if they were not quite.

A roll-out shows an effect only if, without it, customers of early and late stores would have changed alike. Before it
they can be watched doing so: figures by time since it began must be zero then. That a test finds nothing is no proof;
how wrong the trends may have been until the effect could be none is told beside it (Rambachan & Roth, "A more credible
approach to parallel trends", Review of Economic Studies 90, 2023).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rewards.metrics.effect.staggered import Average, Cell, Estimate, degrees_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class PreTrend(NamedTuple):
    """Whether figures before the roll-out are zero together.

    Attributes:
        wald: the sum of their squares in units of their spread; with many units χ² with ``tested`` degrees of freedom.
        tested: how many figures, the latest before the roll-out.
        p_value: how probable a larger one is were trends the same, with the spread known from so many units only.
    """

    wald: float
    tested: int
    p_value: float


def wald(estimates: Sequence[Estimate]) -> float | None:
    """Return the Wald statistic of figures that should all be zero; None where their spread does not tell."""
    import numpy as np

    values = np.array([each.value for each in estimates])
    influence = np.array([each.influence for each in estimates])
    spread = influence @ influence.T
    if not len(values) or np.linalg.matrix_rank(spread, hermitian=True) < len(values):
        return None
    return float(values @ np.linalg.solve(spread, values))


def trends_before(
    events: Mapping[int, Average], units: int, anticipation: int = 1, most: int = 3
) -> PreTrend | None:
    """Test that figures by time since the roll-out are zero before it; None where there is nothing to test.

    The figures next to the roll-out are tested, one for every five units at most: more would say more of the spread's
    error than of trends. Hotelling's T² takes the place of χ², which few units would exceed by chance alone.

    Args:
        events: figures by periods since it began (universal base).
        units: roll-out units.
        anticipation: periods before it began that are not called before.
        most: test at most so many.
    """
    from scipy.special import fdtrc

    before = sorted((since for since in events if since < -anticipation), reverse=True)
    before = before[: min(most, max(1, units // 5))]
    while before:
        figure = wald([events[since].estimate for since in before])
        if figure is not None:
            tested, degrees = len(before), units - len(before)
            # The influences are those of deviations from means and so have a unit less to vary.
            ratio = figure * (units - 1) / units * degrees / (tested * (units - 1))
            return PreTrend(figure, tested, float(fdtrc(tested, degrees, ratio)))
        before.pop()
    return None


#: Larger M are not told apart.
MOST_M = 10.0


class Sensitivity(NamedTuple):
    """What the effect may be where trends went apart after the roll-out up to M times as fast as ever before it.

    Attributes:
        value: the effect if trends were the same.
        reach: of how many changes from period to period the figure is made: each moves it by as much.
        changes: those before the roll-out.
        groups: the units' groups.
        level: of the intervals.
    """

    value: Estimate
    reach: float
    changes: Sequence[Estimate]
    groups: "NDArray[np.int64]"
    level: float

    def interval(self, m: float) -> tuple[float, float]:
        """Return the interval at M = ``m``: it covers whichever change before was the worst, and either direction."""
        import numpy as np
        from scipy.special import stdtrit

        shifts = np.array([each.value for each in self.changes])
        moved = np.array([each.influence for each in self.changes])
        values = self.value.value + m * self.reach * np.concatenate([shifts, -shifts])
        influence = self.value.influence + m * self.reach * np.concatenate([moved, -moved])
        errors = np.sqrt((influence**2).sum(axis=1))
        halves = stdtrit(degrees_of(influence, self.groups), 0.5 + self.level / 2) * errors
        return float((values - halves).min()), float((values + halves).max())

    def breakdown(self) -> float:
        """Return the smallest M, in hundredths and up to :data:`MOST_M`, at which the interval covers zero."""
        for hundredth in range(int(MOST_M * 100)):
            low, high = self.interval(hundredth / 100)
            if low <= 0 <= high:
                return hundredth / 100
        return MOST_M


def sensitivity(
    headline: Average,
    cells: Sequence[Cell],
    events: Mapping[int, Average],
    groups: "NDArray[np.int64]",
    anticipation: int = 1,
    level: float = 0.95,
) -> Sensitivity | None:
    """Return how the headline stands violations of trends, by relative magnitudes; None without two periods before.

    In the worst case each ATT(g,t) is off by M times the worst change before for each period since the base. The
    interval is the union, over which change before was the worst and over its sign, of the intervals of the figure
    moved by it; the paper's own uses besides that no other change was larger, and would be a little narrower.

    Args:
        headline: the overall effect with the shares of the cells in it.
        cells: those ATT(g,t), with universal base.
        events: figures by periods since it began.
        groups: the units' groups.
        anticipation: periods before it began that are not called before.
        level: of the interval.
    """
    import numpy as np

    changes = changes_before(events, anticipation)
    if not changes:
        return None
    periods = np.array([cell.period - cell.base for cell in cells])
    return Sensitivity(headline.estimate, float(headline.shares @ periods), changes, groups, level)


def changes_before(events: Mapping[int, Average], anticipation: int) -> list[Estimate]:
    """Return how figures change from period to period before the roll-out; at the base period they are zero."""
    base = -anticipation - 1
    known = {since: each.estimate for since, each in events.items() if since < base}
    if not known:
        return []
    nothing = next(iter(known.values())).influence * 0.0
    known[base] = Estimate(0.0, nothing)
    return [
        Estimate(
            known[since + 1].value - known[since].value, known[since + 1].influence - known[since].influence
        )
        for since in sorted(known)
        if since + 1 in known
    ]
