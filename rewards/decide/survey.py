"""Whether a customer's answers are answers to the survey that the program defines."""

from datetime import datetime
from typing import TYPE_CHECKING

from rewards.core.errors import SurveyAnswersInvalid, SurveyNotOpen
from rewards.decide.commands import Activity, Survey
from rewards.program.surveys import check_answers, find_survey

if TYPE_CHECKING:
    from rewards.program.document import ProgramDocument
    from rewards.program.surveys import SurveyDefinition


def check_survey(document: "ProgramDocument", activity: Activity, occurred_at: datetime) -> None:
    """Refuse answers that the survey of that id does not take; whatever names no survey of the program passes.

    Args:
        document: the program in force at ``occurred_at``.
        activity: any activity; only surveys are looked at.
        occurred_at: when it was answered.

    Raises:
        SurveyNotOpen: it was answered before the survey opened, or after it closed.
        SurveyAnswersInvalid: with ``errors``, each a question and what is wrong with its answer.
    """
    if not isinstance(activity, Survey):
        return
    survey = find_survey(document.surveys, activity.survey_id)
    if survey is None:
        return
    if not survey.is_open(occurred_at, document.zone):
        raise _not_open(survey, occurred_at, document)
    problems = check_answers(survey, activity.answers)
    if problems:
        first, *others = problems
        more = f" ({len(others)} more in errors)" if others else ""
        raise SurveyAnswersInvalid(
            f"{first.question}: {first.detail}{more}",
            errors=[{"question": problem.question, "detail": problem.detail} for problem in problems],
        )


def _not_open(
    survey: "SurveyDefinition", occurred_at: datetime, document: "ProgramDocument"
) -> SurveyNotOpen:
    if survey.is_over(occurred_at, document.zone):
        state, todo = (
            f"closed on {survey.closes}",
            "Answers given before then can be sent with their occurred_at.",
        )
    else:
        state, todo = f"opens on {survey.opens}", "Send the answers from then on."
    return SurveyNotOpen(
        f"The survey {survey.id!r} {state} ({document.timezone} time), and this was answered at "
        f"{occurred_at.isoformat()}. {todo}",
        opens=survey.opens,
        closes=survey.closes,
    )
