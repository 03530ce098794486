"""The metric ``rollout-effect``: what changed where the program began, against where it had not begun yet."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rewards.metrics.effect.evidence import LIMITS, TO_A, Limits, too_few
from rewards.metrics.effect.pretrends import sensitivity, trends_before
from rewards.metrics.effect.recorded import NO_DATABASE, read_homes
from rewards.metrics.effect.rollout_shown import Reading, by_event, by_m, by_unit, facts, how_sensitive
from rewards.metrics.effect.rollouts import Outcome, grid_of, panel_of, read_dates, unnamed, usable
from rewards.metrics.effect.shuffling import deals_of, shuffle
from rewards.metrics.effect.staggered import (
    Average,
    Cell,
    Panel,
    by_event_time,
    degrees_of,
    group_time,
    overall,
)
from rewards.metrics.intervals import student
from rewards.metrics.orders import day_number, day_of
from rewards.metrics.result import (
    Definition,
    Interval,
    Metric,
    Parameter,
    Result,
    Unit,
    nothing,
)

if TYPE_CHECKING:
    from rewards.metrics.source import Source

_UNITS: dict[Outcome, Unit] = {"share-buying": "points_pct", "purchases": "ratio", "revenue": "minor"}
#: A figure by time since the roll-out rests on so many roll-out units at least.
_LEAST_UNITS = 3
_NOWHERE = "Everywhere the program began at the same time, so that there is nowhere to compare with."
_UNTESTED = "changes before it began cannot be compared, since there are too few periods or places."


def compute(
    source: "Source",
    attribute: str = "store",
    rollouts: str = "",
    outcome: Outcome = "share-buying",
    period_days: int = 28,
    before: int = 6,
    anticipation: int = 1,
) -> Result:
    """Work the metric out; see :data:`METRICS`."""
    used = {
        "attribute": attribute,
        "rollouts": rollouts,
        "outcome": outcome,
        "period_days": period_days,
        "before": before,
        "anticipation": anticipation,
    }
    read = _read(source, attribute, rollouts, outcome, period_days, before, anticipation)
    if isinstance(read, str):
        return nothing(read, _UNITS[outcome], evidence="B", parameters=used)
    return result_of(read, outcome, anticipation, used)


def _read(
    source: "Source",
    attribute: str,
    rollouts: str,
    outcome: Outcome,
    period_days: int,
    before: int,
    anticipation: int,
) -> Reading | str:
    """Return the roll-out, or the reason why there is none to look at."""
    import numpy as np

    dates = read_dates(rollouts)
    began = [each for each in dates.values() if each is not None and each < source.until]
    if not began:
        return (
            "No roll-out is named. Say when the program began where, as in"
            f" rollouts=leeds=2026-03-02,york=2026-04-06,hull=never with the {attribute} of orders."
        )
    if source.conn is None:
        return NO_DATABASE
    orders = source.orders
    if not len(orders):
        return "There are no purchases yet."
    first = int(orders.day.min()) if source.history_start is None else day_number(source.history_start)
    grid = grid_of(began, first, source.until, period_days, before)
    if grid is None or grid.period_of(min(began)) <= anticipation:
        return (
            f"There is too little time around the first roll-out on {day_of(min(began))}: it takes a whole period of"
            f" {period_days} days since, and orders of {2 * (anticipation + 1)} periods before."
        )
    customers, homes = read_homes(source.conn, attribute, grid.start)
    if not homes:
        return f"No order before {day_of(grid.start)} has the attribute {attribute!r}."
    others = unnamed(dates, homes)
    names = [*dates, *others]
    place = {name: at for at, name in enumerate(names)}
    home = np.array([place[each] for each in homes], dtype=np.int64)
    began_on = [dates.get(name) for name in names]
    panel, kept = usable(panel_of(orders, grid, customers, home, began_on, outcome), names, anticipation)
    bought = usable(panel_of(orders, grid, customers, home, began_on, "purchases"), names, anticipation)[0]
    return Reading(panel, bought, kept, grid, others)


def result_of(
    read: Reading,
    outcome: Outcome,
    anticipation: int,
    used: dict[str, Any] | None = None,
    limits: Limits = LIMITS,
) -> Result:
    """Return the effect of a roll-out, or why there is none, with the grade that it deserves."""
    panel, unit = read.panel, _UNITS[outcome]
    reason = _refusal(read, limits)
    cells = group_time(panel, anticipation)
    whole = overall(panel, cells)
    if reason is None and whole is None:
        reason = _NOWHERE
    if reason is not None or whole is None:
        return nothing(reason or "", unit, evidence="B", parameters=used or {})
    events = _well_founded(panel, cells)
    is_shuffled = _rests_on_few(panel, limits)
    interval, notes = _interval(panel, whole, anticipation, is_shuffled)
    against, told = _against_trends(panel, events, anticipation, is_shuffled, limits)
    used = used or {}
    if against is not None:
        notes = [
            f"Downgraded from B to D: {against}",
            "What is shown is descriptive, not caused by the program.",
            *facts(read),
            TO_A,
        ]
        tables = [by_event(events, panel, unit, has_band=False), by_unit(read)]
        return Result(whole.estimate.value, unit, evidence="D", notes=notes, tables=tables, parameters=used)
    notes = [*notes, told]
    tables = [by_event(events, panel, unit, has_band=not is_shuffled), by_unit(read)]
    how = None if is_shuffled else sensitivity(whole, cells, events, panel.group, anticipation)
    if how is not None:
        notes.append(how_sensitive(how))
        tables.append(by_m(how, unit))
    notes += facts(read)
    return Result(
        whole.estimate.value,
        unit,
        interval=interval,
        evidence="B",
        notes=notes,
        tables=tables,
        parameters=used,
    )


def _refusal(read: Reading, limits: Limits) -> str | None:
    """Return why the units are too few or too small."""
    panel, bought = read.panel, read.bought.total
    began = panel.began
    if not began.any():
        return "No customers who bought before belong to where the program began."
    first = int(panel.group[began].min())
    later = panel.group > first
    if not later.any():
        return _NOWHERE
    sizes = (float(panel.size[began].sum()), float(panel.size[later].sum()))
    events = (float(bought[began, first:].sum()), float(bought[later, first:].sum()))
    return too_few(
        ("customers where it began", "customers where it began later or never"), sizes, events, limits
    )


def _rests_on_few(panel: Panel, limits: Limits) -> bool:
    """Whether the spread between units tells too little: few in all, or one alone began at some time."""
    import numpy as np

    alone = np.unique(panel.group[panel.began], return_counts=True)[1].min() < 2
    return bool(len(panel.group) < limits.least_clusters or alone)


def _well_founded(panel: Panel, cells: Sequence[Cell]) -> dict[int, Average]:
    """Return the figures by time since it began that rest on enough units."""
    import numpy as np

    count = {group: int((panel.group == group).sum()) for group in {cell.group for cell in cells}}
    events = by_event_time(panel, cells)
    units = {
        since: sum(count[cells[at].group] for at in np.flatnonzero(each.shares).tolist())
        for since, each in events.items()
    }
    least = min(_LEAST_UNITS, max(units.values()))
    return {since: each for since, each in events.items() if units[since] >= least}


def _interval(
    panel: Panel, whole: Average, anticipation: int, is_shuffled: bool
) -> tuple[Interval | None, list[str]]:
    units = f"{len(panel.group)} roll-out units"
    if not is_shuffled:
        degrees = float(degrees_of(whole.estimate.influence[None, :], panel.group)[0])
        return student(whole.estimate.value, whole.estimate.se, degrees), [
            f"The interval comes from how {units} differ, however many customers they have."
        ]
    dealt = shuffle(panel, anticipation)
    assert dealt is not None
    few = f"The {units} are too few for their spread to tell how far this may be off, so their dates were shuffled"
    if dealt.low is None or dealt.high is None:
        return None, [
            f"{few}; there are only {dealt.deals} ways to do so, too few for an interval: one needs 20 or more."
        ]
    share = f"{dealt.p_value:.1%}" if dealt.p_value >= 0.001 else "fewer than 0.1%"
    note = (
        f"{few}: in {share} of the ways to deal them the figure is at least as large. The interval holds for an"
        " effect that is the same everywhere."
    )
    return Interval(dealt.low, dealt.high), [note]


def _against_trends(
    panel: Panel, events: dict[int, Average], anticipation: int, is_shuffled: bool, limits: Limits
) -> tuple[str | None, str]:
    """Return what speaks against trends having been the same (None: nothing does), and what the test said."""
    if is_shuffled:
        before = shuffle(panel, anticipation, "before")
        if before is None or deals_of(panel) * limits.alpha < 1:
            return _UNTESTED, ""
        p_value = before.p_value
    else:
        test = trends_before(events, len(panel.group), anticipation)
        if test is None:
            return _UNTESTED, ""
        p_value = test.p_value
    if p_value < limits.alpha:
        return "before it began, customers there already changed differently from those elsewhere.", ""
    return None, (
        "Before it began, customers there and elsewhere changed alike as far as can be told"
        f" (test of trends: p = {p_value:.2f}), which is no proof that they would have since."
    )


METRICS = (
    Metric(
        Definition(
            "rollout-effect",
            "Effect of a roll-out",
            "Effect",
            "points_pct",
            "average over places of (change of their customers since it began − change of customers where it had not)",
            window="From six periods before the first roll-out to the last whole one; periods of 28 days unless said.",
            edges=(
                "Customers are counted where they last bought before the time compared, whatever they do later.",
                "A place where it began never serves as a comparison afterwards.",
                "The period before it began is not counted as before: people may have waited for it.",
                "Figures are per customer and period. Where trends before differed, it is description only (D).",
            ),
            source="Callaway & Sant'Anna (2021); Rambachan & Roth (2023)",
        ),
        compute,
        (
            Parameter(
                "attribute",
                "text",
                "store",
                "what orders say of where they were made: channel, or an attribute",
            ),
            Parameter(
                "rollouts", "text", "", "when it began where: leeds=2026-03-02,york=2026-04-06,hull=never"
            ),
            Parameter(
                "outcome",
                "choice",
                "share-buying",
                "the share who buy in a period, purchase days per customer, or revenue per customer",
                ("share-buying", "purchases", "revenue"),
            ),
            Parameter("period_days", "days", 28, "how long a period is", least=7, most=366),
            Parameter(
                "before",
                "days",
                6,
                "how many periods before the first roll-out are compared",
                least=3,
                most=52,
            ),
            Parameter(
                "anticipation",
                "days",
                1,
                "so many periods before it began people may have waited",
                least=1,
                most=12,
            ),
        ),
    ),
)
