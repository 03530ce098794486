"""When customers bought, counted from their first purchase, and how many came back in which period after it.

Period k of a customer is ``[first + k·p, first + (k+1)·p)``; the first purchase itself lies in period 0, so that period
0 holds everybody. A period counts for the customers for whom it is over, and for nobody else.
"""

import re
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING

from rewards.metrics.orders import day_number
from rewards.metrics.result import BadParameter
from rewards.metrics.windows import known_since

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rewards.metrics.source import Source

_DAY = 86_400_000_000


@dataclass(frozen=True)
class Times:
    """When the customers of a cohort bought, counted from their first purchase, in one unit of time.

    Attributes:
        units: the customers, ascending.
        since: for each of their purchases, how long after the first; ascending within a customer.
        owner: for each of their purchases, the position of the customer in ``units``.
        last: of each customer, how long after the first the last purchase came.
        watched: of each customer, how long after the first the time ends that is known.
        day: how much of the unit a day is.
        first_day: of each customer, the day of the first purchase.
    """

    units: "NDArray[np.int32]"
    since: "NDArray[np.int64]"
    owner: "NDArray[np.int64]"
    last: "NDArray[np.int64]"
    watched: "NDArray[np.int64]"
    day: int
    first_day: "NDArray[np.int32]"


def times_of(source: "Source", clock: str, span: dict[str, date | None]) -> Times:
    """Return when customers bought whose first purchase is known and lies in the dates asked for."""
    import numpy as np

    orders = source.orders
    known = known_since(source)
    least, most = span.get("from"), span.get("to")
    start = max(known or 0, day_number(least) if least else known or 0)
    end = min(source.until, day_number(most) if most else source.until)
    mine = (orders.first_day >= start) & (orders.first_day < end)
    at, until, day = (
        (orders.day, source.until, 1)
        if clock == "calendar"
        else (orders.at, round(source.ends_at.timestamp()) * 1_000_000, _DAY)
    )
    first = at[orders.starts].astype(np.int64)
    rows = slice(None) if mine.all() else mine[orders.owner]
    counts = orders.counts[mine]
    return Times(
        orders.units[mine],
        (at[rows] - np.repeat(first[mine], counts)).astype(np.int64),
        np.repeat(np.arange(len(counts)), counts),
        (at[orders.starts + orders.counts - 1] - first)[mine],
        until - first[mine],
        day,
        orders.first_day[mine],
    )


def on_period(times: Times, days: int) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """Return for each period k from 0: who bought in it, and who could have: those for whom it is over."""
    import numpy as np

    length = days * times.day
    over = times.watched // length  # how many periods are over
    eligible = _at_least(over, 1)
    period = times.since // length
    fresh = np.concatenate([[True], (np.diff(times.owner) != 0) | (np.diff(period) != 0)])[: len(period)]
    counted = fresh & (period < over[times.owner])
    return np.bincount(period[counted], minlength=len(eligible)), eligible


def from_period_on(
    times: Times, days: int
) -> "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]":
    """Return for each period k from 0: who bought in it or later, who could have, and how long those were watched.

    The last is in days from the period's beginning, and the median of those who could have (the longer of the
    middle two). Little of it means that many may yet come.
    """
    import numpy as np

    length = days * times.day
    over = times.watched // length
    eligible = _at_least(over, 1)
    came = np.minimum(times.last // length, over - 1)
    hits = _at_least(came, 0)
    hits = np.concatenate([hits, np.zeros(len(eligible), dtype=hits.dtype)])[: len(eligible)]
    watched = np.sort(times.watched)[::-1]  # those for whom period k is over are the first eligible[k]
    middle = watched[np.maximum(eligible - 1, 0) // 2] if len(watched) else watched
    return hits, eligible, (middle - np.arange(len(eligible)) * length) // times.day


def on_bracket(times: Times, first: int, last: int) -> tuple[int, int]:
    """Return who bought in the days from ``first`` to ``last`` after the first purchase, and for whom they are over."""
    import numpy as np

    low, high = first * times.day, (last + 1) * times.day
    is_over = times.watched >= high
    hits = (times.since >= low) & (times.since < high) & is_over[times.owner]
    return int(np.count_nonzero(np.bincount(times.owner[hits]))), int(is_over.sum())


def _at_least(values: "NDArray[np.int64]", least: int) -> "NDArray[np.int64]":
    """Return how many values are at least ``least``, ``least + 1``, … up to the greatest."""
    import numpy as np

    kept = values[values >= least] - least
    found: NDArray[np.int64] = np.bincount(kept)[::-1].cumsum()[::-1]
    return found


def brackets_of(text: str) -> list[tuple[int, int]]:
    """Read brackets such as ``1-30, 31-90``.

    Raises:
        BadParameter: they are not in order, share a day, or are no brackets.
    """
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,5})\s*[-–]\s*(\d{1,5})\s*", part)
        if match is None:
            raise BadParameter("brackets must be days such as 1-30, 31-90")
        found.append((int(match[1]), int(match[2])))
    edges = [edge for bracket in found for edge in bracket]
    if any(low > high for low, high in found) or any(
        after[0] <= before[1] for before, after in pairwise(found)
    ):
        raise BadParameter(f"brackets must be in order and share no day, not {sorted(edges)}")
    return found
