"""Program economics: what the program earned beyond what would have been earned without it, less what it cost.

Only a trial says what would have been: without one there is the cost, and no return on it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rewards.metrics.breakage import read
from rewards.metrics.effect.analysis import Finding, Plan, analyse
from rewards.metrics.effect.checks import checks_of
from rewards.metrics.effect.outcomes import DAYS, OUTCOMES
from rewards.metrics.effect.randomised import EXPERIMENT, cycle_days, opened
from rewards.metrics.effect.reading import Missing, read_trial
from rewards.metrics.ledger_reading.clocks import begins
from rewards.metrics.ledger_reading.in_trial import Given, read_given
from rewards.metrics.ledger_reading.worth import Worth
from rewards.metrics.orders import day_of
from rewards.metrics.point_ladder import Broken, spread
from rewards.metrics.result import Column, Definition, Interval, Metric, Parameter, Result, Table, nothing

if TYPE_CHECKING:
    from rewards.metrics.source import Source

#: How many months of award tell what share of points will be redeemed.
MONTHS = 36


class Range(NamedTuple):
    """A figure at best guess, at least and at most."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> "Range":
        """Return it multiplied by a factor that is not negative."""
        return Range(self.value * factor, self.low * factor, self.high * factor)


def cost_of(
    issued_minor: float, redeemed_minor: float, redeemed_share: Range, margin: float, *, net: bool
) -> Range:
    """Return what points issued in a time cost, in minor units.

    What was redeemed in the time costs the goods that points paid for, at cost price, where revenue is net of points:
    what customers did not pay is missing from it already. Where revenue holds what points paid, it costs its face
    value. What will be redeemed later costs its face value, which revenue has not felt yet.

    Args:
        issued_minor: what the points issued are worth.
        redeemed_minor: what of them was redeemed in the time.
        redeemed_share: how much of points issued is ever redeemed.
        margin: what is left of revenue after the cost of goods, 0 to 1.
        net: whether revenue is without what points paid.
    """
    now = redeemed_minor * (1 - margin if net else 1.0)
    later = (max(share * issued_minor - redeemed_minor, 0.0) for share in redeemed_share)
    return Range(*(now + each for each in later))


class Returned(NamedTuple):
    """A return with its worst and its best; these are None where the cost may be nothing at all."""

    value: float
    low: float | None
    high: float | None


def returned(incremental: Range, cost: Range) -> Returned:
    """Return ``(incremental margin − cost) ÷ cost``, at its ends the worst and the best of all combinations.

    Args:
        incremental: the margin that the program added.
        cost: what it cost, above 0 at best guess.
    """
    value = (incremental.value - cost.value) / cost.value
    if cost.low <= 0:
        return Returned(value, None, None)
    corners = [(gain - each) / each for gain in incremental[1:] for each in cost[1:]]
    return Returned(value, min(corners), max(corners))


def ever_redeemed(broken: Broken | None) -> Range:
    """Return the share of points that is ever redeemed, given the breakage; all of them at best guess if unknown."""
    if broken is None:
        return Range(1.0, 0.0, 1.0)
    return Range(
        1 - broken.value, min(1 - broken.high, 1 - broken.value), max(1 - broken.low, 1 - broken.value)
    )


class Tried(NamedTuple):
    """What a trial says of revenue, and the day number before which its figures close."""

    experiment: str
    finding: Finding
    closes: int


def _tried(source: "Source", experiment: str | None, days: int) -> Tried | str:
    """Return what the trial says of revenue, or why it says nothing."""
    trial = read_trial(source, experiment)
    if isinstance(trial, Missing):
        return trial.reason
    followed, closes, is_final = opened(trial, source)
    stopped = [
        each.says for each in checks_of(followed, closes, cycle_days(source)) if each.outcome == "stops"
    ]
    if stopped:
        return stopped[0]
    found = analyse(followed, closes, OUTCOMES["revenue-per-customer"], Plan(days), is_final=is_final)
    return found if isinstance(found, str) else Tried(trial.experiment_id, found, closes)


def compute(
    source: "Source", *, margin: float | None, experiment: str | None, days: int, totals: str
) -> Result:
    """Return the return on what rewards cost; see the module's definition."""
    if source.conn is None or source.programs is None:
        return nothing(
            "The ledger is not at hand: ask for this on the shop's database.", "share", evidence="A"
        )
    parameters = {"margin": margin, "experiment": experiment, "days": days, "totals": totals}
    tried = _tried(source, experiment, days)
    if isinstance(tried, str):
        return nothing(tried, "share", evidence="A", parameters=parameters)
    parameters["experiment"] = tried.experiment
    if margin is None:
        reason = "What is left of revenue after the cost of goods is not known: say it, such as margin=0.4."
        return nothing(reason, "share", evidence="A", parameters=parameters)
    given = read_given(source.conn, tried.experiment, days, begins(day_of(tried.closes), source.zone))
    fates = read(source, MONTHS)
    broken = None if fates is None else spread(fates.fates)
    earned = economics(
        tried.finding, given, Worth(source.programs, source.ends_at), broken, margin, totals == "net"
    )
    if earned.cost.value <= 0:
        reason = (
            "Customers in the program were given no points in these days, so there is no cost to set against."
        )
        return nothing(reason, "share", evidence="A", parameters=parameters)
    roi = returned(earned.incremental, earned.cost)
    return Result(
        roi.value,
        "share",
        interval=None if roi.low is None or roi.high is None else Interval(roi.low, roi.high),
        evidence="A",
        notes=_notes(broken, tried.finding, roi),
        tables=(_table(earned),),
        parameters=parameters,
    )


class Earned(NamedTuple):
    """What a program's arm brought and cost in the days after exposure, in minor units."""

    customers: int
    revenue: Range
    incremental: Range
    cost: Range


def economics(
    finding: Finding,
    given: Mapping[str, Given],
    worth: Worth,
    broken: Broken | None,
    margin: float,
    net: bool,
) -> Earned:
    """Return what the program's arm brought and cost, beyond what the holdout did.

    Both are averages of those exposed in each arm, times the customers in the program's arm. The holdout of a whole
    program is given nothing; that of a campaign earns as ever, which is no cost of the campaign.
    """
    customers = int(finding.sample.arm.sum())
    issued, redeemed = _more(given, customers)
    revenue = Range(finding.best.difference, finding.interval.low, finding.interval.high).times(customers)
    worth_minor = issued * worth.per_point
    cost = cost_of(worth_minor, redeemed, ever_redeemed(broken), margin, net=net)
    return Earned(customers, revenue, revenue.times(margin), cost)


def _more(given: Mapping[str, Given], customers: int) -> tuple[float, float]:
    """Return the points issued and the worth redeemed of so many customers, beyond that of as many in the holdout."""
    program, holdout = given.get("program", Given()), given.get("holdout", Given())
    each = [
        customers * (of_program / max(program.customers, 1) - of_holdout / max(holdout.customers, 1))
        for of_program, of_holdout in zip(program[1:], holdout[1:], strict=True)
    ]
    return each[0], each[1]


def _notes(broken: Broken | None, finding: Finding, roi: Returned) -> list[str]:
    notes = []
    if broken is None:
        notes.append("How many points will be redeemed cannot be told yet; at best guess all of them are.")
    if roi.low is None:
        return [*notes, "Rewards may come to cost nothing, so no range of the return can be told."]
    kind = "of the registered end" if finding.is_final else "that holds at every look"
    notes.append(
        f"The range takes the interval of the effect, {kind}, and that of breakage at their worst together."
    )
    return notes


def _table(earned: Earned) -> Table:
    columns = (
        Column("what", f"Of {earned.customers:,} customers in the program", "text"),
        Column("minor", "Best guess", "minor"),
        Column("low", "At least", "minor"),
        Column("high", "At most", "minor"),
    )
    left = Range(
        earned.incremental.value - earned.cost.value,
        earned.incremental.low - earned.cost.high,
        earned.incremental.high - earned.cost.low,
    )
    named: Sequence[tuple[str, Range]] = (
        ("Revenue that the program added", earned.revenue),
        ("Margin on it", earned.incremental),
        ("Rewards: redeemed, and expected to be", earned.cost),
        ("Left", left),
    )
    rows: list[tuple[Any, ...]] = [(name, *(round(each) for each in figures)) for name, figures in named]
    return Table("economics", "What the program brought and cost", columns, rows)


DEFINITION = Definition(
    name="program-economics",
    title="Return on rewards",
    family="Program",
    unit="share",
    formula="(incremental margin − cost of rewards) ÷ cost of rewards",
    numerator="margin × revenue that the trial says was added, less the cost of rewards",
    denominator="goods that points paid for at cost, and the worth of points that are expected to be redeemed",
    window="A fixed number of days after each customer's exposure (90).",
    edges=(
        "Only a randomised trial says what was added; without one there is no figure.",
        "Discounts on purchases that would have happened anyway lower the revenue of those in the program.",
        "totals=gross: orders' totals hold what points paid, and points_minor is not sent with them.",
        "How many points will be redeemed is 1 − breakage, an estimate with a range.",
        "What running the program costs besides rewards is not in it.",
    ),
    source="The effect on revenue per customer; breakage by chain ladder",
)

METRICS = (
    Metric(
        DEFINITION,
        compute,
        (
            Parameter(
                "margin",
                "number",
                None,
                "what is left of revenue after the cost of goods, 0 to 1",
                least=0,
                most=1,
            ),
            EXPERIMENT,
            Parameter("days", "days", DAYS, "how many days after the exposure count", least=1, most=3_650),
            Parameter(
                "totals",
                "choice",
                "net",
                "whether what points paid is taken off orders (points_minor is sent with them)",
                ("net", "gross"),
            ),
        ),
        on_dashboard=True,
    ),
)
