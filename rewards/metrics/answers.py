"""The Net Promoter Score: who would recommend the shop, less who would rather not."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from math import sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from rewards.metrics.intervals import z
from rewards.metrics.ledger_reading.answers import Asked, Said, Wanted, read_asked, read_said
from rewards.metrics.ledger_reading.clocks import Period, period_of
from rewards.metrics.orders import day_number
from rewards.metrics.result import Column, Definition, Interval, Metric, Parameter, Result, Table, nothing
from rewards.metrics.windows import Kind, window_parameters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rewards.metrics.source import Source
    from rewards.program.history import ProgramHistory
    from rewards.program.surveys import SurveyDefinition

#: With fewer answers the interval is a rough one.
FEW = 30
#: An answer above this says that a question named ``recommend`` is on the scale from 0 to 10, not from 1 to 6.
SIX = 6


class Votes(NamedTuple):
    """How many said 9 or 10, 7 or 8, and 0 to 6."""

    promoters: int
    passives: int
    detractors: int

    @property
    def answers(self) -> int:
        """How many there are in all."""
        return sum(self)

    @property
    def score(self) -> float | None:
        """The score, −100 to 100; None without answers."""
        return 100 * (self.promoters - self.detractors) / self.answers if self.answers else None

    def interval(self) -> Interval | None:
        """Return the score ± 1.96 standard errors; None without answers, or where all are of one kind.

        The standard error is ``100·√((p + d − (p − d)²)/n)`` with the shares of promoters and detractors.
        """
        score = self.score
        if score is None:
            return None
        p, d = self.promoters / self.answers, self.detractors / self.answers
        error = 100 * sqrt(max(p + d - (p - d) ** 2, 0.0) / self.answers)
        if error < 1e-9:
            return None
        return Interval(max(score - z() * error, -100.0), min(score + z() * error, 100.0))


def votes_of(scores: "NDArray[np.int64]") -> Votes:
    """Return how many answers from 0 to 10 promote, are passive and detract."""
    promoters, detractors = int((scores >= 9).sum()), int((scores <= 6).sum())
    return Votes(promoters, len(scores) - promoters - detractors, detractors)


def surveys_of(programs: "ProgramHistory") -> dict[str, "SurveyDefinition"]:
    """Return every survey that a version of the program has or had, as its latest version has it."""
    return {survey.id: survey for version in programs.versions for survey in version.document.surveys}


def _wanted(source: "Source", survey: str | None, question: str | None) -> tuple[list[Wanted], list[str]]:
    """Return the question to read of each survey, and those of surveys that the program does not have."""
    assert source.conn is not None
    assert source.programs is not None
    known = surveys_of(source.programs)
    wanted, guessed = [], []
    for asked in read_asked(source.conn):
        if survey is not None and asked.survey_id != survey:
            continue
        if asked.survey_id in known:
            mine = [each.id for each in known[asked.survey_id].asked if each.type == "nps"]
            name = question if question in mine else next(iter(mine), None)
        else:
            name = question or _guessed(asked)
            if name is not None:
                guessed.append(name)
        if name is not None:
            wanted.append(Wanted(asked.survey_id, name, 0, 10))
    return wanted, sorted(set(guessed))


def _guessed(asked: Asked) -> str | None:
    if asked.has_nps:
        return "nps"
    return "recommend" if (asked.most_recommend or 0) > SIX else None


def compute(
    source: "Source",
    *,
    window: Kind,
    days: int,
    survey: str | None,
    question: str | None,
    asked: float | None,
    **span: date | None,
) -> Result:
    """Return the score of the last answer of each person in the window; see the module's definition."""
    if source.conn is None or source.programs is None:
        return nothing("Answers to surveys are not at hand: ask for this on the shop's database.", "score")
    period = period_of(source, window, days, span)
    wanted, guessed = _wanted(source, survey, question)
    parameters = {**period.parameters(), "survey": survey, "question": question, "asked": asked}
    said = read_said(source.conn, wanted, period.starts_at, period.ends_at, by_survey=False)
    waves = read_said(source.conn, wanted, period.starts_at, period.ends_at, by_survey=True)
    votes = votes_of(said.numbers.ravel())
    notes = _notes(said, votes, guessed, question)
    if votes.score is None:
        reason = f"Nobody answered how likely they are to recommend the shop from {period}."
        if not wanted:
            reason = "No survey that anybody answered has a question of type nps."
        return nothing(reason, "score", notes=notes, parameters=parameters)
    names = list(dict.fromkeys(each.survey_id for each in wanted))
    return Result(
        votes.score,
        "score",
        votes.promoters - votes.detractors,
        votes.answers,
        votes.interval(),
        notes=notes,
        tables=(
            _kinds(votes),
            _waves(waves, names, source),
            _scores(said.numbers.ravel()),
            response(source, said, period, None if asked is None else int(asked)),
        ),
        parameters=parameters,
    )


def _notes(said: Said, votes: Votes, guessed: Sequence[str], question: str | None) -> list[str]:
    notes = []
    if said.unread:
        notes.append(f"{said.unread:,} answers without a number from 0 to 10 are left out.")
    if guessed and question is None:
        names = " or ".join(guessed)
        notes.append(
            f"Of surveys that the program does not have {names} is read; name another with question=."
        )
    if votes.answers and votes.interval() is None:
        notes.append("All answers are of one kind, so no interval can be given.")
    elif 0 < votes.answers < FEW:
        notes.append(f"With {votes.answers} answers the score says little: look at the interval.")
    return notes


def _kinds(votes: Votes) -> Table:
    columns = (
        Column("kind", "Answered", "text"),
        Column("answers", "Answers", "count"),
        Column("share", "Share", "share"),
    )
    names = ("Promoters: 9 or 10", "Passives: 7 or 8", "Detractors: 0 to 6")
    rows = [(name, count, count / votes.answers) for name, count in zip(names, votes, strict=True)]
    return Table("kinds", "Who said what", columns, rows, chart="bars")


def _scores(numbers: "NDArray[np.int64]") -> Table:
    import numpy as np

    columns = (Column("score", "Answer", "count"), Column("answers", "Answers", "count"))
    counts = np.bincount(numbers, minlength=11)
    return Table(
        "answers", "Answers from 0 to 10", columns, [(n, int(counts[n])) for n in range(11)], chart="bars"
    )


def _waves(said: Said, names: Sequence[str], source: "Source") -> Table:
    columns = (
        Column("survey", "Survey", "text"),
        Column("score", "NPS", "score"),
        Column("low", "Low", "score"),
        Column("high", "High", "score"),
        Column("answers", "Answers", "count"),
        Column("first", "First answer", "date"),
        Column("last", "Last answer", "date"),
    )
    rows: list[tuple[Any, ...]] = []
    for place, name in enumerate(names):
        mine = said.survey == place
        if mine.any():
            votes = votes_of(said.numbers[mine].ravel())
            interval = votes.interval()
            ends = (None, None) if interval is None else (interval.low, interval.high)
            at = said.at[mine]
            rows.append(
                (name, votes.score, *ends, votes.answers, _day(at.min(), source), _day(at.max(), source))
            )
    rows.sort(key=lambda row: (row[-2], row[0]))
    return Table("waves", "Each survey is a wave, with the last answer of each person", columns, rows)


def _day(at: Any, source: "Source") -> str:
    return datetime.fromtimestamp(int(at) / 1e6, UTC).astimezone(source.zone).date().isoformat()


def response(source: "Source", said: Said, period: Period, asked: int | None) -> Table:
    """Return how many answered of those who could: of those asked where the shop says so, else of buyers.

    Args:
        source: the purchases.
        said: one answer of each person in the period.
        period: the time of both.
        asked: how many were asked, if known.
    """
    import numpy as np

    columns = (
        Column("of", "Of", "text"),
        Column("answered", "Answered", "count"),
        Column("could", "Could have", "count"),
        Column("rate", "Response rate", "share"),
    )
    orders = source.orders
    bought = (orders.day >= day_number(period.first)) & (orders.day <= day_number(period.last))
    buyers = np.unique(orders.unit[bought])
    answered = int(np.isin(np.unique(said.unit), buyers).sum())
    rows: list[tuple[Any, ...]] = [
        (
            "Customers who bought in this time",
            answered,
            len(buyers),
            answered / len(buyers) if len(buyers) else None,
        )
    ]
    if asked:
        rows.insert(0, ("Customers who were asked", len(said.unit), asked, min(len(said.unit) / asked, 1.0)))
    return Table("response", "Response rate", columns, rows)


def who(
    source: "Source",
    *,
    window: Kind,
    days: int,
    survey: str | None,
    question: str | None,
    asked: float | None,
    **span: date | None,
) -> Table:
    """Return what each person answered last."""
    del asked
    columns = (
        Column("customer_id", "Customer", "text"),
        Column("score", "Answer", "count"),
        Column("survey", "Survey", "text"),
        Column("answered_on", "On", "date"),
    )
    rows: list[tuple[Any, ...]] = []
    if source.conn is not None and source.programs is not None:
        period = period_of(source, window, days, span)
        wanted, _ = _wanted(source, survey, question)
        said = read_said(source.conn, wanted, period.starts_at, period.ends_at, by_survey=False)
        names = list(dict.fromkeys(each.survey_id for each in wanted))
        units = sorted({int(unit) for unit in said.unit if unit >= 0})
        customers = dict(zip(units, source.store.names(units), strict=True))
        for unit, place, at, number in zip(
            said.unit, said.survey, said.at, said.numbers.ravel(), strict=True
        ):
            rows.append((customers.get(int(unit)), int(number), names[place], _day(at, source)))
    return Table(
        "who", "The last answer of each person", columns, sorted(rows, key=lambda row: (row[1], str(row[0])))
    )


DEFINITION = Definition(
    name="nps",
    title="Net Promoter Score",
    family="What customers say",
    unit="score",
    formula="100 × (promoters − detractors) ÷ answers; −100 to 100, not a percentage",
    numerator="answers of 9 or 10, less answers of 0 to 6",
    denominator="people who answered, with their last answer",
    window="365 days, or what is asked for, by when people answered.",
    edges=(
        "Each person counts once, with the last answer in the window; merged identities are one person.",
        "The table of waves counts each person once in each survey.",
        "Nobody records who was asked: the response rate is of those who bought, unless asked= says how many were.",
        "Questions of type nps of the program's surveys; of other surveys nps, or recommend on a scale to 10.",
        "Test and staff accounts are left out.",
    ),
    source="Reichheld (2003); the standard error is that of a difference of two shares of one sample",
)

METRICS = (
    Metric(
        DEFINITION,
        compute,
        (
            *window_parameters(365),
            Parameter("survey", "text", None, "one survey's id; else all with such a question"),
            Parameter(
                "question", "text", None, "the question's id, where a survey has several or is imported"
            ),
            Parameter("asked", "number", None, "how many people were asked, for the response rate", least=1),
        ),
        rows=who,
        on_dashboard=True,
    ),
)
