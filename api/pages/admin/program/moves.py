"""The list of who would move by a draft: page by page, by step, and as a file."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from functools import partial
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection, RowMapping
from starlette.responses import StreamingResponse

from api.csv_files import csv_lines
from api.deps import services_of
from api.errors import http_problem
from api.pages.admin.forms import Listing
from api.pages.admin.program.desk import Desk, desk_of, program_page
from api.pages.admin.program.moves_view import names_of, steps_of
from api.pages.admin.render import reading
from api.pages.admin.session import signed_in
from rewards.applying.kept import KeptMoves, moves_after, moves_page, read_moves
from rewards.core import wording
from rewards.profiles.storing import names_of as names_of_customers

router = APIRouter()
ADDRESS = "/admin/program/draft/preview/{preview_id}"
PAGE_SIZE = 50
_LINES_AT_ONCE = 5_000
_MOMENT = timedelta(microseconds=1)


@router.api_route(f"{ADDRESS}/moves", methods=["GET", "HEAD"], include_in_schema=False)
async def moves(request: Request, preview_id: str) -> Response:
    """List them."""
    admin = await signed_in(request)
    listing = Listing.read(request, sorts=(), default="", filters=("step",), size=PAGE_SIZE)

    def read(conn: Connection, _desk: Desk) -> tuple[KeptMoves, Sequence[RowMapping], dict[str, str]] | None:
        kept = read_moves(conn, preview_id)
        if kept is None:
            return None
        found = moves_page(
            conn, preview_id, most=listing.limit, skip=listing.offset, step=_step(kept, listing["step"])
        )
        return kept, found, names_of_customers(conn, {each["customer_id"] for each in found})

    desk, shown = await desk_of(request, read)
    if shown is None:
        raise http_problem(404, "")
    kept, found, people = shown
    rows, listing = listing.window(found)
    names = names_of(kept.report)
    zone = desk.in_force.document.zone
    return program_page(
        request,
        admin,
        "moves.html",
        desk,
        listing=listing,
        kept=kept,
        rows=rows,
        people=people,
        names=names,
        steps=[("", "all who move")]
        + [
            (str(index), f"{names[came_from]} → {names[goes_to]} ({wording.number(count)})")
            for index, (came_from, goes_to, count) in enumerate(steps_of(kept.report))
        ],
        # What ends at midnight lasts through the day before.
        day=lambda instant: wording.day((instant - _MOMENT).astimezone(zone).date()),
        slug="preview",
    )


def _step(kept: KeptMoves, wanted: str) -> tuple[str | None, str | None] | None:
    steps = steps_of(kept.report)
    if not (wanted.isascii() and wanted.isdecimal() and len(wanted) < 6 and int(wanted) < len(steps)):
        return None
    return steps[int(wanted)][:2]


@router.get(f"{ADDRESS}/moves.csv", include_in_schema=False)
async def moves_file(request: Request, preview_id: str) -> Response:
    """Send all of them as CSV."""
    await signed_in(request)
    services = services_of(request)
    if await reading(request, lambda conn: read_moves(conn, preview_id)) is None:
        raise http_problem(404, "")

    async def lines() -> AsyncIterator[str]:
        yield csv_lines([("customer_id", "from", "to", "until")])
        after = ""
        while True:
            read = partial(moves_after, preview_id=preview_id, after=after, most=_LINES_AT_ONCE)
            rows = await services.reader.read(read)
            if not rows:
                return
            yield csv_lines([_line(row) for row in rows])
            after = rows[-1]["customer_id"]

    name = f"moves-{preview_id[:8]}.csv"
    headers = {"content-disposition": f"attachment; filename={quote(name)}", "cache-control": "no-store"}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)


def _line(row: RowMapping) -> tuple[str, ...]:
    until = "" if row["until"] is None else row["until"].isoformat()
    return row["customer_id"], row["from_tier"] or "", row["to_tier"] or "", until
