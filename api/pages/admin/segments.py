"""Segments and campaigns: how many customers are in each, who they are, and what came of the offers."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection
from starlette.responses import StreamingResponse

from api.csv_files import csv_lines
from api.deps import services_of
from api.errors import http_problem
from api.pages.admin.forms import Listing
from api.pages.admin.places import read_place, write_place
from api.pages.admin.render import admin_page, reading
from api.pages.admin.session import signed_in
from rewards.core import wording
from rewards.core.clock import utc_now
from rewards.profiles.storing import names_of
from rewards.program.document import ProgramDocument
from rewards.program.segments import Segment
from rewards.segments.campaigns import campaigns_told
from rewards.segments.membership import read_members, segments_told

PAGE_SIZE = 50
_LINES_AT_ONCE = 5_000
_COLUMNS = ("customer_id", "since", "tier", "purchases", "spent_minor", "last_purchase_at")
_BADGES = {"running": "good", "coming": "accent", "over": ""}

router = APIRouter()


@router.api_route("/admin/segments", methods=["GET", "HEAD"], include_in_schema=False)
async def segments(request: Request) -> Response:
    """Show all of them."""
    admin = await signed_in(request)
    now = utc_now()

    def read(conn: Connection) -> tuple[ProgramDocument, dict[str, Any], dict[str, Any]]:
        document = services_of(request).programs.recent(conn).in_force(now).document
        return document, segments_told(conn, document), campaigns_told(conn, document, now)

    document, told, campaigns = await reading(request, read)
    as_of = told["as_of"]
    return admin_page(
        request,
        admin,
        "segments.html",
        segments=told["segments"],
        names={segment.id: segment.name or segment.id for segment in document.segments},
        campaigns=campaigns["campaigns"],
        badges=_BADGES,
        as_of=None if as_of is None else wording.minute(as_of, document.zone),
        day=lambda instant: wording.day(instant.astimezone(document.zone).date()),
    )


@router.api_route("/admin/segments/{segment_id}", methods=["GET", "HEAD"], include_in_schema=False)
async def segment(request: Request, segment_id: str) -> Response:
    """Show who is in one."""
    admin = await signed_in(request)
    listing = Listing.read(request, sorts=(), default="", filters=(), size=PAGE_SIZE)
    place = read_place(request.query_params.get("after", ""))
    after = place[0] if place and isinstance(place[0], str) and "\0" not in place[0] else ""

    def read(conn: Connection) -> tuple[ProgramDocument, Segment, list[dict[str, Any]], dict[str, str]]:
        document = services_of(request).programs.recent(conn).in_force(utc_now()).document
        found = _segment(document, segment_id)
        members = read_members(conn, found.id, after, PAGE_SIZE + 1)
        return document, found, members, names_of(conn, {each["customer_id"] for each in members})

    document, found, members, names = await reading(request, read)
    shown = members[:PAGE_SIZE]
    ladder = document.ladder
    return admin_page(
        request,
        admin,
        "segment.html",
        segment=found,
        listing=listing,
        members=shown,
        names=names,
        tiers={} if ladder is None else {tier.id: tier.name for tier in ladder.tiers},
        more=write_place([shown[-1]["customer_id"]]) if len(members) > PAGE_SIZE else "",
        is_first=not after,
        day=lambda instant: wording.day(instant.astimezone(document.zone).date()),
        money=lambda minor: wording.money(minor, document.currency),
    )


@router.get("/admin/segments/{segment_id}/customers.csv", include_in_schema=False)
async def segment_file(request: Request, segment_id: str) -> Response:
    """Send all who are in one, as CSV."""
    await signed_in(request)
    services, now = services_of(request), utc_now()

    def find(conn: Connection) -> Segment:
        return _segment(services.programs.recent(conn).in_force(now).document, segment_id)

    found = await reading(request, find)

    async def lines() -> AsyncIterator[str]:
        yield csv_lines([_COLUMNS])
        after = ""
        while True:
            read = partial(read_members, segment_id=found.id, after=after, most=_LINES_AT_ONCE)
            members = await services.reader.read(read)
            if not members:
                return
            yield csv_lines([each[name] for name in _COLUMNS] for each in members)
            after = members[-1]["customer_id"]

    name = f"segment-{found.id}-{now:%Y-%m-%d}.csv"
    headers = {"content-disposition": f"attachment; filename={quote(name)}", "cache-control": "no-store"}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)


def _segment(document: ProgramDocument, segment_id: str) -> Segment:
    for found in document.segments:
        if found.id == segment_id:
            return found
    raise http_problem(404, "The program in force has no such segment.")
