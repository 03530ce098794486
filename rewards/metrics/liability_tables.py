"""The tables that stand beside the points liability: its roll-forward, what it is made of, how old it is."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

from rewards.metrics.ledger_reading.flows import LINES
from rewards.metrics.ledger_reading.open_points import AGES, LIVES, NEVER, Cell, OpenPoints
from rewards.metrics.ledger_reading.worth import Worth
from rewards.metrics.result import Column, Table
from rewards.metrics.rolling import Rolled, in_money

_WORDS = {
    "issued": "Issued",
    "clawed_back": "Taken back by refunds",
    "redeemed": "Redeemed",
    "reinstated": "Came back from cancelled redemptions",
    "expired": "Expired",
    "adjusted": "Adjusted by hand",
}


@dataclass(frozen=True, slots=True)
class Owed:
    """What :func:`read_liability` found: the points and money at both ends, and what happened between."""

    opened: OpenPoints
    closed: OpenPoints
    rolled: Rolled
    months: Sequence[tuple[date, Rolled]]
    opening_minor: int
    closing_minor: int
    worth: Worth


_POINTS = Column("points", "Points", "points")
_VALUE = Column("value_minor", "Worth", "minor")


def roll_table(owed: Owed, first: date, last: date) -> Table:
    """Return the roll-forward in points and in money."""
    money, rest = in_money(
        owed.rolled, _net_money(owed, owed.opened), _net_money(owed, owed.closed), owed.worth.per_point
    )
    rows: list[tuple[Any, ...]] = [("Opening", owed.rolled.opening, _net_money(owed, owed.opened))]
    rows += [(_WORDS[line], owed.rolled.lines[line], money[line]) for line in LINES]
    rows.append(("Worth more in tiers, new value of a point, rounding", 0, rest))
    rows.append(("Closing", owed.rolled.closing, _net_money(owed, owed.closed)))
    title = f"From {first.isoformat()} to the end of {last.isoformat()}, net of what customers owe"
    return Table("roll-forward", title, (Column("line", "", "text"), _POINTS, _VALUE), rows)


def _net_money(owed: Owed, points: OpenPoints) -> int:
    minor = owed.opening_minor if points is owed.opened else owed.closing_minor
    return minor - owed.worth.value(points.owed)


def made_of(owed: Owed) -> Table:
    """Return what the outstanding points are: available, pending, on hold; and what is owed."""
    closed, worth = owed.closed, owed.worth
    parts = (
        ("Available: can be spent now", _of(owed, lambda cell: not cell.is_pending)),
        ("Pending: can be spent later", _of(owed, lambda cell: cell.is_pending)),
        ("On hold: set aside for orders under way", dict(closed.held)),
    )
    rows: list[tuple[Any, ...]] = [(name, sum(each.values()), worth.total(each)) for name, each in parts]
    rows.append(("Owed by customers (not taken off)", -closed.owed, -worth.value(closed.owed)))
    columns = (Column("part", "What they are", "text"), _POINTS, _VALUE)
    return Table("made-of", "What the outstanding points are", columns, rows)


def _of(owed: Owed, which: Callable[[Cell], bool]) -> dict[str | None, int]:
    points: dict[str | None, int] = defaultdict(int)
    for cell in owed.closed.cells:
        if which(cell):
            points[cell.tier] += cell.points
    return points


def ages(owed: Owed) -> Table:
    """Return the points in lots by how long ago they were awarded."""
    names = [f"up to {AGES[0]} days", *(f"{a + 1} to {b} days" for a, b in pairwise(AGES))]
    names.append(f"more than {AGES[-1]} days")
    rows = []
    for place, name in enumerate(names):
        points = _of(owed, lambda cell: cell.age == place)  # noqa: B023 - used at once
        rows.append((name, sum(points.values()), owed.worth.total(points)))
    columns = (Column("age", "Since they were awarded", "text"), _POINTS, _VALUE)
    return Table("age", "Points in lots, by age", columns, rows, chart="bars")


def lives(owed: Owed) -> Table:
    """Return the points in lots by how long they have to live."""
    names = {0: f"within {LIVES[0]} days"}
    names |= {i: f"in {LIVES[i - 1]} to {days} days" for i, days in enumerate(LIVES) if i}
    names |= {len(LIVES): f"in more than {LIVES[-1]} days", NEVER: "never"}
    rows = []
    for place, name in names.items():
        points = _of(owed, lambda cell: cell.life == place)  # noqa: B023 - used at once
        rows.append((name, sum(points.values()), owed.worth.total(points)))
    columns = (Column("expires", "They expire", "text"), _POINTS, _VALUE)
    title = "Points in lots, by when they expire if their customers do nothing"
    return Table("expiry", title, columns, rows, chart="bars")


def over_time(owed: Owed) -> Table:
    """Return what was outstanding at the end of each month."""
    rows = [
        (month.strftime("%Y-%m"), rolled.closing, round(rolled.closing * owed.worth.per_point))
        for month, rolled in owed.months
    ]
    columns = (
        Column("month", "Month", "month"),
        Column("points", "Points at its end", "points"),
        Column("value_minor", "At the latest value of a point", "minor"),
    )
    return Table("over-time", "Outstanding points, net of what customers owe", columns, rows, chart="line")


def months(owed: Owed) -> Table:
    """Return the roll-forward of each month, in points."""
    columns = (
        Column("month", "Month", "month"),
        Column("opening", "Opening", "points"),
        *(Column(line, _WORDS[line], "points") for line in LINES),
        Column("closing", "Closing", "points"),
    )
    rows = [
        (month.strftime("%Y-%m"), each.opening, *(each.lines[line] for line in LINES), each.closing)
        for month, each in owed.months
    ]
    return Table("by-month", "What came and went each month", columns, rows)
