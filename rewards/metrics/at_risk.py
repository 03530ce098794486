"""Customers at risk: who is far less likely to buy again soon than at the pace that was their own."""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rewards.metrics.idle import DORMANT, STATES, breaks_of, idle_of
from rewards.metrics.idle import LOST as IS_LOST
from rewards.metrics.intervals import wilson
from rewards.metrics.lifetime.cells import rounded, whole
from rewards.metrics.lifetime.checking import Check
from rewards.metrics.lifetime.expecting import chance_of_purchase, expected_purchases
from rewards.metrics.lifetime.known import Known, checked_at, known_at
from rewards.metrics.lifetime.pace import chance_at_own_pace
from rewards.metrics.lifetime.search import Unidentified
from rewards.metrics.lifetime.sums import sums
from rewards.metrics.orders import day_of
from rewards.metrics.result import Column, Definition, Evidence, Metric, Parameter, Result, Table, nothing
from rewards.metrics.segments_by_value import PAST_DAYS, past_revenue
from rewards.metrics.windows import customer_rows, left_out_notes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rewards.metrics.source import Source

DAYS = Parameter("days", "days", 90, "how far ahead a purchase is looked for", least=1, most=1095)
BELOW = Parameter(
    "below",
    "number",
    0.5,
    "at risk is whose chance of a purchase is below this share of what it was at their own pace",
    least=0.01,
    most=1,
)
LOST = Parameter(
    "lost",
    "choice",
    "apart",
    "whether customers silent for longer than 99 of 100 breaks are told apart as lost, or counted as at risk",
    ("apart", "counted"),
)
#: The borders of the bands that customers are counted in, by what is left of their chance.
BANDS = (0.1, 0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Risk:
    """Repeaters and their risk: arrays of one length.

    Attributes:
        at: their positions among all customers.
        known: all customers.
        idle_days: days since the last purchase.
        break_days: what nine of ten breaks of customers who had bought as often do not exceed.
        state: a place in :data:`rewards.metrics.idle.STATES`; what is beyond active is the heuristic.
        now, own: the chance of a purchase within the horizon, as of today and at the customer's own pace; and
        stake: what the customer would spend in it at that pace beyond what is expected, minor units. All three are
            None where no model could be fitted; so is
        behind: whose chance is below the asked share of that at their own pace.
        flagged: who is at risk: by the model, or by the heuristic where there is none; the lost only if counted.
    """

    at: "NDArray[np.int64]"
    known: Known
    idle_days: "NDArray[np.float64]"
    break_days: "NDArray[np.float64]"
    state: "NDArray[np.int8]"
    now: "NDArray[np.float64] | None"
    own: "NDArray[np.float64] | None"
    stake: "NDArray[np.float64] | None"
    behind: "NDArray[np.bool_] | None"
    flagged: "NDArray[np.bool_]"

    @property
    def too_long(self) -> "NDArray[np.bool_]":
        """Whether somebody is silent for longer than such customers' usual breaks."""
        too_long: NDArray[np.bool_] = self.state >= DORMANT
        return too_long


def risk_of(source: "Source", days: int, below: float, lost: str) -> Risk | None:
    """Return the risk of everybody with at least two purchase days; None where there is nobody."""
    import numpy as np

    known, bought = known_at(source, source.until), source.orders.days
    breaks = breaks_of(bought) if len(bought) else None
    if breaks is None:
        return None
    of, models = known.customers, known.models
    at = np.flatnonzero(of.x > 0)
    idle = idle_of(bought, source.until, breaks)
    state = idle.state[at]
    here = (state != IS_LOST) | (lost == "counted")
    break_days = breaks.dormant_after[idle.segment[at]]
    if isinstance(models, Unidentified):
        flagged = here & (state >= DORMANT)
        return Risk(at, known, of.idle[at], break_days, state, None, None, None, None, flagged)
    buying, horizon = models.purchases, float(days)
    x, t_x, age = of.x[at], of.t_x[at], of.age[at]
    now = chance_of_purchase(buying, horizon, x, t_x, age)
    own = chance_at_own_pace(buying, of, horizon)[at]
    pace = (buying.r + x) / (buying.alpha + t_x) * horizon
    missing = np.maximum(pace - expected_purchases(buying, [horizon], x, t_x, age)[0], 0.0)
    stake = missing * models.spend(of)[at]
    behind = now < below * own
    return Risk(at, known, of.idle[at], break_days, state, now, own, stake, behind, here & behind)


def at_risk(source: "Source", days: int, below: float, lost: str) -> Result:
    """Return the share of repeaters who are at risk."""
    risk = risk_of(source, days, below, lost)
    asked = {"days": days, "below": below, "lost": lost}
    if risk is None:
        reason = f"Nobody has bought on two days up to {source.as_of}, so nobody has a pace to fall behind."
        return nothing(reason, "share", parameters=asked)
    hits, repeaters = int(risk.flagged.sum()), len(risk.at)
    by_model = risk.now is not None
    evidence: Evidence = "estimated" if by_model else "measured"
    tables = [_beside(source, risk)]
    if by_model:
        tables.append(_bands(source, risk))
    checked = checked_at(source)
    if isinstance(checked, Check):
        tables.append(_check_table(checked))
    return Result(
        hits / repeaters,
        "share",
        hits,
        repeaters,
        wilson(hits, repeaters),
        evidence,
        notes=[*_notes(risk), *left_out_notes(source)],
        tables=tables,
        parameters=asked | {"method": "own-pace" if by_model else "idle"},
    )


def at_risk_rows(source: "Source", days: int, below: float, lost: str) -> Table:
    """Return who is at risk, those with the least left of their chance first, and why."""
    import numpy as np

    risk = risk_of(source, days, below, lost)
    if risk is None:
        nobody = np.zeros(0, dtype=np.int32)
        return customer_rows(source, "Customers at risk", nobody, ((Column("why", "Why", "text"), []),))
    # The rank is what is left of the chance; by the heuristic, how often the usual break has passed.
    left = -risk.idle_days / risk.break_days if risk.now is None or risk.own is None else risk.now / risk.own
    order = np.flatnonzero(risk.flagged)
    order = order[np.argsort(left[order], kind="stable")]
    of, at = risk.known.customers, risk.at[order]
    columns: list[tuple[Column, list[Any]]] = [
        (Column("idle_days", "Days since the last purchase", "days"), whole(risk.idle_days[order])),
        (
            Column("usual_gap_days", "Days between purchases, mean", "days"),
            rounded((of.t_x / np.maximum(of.x, 1))[at], 1),
        ),
        (Column("purchase_days", "Purchase days", "count"), whole(of.x[at] + 1)),
        (Column("spent_minor", "Revenue so far", "minor"), whole(of.spent[at])),
        (
            Column("break_days", "Usual break of such customers, at most", "days"),
            rounded(risk.break_days[order], 1),
        ),
        (Column("state", "By idle time", "text"), [STATES[each] for each in risk.state[order].tolist()]),
    ]
    if risk.now is not None and risk.own is not None and risk.stake is not None:
        columns += [
            (Column("left_of_chance", "Left of the chance", "share"), rounded(left[order], 4)),
            (Column("chance", f"Chance of a purchase in {days} days", "share"), rounded(risk.now[order], 4)),
            (Column("chance_at_own_pace", "At their own pace", "share"), rounded(risk.own[order], 4)),
            (Column("at_stake_minor", f"At stake in {days} days", "minor"), whole(risk.stake[order])),
        ]
    columns.append(
        (Column("why", "Why", "text"), _why({column.key: cells for column, cells in columns}, days))
    )
    return customer_rows(source, "Customers at risk", of.unit[at], columns)


def _why(cells: dict[str, list[Any]], days: int) -> list[str]:
    """Return for each customer of a listing why it is there, in words."""
    habit = [
        f"Bought on {bought} days, about {_in_days(gap)} apart, and not for {_in_days(idle)}"
        for bought, gap, idle in zip(
            cells["purchase_days"], cells["usual_gap_days"], cells["idle_days"], strict=True
        )
    ]
    if "chance" in cells:
        habit = [
            f"{told}: {now:.0%} likely to buy within {days} days, {own:.0%} at the earlier pace"
            for told, now, own in zip(habit, cells["chance"], cells["chance_at_own_pace"], strict=True)
        ]
    longest = [
        f"; longer than nine of ten breaks of customers who bought as often ({round(most)} days)."
        if long
        else "."
        for most, long in zip(
            cells["break_days"], (each != STATES[0] for each in cells["state"]), strict=True
        )
    ]
    return [first + last for first, last in zip(habit, longest, strict=True)]


def _in_days(days: float) -> str:
    return "1 day" if round(days) == 1 else f"{round(days)} days"


def _notes(risk: Risk) -> list[str]:
    notes = []
    models, customers = risk.known.models, len(risk.known.customers)
    if isinstance(models, Unidentified):
        notes.append(
            "At risk is here who has been silent for longer than nine of ten breaks of customers who had bought as "
            f"often, because no model can be fitted: {models.reason}."
        )
    once = customers - len(risk.at)
    if once:
        notes.append(
            f"{once:,} customers who bought on one day only are not in it: they have no pace of their own."
        )
    return notes


def _beside(source: "Source", risk: Risk) -> Table:
    """Return how many customers the model and the heuristic flag, and what they paid in the past year."""
    import numpy as np

    past = past_revenue(source, risk.known)[risk.at]
    columns = (
        Column("pace", "By their own pace", "text"),
        Column("idle", "By idle time alone", "text"),
        Column("customers", "Customers", "count"),
        Column("past_minor", f"Their revenue of the past {PAST_DAYS} days", "minor"),
    )
    every = np.ones(len(risk.at), dtype=bool)
    paces = (
        [("not known", every)] if risk.behind is None else [("behind", risk.behind), ("not", ~risk.behind)]
    )
    rows = []
    for name, who in paces:
        for state, called in enumerate(STATES):
            both = who & (risk.state == state)
            rows.append([name, called, int(both.sum()), round(float(past[both].sum()))])
    return Table("beside", "Repeaters by their own pace and by plain idle time", columns, rows)


def _bands(source: "Source", risk: Risk) -> Table:
    """Return repeaters by what is left of their chance; of the lost there is nothing to be saved soon."""
    import numpy as np

    assert risk.now is not None
    assert risk.own is not None
    assert risk.stake is not None
    here = risk.state != IS_LOST
    band = np.searchsorted(np.array(BANDS), (risk.now / risk.own)[here], side="right")
    past = past_revenue(source, risk.known)[risk.at][here]
    number = len(BANDS) + 1
    each = (sums(band, None, number), sums(band, past, number), sums(band, risk.stake[here], number))
    borders = (0.0, *BANDS, 1.0)
    names = [f"{low:.0%} to {high:.0%}" for low, high in pairwise(borders)]
    columns = (
        Column("left", "Left of the chance", "text"),
        Column("customers", "Customers", "count"),
        Column("past_minor", f"Their revenue of the past {PAST_DAYS} days", "minor"),
        Column("stake_minor", "At stake", "minor"),
    )
    rows = list(zip(names, *(whole(values) for values in each), strict=True))
    return Table(
        "bands",
        "Repeaters who are not lost, by what is left of their chance of a purchase",
        columns,
        rows,
        "bars",
    )


def _check_table(checked: Check) -> Table:
    """Return how well each ranking told who would buy in the part of the history that was held back."""
    model = checked.model
    columns = (
        Column("ranked_by", "Ranked by", "text"),
        Column("among", "Among", "text"),
        Column("customers", "Customers", "count"),
        Column("auc", "Told right", "share"),
    )
    all_of, some = ("all", checked.customers), ("repeaters", checked.repeaters)
    rows: list[list[Any]] = []
    if model is not None:
        rows.append(["chance of a purchase", *all_of, model.auc])
    rows.append(["days since the last purchase", *all_of, checked.auc_idle])
    if model is not None:
        rows.append(["chance of a purchase", *some, model.auc_repeaters])
        rows.append(["what is left of their chance", *some, model.auc_kept])
    rows.append(["days since the last purchase", *some, checked.auc_idle_repeaters])
    title = (
        f"Of two customers as of {day_of(checked.split - 1)}, one of whom bought in the {checked.days} days since: how "
        "often was that one ranked above the other? 50 % is chance"
    )
    return Table("check", title, columns, rows)


METRICS = (
    Metric(
        Definition(
            "at-risk",
            "Customers at risk",
            "Lifetime value",
            "share",
            "repeaters, not lost, whose chance of a purchase is below half of that at their own pace ÷ repeaters",
            "repeaters at risk",
            "customers with at least two purchase days",
            "The 90 days after as_of (days).",
            (
                "The chance is that of at least one purchase; at their own pace it is as on the day of the last one.",
                "Who is silent for longer than 99 of 100 breaks is lost, and not at risk any more (lost).",
                "It is never the model's chance of being active, which is 1 for everybody who bought once.",
                "Idle time stands beside it, and takes its place where no model can be fitted.",
                "It tells who slows down, not whom a message would bring back: for that, hold some of them out.",
            ),
            "Fader, Hardie and Lee, Marketing Science 24 (2), 2005.",
        ),
        at_risk,
        (DAYS, BELOW, LOST),
        at_risk_rows,
        on_dashboard=True,
    ),
)
