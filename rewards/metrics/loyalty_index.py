"""The Customer Loyalty Index: would they recommend the shop, buy again, and try other products?"""

from collections.abc import Mapping, Sequence
from datetime import date
from math import sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from rewards.metrics.answers import response, surveys_of
from rewards.metrics.intervals import LEVEL
from rewards.metrics.ledger_reading.answers import Said, Wanted, read_asked, read_said
from rewards.metrics.ledger_reading.clocks import period_of
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
from rewards.metrics.windows import Kind, window_parameters
from rewards.program.surveys import TEMPLATES, NpsQuestion, ScaleQuestion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rewards.metrics.source import Source

#: In the order of their names, as answers are read.
QUESTIONS = {
    question.id: question.text for question in sorted(TEMPLATES["customer_loyalty_index"], key=lambda q: q.id)
}


class Scale(NamedTuple):
    """A scale from one whole number to another, and which end is the good one."""

    lowest: int
    highest: int
    better: str

    def score(self, answers: "NDArray[np.int64]") -> "NDArray[np.float64]":
        """Return what answers count, 0 for the worst to 100 for the best, in equal steps."""
        above = answers - self.lowest if self.better == "high" else self.highest - answers
        scores: NDArray[np.float64] = 100.0 * above / (self.highest - self.lowest)
        return scores


def read_scale(scale: str) -> Scale:
    """Return the scale that a text such as ``1-6-low`` names: both ends, and which of them is the better one.

    Raises:
        BadParameter: it names none.
    """
    parts = scale.split("-")
    if len(parts) == 3 and parts[0].isdecimal() and parts[1].isdecimal() and parts[2] in ("low", "high"):
        found = Scale(int(parts[0]), int(parts[1]), parts[2])
        if found.lowest < found.highest <= 100:
            return found
    raise BadParameter("scale must name both ends and the better one, such as 1-6-low or 0-10-high")


class Mean(NamedTuple):
    """A mean of respondents' scores with its interval."""

    value: float
    interval: Interval | None


def mean(scores: "NDArray[np.float64]") -> Mean:
    """Return the mean of at least one score with Student's interval; None for one score, or where all are the same."""
    from scipy.special import stdtrit

    value, n = float(scores.mean()), len(scores)
    if n < 2 or not float(scores.std()):
        return Mean(value, None)
    reach = float(stdtrit(n - 1, 0.5 + LEVEL / 2)) * float(scores.std(ddof=1)) / sqrt(n)
    return Mean(value, Interval(max(value - reach, 0.0), min(value + reach, 100.0)))


def _scales(
    source: "Source", survey: str | None, scale: str | None
) -> tuple[dict[str, Mapping[str, Scale]], list[str]]:
    """Return the scales of the three questions of each survey that has them, and surveys whose scale is not known."""
    assert source.conn is not None
    assert source.programs is not None
    known = surveys_of(source.programs)
    scales: dict[str, Mapping[str, Scale]] = {}
    unknown = []
    for asked in read_asked(source.conn):
        survey_id = asked.survey_id
        if not asked.has_index or (survey is not None and survey_id != survey):
            continue
        if survey_id in known:
            found = {each.id: _scale_of(each) for each in known[survey_id].asked if each.id in QUESTIONS}
            if len(found) == len(QUESTIONS) and None not in found.values():
                scales[survey_id] = {name: each for name, each in found.items() if each is not None}
        elif scale is not None:
            scales[survey_id] = dict.fromkeys(QUESTIONS, read_scale(scale))
        else:
            unknown.append(survey_id)
    return scales, unknown


def _scale_of(question: Any) -> Scale | None:
    if isinstance(question, ScaleQuestion):
        return Scale(question.lowest, question.highest, question.better)
    return Scale(0, 10, "high") if isinstance(question, NpsQuestion) else None


def scores_of(said: Said, scales: Sequence[Mapping[str, Scale]]) -> "NDArray[np.float64]":
    """Return what each answer counts for each of the three questions, given each survey's scales: N × 3."""
    import numpy as np

    scores = np.zeros(said.numbers.shape, dtype=float)
    for place, of_survey in enumerate(scales):
        mine = said.survey == place
        for column, name in enumerate(QUESTIONS):
            scores[mine, column] = of_survey[name].score(said.numbers[mine, column])
    return scores


def compute(
    source: "Source", *, window: Kind, days: int, survey: str | None, scale: str | None, **span: date | None
) -> Result:
    """Return the mean over respondents of their means over the questions; see the module's definition."""
    if source.conn is None or source.programs is None:
        return nothing("Answers to surveys are not at hand: ask for this on the shop's database.", "score")
    period = period_of(source, window, days, span)
    scales, unknown = _scales(source, survey, scale)
    parameters = {**period.parameters(), "survey": survey, "scale": scale}
    wanted = [
        Wanted(survey_id, name, each.lowest, each.highest)
        for survey_id, of_survey in scales.items()
        for name, each in of_survey.items()
    ]
    said = read_said(source.conn, wanted, period.starts_at, period.ends_at, by_survey=False)
    notes = _notes(said, unknown)
    if not len(said.unit):
        reason = f"Nobody answered all three questions from {period}."
        if not scales:
            reason = f"No survey that anybody answered asks all of {', '.join(QUESTIONS)} on a scale that is known."
        return nothing(reason, "score", notes=notes, parameters=parameters)
    waves = read_said(source.conn, wanted, period.starts_at, period.ends_at, by_survey=True)
    scores = scores_of(said, list(scales.values()))
    overall = mean(scores.mean(axis=1))
    return Result(
        overall.value,
        "score",
        float(scores.mean(axis=1).sum()),
        len(said.unit),
        overall.interval,
        notes=notes,
        tables=(_questions(scores), _waves(waves, scales), response(source, said, period, None)),
        parameters=parameters,
    )


def _notes(said: Said, unknown: Sequence[str]) -> list[str]:
    notes = []
    if said.unread:
        notes.append(
            f"{said.unread:,} answers that lack one of the three, or lie off its scale, are left out."
        )
    if unknown:
        notes.append(
            f"Surveys on scales that nobody has told are left out: {', '.join(unknown[:5])}. "
            "Put them into the program, or name their scale with scale=, such as 1-6-low."
        )
    return notes


_COLUMNS = (
    Column("score", "Score", "score"),
    Column("low", "Low", "score"),
    Column("high", "High", "score"),
    Column("answers", "People", "count"),
)


def _row(scores: "NDArray[np.float64]") -> tuple[Any, ...]:
    value, interval = mean(scores)
    return value, interval and interval.low, interval and interval.high, len(scores)


def _questions(scores: "NDArray[np.float64]") -> Table:
    columns = (Column("question", "Question", "text"), *_COLUMNS)
    rows = [(text, *_row(scores[:, column])) for column, text in enumerate(QUESTIONS.values())]
    return Table("questions", "Each question from 0 to 100", columns, rows, chart="bars")


def _waves(said: Said, scales: Mapping[str, Mapping[str, Scale]]) -> Table:
    columns = (Column("survey", "Survey", "text"), *_COLUMNS)
    scores = scores_of(said, list(scales.values())).mean(axis=1)
    rows = [
        (name, *_row(scores[said.survey == place]))
        for place, name in enumerate(scales)
        if (said.survey == place).any()
    ]
    return Table("waves", "Each survey is a wave, with the last answer of each person", columns, rows)


DEFINITION = Definition(
    name="loyalty-index",
    title="Customer Loyalty Index",
    family="What customers say",
    unit="score",
    formula="mean over people of the mean of three answers, each from 0 (worst) to 100 (best)",
    numerator="people's scores, added up",
    denominator="people who answered all three questions",
    window="365 days, or what is asked for, by when people answered.",
    edges=(
        "Would you recommend us, buy from us again, try other products of ours: recommend, buy_again, try_others.",
        "Each answer is put on 0 to 100 by its own question's scale and better end: 1 to 6 with 1 best is 100 to 0.",
        "Who did not answer all three, or answered off the scale, is left out and told.",
        "Each person counts once, with the last whole answer in the window.",
        "Imported surveys count once their scale is told. Test and staff accounts are left out.",
    ),
    source="The questions of the Customer Loyalty Index; sources disagree on its scale, so each question has its own",
)

METRICS = (
    Metric(
        DEFINITION,
        compute,
        (
            *window_parameters(365),
            Parameter("survey", "text", None, "one survey's id; else all that ask the three questions"),
            Parameter("scale", "text", None, "the scale of imported surveys, such as 1-6-low or 0-10-high"),
        ),
        on_dashboard=True,
    ),
)
