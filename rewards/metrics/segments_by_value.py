"""Customers in four segments by what they are expected to bring in, and who moved between them since a day."""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from rewards.metrics.lifetime.cells import whole
from rewards.metrics.lifetime.known import Known, known_at
from rewards.metrics.lifetime.prediction import Terms, forecast
from rewards.metrics.lifetime.ranks import positions
from rewards.metrics.lifetime.search import Unidentified
from rewards.metrics.lifetime.sums import sums
from rewards.metrics.orders import day_number, day_of
from rewards.metrics.result import (
    BadParameter,
    Column,
    Definition,
    Evidence,
    Metric,
    Parameter,
    Result,
    Table,
    nothing,
)
from rewards.metrics.windows import customer_rows, dates, left_out_notes, no_purchases, share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rewards.metrics.source import Source

#: From the bottom up: a segment's name, and from which tenth of the customers on it begins.
SEGMENTS = (("bottom 30 %", 0), ("middle 40 %", 3), ("next 20 %", 7), ("top 10 %", 9))
TOP = len(SEGMENTS) - 1
PAST_DAYS = 365
#: Values that differ by less than a millionth of a minor unit are equal: so far the digits can be relied on.
DIGITS = 6

BY = Parameter(
    "by",
    "choice",
    "predicted",
    "what customers are ranked by: value predicted for 12 months, or revenue of the past 365 days",
    ("predicted", "past"),
)
SINCE = Parameter("since", "date", None, "the day to compare with; else a month before as_of")


@dataclass(frozen=True)
class Segmented:
    """Customers as of a day: their value, and the number of their segment in :data:`SEGMENTS`."""

    known: Known
    by: str
    value: "NDArray[np.float64]"
    segment: "NDArray[np.int64]"


def segment(value: "NDArray[Any]") -> "NDArray[np.int64]":
    """Return the segment of each value: top tenth, next two, four in the middle, bottom three.

    A value's place is (minrank − 1)/n as in RFM, so equals are in one segment, the lower one where they straddle a
    border.
    """
    import numpy as np

    place = positions(value) * 10
    found: NDArray[np.int64] = np.zeros(len(value), dtype=np.int64)
    for _, tenth in SEGMENTS[1:]:
        found += place >= tenth * len(value)
    return found


def segmented_at(source: "Source", until: int, by: str) -> Segmented:
    """Return the segments as of the end of the day before ``until``, from the purchases until then alone.

    Where no model can be fitted to them, ``by`` becomes ``past``: a cohort's mean would not tell customers apart.
    """
    import numpy as np

    known = known_at(source, until)
    if isinstance(known.models, Unidentified):
        by = "past"
    predicted = by == "predicted"
    value = (
        forecast(known.customers, known.models, Terms()).value if predicted else past_revenue(source, known)
    )
    value = np.round(value, DIGITS)
    return Segmented(known, by, value, segment(value))


def past_revenue(source: "Source", known: Known) -> "NDArray[np.float64]":
    """Return what each customer paid in the 365 days before ``known.until``, net of refunds, minor units."""
    import numpy as np

    orders = source.orders
    late = np.flatnonzero((orders.day >= known.until - PAST_DAYS) & (orders.day < known.until))
    at = np.searchsorted(known.customers.unit, orders.unit[late])
    return sums(at, (orders.amount - orders.refunded)[late].astype(float), len(known.customers))


def value_segments(source: "Source", by: str, since: date | None) -> Result:
    """Return the share of all value that the top tenth of customers stands for."""
    now = segmented_at(source, source.until, by)
    earlier = _since(source, since)
    asked = {"by": now.by, "since": day_of(earlier - 1).isoformat()}
    if not len(now.value):
        return nothing(no_purchases(source), "share", parameters=asked)
    before = segmented_at(source, earlier, now.by)
    tables = [_segments_table(source, now)]
    if len(before.value) and before.by == now.by:
        tables.append(_migration(before, now))
    notes = [*_notes(source, by, now, before), *left_out_notes(source)]
    top, total = float(now.value[now.segment == TOP].sum()), float(now.value.sum())
    if not (now.segment == TOP).any() or total <= 0:
        reason = (
            "So many customers are equal that there is no top tenth to tell apart."
            if total > 0
            else "What customers stand for adds up to nothing."
        )
        return nothing(reason, "share", notes=notes, tables=tables, parameters=asked)
    evidence: Evidence = "estimated" if now.by == "predicted" else "measured"
    return Result(
        top / total, "share", top, total, evidence=evidence, notes=notes, tables=tables, parameters=asked
    )


def value_segments_rows(source: "Source", by: str, since: date | None) -> Table:
    """Return every customer's segment, and the one of the day compared with, the most valuable first."""
    import numpy as np

    now = segmented_at(source, source.until, by)
    before = segmented_at(source, _since(source, since), now.by)
    order = np.argsort(-now.value, kind="stable")
    was = _segment_before(before, now)[order].tolist()
    of = now.known.customers
    return customer_rows(
        source,
        "Customers by value segment",
        of.unit[order],
        (
            (
                Column("segment", "Segment", "text"),
                [SEGMENTS[each][0] for each in now.segment[order].tolist()],
            ),
            (Column("segment_before", "Segment before", "text"), [_name(each) for each in was]),
            (Column("value_minor", _title(now.by), "minor"), whole(now.value[order])),
            (Column("purchase_days", "Purchase days", "count"), whole(of.x[order] + 1)),
            (Column("last_purchase", "Last purchase", "date"), dates((of.first_day + of.t_x)[order])),
        ),
    )


def _since(source: "Source", since: date | None) -> int:
    """Return the day number after the day to compare with."""
    if since is None:
        month = source.as_of.month - 1 or 12
        year = source.as_of.year - (source.as_of.month == 1)
        # The same day a month before, or that month's last.
        last = (date(year + month // 12, month % 12 + 1, 1) - date(year, month, 1)).days
        since = date(year, month, min(source.as_of.day, last))
    if since >= source.as_of:
        raise BadParameter(f"since must be before {source.as_of}")
    return day_number(since) + 1


def _title(by: str) -> str:
    return "Expected revenue of 12 months" if by == "predicted" else f"Revenue of the past {PAST_DAYS} days"


def _name(number: int) -> str:
    return SEGMENTS[number][0] if number >= 0 else "new"


def _notes(source: "Source", by: str, now: Segmented, before: Segmented) -> list[str]:
    notes = []
    models = now.known.models
    if now.by != by and isinstance(models, Unidentified):
        notes.append(
            f"Ranked by revenue of the past {PAST_DAYS} days, because value to come cannot be predicted for each "
            f"customer: {models.reason}."
        )
    if len(before.value) and before.by != now.by:
        notes.append(
            f"Who moved cannot be told: as of {day_of(before.known.until - 1)} no model could be fitted."
        )
    elif not len(before.value):
        notes.append(
            f"Who moved cannot be told: there are no purchases up to {day_of(before.known.until - 1)}."
        )
    sizes = [int((now.segment == number).sum()) for number in range(len(SEGMENTS))]
    if sizes[0] > 0.35 * sum(sizes) or sizes[TOP] < 0.05 * sum(sizes):
        notes.append(
            "Equal customers are in one segment, so that segments are not of the size that they are named after."
        )
    if source.orders.refunded.any():
        notes.append("Refunds are deducted from the purchase that they belong to, also those made since.")
    return notes


def _segments_table(source: "Source", now: Segmented) -> Table:
    of, number = now.known.customers, len(SEGMENTS)
    size, value = sums(now.segment, None, number), sums(now.segment, now.value, number)
    past, idle = (
        sums(now.segment, past_revenue(source, now.known), number),
        sums(now.segment, of.idle, number),
    )
    columns = (
        Column("segment", "Segment", "text"),
        Column("share_of_value", "Share of all value", "share"),
        Column("customers", "Customers", "count"),
        Column("value_minor", _title(now.by), "minor"),
        Column("mean_minor", "Per customer", "minor"),
        Column("past_minor", f"Revenue of the past {PAST_DAYS} days", "minor"),
        Column("idle_days", "Days since the last purchase, mean", "days"),
    )
    rows: list[list[Any]] = []
    for each in range(TOP, -1, -1):
        members = max(size[each], 1.0)
        part = share(float(value[each]), float(value.sum()))
        rows.append([SEGMENTS[each][0], part, int(size[each]), round(value[each])])
        rows[-1] += [round(value[each] / members), round(past[each]), round(idle[each] / members)]
    return Table("segments", "Segments", columns, rows, "bars")


def _segment_before(before: Segmented, now: Segmented) -> "NDArray[np.int64]":
    """Return the segment that each of today's customers was in; −1 who was no customer yet."""
    import numpy as np

    was, today = before.known.customers.unit, now.known.customers.unit
    found = np.full(len(today), -1, dtype=np.int64)
    # Whoever was a customer then is one now.
    found[np.searchsorted(today, was)] = before.segment
    return found


def _migration(before: Segmented, now: Segmented) -> Table:
    import numpy as np

    number = len(SEGMENTS)
    pair = (_segment_before(before, now) + 1) * number + now.segment
    counts = np.bincount(pair, minlength=(number + 1) * number).reshape(number + 1, number).tolist()
    columns = (
        Column("before", "Before", "text"),
        Column("now", "Now", "text"),
        Column("share_of_before", "Of those before", "share"),
        Column("customers", "Customers", "count"),
    )
    rows = [
        [_name(row - 1), SEGMENTS[to][0], share(counts[row][to], sum(counts[row])), counts[row][to]]
        for row in range(number, -1, -1)
        for to in range(number - 1, -1, -1)
    ]
    title = f"From the segment of {day_of(before.known.until - 1)} (rows) to that of today"
    return Table("migration", title, columns, rows, "heatmap")


METRICS = (
    Metric(
        Definition(
            "value-segments",
            "Value of the top tenth",
            "Lifetime value",
            "share",
            "value of the top 10 % of customers ÷ value of all; a customer's place is (minrank − 1) ÷ n",
            "value of the customers in the top segment",
            "value of all customers",
            "Value of the 12 months after as_of, as predicted on that day; moves since a month before (since).",
            (
                "Segments are the top 10 %, the next 20 %, 40 % in the middle and the bottom 30 % of customers.",
                "Equal customers are in one segment, the lower one where they straddle a border.",
                "Where value to come cannot be predicted, revenue of the past 365 days is used, and this is said.",
                "Segments of an earlier day are worked out from the purchases until then, with a model of their own.",
            ),
        ),
        value_segments,
        (BY, SINCE),
        value_segments_rows,
        on_dashboard=True,
    ),
)
