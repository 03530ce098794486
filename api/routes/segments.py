"""Segments and campaigns: who is in them, for mailers and for people."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection

from api import documentation as docs
from api import examples, segment_schemas
from api.deps import AsAdmin, TheServices
from api.errors import http_problem
from api.routing import json_answer
from rewards.core.clock import utc_now
from rewards.segments.campaigns import campaigns_told
from rewards.segments.membership import read_members, segments_told

router = APIRouter()

Limit = Annotated[int, Query(ge=1, le=1_000, description="Rows in a page.")]
Cursor = Annotated[
    str | None, Query(max_length=128, description="`next_cursor` of the page before; the first unless given.")
]
SegmentId = Annotated[str, Path(max_length=64, description="The segment's id in the program.")]


@router.get(
    "/v1/segments",
    operation_id="segments",
    **docs.documented(
        tag="segments",
        summary="List the segments",
        description="The segments of the program in force, each with how many customers are in it. Needs an admin key.",
        answer=segment_schemas.SegmentsAnswer,
        example=examples.SEGMENTS_ANSWER,
        problems=[403],
    ),
)
async def segments(services: TheServices, _key: AsAdmin) -> Any:
    """Return the segments with their sizes."""

    def read(conn: Connection) -> dict[str, Any]:
        return segments_told(conn, services.programs.recent(conn).in_force(utc_now()).document)

    return json_answer(await services.reader.read(read))


@router.get(
    "/v1/segments/{segment_id}/customers",
    operation_id="segment_customers",
    **docs.documented(
        tag="segments",
        summary="List the customers in a segment",
        description="In the order of their ids, as the job found them when it last looked. Needs an admin key.",
        answer=segment_schemas.SegmentCustomersAnswer,
        example=examples.SEGMENT_CUSTOMERS_ANSWER,
        problems=[403, 404, 422],
    ),
)
async def segment_customers(
    services: TheServices, _key: AsAdmin, segment_id: SegmentId, limit: Limit = 100, cursor: Cursor = None
) -> Any:
    """Return a page of customers."""

    def read(conn: Connection) -> list[dict[str, Any]] | None:
        document = services.programs.recent(conn).in_force(utc_now()).document
        if segment_id not in {segment.id for segment in document.segments}:
            return None
        return read_members(conn, segment_id, (cursor or "").replace("\0", ""), limit + 1)

    found = await services.reader.read(read)
    if found is None:
        raise http_problem(404, "The program in force has no such segment; see GET /v1/segments.")
    page = found[:limit]
    more = page[-1]["customer_id"] if len(found) > limit else None
    return json_answer({"customers": page, "next_cursor": more})


@router.get(
    "/v1/campaigns",
    operation_id="campaigns",
    **docs.documented(
        tag="segments",
        summary="List the campaigns",
        description=(
            "The campaigns of the program in force, and how many customers each has drawn for either arm; what a "
            "campaign changes is `GET /v1/metrics/effect?experiment=…`. Needs an admin key."
        ),
        answer=segment_schemas.CampaignsAnswer,
        example=examples.CAMPAIGNS_ANSWER,
        problems=[403],
    ),
)
async def campaigns(services: TheServices, _key: AsAdmin) -> Any:
    """Return the campaigns with their counts."""

    def read(conn: Connection) -> dict[str, Any]:
        now = utc_now()
        return campaigns_told(conn, services.programs.recent(conn).in_force(now).document, now)

    return json_answer(await services.reader.read(read))
