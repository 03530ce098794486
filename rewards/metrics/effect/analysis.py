"""From a trial's customers and purchases to what can be said of an outcome: figures, or why there are none."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rewards.core.wording import number
from rewards.metrics.effect.always_valid import (
    EXPECTED_CUSTOMERS,
    always_valid_interval,
    always_valid_p,
    reach,
)
from rewards.metrics.effect.checks import LEAST_CUSTOMERS, LEAST_DAYS, LEAST_EVENTS
from rewards.metrics.effect.cuped import Adjusted, adjust
from rewards.metrics.effect.estimators import Estimate, Relative, difference_of_ratios
from rewards.metrics.effect.outcomes import DAYS, Outcome, Sample, outcomes_with
from rewards.metrics.effect.trial import Followed
from rewards.metrics.intervals import LEVEL, newcombe, z
from rewards.metrics.result import Interval

#: A curve over time has at most about so many looks; longer trials are looked at every second week, and so on.
MOST_LOOKS = 53


class Plan(NamedTuple):
    """How a trial is read.

    Attributes:
        days: how many days after the exposure count.
        expected: the number of customers at which the always-valid interval is tightest; fixed before any look.
        margin: how much of the revenue is margin, a share; None where nobody said.
        smallest: the relative lift that is worth knowing of; how long the trial must go on is told by it.
    """

    days: int = DAYS
    expected: float = EXPECTED_CUSTOMERS
    smallest: float = 0.1
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a trial says of one outcome.

    Attributes:
        outcome: which.
        sample: the customers behind it.
        estimates: raw, and adjusted by the past.
        is_final: whether this is the one look that was registered beforehand.
        interval: of the adjusted difference: fixed if final, else always-valid.
        p_value: in the same way.
        raw_interval: of the raw difference, of the same kind.
    """

    outcome: Outcome
    sample: Sample
    estimates: Adjusted
    is_final: bool
    interval: Interval
    p_value: float
    raw_interval: Interval

    @property
    def best(self) -> Estimate:
        """The adjusted estimate."""
        return self.estimates.adjusted

    def relative(self, estimate: Estimate, expected: float) -> Relative | None:
        """Return an estimate relative to the holdout, with an interval of the finding's kind."""
        return estimate.relative(z(LEVEL) if self.is_final else reach(estimate.customers, expected))


def analyse(
    followed: Followed, closes: int, outcome: Outcome, plan: Plan, *, is_final: bool = False
) -> Finding | str:
    """Return what the trial says of an outcome as of the end of the day before ``closes``, or why it says nothing.

    Args:
        followed: the trial's customers and their purchases.
        closes: the day number before which things count, at most the trial's own end.
        outcome: what is compared.
        plan: how the trial is read.
        is_final: whether this is the look that was registered beforehand.
    """
    sample = outcome.sample(followed, closes, plan.days)
    reason = _too_little(sample, outcome)
    if reason is not None:
        return reason
    if sample.below is None:
        estimates = adjust(sample.y, sample.x, sample.has_history, sample.arm)
    else:
        ratio = difference_of_ratios(sample.y, sample.below, sample.arm)
        estimates = None if ratio is None else Adjusted(ratio, ratio, 0.0, "none")
    if estimates is None:
        return f"The {outcome.title} is the same for every customer, so that there is nothing to compare yet."
    best = estimates.adjusted
    if is_final:
        interval, p_value = best.interval(), best.p_value
        raw = _counted(sample, outcome) or estimates.raw.interval()
    else:
        interval, p_value = always_valid_interval(best, plan.expected), always_valid_p(best, plan.expected)
        raw = always_valid_interval(estimates.raw, plan.expected)
    return Finding(outcome, sample, estimates, is_final, interval, p_value, raw)


def _too_little(sample: Sample, outcome: Outcome) -> str | None:
    in_program = int(sample.arm.sum())
    held_out = len(sample.arm) - in_program
    if min(in_program, held_out) < LEAST_CUSTOMERS:
        return (
            f"The {outcome.title} is known of {number(in_program)} customers in the program and of {number(held_out)} "
            f"held out; {LEAST_CUSTOMERS} in each arm are the least that a difference can be told from."
        )
    if min(sample.events) < LEAST_EVENTS:
        return (
            f"Only {number(sample.events[0])} customers in the program and {number(sample.events[1])} held out have "
            f"bought what the {outcome.title} counts; {LEAST_EVENTS} in each arm are the least."
        )
    return None


def _counted(sample: Sample, outcome: Outcome) -> Interval | None:
    """Return Newcombe's interval of a difference of two counted shares; None for other outcomes."""
    if outcome.unit != "share" or sample.below is not None:
        return None
    in_program = int(sample.arm.sum())
    k1, k0 = sample.events
    return newcombe(k1, in_program, k0, len(sample.arm) - in_program)


class Look(NamedTuple):
    """What a look at a trial showed at some time: always-valid."""

    day: int
    customers: int
    difference: float
    interval: Interval


def over_time(followed: Followed, until: int, outcome: Outcome, plan: Plan) -> list[Look]:
    """Return what weekly looks showed, as of the end of each week until ``until``: none where nothing could be said."""
    trial = followed.trial
    if not len(trial):
        return []
    last = trial.closes(until)
    first = int(trial.exposed_day.min()) + LEAST_DAYS
    step = 7 * max(1, -(-(last - first) // (7 * MOST_LOOKS)))
    looks = []
    for closes in range(last, first - 1, -step):
        found = analyse(followed, closes, outcome, plan)
        if isinstance(found, str):
            continue
        looks.append(Look(closes - 1, found.best.customers, found.best.difference, found.interval))
    return looks[::-1]


class Listed(NamedTuple):
    """An outcome beside the primary one: what was found or why nothing, and its q-value among the secondary ones."""

    outcome: Outcome
    role: str
    found: Finding | str
    q_value: float | None


def all_outcomes(
    followed: Followed, closes: int, primary: str, plan: Plan, *, is_final: bool
) -> list[Listed]:
    """Return what the trial says of every outcome, the primary one first, the secondary ones with their q-values."""
    ordered = sorted(outcomes_with(plan.margin).values(), key=lambda each: each.name != primary)
    found = {each.name: analyse(followed, closes, each, plan, is_final=is_final) for each in ordered}
    roles = {
        each.name: "primary"
        if each.name == primary
        else "guardrail"
        if each.role == "guardrail"
        else "secondary"
        for each in ordered
    }
    secondary = {
        name: each.p_value
        for name, each in found.items()
        if isinstance(each, Finding) and roles[name] == "secondary"
    }
    q_values = dict(zip(secondary, benjamini_hochberg(list(secondary.values())), strict=True))
    return [Listed(each, roles[each.name], found[each.name], q_values.get(each.name)) for each in ordered]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return the q-values of some p-values: taking those below 0.05 for real is wrong of 5 % of them on average.

    Benjamini and Hochberg (1995).
    """
    count = len(p_values)
    q_values, smallest = [0.0] * count, 1.0
    for rank, place in enumerate(sorted(range(count), key=p_values.__getitem__, reverse=True)):
        smallest = min(smallest, p_values[place] * count / (count - rank))
        q_values[place] = smallest
    return q_values
