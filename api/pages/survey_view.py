"""What a survey's page shows, and what its form says: no HTML, no database."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, NamedTuple

from rewards.core import wording
from rewards.program.document import ProgramDocument
from rewards.program.holdout import HOLDOUT_RULE
from rewards.program.surveys import (
    AnswerProblem,
    ChoiceQuestion,
    NpsQuestion,
    Question,
    ScaleLabels,
    SurveyDefinition,
    TextQuestion,
)

_INTEGER = re.compile(r"-?[0-9]{1,3}", re.ASCII)
#: What a form's text may not have: control characters but tabs and line breaks.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_LIKELIHOOD = ScaleLabels(lowest="Not at all likely", highest="Extremely likely")


class Option(NamedTuple):
    """Something to choose: a step of a scale or one of several answers."""

    input_id: str
    value: str
    text: str
    #: What an end of a scale means, empty elsewhere.
    meaning: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class QuestionView:
    """A question as a part of the form.

    Attributes:
        number: its place, from 1.
        name: of its field.
        kind: ``steps``, ``one``, ``several`` or ``text``.
        text: what is asked.
        is_required: whether it must be answered.
        options: what there is to choose from; empty for ``text``.
        ends: what the two ends of a scale mean, None where nobody said.
        max_length: characters that a text may have.
        value: the text that was entered.
        problem: what is wrong with the answer, empty where nothing is.
    """

    number: int
    name: str
    kind: Literal["steps", "one", "several", "text"]
    text: str
    is_required: bool
    options: list[Option]
    ends: ScaleLabels | None
    max_length: int
    value: str
    problem: str

    @property
    def first_input(self) -> str:
        """The id of the field that a link to the question leads to."""
        return self.options[0].input_id if self.options else self.name


@dataclass(frozen=True, slots=True)
class SurveyView:
    """All that the page shows; see ``templates/survey.html``."""

    program_name: str
    title: str
    introduction: str | None
    last_day: str
    questions: list[QuestionView]
    notice: str

    @property
    def problems(self) -> list[QuestionView]:
        """The questions whose answers will not do."""
        return [question for question in self.questions if question.problem]


class Thanks(NamedTuple):
    """What the customer got for it."""

    program_name: str
    points: int
    sentences: list[str]
    outlook: str


class Message(NamedTuple):
    """A page that says one thing."""

    status: int
    heading: str
    sentences: list[str]


def survey_view(
    document: ProgramDocument,
    survey: SurveyDefinition,
    answers: Mapping[str, Any] | None = None,
    problems: Iterable[AnswerProblem] = (),
    notice: str = "",
) -> SurveyView:
    """Return the form, with what was entered and what is wrong with it.

    Args:
        document: the program in force.
        survey: one of its surveys.
        answers: what was entered, as :func:`read_answers` has it.
        problems: what is wrong with that.
        notice: what else to say before it is sent again.
    """
    wrong = {problem.question: problem.detail for problem in problems}
    questions = [
        _question_view(number, question, (answers or {}).get(question.id), wrong.get(question.id, ""))
        for number, question in enumerate(survey.asked, start=1)
    ]
    last_day = wording.day(_last_day(survey.closes)) if survey.closes else ""
    return SurveyView(document.name, survey.title, survey.introduction, last_day, questions, notice)


def read_answers(survey: SurveyDefinition, form: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return what a form answers, by question, as :func:`rewards.program.surveys.check_answers` takes it.

    Fields that no question asks for are passed over: the survey may have changed since the form was shown.
    """
    answers: dict[str, Any] = {}
    for question in survey.asked:
        given = [_clean(text) for text in form.get(_name(question), ())]
        given = [text for text in given if text]
        if not given:
            continue
        if isinstance(question, ChoiceQuestion) and question.multiple:
            answers[question.id] = given
        elif isinstance(question, ChoiceQuestion | TextQuestion):
            answers[question.id] = given[-1]
        else:
            answers[question.id] = int(given[-1]) if _INTEGER.fullmatch(given[-1]) else given[-1]
    return answers


def thanks(document: ProgramDocument, award: Mapping[str, Any]) -> Thanks:
    """Return what to say of an award, given as the API answers it."""
    points = award["points"]
    # Who is held out of the program is told nothing of it.
    sentences = [line["text"] for line in award["explanation"] if line["rule_id"] != HOLDOUT_RULE]
    outlook = ""
    if points and award["status"] == "pending":
        available_at = datetime.fromisoformat(award["available_at"]).astimezone(document.zone)
        outlook = f"They are ready to spend on {wording.day(available_at.date())}."
    return Thanks(document.name, points, sentences, outlook)


def answered(document: ProgramDocument, occurred_at: datetime, points: int) -> Message:
    """Say that a survey was answered before."""
    day = wording.day(occurred_at.astimezone(document.zone).date())
    earned = f" They earned you {wording.points(points)}." if points else ""
    return Message(
        200,
        "You have answered this survey",
        [f"Your answers reached us on {day}.{earned}", "Thank you! There is nothing more to do."],
    )


def not_open(survey: SurveyDefinition, at: datetime, document: ProgramDocument) -> Message:
    """Say that a survey cannot be answered yet, or any more."""
    if survey.is_over(at, document.zone):
        assert survey.closes is not None
        last_day = wording.day(_last_day(survey.closes))
        return Message(
            410,
            "This survey has closed",
            [
                f"It could be answered until {last_day}.",
                "Thank you for your interest, and look out for the next one.",
            ],
        )
    assert survey.opens is not None
    opens = wording.day(date.fromisoformat(survey.opens))
    return Message(
        409, "This survey is not open yet", [f"It opens on {opens}. This link will work from that day on."]
    )


ANSWERED_BEFORE = Message(
    409,
    "You have answered this survey",
    ["Your first answers have reached us, and they count.", "Thank you! There is nothing more to do."],
)
UNKNOWN = Message(
    404,
    "This survey is over",
    ["This link is good, but the shop no longer runs the survey.", "Thank you for your interest!"],
)
FORGED = Message(
    404,
    "This link does not work",
    [
        "Part of the address may have been lost on the way.",
        "Open it again from the shop’s message, or copy all of it, to the last character.",
        "If that does not help, ask the shop for a new link to the survey.",
    ],
)
TRY_AGAIN = Message(
    503, "We cannot show the survey right now", ["Nothing is lost. Please try again in a minute."]
)
NOT_TAKEN = Message(
    422,
    "Your answers could not be taken",
    ["Trying again will not help.", "Please tell the shop that its survey does not accept answers."],
)
SEND_AGAIN = (
    "We could not take your answers just now. They are all still here: please send them again in a minute."
)


def expired(expired_at: datetime) -> Message:
    """Say that a link has expired."""
    return Message(
        410,
        "This link has expired",
        [
            f"It worked until {wording.day(expired_at.date())}.",
            "Ask the shop for a new link to the survey, or look for a newer message from them.",
        ],
    )


def _question_view(number: int, question: Question, answer: Any, problem: str) -> QuestionView:
    name = _name(question)
    kind: Literal["steps", "one", "several", "text"] = "steps"
    choices: list[tuple[str, str, str]] = []
    ends: ScaleLabels | None = None
    if isinstance(question, ChoiceQuestion):
        kind = "several" if question.multiple else "one"
        choices = [(option.id, option.text, "") for option in question.options]
    elif isinstance(question, TextQuestion):
        kind = "text"
    else:
        ends = _LIKELIHOOD if isinstance(question, NpsQuestion) else question.labels
        choices = [
            (str(step), wording.number(step), _meaning(step, question.steps, ends)) for step in question.steps
        ]
    entered = {str(each) for each in (answer if isinstance(answer, list) else [answer])}
    options = [
        Option(f"{name}:{value}", value, text, meaning, value in entered) for value, text, meaning in choices
    ]
    return QuestionView(
        number=number,
        name=name,
        kind=kind,
        text=question.text,
        is_required=question.required,
        options=options,
        ends=ends,
        max_length=question.max_length if isinstance(question, TextQuestion) else 0,
        value=answer if isinstance(question, TextQuestion) and isinstance(answer, str) else "",
        problem=problem,
    )


def _meaning(step: int, steps: range, ends: ScaleLabels | None) -> str:
    if ends is None:
        return ""
    return {steps[0]: ends.lowest, steps[-1]: ends.highest}.get(step, "")


def _name(question: Question) -> str:
    return f"q.{question.id}"


def _clean(text: str) -> str:
    """Return a field's text as it was typed: browsers send every line break as two characters."""
    return _CONTROL.sub("", text.replace("\r\n", "\n")).strip()


def _last_day(closes: str) -> date:
    return date.fromisoformat(closes) - timedelta(days=1)
