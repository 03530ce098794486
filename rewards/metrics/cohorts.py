"""Cohorts: of the customers who first bought in a month, how many bought in each month after, and for how much.

A cohort is a calendar month of first purchase, on the shop's clock; k is the number of months since. In month 0
everybody bought, by definition.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rewards.metrics.intervals import wilson, wilson_bounds
from rewards.metrics.orders import Orders, day_number
from rewards.metrics.result import Column, Definition, Metric, Parameter, Result, Table, nothing
from rewards.metrics.windows import (
    customer_rows,
    dates,
    first_purchase_notes,
    month_of,
    month_start,
    month_text,
    months_of,
    no_purchases,
    notes_of,
    usual_gap_days,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rewards.metrics.source import Source

COHORTS = Parameter("cohorts", "days", 24, "how many of the latest cohorts are shown", least=1, most=600)
K = Parameter("k", "days", 1, "which month after the first purchase the figure is of", least=0, most=600)
REVENUE = Parameter(
    "revenue", "choice", "net", "net of what was refunded until now, or gross", ("net", "gross")
)


@dataclass(frozen=True)
class Matrix:
    """Cohorts by months since: place [c, k] is of cohort ``first_month + c`` in the k-th month after.

    Attributes:
        first_month: the first cohort, in months since January 1970.
        size: how many customers each cohort has, int64.
        buyers: how many of them bought, int64; 0 in months that are not there yet.
        revenue: for how much, minor units, int64.
    """

    first_month: int
    size: "NDArray[np.int64]"
    buyers: "NDArray[np.int64]"
    revenue: "NDArray[np.int64]"


def matrix_of(orders: Orders, until: int, *, is_net: bool) -> Matrix:
    """Return the cohorts of purchases, of which there is at least one, in one pass over them and without sorting.

    Arguments:
        until: the day number after the last that counts; no purchase is later.

    A customer's purchases of a month lie side by side, so that whoever bought is counted where the month changes.
    """
    import numpy as np

    month = months_of(orders.day)
    least = int(month.min())
    span = month_of(until - 1) - least + 1
    fresh = np.empty(len(orders), dtype=bool)
    np.not_equal(month[1:], month[:-1], out=fresh[1:])
    fresh[orders.starts] = True
    at = np.flatnonzero(fresh)  # a place for each month in which a customer bought
    sums = np.add.reduceat(orders.amount, at)
    if is_net:
        sums -= np.add.reduceat(orders.refunded, at)
    first = month[orders.starts]
    # Every month of a customer belongs to the cohort of the first.
    months = np.diff(np.append(np.searchsorted(at, orders.starts), len(at)))
    cohort = np.repeat(first - least, months)
    cell = cohort * (span - 1) + (month[at] - least)
    shape, cells = (span, span), span * span
    buyers = np.bincount(cell, minlength=cells).reshape(shape)
    # Sums of minor units are whole numbers that double precision holds without loss up to 90 million millions.
    revenue = np.bincount(cell, weights=sums, minlength=cells).astype(np.int64).reshape(shape)
    return Matrix(least, np.bincount(first - least, minlength=span), buyers, revenue)


@dataclass(frozen=True)
class Shown:
    """The cohorts that are shown, and what of each can be relied on.

    Attributes:
        whole: for each cohort, up to which k (exclusive) its months are over.
        seen: for each cohort, up to which k (exclusive) its months have begun.
        is_cut: for each cohort, whether some of its customers may have bought before orders were known.
    """

    matrix: Matrix
    months: list[int]
    whole: list[int]
    seen: list[int]
    is_cut: list[bool]


def shown(source: "Source", matrix: Matrix, cohorts: int) -> Shown:
    """Return the latest cohorts that have customers."""
    import numpy as np

    present = (np.flatnonzero(matrix.size)[-cohorts:] + matrix.first_month).tolist()
    now, over = month_of(source.until - 1), month_of(source.until)
    start = source.history_start
    cut = None if start is None else day_number(start) + usual_gap_days(source)
    return Shown(
        matrix,
        present,
        [over - month for month in present],
        [now - month + 1 for month in present],
        [cut is not None and month_start(month) < cut for month in present],
    )


def cohorts(source: "Source", *, cohorts: int, k: int, revenue: str) -> Result:
    """Return the matrix of cohorts; its headline is the share of their customers who bought in the k-th month after."""
    notes = notes_of(source)
    others: dict[str, Any] = {"notes": notes, "parameters": {"cohorts": cohorts, "k": k, "revenue": revenue}}
    if not len(source.orders):
        return nothing(no_purchases(source), "share", **others)
    found = shown(source, matrix_of(source.orders, source.until, is_net=revenue == "net"), cohorts)
    notes += first_purchase_notes(source, source.orders.first_day)
    if any(found.is_cut):
        notes.append("Cohorts that are cut off hold customers from before; the average leaves them out.")
    if found.whole[-1] < found.seen[-1]:
        notes.append(f"The month of {source.as_of} is not over: the last cell of each cohort is partial.")
    averages = _averages(found)
    others["tables"] = (_shares(found), _revenues(found), _average_table(averages))
    hits, of = averages[k] if k < len(averages) else (0, 0)
    if not of:
        reason = f"For no cohort whose beginning is known month {k} after the first purchase is over."
        return nothing(reason, "share", numerator=hits, denominator=of, **others)
    return Result(hits / of, "share", hits, of, wilson(hits, of), **others)


def _averages(found: Shown) -> list[tuple[int, int]]:
    """Return for each k how many bought, and of how many, over the cohorts that are whole there and not cut off."""
    import numpy as np

    most = max(found.whole, default=0)
    place = np.array(found.months) - found.matrix.first_month
    whole, keep = np.array(found.whole), ~np.array(found.is_cut)
    averages = []
    for k in range(most):
        rows = place[keep & (whole > k)]
        averages.append((int(found.matrix.buyers[rows, k].sum()), int(found.matrix.size[rows].sum())))
    return averages


def _average_table(averages: list[tuple[int, int]]) -> Table:
    low, high = wilson_bounds([hits for hits, _ in averages], [of for _, of in averages])
    columns = (
        Column("k", "Months since the first purchase", "count"),
        Column("rate", "Bought in the month", "share"),
        Column("low", "Low", "share"),
        Column("high", "High", "share"),
        Column("numerator", "Bought", "count"),
        Column("denominator", "Customers", "count"),
    )
    rows = [
        (k, hits / of, float(low[k]), float(high[k]), hits, of) for k, (hits, of) in enumerate(averages) if of
    ]
    return Table("average", "Average of the cohorts, whole months only", columns, rows, "line")


_FLAGS = (
    Column("partial", "Month not over", "text"),
    Column("cut_off", "Cohort cut off", "text"),
)


def _cells(found: Shown) -> list[tuple[int, int, int, int, bool, bool]]:
    """Return (month, cohort's place, k, size, is partial, is cut off) of each cell, by cohort and k."""
    cells = []
    for month, whole, seen, cut in zip(found.months, found.whole, found.seen, found.is_cut, strict=True):
        place = month - found.matrix.first_month
        size = int(found.matrix.size[place])
        cells += [(month, place, k, size, k >= whole, cut) for k in range(seen)]
    return cells


def _shares(found: Shown) -> Table:
    columns = (
        Column("cohort", "Month of first purchase", "month"),
        Column("k", "Months since", "count"),
        Column("rate", "Bought in the month", "share"),
        Column("buyers", "Customers who bought", "count"),
        Column("size", "Customers of the cohort", "count"),
        *_FLAGS,
    )
    buyers = found.matrix.buyers.tolist()
    rows = [
        (month_text(month), k, buyers[place][k] / size, buyers[place][k], size, is_partial, is_cut)
        for month, place, k, size, is_partial, is_cut in _cells(found)
    ]
    return Table("customers", "Share of each cohort that bought, by month", columns, rows, "heatmap")


def _revenues(found: Shown) -> Table:
    columns = (
        Column("cohort", "Month of first purchase", "month"),
        Column("k", "Months since", "count"),
        Column("per_customer_minor", "Revenue for each customer of the cohort", "minor"),
        Column("revenue_minor", "Revenue", "minor"),
        *_FLAGS,
    )
    revenue = found.matrix.revenue.tolist()
    rows = [
        (month_text(month), k, revenue[place][k] / size, revenue[place][k], is_partial, is_cut)
        for month, place, k, size, is_partial, is_cut in _cells(found)
    ]
    return Table("revenue", "Revenue of each cohort, by month", columns, rows, "heatmap")


def cohort_rows(source: "Source", *, cohorts: int, k: int, revenue: str) -> Table:
    """Return the customers of the cohorts that are shown, and who bought in the k-th month after."""
    import numpy as np

    orders = source.orders
    if not len(orders):
        return customer_rows(source, "Customers", orders.units, ())
    found = shown(source, matrix_of(orders, source.until, is_net=revenue == "net"), cohorts)
    month = months_of(orders.day)
    first = month[orders.starts]
    hits = orders.owner[month - first[orders.owner] == k]
    came = np.bincount(hits, minlength=len(first)) > 0
    mine = first >= found.months[0]
    return customer_rows(
        source,
        "Customers by cohort",
        orders.units[mine],
        (
            (
                Column("cohort", "Month of first purchase", "month"),
                list(map(month_text, first[mine].tolist())),
            ),
            (Column("counted", f"Bought in month {k}", "text"), came[mine].tolist()),
            (Column("first_day", "First purchase", "date"), dates(orders.first_day[mine])),
        ),
    )


METRICS = (
    Metric(
        Definition(
            "cohorts",
            "Cohorts by month",
            "Retention",
            "share",
            "distinct customers who bought in the k-th month after their first ÷ customers of the cohort",
            "customers of the cohorts who bought in the k-th calendar month after that of their first purchase",
            "customers of the cohorts for which that month is over",
            "The latest 24 months of first purchase; month 0 is that of the first purchase and always 100 %.",
            (
                "The last cell of each cohort is partial unless the day asked for ends a month; averages leave it out.",
                "Where orders are known from some day on only, the cohorts of that time hold older customers: flagged.",
                "Revenue is net of refunds until now, in the month of the purchase; gross can be asked for.",
            ),
        ),
        cohorts,
        (COHORTS, K, REVENUE),
        cohort_rows,
        on_dashboard=True,
    ),
)
