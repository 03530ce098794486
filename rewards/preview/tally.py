"""Adds up what entries and grants say, the same way for what was and for what would have been. Pure."""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from math import sqrt
from zoneinfo import ZoneInfo

from rewards.preview.report import FLOWS, Change, Flows, Mover, Refused, RuleMonth, Sampled
from rewards.program.giving import divide

#: So many customers whose balance grows, and whose balance shrinks, are named.
MOST_MOVERS = 20

#: To which flow each kind of entry belongs, and with which sign. (What is issued is told by the grants.)
_FLOW = {
    "clawback": ("clawed_back", -1),
    "redeem": ("redeemed", -1),
    "reinstate": ("reinstated", 1),
    "expire": ("expired", -1),
    "unexpire": ("expired", -1),
    "adjust": ("adjusted", 1),
}


@dataclass(frozen=True, slots=True)
class Window:
    """The time that flows are told for, ``since`` included and ``until`` not, in months of ``zone``."""

    since: datetime | None
    until: datetime | None
    zone: ZoneInfo

    def has_come(self, at: datetime) -> bool:
        """Tell whether something lies before the window's end, so that it counts to balances."""
        return self.until is None or at < self.until

    def month(self, at: datetime) -> str | None:
        """Return the month of something within the window; None outside of it."""
        if (self.since is not None and at < self.since) or not self.has_come(at):
            return None
        local = at.astimezone(self.zone)
        return f"{local.year:04}-{local.month:02}"


class Side:
    """One side of the comparison: what was, or what would have been."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self.issued: Counter[tuple[str, str]] = Counter()
        self.flows: Counter[tuple[str, str]] = Counter()
        #: All balances, and all that is on hold.
        self.balance = self.held = 0
        #: The present customer's.
        self.own_balance = self.own_issued = 0
        self._issued_squared = 0

    def begin(self) -> None:
        """Begin with the next customer."""
        self.own_balance = self.own_issued = 0

    def end(self) -> None:
        """Take the customer in."""
        self.balance += self.own_balance
        self._issued_squared += self.own_issued**2

    def enter(self, kind: str, points: int, occurred_at: datetime) -> None:
        """Count an entry."""
        if not self._window.has_come(occurred_at):
            return
        self.own_balance += points
        if kind in ("hold", "release"):
            self.held -= points
        elif (flow := _FLOW.get(kind)) is not None and points:
            month = self._window.month(occurred_at)
            if month is not None:
                self.flows[month, flow[0]] += flow[1] * points

    def give(self, grants: Iterable[tuple[str, int]], occurred_at: datetime) -> None:
        """Count what rules gave for an activity, as ``(rule_id, points)``."""
        month = self._window.month(occurred_at)
        if month is None:
            return
        for rule_id, points in grants:
            if points:
                self.issued[month, rule_id] += points
                self.flows[month, "issued"] += points
                self.own_issued += points

    def total(self, flow: str) -> int:
        """Return a flow over all months."""
        return sum(points for (_, name), points in self.flows.items() if name == flow)

    def issued_error(self, customers: int, of: int) -> int:
        """Return the standard error of the points issued to all, estimated from so many of the customers."""
        return standard_error(self._issued_squared, self.total("issued"), customers, of)


def standard_error(sum_of_squares: int, total: int, sampled: int, of: int) -> int:
    """Return the standard error, rounded, of a total that is estimated from a simple random sample.

    It is ``of * sqrt((1 - sampled / of) * variance / sampled)``, with the sample's own variance.
    """
    if sampled < 2:
        return 0
    # In whole numbers up to the root: sums of squares are far beyond what a float keeps.
    spread = sampled * sum_of_squares - total * total
    return round(sqrt(spread * of * (of - sampled) / (sampled * sampled * (sampled - 1))))


class Tally:
    """Both sides, and what is told of single customers."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.before, self.after = Side(window), Side(window)
        self.customers = self.activities = 0
        self.changed = 0
        self.redemptions_cut = self.points_cut = 0
        self._change_squared = 0
        self._up: list[tuple[int, str, Change]] = []
        self._down: list[tuple[int, str, Change]] = []
        self._refused: dict[tuple[str, str], Refused] = {}

    def begin(self) -> None:
        """Begin with the next customer."""
        self.before.begin()
        self.after.begin()

    def end(self, customer_id: str) -> None:
        """Take the customer in."""
        before, after = self.before, self.after
        self.customers += 1
        self._change_squared += (after.own_issued - before.own_issued) ** 2
        moved = after.own_balance - before.own_balance
        if moved:
            self.changed += 1
            mover = (abs(moved), customer_id, Change(before.own_balance, after.own_balance))
            _keep_largest(self._up if moved > 0 else self._down, mover)
        before.end()
        after.end()

    def refuse(self, what: str, code: str, customer_id: str, name: str, detail: str) -> None:
        """Count something that the draft refuses."""
        known = self._refused.setdefault((what, code), Refused(what, code, 0, customer_id, name, detail))
        known.count += 1

    def cut(self, points: int) -> None:
        """Count a redemption that lacked ``points``."""
        self.redemptions_cut += 1
        self.points_cut += points

    # What is told in the end. A sample's figures are brought up to ``of`` customers.

    def scale(self, figure: int, of: int) -> int:
        """Return the estimate for all, rounded half up."""
        if self.customers in (0, of):
            return figure
        size = divide(abs(figure) * of, self.customers, "half_up")
        return size if figure >= 0 else -size

    def issued(self, of: int) -> list[RuleMonth]:
        """Return the points by month and rule."""
        keys = sorted({*self.before.issued, *self.after.issued})
        return [
            RuleMonth(*key, self._change(self.before.issued[key], self.after.issued[key], of)) for key in keys
        ]

    def months(self, of: int) -> dict[str, Flows]:
        """Return the flows by month."""
        months = sorted({month for month, _ in (*self.before.flows, *self.after.flows)})
        return {
            month: Flows(
                *(
                    self._change(self.before.flows[month, name], self.after.flows[month, name], of)
                    for name in FLOWS
                )
            )
            for month in months
        }

    def totals(self, of: int) -> Flows:
        """Return the flows over all months."""
        return Flows(*(self._change(self.before.total(name), self.after.total(name), of) for name in FLOWS))

    def liability(self, of: int) -> Change:
        """Return all balances and holds together."""
        before, after = self.before, self.after
        return self._change(before.balance + before.held, after.balance + after.held, of)

    def sampled(self, of: int) -> Sampled | None:
        """Return how the sample stands for all; None where all are in."""
        if self.customers in (0, of):
            return None
        change = self.after.total("issued") - self.before.total("issued")
        return Sampled(
            self.customers,
            of,
            of / self.customers,
            Change(self.before.issued_error(self.customers, of), self.after.issued_error(self.customers, of)),
            standard_error(self._change_squared, change, self.customers, of),
        )

    def movers(self) -> tuple[list[Mover], list[Mover]]:
        """Return whose balance grows most, and whose shrinks most."""
        up, down = (
            [Mover(customer_id, change) for _, customer_id, change in sorted(kept, key=_largest_first)]
            for kept in (self._up, self._down)
        )
        return up, down

    def refused(self, of: int) -> list[Refused]:
        """Return what the draft refuses, the most frequent first."""
        found = [
            Refused(
                each.what, each.code, self.scale(each.count, of), each.customer_id, each.name, each.detail
            )
            for each in self._refused.values()
        ]
        return sorted(found, key=lambda each: (-each.count, each.what, each.code))

    def _change(self, before: int, after: int, of: int) -> Change:
        return Change(self.scale(before, of), self.scale(after, of))


def _keep_largest(kept: list[tuple[int, str, Change]], mover: tuple[int, str, Change]) -> None:
    if len(kept) < MOST_MOVERS:
        heapq.heappush(kept, mover)
    else:
        heapq.heappushpop(kept, mover)


def _largest_first(mover: tuple[int, str, Change]) -> tuple[int, str]:
    return -mover[0], mover[1]
