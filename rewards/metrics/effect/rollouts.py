"""A roll-out as a panel: whose store began when, and what the same customers did in each period.

A customer belongs to the store (region, channel, …) of the last order before the time that is compared, and stays
there whatever happens: where people went to buy after the program began may be its doing. Customers who came later
are not looked at, since who comes may be its doing too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal

from rewards.metrics.effect.staggered import NEVER, Panel
from rewards.metrics.orders import Orders, day_number
from rewards.metrics.result import BadParameter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Outcome = Literal["share-buying", "purchases", "revenue"]


def read_dates(written: str) -> dict[str, int | None]:
    """Return the day number of each roll-out in ``leeds=2026-03-02, york=2026-04-06, hull=never``; None for never.

    Raises:
        BadParameter: it is not written so.
    """
    dates: dict[str, int | None] = {}
    for part in filter(None, (each.strip() for each in written.split(","))):
        name, separator, day = (each.strip() for each in part.rpartition("="))
        if not separator or not name or name in dates:
            raise BadParameter(
                f"write each roll-out once, as NAME=DATE or NAME=never, with commas between them; not {part!r}"
            )
        try:
            dates[name] = None if day == "never" else day_number(date.fromisoformat(day))
        except ValueError:
            raise BadParameter(
                f"{day!r} is no date such as 2026-03-02; write never where there is none"
            ) from None
    return dates


@dataclass(frozen=True)
class Grid:
    """What is compared: ``periods`` of ``length`` days from day ``start``, one beginning with the first roll-out."""

    start: int
    length: int
    periods: int

    @property
    def until(self) -> int:
        """The day after the last period."""
        return self.start + self.length * self.periods

    def period_of(self, day: int | None) -> int:
        """Return the period that a day lies in; :data:`NEVER` for none and for days after the last."""
        return NEVER if day is None or day >= self.until else (day - self.start) // self.length


def grid_of(dates: Sequence[int], first: int, until: int, length: int, before: int) -> Grid | None:
    """Return whole periods around roll-outs; None where none has one before it and one since.

    Half of the shop's time before the first roll-out at most is compared: in the other half those became customers
    whose purchases it compares.

    Args:
        dates: of the roll-outs, day numbers.
        first: the day from which the shop's orders are known.
        until: the day after the last.
        length: days of a period.
        before: the most periods before the first roll-out.
    """
    began = min(dates)
    before = min(before, (began - first) // length // 2)
    since = (until - began) // length
    return Grid(began - before * length, length, before + since) if before > 0 and since > 0 else None


def panel_of(
    orders: Orders,
    grid: Grid,
    customers: "NDArray[np.int32]",
    home: "NDArray[np.int64]",
    dates: Sequence[int | None],
    outcome: Outcome,
) -> Panel:
    """Return the panel of roll-out units.

    Args:
        orders: the shop's purchases.
        grid: the periods.
        customers: who is looked at, ascending numbers.
        home: for each of them, the place of their unit in ``dates``.
        dates: when each unit began, a day number, or None.
        outcome: ``share-buying`` counts customers who bought in the period, ``purchases`` their purchase days,
            ``revenue`` what they paid, net of refunds, in minor units.
    """
    import numpy as np

    used = orders if outcome == "revenue" else orders.days
    at = np.searchsorted(customers, used.unit)
    known = np.zeros(len(used), dtype=bool)
    inside = at < len(customers)
    known[inside] = customers[at[inside]] == used.unit[inside]
    keep = known & (used.day >= grid.start) & (used.day < grid.until)
    who, period = at[keep], (used.day[keep].astype(np.int64) - grid.start) // grid.length
    did = np.ones(len(who))
    if outcome == "revenue":
        did = (used.amount[keep] - used.refunded[keep]).astype(float)
    if outcome == "share-buying":
        cells = np.unique(who * grid.periods + period)
        who, period, did = cells // grid.periods, cells % grid.periods, np.ones(len(cells))
    units = len(dates)
    sums = np.bincount(home[who] * grid.periods + period, did, minlength=units * grid.periods)
    total = sums.astype(np.float64).reshape(units, grid.periods)
    group = np.array([grid.period_of(each) for each in dates], dtype=np.int64)
    size = np.bincount(home, minlength=units).astype(float)
    return Panel(size, total, group)


def usable(panel: Panel, names: Sequence[str], anticipation: int) -> tuple[Panel, list[str]]:
    """Return the units that have customers and, where they began, a period before it; and their names."""
    import numpy as np

    keep = np.flatnonzero((panel.size > 0) & (panel.group > anticipation))
    return Panel(panel.size[keep], panel.total[keep], panel.group[keep]), [
        names[each] for each in keep.tolist()
    ]


def unnamed(dates: Mapping[str, int | None], found: Sequence[str]) -> list[str]:
    """Return the units of orders that no date was given for, in order."""
    return sorted(set(found) - set(dates))
