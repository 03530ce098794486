"""Repeat purchase: which share of a window's buyers bought twice in it, or had bought before."""

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any

from rewards.metrics.intervals import wilson, wilson_bounds
from rewards.metrics.orders import Orders, day_of
from rewards.metrics.result import Column, Definition, Metric, Parameter, Result, Table, nothing
from rewards.metrics.windows import (
    UNIT,
    Window,
    counts_in,
    customer_rows,
    dates,
    earlier_windows,
    finite,
    no_purchases,
    notes_of,
    purchases,
    share,
    window_of,
    window_parameters,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rewards.metrics.source import Source

    Flags = tuple[NDArray[np.bool_], NDArray[np.bool_]]

CUSTOMERS = Parameter(
    "customers",
    "choice",
    "buyers-in-window",
    "whom the repeaters are divided by: who bought in the window, or who had ever bought by its end",
    ("buyers-in-window", "all-customers"),
)


def repeaters(orders: Orders, start: int, end: int) -> "Flags":
    """Return for each customer, in the order of ``orders.units``: bought in ``[start, end)``, and bought twice."""
    counts = counts_in(orders, start, end)
    return counts >= 1, counts >= 2


def returning(orders: Orders, start: int, end: int) -> "Flags":
    """Return for each customer: bought in ``[start, end)``, and of these who bought before or twice in it."""
    counts = counts_in(orders, start, end)
    return counts >= 1, (counts >= 2) | ((counts >= 1) & (orders.first_day < start))


def repeat_rate(
    source: "Source", *, unit: str, window: Any, days: int, customers: str, **span: date | None
) -> Result:
    """Return the share of customers who bought at least twice in the window."""
    orders, asked = purchases(source, unit), window_of(source, window, days, span)
    said = {"unit": unit, "customers": customers, **asked.parameters()}
    notes = notes_of(source, asked.start, span.get("to"))
    if not len(orders):
        return nothing(no_purchases(source), "share", notes=notes, parameters=said)
    bought, twice = repeaters(orders, asked.start, asked.end)
    buyers, ever, hits = int(bought.sum()), int((orders.first_day < asked.end).sum()), int(twice.sum())
    of = buyers if customers == "buyers-in-window" else ever
    both = (("who bought in the window", hits, buyers), ("who ever bought by its end", hits, ever))
    return _result(
        hits,
        of,
        f"Nobody bought from {asked}, so there is nobody who could have bought again.",
        notes=notes,
        parameters=said,
        tables=(_denominators(both), _over_time(source, asked, orders, repeaters)),
    )


def returning_share(source: "Source", *, unit: str, window: Any, days: int, **span: date | None) -> Result:
    """Return the share of the window's buyers who had bought before it, or bought at least twice in it."""
    orders, asked = purchases(source, unit), window_of(source, window, days, span)
    said = {"unit": unit, **asked.parameters()}
    notes = notes_of(source, asked.start, span.get("to"))
    if not len(orders):
        return nothing(no_purchases(source), "share", notes=notes, parameters=said)
    bought, came = returning(orders, asked.start, asked.end)
    before = bought & (orders.first_day < asked.start)
    split = Table(
        "returning",
        "Returning and new buyers",
        (Column("who", "Buyers", "text"), Column("customers", "Customers", "count")),
        (
            ("had bought before", int(before.sum())),
            ("new, bought at least twice", int((came & ~before).sum())),
            ("new, bought once", int((bought & ~came).sum())),
        ),
    )
    return _result(
        int(came.sum()),
        int(bought.sum()),
        f"Nobody bought from {asked}, so there is nobody who could have returned.",
        notes=notes,
        parameters=said,
        tables=(split, _over_time(source, asked, orders, returning)),
    )


def _result(hits: int, of: int, empty: str, **others: Any) -> Result:
    if not of:
        return nothing(empty, "share", numerator=hits, denominator=of, **others)
    return Result(hits / of, "share", hits, of, wilson(hits, of), **others)


def _denominators(both: tuple[tuple[str, int, int], ...]) -> Table:
    rows = []
    for who, hits, of in both:
        ends = wilson(hits, of)
        rows.append((who, hits, of, share(hits, of), ends and ends.low, ends and ends.high))
    columns = (
        Column("of", "Of the customers", "text"),
        Column("repeaters", "Bought at least twice", "count"),
        Column("customers", "Customers", "count"),
        Column("rate", "Share", "share"),
        Column("low", "Low", "share"),
        Column("high", "High", "share"),
    )
    return Table("denominators", "By whom the repeaters are divided by", columns, rows)


def _over_time(
    source: "Source", window: Window, orders: Orders, flags: "Callable[[Orders, int, int], Flags]"
) -> Table:
    """Return the share among the window's buyers, in windows of the same length before: others do not compare."""
    each = earlier_windows(source, window)
    counts = [tuple(int(one.sum()) for one in flags(orders, at.start, at.end)) for at in each]
    low, high = wilson_bounds([hits for _, hits in counts], [of for of, _ in counts])
    rows = [
        (day_of(at.end - 1).isoformat(), share(hits, of), least, most, hits, of)
        for at, (of, hits), least, most in zip(each, counts, finite(low), finite(high), strict=True)
    ]
    columns = (
        Column("last_day", "Window's last day", "date"),
        Column("rate", "Share", "share"),
        Column("low", "Low", "share"),
        Column("high", "High", "share"),
        Column("numerator", "Repeat buyers", "count"),
        Column("denominator", "Buyers in the window", "count"),
    )
    return Table("over-time", "The same share of earlier windows as long", columns, rows, "line")


def repeat_rate_rows(
    source: "Source", *, unit: str, window: Any, days: int, customers: str, **span: date | None
) -> Table:
    """Return the customers that the rate is made of, and whether each is a repeater."""
    orders, asked = purchases(source, unit), window_of(source, window, days, span)
    counts = counts_in(orders, asked.start, asked.end)
    of = counts >= 1 if customers == "buyers-in-window" else orders.first_day < asked.end
    return _rows(source, orders, of, counts, counts >= 2, asked)


def returning_share_rows(
    source: "Source", *, unit: str, window: Any, days: int, **span: date | None
) -> Table:
    """Return the window's buyers, and whether each is a returning one."""
    orders, asked = purchases(source, unit), window_of(source, window, days, span)
    bought, came = returning(orders, asked.start, asked.end)
    return _rows(source, orders, bought, counts_in(orders, asked.start, asked.end), came, asked)


def _rows(
    source: "Source",
    orders: Orders,
    of: "NDArray[np.bool_]",
    counts: "NDArray[np.int64]",
    hits: "NDArray[np.bool_]",
    window: Window,
) -> Table:
    return customer_rows(
        source,
        f"Customers, {window}",
        orders.units[of],
        (
            (Column("counted", "Repeat buyer", "text"), hits[of].tolist()),
            (Column("purchases", "Purchases in the window", "count"), counts[of].tolist()),
            (Column("first_day", "First purchase", "date"), dates(orders.first_day[of])),
            (Column("last_day", "Last purchase", "date"), dates(orders.last_day[of])),
        ),
    )


METRICS = (
    Metric(
        Definition(
            "repeat-rate",
            "Repeat purchase rate",
            "Repeat purchase",
            "share",
            "customers with at least 2 purchases in the window ÷ customers with at least 1 in it",
            "customers with at least two purchases in the window",
            "customers who bought in the window (or, if asked, all who had ever bought by its end)",
            "365 days up to and with the day asked for; 30, 90 or any number of days; the last whole calendar month, "
            "quarter or year; or dates.",
            (
                "It grows with the length of the window by itself: compare windows of one length only.",
                "A purchase is a day with orders, so that a split basket is no repeat; orders can be asked for.",
                "Who bought once in the window and once before is no repeater here; the returning share counts them.",
                "Recent customers have had little time to buy again: the matured repeat rate gives all the same time.",
            ),
        ),
        repeat_rate,
        (UNIT, *window_parameters(365), CUSTOMERS),
        repeat_rate_rows,
        on_dashboard=True,
    ),
    Metric(
        Definition(
            "returning-share",
            "Share of returning buyers",
            "Repeat purchase",
            "share",
            "buyers in the window with an earlier purchase or at least 2 in it ÷ buyers in the window",
            "customers who bought in the window and had bought before it, or bought at least twice in it",
            "customers who bought in the window",
            "365 days up to and with the day asked for, or as the parameters say.",
            (
                "It goes to 100 % where no new customers come: a rise may mean that acquisition has stopped.",
                "Where orders are known from some day on only, customers from before look new.",
            ),
        ),
        returning_share,
        (UNIT, *window_parameters(365)),
        returning_share_rows,
        on_dashboard=True,
    ),
)
