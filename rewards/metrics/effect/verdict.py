"""What a trial says, in words that follow from its interval and from nothing else."""

from dataclasses import dataclass

from rewards.core.wording import day as day_text
from rewards.core.wording import number
from rewards.metrics.effect.always_valid import customers_needed
from rewards.metrics.effect.analysis import Finding, Plan
from rewards.metrics.effect.trial import Followed, Trial
from rewards.metrics.orders import day_of
from rewards.metrics.result import Interval
from rewards.metrics.showing import words

#: Beyond this many weeks nobody waits.
MOST_WEEKS = 156
#: The rate at which customers come is that of these last weeks.
_RECENT_WEEKS = 8


@dataclass(frozen=True, slots=True)
class ToGo:
    """How long until a trial can tell: weeks (None: longer than anybody waits), and until what."""

    weeks: int | None
    until: str


def verdict(finding: Finding, to_go: ToGo | None, plan: Plan, currency: str, subject: str = "program") -> str:
    """Return the verdict: "between −0.4 and +3.1 percentage points; cannot yet tell; about 9 weeks to go"."""
    interval, outcome = finding.interval, finding.outcome
    title = outcome.title[0].upper() + outcome.title[1:]
    lies = f"{title}, program minus holdout: {words.between(interval, outcome.difference_unit, currency)}"
    if interval.low > 0:
        return f"{lies}; the {subject} raised it."
    if interval.high < 0:
        return f"{lies}; the {subject} lowered it."
    if finding.is_final:
        ruled_out = _ruled_out(interval, finding, currency)
        return f"{lies}; the trial is over and could not tell an effect from none. {ruled_out}"
    if to_go is not None and to_go.weeks == 0:
        return f"{lies}; cannot tell it from none; a lift of {_percent(plan.smallest)} would have shown."
    return f"{lies}; cannot yet tell; {_wait(to_go)}."


def relative_text(finding: Finding, plan: Plan, currency: str) -> str | None:
    """Return the adjusted difference relative to the holdout, in a sentence; None where the holdout's level is zero."""
    found = finding.relative(finding.best, plan.expected)
    if found is None:
        return None
    level = words.figure(finding.best.holdout, finding.outcome.unit, currency)
    if found.low is None or found.high is None:
        return f"The holdout's {level} is known too badly to say how much of it the difference is."
    low, high = (words.figure(each, "share", currency, signed=True) for each in (found.low, found.high))
    return f"Relative to the holdout's {level} that is between {low} and {high}."


def _ruled_out(interval: Interval, finding: Finding, currency: str) -> str:
    unit = finding.outcome.difference_unit
    most = words.figure(interval.high, unit, currency, signed=True)
    least = words.figure(interval.low, unit, currency, signed=True)
    return f"More than {most}, or less than {least}, is ruled out."


def _wait(to_go: ToGo | None) -> str:
    if to_go is None:
        return "nobody new has come for weeks, so that waiting will not tell"
    if to_go.weeks is None:
        return f"at this rate it would take more than {MOST_WEEKS // 52} years {to_go.until}"
    weeks = f"{to_go.weeks} week{'s' if to_go.weeks != 1 else ''}"
    return f"about {weeks} to go {to_go.until}"


def weeks_to_go(followed: Followed, finding: Finding, until: int, plan: Plan) -> ToGo | None:
    """Return how long until the trial can tell: to its registered end, else until a lift worth knowing would show.

    A lift worth knowing shows once half of the always-valid interval is no longer than it, at the rate at which
    customers have come in the last weeks. The estimate itself is not asked: it would promise what chance has given.
    None where nobody comes any more.
    """
    trial = followed.trial
    end = trial.registered_end
    if end is not None and end > until:
        return ToGo(-(-(end - until) // 7), f"until the registered end on {day_text(day_of(end))}")
    purpose = f"until a lift of {_percent(plan.smallest)} would show"
    needed = customers_needed(finding.best, plan.smallest * abs(finding.best.holdout), plan.expected)
    if needed is None:
        return ToGo(None, purpose)
    if needed <= finding.best.customers:
        return ToGo(0, purpose)
    days = _days_until(trial, needed, until, finding.outcome.waits * plan.days)
    if days is None:
        return None
    weeks = max(1, round(days / 7))
    return ToGo(None if weeks > MOST_WEEKS else weeks, purpose)


def _days_until(trial: Trial, needed: float, until: int, waits: int) -> float | None:
    """Return in how many days the outcomes of so many customers are known; None where nobody comes any more."""
    import numpy as np

    days = np.sort(trial.exposed_day)
    if needed <= len(days):
        # They are exposed already; only their days have to pass.
        return float(max(1, days[int(np.ceil(needed)) - 1] + waits + 1 - until))
    window = min(7 * _RECENT_WEEKS, until - int(days[0]))
    recent = int((days >= until - window).sum())
    return waits + (needed - len(days)) / (recent / window) if recent else None


def _percent(share: float) -> str:
    return f"{share * 100:.3g}%"


def adjusting_text(finding: Finding) -> str:
    """Return what adjusting by the past did, in a sentence, also when that was nothing."""
    found = finding.estimates
    if finding.sample.below is not None:
        return "It is a ratio, which is compared as it is, without adjusting by the past."
    if found.method == "none":
        return "Too few had bought before their exposure to adjust by the past: the raw difference is all there is."
    removed = found.removed
    if removed < 0.005:
        return "Adjusting by what customers bought in the year before removed none of the noise."
    said = f"Adjusting by what customers bought in the year before removed {removed:.0%} of the variance"
    worth = 1 / (1 - removed)
    return f"{said}, which is worth {worth:.1f} times the customers." if worth >= 1.05 else f"{said}."


def kind_text(finding: Finding) -> str:
    """Return in a sentence what kind of interval is shown."""
    if finding.is_final:
        return (
            "This is the one look at the end that was registered beforehand; the interval is the usual one."
        )
    return (
        f"The interval may be looked at as often as you like: with {number(finding.best.customers)} customers it is "
        "wider than one for a single look, so that looking again and again does not find effects that are not there."
    )
