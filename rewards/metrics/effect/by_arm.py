"""The effect as a wait: how long customers take until they buy again, in each arm, and by how much it is shorter."""

from typing import TYPE_CHECKING

from rewards.core.wording import number
from rewards.metrics.effect.always_valid import reach
from rewards.metrics.effect.checks import LEAST_CUSTOMERS, LEAST_EVENTS, checks_of, checks_table
from rewards.metrics.effect.randomised import EXPERIMENT, cycle_days, opened
from rewards.metrics.effect.reading import Missing, read_trial
from rewards.metrics.effect.trial import ARM_NAMES, HOLDOUT, PROGRAM, Followed, Trial
from rewards.metrics.result import Column, Definition, Interval, Metric, Parameter, Result, Table, nothing
from rewards.metrics.survival import Curve, kaplan_meier, log_rank, rmst_difference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rewards.metrics.source import Source

WITHIN = Parameter("within", "days", 365, "how far the waits are compared, in days", least=7, most=3_650)


def effect_by_survival(source: "Source", experiment: str | None = None, within: int = 365) -> Result:
    """Return the difference between the arms in the mean wait until customers buy again."""
    trial = read_trial(source, experiment)
    parameters = {"experiment": experiment, "within": within}
    if isinstance(trial, Missing):
        return nothing(trial.reason, "days", evidence="A", parameters=parameters)
    return survival_of(trial, source, within)


def survival_of(trial: Trial, source: "Source", within: int) -> Result:
    """Return the same for a trial that was read."""
    followed, closes, is_final = opened(trial, source)
    checks = checks_of(followed, closes, cycle_days(source))
    stopped = [each.says for each in checks if each.outcome == "stops"]
    waits, again = waits_of(followed, closes)
    arm = followed.trial.arm
    parameters = {"experiment": trial.experiment_id, "within": within}
    counts = {each: int(again[arm == each].sum()) for each in (PROGRAM, HOLDOUT)}
    if not stopped and (min(followed.trial.sizes) < LEAST_CUSTOMERS or min(counts.values()) < LEAST_EVENTS):
        stopped = [f"Fewer than {LEAST_EVENTS} customers of an arm have bought again until now."]
    if stopped:
        return nothing(stopped[0], "days", evidence="A", tables=[checks_table(checks)], parameters=parameters)
    curves = {each: kaplan_meier(waits[arm == each], again[arm == each]) for each in (PROGRAM, HOLDOUT)}
    tau = min(within, int(min(curve.watched for curve in curves.values())))
    difference = rmst_difference(curves[PROGRAM], curves[HOLDOUT], tau)
    if difference is None:
        return nothing("Nobody was watched for a day yet.", "days", evidence="A", parameters=parameters)
    shorter = "less" if difference.value < 0 else "more"
    said = (
        f"Within {tau} days of their exposure customers in the program wait {abs(difference.value):.1f} days {shorter} "
        "on average until they buy again; below zero is sooner."
    )
    notes = [said]
    interval = difference.interval
    if is_final:
        test = log_rank(*(part for each in curves for part in (waits[arm == each], again[arm == each])))
        notes += [] if test is None else [f"Log-rank test of the two curves: p {test.p_value:.2g}."]
    else:
        half = difference.se * reach(len(arm))
        interval = Interval(difference.value - half, difference.value + half)
        notes.append(
            "The interval may be looked at as often as you like; a test of the curves waits for the end."
        )
    notes += [each.says for each in checks if each.outcome == "warns"]
    return Result(
        difference.value,
        "days",
        interval=interval,
        evidence="A",
        notes=notes,
        tables=[_curves_table(curves, tau)],
        parameters=parameters,
    )


def waits_of(followed: Followed, closes: int) -> "tuple[NDArray[np.int64], NDArray[np.bool_]]":
    """Return after how many days each customer bought again, or until when they were watched without that."""
    import numpy as np

    trial = followed.trial
    watched = np.maximum(closes - 1 - trial.exposed_day, 0).astype(np.int64)
    again = followed.returns_after <= watched
    return np.where(again, followed.returns_after, watched), again


def _curves_table(curves: dict[int, Curve], tau: int) -> Table:
    import numpy as np

    # A step of about a hundredth of the way is as fine as a drawing shows.
    days = np.arange(0, tau + 1, max(1, tau // 120))
    rows = []
    for day in days.tolist():
        cells: list[float | None] = []
        for arm in (PROGRAM, HOLDOUT):
            bounds = curves[arm].interval_at(day)
            cells += [
                curves[arm].at(day),
                *((bounds.low, bounds.high) if bounds is not None else (None, None)),
            ]
        rows.append((day, *cells))
    columns = [Column("day", "Days after the exposure", "days")]
    for arm in (PROGRAM, HOLDOUT):
        name = ARM_NAMES[arm]
        columns += [
            Column(name, f"{name.capitalize()} ({number(curves[arm].size)} customers)", "share"),
            Column(f"{name}_low", "from", "share"),
            Column(f"{name}_high", "to", "share"),
        ]
    title = "Share of customers who have not bought again yet"
    return Table("survival", title, columns, rows, chart="survival")


METRICS: tuple[Metric, ...] = (
    Metric(
        Definition(
            name="effect-by-survival",
            title="Effect on how soon customers come back",
            family="Effect",
            unit="days",
            formula="mean days until the next purchase within the first days after exposure, program − holdout (RMST)",
            window="The days given (365), or as many as both arms were watched for.",
            edges=(
                "A purchase on the day of the exposure is no return.",
                "Who has not come back yet counts as still waiting, and is not left out.",
                "Below zero is good: customers in the program come back sooner.",
            ),
            source="Kaplan and Meier (1958); restricted mean: Klein and Moeschberger (2003); log-rank: Mantel (1966).",
        ),
        effect_by_survival,
        (EXPERIMENT, WITHIN),
        on_dashboard=True,
    ),
)
