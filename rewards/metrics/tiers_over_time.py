"""Tiers over time: how many customers were in each at the end of each month, and who moved between them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from rewards.metrics.ledger_reading.clocks import Spans, months_since
from rewards.metrics.ledger_reading.moves import Step, first_move, read_members, read_steps
from rewards.metrics.result import Column, Definition, Metric, Parameter, Result, Table, nothing

if TYPE_CHECKING:
    from rewards.metrics.source import Source

MOST_MONTHS = 120


def at_ends(steps: Sequence[Step], spans: Spans) -> dict[date, dict[str, int]]:
    """Return how many customers were in each tier at the end of each month of ``spans``."""
    changes: dict[date | None, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for step in steps:
        month = spans.month(step.bucket)
        if step.to_tier is not None:
            changes[month][step.to_tier] += step.customers
        if step.from_tier is not None:
            changes[month][step.from_tier] -= step.customers
    there: dict[str, int] = defaultdict(int, changes.get(None, {}))
    found = {}
    for month in spans.months:
        for tier, change in changes.get(month, {}).items():
            there[tier] += change
        found[month] = dict(there)
    return found


def compute(source: "Source", *, months: float) -> Result:
    """Return how many customers are in a tier; see the module's definition."""
    if source.conn is None or source.programs is None:
        return nothing("The ledger is not at hand: ask for this on the shop's database.", "count")
    parameters = {"months": int(months)}
    places = _places(source)
    first = first_move(source.conn, source.zone)
    if not places and first is None:
        return nothing("The program has no ladder of tiers.", "count", parameters=parameters)
    spans = Spans(source.as_of, source.zone, months_since(first, source.as_of, int(months)))
    steps = read_steps(source.conn, source.ends_at, spans.bounds)
    ends = at_ends(steps, spans)
    last = ends[spans.months[-1]]
    tiers = sorted(
        {tier for each in ends.values() for tier in each} | set(places), key=lambda t: places.get(t, -1)
    )
    return Result(
        sum(last.values()),
        "count",
        tables=(
            _now(last, tiers, places, source),
            _over_time(ends, tiers, source),
            _moves(steps, spans, places),
        ),
        parameters=parameters,
    )


def _places(source: "Source") -> dict[str, int]:
    """Return the place of each tier of the ladder in force at the end, the lowest first."""
    assert source.programs is not None
    ladder = source.programs.in_force(source.ends_at).document.ladder
    return {} if ladder is None else {tier.id: place for place, tier in enumerate(ladder.tiers)}


def _name(source: "Source", tier: str) -> str:
    assert source.programs is not None
    for version in reversed(source.programs.in_order):
        found = None if version.document.ladder is None else version.document.ladder.tier(tier)
        if found is not None:
            return found.name
    return tier


def _now(last: Mapping[str, int], tiers: Sequence[str], places: Mapping[str, int], source: "Source") -> Table:
    total = sum(last.values())
    columns = (
        Column("tier", "Tier", "text"),
        Column("customers", "Customers", "count"),
        Column("share", "Share", "share"),
    )
    rows = [
        (_name(source, tier), last.get(tier, 0), last.get(tier, 0) / total if total else None)
        for tier in tiers
        if tier in places or last.get(tier, 0)
    ]
    return Table(
        "now", f"Customers in each tier at the end of {source.as_of.isoformat()}", columns, rows, chart="bars"
    )


def _over_time(ends: Mapping[date, Mapping[str, int]], tiers: Sequence[str], source: "Source") -> Table:
    columns = (
        Column("month", "Month", "month"),
        *(Column(tier, _name(source, tier), "count") for tier in tiers),
    )
    rows = [(month.strftime("%Y-%m"), *(each.get(tier, 0) for tier in tiers)) for month, each in ends.items()]
    return Table("over-time", "Customers in each tier at the end of each month", columns, rows, chart="line")


def _moves(steps: Sequence[Step], spans: Spans, places: Mapping[str, int]) -> Table:
    """Return how many moves went up, down, and for the first time into a tier, each month."""
    counts: dict[date, dict[str, int]] = {month: defaultdict(int) for month in spans.months}
    for step in steps:
        month = spans.month(step.bucket)
        if month is None:
            continue
        if step.from_tier is None:
            kind = "joined"
        elif step.to_tier is None:
            kind = "left"
        else:
            is_up = places.get(step.to_tier, -1) > places.get(step.from_tier, -1)
            kind = "up" if is_up else "down"
        counts[month][kind] += step.customers
    columns = (
        Column("month", "Month", "month"),
        Column("joined", "Came into a tier", "count"),
        Column("up", "Went up", "count"),
        Column("down", "Went down", "count"),
        Column("left", "Left all tiers", "count"),
    )
    rows: list[tuple[Any, ...]] = [
        (month.strftime("%Y-%m"), *(each[kind] for kind in ("joined", "up", "down", "left")))
        for month, each in counts.items()
    ]
    return Table("moves", "Moves each month", columns, rows)


def members(source: "Source", *, months: float) -> Table:
    """Return who is in which tier at the end of ``as_of``, and since when."""
    del months
    columns = (
        Column("customer_id", "Customer", "text"),
        Column("tier", "Tier", "text"),
        Column("since", "Since", "date"),
    )
    rows: list[tuple[Any, ...]] = []
    if source.conn is not None:
        rows = [
            (each.customer_id, each.tier, each.since.astimezone(source.zone).date().isoformat())
            for each in read_members(source.conn, source.ends_at)
        ]
    return Table("members", "Who is in which tier", columns, rows)


DEFINITION = Definition(
    name="tiers",
    title="Tiers over time",
    family="Program",
    unit="count",
    formula="customers in a tier at the end of as_of",
    window="At the end of as_of and of each month before it.",
    edges=(
        "From the moves that were booked, by when they took effect; one that corrects an earlier one replaces it.",
        "Up and down are told by the ladder in force at as_of.",
        "Customers who are held out of the program are counted where everybody begins, though they have nothing of it.",
        "Test and staff accounts are left out.",
    ),
)

METRICS = (
    Metric(
        DEFINITION,
        compute,
        (Parameter("months", "number", 24, "how many months are shown", least=1, most=MOST_MONTHS),),
        rows=members,
        on_dashboard=True,
    ),
)
