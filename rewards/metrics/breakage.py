"""Breakage: the share of points that will never be redeemed; how, is told in :mod:`rewards.metrics.point_ladder`."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from rewards.metrics.ledger_reading.clocks import Spans, begins, kept, month_of, months_since
from rewards.metrics.ledger_reading.fates import EXPIRED, REDEEMED, TAKEN, Fates, read_fates
from rewards.metrics.ledger_reading.flows import first_day
from rewards.metrics.point_ladder import Ladder, climb, expected, open_by_age, spread
from rewards.metrics.result import Column, Definition, Interval, Metric, Parameter, Result, Table, nothing

if TYPE_CHECKING:
    from rewards.metrics.source import Source

MOST_MONTHS = 60
LEAST_MONTHS = 3
#: With a smaller share of points still open there is nothing to guess.
SEEN_TO_THE_END = 0.005


class Read(NamedTuple):
    """What is known for the estimate: the months of award, their points' fates, and the days that they cover."""

    months: Sequence[date]
    fates: Fates
    ladder: Ladder


def read(source: "Source", months: int) -> Read | None:
    """Read the fates of points of the last ``months`` whole months; None where there are none."""
    assert source.conn is not None
    day_after = source.as_of + timedelta(days=1)
    last = source.as_of if day_after.day == 1 else month_of(source.as_of) - timedelta(days=1)
    first = first_day(source)
    if first is None or first > last:
        return None
    spans = Spans(last, source.zone, months_since(first, last, months))
    ends_at = begins(last + timedelta(days=1), source.zone)
    conn = source.conn
    fates = kept(source, ("fates", ends_at, months), lambda: read_fates(conn, ends_at, spans.bounds[:-1]))
    return Read(spans.months, fates, climb(fates.issued.sum(axis=1), fates.gone.sum(axis=1)))


def compute(source: "Source", *, months: int) -> Result:
    """Return the share of points that is never redeemed; see the module's definition."""
    if source.conn is None:
        return nothing("The ledger is not at hand: ask for this on the shop's database.", "share")
    parameters = {"months": int(months)}
    found = read(source, int(months))
    if found is None or not found.fates.issued.any():
        return nothing("No points were awarded in any month that has ended.", "share", parameters=parameters)
    if len(found.months) < LEAST_MONTHS:
        return nothing(
            f"Points have been followed for {len(found.months)} whole months; it takes at least {LEAST_MONTHS}.",
            "share",
            parameters=parameters,
        )
    estimate = spread(found.fates)
    if estimate is None:
        return nothing(
            "No points have been redeemed or have expired so far, so nothing tells what becomes of them.",
            "share",
            parameters=parameters,
        )
    return Result(
        estimate.value,
        "share",
        interval=Interval(min(estimate.low, estimate.value), max(estimate.high, estimate.value)),
        evidence="estimated",
        notes=_notes(found),
        tables=(_curve(found.ladder), _expected(found), _by_month(found)),
        parameters=parameters,
    )


def _notes(found: Read) -> list[str]:
    ladder = found.ladder
    unseen = float(ladder.open[-1])
    if unseen >= SEEN_TO_THE_END:
        still = f"{unseen:.0%} of points are still open at the oldest age that was seen"
        notes = [
            f"{still}. The range runs from all of these being redeemed to none, widened by what chance may do."
        ]
    else:
        notes = ["Points were followed to their end; the range is what chance may do."]
    if ladder.expired[-1] <= 0:
        notes.append(
            "No point has expired yet, so the estimate is 0 % for now; mind the upper end of the range."
        )
    return notes


def _curve(ladder: Ladder) -> Table:
    columns = (
        Column("age", "Months since award", "count"),
        Column("redeemed", "Redeemed", "share"),
        Column("expired", "Expired", "share"),
        Column("taken_back", "Taken back", "share"),
        Column("open", "Still open", "share"),
    )
    rows = [
        (age, *(round(float(value), 6) for value in values))
        for age, values in enumerate(
            zip(ladder.redeemed, ladder.expired, ladder.taken, ladder.open, strict=True)
        )
    ]
    return Table(
        "curve", "What becomes of a point by the end of each month of its life", columns, rows, chart="line"
    )


def _expected(found: Read) -> Table:
    value, low, high = (round(each) for each in expected(found.fates))
    left = int(open_by_age(found.fates).sum())
    columns = (
        Column("what", "Of the points in lots at the end of the last whole month", "text"),
        Column("points", "Points", "points"),
        Column("low", "At least", "points"),
        Column("high", "At most", "points"),
    )
    rows = [
        ("All", left, left, left),
        ("Will be redeemed", value, low, high),
        ("Will not be", left - value, left - high, left - low),
    ]
    return Table("expected", "What is expected of the points that are open", columns, rows)


def _by_month(found: Read) -> Table:
    columns = (
        Column("month", "Awarded in", "month"),
        Column("issued", "Points", "points"),
        Column("taken_back", "Taken back", "share"),
        Column("redeemed", "Redeemed", "share"),
        Column("expired", "Expired", "share"),
        Column("open", "Still open", "share"),
    )
    rows: list[tuple[Any, ...]] = []
    fates = found.fates.gone.sum(axis=(1, 2))
    for month, issued, gone in zip(found.months, found.fates.issued.sum(axis=1), fates, strict=True):
        if issued:
            shares = [float(gone[fate] / issued) for fate in (TAKEN, REDEEMED, EXPIRED)]
            rows.append(
                (month.strftime("%Y-%m"), int(issued), *shares, float((issued - gone.sum()) / issued))
            )
    return Table("by-month", "What became of the points of each month of award so far", columns, rows)


DEFINITION = Definition(
    name="breakage",
    title="Breakage",
    family="Program",
    unit="share",
    formula="chained over ages: expired ÷ (expired + redeemed) of the points that no refund takes back",
    window="All whole months since the first award, at most the number asked for.",
    edges=(
        "An estimate: later points are taken to fare as earlier ones did at the same age.",
        "The range says more than the value where points are older than any that could be followed to their end.",
        "Points on hold are open. Points that refunds take back count to neither side.",
        "Redemptions that were cancelled put their points back to where they were.",
        "Test and staff accounts are left out.",
    ),
    source="Chain ladder on points; Aalen and Johansen (1978); delete-a-group jackknife, Kott (2001)",
)

METRICS = (
    Metric(
        DEFINITION,
        compute,
        (
            Parameter(
                "months",
                "days",
                36,
                "how many months of award are followed",
                least=LEAST_MONTHS,
                most=MOST_MONTHS,
            ),
        ),
        on_dashboard=True,
    ),
)
