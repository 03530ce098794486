"""Brings in answers to surveys, one row for each customer and survey.

Answers to a survey of the program go through the engine, as if the customer had just sent them: they are checked by its
questions and earn what its rules give. Answers to any other survey, as an earlier tool has asked it, are kept as facts
for metrics alone; the engine knows nothing of them.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json
from sqlalchemy import Connection, text

from rewards.core.database import Database
from rewards.core.errors import SetupError
from rewards.core.progress import Progress, unheard
from rewards.decide.commands import Award, Record, Survey
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.facts.state import mark_changed
from rewards.importing.chunks import ACTOR
from rewards.importing.columns import Columns, FactsReport, OnceEach, Unfit, chunks, past_instant, shop_id
from rewards.importing.csvfile import CsvFile
from rewards.importing.running import write_errors
from rewards.program.history import ProgramHistory
from rewards.program.surveys import SurveyDefinition, find_survey
from rewards.program.versions import load_history

_REQUIRED = ("survey_id", "customer_id", "answered_at")
MOST_QUESTIONS = 100
_COMMENT = "comment"
_WHOLE = re.compile(r"[+-]?\d{1,15}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,15}\.\d{1,6}", re.ASCII)
_ANSWERS: TypeAdapter[Survey] = TypeAdapter(Survey)


class _Answered(NamedTuple):
    line: int
    customer_id: str
    answered_at: datetime
    survey: Survey
    #: Whether the program in force then has the survey.
    is_ours: bool


def import_surveys(
    path: Path,
    database: Database,
    *,
    now: datetime,
    award: bool = True,
    errors_path: Path | None = None,
    progress: Progress = unheard,
) -> FactsReport:
    """Import a CSV file of answers: ``survey_id, customer_id, answered_at``, then a column for each question.

    Args:
        path: the file. A column ``comment`` is the customer's own words; an empty cell is no answer.
        database: where to.
        now: the present; answers after it are rejected.
        award: False records answers to the program's surveys without giving points for them.
        errors_path: gets the rejected rows, with reasons.
        progress: told of bytes read.

    Raises:
        SetupError: the file cannot be read, or ``errors_path`` cannot be written; nothing was changed.
        BusyError: the database does not answer; run it again and it goes on where it stopped.
    """
    file = CsvFile(path)
    columns = Columns(file, _REQUIRED)
    if len(columns.others) > MOST_QUESTIONS:
        raise SetupError(f"{path} has more than {MOST_QUESTIONS} questions; remove some columns")
    with database.engine.connect() as conn:
        history = load_history(conn)
    reader = _Reader(columns, history, now)
    if errors_path is not None:
        write_errors(errors_path, file, ())
    report, engine = FactsReport(), Engine(database)
    for chunk in chunks(file, report, reader.read, lambda done: progress("Importing", done, file.size)):
        _award(engine, [each for each in chunk if each.is_ours], now, report, award=award)
        others = [each for each in chunk if not each.is_ours]
        if others:
            with database.engine.begin() as conn:
                _keep(conn, others, report)
    progress("Importing", file.size, file.size)
    report.rejected.sort()
    if errors_path is not None:
        write_errors(errors_path, file, report.rejected)
    return report


class _Reader:
    """Reads rows of answers."""

    def __init__(self, columns: Columns, history: ProgramHistory, now: datetime) -> None:
        self._columns = columns
        self._history = history
        self._now = now
        self._once = OnceEach("duplicate-answer", "survey and customer")

    def read(self, line: int, record: Sequence[str]) -> _Answered:
        """Return what a row says.

        Raises:
            Unfit: it says nothing that can be kept.
        """
        columns = self._columns
        survey_id = shop_id(columns.cell(record, "survey_id"), "survey_id")
        customer_id = columns.customer(record)
        answered_at = past_instant(
            columns.cell(record, "answered_at"), "answered_at", self._history, self._now
        )
        definition = find_survey(self._history.in_force(answered_at).document.surveys, survey_id)
        answers: dict[str, Any] = {}
        comment = None
        for name in columns.others:
            cell = columns.cell(record, name)
            if cell and name == _COMMENT and not _has_question(definition, name):
                comment = cell
            elif cell:
                answers[name] = _answer(definition, name, cell)
        if not answers and comment is None:
            raise Unfit("no-answers", "the row answers no question")
        self._once.check(line, survey_id, customer_id)
        body = {"type": "survey", "survey_id": survey_id, "answers": answers, "comment": comment}
        try:
            survey = _ANSWERS.validate_python(body)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise Unfit("invalid-answer", f"{place}: {first['msg'].removeprefix('Value error, ')}") from None
        return _Answered(line, customer_id, answered_at, survey, definition is not None)


def _has_question(definition: SurveyDefinition | None, name: str) -> bool:
    return definition is not None and any(each.id == name for each in definition.questions)


def _answer(definition: SurveyDefinition | None, name: str, cell: str) -> Any:
    """Return what a cell says: a number where it is one, several choices where the question takes several."""
    questions = () if definition is None else definition.questions
    question = next((each for each in questions if each.id == name), None)
    if question is not None and question.type == "choice":
        return [each.strip() for each in cell.split("|")] if question.multiple else cell
    if question is not None and question.type == "text":
        return cell
    if _WHOLE.fullmatch(cell):
        return int(cell)
    return float(cell) if _DECIMAL.fullmatch(cell) else cell


def _award(
    engine: Engine, rows: Sequence[_Answered], now: datetime, report: FactsReport, *, award: bool
) -> None:
    """Send answers to surveys of the program to the engine."""
    kind = Award if award else Record
    commands = [
        kind(customer_id=each.customer_id, occurred_at=each.answered_at, activity=each.survey)
        for each in rows
    ]
    submissions = [
        Submission(command, f"import:surveys:{each.survey.survey_id}", ACTOR, remember_refusal=False)
        for each, command in zip(rows, commands, strict=True)
    ]
    for each, answer in zip(rows, engine.execute(submissions, now), strict=True):
        body = from_json(answer.body)
        if answer.replayed or body.get("code") == "already-awarded":
            report.already_there += 1
        elif answer.status >= 400:
            reason = body["detail"]
            if body["code"] == "idempotency-key-reused":
                reason = f"{each.survey.survey_id} was imported before with other answers, which stand"
            report.reject(each.line, body["code"], reason)
        else:
            report.imported += 1
            report.points += body["points"]


_KEEP = text("""
INSERT INTO survey_answers AS s (customer_id, survey_id, source, answered_at, answers)
SELECT r.customer_id, r.survey_id, 'import', r.answered_at, r.answers
FROM jsonb_to_recordset(CAST(:rows AS jsonb))
     AS r (customer_id text, survey_id text, answered_at timestamptz, answers jsonb)
ORDER BY r.customer_id, r.survey_id
ON CONFLICT (customer_id, survey_id, source) DO UPDATE
SET answered_at = excluded.answered_at, answers = excluded.answers
WHERE (s.answered_at, s.answers) IS DISTINCT FROM (excluded.answered_at, excluded.answers)""")


def _keep(conn: Connection, rows: Sequence[_Answered], report: FactsReport) -> None:
    """Keep answers to surveys that the program does not have; what says otherwise than before is put in its place."""
    kept = [
        {
            "customer_id": each.customer_id,
            "survey_id": each.survey.survey_id,
            "answered_at": each.answered_at,
            "answers": each.survey.answers
            | ({} if each.survey.comment is None else {_COMMENT: each.survey.comment}),
        }
        for each in rows
    ]
    changed = conn.execute(_KEEP, {"rows": to_json(kept).decode()}).rowcount
    if changed:
        mark_changed(conn)
    report.imported += changed
    report.already_there += len(rows) - changed
