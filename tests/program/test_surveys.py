"""Surveys in the document, and which answers they take."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from rewards.program.differences import history_differences
from rewards.program.document import ProgramDocument
from rewards.program.loading import ProgramInvalid, load_text, parse_document, to_yaml
from rewards.program.surveys import (
    TEMPLATES,
    ScaleQuestion,
    SurveyDefinition,
    check_answers,
    find_survey,
)

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "surveys.md").read_text(encoding="utf-8")
WORKED = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
VERDICTS = re.findall(r"^\| ([\w-]+) \| (\{.*?\}) \| (.*) \|$", GUIDE, re.MULTILINE)

HOW_LIKELY = {"id": "recommend", "type": "nps", "text": "How likely?"}
GRADE = {"id": "grade", "type": "scale", "text": "How?", "lowest": 1, "highest": 5, "better": "high"}
OPTIONS = [{"id": "tea", "text": "Tea"}, {"id": "mate", "text": "Mate"}]
DRINK = {"id": "drink", "type": "choice", "text": "What?", "options": OPTIONS}
WHY = {"id": "why", "type": "text", "text": "Why?", "max_length": 10}
OPTIONAL: dict[str, Any] = {"required": False}


def document(*surveys: dict[str, Any]) -> ProgramDocument:
    head = {"schema_version": 1, "name": "Tea club", "currency": "GBP", "timezone": "Europe/London"}
    return parse_document({**head, "surveys": list(surveys)})


def survey(*questions: dict[str, Any], **others: Any) -> SurveyDefinition:
    made = {"id": "nps-2026q4", "title": "How are we doing?", "questions": list(questions), **others}
    return document(made).surveys[0]


def messages(**wrong: Any) -> list[str]:
    with pytest.raises(ProgramInvalid) as caught:
        survey(**{"questions": [HOW_LIKELY], **wrong})
    return [f"{error.path.removeprefix('surveys[0].')}: {error.message}" for error in caught.value.errors]


# -- the guide


def test_the_guides_program_is_one() -> None:
    (shown,) = WORKED
    program = load_text(shown)
    assert load_text(to_yaml(program)) == program
    assert ProgramDocument.model_validate_json(program.model_dump_json()) == program
    kinds = {question.type for survey in program.surveys for question in survey.asked}
    assert kinds == {"nps", "scale", "choice", "text"}


@pytest.mark.parametrize(("survey_id", "answers", "verdict"), VERDICTS)
def test_the_guide_says_what_becomes_of_answers(survey_id: str, answers: str, verdict: str) -> None:
    found = find_survey(load_text(WORKED[0]).surveys, survey_id)
    assert found is not None
    problems = check_answers(found, json.loads(answers))
    assert " ".join(f"{name}: {detail}" for name, detail in problems) == (
        "" if verdict == "good" else verdict
    )


def test_the_guide_shows_enough() -> None:
    assert len(VERDICTS) >= 8


# -- the document


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"questions": []}, "questions: a survey needs at least 1 question, or a template"),
        (
            {"questions": [HOW_LIKELY] * 2},
            "questions[1].id: another question has the id 'recommend'; give each",
        ),
        (
            {"questions": [HOW_LIKELY], "template": "customer_loyalty_index"},
            "questions[0].id: another question has the id 'recommend'",
        ),
        (
            {"questions": [{**HOW_LIKELY, "id": str(n)} for n in range(31)]},
            "questions: must have at most 30 items",
        ),
        ({"opens": "2026-11-01", "closes": "2026-11-01"}, "closes: must be later than opens (2026-11-01)"),
        ({"opens": "2026-02-30"}, "opens: '2026-02-30' is no date; write for example 2026-11-01"),
        ({"opens": "20261101"}, "opens: '20261101' is no date"),
        ({"id": "a b"}, "id: 'a b' is not an id"),
        ({"title": " "}, "title: must be readable text"),
        (
            {"template": "customer_loyalty"},
            "template: must be customer_loyalty_index, not 'customer_loyalty'",
        ),
        (
            {"questions": [{**HOW_LIKELY, "type": "npz"}]},
            "questions[0].type: must be one of nps, scale, choice, text, not 'npz'; did you mean 'nps'?",
        ),
        ({"questions": [{**HOW_LIKELY, "lowest": 1}]}, "questions[0].lowest: unknown field"),
        (
            {"questions": [{**GRADE, "highest": 1}]},
            "questions[0].highest: must be 1 to 20 more than lowest (1), not 1",
        ),
        ({"questions": [{**GRADE, "highest": 22}]}, "questions[0].highest: must be 1 to 20 more than lowest"),
        (
            {"questions": [{**GRADE, "better": "up"}]},
            "questions[0].better: must be one of high, low, not 'up'",
        ),
        (
            {"questions": [{**DRINK, "options": OPTIONS[:1]}]},
            "questions[0].options: must have at least 2 item",
        ),
        (
            {"questions": [{**DRINK, "options": [*OPTIONS, OPTIONS[0]]}]},
            "questions[0].options[2].id: another option has the id 'tea'",
        ),
        (
            {"questions": [{**WHY, "max_length": 5_000}]},
            "questions[0].max_length: must be at most 4000, not 5000",
        ),
    ],
)
def test_a_survey_that_cannot_be_is_refused_where_it_is_wrong(wrong: dict[str, Any], message: str) -> None:
    (found,) = messages(**wrong)
    assert found.startswith(message)


def test_two_surveys_of_one_id_are_refused() -> None:
    wave = {"id": "nps", "title": "T", "questions": [HOW_LIKELY]}
    with pytest.raises(ProgramInvalid, match=r"surveys\[1\].id: another survey has the id 'nps'"):
        document(wave, wave)


def test_a_program_without_surveys_is_as_it_was() -> None:
    assert document().surveys == ()


def test_what_changes_in_a_survey_is_told_by_its_id() -> None:
    before = document({"id": "nps", "title": "T", "questions": [HOW_LIKELY]})
    after = document({"id": "nps", "title": "T", "questions": [{**HOW_LIKELY, **OPTIONAL}]})
    assert history_differences(before, after) == ["surveys[nps].questions[recommend].required: true → false"]


# -- the scores of scales


def test_the_loyalty_index_scores_as_defined() -> None:
    index = survey(questions=[], template="customer_loyalty_index")
    assert [question.id for question in index.asked] == ["recommend", "buy_again", "try_others"]
    for question in TEMPLATES["customer_loyalty_index"]:
        assert [question.score(answer) for answer in question.steps] == [100, 80, 60, 40, 20, 0]


def test_questions_follow_those_of_a_template() -> None:
    both = survey(WHY, template="customer_loyalty_index")
    assert [question.id for question in both.asked][-2:] == ["try_others", "why"]


def test_the_better_end_of_a_scale_counts_most() -> None:
    (high,), (low,) = (survey({**GRADE, "better": end}).asked for end in ("high", "low"))
    assert isinstance(high, ScaleQuestion)
    assert isinstance(low, ScaleQuestion)
    assert [high.score(1), high.score(2), high.score(5)] == [0, 25, 100]
    assert [low.score(1), low.score(2), low.score(5)] == [100, 75, 0]


# -- answers


@pytest.mark.parametrize(
    ("question", "good"),
    [
        (HOW_LIKELY, [0, 10]),
        (GRADE, [1, 5]),
        ({**GRADE, "lowest": -2, "highest": 2}, [-2, 0, 2]),
        (DRINK, ["tea", "mate"]),
        ({**DRINK, "multiple": True}, [["tea"], ["mate", "tea"]]),
        (WHY, ["x", "x" * 10]),
    ],
)
def test_good_answers_will_do(question: dict[str, Any], good: list[Any]) -> None:
    for answer in good:
        assert check_answers(survey(question), {question["id"]: answer}) == []


@pytest.mark.parametrize(
    ("question", "answer", "detail"),
    [
        (HOW_LIKELY, 11, "Choose a number from 0 to 10, not 11."),
        (HOW_LIKELY, -1, "Choose a number from 0 to 10, not -1."),
        (HOW_LIKELY, "9", "Choose a number from 0 to 10, not '9'."),
        (HOW_LIKELY, 9.0, "Choose a number from 0 to 10, not 9.0."),
        (HOW_LIKELY, True, "Choose a number from 0 to 10, not true."),
        (HOW_LIKELY, [9], "Choose a number from 0 to 10, not a list."),
        (HOW_LIKELY, None, "Choose a number."),
        (GRADE, 0, "Choose a number from 1 to 5, not 0."),
        (DRINK, "te", "Choose from tea, mate, not 'te'; did you mean 'tea'?"),
        (DRINK, 1, "Choose from tea, mate, not 1."),
        (DRINK, ["tea"], "Choose one answer only."),
        (DRINK, "", "Choose an answer."),
        ({**DRINK, "multiple": True}, "tea", "Send a list of the ids of all that are chosen."),
        ({**DRINK, "multiple": True}, ["tea", "tea"], "Choose tea once only."),
        ({**DRINK, "multiple": True}, ["rum"], "Choose from tea, mate, not 'rum'."),
        ({**DRINK, "multiple": True}, [], "Choose an answer."),
        (WHY, "x" * 12, "Write at most 10 characters; these are 2 too many."),
        (WHY, 5, "Write the answer as text, not 5."),
        (WHY, " \n", "Write an answer."),
        (WHY, "", "Write an answer."),
    ],
)
def test_other_answers_are_told_what_to_do(question: dict[str, Any], answer: Any, detail: str) -> None:
    assert check_answers(survey(question), {question["id"]: answer}) == [(question["id"], detail)]


def test_what_is_optional_may_be_left_out_but_not_all_of_it() -> None:
    asked = survey({**HOW_LIKELY, **OPTIONAL}, {**WHY, **OPTIONAL})
    assert check_answers(asked, {"why": "Because"}) == []
    for nothing in ({}, {"why": " \n"}, {"recommend": None}):
        assert check_answers(asked, nothing) == [("recommend", "Answer at least one of the questions.")]


def test_problems_come_in_the_order_of_the_questions_and_unknown_ones_last() -> None:
    problems = check_answers(survey(HOW_LIKELY, DRINK, WHY), {"wy": "x", "why": "x" * 11, "drink": "tea"})
    assert [name for name, _ in problems] == ["recommend", "why", "wy"]
    assert problems[-1].detail == "The survey has no question 'wy'; did you mean 'why'?"


# -- when


@pytest.mark.parametrize(
    ("at", "is_open", "is_over"),
    [
        ("2026-10-24T22:59:59Z", False, False),
        ("2026-10-24T23:00:00Z", True, False),  # midnight in London, still on summer time
        ("2026-10-25T23:59:59Z", True, False),  # the clocks went back: that day had 25 hours
        ("2026-10-26T00:00:00Z", False, True),
    ],
)
def test_days_are_those_of_the_programs_zone(at: str, is_open: bool, is_over: bool) -> None:
    wave = survey(HOW_LIKELY, opens="2026-10-25", closes="2026-10-26")
    zone, instant = ZoneInfo("Europe/London"), datetime.fromisoformat(at)
    assert (wave.is_open(instant, zone), wave.is_over(instant, zone)) == (is_open, is_over)


def test_without_dates_it_is_always_open() -> None:
    assert survey(HOW_LIKELY).is_open(datetime(1999, 1, 1, tzinfo=UTC), ZoneInfo("Asia/Tokyo"))
