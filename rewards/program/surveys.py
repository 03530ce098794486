"""Surveys in the program document: what is asked, when, and whether answers to it will do.

Pure, so that the engine, the survey's page and previews refuse the same answers in the same words. Those words
are read by storefront developers and by customers alike.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from difflib import get_close_matches
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from rewards.program.sections import Paragraph, RuleId, Section, Text, invalid

MOST_SURVEYS = 100
MOST_QUESTIONS = 30
MOST_OPTIONS = 30
#: Longer scales are no scales any more; each step is a field of its own on the page.
MOST_STEPS = 20
LONGEST_TEXT = 4_000


def _day(text: str) -> str:
    try:
        if date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise invalid(f"{text[:40]!r} is no date; write for example 2026-11-01")


Day = Annotated[
    str,
    AfterValidator(_day),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-11-01"]}),
]


class AnswerProblem(NamedTuple):
    """What is wrong with the answer to a question, in a sentence that says what to do."""

    question: str
    detail: str


class _Question(Section):
    id: RuleId
    """Name of the question in answers and metrics."""
    text: Paragraph
    """What the customer is asked."""
    required: bool = True
    """Whether the survey can be sent without an answer to it."""


class NpsQuestion(_Question):
    """How likely a customer is to recommend the shop, from 0 to 10: what the Net Promoter Score counts."""

    type: Literal["nps"]

    @property
    def steps(self) -> range:
        """What can be answered."""
        return range(11)


class ScaleLabels(Section):
    """What the two ends of a scale mean."""

    lowest: Text
    highest: Text


class ScaleQuestion(_Question):
    """A whole number on a scale whose better end is known."""

    type: Literal["scale"]
    lowest: Annotated[int, Field(ge=-100, le=100)]
    highest: Annotated[int, Field(ge=-100, le=100)]
    better: Literal["high", "low"]
    """Which end is the good one; the scores of the metrics rise towards it."""
    labels: ScaleLabels | None = None

    @field_validator("highest")
    @classmethod
    def _has_steps(cls, highest: int, info: ValidationInfo) -> int:
        lowest = info.data.get("lowest")
        if lowest is not None and not 1 <= highest - lowest <= MOST_STEPS:
            raise invalid(f"must be 1 to {MOST_STEPS} more than lowest ({lowest}), not {highest}")
        return highest

    @property
    def steps(self) -> range:
        """What can be answered."""
        return range(self.lowest, self.highest + 1)

    def score(self, answer: int) -> float:
        """Return what an answer counts: 0 for the worst to 100 for the best, in equal steps."""
        above = answer - self.lowest if self.better == "high" else self.highest - answer
        return 100 * above / (self.highest - self.lowest)


class ChoiceOption(Section):
    """One of the answers to choose from."""

    id: RuleId
    """Name of the answer in what is stored and in metrics."""
    text: Text


class ChoiceQuestion(_Question):
    """One of several answers or, with `multiple`, any of them."""

    type: Literal["choice"]
    options: Annotated[tuple[ChoiceOption, ...], Field(strict=False, min_length=2, max_length=MOST_OPTIONS)]
    multiple: bool = False
    """Whether more than one can be chosen; the answer is then a list of ids."""

    @field_validator("options")
    @classmethod
    def _ids_differ(cls, options: tuple[ChoiceOption, ...]) -> tuple[ChoiceOption, ...]:
        check_ids([option.id for option in options], "option")
        return options


class TextQuestion(_Question):
    """An answer in the customer's own words."""

    type: Literal["text"]
    max_length: Annotated[int, Field(ge=1, le=LONGEST_TEXT)] = 1_000
    """The most characters that it can have."""


Question = Annotated[NpsQuestion | ScaleQuestion | ChoiceQuestion | TextQuestion, Field(discriminator="type")]


def _loyalty_question(name: str, text: str) -> ScaleQuestion:
    labels = ScaleLabels(lowest="Definitely", highest="Definitely not")
    return ScaleQuestion(id=name, type="scale", text=text, lowest=1, highest=6, better="low", labels=labels)


#: What a template stands for. Published versions refer to it by name, so what is here is never changed:
#: a better set of questions is a template of another name.
TEMPLATES: Mapping[str, tuple[ScaleQuestion, ...]] = {
    "customer_loyalty_index": (
        _loyalty_question("recommend", "Would you recommend us to your friends or family?"),
        _loyalty_question("buy_again", "Would you buy from us again?"),
        _loyalty_question("try_others", "Would you try other products of ours?"),
    )
}


class SurveyDefinition(Section):
    """Questions that each customer answers once. Ask again under another id: each id is one wave."""

    id: RuleId
    """Name of the wave, for example nps-2026q4; the `survey_id` of what customers answer."""
    title: Text
    introduction: Paragraph | None = None
    """What the customer reads before the questions."""
    opens: Day | None = None
    """First day on which it can be answered, in the program's time zone."""
    closes: Day | None = None
    """First day on which it can no longer be answered, in the program's time zone."""
    template: Literal["customer_loyalty_index"] | None = None
    """Ready-made questions, asked before `questions`."""
    questions: Annotated[
        tuple[Question, ...], Field(strict=False, max_length=MOST_QUESTIONS, validate_default=True)
    ] = ()

    @field_validator("closes")
    @classmethod
    def _closes_after_it_opens(cls, closes: str | None, info: ValidationInfo) -> str | None:
        opens = info.data.get("opens")
        if opens is not None and closes is not None and closes <= opens:
            raise invalid(f"must be later than opens ({opens}), or nobody can ever answer")
        return closes

    @field_validator("questions")
    @classmethod
    def _there_are_questions(
        cls, questions: tuple[Question, ...], info: ValidationInfo
    ) -> tuple[Question, ...]:
        template = info.data.get("template")
        if not questions and "template" in info.data and template is None:
            raise invalid("a survey needs at least 1 question, or a template")
        ready_made = [question.id for question in TEMPLATES.get(template, ())] if template else []
        check_ids([question.id for question in questions], "question", taken=ready_made)
        return questions

    @cached_property
    def asked(self) -> tuple[Question, ...]:
        """All questions in order, a template's first."""
        return (*(TEMPLATES[self.template] if self.template else ()), *self.questions)

    def is_over(self, at: datetime, zone: ZoneInfo) -> bool:
        """Tell whether the survey has closed by ``at``."""
        return self.closes is not None and date.fromisoformat(self.closes) <= at.astimezone(zone).date()

    def is_open(self, at: datetime, zone: ZoneInfo) -> bool:
        """Tell whether the survey can be answered at ``at``."""
        has_opened = self.opens is None or date.fromisoformat(self.opens) <= at.astimezone(zone).date()
        return has_opened and not self.is_over(at, zone)


def check_ids(names: Sequence[str], what: str, taken: Sequence[str] = ()) -> None:
    """Raise the error of a validator where an id comes twice in ``names``, or is ``taken`` already."""
    seen = set(taken)
    for position, name in enumerate(names):
        if name in seen:
            raise invalid(f"another {what} has the id {name!r}; give each {what} its own", position, "id")
        seen.add(name)


def find_survey(surveys: Sequence[SurveyDefinition], survey_id: str) -> SurveyDefinition | None:
    """Return the survey of that id, None where there is none."""
    return next((survey for survey in surveys if survey.id == survey_id), None)


def check_answers(survey: SurveyDefinition, answers: Mapping[str, Any]) -> list[AnswerProblem]:
    """Return what is wrong with answers, by question in the order in which they are asked; nothing if they will do.

    Args:
        survey: what was asked.
        answers: by question: a whole number for ``nps`` and ``scale``, an option's id for ``choice`` (a list of them
            where it is ``multiple``), text for ``text``. What is null, blank or empty counts as not answered.
    """
    problems = []
    for question in survey.asked:
        detail = _problem(question, answers.get(question.id))
        if detail is not None:
            problems.append(AnswerProblem(question.id, detail))
    known = [question.id for question in survey.asked]
    problems += [AnswerProblem(name, _unknown(name, known)) for name in answers if name not in known]
    if not problems and not any(is_answered(answers.get(name)) for name in known):
        problems.append(AnswerProblem(known[0], "Answer at least one of the questions."))
    return problems


def is_answered(answer: Any) -> bool:
    """Tell whether an answer says anything."""
    if isinstance(answer, str):
        return not answer.isspace() and answer != ""
    return answer is not None and answer != []


def _problem(question: Question, answer: Any) -> str | None:
    if not is_answered(answer):
        return _MISSING[question.type] if question.required else None
    if isinstance(question, TextQuestion):
        return _text_problem(question, answer)
    if isinstance(question, ChoiceQuestion):
        return _choice_problem(question, answer)
    # To Python true equals 1; to us it is no number.
    if type(answer) is int and answer in question.steps:
        return None
    return f"Choose a number from {question.steps[0]} to {question.steps[-1]}, not {_short(answer)}."


_MISSING = {
    "nps": "Choose a number.",
    "scale": "Choose a number.",
    "choice": "Choose an answer.",
    "text": "Write an answer.",
}


def _text_problem(question: TextQuestion, answer: Any) -> str | None:
    if not isinstance(answer, str):
        return f"Write the answer as text, not {_short(answer)}."
    if len(answer) > question.max_length:
        return (
            f"Write at most {question.max_length:,} characters; "
            f"these are {len(answer) - question.max_length:,} too many."
        )
    return None


def _choice_problem(question: ChoiceQuestion, answer: Any) -> str | None:
    if question.multiple and not isinstance(answer, list):
        return "Send a list of the ids of all that are chosen."
    if not question.multiple and isinstance(answer, list):
        return "Choose one answer only."
    chosen = answer if question.multiple else [answer]
    known = [option.id for option in question.options]
    for position, name in enumerate(chosen):
        if name not in known:
            return f"Choose from {', '.join(known)}, not {_short(name)}{_hint(name, known) or '.'}"
        if name in chosen[:position]:
            return f"Choose {name} once only."
    return None


def _unknown(name: str, known: Sequence[str]) -> str:
    return f"The survey has no question {_short(name)}{_hint(name, known) or '.'}"


def _hint(name: Any, known: Sequence[str]) -> str:
    close = get_close_matches(name[:64], known, n=1) if isinstance(name, str) else []
    return f"; did you mean {close[0]!r}?" if close else ""


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…" + text[-1]
