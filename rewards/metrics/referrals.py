"""Referral revenue: what customers who were brought by others have paid. Gross: some would have come anyway."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from rewards.metrics.ledger_reading.clocks import Spans, months_since, period_of
from rewards.metrics.ledger_reading.referred import (
    COUNTS,
    REASONS,
    Referred,
    Revenue,
    read_referred,
    read_revenue,
)
from rewards.metrics.result import Column, Definition, Metric, Parameter, Result, Table, nothing
from rewards.metrics.windows import Kind, window_parameters

if TYPE_CHECKING:
    from rewards.metrics.source import Source

MONTHS = 24
SHOWN = 20
ATTRIBUTED = ("365-days", "first-order")


class Branch(NamedTuple):
    """What somebody brought: directly, and with all whom those brought in turn."""

    referrer: str
    brought: int
    minor: int
    below: int
    below_minor: int


def tree(referrals: Iterable[Referred]) -> list[Branch]:
    """Return what each referrer brought, by all below and their revenue: the most first.

    Only referrals that count are branches. Each person is below a referrer once; whoever is below themselves, which
    odd data may say, is not counted to themselves.
    """
    brought: dict[str, list[Referred]] = defaultdict(list)
    for each in referrals:
        if each.why == COUNTS:
            brought[each.referrer].append(each)
    branches = []
    for referrer, mine in brought.items():
        below, seen, waiting = 0, {referrer}, list(mine)
        below_minor = 0
        while waiting:
            each = waiting.pop()
            if each.person in seen:
                continue
            seen.add(each.person)
            below += 1
            below_minor += each.minor
            waiting += brought.get(each.person, ())
        branches.append(Branch(referrer, len(mine), sum(each.minor for each in mine), below, below_minor))
    return sorted(branches, key=lambda each: (-each.below_minor, -each.below, each.referrer))


def compute(source: "Source", *, window: Kind, days: int, attributed: str, **span: date | None) -> Result:
    """Return what referred customers paid; see the module's definition."""
    if source.conn is None:
        return nothing("Referrals are not at hand: ask for this on the shop's database.", "minor")
    period = period_of(source, window, days, span)
    parameters = {**period.parameters(), "attributed": attributed}
    first_only = attributed == "first-order"
    referrals = read_referred(source.conn, period.starts_at, period.ends_at, first_only=first_only)
    if not referrals:
        reason = f"No customer was referred by another by {period.last.isoformat()}."
        return nothing(reason, "minor", parameters=parameters)
    counted = [each for each in referrals if each.why == COUNTS]
    first = min(each.attributed_at for each in referrals).astimezone(source.zone).date()
    spans = Spans(period.last, source.zone, months_since(max(first, period.first), period.last, MONTHS))
    revenue = read_revenue(source.conn, period.starts_at, period.ends_at, spans.bounds, first_only=first_only)
    return Result(
        sum(each.minor for each in counted),
        "minor",
        notes=_notes(counted),
        tables=(_summary(counted), _why(referrals), _months(revenue, spans), _trees(tree(referrals))),
        parameters=parameters,
    )


def _notes(counted: Sequence[Referred]) -> list[str]:
    notes = [
        "This is gross revenue, not what referrals have added: some of these customers would have come by themselves."
    ]
    refunded = sum(each.refunded_minor for each in counted)
    if refunded:
        notes.append("Parts of it were refunded since; the summary says how much.")
    return notes


def _summary(counted: Sequence[Referred]) -> Table:
    buyers = [each for each in counted if each.orders]
    columns = (
        Column("customers", "Referred customers who bought", "count"),
        Column("orders", "Orders", "count"),
        Column("minor", "Revenue", "minor"),
        Column("refunded_minor", "Refunded of it since", "minor"),
        Column("per_customer_minor", "Revenue per customer", "minor"),
    )
    total = sum(each.minor for each in buyers)
    row = (
        len(buyers),
        sum(each.orders for each in buyers),
        total,
        sum(each.refunded_minor for each in buyers),
        round(total / len(buyers)) if buyers else None,
    )
    return Table("summary", "What referred customers paid in this time", columns, [row])


def _why(referrals: Sequence[Referred]) -> Table:
    counts: dict[str, int] = defaultdict(int)
    for each in referrals:
        counts[each.why] += 1
    columns = (Column("why", "Referrals", "text"), Column("referrals", "How many", "count"))
    rows = [("Count", counts[COUNTS])]
    rows += [(words, counts[why]) for why, words in REASONS.items() if counts[why]]
    return Table("referrals", "Which referrals count, and why others do not", columns, rows)


def _months(revenue: Sequence[Revenue], spans: Spans) -> Table:
    minor: dict[date, int] = dict.fromkeys(spans.months, 0)
    orders: dict[date, int] = dict.fromkeys(spans.months, 0)
    for each in revenue:
        month = spans.month(each.bucket)
        if month is not None:
            minor[month] += each.minor
            orders[month] += each.orders
    columns = (
        Column("month", "Month", "month"),
        Column("minor", "Revenue", "minor"),
        Column("orders", "Orders", "count"),
    )
    rows = [(month.strftime("%Y-%m"), minor[month], orders[month]) for month in spans.months]
    return Table("by-month", "Revenue of referred customers each month", columns, rows, chart="bars")


_TREE = (
    Column("customer_id", "Customer", "text"),
    Column("brought", "Brought", "count"),
    Column("minor", "Their revenue", "minor"),
    Column("below", "With those whom these brought", "count"),
    Column("below_minor", "Revenue of all of these", "minor"),
)


def _trees(branches: Sequence[Branch]) -> Table:
    rows = [tuple(each) for each in branches[:SHOWN]]
    return Table("tree", f"Who brought most, the first {SHOWN}", _TREE, rows)


def trees(source: "Source", *, window: Kind, days: int, attributed: str, **span: date | None) -> Table:
    """Return what every referrer brought."""
    rows: list[tuple[Any, ...]] = []
    if source.conn is not None:
        period = period_of(source, window, days, span)
        first_only = attributed == "first-order"
        referrals = read_referred(source.conn, period.starts_at, period.ends_at, first_only=first_only)
        rows = [tuple(each) for each in tree(referrals)]
    return Table("tree", "Who brought whom, and what that came to", _TREE, rows)


DEFINITION = Definition(
    name="referral-revenue",
    title="Referral revenue",
    family="Program",
    unit="minor",
    formula="Σ of what referred customers paid, in the orders that are attributed to their referral",
    window="Orders of 365 days, or what is asked for; attributed are those within 365 days of the referral.",
    edges=(
        "Gross, not incremental: it does not say what would have been bought without the referral.",
        "attributed=first-order takes each referred customer's first order alone.",
        "Out are people who referred themselves, who had bought before, whose first order was refunded whole.",
        "Out are referrals that were rejected, undone or expired, or that wait for somebody's judgement.",
        "One referrer for each person: the earliest that counts; merged identities are one person.",
        "By what is known of each referral today. Amounts are before refunds; test and staff accounts are left out.",
    ),
)

METRICS = (
    Metric(
        DEFINITION,
        compute,
        (
            *window_parameters(365),
            Parameter(
                "attributed",
                "choice",
                "365-days",
                "which orders are a referral's: those of 365 days, or the first alone",
                ATTRIBUTED,
            ),
        ),
        rows=trees,
        on_dashboard=True,
    ),
)
