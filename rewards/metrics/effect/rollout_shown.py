"""A roll-out's figures for people: its tables, and the sentences beside them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rewards.metrics.effect.pretrends import MOST_M, Sensitivity
from rewards.metrics.effect.rollouts import Grid
from rewards.metrics.effect.staggered import NEVER, Average, Panel, simultaneous
from rewards.metrics.orders import day_of
from rewards.metrics.result import Column, Table, Unit

_COUNTED = "each counted where the last order before that day was made; those who came later are not in it."


class Reading(NamedTuple):
    """A roll-out that was read.

    Attributes:
        panel: what is compared.
        bought: purchase days of the same customers, as a panel.
        names: of its units.
        grid: its periods.
        unnamed: units without a date.
    """

    panel: Panel
    bought: Panel
    names: Sequence[str]
    grid: Grid
    unnamed: Sequence[str] = ()


def how_sensitive(how: Sensitivity) -> str:
    """Return how wrong trends may have been until there might be no effect, as a sentence."""
    m = how.breakdown()
    if m == 0:
        return "The interval covers zero even if trends were the same everywhere."
    if m >= MOST_M:
        return (
            "Trends would have to go apart more than ten times as fast as they ever did before to explain it."
        )
    return (
        f"Had trends gone apart {m:.2f} times as fast after it began as they ever did before, there might be no"
        " effect (Rambachan–Roth M)."
    )


def facts(read: Reading) -> list[str]:
    """Return whom a roll-out's figure follows, and what was taken for granted, a sentence each."""
    panel = read.panel
    day = day_of(read.grid.start)
    notes = [f"It follows {panel.size.sum():,.0f} customers who had bought before {day}, {_COUNTED}"]
    if read.unnamed:
        shown = ", ".join(read.unnamed[:5]) + (" and others" if len(read.unnamed) > 5 else "")
        notes.append(f"No date was given for {shown}: counted as places where it has not begun.")
    return notes


def by_event(events: dict[int, Average], panel: Panel, unit: Unit, *, has_band: bool) -> Table:
    """Return the figures by periods since it began; with a band only where the spread of units gives one."""
    since = sorted(events)
    columns = [Column("since", "Periods since it began", "count"), Column("value", "Difference", unit)]
    rows: list[list[Any]] = [[each, events[each].estimate.value] for each in since]
    if has_band:
        halves = simultaneous([events[each].estimate for each in since], panel.group).halves.tolist()
        columns += [Column("low", "Low", unit), Column("high", "High", unit)]
        rows = [
            [at, value, value - half, value + half] for (at, value), half in zip(rows, halves, strict=True)
        ]
    title = "By time since it began (before it, figures should be about zero)"
    return Table("by-time", title, columns, rows, "line")


def by_unit(read: Reading) -> Table:
    """Return the roll-out units with when it began and how many customers each has."""
    panel, grid = read.panel, read.grid
    rows = [
        [name, None if group >= NEVER else day_of(grid.start + int(group) * grid.length), int(size)]
        for name, group, size in zip(read.names, panel.group, panel.size, strict=True)
    ]
    columns = [
        Column("name", "Where", "text"),
        Column("from", "Counted as begun from", "date"),
        Column("customers", "Customers", "count"),
    ]
    return Table("places", "Where and when it began", columns, rows)


def by_m(how: Sensitivity, unit: Unit) -> Table:
    """Return the intervals were trends apart M times as fast as before."""
    columns = [
        Column("m", "M: trends apart so many times as fast as before", "ratio"),
        Column("low", "Low", unit),
        Column("high", "High", unit),
    ]
    rows = [[m, *how.interval(m)] for m in (0.0, 0.25, 0.5, 1.0, 2.0)]
    return Table("sensitivity", "If trends were not quite the same", columns, rows)
