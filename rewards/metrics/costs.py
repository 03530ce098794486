"""What rewards cost: the worth of the points that were redeemed, and what the points issued may still come to."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from rewards.metrics.ledger_reading.clocks import Period, Spans, months_since, period_of
from rewards.metrics.ledger_reading.flows import Flow, Redeemed, first_day, read_flows, read_redeemed
from rewards.metrics.ledger_reading.worth import Worth
from rewards.metrics.orders import day_number
from rewards.metrics.result import Column, Definition, Metric, Parameter, Result, Table, nothing
from rewards.metrics.windows import Kind, window_parameters

if TYPE_CHECKING:
    from rewards.metrics.source import Source

MONTHS = 24


class Spent(NamedTuple):
    """What redemptions of a time come to, net of what came back in it."""

    redemptions: int
    points: int
    value_minor: int


def spent(rows: Sequence[Redeemed]) -> Spent:
    """Return what these redemptions come to, less what came back."""
    return Spent(
        sum(each.redemptions for each in rows),
        sum(each.points - each.returned_points for each in rows),
        sum(each.value_minor - each.returned_minor for each in rows),
    )


class Costs(NamedTuple):
    """What was redeemed, by span, and what came and went in the period."""

    redeemed: Sequence[Redeemed]
    flows: Sequence[Flow]
    elsewhere: int
    spans: Spans
    period: Period

    @property
    def lately(self) -> Spent:
        """What was redeemed in the period."""
        return spent([each for each in self.redeemed if self.spans.is_since(each.bucket, self.period.first)])

    def issued(self) -> dict[str, int]:
        """Return the points awarded in the period, by what they were given for."""
        points: dict[str, int] = defaultdict(int)
        for flow in self.flows:
            if flow.kind == "award":
                points[flow.source] += flow.points
        return dict(sorted(points.items(), key=lambda each: -each[1]))


def read_costs(source: "Source", period: Period) -> Costs:
    """Read what was redeemed and issued up to the end of a period, told apart by its beginning."""
    assert source.conn is not None
    months = months_since(first_day(source), period.last, MONTHS)
    spans = Spans(period.last, source.zone, months, period.first)
    redeemed, elsewhere = read_redeemed(source.conn, period.ends_at, spans.bounds, source.currency)
    flows = [flow for flow in read_flows(source) if period.first <= flow.day <= period.last]
    return Costs(redeemed, flows, elsewhere, spans, period)


def compute(source: "Source", *, window: Kind, days: int, cost_share: float, **span: date | None) -> Result:
    """Return what redeemed rewards cost, in money; see the module's definition."""
    if source.conn is None or source.programs is None:
        return nothing("The ledger is not at hand: ask for this on the shop's database.", "minor")
    period = period_of(source, window, days, span)
    costs = read_costs(source, period)
    lately = costs.lately
    revenue = revenue_of(source, period)
    notes = []
    if costs.elsewhere:
        notes.append(f"{costs.elsewhere:,} redemptions in other currencies are left out.")
    if revenue <= 0:
        notes.append("There were no purchases in these days, so there is no share of revenue to tell.")
    return Result(
        round(lately.value_minor * cost_share),
        "minor",
        notes=notes,
        tables=(
            _summary(lately, revenue, cost_share),
            _given_for(costs, Worth(source.programs, period.ends_at)),
            _months(costs, cost_share),
        ),
        parameters={**period.parameters(), "cost_share": cost_share},
    )


def revenue_of(source: "Source", period: Period) -> int:
    """Return what purchases of a period came to, less what of them was refunded until now, in minor units."""
    orders = source.orders
    bought = (orders.day >= day_number(period.first)) & (orders.day <= day_number(period.last))
    return int((orders.amount - orders.refunded)[bought].sum())


def _summary(lately: Spent, revenue: int, cost_share: float) -> Table:
    cost = round(lately.value_minor * cost_share)
    columns = (
        Column("redemptions", "Redemptions", "count"),
        Column("points", "Points, net", "points"),
        Column("value_minor", "Face value", "minor"),
        Column("cost_minor", "Cost", "minor"),
        Column("revenue_minor", "Revenue, net of refunds", "minor"),
        Column("share", "Cost of revenue", "share"),
    )
    share = cost / revenue if revenue > 0 else None
    return Table("summary", "Rewards beside revenue", columns, [(*lately, cost, revenue, share)])


_GIVEN_FOR = {
    "purchase": "purchases",
    "survey": "surveys",
    "review": "reviews",
    "signup": "joining",
    "referral": "bringing a friend",
    "referred": "being brought by a friend",
    "birthday": "birthdays",
    "anniversary": "anniversaries",
    "tier": "reaching a tier",
    "custom": "custom activities",
}


def _given_for(costs: Costs, worth: Worth) -> Table:
    columns = (
        Column("source", "Given for", "text"),
        Column("points", "Points issued", "points"),
        Column("value_minor", "Worth, if all were redeemed", "minor"),
    )
    issued = costs.issued()
    rows = [(_GIVEN_FOR.get(name, name), points, worth.value(points)) for name, points in issued.items()]
    return Table("issued", "What points were issued for", columns, rows, chart="bars")


def _months(costs: Costs, cost_share: float) -> Table:
    by_month: dict[date, list[Redeemed]] = {month: [] for month in costs.spans.months}
    for each in costs.redeemed:
        month = costs.spans.month(each.bucket)
        if month is not None:
            by_month[month].append(each)
    columns = (
        Column("month", "Month", "month"),
        Column("cost_minor", "Cost of rewards", "minor"),
        Column("redemptions", "Redemptions", "count"),
        Column("points", "Points, net", "points"),
    )
    rows: list[tuple[Any, ...]] = []
    for month, those in by_month.items():
        come_to = spent(those)
        rows.append(
            (
                month.strftime("%Y-%m"),
                round(come_to.value_minor * cost_share),
                come_to.redemptions,
                come_to.points,
            )
        )
    return Table("by-month", "Cost of rewards each month", columns, rows, chart="bars")


DEFINITION = Definition(
    name="reward-cost",
    title="Cost of rewards",
    family="Program",
    unit="minor",
    formula="worth of the points redeemed, less of those that came back, × cost_share",
    window="365 days, or what is asked for; by when points were redeemed and came back.",
    edges=(
        "What points were worth when they were redeemed, in the tier that the customer was in.",
        "cost_share says what a reward costs of its face value: 1 is all of it.",
        "Points that are still open cost nothing yet: see the liability, and breakage for how many ever will.",
        "Redemptions in other currencies, and test and staff accounts, are left out.",
    ),
)

METRICS = (
    Metric(
        DEFINITION,
        compute,
        (
            *window_parameters(365),
            Parameter(
                "cost_share", "number", 1.0, "what a reward costs of its face value, 0 to 1", least=0, most=1
            ),
        ),
        on_dashboard=True,
    ),
)
