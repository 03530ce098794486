"""Standings on the ladder: given by hand, how customers moved, and the events that tell of it."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter
from sqlalchemy import Connection

from api import documentation as docs
from api import examples, standing_schemas
from api.bodies import parse, read_json
from api.deps import AsAdmin, Reading, TheServices, authorize, services_of
from api.errors import invalid_request
from api.routes.commands import answered
from api.routes.customers import ABOUT_ID, CUSTOMER_ID, CustomerId, must_be_known, path_customer
from api.routing import RawRoute, json_answer
from rewards.decide.commands import EndGrant, GrantStanding
from rewards.decide.submission import Submission
from rewards.ledger.standings import read_events, read_moves

router = APIRouter()

_GRANT = TypeAdapter(standing_schemas.GrantBody)
_END = TypeAdapter(standing_schemas.EndGrantBody)
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)

Limit = Annotated[int, Query(ge=1, le=200, description="Rows in a page.")]
Cursor = Annotated[
    str | None, Query(max_length=64, description="`next_cursor` of the page before; the newest unless given.")
]
After = Annotated[
    str | None,
    Query(
        max_length=64, description="`next_cursor` of an earlier answer; from the first event unless given."
    ),
]


async def grant(request: Request) -> Response:
    """Give a customer a standing by hand."""
    key = await authorize(request, "admin")
    body = parse(_GRANT, await read_json(request))
    command = GrantStanding(
        customer_id=path_customer(request), tier=body.tier, until=body.until, reason=body.reason
    )
    # Granting the same twice is granting it once, so no key is needed.
    return answered(await services_of(request).coalescer.submit(Submission(command, None, key.actor)))


async def end(request: Request) -> Response:
    """End what was given by hand."""
    key = await authorize(request, "admin")
    body = parse(_END, await read_json(request))
    command = EndGrant(customer_id=path_customer(request), reason=body.reason)
    return answered(await services_of(request).coalescer.submit(Submission(command, None, key.actor)))


def routes() -> list[RawRoute]:
    """Return the routes that read raw bodies."""
    whose = docs.parameter("path", "customer_id", CUSTOMER_ID.json_schema(), "c-1", ABOUT_ID)
    return [
        RawRoute(
            "/v1/customers/{customer_id}/standing",
            grant,
            methods=["PUT"],
            name="grant_standing",
            operation_id="grant_standing",
            **docs.documented(
                tag="customers",
                summary="Give a customer a standing",
                description=(
                    "The customer is in this tier until the given instant, or in a higher one that is earned; then "
                    "the ladder's rules go on alone. It takes the place of what was given before. Needs an admin key "
                    "and a reason."
                ),
                body=standing_schemas.GrantBody,
                body_examples={"until a date": examples.GRANT},
                answer=standing_schemas.GrantAnswer,
                example=examples.GRANT_ANSWER,
                parameters=[whose],
                problems=[404],
            ),
        ),
        RawRoute(
            "/v1/customers/{customer_id}/standing",
            end,
            methods=["DELETE"],
            name="end_standing",
            operation_id="end_standing",
            **docs.documented(
                tag="customers",
                summary="End a standing that was given",
                description="What is earned holds from now on. Needs an admin key and a reason.",
                body=standing_schemas.EndGrantBody,
                body_examples={"with a reason": examples.END_GRANT},
                answer=standing_schemas.GrantAnswer,
                example=examples.END_GRANT_ANSWER,
                parameters=[whose],
                problems=[404],
            ),
        ),
    ]


@router.get(
    "/v1/customers/{customer_id}/moves",
    operation_id="moves",
    **docs.documented(
        tag="customers",
        summary="List a customer's moves on the ladder",
        description="Every step up or down, the newest first, with what brought it about.",
        answer=standing_schemas.MovesAnswer,
        example=examples.MOVES_ANSWER,
        problems=[404, 422],
    ),
)
async def moves(
    services: TheServices, _key: Reading, customer_id: CustomerId, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """Return a page of moves."""
    before = 2**62 if cursor is None else _number(cursor, "query.cursor")

    def read(conn: Connection) -> list[dict[str, Any]]:
        found = read_moves(conn, customer_id, limit + 1, before)
        if not found:
            must_be_known(conn, services, customer_id)
        return found

    found = await services.reader.read(read)
    page = found[:limit]
    more = str(page[-1]["move_seq"]) if len(found) > limit else None
    return json_answer({"moves": page, "next_cursor": more})


@router.get(
    "/v1/events",
    operation_id="events",
    **docs.documented(
        tag="events",
        summary="Read events",
        description=(
            "What happened that others are to be told: `tier.upgraded`, `tier.downgraded`, `tier.will-expire`, "
            "`campaign.offered`, the oldest first. Keep `next_cursor` and send it as `after` the next time: no event "
            "appears later that has a lower place, so none is missed. Needs an admin key."
        ),
        answer=standing_schemas.EventsAnswer,
        example=examples.EVENTS_ANSWER,
        problems=[403, 422],
    ),
)
async def events(services: TheServices, _key: AsAdmin, limit: Limit = 100, after: After = None) -> Any:
    """Return events after a cursor."""
    start = 0 if after is None else _number(after, "query.after")
    found = await services.reader.read(lambda conn: read_events(conn, start, limit))
    last = found[-1].pop("event_seq") if found else start
    for each in found[:-1]:
        each.pop("event_seq")
    return json_answer({"events": found, "next_cursor": str(last)})


def _number(text: str, place: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise invalid_request([(place, "is not one that an answer before gave as next_cursor")])
    return int(text)
