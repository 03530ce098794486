"""What the shop owes in points: as of any instant, how it came about, what it is made of and how old it is."""

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rewards.metrics import liability_tables as shown
from rewards.metrics.ledger_reading.clocks import Clock, Spans, begins, month_of, months_since
from rewards.metrics.ledger_reading.flows import first_day, read_flows
from rewards.metrics.ledger_reading.open_points import read_holders, read_open_points
from rewards.metrics.ledger_reading.worth import Worth
from rewards.metrics.liability_tables import Owed
from rewards.metrics.result import BadParameter, Column, Definition, Metric, Parameter, Result, Table, nothing
from rewards.metrics.rolling import by_month, roll_forward
from rewards.metrics.windows import EARLIEST

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from rewards.metrics.source import Source
    from rewards.program.history import ProgramHistory

MONTHS = 24
#: Calendars end beyond this, and nobody's points last so long.
LATEST_YEAR = 2200


def read_liability(
    conn: "Connection",
    programs: "ProgramHistory",
    at: datetime,
    since: date,
    source: "Source",
    clock: Clock = "occurred",
) -> Owed:
    """Read what was owed just as ``at`` came, and how it came about since the beginning of ``since``.

    It takes two statements for the flows and at most four for each end, whatever the size of the shop.
    """
    last = (at - timedelta(microseconds=1)).astimezone(source.zone).date()
    months = months_since(first_day(source, clock=clock), last, MONTHS)
    spans = Spans(last, source.zone, months, since)
    starts_at = begins(since, source.zone)
    before, after = Worth(programs, starts_at), Worth(programs, at)
    opened = read_open_points(conn, starts_at, clock=clock, by_tier=before.differs_by_tier, by_age=False)
    closed = read_open_points(conn, at, clock=clock, by_tier=after.differs_by_tier, bounds=spans.bounds)
    flows = read_flows(source, at, clock=clock)
    return Owed(
        opened,
        closed,
        roll_forward(flows, since, opened, closed),
        by_month(flows, spans, closed),
        before.total(opened.by_tier()),
        after.total(closed.by_tier()),
        after,
    )


def compute(source: "Source", *, at: str | None, clock: Clock, **span: date | None) -> Result:
    """Return what is owed, in money; see the module's definition."""
    if source.conn is None or source.programs is None:
        return nothing("The ledger is not at hand: ask for this on the shop's database.", "minor")
    instant = _instant(at, source)
    last = (instant - timedelta(microseconds=1)).astimezone(source.zone).date()
    first = span.get("from") or month_of(last)
    if first < EARLIEST:
        raise BadParameter(f"from must be {EARLIEST} or later")
    if first > last:
        raise BadParameter(f"from must not be later than {last.isoformat()}, the day that figures are as of")
    owed = read_liability(source.conn, source.programs, instant, first, source, clock)
    parameters = {"from": first.isoformat(), "at": instant.isoformat(), "clock": clock}
    return Result(
        owed.closing_minor,
        "minor",
        numerator=owed.closed.outstanding,
        denominator=None,
        notes=_notes(owed, source, instant),
        tables=(
            shown.roll_table(owed, first, last),
            shown.made_of(owed),
            shown.ages(owed),
            shown.lives(owed),
            shown.over_time(owed),
            shown.months(owed),
        ),
        parameters=parameters,
    )


def _instant(at: str | None, source: "Source") -> datetime:
    if at is None:
        return source.ends_at
    try:
        instant = datetime.fromisoformat(at)
        # Without an offset it is on the shop's clocks; databases know no offsets as large as some that can be written.
        instant = instant if instant.tzinfo is not None else instant.replace(tzinfo=source.zone)
        instant = instant.astimezone(source.zone)
    except (ValueError, OverflowError):
        raise BadParameter("at must be an instant such as 2026-11-01T12:00:00Z") from None
    if not EARLIEST.year < instant.year <= LATEST_YEAR:
        raise BadParameter(f"at must be an instant after {EARLIEST.year}, and no later than {LATEST_YEAR}")
    return instant


def _notes(owed: Owed, source: "Source", at: datetime) -> list[str]:
    notes = [f"These are {owed.closed.outstanding:,} points that customers may still spend."]
    if owed.worth.currency != source.currency:
        notes.append(
            f"The program was in {owed.worth.currency} then; the money here is in that, not in {source.currency}."
        )
    is_to_come = source.now is not None and at > source.now
    unbooked = 0 if is_to_come else sum(owed.closed.due.values())
    if unbooked:
        notes.append(
            f"{unbooked:,} points have expired that no job has booked yet; they count as expired. "
            "Is the scheduler running?"
        )
    if owed.closed.owed:
        notes.append(
            f"Customers owe {owed.closed.owed:,} points after refunds of points that they had spent. They are not "
            "taken off the liability, as nobody has to pay them back; the roll-forward is net of them."
        )
    if is_to_come:
        notes.append("That instant is still to come: this is what will be if nothing happens until then.")
    return notes


def holders(source: "Source", *, at: str | None, clock: Clock, **span: date | None) -> Table:
    """Return who holds the liability: every customer with points, or who owes some, most points first."""
    del span  # who has what at the end does not depend on where the roll-forward begins
    columns = (
        Column("customer_id", "Customer", "text"),
        Column("tier", "Tier", "text"),
        Column("available", "Available", "points"),
        Column("pending", "Pending", "points"),
        Column("held", "On hold", "points"),
        Column("owed", "Owed", "points"),
        Column("value_minor", "Worth", "minor"),
        Column("oldest", "Oldest awarded on", "date"),
    )
    rows: list[tuple[Any, ...]] = []
    if source.conn is not None and source.programs is not None:
        instant = _instant(at, source)
        worth = Worth(source.programs, instant)
        rows = [
            (
                each.customer_id,
                each.tier,
                each.available,
                each.pending,
                each.held,
                each.owed,
                worth.value(each.points, each.tier),
                None if each.oldest is None else each.oldest.astimezone(source.zone).date().isoformat(),
            )
            for each in read_holders(source.conn, instant, clock=clock)
        ]
    return Table("holders", "Who holds the points", columns, rows)


DEFINITION = Definition(
    name="liability",
    title="Points liability",
    family="Program",
    unit="minor",
    formula="available + pending + held points × what a point is worth",
    numerator="points that customers may still spend",
    window="As of the end of a day, or of any instant with at=…; the roll-forward begins with from=….",
    edges=(
        "At past, present and future instants; what had expired by then counts as expired, booked or not.",
        "By when things occurred: a late purchase counts from when it was made. clock=recorded is what the books said.",
        "Opening + issued − taken back − redeemed + reinstated − expired ± adjusted = closing, to the point.",
        "Points on hold are still the customer's, and so part of it.",
        "A point is worth what it takes off an order under the version then in force, more where a tier says so.",
        "It is not lowered by breakage, which is an estimate and told apart.",
        "When points of the past expire is told as things stand today, where inactivity ends them.",
        "Test and staff accounts are left out.",
    ),
)

METRICS = (
    Metric(
        DEFINITION,
        compute,
        (
            Parameter("from", "date", None, "first day of the roll-forward; else the first of the month"),
            Parameter(
                "at", "text", None, "an instant such as 2026-11-01T12:00:00Z, instead of the end of as_of"
            ),
            Parameter(
                "clock",
                "choice",
                "occurred",
                "by when things occurred, or by when they were recorded",
                ("occurred", "recorded"),
            ),
        ),
        rows=holders,
        on_dashboard=True,
    ),
)
