"""A survey's page, ``/s/{token}``: a customer answers it there, once, and hears what that earned.

The token in the address says who answers what, so no login and no other protection is needed: another site that
does not know it cannot send the form in a customer's name.
"""

import json
from datetime import datetime
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from api.bodies import read_form
from api.deps import Services, services_of
from api.errors import Problem
from api.pages import survey_view as views
from api.pages.rendering import FORM_HEADERS, html_page
from rewards.core.clock import utc_now
from rewards.core.links import LinkExpired, LinkInvalid, read_survey_link
from rewards.decide.commands import Award, Survey
from rewards.decide.submission import Submission
from rewards.engine import Answer
from rewards.ledger.activities import Recorded, find_activity
from rewards.program.document import ProgramDocument
from rewards.program.surveys import AnswerProblem, SurveyDefinition, check_answers, find_survey

router = APIRouter()


class _Invitation(NamedTuple):
    """Who is asked what, and what has become of it by now."""

    customer_id: str
    survey: SurveyDefinition
    document: ProgramDocument
    recorded: Recorded | None
    now: datetime

    @property
    def is_open(self) -> bool:
        return self.survey.is_open(self.now, self.document.zone)


@router.api_route("/s/{token}", methods=["GET", "HEAD"], include_in_schema=False)
async def survey_page(request: Request, token: str) -> Response:
    """Show the survey to whoever holds a good link to it."""
    invitation = await _invitation(services_of(request), token)
    if isinstance(invitation, views.Message):
        return _message(invitation)
    survey, document = invitation.survey, invitation.document
    if invitation.recorded is not None:
        return _message(views.answered(document, *invitation.recorded))
    if not invitation.is_open:
        return _message(views.not_open(survey, invitation.now, document))
    return _form(views.survey_view(document, survey))


@router.post("/s/{token}", include_in_schema=False)
async def answer_survey(request: Request, token: str) -> Response:
    """Take the answers and award what they earn."""
    services = services_of(request)
    invitation = await _invitation(services, token)
    if isinstance(invitation, views.Message):
        return _message(invitation)
    survey, document = invitation.survey, invitation.document
    # What was answered before goes to the engine all the same: it tells the second click on the same answers,
    # which is thanked again, from second thoughts.
    if invitation.recorded is None and not invitation.is_open:
        return _message(views.not_open(survey, invitation.now, document))
    answers = views.read_answers(survey, await read_form(request))
    problems = check_answers(survey, answers)
    if problems:
        if invitation.recorded is not None:
            return _message(views.ANSWERED_BEFORE)
        return _form(views.survey_view(document, survey, answers, problems), 422)
    activity = Survey(type="survey", survey_id=survey.id, answers=answers)
    try:
        answer = await services.coalescer.submit(_submission(invitation.customer_id, activity))
    except Problem as problem:
        view = views.survey_view(document, survey, answers, notice=views.SEND_AGAIN)
        return _form(view, problem.status, problem.headers)
    return _answered(answer, invitation, activity)


async def _invitation(services: Services, token: str) -> "_Invitation | views.Message":
    """Return what a token invites to, or what to say where it invites to nothing."""
    now = utc_now()
    try:
        customer_id, survey_id = read_survey_link(services.settings, token, now)
    except LinkExpired as expired:
        return views.expired(expired.expired_at)
    except LinkInvalid:
        return views.FORGED

    def read(conn: Connection) -> tuple[ProgramDocument, Recorded | None]:
        document = services.programs.current(conn).in_force(now).document
        return document, find_activity(conn, customer_id, f"survey:{survey_id}")

    try:
        document, recorded = await services.reader.read(read)
    except Problem:
        return views.TRY_AGAIN
    survey = find_survey(document.surveys, survey_id)
    if survey is None:
        return views.UNKNOWN
    return _Invitation(customer_id, survey, document, recorded, now)


def _submission(customer_id: str, activity: Survey) -> Submission:
    # With a space in it, so that it is no key that a storefront can send. A refusal is not remembered under it:
    # who mends an answer sends the same form again.
    key = f"survey page {activity.survey_id}"
    award = Award(customer_id=customer_id, activity=activity)
    return Submission(award, key, "survey-page", remember_refusal=False)


def _answered(answer: Answer, invitation: _Invitation, activity: Survey) -> Response:
    survey, document = invitation.survey, invitation.document
    body = json.loads(answer.body)
    if answer.status < 300:
        return html_page("survey_thanks.html", thanks=views.thanks(document, body))
    match body["code"]:
        case "already-awarded" | "idempotency-key-reused":
            return _message(views.ANSWERED_BEFORE)
        case "survey-not-open":
            return _message(views.not_open(survey, utc_now(), document))
        case "survey-answers-invalid":
            # Another version of the program has come into force since it was looked at here.
            problems = [AnswerProblem(**each) for each in body["errors"]]
            return _form(views.survey_view(document, survey, activity.answers, problems), 422)
        case _:
            return _message(views.NOT_TAKEN)


def _form(view: views.SurveyView, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return html_page("survey.html", status, {**FORM_HEADERS, **(headers or {})}, view=view)


def _message(message: views.Message) -> Response:
    headers = {"retry-after": "1"} if message.status == 503 else None
    return html_page("survey_message.html", message.status, headers, message=message)
