"""A link to a survey: the address at which one customer answers it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from pydantic import TypeAdapter
from sqlalchemy import Connection

from api import documentation as docs
from api import examples, schemas
from api.bodies import parse, read_json
from api.deps import AsStorefront, TheServices
from api.errors import invalid_request
from api.routes.customers import CustomerId, must_be_known
from api.routing import json_answer
from rewards.core.clock import utc_now
from rewards.core.errors import SurveyNotFound
from rewards.core.links import default_expiry, make_survey_link
from rewards.ledger.statements import rfc3339
from rewards.program.document import ProgramDocument
from rewards.program.periods import add, parse_duration
from rewards.program.surveys import find_survey

router = APIRouter()

LONGEST_LIFE = timedelta(days=367)
_BODY = TypeAdapter(schemas.SurveyLinkBody)


@router.post(
    "/v1/customers/{customer_id}/survey-links",
    operation_id="survey_link",
    **docs.documented(
        tag="customers",
        summary="Make a link to a survey",
        description="Whoever has the address can answer the survey for the customer, once, until it expires.",
        body=schemas.SurveyLinkBody,
        body_examples={"for two weeks": examples.SURVEY_LINK},
        answer=schemas.SurveyLinkAnswer,
        example=examples.SURVEY_LINK_ANSWER,
        status=201,
        problems=[404],
    ),
)
async def survey_link(
    request: Request, services: TheServices, _key: AsStorefront, customer_id: CustomerId
) -> Any:
    """Return a signed address."""
    body = parse(_BODY, await read_json(request))
    now = utc_now()

    def read(conn: Connection) -> ProgramDocument:
        must_be_known(conn, services, customer_id)
        return services.programs.recent(conn).in_force(now).document

    document = await services.reader.read(read)
    if find_survey(document.surveys, body.survey_id) is None:
        known = ", ".join(survey.id for survey in document.surveys[:20]) or "none"
        raise SurveyNotFound(
            f"The program in force has no survey {body.survey_id!r} (it has: {known}). "
            "Publish a program with it first."
        )
    if body.expires_in is None:
        expires_at = default_expiry(services.settings, now)
    else:
        expires_at = _expiry(body.expires_in, now.replace(microsecond=0), document)
    url = make_survey_link(services.settings, customer_id, body.survey_id, expires_at)
    return json_answer({"url": url, "expires_at": rfc3339(expires_at)}, 201)


def _expiry(expires_in: str, now: datetime, document: ProgramDocument) -> datetime:
    try:
        lasts = parse_duration(expires_in)
    except ValueError as error:
        raise invalid_request([("expires_in", str(error))]) from None
    if not lasts or lasts.longest() > LONGEST_LIFE:
        raise invalid_request([("expires_in", "must be longer than nothing and at most a year")])
    return add(now, lasts, document.zone).astimezone(UTC)
