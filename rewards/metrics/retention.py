"""Retention: which share of the customers who were active when a period began is still active when it ends.

There are two forms. The one by sets follows the same customers and is the headline. The one by counts, ((C − B) ÷ A),
is the one most often asked for; it counts those who came back as kept and takes away who came and left again, so that
it can exceed 100 % or fall below 0. Both are shown beside one another.
"""

from datetime import date
from typing import TYPE_CHECKING, Any

from rewards.metrics.activity import (
    PARAMETERS,
    WINDOW,
    Movement,
    Period,
    movement,
    movement_rows,
    movement_table,
    nobody,
    period_of,
)
from rewards.metrics.intervals import wilson, wilson_bounds
from rewards.metrics.orders import day_of
from rewards.metrics.result import Column, Definition, Metric, Result, Table, nothing
from rewards.metrics.windows import earlier_windows, finite, no_purchases, share

if TYPE_CHECKING:
    from rewards.metrics.source import Source


def retention(
    source: "Source", *, window: Any, days: int | None, active_days: int | None, **span: date | None
) -> Result:
    """Return the share of the customers active at the start who are active at the end too."""
    period = period_of(source, window, days, active_days, span)
    others: dict[str, Any] = {"notes": period.notes, "parameters": period.parameters}
    if not len(source.orders):
        return nothing(no_purchases(source), "share", **others)
    moved = _moved(source, period)
    before, kept = int(moved.before.sum()), int(moved.kept.sum())
    others["tables"] = (movement_table(moved), _forms(moved), _over_time(source, period))
    if not before:
        return nothing(nobody(period), "share", numerator=kept, denominator=before, **others)
    return Result(kept / before, "share", kept, before, wilson(kept, before), **others)


def retention_count(
    source: "Source", *, window: Any, days: int | None, active_days: int | None, **span: date | None
) -> Result:
    """Return ((C − B) ÷ A), the form of retention by counts."""
    period = period_of(source, window, days, active_days, span)
    others: dict[str, Any] = {"notes": period.notes, "parameters": period.parameters}
    if not len(source.orders):
        return nothing(no_purchases(source), "share", **others)
    moved = _moved(source, period)
    before, net = int(moved.before.sum()), int(moved.after.sum()) - int(moved.fresh.sum())
    others["tables"] = (movement_table(moved), _forms(moved))
    if not before:
        return nothing(nobody(period), "share", numerator=net, denominator=before, **others)
    if net > before:
        period.notes.append(
            f"More than 100 %: {int(moved.reactivated.sum()):,} customers who had been inactive came back and count as "
            "kept. The form by sets cannot exceed 100 %."
        )
    if net < 0:
        period.notes.append(
            f"Below 0 %: {int((moved.fresh & ~moved.after).sum()):,} customers came in the period and are not active "
            "any more; this form takes them away all the same. The form by sets cannot fall below 0 %."
        )
    return Result(net / before, "share", net, before, **others)


def _moved(source: "Source", period: Period) -> Movement:
    return movement(source.orders, period.window.start, period.window.end, period.active_days)


def _forms(moved: Movement) -> Table:
    before, kept = int(moved.before.sum()), int(moved.kept.sum())
    net = int(moved.after.sum()) - int(moved.fresh.sum())
    columns = (
        Column("form", "Form", "text"),
        Column("rate", "Retention", "share"),
        Column("numerator", "Divided", "count"),
        Column("denominator", "By", "count"),
    )
    rows = (
        ("by sets: kept ÷ A", share(kept, before), kept, before),
        ("by counts: (C − B) ÷ A", share(net, before), net, before),
    )
    return Table("forms", "The two forms of retention", columns, rows)


def _over_time(source: "Source", period: Period) -> Table:
    each = earlier_windows(source, period.window, period.active_days)
    moved = [movement(source.orders, at.start, at.end, period.active_days) for at in each]
    kept, before = (
        [int(one.sum()) for one in flags] for flags in zip(*((m.kept, m.before) for m in moved), strict=True)
    )
    low, high = wilson_bounds(kept, before)
    rows = [
        (day_of(at.end - 1).isoformat(), share(hits, of), least, most, hits, of, int(m.reactivated.sum()))
        for at, hits, of, least, most, m in zip(
            each, kept, before, finite(low), finite(high), moved, strict=True
        )
    ]
    columns = (
        Column("last_day", "Period's last day", "date"),
        Column("rate", "Retention", "share"),
        Column("low", "Low", "share"),
        Column("high", "High", "share"),
        Column("kept", "Kept", "count"),
        Column("active", "Active at the start", "count"),
        Column("reactivated", "Reactivated", "count"),
    )
    return Table("over-time", "Retention in earlier periods as long", columns, rows, "line")


METRICS = (
    Metric(
        Definition(
            "retention",
            "Retention rate",
            "Retention",
            "share",
            "customers active at the start and at the end ÷ customers active at the start: |A ∩ C| ÷ |A|",
            "customers active at both ends of the period",
            "customers active when the period began",
            WINDOW,
            (
                "It depends on for how long a customer counts as active: compare figures with the same number of days.",
                "Customers who were inactive at the start and came back are reactivated; they are told apart.",
            ),
        ),
        retention,
        PARAMETERS,
        movement_rows,
        on_dashboard=True,
    ),
    Metric(
        Definition(
            "retention-count",
            "Retention rate, by counts",
            "Retention",
            "share",
            "(C − B) ÷ A: active at the end less new in the period ÷ active at the start",
            "customers active at the end less those who bought for the first time in the period",
            "customers active when the period began",
            WINDOW,
            (
                "Who came back after a break counts as kept, so that it can exceed 100 %.",
                "Who came in the period and is not active any more is taken away, so that it can fall below 0 %.",
                "It is a balance of counts and no share of the same customers, so that it has no interval.",
            ),
        ),
        retention_count,
        PARAMETERS,
        movement_rows,
        on_dashboard=True,
    ),
)
