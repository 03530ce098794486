"""The effect of the program, or of a campaign, from a randomised trial: evidence A."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rewards.core.wording import number
from rewards.metrics.effect.always_valid import EXPECTED_CUSTOMERS
from rewards.metrics.effect.analysis import Finding, Listed, Plan, all_outcomes, analyse
from rewards.metrics.effect.cace import complier_effect
from rewards.metrics.effect.checks import Check, checks_of, checks_table
from rewards.metrics.effect.outcomes import DAYS, MARGIN, OUTCOMES, outcomes_with
from rewards.metrics.effect.reading import Missing, read_trial
from rewards.metrics.effect.trial import ARM_NAMES, Followed, Trial, follow
from rewards.metrics.effect.trial_tables import arms_table, estimates_table, outcomes_table, over_time_table
from rewards.metrics.effect.verdict import adjusting_text, kind_text, relative_text, verdict, weeks_to_go
from rewards.metrics.result import (
    BadParameter,
    Column,
    Definition,
    Interval,
    Metric,
    Parameter,
    Result,
    Table,
    nothing,
)
from rewards.metrics.showing import words
from rewards.metrics.windows import gaps

if TYPE_CHECKING:
    from rewards.metrics.source import Source

EXPERIMENT = Parameter(
    "experiment", "text", None, "which trial: the program's holdout where not given, or a campaign's"
)
PARAMETERS = (
    EXPERIMENT,
    Parameter(
        "outcome",
        "choice",
        None,
        "what is compared; the trial's own where not given",
        (*OUTCOMES, MARGIN),
    ),
    Parameter("days", "days", DAYS, "how many days after the exposure count", least=1, most=3_650),
    Parameter(
        "expected",
        "number",
        EXPECTED_CUSTOMERS,
        "at how many customers the running interval is tightest; to be set before the first look",
        least=100,
        most=1e9,
    ),
    Parameter(
        "margin",
        "number",
        None,
        "how much of the revenue is margin, as a share such as 0.4: adds the margin per customer to the outcomes",
        least=0,
        most=1,
    ),
    Parameter(
        "smallest",
        "number",
        0.1,
        "the relative lift worth knowing of: how long to go on is told by it",
        least=0.001,
        most=10,
    ),
)


def effect(
    source: "Source",
    experiment: str | None = None,
    outcome: str | None = None,
    days: int = DAYS,
    expected: float = EXPECTED_CUSTOMERS,
    smallest: float = 0.1,
    margin: float | None = None,
) -> Result:
    """Return what the program changed, from the trial's exposures and purchases in the database."""
    plan = Plan(days, expected, smallest, margin)
    if outcome == MARGIN and margin is None:
        raise BadParameter(f"{MARGIN} needs margin: how much of the revenue is margin, such as 0.4")
    trial = read_trial(source, experiment, with_redeemed=margin is not None)
    if isinstance(trial, Missing):
        unit = outcomes_with(margin)[outcome or "repeat-rate"].difference_unit
        return nothing(trial.reason, unit, evidence="A", parameters=_parameters(experiment, outcome, plan))
    return effect_of(trial, source, outcome, plan)


def effect_of(trial: Trial, source: "Source", outcome: str | None, plan: Plan) -> Result:
    """Return what a trial says: checks first, then the figures, or the reason why there are none."""
    chosen = outcomes_with(plan.margin)[outcome or trial.primary]
    parameters = _parameters(trial.experiment_id, chosen.name, plan)
    followed, closes, is_final = opened(trial, source)
    checks = checks_of(followed, closes, cycle_days(source))
    stopped = [each.says for each in checks if each.outcome == "stops"]
    shown = [checks_table(checks)]
    notes = _check_notes(checks)
    found = analyse(followed, closes, chosen, plan, is_final=is_final)
    if stopped or isinstance(found, str):
        reason = stopped[0] if stopped else str(found)
        return nothing(
            reason, chosen.difference_unit, evidence="A", notes=notes, tables=shown, parameters=parameters
        )
    listed = all_outcomes(followed, closes, trial.primary, plan, is_final=is_final)
    to_go = None if is_final else weeks_to_go(followed, found, source.until, plan)
    said = [
        verdict(found, to_go, plan, source.currency, trial.subject),
        relative_text(found, plan, source.currency),
        _what(found, followed, plan),
        kind_text(found),
        adjusting_text(found),
        _complier_text(found, source.currency),
        _secondary_text(found, listed, trial),
    ]
    return Result(
        found.best.difference,
        chosen.difference_unit,
        interval=found.interval,
        evidence="A",
        notes=[*(each for each in said if each), *notes],
        tables=[
            arms_table(found),
            estimates_table(found, plan),
            outcomes_table(listed, plan, source.currency),
            over_time_table(followed, closes, chosen, plan),
            *shown,
        ],
        parameters=parameters,
    )


def opened(trial: Trial, source: "Source") -> tuple[Followed, int, bool]:
    """Return a trial's customers with their purchases, the day number its figures close before, and if that is final.

    Once the registered end has come, the figures are those of that day: looking on would be another look.
    """
    end = trial.registered_end
    is_final = end is not None and end <= source.until
    closes = trial.closes(end if is_final and end is not None else source.until)
    seen = trial.until(closes)
    return follow(seen, source.orders), closes, is_final


def cycle_days(source: "Source") -> float | None:
    """Return the median days between a customer's purchase days; None where nobody bought twice."""
    import numpy as np

    found = gaps(source.orders.days)
    return float(np.median(found)) if len(found) else None


def _parameters(experiment: str | None, outcome: str | None, plan: Plan) -> dict[str, Any]:
    return {"experiment": experiment, "outcome": outcome, **plan._asdict()}


def _check_notes(checks: Sequence[Check]) -> list[str]:
    return [each.says for each in checks if each.outcome == "warns"]


def _what(found: Finding, followed: Followed, plan: Plan) -> str:
    sample, trial = found.sample, followed.trial
    in_program = int(sample.arm.sum())
    joined = "" if trial.ends_day is None else " and before the holdout joined"
    return (
        f"Compared is {found.outcome.says.format(days=plan.days)}{joined}: {number(in_program)} customers in the "
        f"program with {number(len(sample.arm) - in_program)} held out, whether they took part or not."
    )


def _complier_text(found: Finding, currency: str) -> str | None:
    """Say what taking part does, where some of the program's arm do not."""
    sample = found.sample
    if sample.below is not None:
        return None
    told = complier_effect(sample.y, sample.enrolled, sample.arm)
    if told is None:
        return None
    if told.effect is None or told.se is None:
        return told.reason_if_null
    if told.program_share == 1 and told.holdout_share == 0:
        return None  # everybody did as they were drawn, and it is the effect itself
    # As many errors as the difference itself has to each side, so that both may be looked at as often.
    half = told.se * (found.interval.high - found.interval.low) / (2 * found.best.se)
    interval = Interval(told.effect - half, told.effect + half)
    lies = words.between(interval, found.outcome.difference_unit, currency)
    return (
        f"{told.program_share:.0%} of the program's arm took part and {told.holdout_share:.0%} of the holdout. On "
        f"those who took part because they could, the effect is {lies}, if the program works only through taking part."
    )


def _secondary_text(found: Finding, listed: Sequence[Listed], trial: Trial) -> str | None:
    if found.outcome.name == trial.primary:
        return None
    q_value = next((each.q_value for each in listed if each.outcome.name == found.outcome.name), None)
    told = "" if q_value is None else f" Its q-value among the secondary outcomes is {q_value:.2g}."
    primary = OUTCOMES[trial.primary].title
    return f"The trial was set up to be judged by the {primary}; this outcome is looked at beside it.{told}"


def rows(
    source: "Source",
    experiment: str | None = None,
    outcome: str | None = None,
    days: int = DAYS,
    margin: float | None = None,
    **_: Any,
) -> Table:
    """Return the customers that the figure is made of: arm, exposure, outcome and what was known before."""
    import numpy as np

    trial = read_trial(source, experiment, with_redeemed=margin is not None)
    if isinstance(trial, Missing):
        return Table("customers", trial.reason, (Column("customer_id", "Customer", "text"),), ())
    chosen = outcomes_with(margin)[outcome or trial.primary]
    followed, closes, _final = opened(trial, source)
    sample = chosen.sample(followed, closes, days)
    seen = followed.trial
    names = source.store.names(seen.unit[sample.who].tolist())
    exposed = np.datetime_as_string(seen.exposed_day[sample.who].astype("datetime64[D]")).tolist()
    arms = [ARM_NAMES[each] for each in sample.arm.tolist()]
    blank = [None] * len(names)
    columns = (
        Column("customer_id", "Customer", "text"),
        Column("arm", "Arm", "text"),
        Column("exposed_on", "Exposed", "date"),
        Column("outcome", chosen.title.capitalize(), "minor" if chosen.unit == "minor" else "score"),
        Column("divided_by", "Divided by", "score"),
        Column("before", "From before", "score"),
    )
    cells = zip(
        names,
        arms,
        exposed,
        sample.y.tolist(),
        blank if sample.below is None else sample.below.tolist(),
        blank if sample.x is None else sample.x.tolist(),
        strict=True,
    )
    return Table("customers", f"Customers of the trial {trial.experiment_id}", columns, list(cells))


_EDGES = (
    "Who is held out is drawn by chance, once, before anything is known, so a difference beyond the interval is real.",
    "Everybody who was exposed counts in the arm they were drawn into, whether they took part or not.",
    "The purchase by which a customer became exposed counts in no arm.",
    "Where the holdout joins later, only what happened before that counts.",
    "While the trial runs, the interval may be looked at every day; at the registered end there is one look, narrower.",
    "No figure is shown with fewer than 100 customers or 10 with an event in an arm, or within the first 28 days.",
    "No figure is shown where the sizes of the arms are not those that were drawn.",
)

METRICS: tuple[Metric, ...] = (
    Metric(
        Definition(
            name="effect",
            title="Effect of the program",
            family="Effect",
            unit="points_pct",
            formula=(
                "outcome of everybody exposed in the program's arm − the same of the holdout, adjusted by what each "
                "had bought before"
            ),
            window=(
                "A fixed number of days after each customer's exposure (90). Repeat rate and retention wait until "
                "these days have passed for a customer; sums count what has happened of them."
            ),
            edges=_EDGES,
            source=(
                "CUPED: Deng, Xu, Kohavi and Walker (2013); regression: Lin (2013), HC2; always-valid interval: "
                "Waudby-Smith and others (2021); relative lift: Fieller (1954); q-values: Benjamini, Hochberg (1995)."
            ),
        ),
        effect,
        PARAMETERS,
        rows=rows,
        on_dashboard=True,
    ),
)
