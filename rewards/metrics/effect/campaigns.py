"""The effects of campaigns side by side: each against its own holdout, drawn by lot at the moment of the offer."""

from typing import TYPE_CHECKING, Any

from rewards.metrics.effect.analysis import Finding, Plan, analyse, benjamini_hochberg
from rewards.metrics.effect.checks import checks_of
from rewards.metrics.effect.outcomes import DAYS, OUTCOMES, Outcome
from rewards.metrics.effect.randomised import cycle_days, opened
from rewards.metrics.effect.reading import Terms, read_terms, trials_known
from rewards.metrics.effect.verdict import verdict, weeks_to_go
from rewards.metrics.result import Column, Definition, Metric, Parameter, Result, Table, nothing
from rewards.metrics.showing import words

if TYPE_CHECKING:
    from rewards.metrics.source import Source

PARAMETERS = (
    Parameter("outcome", "choice", "repeat-rate", "what is compared", tuple(OUTCOMES)),
    Parameter("days", "days", DAYS, "how many days after the offer count", least=1, most=3_650),
)


def campaign_effects(source: "Source", outcome: str, days: int) -> Result:
    """Return how many campaigns have a figure, and what each changed."""
    chosen, plan = OUTCOMES[outcome], Plan(days)
    parameters = {"outcome": outcome, "days": days}
    if source.conn is None or source.programs is None:
        reason = "Who was offered what is only known in the shop's database."
        return nothing(reason, "count", evidence="A", parameters=parameters)
    begun = [
        each for each in trials_known(source.programs) if each.is_campaign and each.starts_at < source.ends_at
    ]
    if not begun:
        reason = f"No campaign has begun up to {source.as_of}."
        return nothing(reason, "count", evidence="A", parameters=parameters)
    found = {each.experiment_id: _of_campaign(source, each, chosen, plan) for each in begun}
    told = {name: each[0] for name, each in found.items() if isinstance(each[0], Finding)}
    q_values = dict(zip(told, benjamini_hochberg([each.p_value for each in told.values()]), strict=True))
    rows = [
        _row(name, finding, said, q_values.get(name), plan, source.currency)
        for name, (finding, said) in found.items()
    ]
    notes = [
        "Each is compared with those drawn to get no offer: most who come back would have done so by themselves.",
        "The q-value counts that several campaigns were looked at: 5% of those below 0.05 are there by chance.",
    ]
    return Result(
        len(told),
        "count",
        evidence="A",
        notes=notes,
        tables=[Table("campaigns", f"Effect on {chosen.title}", _columns(chosen), rows)],
        parameters=parameters,
    )


def _of_campaign(source: "Source", terms: Terms, outcome: Outcome, plan: Plan) -> tuple[Finding | None, str]:
    """Return what a campaign changed, and the verdict or why there is none."""
    if not terms.share:
        return None, "Everybody was offered it, so that there is nobody to compare with."
    followed, closes, is_final = opened(read_terms(source, terms), source)
    checks = checks_of(followed, closes, cycle_days(source))
    stopped = [each.says for each in checks if each.outcome == "stops"]
    found = analyse(followed, closes, outcome, plan, is_final=is_final)
    if stopped or isinstance(found, str):
        return None, stopped[0] if stopped else str(found)
    to_go = weeks_to_go(followed, found, source.until, plan)
    warned = " ".join(each.says for each in checks if each.outcome == "warns")
    said = verdict(found, to_go, plan, source.currency, followed.trial.subject)
    return found, f"{said} {warned}".rstrip()


def _row(
    name: str, found: Finding | None, said: str, q_value: float | None, plan: Plan, currency: str
) -> tuple[Any, ...]:
    if found is None:
        return (name, *[None] * 11, said)
    best, unit = found.best, found.outcome.unit
    offered = int(found.sample.arm.sum())
    relative = found.relative(best, plan.expected)
    lift = (None, None, None) if relative is None else (relative.value, relative.low, relative.high)
    levels = (words.figure(level, unit, currency) for level in (best.program, best.holdout))
    held_out = len(found.sample.arm) - offered
    difference = (best.difference, found.interval.low, found.interval.high)
    return (name, offered, held_out, *levels, *difference, *lift, q_value, said)


def _columns(outcome: Outcome) -> tuple[Column, ...]:
    unit = outcome.difference_unit
    return (
        Column("campaign", "Campaign", "text"),
        Column("offered", "Offered", "count"),
        Column("held_out", "Held out", "count"),
        Column("program", "With the offer", "text"),
        Column("holdout", "Without", "text"),
        Column("difference", "Difference", unit),
        Column("difference_low", "from", unit),
        Column("difference_high", "to", unit),
        Column("relative", "Relative", "share"),
        Column("relative_low", "from", "share"),
        Column("relative_high", "to", "share"),
        Column("q_value", "q", "score"),
        Column("says", "Verdict", "text"),
    )


METRICS: tuple[Metric, ...] = (
    Metric(
        Definition(
            name="campaign-effects",
            title="Effects of campaigns",
            family="Effect",
            unit="count",
            formula="campaigns with a figure; for each: customers who were made the offer − those drawn to get none",
            window="The days given (90) after a customer was drawn for the campaign, with or without the offer.",
            edges=(
                "A campaign without a holdout has no figure: who comes back after an offer may have come anyway.",
                "For more of one campaign, its curve over time included, ask for the effect with its name.",
            ),
            source="As the effect; q-values: Benjamini and Hochberg (1995), over the campaigns that have a figure.",
        ),
        campaign_effects,
        PARAMETERS,
        on_dashboard=True,
    ),
)
