"""Retention by time since the first purchase: in the k-th period, in it or later, and in listed brackets of days."""

from datetime import date
from typing import TYPE_CHECKING, Any

from rewards.metrics.intervals import wilson, wilson_bounds
from rewards.metrics.orders import day_number
from rewards.metrics.result import Column, Definition, Metric, Parameter, Result, Table, nothing
from rewards.metrics.since_first import Times, brackets_of, from_period_on, on_bracket, on_period, times_of
from rewards.metrics.windows import (
    FROM,
    TO,
    customer_rows,
    dates,
    finite,
    first_purchase_notes,
    no_purchases,
    notes_of,
    usual_gap_days,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rewards.metrics.source import Source

CLOCK = Parameter(
    "clock",
    "choice",
    "calendar",
    "days of the shop's calendar, or rolling: 24 hours each from the instant of the first purchase",
    ("calendar", "rolling"),
)
PERIOD_DAYS = Parameter("period_days", "days", 30, "how long a period is", least=1, most=366)
K = Parameter("k", "days", 1, "which period the figure is of; 0 holds the first purchase", least=0, most=3660)
PERIODS = Parameter("periods", "days", 12, "up to which period the table goes", least=1, most=400)
BRACKETS = Parameter(
    "brackets",
    "text",
    "1-30, 31-90, 91-180, 181-365",
    "days since the first purchase, first and last of each bracket; in order, and no day in two of them",
)


def _told(
    source: "Source", times: Times, parameters: dict[str, Any], span: dict[str, date | None]
) -> dict[str, Any]:
    """Return what a result says beside its figure."""
    given = {name: day.isoformat() for name, day in span.items() if day is not None}
    start = span.get("from")
    notes = notes_of(source, None if start is None else day_number(start), span.get("to"))
    return {
        "parameters": {**parameters, **given},
        "notes": notes + first_purchase_notes(source, times.first_day),
    }


def _headline(source: "Source", hits: int, of: int, days: int, **others: Any) -> Result:
    if not len(source.orders):
        return nothing(no_purchases(source), "share", **others)
    if not of:
        reason = f"For nobody have {days} days passed since the first purchase, so that the period is over for nobody."
        return nothing(reason, "share", numerator=hits, denominator=of, **others)
    return Result(hits / of, "share", hits, of, wilson(hits, of), **others)


def _at(values: "NDArray[np.int64]", k: int) -> int:
    return int(values[k]) if k < len(values) else 0


def n_day_retention(
    source: "Source", *, period_days: int, k: int, periods: int, clock: str, **span: date | None
) -> Result:
    """Return the share of customers who bought in the k-th period after their first purchase."""
    times = times_of(source, clock, span)
    others = _told(source, times, {"period_days": period_days, "k": k, "clock": clock}, span)
    if not len(times.units):
        return _headline(source, 0, 0, (k + 1) * period_days, **others)
    hits, eligible = on_period(times, period_days)
    table = Table(
        "periods",
        "Bought in the period",
        _columns("In the period"),
        _rows_by_period(hits, eligible, period_days, periods),
        "line",
    )
    return _headline(source, _at(hits, k), _at(eligible, k), (k + 1) * period_days, tables=(table,), **others)


def unbounded_retention(
    source: "Source", *, period_days: int, k: int, periods: int, clock: str, **span: date | None
) -> Result:
    """Return the share of customers who bought in the k-th period after their first purchase or later."""
    times = times_of(source, clock, span)
    others = _told(source, times, {"period_days": period_days, "k": k, "clock": clock}, span)
    if not len(times.units):
        return _headline(source, 0, 0, (k + 1) * period_days, **others)
    hits, eligible, watched = from_period_on(times, period_days)
    usual = usual_gap_days(source)
    rows = [
        (*row, 1 - row[1], int(left), bool(left < usual))
        for row, left in zip(_rows_by_period(hits, eligible, period_days, periods), watched, strict=False)
    ]
    columns = (
        *_columns("In it or later"),
        Column("gone", "Not seen again", "share"),
        Column("watched_days", "Watched since (median)", "days"),
        Column("greyed", "Too recent to judge", "text"),
    )
    if _at(eligible, k) and _at(watched, k) < usual:
        others["notes"].append(
            f"Too recent to judge: half of these customers were watched for {_at(watched, k)} days or less since, and "
            f"nine of ten gaps between purchases are up to {usual} days long. Many of them will still come."
        )
    table = Table("periods", "Bought in the period or later", columns, rows, "line")
    return _headline(source, _at(hits, k), _at(eligible, k), (k + 1) * period_days, tables=(table,), **others)


def bracket_retention(source: "Source", *, brackets: str, clock: str, **span: date | None) -> Result:
    """Return the share of customers who bought in the first of the listed brackets, and the others in a table."""
    listed, times = brackets_of(brackets), times_of(source, clock, span)
    others = _told(source, times, {"brackets": brackets, "clock": clock}, span)
    counts = [on_bracket(times, first, last) for first, last in listed]
    low, high = wilson_bounds([hits for hits, _ in counts], [of for _, of in counts])
    rows = [
        (f"{first}–{last}", hits / of if of else None, least, most, hits, of)
        for (first, last), (hits, of), least, most in zip(
            listed, counts, finite(low), finite(high), strict=True
        )
    ]
    columns = (Column("bracket", "Days since the first purchase", "text"), *_columns("In the bracket")[1:-1])
    table = Table("brackets", "Bought in the bracket", columns, rows, "bars")
    return _headline(source, *counts[0], listed[0][1] + 1, tables=(table,), **others)


def _columns(what: str) -> tuple[Column, ...]:
    return (
        Column("k", "Period", "count"),
        Column("rate", what, "share"),
        Column("low", "Low", "share"),
        Column("high", "High", "share"),
        Column("numerator", "Bought", "count"),
        Column("denominator", "Customers for whom it is over", "count"),
        Column("from_day", "Begins on day", "days"),
    )


def _rows_by_period(
    hits: "NDArray[np.int64]", eligible: "NDArray[np.int64]", days: int, periods: int
) -> list[tuple[Any, ...]]:
    count = min(periods + 1, len(eligible))
    low, high = wilson_bounds(hits[:count], eligible[:count])
    return [
        (
            k,
            int(hits[k]) / int(eligible[k]),
            float(low[k]),
            float(high[k]),
            int(hits[k]),
            int(eligible[k]),
            k * days,
        )
        for k in range(count)
    ]


def _customers(
    source: "Source", times: Times, hit: "NDArray[np.bool_]", is_over: "NDArray[np.bool_]"
) -> Table:
    return customer_rows(
        source,
        "Customers for whom the period is over",
        times.units[is_over],
        (
            (Column("counted", "Bought in it", "text"), hit[is_over].tolist()),
            (Column("first_day", "First purchase", "date"), dates(times.first_day[is_over])),
            (
                Column("last_after", "Last purchase, days after", "days"),
                (times.last[is_over] // times.day).tolist(),
            ),
        ),
    )


def n_day_rows(
    source: "Source",
    *,
    period_days: int,
    k: int,
    periods: int,  # noqa: ARG001 - rows take what the figure takes
    clock: str,
    **span: date | None,
) -> Table:
    """Return the customers for whom period k is over, and who bought in it."""
    return _between(source, times_of(source, clock, span), k * period_days, (k + 1) * period_days)


def bracket_rows(source: "Source", *, brackets: str, clock: str, **span: date | None) -> Table:
    """Return the customers for whom the first bracket is over, and who bought in it."""
    first, last = brackets_of(brackets)[0]
    return _between(source, times_of(source, clock, span), first, last + 1)


def _between(source: "Source", times: Times, first: int, end: int) -> Table:
    import numpy as np

    low, high = first * times.day, end * times.day
    hits = times.owner[(times.since >= low) & (times.since < high)]
    return _customers(source, times, np.bincount(hits, minlength=len(times.units)) > 0, times.watched >= high)


def unbounded_rows(
    source: "Source",
    *,
    period_days: int,
    k: int,
    periods: int,  # noqa: ARG001 - rows take what the figure takes
    clock: str,
    **span: date | None,
) -> Table:
    """Return the customers for whom period k is over, and who bought in it or later."""
    times = times_of(source, clock, span)
    length = period_days * times.day
    return _customers(source, times, times.last >= k * length, times.watched >= (k + 1) * length)


_OF = "customers for whom the period is over"
_WHEN = "Periods of 30 days (or any) from each customer's first purchase, on the shop's calendar or rolling."
_FIRST = "The first purchase is in period 0, which therefore holds everybody."
METRICS = (
    Metric(
        Definition(
            "n-day-retention",
            "Retention in the k-th period",
            "Retention",
            "share",
            "customers with a purchase in [first + k·p, first + (k+1)·p) ÷ customers whose period k is over",
            "customers who bought in their k-th period",
            _OF,
            _WHEN,
            (_FIRST, "Who bought before and after the period but not in it does not count in it."),
        ),
        n_day_retention,
        (PERIOD_DAYS, K, PERIODS, CLOCK, FROM, TO),
        n_day_rows,
        on_dashboard=True,
    ),
    Metric(
        Definition(
            "unbounded-retention",
            "Retention from the k-th period on",
            "Retention",
            "share",
            "customers with a purchase at or after first + k·p ÷ customers whose period k is over",
            "customers who bought in their k-th period or later",
            _OF,
            _WHEN,
            (
                _FIRST,
                "It falls towards the end by itself: recent customers have had little time. Such rows are greyed.",
                "Its complement estimates the share that is gone.",
            ),
        ),
        unbounded_retention,
        (PERIOD_DAYS, K, PERIODS, CLOCK, FROM, TO),
        unbounded_rows,
    ),
    Metric(
        Definition(
            "bracket-retention",
            "Retention in brackets",
            "Retention",
            "share",
            "customers with a purchase in the bracket of days since the first ÷ customers for whom the bracket is over",
            "customers who bought in the first bracket",
            "customers for whom the first bracket is over",
            "The brackets listed, in days since each customer's first purchase; the figure is of the first.",
            ("A bracket that begins with day 0 holds the first purchase, and therefore everybody.",),
        ),
        bracket_retention,
        (BRACKETS, CLOCK, FROM, TO),
        bracket_rows,
    ),
)
