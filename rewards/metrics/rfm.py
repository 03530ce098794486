"""RFM: customers scored from 1 to 5 by how lately, how often and for how much they bought."""

from typing import TYPE_CHECKING, Any, NamedTuple

from rewards.metrics.intervals import wilson
from rewards.metrics.lifetime.cells import whole
from rewards.metrics.lifetime.ranks import positions
from rewards.metrics.lifetime.sums import sums
from rewards.metrics.orders import Orders
from rewards.metrics.result import Column, Definition, Metric, Parameter, Result, Table, Unit, nothing
from rewards.metrics.windows import customer_rows, left_out_notes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rewards.metrics.source import Source

CLASSES = 5
#: From this score on in all three, a customer is one of the best.
BEST = 4

DAYS = Parameter("days", "days", None, "how far back purchases count; else all time", least=1, most=36_500)
MONEY = Parameter("money", "choice", "sum", "what M is: all purchases, or the mean of them", ("sum", "mean"))
AMOUNTS = Parameter("amounts", "choice", "net", "whether refunds are deducted", ("net", "paid"))


class Scores(NamedTuple):
    """Customers, in the order of their numbers: what is scored, and the scores from 1 to 5, 5 the best."""

    unit: "NDArray[np.int32]"
    recency_days: "NDArray[np.int64]"
    purchases: "NDArray[np.int64]"
    money_minor: "NDArray[np.float64]"
    r: "NDArray[np.int64]"
    f: "NDArray[np.int64]"
    m: "NDArray[np.int64]"


def score(values: "NDArray[Any]") -> "NDArray[np.int64]":
    """Return 1 + ⌊5·(minrank − 1)/n⌋ of each value, 5 for the largest.

    ``minrank`` is the rank from the least, from 1 on; equal values share the least of theirs, so that equals are never
    parted. Classes are uneven for that.
    """
    found: NDArray[np.int64] = 1 + CLASSES * positions(values) // max(len(values), 1)
    return found


def scores(orders: Orders, until: int, days: int | None, money: str, amounts: str) -> Scores:
    """Return the scores of everybody who bought in the window.

    Args:
        orders: purchases on days before ``until``; a day's purchases count as one.
        until: the day number after the last day that counts; R is 0 for who bought on that last day.
        days: how many days before ``until`` count; all where None.
        money: ``sum`` or ``mean``.
        amounts: ``net`` of refunds, or as ``paid``.
    """
    import numpy as np

    bought = orders.days
    amount = bought.amount - bought.refunded if amounts == "net" else bought.amount
    since = np.flatnonzero(bought.day >= until - days) if days is not None else np.arange(len(bought))
    unit, day, amount = bought.unit[since], bought.day[since], amount[since]
    first = np.flatnonzero(np.diff(unit, prepend=-1)) if len(unit) else np.zeros(0, dtype=np.int64)
    purchases = np.diff(np.append(first, len(unit)))
    last = first + purchases - 1
    total = np.add.reduceat(amount, first).astype(float) if len(first) else np.zeros(0)
    if money == "mean":
        total = total / np.maximum(purchases, 1)
    recency = until - 1 - day[last].astype(np.int64)
    return Scores(unit[first], recency, purchases, total, score(-recency), score(purchases), score(total))


def rfm(source: "Source", days: int | None, money: str, amounts: str) -> Result:
    """Return the share of customers who score 4 or 5 in all three."""
    of = scores(source.orders, source.until, days, money, amounts)
    asked = {"days": days, "money": money, "amounts": amounts}
    customers = len(of.unit)
    if not customers:
        return nothing(_nobody(source, days), "share", parameters=asked)
    best = int(((of.r >= BEST) & (of.f >= BEST) & (of.m >= BEST)).sum())
    return Result(
        best / customers,
        "share",
        best,
        customers,
        wilson(best, customers),
        notes=[*_tie_notes(of), *left_out_notes(source)],
        tables=[_matrix(of), *_classes(of)],
        parameters=asked,
    )


def rfm_rows(source: "Source", days: int | None, money: str, amounts: str) -> Table:
    """Return every customer's scores, the best first."""
    import numpy as np

    of = scores(source.orders, source.until, days, money, amounts)
    order = np.lexsort((-of.money_minor, -(of.r * 100 + of.f * 10 + of.m)))
    return customer_rows(
        source,
        "Customers by RFM score",
        of.unit[order],
        (
            (
                Column("rfm", "RFM", "text"),
                [str(each) for each in (of.r * 100 + of.f * 10 + of.m)[order].tolist()],
            ),
            (Column("recency_days", "Days since the last purchase", "days"), whole(of.recency_days[order])),
            (Column("purchases", "Purchase days", "count"), whole(of.purchases[order])),
            (Column("money_minor", "Money", "minor"), whole(of.money_minor[order])),
            (Column("r", "R", "score"), whole(of.r[order])),
            (Column("f", "F", "score"), whole(of.f[order])),
            (Column("m", "M", "score"), whole(of.m[order])),
        ),
    )


def _nobody(source: "Source", days: int | None) -> str:
    within = f" in the {days} days" if days is not None else ""
    return f"Nobody bought anything{within} up to {source.as_of}."


def _tie_notes(of: Scores) -> list[str]:
    """Return how uneven the classes of F are, where equals made them so."""
    import numpy as np

    missing = [each for each in range(1, CLASSES + 1) if not (of.f == each).any()]
    once = float((of.purchases == 1).mean())
    if not missing or not once:
        return []
    which = ", ".join(str(each) for each in missing)
    largest = int(np.bincount(of.f).argmax())
    note = (
        f"{once:.0%} of customers bought on one day only and share a score, as all equals do; so nobody has an F of "
        f"{which}, and most have {largest}."
    )
    return [note]


def _matrix(of: Scores) -> Table:
    """Return how many customers have each R and F, and their mean M."""
    cell = (of.r - 1) * CLASSES + of.f - 1
    size = sums(cell, None, CLASSES**2)
    money = sums(cell, of.money_minor, CLASSES**2)
    columns = (
        Column("r", "R", "score"),
        Column("f", "F", "score"),
        Column("customers", "Customers", "count"),
        Column("money_minor", "M, mean", "minor"),
    )
    rows = []
    for r in range(CLASSES, 0, -1):
        for f in range(1, CLASSES + 1):
            at = (r - 1) * CLASSES + f - 1
            mean = round(float(money[at] / size[at])) if size[at] else None
            rows.append([r, f, int(size[at]), mean])
    return Table("matrix", "Customers by how lately (R) and how often (F)", columns, rows, "heatmap")


def _classes(of: Scores) -> list[Table]:
    """Return from what to what each score goes, and how many customers have it: a table for each of R, F and M."""
    each: tuple[tuple[str, str, Unit, NDArray[Any], NDArray[np.int64]], ...] = (
        ("r", "R: days since the last purchase", "days", of.recency_days, of.r),
        ("f", "F: purchase days", "count", of.purchases, of.f),
        ("m", "M: money", "minor", of.money_minor, of.m),
    )
    tables = []
    for key, title, unit, values, of_value in each:
        columns = (
            Column("score", "Score", "score"),
            Column("from", "From", unit),
            Column("to", "To", unit),
            Column("customers", "Customers", "count"),
        )
        rows: list[list[int | None]] = []
        for number in range(CLASSES, 0, -1):
            members = values[of_value == number]
            span = (
                [round(float(members.min())), round(float(members.max()))] if len(members) else [None, None]
            )
            rows.append([number, *span, len(members)])
        tables.append(Table(key, title, columns, rows))
    return tables


METRICS = (
    Metric(
        Definition(
            "rfm",
            "Best customers by RFM",
            "Lifetime value",
            "share",
            "customers with R, F and M of 4 or 5 ÷ customers; a score is 1 + ⌊5 × (minrank − 1) ÷ n⌋",
            "customers who score 4 or 5 in all three",
            "customers with a purchase in the window",
            "All purchases up to as_of, or those of the last so many days (days).",
            (
                "R: days since the last purchase, fewer is better. F: purchase days. M: what was paid, less refunds.",
                "Equal customers share a score, so classes are uneven; splitting equals would be random.",
                "Scores compare customers with each other on one day: they say nothing of how the shop is doing.",
            ),
        ),
        rfm,
        (DAYS, MONEY, AMOUNTS),
        rfm_rows,
        on_dashboard=True,
    ),
)
