"""Redemption rate: how much of what is issued is redeemed, and by how many of those who could."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from rewards.metrics.intervals import wilson
from rewards.metrics.ledger_reading.clocks import Period, Spans, months_since, period_of
from rewards.metrics.ledger_reading.flows import Active, Flow, first_day, read_active, read_flows
from rewards.metrics.result import Column, Definition, Metric, Parameter, Result, Table, nothing
from rewards.metrics.windows import Kind, window_parameters

if TYPE_CHECKING:
    from rewards.metrics.source import Source

MONTHS = 24


class Turnover(NamedTuple):
    """Points of a time: issued and not taken back by refunds, and redeemed and not come back."""

    issued: int
    redeemed: int

    @property
    def rate(self) -> float | None:
        """Redeemed of issued; None where nothing was issued."""
        return self.redeemed / self.issued if self.issued > 0 else None


def turnover(points: Mapping[str, int]) -> Turnover:
    """Return what was turned over, given signed points by kind of entry."""
    issued = points.get("award", 0) + points.get("clawback", 0)
    return Turnover(issued, -(points.get("redeem", 0) + points.get("reinstate", 0)))


def compute(source: "Source", *, window: Kind, days: int, of: str, **span: date | None) -> Result:
    """Return the share of issued points that are redeemed, or of customers who redeem; see the definition."""
    if source.conn is None:
        return nothing("The ledger is not at hand: ask for this on the shop's database.", "share")
    period = period_of(source, window, days, span)
    spans = Spans(period.last, source.zone, months_since(first_day(source), period.last, MONTHS))
    flows = [flow for flow in read_flows(source) if flow.day <= period.last]
    active = read_active(source.conn, period.starts_at, period.ends_at)
    lately, ever = _sum(flows, period.first), _sum(flows, None)
    tables = (_three(lately, ever, active, period), _months(flows, spans))
    parameters = {**period.parameters(), "of": of}
    if of == "customers":
        if not active.active:
            reason = f"Nobody earned or redeemed points from {period}."
            return nothing(reason, "share", tables=tables, parameters=parameters)
        return Result(
            active.redeemed / active.active,
            "share",
            active.redeemed,
            active.active,
            wilson(active.redeemed, active.active),
            tables=tables,
            parameters=parameters,
        )
    rate = lately.rate
    if rate is None:
        reason = f"No points were issued, net of refunds, from {period}."
        return nothing(reason, "share", tables=tables, parameters=parameters)
    notes = []
    if rate > 1:
        notes.append("More was redeemed than issued: points of an earlier time are being spent.")
    return Result(
        rate, "share", lately.redeemed, lately.issued, notes=notes, tables=tables, parameters=parameters
    )


def _sum(flows: Sequence[Flow], since: date | None) -> Turnover:
    points: dict[str, int] = defaultdict(int)
    for flow in flows:
        if since is None or flow.day >= since:
            points[flow.kind] += flow.points
    return turnover(points)


def _three(lately: Turnover, ever: Turnover, active: Active, period: Period) -> Table:
    columns = (
        Column("what", "Rate", "text"),
        Column("numerator", "Redeemed", "count"),
        Column("denominator", "Of", "count"),
        Column("rate", "Share", "share"),
        Column("low", "Low", "share"),
        Column("high", "High", "share"),
    )
    interval = wilson(active.redeemed, active.active)
    share = None if interval is None else active.redeemed / active.active
    ends = (None, None) if interval is None else (interval.low, interval.high)
    rows: list[tuple[Any, ...]] = [
        (f"Points, {period}", lately.redeemed, lately.issued, lately.rate, None, None),
        ("Points, since the first award", ever.redeemed, ever.issued, ever.rate, None, None),
        (f"Customers, {period}", active.redeemed, active.active, share, *ends),
    ]
    return Table("rates", "By points and by customers", columns, rows)


def _months(flows: Sequence[Flow], spans: Spans) -> Table:
    points: dict[date, dict[str, int]] = {month: defaultdict(int) for month in spans.months}
    for flow in flows:
        month = spans.month_at(flow.day)
        if month is not None:
            points[month][flow.kind] += flow.points
    columns = (
        Column("month", "Month", "month"),
        Column("issued", "Issued, net of refunds", "points"),
        Column("redeemed", "Redeemed, net", "points"),
    )
    rows = [(month.strftime("%Y-%m"), *turnover(each)) for month, each in points.items()]
    return Table("by-month", "Points issued and redeemed each month", columns, rows, chart="line")


DEFINITION = Definition(
    name="redemption-rate",
    title="Redemption rate",
    family="Program",
    unit="share",
    formula="points redeemed ÷ points issued, in the same days",
    numerator="points redeemed, less those that came back",
    denominator="points issued, less those that refunds took back",
    window="365 days, or what is asked for. With of=customers: who redeemed ÷ who earned or redeemed in it.",
    edges=(
        "What is redeemed was issued earlier as a rule: in a growing shop the rate lags, and it can exceed 100 %.",
        "Breakage says what becomes of the points of each month in the end.",
        "Points that a hold sets aside are redeemed when it is captured.",
        "Points adjusted by hand are not issued ones. Test and staff accounts are left out.",
    ),
)

METRICS = (
    Metric(
        DEFINITION,
        compute,
        (
            *window_parameters(365),
            Parameter(
                "of", "choice", "points", "whether points are compared, or customers", ("points", "customers")
            ),
        ),
        on_dashboard=True,
    ),
)
