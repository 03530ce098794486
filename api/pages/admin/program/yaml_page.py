"""The draft as YAML: kept as it was typed, comments and mistakes included, with the lines of what is wrong."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from api.deps import services_of
from api.pages.admin.program.desk import Desk, program_page, read_desk, the_desk
from api.pages.admin.program.saving import SUBJECT, is_first_of_sitting, store
from api.pages.admin.render import redirect, writing
from api.pages.admin.session import Admin, read_form, signed_in
from rewards.admins.audit import record
from rewards.program.drafts import Checked, DraftChanged, check_text, digest_of, read_draft
from rewards.program.loading import LARGEST_BYTES, ProgramError, to_yaml

router = APIRouter()
ADDRESS = "/admin/program/draft/yaml"


class LineRemark(NamedTuple):
    """What is to be said of a line, and the line."""

    kind: str
    line: int
    path: str
    message: str
    text: str


@dataclass(frozen=True)
class _TextConflict:
    """Somebody else saved the draft meanwhile: the lines that differ, theirs and ours."""

    desk: Desk
    lines: list[str]


@router.api_route(ADDRESS, methods=["GET", "HEAD"], include_in_schema=False)
async def yaml_page(request: Request) -> Response:
    """Show the draft as text."""
    admin = await signed_in(request)
    desk = await the_desk(request)
    return _page(request, admin, desk, text_of(desk))


@router.post(ADDRESS, include_in_schema=False)
async def save_yaml(request: Request) -> Response:
    """Save the text as it was typed."""
    admin = await signed_in(request, "program.edit")
    form = await read_form(request, admin)
    text = _unix(form.raw("text"))
    outcome = await _saved(request, admin, text, form.text("_was"), by_hand=True)
    if isinstance(outcome, _TextConflict):
        return _page(request, admin, outcome.desk, text, outcome)
    return redirect(request, ADDRESS, "Saved in the draft.")


@router.post(f"{ADDRESS}/check", include_in_schema=False)
async def check_yaml(request: Request) -> Response:
    """Save the text while it is typed, and tell the page's script what is wrong with it."""
    admin = await signed_in(request, "program.edit")
    form = await read_form(request, admin)
    text = _unix(form.raw("text"))
    outcome = await _saved(request, admin, text, form.text("_was"), by_hand=False)
    if isinstance(outcome, _TextConflict):
        by = outcome.desk.draft
        who = outcome.desk.who(by.updated_by) if by else "Somebody"
        return JSONResponse({"conflict": f"{who} changed the draft meanwhile."}, 409)
    remarks = [each._asdict() for each in line_remarks(outcome.checked, text)]
    return JSONResponse({"was": digest_of(text), "saved": outcome.draft is not None, "lines": remarks})


async def _saved(
    request: Request, admin: Admin, text: str, was: str, *, by_hand: bool
) -> Desk | _TextConflict:
    programs = services_of(request).programs

    def work(conn: Connection) -> Desk | _TextConflict:
        read_draft(conn, lock=True)
        desk = read_desk(conn, programs.current(conn))
        theirs = text_of(desk)
        if theirs == text:
            return desk
        if digest_of(theirs) != was:
            return _TextConflict(desk, list(_differences(theirs, text)))
        store(conn, desk, admin, text=text)
        if by_hand or is_first_of_sitting(desk, admin):
            detail = {"part": "yaml"}
            record(conn, admin=admin, action="draft.edited", subject=SUBJECT, detail=detail, now=desk.now)
        return read_desk(conn, desk.history)

    try:
        return await writing(request, work)
    except DraftChanged:
        return await writing(request, work)


def text_of(desk: Desk) -> str:
    """Return the draft as text, or the newest version where there is none."""
    return to_yaml(desk.newest.document) if desk.draft is None else desk.draft.as_text


def line_remarks(checked: Checked, text: str) -> list[LineRemark]:
    """Return what is to be said of a text, line by line."""
    lines = text.splitlines()

    def of(kind: str, errors: list[ProgramError]) -> Iterator[LineRemark]:
        for each in errors:
            number = each.line or 0
            line = lines[number - 1].strip() if 0 < number <= len(lines) else ""
            yield LineRemark(kind, number, each.path, each.message, line[:120])

    return [*of("error", checked.errors), *of("caution", checked.cautions)]


def _page(
    request: Request, admin: Admin, desk: Desk, text: str, conflict: _TextConflict | None = None
) -> Response:
    checked = check_text(text, desk.now)
    return program_page(
        request,
        admin,
        "yaml.html",
        desk,
        200 if conflict is None else 409,
        text=text,
        was=digest_of(text_of(desk)),
        remarks=line_remarks(checked, text),
        conflict=conflict,
        slug="yaml",
        largest=LARGEST_BYTES,
        may_edit=admin.may("program.edit"),
    )


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _differences(theirs: str, ours: str) -> Iterator[str]:
    compared = difflib.unified_diff(theirs.splitlines(), ours.splitlines(), lineterm="", n=2)
    return (line for line in compared if not line.startswith(("---", "+++")))
