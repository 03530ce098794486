"""Lifetime value so far: what customers have brought in since their first purchase, after refunds."""

from typing import TYPE_CHECKING, Any

from rewards.metrics.intervals import normal
from rewards.metrics.lifetime.cells import whole
from rewards.metrics.lifetime.known import known_at
from rewards.metrics.lifetime.sums import sums
from rewards.metrics.result import Column, Definition, Interval, Metric, Parameter, Result, Table, nothing
from rewards.metrics.windows import (
    customer_rows,
    dates,
    first_purchase_notes,
    left_out_notes,
    month_text,
    months_of,
    no_purchases,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rewards.metrics.source import Source

MARGIN = Parameter(
    "margin",
    "number",
    None,
    "the share of revenue that is left after the cost of goods, such as 0.4; else the figure is revenue",
    least=0,
    most=1,
)


def value_unit(margin: float | None) -> str:
    """Return what money is called here: revenue without a margin, else margin."""
    return "Revenue" if margin is None else "Margin"


def money_notes(margin: float | None) -> list[str]:
    """Return that the figure is revenue, where no margin was given."""
    return (
        [] if margin is not None else ["No margin was given, so this is revenue, not what is earned on it."]
    )


def lifetime_value(source: "Source", margin: float | None) -> Result:
    """Return the mean of what customers have brought in so far, minor units."""
    import numpy as np

    customers = known_at(source, source.until).customers
    if not len(customers):
        return nothing(no_purchases(source), "minor", parameters={"margin": margin})
    value = customers.spent * (1.0 if margin is None else margin)
    interval: Interval | None = None
    if len(value) > 1:
        interval = normal(float(value.mean()), float(value.std(ddof=1) / np.sqrt(len(value))))
    orders = source.orders
    return Result(
        float(value.mean()),
        "minor",
        float(value.sum()),
        len(value),
        interval,
        notes=[
            *money_notes(margin),
            *first_purchase_notes(source, customers.first_day),
            *left_out_notes(source),
        ],
        tables=[
            _sums(int(orders.amount.sum()), int(orders.refunded.sum()), int(orders.starts.size)),
            by_cohort(customers.first_day, value, f"{value_unit(margin)} so far by month of first purchase"),
            spread(value, f"{value_unit(margin)} so far: how it is spread"),
        ],
        parameters={"margin": margin},
    )


def lifetime_value_rows(source: "Source", margin: float | None) -> Table:
    """Return what each customer has brought in so far, the most first."""
    import numpy as np

    customers = known_at(source, source.until).customers
    value = customers.spent * (1.0 if margin is None else margin)
    order = np.argsort(-value, kind="stable")
    return customer_rows(
        source,
        "What each customer has brought in so far",
        customers.unit[order],
        (
            (Column("first_purchase", "First purchase", "date"), dates(customers.first_day[order])),
            (Column("purchase_days", "Purchase days", "count"), whole(customers.x[order] + 1)),
            (Column("value_minor", value_unit(margin), "minor"), whole(value[order])),
        ),
    )


def _sums(paid: int, refunded: int, customers: int) -> Table:
    columns = (
        Column("what", "What", "text"),
        Column("total_minor", "Total", "minor"),
        Column("per_customer_minor", "Per customer", "minor"),
    )
    each = (("Paid", paid), ("Refunded", -refunded), ("Left", paid - refunded))
    rows = [[name, amount, round(amount / customers)] for name, amount in each]
    return Table("revenue", "Revenue of all time", columns, rows)


def by_cohort(first_day: "NDArray[Any]", value: "NDArray[np.float64]", title: str) -> Table:
    """Return the mean value of customers by the month of their first purchase."""
    import numpy as np

    months, at = np.unique(months_of(first_day), return_inverse=True)
    size, total = sums(at, None, len(months)), sums(at, value, len(months))
    columns = (
        Column("cohort", "First purchase in", "month"),
        Column("customers", "Customers", "count"),
        Column("total_minor", "Total", "minor"),
        Column("mean_minor", "Per customer", "minor"),
    )
    texts = [month_text(month) for month in months.tolist()]
    rows = list(zip(texts, whole(size), whole(total), whole(total / size), strict=True))
    return Table("cohorts", title, columns, rows, "none")


def spread(value: "NDArray[np.float64]", title: str) -> Table:
    """Return percentiles of a value over customers: the least that this share of customers does not exceed."""
    import numpy as np

    shares = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
    columns = (
        Column("up_to", "Customers, from the least", "share"),
        Column("value_minor", "At most", "minor"),
    )
    found = np.quantile(value, shares, method="inverted_cdf")
    return Table("spread", title, columns, list(zip(shares, whole(found), strict=True)))


METRICS = (
    Metric(
        Definition(
            "lifetime-value",
            "Lifetime value so far",
            "Lifetime value",
            "minor",
            "Σ (paid − refunded) × margin ÷ customers",
            "what all customers have paid since their first purchase, less refunds, times the margin",
            "customers with a purchase",
            "All time up to and with as_of.",
            (
                "Without a margin it is revenue, and says so.",
                "Refunds are deducted from the purchase that they belong to, whenever they were made.",
                "It grows with time by construction: compare cohorts of the same age, not old with young ones.",
                "The interval is that of a mean; a few customers who spend very much make it too narrow.",
            ),
        ),
        lifetime_value,
        (MARGIN,),
        lifetime_value_rows,
        on_dashboard=True,
    ),
)
