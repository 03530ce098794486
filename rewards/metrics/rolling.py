"""How outstanding points became what they are: opening, what came and went, closing. Pure: no database.

The sum of all entries but holds is what customers may still spend, less what some owe after refunds of points that
they had spent. So the roll-forward adds up exactly, and its end is what the lots of then had left, to the point.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from rewards.metrics.ledger_reading.clocks import Spans
from rewards.metrics.ledger_reading.flows import LINE_OF, LINES, Flow
from rewards.metrics.ledger_reading.open_points import OpenPoints


@dataclass(frozen=True, slots=True)
class Rolled:
    """How outstanding points became what they are; all net of what customers owe.

    ``opening + sum(lines.values()) == closing``, always.
    """

    opening: int
    lines: Mapping[str, int]
    closing: int


def roll_forward(flows: Sequence[Flow], since: date, opened: OpenPoints, closed: OpenPoints) -> Rolled:
    """Return the roll-forward from the beginning of ``since`` to the instant of ``closed``.

    What had expired by an instant but was booked only later, or is not booked yet, counts as expired by then, as it
    does in the balances that customers see.

    Args:
        flows: all entries before the end.
        since: the first day.
        opened, closed: what the lots had at both ends.
    """
    lines = dict.fromkeys(LINES, 0)
    booked = 0
    for flow in flows:
        if flow.kind in LINE_OF:
            if flow.day >= since:
                lines[LINE_OF[flow.kind]] += flow.points
            else:
                booked += flow.points
    unbooked_then = opened.net - booked
    unbooked_now = closed.net - (booked + sum(lines.values()))
    lines["expired"] += unbooked_now - unbooked_then
    return Rolled(opened.net, lines, closed.net)


def by_month(flows: Sequence[Flow], spans: Spans, closed: OpenPoints) -> list[tuple[date, Rolled]]:
    """Return the roll-forward of each calendar month of ``spans``; the last one's end is that of ``closed``."""
    lines: dict[date, dict[str, int]] = {month: dict.fromkeys(LINES, 0) for month in spans.months}
    opening = 0
    for flow in flows:
        if flow.kind not in LINE_OF:
            continue
        month = spans.month_at(flow.day)
        if month is None:
            opening += flow.points
        else:
            lines[month][LINE_OF[flow.kind]] += flow.points
    for bucket, points in closed.due.items():
        month = spans.month(bucket)
        if month is None:
            opening -= points
        else:
            lines[month]["expired"] -= points
    # What no span could be told for (a hold that lapsed unbooked) ends with the last month.
    last = spans.months[-1]
    lines[last]["expired"] += closed.net - opening - sum(sum(each.values()) for each in lines.values())
    rolled = []
    for month in spans.months:
        closing = opening + sum(lines[month].values())
        rolled.append((month, Rolled(opening, lines[month], closing)))
        opening = closing
    return rolled


def in_money(
    rolled: Rolled, opening_minor: int, closing_minor: int, per_point: float
) -> tuple[dict[str, int], int]:
    """Return what the lines are worth in minor units, and what is left to make them add up.

    The lines are valued as points are at the end; the rest is what a change of that value did to the opening, what
    points are worth more in some tiers, and rounding.
    """
    lines = {line: round(points * per_point) for line, points in rolled.lines.items()}
    return lines, closing_minor - opening_minor - sum(lines.values())
