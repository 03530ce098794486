"""What must hold of a trial before its figures are worth reading: none of it looks at what came out.

A check that *stops* takes the figures away: they would mislead. One that *warns* stands beside them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rewards.core.wording import number
from rewards.metrics.effect.estimators import difference_in_means
from rewards.metrics.effect.trial import Followed, Trial
from rewards.metrics.result import Column, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: The numbers of customers in the arms, or the ways their exposures were logged, are no accident below this.
ALARM_P = 0.001
#: Fewer customers in an arm, or fewer of them with an event, carry no figure.
LEAST_CUSTOMERS = 100
LEAST_EVENTS = 10
#: A trial runs at least this long before a figure is shown, and two purchase cycles before it is final.
LEAST_DAYS = 28
CYCLES = 2


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found.

    Attributes:
        name: in JSON.
        title: for people.
        outcome: ``passed``; ``warns`` beside the figures; ``stops`` them.
        says: what was found, a sentence.
        p_value: of its test, where it has one.
    """

    name: str
    title: str
    outcome: Literal["passed", "warns", "stops"]
    says: str
    p_value: float | None = None


def checks_of(followed: Followed, until: int, cycle_days: float | None) -> list[Check]:
    """Return what all checks say of a trial's customers, as of the end of the day before ``until``."""
    trial = followed.trial
    return [
        sample_ratio(trial),
        balance(followed),
        contamination(trial),
        logging_alike(trial),
        merged(trial),
        duration(trial, until, cycle_days),
        enough_customers(trial),
    ]


def sample_ratio(trial: Trial) -> Check:
    """Compare the sizes of the arms with the share that the holdout was to have, of those drawn by lot: a χ² test."""
    title = "Sizes of the arms"
    if not len(trial):
        says = "Nobody was exposed to the trial until now."
        if trial.merged_across_arms:
            says = f"All {number(trial.merged_across_arms)} who were exposed turned out to be in both arms."
        return Check("sample-ratio", title, "stops", says)
    total = int(trial.drawn.sum())
    in_program = int(trial.arm[trial.drawn].sum())
    held_out = total - in_program
    if trial.share is None or not total:
        says = (
            f"All {number(len(trial))} customers were assigned from outside, and in what ratio was not said: whether "
            "some are missing in one arm cannot be told."
        )
        return Check("sample-ratio", title, "warns", says)
    p_value = ratio_p(in_program, held_out, trial.share)
    found = f"{held_out / total:.2%} of {number(total)} were held out where {trial.share:.2%} should be"
    if p_value < ALARM_P:
        says = (
            f"{found}: no accident (p {p_value:.1g}). Something loses or adds customers in one arm, and what is left "
            "cannot be compared. Look for exposures that are logged in one arm only, and for filters after the draw."
        )
        return Check("sample-ratio", title, "stops", says, p_value)
    return Check("sample-ratio", title, "passed", f"{found}: as the draw allows.", p_value)


def ratio_p(in_program: int, held_out: int, share: float) -> float:
    """Return the p-value of Pearson's χ² of two counts against the shares ``1 − share`` and ``share``."""
    from scipy.special import chdtrc

    total = in_program + held_out
    expected = total * share
    statistic = (held_out - expected) ** 2 * (1 / expected + 1 / (total - expected))
    return float(chdtrc(1, statistic))


def balance(followed: Followed) -> Check:
    """Compare the arms before the exposure: the draw cannot have changed the past (an A/A test)."""
    import numpy as np

    title = "The arms before the trial"
    if not followed.has_history.any():
        return Check("balance", title, "passed", "All are new customers: there is no past to compare.")
    arm = followed.trial.arm
    compared = {
        "customers with purchases in the year before": followed.has_history.astype(np.float64),
        "purchases in the year before": followed.past_days,
        "money in the year before": followed.past_money,
    }
    tests = {name: difference_in_means(x, arm) for name, x in compared.items()}
    worst = min(
        ((each.p_value, name) for name, each in tests.items() if each is not None), default=(1.0, "nothing")
    )
    # Three looks at one past: the smallest p-value is taken times three.
    p_value = min(1.0, worst[0] * len(tests))
    if p_value < ALARM_P:
        return Check(
            "balance",
            title,
            "warns",
            f"The arms differ in {worst[1]} (p {p_value:.1g}), which the program cannot have caused: the assignment is "
            "likely not random.",
            p_value,
        )
    return Check("balance", title, "passed", "They bought alike in the year before their exposure.", p_value)


def contamination(trial: Trial) -> Check:
    """Count the customers of the holdout who got something from the program."""
    _, held_out = trial.sizes
    if trial.subject == "offer":
        # They earn points as before, and their orders are what is compared; no more can be said of them.
        says = (
            "A campaign's rules give only to those who were made its offer, and only the campaign makes it."
        )
        return Check("contamination", "Holdout customers with the offer", "passed", says)
    count, title = int(trial.contaminated.sum()), "Holdout customers with points"
    if not count:
        return Check("contamination", title, "passed", "No customer of the holdout got points.")
    return Check(
        "contamination",
        title,
        "warns",
        f"{number(count)} of {number(held_out)} customers of the holdout got points all the same. They stay in the "
        "holdout, so the effect that is shown is smaller than what points do.",
    )


def logging_alike(trial: Trial) -> Check:
    """Compare between the arms how exposures became known: in both they must be logged by the same means."""
    import numpy as np

    title = "Exposures logged alike"
    counts = np.array(
        [np.bincount(trial.logged_by[trial.arm == arm], minlength=len(trial.logged_names)) for arm in (1, 0)]
    )
    p_value = independence_p(counts)
    if p_value is not None and p_value < ALARM_P:
        return Check(
            "logging",
            title,
            "warns",
            f"How exposures were logged ({', '.join(trial.logged_names)}) differs between the arms (p {p_value:.1g}): "
            "log the moment in both arms, by the same code.",
            p_value,
        )
    return Check(
        "logging", title, "passed", "Exposures became known by the same means in both arms.", p_value
    )


def independence_p(counts: "NDArray[np.int64]") -> float | None:
    """Return the p-value of Pearson's χ² of independence of a table; None where a single row or column has counts."""
    from scipy.special import chdtrc

    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    if min(counts.shape) < 2:
        return None
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / counts.sum()
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return float(chdtrc((counts.shape[0] - 1) * (counts.shape[1] - 1), statistic))


def merged(trial: Trial) -> Check:
    """Count those who are left out because they turned out to be one person in both arms."""
    title, count = "One person in both arms", trial.merged_across_arms
    if not count:
        return Check("merged", title, "passed", "Nobody turned out to be in both arms.")
    total = count + len(trial)
    says = f"{number(count)} of {number(total)} turned out to be one person in both arms, and are left out."
    return Check("merged", title, "warns" if count > 0.01 * total else "passed", says)


def duration(trial: Trial, until: int, cycle_days: float | None) -> Check:
    """Compare how long the trial has run with four weeks, and with two purchase cycles."""
    title = "How long it has run"
    first = int(trial.exposed_day.min()) if len(trial) else until
    ran = trial.closes(until) - first
    if ran < LEAST_DAYS:
        says = f"It has run for {ran} days; figures are shown after {LEAST_DAYS}."
        return Check("duration", title, "stops", says)
    if cycle_days is not None and ran < CYCLES * cycle_days:
        says = (
            f"It has run for {ran} days, less than two purchase cycles of {cycle_days:.0f} days: what the program does "
            "to habits is not all to be seen yet."
        )
        return Check("duration", title, "warns", says)
    return Check("duration", title, "passed", f"It has run for {number(ran)} days.")


def enough_customers(trial: Trial) -> Check:
    """Hold that both arms are large enough for any figure."""
    title, (in_program, held_out) = "Enough customers", trial.sizes
    says = f"{number(in_program)} customers in the program and {number(held_out)} held out"
    if min(in_program, held_out) < LEAST_CUSTOMERS:
        says = f"{says}: each arm needs {LEAST_CUSTOMERS} before a difference can be told from an accident."
        return Check("customers", title, "stops", says)
    return Check("customers", title, "passed", f"{says} were exposed.")


def checks_table(checks: list[Check]) -> Table:
    """Return the checks for people."""
    columns = (
        Column("check", "Check", "text"),
        Column("outcome", "Outcome", "text"),
        Column("says", "What was found", "text"),
        Column("p_value", "p", "score"),
    )
    rows = [(each.title, each.outcome, each.says, each.p_value) for each in checks]
    return Table("checks", "Checks before any figure", columns, rows)
