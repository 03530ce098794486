"""The metric ``threshold-effect``: what a tier changes, by who was just above its threshold and who just below."""

from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rewards.metrics.effect.evidence import LIMITS, TO_A, Limits, too_few
from rewards.metrics.effect.recorded import NO_DATABASE, Scores, read_scores
from rewards.metrics.effect.threshold import Jump, bunching, jump, suitable_reach
from rewards.metrics.intervals import normal
from rewards.metrics.orders import EPOCH, Orders, day_of
from rewards.metrics.result import Column, Definition, Metric, Parameter, Result, Table, Unit, nothing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rewards.metrics.source import Source
    from rewards.program.ladder import Ladder, QualificationWindow

Outcome = Literal["bought-again", "revenue"]
_UNITS: dict[Outcome, Unit] = {"bought-again": "points_pct", "revenue": "minor"}
_MEASURES = ("points", "spend_minor")
_BINS = 10
#: A curve up to the threshold needs so many different scores on a side.
_LEAST_VALUES = 6


class Threshold(NamedTuple):
    """A tier's threshold: of what, how much, counted since when, and which tiers are it or above."""

    tier: str
    measure: str
    least: int
    window: "QualificationWindow"
    tiers: list[str]


def threshold_of(ladder: "Ladder", tier: str) -> Threshold | str:
    """Return the threshold of a tier (the first that has one, without a name), or the reason why there is none."""
    ids = [each.id for each in ladder.tiers]
    if tier and tier not in ids:
        return f"There is no tier {tier!r}; there are: {', '.join(ids)}."
    for place, each in enumerate(ladder.tiers):
        if tier not in ("", each.id):
            continue
        ways = [(way, measure) for way in each.ways_in for measure in _MEASURES if getattr(way, measure)]
        if len(ways) == len(each.ways_in) == 1:
            way, measure = ways[0]
            window = way.window or ladder.window
            return Threshold(each.id, measure, getattr(way, measure), window, ids[place:])
        if tier:
            return (
                f"Tier {tier!r} has not one threshold of points or spend alone, so that nothing jumps there."
            )
    return "No tier has one threshold of points or spend alone, so that nothing jumps anywhere."


def counts_since(window: "QualificationWindow", day: int) -> date | None:
    """Return the first day of what counts until a day (its number) begins; None where customers differ in that."""
    from bisect import bisect_right

    from tiers.windows import compile_window

    if window.type == "anniversary":
        return None
    drop, periods = compile_window(window)
    ordinal = day + EPOCH.toordinal()
    if periods is not None:
        return date.fromordinal(periods(ordinal - 1, ordinal)[0])
    if drop is not None:
        days = range(max(ordinal - 40_000, 1), ordinal)
        return date.fromordinal(days[min(bisect_right(days, ordinal - 1, key=drop), len(days) - 1)])
    return date(1900, 1, 1)


def compute(source: "Source", tier: str = "", outcome: Outcome = "bought-again", horizon: int = 90) -> Result:
    """Work the metric out; see :data:`METRICS`."""
    used: dict[str, Any] = {"tier": tier, "outcome": outcome, "horizon": horizon}

    def none(reason: str) -> Result:
        return nothing(reason, _UNITS[outcome], evidence="B", parameters=used)

    if source.conn is None or source.programs is None:
        return none(NO_DATABASE)
    day = source.until - horizon
    at = datetime.combine(day_of(day), datetime.min.time(), source.zone)
    try:
        ladder = source.programs.in_force(at).document.ladder
    except LookupError:
        ladder = None
    if ladder is None:
        return none(f"There were no tiers on {day_of(day)}.")
    threshold = threshold_of(ladder, tier)
    if isinstance(threshold, str):
        return none(threshold)
    since = counts_since(threshold.window, day)
    if since is None:
        return none(
            "What counts to the tier begins on a different day for each customer, by when they joined."
        )
    begins = datetime.combine(since, datetime.min.time(), source.zone)
    scores = read_scores(source.conn, threshold.measure, begins, at, threshold.tiers)
    y = outcome_of(source.orders, scores.unit, day, horizon)
    used |= {"tier": threshold.tier, "threshold": threshold.least, "measure": threshold.measure}
    return result_of(scores, y, threshold.least, outcome, used)


def outcome_of(orders: Orders, units: "NDArray[np.int32]", day: int, horizon: int) -> "NDArray[np.float64]":
    """Return the purchase days and the net revenue of customers in ``[day, day + horizon)``, customers × 2."""
    import numpy as np

    by_day = orders.days
    inside = (by_day.day >= day) & (by_day.day < day + horizon)
    at = np.minimum(np.searchsorted(units, by_day.unit), max(len(units) - 1, 0))
    inside &= (units[at] == by_day.unit) if len(units) else False
    paid = (by_day.amount - by_day.refunded)[inside].astype(float)
    return np.column_stack(
        [np.bincount(at[inside], minlength=len(units)), np.bincount(at[inside], paid, minlength=len(units))]
    ).astype(np.float64)


def result_of(
    scores: Scores,
    did: "NDArray[np.float64]",
    least: float,
    outcome: Outcome,
    used: dict[str, Any] | None = None,
    limits: Limits = LIMITS,
) -> Result:
    """Return the jump at a threshold, or why there is none, with the grade that it deserves.

    Args:
        scores: what counted to the tier, and who was in it.
        did: what they did afterwards, as :func:`outcome_of` has it.
        least: the threshold.
        outcome: which column is compared.
        used: parameters to tell.
        limits: what is refused.
    """
    unit, used = _UNITS[outcome], used or {}
    x, bought = scores.score - least, did[:, 0] > 0
    y = bought.astype(float) if outcome == "bought-again" else did[:, 1]
    reason = _too_few(x, bought, None, limits)
    found = None
    if reason is None:
        found = jump(x, y, scores.is_in, suitable_reach(x, y))
        reason = _unclear(found, limits) or _too_few(x, bought, found, limits) or _too_coarse(x, found)
    if reason is not None or found is None:
        return nothing(reason or "", unit, evidence="B", parameters=used)
    result = Result(
        found.value, unit, interval=normal(found.value, found.se), evidence="B", notes=[_around(found, least)],
        tables=[_curve(x, y, least, found.reach, unit)], parameters=used,
    )  # fmt: skip
    return _against_bunching(result, x, limits)


def _too_few(
    x: "NDArray[np.float64]", bought: "NDArray[np.bool_]", found: Jump | None, limits: Limits
) -> str | None:
    near = abs(x) < (found.reach if found is not None else float("inf"))
    sides = near & (x >= 0), near & (x < 0)
    where = "near the threshold" if found is not None else "with anything that counts"
    names = (f"customers {where} on or above it", f"customers {where} below it")
    above, below = (int(side.sum()) for side in sides)
    return too_few(names, (above, below), (int(bought[sides[0]].sum()), int(bought[sides[1]].sum())), limits)


def _too_coarse(x: "NDArray[np.float64]", found: Jump | None) -> str | None:
    """Return that scores near the threshold take too few values for a curve to lead up to it from each side."""
    import numpy as np

    near = x[abs(x) < found.reach] if found is not None else x
    if min(len(np.unique(near[near >= 0])), len(np.unique(near[near < 0]))) < _LEAST_VALUES:
        return (
            "Near the threshold customers have only a few different amounts, so that nobody is just below it."
        )
    return None


def _unclear(found: Jump | None, limits: Limits) -> str | None:
    # Below, a quotient of jumps is noise.
    if found is None or found.f < limits.least_f:
        return (
            "Who is just above the threshold is hardly more often in the tier than who is just below (standings last,"
            " or were given otherwise), so that the threshold shows nothing."
        )
    return None


def _around(found: Jump, least: float) -> str:
    note = (
        f"It compares {found.above:,} customers from {least:,.0f} to {least + found.reach:,.0f} with {found.below:,}"
        f" below {least:,.0f} and above {least - found.reach:,.0f}, and says nothing of others."
    )
    if found.share < 0.99:
        note += f" Being in the tier is {100 * found.share:.0f} percentage points more frequent just above."
    return note


def _against_bunching(result: Result, x: "NDArray[np.float64]", limits: Limits) -> Result:
    """Return the result as it is where customers do not pile up above the threshold, else as description."""
    piled = bunching(x)
    if piled is not None and piled.p_value >= limits.alpha:
        note = (
            f"Customers do not pile up at the threshold (density above it {piled.ratio:.2f} times that below,"
            f" p = {piled.p_value:.2f}), as they would had they steered to it."
        )
        return replace(result, notes=[*result.notes, note])
    why = "whether they steered to it cannot be told, with so few customers around it."
    if piled is not None:
        why = (
            f"there are {piled.ratio:.1f} times as many customers just above it as just below. That is usual: people"
            " see what is missing and buy it, so that those just above are the keener ones."
        )
    notes = [
        f"Downgraded from B to D: customers steer to the threshold, or something else changes there; {why}"
        if piled is not None
        else f"Downgraded from B to D: {why}",
        "What is shown is descriptive, not caused by the tier.",
        *result.notes,
        TO_A,
    ]
    return replace(result, evidence="D", interval=None, notes=notes)


def _curve(
    x: "NDArray[np.float64]", y: "NDArray[np.float64]", least: float, reach: float, unit: Unit
) -> Table:
    """Return the mean of what customers did by score, in bins that do not straddle the threshold."""
    import numpy as np

    width = reach / _BINS
    near = np.abs(x) < reach
    place = np.clip(np.floor(x[near] / width).astype(np.int64) + _BINS, 0, 2 * _BINS - 1)
    count = np.bincount(place, minlength=2 * _BINS)
    total = np.bincount(place, y[near], minlength=2 * _BINS)
    mean_unit: Unit = "share" if unit == "points_pct" else unit
    rows = [
        [float(least + (at - _BINS + 0.5) * width), int(count[at]), float(total[at] / count[at])]
        for at in range(2 * _BINS)
        if count[at]
    ]
    return Table(
        "by-score",
        "What customers did afterwards, by what they had",
        [
            Column("score", "About so much", "count"),
            Column("customers", "Customers", "count"),
            Column("mean", "Bought afterwards, or paid", mean_unit),
        ],
        rows,
        "none",
    )


METRICS = (
    Metric(
        Definition(
            "threshold-effect",
            "Effect of a tier, at its threshold",
            "Effect",
            "points_pct",
            "jump at the threshold of what customers did afterwards / jump of the share that is in the tier",
            window="What counted by the day that lies 90 days (horizon) before the end, and purchases in those days.",
            edges=(
                "It holds for customers around the threshold, not for all of the tier's.",
                (
                    "Where customers pile up just above the threshold it is description only (D); they usually do:"
                    " they see what is missing."
                ),
                "Only for tiers with one way in, of points or spend; not for windows of anniversaries.",
            ),
            source="Hahn, Todd & van der Klaauw (2001); Calonico, Cattaneo & Titiunik (2014); McCrary (2008)",
        ),
        compute,
        (
            Parameter("tier", "text", "", "the tier's id; the first that has one threshold unless said"),
            Parameter(
                "outcome",
                "choice",
                "bought-again",
                "the share who bought within the horizon, or revenue per customer then",
                ("bought-again", "revenue"),
            ),
            Parameter("horizon", "days", 90, "purchases of so many days afterwards", least=7, most=730),
        ),
    ),
)
