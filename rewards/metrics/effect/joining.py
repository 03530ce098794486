"""Who joined and who did not, made as comparable as records allow: the same occasion, what was known before it, after.

People join by buying. Whoever joined is therefore compared with customers who bought too, and could have joined, on
the day of their purchase: each customer's first purchase day in a span of time is their *occasion*; who joined on it
is a member, who had not by its end is none, whatever they did later (that counts as found). What was known before the
occasion is adjusted for, and only purchases after it are compared.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rewards.metrics.effect.overlap import independent
from rewards.metrics.orders import Orders

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: So many days before the occasion are looked at.
HISTORY_DAYS = 365
NEVER = 2_000_000

#: What is known of a customer at the occasion; the first column of ones is not named.
COLUMNS = (
    "First purchase ever",
    "Purchase days in the year before (log)",
    "Revenue in the year before (log)",
    "Days since the last purchase (log)",
    "Days since the first purchase (log)",
    "Paid on the occasion (log)",
    "When the occasion was",
)


@dataclass(frozen=True)
class Occasions:
    """Customers who could have joined, each on the day of a purchase.

    Attributes:
        unit: their numbers, ascending.
        joined: who joined on that day.
        known: what was known before, customers × (1 + :data:`COLUMNS`).
        bought: whether they bought again within the horizon after the day.
        revenue: what they paid then, net of refunds, in minor units.
        joined_later: how many of those who did not join had joined before the horizon was over.
    """

    unit: "NDArray[np.int32]"
    joined: "NDArray[np.bool_]"
    known: "NDArray[np.float64]"
    bought: "NDArray[np.bool_]"
    revenue: "NDArray[np.float64]"
    joined_later: int

    def outcome(self, kind: Literal["bought-again", "revenue"]) -> "NDArray[np.float64]":
        """Return what is compared."""
        return self.bought.astype(float) if kind == "bought-again" else self.revenue


def joined_days(
    units: "NDArray[np.int32]", member: "NDArray[np.int32]", day: "NDArray[np.int64]"
) -> "NDArray[np.int64]":
    """Return the day on which each of ``units`` joined, :data:`NEVER` for who did not.

    Args:
        units: customers' numbers, ascending.
        member: who joined, ascending.
        day: when each of those joined.
    """
    import numpy as np

    joined = np.full(len(units), NEVER, dtype=np.int64)
    at = np.searchsorted(units, member)
    inside = at < len(units)
    inside[inside] = units[at[inside]] == member[inside]
    joined[at[inside]] = day[inside]
    return joined


def occasions_of(
    orders: Orders,
    member: "NDArray[np.int32]",
    joined_on: "NDArray[np.int64]",
    start: int,
    days: int,
    horizon: int,
) -> Occasions:
    """Return the occasions in ``[start, start + days)`` of customers who had not joined before them.

    Args:
        orders: the shop's purchases.
        member: who joined, ascending numbers.
        joined_on: the day on which each of those did.
        start: the first day of occasions, a day number.
        days: how many days occasions are looked for.
        horizon: how many days after an occasion are compared.
    """
    import numpy as np

    by_day = orders.days
    joined = joined_days(by_day.units, member, joined_on)
    inside = np.flatnonzero((by_day.day >= start) & (by_day.day < start + days))
    # Sorted by customer and day, so that each customer's first one is where another customer's are over.
    owner = by_day.owner[inside]
    firsts = inside[np.flatnonzero(np.diff(owner, prepend=-1))]
    firsts = firsts[joined[by_day.owner[firsts]] >= by_day.day[firsts]]
    who, occasion = by_day.owner[firsts], by_day.day[firsts].astype(np.int64)
    mine = _of(by_day, who)
    owner = np.repeat(np.arange(len(who)), by_day.counts[who])
    since = mine.day - occasion[owner]
    after = (since > 0) & (since <= horizon)
    paid = (mine.amount - mine.refunded)[after].astype(float)
    bought = np.bincount(owner[after], minlength=len(who)) > 0
    revenue = np.bincount(owner[after], paid, minlength=len(who)).astype(np.float64)
    later = (joined[who] > occasion) & (joined[who] <= occasion + horizon)
    return Occasions(
        by_day.units[who],
        joined[who] == occasion,
        _known(mine, owner, since, (occasion - start) / days),
        bought,
        revenue,
        int(later.sum()),
    )


def _of(orders: Orders, who: "NDArray[np.int64]") -> Orders:
    """Return the purchases of some customers, by their places, ascending."""
    import numpy as np

    chosen = np.zeros(len(orders.starts), dtype=bool)
    chosen[who] = True
    keep = np.flatnonzero(chosen[orders.owner])
    return Orders(
        orders.unit[keep], orders.day[keep], orders.at[keep], orders.amount[keep], orders.refunded[keep]
    )


def _known(
    orders: Orders, owner: "NDArray[np.int64]", since: "NDArray[np.int64]", when: "NDArray[np.float64]"
) -> "NDArray[np.float64]":
    """Return what was known of each customer at the occasion, in the order of :data:`COLUMNS`, after a one.

    Args:
        orders: the customers' purchases by day.
        owner: for each of those, its customer's place.
        since: how many days after the customer's occasion each was.
        when: when each customer's occasion was, from 0 to 1.
    """
    import numpy as np

    count = len(when)
    year = (since < 0) & (since >= -HISTORY_DAYS)
    here = np.flatnonzero(since == 0)
    is_new = here == orders.starts
    # Each customer has one purchase day that is the occasion; the one before it, if any, is the last.
    last = np.where(is_new, 0, -since[np.maximum(here - 1, 0)])
    return np.column_stack(
        [
            np.ones(count),
            is_new,
            np.log1p(np.bincount(owner[year], minlength=count)),
            np.log1p(np.bincount(owner[year], orders.amount[year].astype(float), minlength=count)),
            np.log1p(last),
            np.log1p(-since[orders.starts]),
            np.log1p(orders.amount[here].astype(float)),
            when,
        ]
    )


def varying(known: "NDArray[np.float64]", joined: "NDArray[np.bool_]") -> "NDArray[np.int64]":
    """Return the columns of ``known`` to adjust for: the ones, and those that vary among who did not join.

    A column that does not vary there, or follows from others, cannot be adjusted for and is left out.
    """
    import numpy as np

    kept: list[int] = []
    others = known[~joined]
    for column in range(known.shape[1]):
        tried = [*kept, column]
        if independent(others[:, tried]):
            kept = tried
    return np.array(kept, dtype=np.int64)
