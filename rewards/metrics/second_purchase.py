"""The second purchase: how soon it comes, and which share of a cohort that had its full time made it.

Every customer is followed from the day of the first purchase. Customers who have not bought again are still waiting,
not lost: the curve counts them for as long as they have been watched.
"""

from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from rewards.metrics.intervals import wilson, wilson_bounds
from rewards.metrics.orders import Orders, day_of
from rewards.metrics.result import Column, Definition, Interval, Metric, Parameter, Result, Table, nothing
from rewards.metrics.survival import Curve, kaplan_meier, rmst
from rewards.metrics.windows import (
    FROM,
    TO,
    UNIT,
    Window,
    customer_rows,
    dates,
    finite,
    first_purchase_notes,
    known_since,
    month_start,
    month_text,
    months_of,
    no_purchases,
    notes_of,
    purchases,
    window_of,
    window_parameters,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rewards.metrics.source import Source

WITHIN = Parameter(
    "within_days", "days", 90, "how long after the first purchase the second may come", least=0, most=3650
)
HORIZON = Parameter("horizon_days", "days", 365, "how far the curve and its mean go", least=1, most=3650)
#: At which days the curve is told in a table.
_MARKS = (7, 14, 30, 60, 90, 180, 365, 730)


class Waits(NamedTuple):
    """For each customer of a cohort: number, first day, days until the second purchase or the last day watched."""

    units: "NDArray[np.int32]"
    first_day: "NDArray[np.int32]"
    days: "NDArray[np.int32]"
    bought: "NDArray[np.bool_]"

    def curve(self) -> Curve:
        """Return the survival curve of the wait."""
        return kaplan_meier(self.days, self.bought)


def waits_of(orders: Orders, until: int, start: int, end: int) -> Waits:
    """Return the waits for the second purchase of the customers whose first was in ``[start, end)``.

    Days are the shop's calendar days: a second order on the day of the first, where orders are counted and not purchase
    days, comes after 0 days. Who has not bought again is watched up to and with the day before ``until``.
    """
    import numpy as np

    mine = np.flatnonzero((orders.first_day >= start) & (orders.first_day < end))
    first, bought = orders.first_day[mine], orders.counts[mine] >= 2
    days = until - 1 - first
    days[bought] = orders.day[orders.starts[mine][bought] + 1] - first[bought]
    return Waits(orders.units[mine], first, days, bought)


def time_to_second_purchase(source: "Source", *, unit: str, horizon_days: int, **span: date | None) -> Result:
    """Return after how many days half of the customers have bought a second time, with the curve of all waits."""
    cohort = _acquired(source, span)
    said = {"unit": unit, "horizon_days": horizon_days, **(cohort.parameters() if cohort else {})}
    notes = notes_of(source, None if cohort is None or span.get("from") is None else cohort.start)
    waits = (
        None if cohort is None else waits_of(purchases(source, unit), source.until, cohort.start, cohort.end)
    )
    if cohort is None or waits is None or not len(waits.days):
        reason = (
            no_purchases(source) if cohort is None else f"Nobody bought for the first time from {cohort}."
        )
        return nothing(reason, "days", notes=notes, parameters=said)
    curve = waits.curve()
    notes += first_purchase_notes(source, waits.first_day)
    tables = (_curve_table(curve, horizon_days), _marks(curve, horizon_days))
    median, (low, high) = curve.median(), curve.median_ends()
    if median is None:
        left = float(curve.survival[-1])
        reason = (
            f"Half of the customers have not bought again yet: after {curve.watched:.0f} days, the longest that "
            f"anybody was watched, {left:.0%} would still be waiting."
        )
        return nothing(reason, "days", notes=notes, tables=tables, parameters=said)
    if low is None or high is None:
        notes.append(
            "The median's interval has no upper end yet: too few customers were watched for long enough."
        )
        return Result(median, "days", notes=notes, tables=tables, parameters=said)
    return Result(median, "days", interval=Interval(low, high), notes=notes, tables=tables, parameters=said)


def _acquired(source: "Source", span: dict[str, date | None]) -> Window | None:
    """Return the days of first purchase that were asked for: from the first known day on where none is given."""
    known = known_since(source)
    if known is None:
        return None
    start = span.get("from") or day_of(min(known, source.until - 1))
    asked = window_of(source, "dates", 0, {"from": start, "to": span.get("to")})
    return Window(max(asked.start, min(known, asked.end - 1)), asked.end, "dates")


def _curve_table(curve: Curve, horizon: int) -> Table:
    import numpy as np

    upto = int(np.searchsorted(curve.time, horizon, side="right"))
    low, high = curve.bounds()
    day, waiting = [int(each) for each in curve.time[:upto]], curve.survival[:upto].tolist()
    rows = list(
        zip(
            day,
            waiting,
            finite(low[:upto]),
            finite(high[:upto]),
            curve.at_risk[:upto].tolist(),
            curve.events[:upto].tolist(),
            strict=True,
        )
    )
    if not day or day[0] > 0:
        rows.insert(0, (0, 1.0, 1.0, 1.0, curve.size, 0))
    columns = (
        Column("day", "Days since the first purchase", "days"),
        Column("waiting", "Not bought again", "share"),
        Column("low", "Low", "share"),
        Column("high", "High", "share"),
        Column("at_risk", "Still watched and waiting", "count"),
        Column("events", "Bought again on that day", "count"),
    )
    return Table("curve", "Share that has not bought a second time", columns, rows, "survival")


def _marks(curve: Curve, horizon: int) -> Table:
    rows: list[tuple[Any, ...]] = []
    for days in sorted({*(each for each in _MARKS if each < horizon), horizon}):
        waiting, ends, mean = curve.at(days), curve.interval_at(days), rmst(curve, days)
        rows.append(
            (
                days,
                None if waiting is None else 1 - waiting,
                ends and 1 - ends.high,
                ends and 1 - ends.low,
                mean and mean.value,
                mean and mean.se,
            )
        )
    columns = (
        Column("days", "Within days", "days"),
        Column("bought", "Bought again", "share"),
        Column("low", "Low", "share"),
        Column("high", "High", "share"),
        Column("mean_wait", "Mean wait within them (RMST)", "days"),
        Column("mean_wait_se", "Its standard error", "days"),
    )
    return Table("within", "Share that has bought again, and mean wait", columns, rows)


def matured_repeat_rate(
    source: "Source", *, unit: str, within_days: int, window: Any, days: int, **span: date | None
) -> Result:
    """Return the share of a cohort that bought again within so many days, if all of it has had these days."""
    asked = _cohort(source, within_days, window, days, span)
    is_matured = asked.end + within_days <= source.until
    said = {"unit": unit, "within_days": within_days, "is_matured": is_matured, **asked.parameters()}
    notes = notes_of(source, asked.start)
    orders, known = purchases(source, unit), known_since(source)
    if known is None:
        return nothing(no_purchases(source), "share", notes=notes, parameters=said)
    waits = waits_of(orders, source.until, max(asked.start, known), asked.end)
    notes += first_purchase_notes(source, waits.first_day)
    tables = (_by_month(source, waits_of(orders, source.until, known, source.until), within_days),)
    of, hits = len(waits.days), int((waits.bought & (waits.days <= within_days)).sum())
    others: dict[str, Any] = {"notes": notes, "parameters": said, "tables": tables}
    if not of:
        reason = (
            f"Nobody bought for the first time from {asked}, so there is nobody who could have bought again."
        )
        return nothing(reason, "share", numerator=hits, denominator=of, **others)
    if is_matured:
        return Result(hits / of, "share", hits, of, wilson(hits, of), **others)
    curve = waits.curve()
    waiting, ends = curve.at(within_days), curve.interval_at(within_days)
    if waiting is None:
        reason = f"Nobody in this cohort has been watched for {within_days} days yet, only for {curve.watched:.0f}."
        return nothing(reason, "share", **others)
    ready = day_of(asked.end + within_days - 1)
    notes.append(
        f"Not all of this cohort has had {within_days} days: this is estimated from what is known so far "
        f"(1 − Kaplan–Meier). It can be counted as of {ready}."
    )
    interval = ends and Interval(1 - ends.high, 1 - ends.low, ends.level)
    return Result(1 - waiting, "share", interval=interval, evidence="estimated", **others)


def _cohort(source: "Source", within: int, window: Any, days: int, span: dict[str, date | None]) -> Window:
    """Return the cohort asked for; without dates, the last one all of whom have had their time."""
    is_asked = span.get("from") is not None or span.get("to") is not None
    return window_of(source, window, days, span, None if is_asked else source.until - within)


def _by_month(source: "Source", waits: Waits, within: int) -> Table:
    """Return the matured share of each month of first purchase; those that have not had their time are empty."""
    import numpy as np

    columns = (
        Column("month", "Month of first purchase", "month"),
        Column("rate", "Bought again in time", "share"),
        Column("low", "Low", "share"),
        Column("high", "High", "share"),
        Column("numerator", "Bought again in time", "count"),
        Column("denominator", "First bought in the month", "count"),
    )
    title = f"Bought again within {within} days, by month of first purchase"
    if not len(waits.days):
        return Table("by-month", title, columns, (), "line")
    month = months_of(waits.first_day)
    least = int(month.min())
    of = np.bincount(month - least)
    hits = np.bincount((month - least)[waits.bought & (waits.days <= within)], minlength=len(of))
    low, high = wilson_bounds(hits, of)
    rows = []
    for at, (size, count, bottom, top) in enumerate(
        zip(of.tolist(), hits.tolist(), finite(low), finite(high), strict=True)
    ):
        is_whole = month_start(least + at + 1) + within <= source.until
        known = size > 0 and is_whole
        rows.append(
            (
                month_text(least + at),
                count / size if known else None,
                bottom if known else None,
                top if known else None,
                count if is_whole else None,
                size,
            )
        )
    return Table("by-month", title, columns, rows, "line")


def time_to_second_purchase_rows(
    source: "Source",
    *,
    unit: str,
    horizon_days: int,  # noqa: ARG001 - rows take what the figure takes
    **span: date | None,
) -> Table:
    """Return the customers, how long each waited for the second purchase, and whether it came."""
    cohort = _acquired(source, span)
    start, end = (0, 0) if cohort is None else (cohort.start, cohort.end)
    return _rows(source, waits_of(purchases(source, unit), source.until, start, end), None)


def matured_repeat_rate_rows(
    source: "Source", *, unit: str, within_days: int, window: Any, days: int, **span: date | None
) -> Table:
    """Return the cohort's customers, and who bought again in time."""
    asked, known = _cohort(source, within_days, window, days, span), known_since(source)
    start = max(asked.start, asked.end if known is None else known)
    return _rows(source, waits_of(purchases(source, unit), source.until, start, asked.end), within_days)


def _rows(source: "Source", waits: Waits, within: int | None) -> Table:
    counted = waits.bought if within is None else waits.bought & (waits.days <= within)
    return customer_rows(
        source,
        "Customers by their first purchase",
        waits.units,
        (
            (
                Column("counted", "Bought again" if within is None else "Bought again in time", "text"),
                counted.tolist(),
            ),
            (Column("first_day", "First purchase", "date"), dates(waits.first_day)),
            (Column("days", "Days until the second, or watched so far", "days"), waits.days.tolist()),
        ),
    )


METRICS = (
    Metric(
        Definition(
            "matured-repeat-rate",
            "Repeat rate of matured customers",
            "Repeat purchase",
            "share",
            "new customers who bought again within D days of their first purchase ÷ new customers",
            "customers of the cohort whose second purchase came at most D days after the first",
            "customers whose first purchase was in the cohort's days",
            "New customers of 365 days who have all had D = 90 days since; or of the last calendar month, quarter or "
            "year that has; or of the dates given.",
            (
                "All have had the same time, so that cohorts compare: this is the repeat rate to watch.",
                "A cohort that has not had its D days is not counted but estimated, as 1 − Kaplan–Meier at D.",
                "First seen is not first bought where the shop's earlier orders are not known.",
            ),
        ),
        matured_repeat_rate,
        (UNIT, WITHIN, *window_parameters(365)),
        matured_repeat_rate_rows,
        on_dashboard=True,
    ),
    Metric(
        Definition(
            "time-to-second-purchase",
            "Time to second purchase",
            "Repeat purchase",
            "days",
            "the first day t at which S(t) = ∏ (1 − d/n) is at most one half",
            window="All customers since orders are known, or those whose first purchase is in the dates given; "
            "watched up to the day asked for.",
            edges=(
                "Customers who have not bought again are still waiting: they count for as long as they were watched.",
                "There is no median while more than half are waiting; the share within a year is in the table.",
                "Where orders are counted, not purchase days, a second order on the first day comes after 0 days.",
                "The mean wait (RMST) is the area below the curve: the days out of the horizon spent waiting.",
            ),
            source="Kaplan and Meier (1958); log-log interval, Kalbfleisch and Prentice; median's interval, Brookmeyer "
            "and Crowley (1982); variance of the mean, Klein and Moeschberger (2003), section 4.5.",
        ),
        time_to_second_purchase,
        (UNIT, HORIZON, FROM, TO),
        time_to_second_purchase_rows,
        on_dashboard=True,
    ),
)
