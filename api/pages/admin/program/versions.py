"""All versions that were ever published, what each changed, and how to take an old one up again."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection

from api.deps import services_of
from api.errors import http_problem
from api.pages.admin.forms import Listing
from api.pages.admin.program.desk import Desk, desk_of, program_page, read_desk, the_desk
from api.pages.admin.program.saving import SUBJECT, store
from api.pages.admin.render import redirect, writing
from api.pages.admin.session import read_form, signed_in
from rewards.admins.audit import record
from rewards.applying.progress import Application, read_application
from rewards.program.differences import history_differences
from rewards.program.drafts import DraftChanged, document_data, read_draft
from rewards.program.history import ProgramVersion
from rewards.program.loading import to_yaml

router = APIRouter()
ADDRESS = "/admin/program/versions"
_SORTS = ("version", "effective_from", "published_at", "published_by")


@router.api_route(ADDRESS, methods=["GET", "HEAD"], include_in_schema=False)
async def versions(request: Request) -> Response:
    """List them, newest first."""
    admin = await signed_in(request)
    desk = await the_desk(request)
    listing = Listing.read(request, sorts=_SORTS, default="version", descending=True, filters=("q",), size=25)
    wanted = [each for each in desk.history.versions if listing["q"].lower() in _searched(desk, each)]
    wanted.sort(key=lambda each: getattr(each, listing.sort), reverse=listing.descending)
    shown, listing = listing.window(wanted[listing.offset : listing.offset + listing.limit])
    return program_page(
        request,
        admin,
        "versions.html",
        desk,
        versions=shown,
        listing=listing,
        in_force=desk.in_force.version,
        scheduled={each.version for each in desk.scheduled},
        counts={each.version: _changes(desk, each) for each in shown},
    )


def _searched(desk: Desk, version: ProgramVersion) -> str:
    who = desk.who(version.published_by)
    return f"{version.version} {version.note or ''} {who} {version.document.name}".lower()


def _changes(desk: Desk, version: ProgramVersion) -> int | None:
    if version.version == 1:
        return None
    return len(history_differences(desk.history.by_version(version.version - 1).document, version.document))


@router.api_route(f"{ADDRESS}/{{number}}", methods=["GET", "HEAD"], include_in_schema=False)
async def version_page(
    request: Request, number: str, against: Annotated[str, Query(alias="with")] = ""
) -> Response:
    """Show one with its document, and what differs from another."""
    admin = await signed_in(request)

    def read(conn: Connection, desk: Desk) -> Application | None:
        return read_application(conn, _version(desk, number).version)

    desk, application = await desk_of(request, read)
    version = _version(desk, number)
    other = _compared(desk, version, against)
    changes = None if other is None else history_differences(other.document, version.document)
    return program_page(
        request,
        admin,
        "version.html",
        desk,
        version=version,
        other=other,
        changes=changes,
        text=to_yaml(version.document),
        others=len(desk.history) > 1,
        compared=_choices(desk, version),
        application=application,
        is_in_force=version is desk.in_force,
        is_scheduled=version in desk.scheduled,
        may_edit=admin.may("program.edit"),
    )


def _version(desk: Desk, number: str) -> ProgramVersion:
    try:
        return desk.history.by_version(int(number) if number.isascii() and number.isdecimal() else 0)
    except (LookupError, ValueError):
        raise http_problem(404, "") from None


def _compared(desk: Desk, version: ProgramVersion, against: str) -> ProgramVersion | None:
    if against:
        return _version(desk, against)
    return None if version.version == 1 else desk.history.by_version(version.version - 1)


@router.post(f"{ADDRESS}/{{number}}/restore", include_in_schema=False)
async def restore(request: Request, number: str) -> Response:
    """Begin a draft that says what an old version said."""
    admin = await signed_in(request, "program.edit")
    form = await read_form(request, admin)
    programs = services_of(request).programs

    def work(conn: Connection) -> bool:
        read_draft(conn, lock=True)
        desk = read_desk(conn, programs.current(conn))
        version = _version(desk, number)
        if desk.draft is not None and form.text("over") != str(desk.revision):
            return False
        store(conn, desk, admin, data=document_data(version.document), based_on=desk.newest.version)
        detail = {"version": version.version}
        record(conn, admin=admin, action="draft.restored", subject=SUBJECT, detail=detail, now=desk.now)
        return True

    try:
        is_done = await writing(request, work)
    except DraftChanged:
        is_done = False
    if not is_done:
        text = "There is a draft that this would replace. Tick the box if it may go."
        return redirect(request, f"{ADDRESS}/{number}", text, "bad")
    return redirect(
        request, "/admin/program", f"The draft says what version {number} said. Publish it to go back to it."
    )


def _choices(desk: Desk, version: ProgramVersion) -> list[tuple[str, str]]:
    """Return the other versions, newest first, to compare with."""
    return [
        (str(each.version), f"Version {each.version} of {desk.local(each.published_at)}")
        for each in reversed(desk.history.versions)
        if each is not version
    ]
