"""The metric ``members-against-others``: what members and others did, side by side. Description only, grade D.

People join by buying, so members bought more before anything could have been changed for them; and whoever joined
after a purchase has that purchase in "before" or "after" by construction. On real orders with a program that changed
nothing the gap was over 45 percentage points (METRICS §1.1). No interval and no test stands beside these figures: how
far chance moves them is not what is wrong with them.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from rewards.metrics.effect.evidence import NOT_CAUSED, TO_A
from rewards.metrics.effect.joining import NEVER, joined_days
from rewards.metrics.effect.recorded import NO_DATABASE, NO_MEMBERS, read_joined
from rewards.metrics.orders import Orders
from rewards.metrics.result import Column, Definition, Metric, Parameter, Result, Table, nothing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rewards.metrics.source import Source


class Group(NamedTuple):
    """What a group of customers did."""

    customers: int
    #: Who had two purchase days or more.
    repeaters: int
    purchase_days: int
    revenue_minor: int

    @property
    def share(self) -> float | None:
        """The share with two purchase days or more; None of nobody."""
        return self.repeaters / self.customers if self.customers else None


def side_by_side(
    orders: Orders, member: "NDArray[np.int32]", joined_on: "NDArray[np.int64]", start: int, end: int
) -> tuple[Group, Group]:
    """Return what members and others who bought in ``[start, end)`` did in it; a member joined before ``end``.

    Args:
        orders: the shop's purchases.
        member: who joined, ascending numbers.
        joined_on: the day on which each of those did.
        start: the first day, a day number.
        end: the day after the last.
    """
    import numpy as np

    by_day = orders.days
    inside = (by_day.day >= start) & (by_day.day < end)
    count = len(by_day.starts)
    days = np.bincount(by_day.owner[inside], minlength=count)
    net = (by_day.amount - by_day.refunded)[inside].astype(float)
    paid = np.bincount(by_day.owner[inside], net, minlength=count).astype(np.float64)
    is_member = joined_days(by_day.units, member, joined_on) < end
    return _group(days, paid, is_member), _group(days, paid, ~is_member)


def _group(days: "NDArray[np.int64]", paid: "NDArray[np.float64]", who: "NDArray[np.bool_]") -> Group:
    mine = who & (days > 0)
    return Group(
        int(mine.sum()), int((days[mine] >= 2).sum()), int(days[mine].sum()), round(paid[mine].sum())
    )


def before_and_after(
    orders: Orders, member: "NDArray[np.int32]", joined_on: "NDArray[np.int64]", days: int, until: int
) -> tuple[Group, Group]:
    """Return what members did in so many days before they joined and from that day on, where both are over.

    Only those are looked at who had bought before the first of those days, so that both spans could hold purchases.
    """
    import numpy as np

    by_day = orders.days
    joined = joined_days(by_day.units, member, joined_on)
    eligible = (joined <= until - days) & (joined < NEVER) & (by_day.first_day < joined - days)
    since = by_day.day - joined[by_day.owner]
    count = len(by_day.starts)
    paid = (by_day.amount - by_day.refunded).astype(float)
    groups = []
    for inside in ((since >= -days) & (since < 0), (since >= 0) & (since < days)):
        each = np.bincount(by_day.owner[inside], minlength=count)
        money = np.bincount(by_day.owner[inside], paid[inside], minlength=count)
        did = each[eligible]
        paid_then = round(float(money[eligible].sum()))
        groups.append(Group(len(did), int((did >= 2).sum()), int(did.sum()), paid_then))
    return groups[0], groups[1]


def compute(source: "Source", days: int = 365, around: int = 90) -> Result:
    """Work the metric out; see :data:`METRICS`."""
    used = {"days": days, "around": around}
    if source.conn is None:
        return nothing(NO_DATABASE, "points_pct", evidence="D", parameters=used)
    member, joined_on = read_joined(source)
    if not len(member):
        return nothing(NO_MEMBERS, "points_pct", evidence="D", parameters=used)
    sides = side_by_side(source.orders, member, joined_on, source.until - days, source.until)
    around_joining = before_and_after(source.orders, member, joined_on, around, source.until)
    return result_of(sides, around_joining, used)


def result_of(
    sides: tuple[Group, Group], around_joining: tuple[Group, Group] | None, used: dict[str, Any]
) -> Result:
    """Return members and others side by side, as description."""
    members, others = sides
    tables = [_table("groups", "Members and others", (("Members", members), ("Others", others)))]
    if around_joining is not None and around_joining[0].customers:
        title = "The same members before they joined and since (the purchase with which they joined is in it)"
        tables.append(
            _table("around-joining", title, (("Before", around_joining[0]), ("Since", around_joining[1])))
        )
    if members.share is None or others.share is None:
        who = "members" if members.share is None else "customers who are no members"
        return nothing(
            f"No {who} bought in this time.", "points_pct", evidence="D", tables=tables, parameters=used
        )
    return Result(
        members.share - others.share,
        "points_pct",
        evidence="D",
        notes=[NOT_CAUSED, TO_A],
        tables=tables,
        parameters=used,
    )


def _table(key: str, title: str, groups: tuple[tuple[str, Group], ...]) -> Table:
    rows = [
        [
            name,
            each.customers,
            each.repeaters,
            each.share,
            each.purchase_days / each.customers if each.customers else None,
            each.revenue_minor / each.customers if each.customers else None,
        ]
        for name, each in groups
    ]
    columns = [
        Column("who", "Who", "text"),
        Column("customers", "Customers", "count"),
        Column("repeaters", "With two purchase days or more", "count"),
        Column("share", "Share of them", "share"),
        Column("purchase_days", "Purchase days each", "ratio"),
        Column("revenue", "Revenue each", "minor"),
    ]
    return Table(key, title, columns, rows)


METRICS = (
    Metric(
        Definition(
            "members-against-others",
            "Members and others side by side (description only)",
            "Effect",
            "points_pct",
            "share of members with two purchase days or more − the same share of other customers",
            window="Customers who bought in the last 365 days (days); around joining, 90 days to each side (around).",
            edges=(
                "Description only: it says who joins, not what joining changes.",
                "A member is who had joined by the end of the time looked at, as imported or by a signup.",
                "It has no interval and no test on purpose: chance is not what is wrong with it.",
            ),
        ),
        compute,
        (
            Parameter("days", "days", 365, "purchases of so many days", least=1, most=36_500),
            Parameter("around", "days", 90, "so many days before and after joining", least=1, most=3_650),
        ),
    ),
)
