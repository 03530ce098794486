"""Dormant, lost and reactivated: who has not bought for longer than customers like them take to come back.

Customers are held against their own segment: those who had bought as often. What nine of ten of that segment's gaps do
not exceed is the end of a usual break; beyond it a customer is dormant, and beyond what 99 of 100 do not exceed, lost.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rewards.metrics.intervals import wilson
from rewards.metrics.orders import Orders
from rewards.metrics.result import (
    BadParameter,
    Column,
    Definition,
    Metric,
    Parameter,
    Result,
    Table,
    nothing,
)
from rewards.metrics.windows import (
    customer_rows,
    dates,
    month_of,
    month_text,
    months_of,
    no_purchases,
    notes_of,
    share,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rewards.metrics.source import Source

#: A segment is who has bought at least so often (purchase days), and not as often as the next.
SEGMENTS = (1, 2, 3, 5, 10)
SEGMENT_NAMES = ("1", "2", "3–4", "5–9", "10 or more")
#: With fewer gaps than this a segment is held against those of all customers.
LEAST_GAPS = 30
ACTIVE, DORMANT, LOST = 0, 1, 2
STATES = ("active", "dormant", "lost")

DORMANT_AT = Parameter(
    "dormant_at",
    "number",
    0.9,
    "dormant is who is idle for longer than this share of gaps",
    least=0.01,
    most=0.999,
)
LOST_AT = Parameter(
    "lost_at",
    "number",
    0.99,
    "lost is who is idle for longer than this share of gaps",
    least=0.01,
    most=0.9999,
)
DAYS = Parameter(
    "days", "days", 90, "over how many days reactivated customers are counted", least=1, most=3650
)


@dataclass(frozen=True)
class Breaks:
    """The gaps between purchase days by segment, and where in them a break stops being usual.

    Attributes:
        rows: the position of the purchase day that each gap follows, in the order of the purchase days.
        gap: how long it is, days.
        segment: the segment of the customer at that time, as a place in :data:`SEGMENTS`.
        counts: how many gaps each segment has.
        dormant_after, lost_after: for each segment, the days that a break of its customers usually has at most.
    """

    rows: "NDArray[np.int64]"
    gap: "NDArray[np.int32]"
    segment: "NDArray[np.int64]"
    counts: "NDArray[np.int64]"
    dormant_after: "NDArray[np.float64]"
    lost_after: "NDArray[np.float64]"


@dataclass(frozen=True)
class Idle:
    """How long customers have not bought: arrays of one length, in the order of ``units``.

    Attributes:
        units: the customers.
        days: since the last purchase, 0 for who bought on the last day that counts.
        segment: a place in :data:`SEGMENTS`.
        state: a place in :data:`STATES`.
    """

    units: "NDArray[np.int32]"
    days: "NDArray[np.int32]"
    segment: "NDArray[np.int64]"
    state: "NDArray[np.int8]"


def breaks_of(days: Orders, dormant_at: float = 0.9, lost_at: float = 0.99) -> Breaks | None:
    """Return the gaps of purchase days (``Orders.days``) and their thresholds; None where nobody has bought twice."""
    import numpy as np

    rows = np.flatnonzero(np.diff(days.unit) == 0)
    if not len(rows):
        return None
    gap = days.day[rows + 1] - days.day[rows]
    segment = _segment(rows - days.starts[days.owner[rows]] + 1)
    ends = np.quantile(gap, [dormant_at, lost_at])
    counts = np.bincount(segment, minlength=len(SEGMENTS))
    thresholds = np.array(
        [
            np.quantile(gap[segment == each], [dormant_at, lost_at]) if counts[each] >= LEAST_GAPS else ends
            for each in range(len(SEGMENTS))
        ]
    )
    return Breaks(rows, gap, segment, counts, thresholds[:, 0], thresholds[:, 1])


def idle_of(days: Orders, until: int, breaks: Breaks) -> Idle:
    """Return for how long each customer has not bought by the end of the day before ``until``, and their state."""
    import numpy as np

    idle, segment = until - 1 - days.last_day, _segment(days.counts)
    state = np.where(idle > breaks.dormant_after[segment], DORMANT, ACTIVE)
    state = np.where(idle > breaks.lost_after[segment], LOST, state).astype(np.int8)
    return Idle(days.units, idle, segment, state)


def reactivations(breaks: Breaks) -> "NDArray[np.int64]":
    """Return the positions of the purchase days that ended a break longer than usual for the segment."""
    late = breaks.gap > breaks.dormant_after[breaks.segment]
    ended: NDArray[np.int64] = breaks.rows[late] + 1
    return ended


def _segment(purchases: "NDArray[np.int64]") -> "NDArray[np.int64]":
    import numpy as np

    return np.searchsorted(np.array(SEGMENTS), purchases, side="right") - 1


def dormant(source: "Source", *, dormant_at: float, lost_at: float, days: int) -> Result:
    """Return the share of customers who are dormant: longer idle than usual, and not yet lost."""
    if dormant_at >= lost_at:
        raise BadParameter("dormant_at must be below lost_at")
    notes = notes_of(source)
    others: dict[str, Any] = {
        "notes": notes,
        "parameters": {"dormant_at": dormant_at, "lost_at": lost_at, "days": days},
    }
    bought = source.orders.days
    if not len(bought):
        return nothing(no_purchases(source), "share", **others)
    breaks = breaks_of(bought, dormant_at, lost_at)
    if breaks is None:
        reason = "Nobody has bought on two days yet, so there is no telling how long a usual break is."
        return nothing(reason, "share", numerator=0, denominator=len(bought.starts), **others)
    if len(breaks.gap) < LEAST_GAPS:
        notes.append(f"There are only {len(breaks.gap)} gaps between purchases: the thresholds are rough.")
    idle, ended = idle_of(bought, source.until, breaks), reactivations(breaks)
    others["tables"] = (
        _states(bought, idle, ended, source.until, days),
        _thresholds(breaks, idle),
        _by_month(bought, ended, source.until),
    )
    hits, of = int((idle.state == DORMANT).sum()), len(idle.units)
    return Result(hits / of, "share", hits, of, wilson(hits, of), **others)


def _states(bought: Orders, idle: Idle, ended: "NDArray[np.int64]", until: int, days: int) -> Table:
    import numpy as np

    counts = np.bincount(idle.state, minlength=len(STATES)).tolist()
    total = len(idle.units)
    recent = ended[bought.day[ended] >= until - days]
    back = len(np.unique(bought.unit[recent]))
    columns = (
        Column("state", "Customers", "text"),
        Column("customers", "Number", "count"),
        Column("share", "Share", "share"),
    )
    rows = [
        *((name, count, share(count, total)) for name, count in zip(STATES, counts, strict=True)),
        (f"reactivated in the last {days} days, wherever they are now", back, share(back, total)),
    ]
    return Table("states", "Active, dormant and lost customers", columns, rows)


def _thresholds(breaks: Breaks, idle: Idle) -> Table:
    import numpy as np

    shape = (len(SEGMENTS), len(STATES))
    counts = np.bincount(idle.segment * len(STATES) + idle.state, minlength=shape[0] * shape[1]).reshape(
        shape
    )
    columns = (
        Column("purchases", "Purchase days so far", "text"),
        Column("active", "Active", "count"),
        Column("dormant", "Dormant", "count"),
        Column("lost", "Lost", "count"),
        Column("dormant_after", "Dormant after", "days"),
        Column("lost_after", "Lost after", "days"),
        Column("gaps", "Gaps of the segment", "count"),
        Column("own", "Own thresholds", "text"),
    )
    rows = [
        (
            SEGMENT_NAMES[at],
            *counts[at].tolist(),
            float(breaks.dormant_after[at]),
            float(breaks.lost_after[at]),
            int(breaks.counts[at]),
            bool(breaks.counts[at] >= LEAST_GAPS),
        )
        for at in range(len(SEGMENTS))
    ]
    return Table(
        "segments", "When a break stops being usual, by how often a customer has bought", columns, rows
    )


def _by_month(bought: Orders, ended: "NDArray[np.int64]", until: int) -> Table:
    import numpy as np

    now = month_of(until - 1)
    first = max(now - 11, month_of(int(bought.day.min())))
    month, unit = months_of(bought.day[ended]), bought.unit[ended]
    recent = month >= first
    counts = np.bincount(month[recent] - first, minlength=now - first + 1)
    people = np.unique(np.stack([month[recent] - first, unit[recent]]), axis=1)[0]
    customers = np.bincount(people, minlength=now - first + 1)
    columns = (
        Column("month", "Month", "month"),
        Column("customers", "Customers reactivated", "count"),
        Column("purchases", "Purchases after a break longer than usual", "count"),
    )
    rows = [
        (month_text(first + at), int(who), int(count))
        for at, (who, count) in enumerate(zip(customers, counts, strict=True))
    ]
    return Table("reactivated", "Reactivated customers, by month", columns, rows, "bars")


def dormant_rows(source: "Source", *, dormant_at: float, lost_at: float, days: int) -> Table:
    """Return all customers, how long each has not bought, from when that is unusual, and what that makes them."""
    import numpy as np

    if dormant_at >= lost_at:
        raise BadParameter("dormant_at must be below lost_at")
    bought = source.orders.days
    breaks = breaks_of(bought, dormant_at, lost_at)
    if breaks is None:
        return customer_rows(source, "Customers", bought.units[:0], ())
    idle, ended = idle_of(bought, source.until, breaks), reactivations(breaks)
    back = np.isin(bought.units, bought.unit[ended[bought.day[ended] >= source.until - days]])
    paid = np.add.reduceat(bought.amount - bought.refunded, bought.starts)
    return customer_rows(
        source,
        "Customers by how long they have not bought",
        idle.units,
        (
            (Column("state", "State", "text"), [STATES[each] for each in idle.state.tolist()]),
            (Column("idle_days", "Days since the last purchase", "days"), idle.days.tolist()),
            (Column("dormant_after", "Dormant after", "days"), breaks.dormant_after[idle.segment].tolist()),
            (Column("lost_after", "Lost after", "days"), breaks.lost_after[idle.segment].tolist()),
            (Column("purchases", "Purchase days", "count"), bought.counts.tolist()),
            (Column("revenue_minor", "Revenue, net of refunds", "minor"), paid.tolist()),
            (Column("last_day", "Last purchase", "date"), dates(bought.last_day)),
            (Column("reactivated", f"Reactivated in the last {days} days", "text"), back.tolist()),
        ),
    )


METRICS = (
    Metric(
        Definition(
            "dormant",
            "Dormant customers",
            "Retention",
            "share",
            "customers idle for longer than 90 % of their segment's gaps and no longer than 99 % of them ÷ customers",
            "customers who are dormant: idle for longer than usual in their segment, and not yet lost",
            "all customers",
            "As of the day asked for; reactivated is who bought after being dormant, in the last 90 days or as asked.",
            (
                "A segment is who has bought as often: on 1, 2, 3–4, 5–9, 10 or more days.",
                "A segment with fewer than 30 gaps is held against those of all customers.",
                "Gaps that are still open are not counted, so that in a young shop customers are called dormant early.",
                "One in ten gaps is longer than usual by definition, and most customers come back without a campaign.",
                "What a campaign to win them back does is told by its own holdout alone.",
            ),
        ),
        dormant,
        (DORMANT_AT, LOST_AT, DAYS),
        dormant_rows,
        on_dashboard=True,
    ),
)
