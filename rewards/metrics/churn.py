"""Churn: which share of the customers who were active when a period began was lost, and of the revenue they brought."""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from rewards.metrics.activity import (
    PARAMETERS,
    WINDOW,
    Period,
    movement,
    movement_rows,
    movement_table,
    nobody,
    period_of,
)
from rewards.metrics.intervals import normal, wilson
from rewards.metrics.orders import Orders
from rewards.metrics.result import Column, Definition, Interval, Metric, Parameter, Result, Table, nothing
from rewards.metrics.windows import customer_rows, dates, no_purchases, rows_in

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rewards.metrics.source import Source

REVENUE = Parameter(
    "revenue",
    "choice",
    "net",
    "net of what was refunded until now, or gross",
    ("net", "gross"),
)
#: Below so many customers a sum's interval by the normal distribution says nothing.
_LEAST_FOR_INTERVAL = 30


def churn_accounts(
    source: "Source", *, window: Any, days: int | None, active_days: int | None, **span: date | None
) -> Result:
    """Return the share of the customers active at the start who are not active at the end."""
    period = period_of(source, window, days, active_days, span)
    others: dict[str, Any] = {"notes": period.notes, "parameters": period.parameters}
    if not len(source.orders):
        return nothing(no_purchases(source), "share", **others)
    moved = movement(source.orders, period.window.start, period.window.end, period.active_days)
    before, lost = int(moved.before.sum()), int(moved.lost.sum())
    others["tables"] = (movement_table(moved),)
    if not before:
        return nothing(nobody(period), "share", numerator=lost, denominator=before, **others)
    return Result(lost / before, "share", lost, before, wilson(lost, before), **others)


def churn_revenue(
    source: "Source",
    *,
    window: Any,
    days: int | None,
    active_days: int | None,
    revenue: str,
    **span: date | None,
) -> Result:
    """Return the share of the revenue of customers active at the start that they do not bring at the end any more."""
    period = period_of(source, window, days, active_days, span)
    parameters = {"revenue": revenue, **period.parameters}
    others: dict[str, Any] = {"notes": period.notes, "parameters": parameters}
    if not len(source.orders):
        return nothing(no_purchases(source), "share", **others)
    money = revenues(source.orders, period, is_net=revenue == "net")
    if not len(money.units):
        return nothing(nobody(period), "share", **others)
    if money.base <= 0:
        reason = "All that the customers active at the start had paid was refunded, so there was no revenue to lose."
        return nothing(reason, "share", **others)
    gross, lasting, left = money.gross(), money.lasting(), money.left()
    others["tables"] = (_forms((gross, lasting, left)),)
    if lasting.value is not None and lasting.value > 1:
        period.notes.append(
            f"Net revenue retention is above 100 % ({lasting.value:.1%}): those who stayed spent more than the others "
            "took away. Gross churn counts no more of anybody than what they brought at the start."
        )
    if money.refunded_below_nothing:
        period.notes.append(
            f"{money.refunded_below_nothing:,} customers were refunded more than they paid: they count as nothing in "
            "gross churn, and with their minus in net revenue retention."
        )
    return Result(gross.value, "share", gross.numerator, gross.denominator, gross.interval, **others)


@dataclass(frozen=True, slots=True)
class Quotient:
    """A quotient of sums of money."""

    what: str
    value: float | None
    numerator: int
    denominator: int
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Revenues:
    """What the customers active at the start brought: ``r0`` before it and ``r1`` before the end, minor units."""

    units: "NDArray[np.int32]"
    r0: "NDArray[np.int64]"
    r1: "NDArray[np.int64]"
    is_active: "NDArray[np.bool_]"

    @property
    def base(self) -> int:
        """What those with more than nothing brought before the start."""
        return int(self._floored(self.r0).sum())

    @property
    def refunded_below_nothing(self) -> int:
        """How many were refunded more than they paid."""
        return int(((self.r0 < 0) | (self.r1 < 0)).sum())

    def gross(self) -> Quotient:
        """Return gross churn, 1 − Σ min(r0, r1) ÷ Σ r0: nobody brings less than nothing, nor more than at the start."""
        import numpy as np

        first, then = self._floored(self.r0), self._floored(self.r1)
        return _quotient("gross churn: 1 − Σ min(r0, r1) ÷ Σ r0", first - np.minimum(first, then), first)

    def lasting(self) -> Quotient:
        """Return net revenue retention, Σ r1 ÷ Σ r0, as the sums are."""
        return _quotient("net revenue retention: Σ r1 ÷ Σ r0", self.r1, self.r0)

    def left(self) -> Quotient:
        """Return the share of revenue that belonged to customers who were lost, Σ r0 of A ∖ C ÷ Σ r0."""
        first = self._floored(self.r0)
        return _quotient("revenue of lost customers: Σ r0 of A ∖ C ÷ Σ r0", first * ~self.is_active, first)

    @staticmethod
    def _floored(money: "NDArray[np.int64]") -> "NDArray[np.int64]":
        floored: NDArray[np.int64] = money.clip(0)
        return floored


def revenues(orders: Orders, period: Period, *, is_net: bool) -> Revenues:
    """Return what the customers active at the start brought in the days of activity before each end of the period."""
    import numpy as np

    paid = orders.amount - orders.refunded if is_net else orders.amount
    flags, sums = [], []
    for end in (period.window.start, period.window.end):
        rows = rows_in(orders, end - period.active_days, end)
        owner = orders.owner[rows]
        flags.append(np.bincount(owner, minlength=len(orders.starts)) > 0)
        # Minor units stay whole far beyond what one customer can spend.
        sums.append(np.bincount(owner, weights=paid[rows], minlength=len(orders.starts)).astype(np.int64))
    before, after = flags
    return Revenues(orders.units[before], sums[0][before], sums[1][before], after[before])


def _quotient(what: str, top: "NDArray[np.int64]", bottom: "NDArray[np.int64]") -> Quotient:
    """Return Σ top ÷ Σ bottom over customers; its interval is by the delta method, customers drawn at random."""
    import numpy as np

    above, below, size = int(top.sum()), int(bottom.sum()), len(top)
    if below <= 0:
        return Quotient(what, None, above, below, None)
    value = above / below
    if size < _LEAST_FOR_INTERVAL:
        return Quotient(what, value, above, below, None)
    rest = top - value * bottom
    se = float(np.sqrt(size / (size - 1) * np.dot(rest, rest))) / below
    ends = normal(value, se)
    if int(top.min()) >= 0 and bool((top <= bottom).all()):  # a share, which lies within 0 and 1
        ends = Interval(max(ends.low, 0.0), min(ends.high, 1.0), ends.level)
    return Quotient(what, value, above, below, ends)


def _forms(forms: tuple[Quotient, ...]) -> Table:
    columns = (
        Column("form", "Form", "text"),
        Column("rate", "Share", "share"),
        Column("low", "Low", "share"),
        Column("high", "High", "share"),
        Column("numerator", "Divided", "minor"),
        Column("denominator", "By", "minor"),
    )
    rows = [
        (
            each.what,
            each.value,
            each.interval and each.interval.low,
            each.interval and each.interval.high,
            each.numerator,
            each.denominator,
        )
        for each in forms
    ]
    return Table("forms", "Churn of revenue, three ways", columns, rows)


def churn_revenue_rows(
    source: "Source",
    *,
    window: Any,
    days: int | None,
    active_days: int | None,
    revenue: str,
    **span: date | None,
) -> Table:
    """Return the customers active at the start, and what each brought before the start and before the end."""
    import numpy as np

    period = period_of(source, window, days, active_days, span)
    orders = source.orders
    money = revenues(orders, period, is_net=revenue == "net")
    return customer_rows(
        source,
        f"Customers active before {period.window}",
        money.units,
        (
            (Column("lost", "Lost", "text"), (~money.is_active).tolist()),
            (Column("before_minor", "Revenue before the start", "minor"), money.r0.tolist()),
            (Column("after_minor", "Revenue before the end", "minor"), money.r1.tolist()),
            (
                Column("last_day", "Last purchase", "date"),
                dates(orders.last_day[np.searchsorted(orders.units, money.units)]),
            ),
        ),
    )


METRICS = (
    Metric(
        Definition(
            "churn-accounts",
            "Churn of customers",
            "Retention",
            "share",
            "customers active at the start and not at the end ÷ customers active at the start: 1 − retention by sets",
            "customers active at the start of the period and not at its end",
            "customers active when the period began",
            WINDOW,
            (
                "Customers do not cancel here: who has not bought for some time counts as lost, and may come back.",
                "It depends on for how long a customer counts as active, which the figure states.",
            ),
        ),
        churn_accounts,
        PARAMETERS,
        movement_rows,
        on_dashboard=True,
    ),
    Metric(
        Definition(
            "churn-revenue",
            "Churn of revenue",
            "Retention",
            "share",
            "gross: 1 − Σ min(r0, r1) ÷ Σ r0 over the customers active at the start; beside it net revenue retention, "
            "Σ r1 ÷ Σ r0, and the revenue of lost customers",
            "revenue of the customers active at the start that they do not bring before the end",
            "revenue of the customers active at the start, in the days of activity before it (r0)",
            "r0 and r1 are what a customer paid in the days of activity before the period's start and before its end.",
            (
                "Refunds until now are taken from the purchase they belong to, whenever they came; gross leaves them.",
                "Who was refunded more than they paid counts as nothing in gross churn, and as it is in net retention.",
                "Net revenue retention can exceed 100 %.",
                "Revenue in other currencies is left out.",
                "Intervals take customers as drawn at random; a few very large ones make them too narrow.",
            ),
            "The interval is by the delta method for a quotient of sums.",
        ),
        churn_revenue,
        (*PARAMETERS, REVENUE),
        churn_revenue_rows,
        on_dashboard=True,
    ),
)
