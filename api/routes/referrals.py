"""Referrals: a customer's code, and the admin's review of what the guards found."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter
from pydantic_core import from_json, to_json
from sqlalchemy import Connection

from api import documentation as docs
from api import examples, schemas
from api.bodies import parse, read_json
from api.deps import AsAdmin, AsStorefront, TheServices, authorize, services_of
from api.errors import invalid_request
from api.routes.commands import answered
from api.routes.customers import ABOUT_ID, CUSTOMER_ID, CustomerId, must_be_known, path_customer
from api.routing import Endpoint, RawRoute, json_answer
from rewards.core.clock import utc_now
from rewards.decide.commands import JudgeReferral
from rewards.decide.submission import Submission
from rewards.ledger.referral_state import Referral, shown
from rewards.ledger.referrals import code_of, referrals_page
from rewards.ledger.statements import rfc3339

router = APIRouter()

_NOTE = TypeAdapter(schemas.ReferralNote)
_PLACE: TypeAdapter[tuple[datetime, str]] = TypeAdapter(tuple[datetime, str])

Status = Annotated[schemas.ReferralStatus | None, Query(description="Only those of this status.")]
Limit = Annotated[int, Query(ge=1, le=200, description="Referrals in a page.")]
Cursor = Annotated[
    str | None,
    Query(max_length=1024, description="`next_cursor` of the page before; the latest unless given."),
]


@router.post(
    "/v1/customers/{customer_id}/referral-code",
    operation_id="referral_code",
    **docs.documented(
        tag="referrals",
        summary="Give a customer a code for friends",
        description="Made the first time, and the same each time after. Case, dashes and spaces do not matter in it.",
        answer=schemas.ReferralCodeAnswer,
        example=examples.REFERRAL_CODE_ANSWER,
        problems=[404, 422],
    ),
)
async def referral_code(services: TheServices, _key: AsStorefront, customer_id: CustomerId) -> Any:
    """Return the customer's code."""
    await services.reader.read(lambda conn: must_be_known(conn, services, customer_id))

    def make() -> str:
        with services.database.engine.begin() as conn:
            return code_of(conn, customer_id, utc_now())

    return json_answer({"code": await services.reader.run(make)})


@router.get(
    "/v1/referrals",
    operation_id="referrals",
    **docs.documented(
        tag="referrals",
        summary="List referrals",
        description="The latest first. Those that are `flagged` wait for a person. Needs an admin key.",
        answer=schemas.ReferralsAnswer,
        example=examples.REFERRALS_ANSWER,
        problems=[403, 422],
    ),
)
async def referrals(
    services: TheServices, _key: AsAdmin, status: Status = None, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """Return a page of referrals."""
    before = None if cursor is None else _read_cursor(cursor)

    def read(conn: Connection) -> list[Referral]:
        # One more than asked for tells whether there is a next page.
        return referrals_page(conn, status, limit + 1, before)

    found = await services.reader.read(read)
    page = found[:limit]
    more = _write_cursor(page[-1]) if len(found) > limit else None
    return json_answer({"referrals": [shown(each) for each in page], "next_cursor": more})


def _write_cursor(last: Referral) -> str:
    place = to_json([rfc3339(last.attributed_at), last.customer_id])
    return urlsafe_b64encode(place).rstrip(b"=").decode()


def _read_cursor(text: str) -> tuple[datetime, str]:
    try:
        place = _PLACE.validate_python(
            from_json(urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)))
        )
        if place[0].tzinfo is None or "\0" in place[1]:
            raise ValueError
    except (ValueError, UnicodeError):
        message = "is not one that a page before gave as next_cursor"
        raise invalid_request([("query.cursor", message)]) from None
    return place


def _judging(*, approve: bool) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        key = await authorize(request, "admin")
        body = parse(_NOTE, await read_json(request))
        command = JudgeReferral(customer_id=path_customer(request), approve=approve, note=body.note)
        # Judging the same twice is judging once, so no key is needed.
        return answered(await services_of(request).coalescer.submit(Submission(command, None, key.actor)))

    return endpoint


def _judgement(word: str, *, approve: bool, summary: str, description: str) -> RawRoute:
    return RawRoute(
        f"/v1/referrals/{{customer_id}}/{word}",
        _judging(approve=approve),
        methods=["POST"],
        name=f"{word}_referral",
        operation_id=f"{word}_referral",
        **docs.documented(
            tag="referrals",
            summary=summary,
            description=f"{description} The path names who was referred. Needs an admin key and a note.",
            body=schemas.ReferralNote,
            body_examples={"with a reason": examples.REFERRAL_NOTE},
            answer=schemas.ReferralShown,
            example=examples.REFERRAL,
            parameters=[docs.parameter("path", "customer_id", CUSTOMER_ID.json_schema(), "c-2", ABOUT_ID)],
            problems=[404, 409],
        ),
    )


def routes() -> list[RawRoute]:
    """Return the routes that read raw bodies."""
    return [
        _judgement(
            "approve",
            approve=True,
            summary="Let a referral count",
            description="It counts from now on; where its order is there, both are rewarded at once.",
        ),
        _judgement(
            "reject",
            approve=False,
            summary="Let a referral not count",
            description="Nothing is given for it; what was given already is taken back.",
        ),
    ]
