"""Who was active when a period began and when it ended: what retention and churn are made of.

*Active at* a moment is who bought in the ``active_days`` before it. A, B and C are the letters of the formula
((C − B) ÷ A): active at the start, bought for the first time in the period, active at the end.
"""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from rewards.metrics.orders import Orders, day_of
from rewards.metrics.result import Column, Parameter, Table
from rewards.metrics.windows import (
    Window,
    counts_in,
    customer_rows,
    dates,
    known_since,
    notes_of,
    usual_gap_days,
    window_of,
    window_parameters,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rewards.metrics.source import Source

ACTIVE_DAYS = Parameter(
    "active_days",
    "days",
    None,
    "for how long after a purchase a customer is active; else the 90th percentile of the gaps between purchases, "
    "at least 30 days",
    least=1,
    most=3650,
)
WINDOW = (
    "As many days as a customer counts as active, up to and with the day asked for; or any number of days, the last "
    "whole calendar month, quarter or year, or dates. Active is who bought in the days before either end."
)
PARAMETERS = (*window_parameters(None), ACTIVE_DAYS)


@dataclass(frozen=True)
class Movement:
    """Who moved in a period: a flag for each customer, in the order of ``Orders.units``.

    Attributes:
        before: A, active when it began.
        fresh: B, whose first purchase ever was in it.
        after: C, active when it ended.
    """

    before: "NDArray[np.bool_]"
    fresh: "NDArray[np.bool_]"
    after: "NDArray[np.bool_]"

    @property
    def kept(self) -> "NDArray[np.bool_]":
        """A ∩ C: active at both ends."""
        return self.before & self.after

    @property
    def lost(self) -> "NDArray[np.bool_]":
        """A ∖ C: active when it began, and not when it ended."""
        return self.before & ~self.after

    @property
    def reactivated(self) -> "NDArray[np.bool_]":
        """C ∖ A ∖ B: active when it ended, not when it began, and not new."""
        return self.after & ~self.before & ~self.fresh


def movement(orders: Orders, start: int, end: int, active_days: int) -> Movement:
    """Return who moved in ``[start, end)``: active is who bought in the ``active_days`` before either end."""
    return Movement(
        counts_in(orders, start - active_days, start) > 0,
        (orders.first_day >= start) & (orders.first_day < end),
        counts_in(orders, end - active_days, end) > 0,
    )


@dataclass(frozen=True)
class Period:
    """The period and the window of activity that were asked for, and what must be said of them."""

    window: Window
    active_days: int
    notes: list[str]
    parameters: dict[str, Any]


def period_of(
    source: "Source", window: Any, days: int | None, active_days: int | None, span: dict[str, date | None]
) -> Period:
    """Return the period that was asked for; where no window of activity is given, the one that the shop's gaps give."""
    active = usual_gap_days(source) if active_days is None else active_days
    asked = window_of(source, window, active if days is None else days, span)
    notes = []
    if active_days is None:
        notes.append(
            f"Active is who bought within {active} days: nine of ten gaps between purchases are no longer (30 days at "
            "least)."
        )
    if active > asked.days:
        notes.append(
            f"The {active} days of activity are longer than the period of {asked.days} days: who bought shortly before "
            "it began counts as kept without having bought in it."
        )
    if known_since(source) is not None:
        notes += notes_of(source, asked.start - active, span.get("to"))
    return Period(asked, active, notes, {"active_days": active, **asked.parameters()})


def nobody(period: Period) -> str:
    """Return the reason of a rate among the customers who were active at the start, where nobody was."""
    return (
        f"Nobody bought in the {period.active_days} days before {day_of(period.window.start)}, so there was nobody to "
        "keep or lose."
    )


def movement_table(moved: Movement) -> Table:
    """Return how many customers moved which way."""
    columns = (Column("group", "Customers", "text"), Column("customers", "Number", "count"))
    rows = (
        ("active at the start (A)", int(moved.before.sum())),
        ("of these still active at the end: kept", int(moved.kept.sum())),
        ("of these not active at the end: lost", int(moved.lost.sum())),
        ("bought for the first time in the period (B)", int(moved.fresh.sum())),
        ("of these not active at the end any more", int((moved.fresh & ~moved.after).sum())),
        ("reactivated: not new, active at the end only", int(moved.reactivated.sum())),
        ("active at the end (C)", int(moved.after.sum())),
    )
    return Table("movement", "Who came, stayed and left", columns, rows)


def movement_rows(
    source: "Source", *, window: Any, days: int | None, active_days: int | None, **span: date | None
) -> Table:
    """Return the customers who were active at either end or new, and which way each moved."""
    import numpy as np

    period, orders = period_of(source, window, days, active_days, span), source.orders
    moved = movement(orders, period.window.start, period.window.end, period.active_days)
    seen = moved.before | moved.fresh | moved.after
    kinds = np.array(["kept", "lost", "new", "new and gone", "reactivated"], dtype=object)
    kind = np.select(
        [moved.kept, moved.lost, moved.fresh & moved.after, moved.fresh, moved.reactivated],
        [0, 1, 2, 3, 4],
        0,
    )
    return customer_rows(
        source,
        f"Customers, {period.window}",
        orders.units[seen],
        (
            (Column("moved", "Moved", "text"), kinds[kind[seen]].tolist()),
            (Column("first_day", "First purchase", "date"), dates(orders.first_day[seen])),
            (Column("last_day", "Last purchase", "date"), dates(orders.last_day[seen])),
        ),
    )
