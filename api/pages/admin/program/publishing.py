"""Publishing the draft: what it changes, from when on, and why. What was published meanwhile is never overwritten."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from api.background import apply_soon
from api.deps import services_of
from api.pages.admin.forms import Form
from api.pages.admin.program.desk import Desk, desk_of, program_page, read_desk, the_desk
from api.pages.admin.program.saving import SUBJECT, store
from api.pages.admin.render import redirect, writing
from api.pages.admin.session import Admin, read_form, signed_in
from rewards.admins.audit import record
from rewards.applying.kept import KeptMoves, read_moves
from rewards.applying.publishing import Expected, as_expected, brings_ladder, publish_expected
from rewards.core.errors import PreviewOutdated
from rewards.preview.kept import recent_previews
from rewards.program.differences import history_differences
from rewards.program.document import ProgramDocument
from rewards.program.drafts import DraftChanged, discard_draft, document_data, read_draft
from rewards.program.history import ProgramVersion
from rewards.program.merging import merge
from rewards.program.rules import parse_local_moment
from rewards.program.versions import NotNewest, publish

router = APIRouter()
ADDRESS = "/admin/program/publish"
_LONGEST_NOTE = 1_000
#: A program of the next century is a slip of the finger.
_FURTHEST = timedelta(days=3660)


@dataclass
class _Wish:
    """What the form asks for, and what is wrong with it by field."""

    note: str = ""
    effective_from: datetime | None = None
    errors: dict[str, str] = field(default_factory=dict)


@router.api_route(ADDRESS, methods=["GET", "HEAD"], include_in_schema=False)
async def publish_page(request: Request) -> Response:
    """Show what publishing would change."""
    admin = await signed_in(request)
    return _page(request, admin, *await _desk_and_moves(request))


@router.post(ADDRESS, include_in_schema=False)
async def publish_draft(request: Request) -> Response:
    """Publish the draft as it was shown."""
    admin = await signed_in(request, "program.publish")
    form = await read_form(request, admin)
    services = services_of(request)
    programs = services.programs
    try:
        expected = await _as_previewed(request, form)
    except PreviewOutdated as outdated:
        return _page(request, admin, *await _desk_and_moves(request), form, {"": outdated.detail}, 409)

    def work(conn: Connection) -> tuple[Desk, _Wish, ProgramVersion | None, bool]:
        read_draft(conn, lock=True)
        desk = read_desk(conn, programs.current(conn))
        wish = _wish(form, desk)
        document = desk.checked.document
        if wish.errors or document is None or desk.draft is None:
            return desk, wish, None, False
        if expected is not None:
            version = publish_expected(conn, document, expected, actor=admin.actor, note=wish.note)
        else:
            version = publish(
                conn,
                document,
                effective_from=wish.effective_from,
                now=desk.now,
                actor=admin.actor,
                note=wish.note,
                after=desk.draft.based_on,
            )
        discard_draft(conn, over=desk.revision, now=desk.now, actor=admin.actor)
        _record(conn, admin, desk, version)
        return desk, wish, version, brings_ladder(conn, version)

    try:
        desk, wish, version, is_to_apply = await writing(request, work)
    except (NotNewest, DraftChanged):
        # Published or edited at this very moment; the page says what there is now.
        return _page(request, admin, *await _desk_and_moves(request), form, {"": _CHANGED}, 422)
    if version is None:
        _, moves = await _desk_and_moves(request)
        return _page(request, admin, desk, moves, form, wish.errors, 422)
    if is_to_apply and version.effective_from <= desk.now:
        apply_soon(services.settings)
    when = "now" if version.effective_from <= desk.now else f"from {desk.local(version.effective_from)} on"
    return redirect(
        request,
        f"/admin/program/versions/{version.version}",
        f"Version {version.version} is published, in force {when}.",
    )


async def _desk_and_moves(request: Request) -> tuple[Desk, KeptMoves | None]:
    """Return the program, and who would move by the draft as it is now, where that was previewed."""

    def read(conn: Connection, desk: Desk) -> KeptMoves | None:
        done = (
            each
            for each in recent_previews(conn, desk.now)
            if desk.draft is not None and each.revision == desk.revision and not each.is_running
        )
        return next(
            (moves for each in done if (moves := read_moves(conn, each.preview_id)) is not None), None
        )

    return await desk_of(request, read)


async def _as_previewed(request: Request, form: Form) -> Expected | None:
    """Work out once more who would move, where the page said so; None where it did not, or something else is wrong.

    Raises:
        PreviewOutdated: other customers would move by now.
    """
    digest, desk = form.text("expected_moves"), await the_desk(request)
    wish, document = _wish(form, desk), desk.checked.document
    if not digest or wish.errors or document is None:
        return None
    database = services_of(request).database
    check = partial(
        as_expected,
        database,
        document,
        digest=digest,
        now=desk.now,
        effective_from=wish.effective_from,
    )
    return await services_of(request).reader.run(check)


_CHANGED = "The draft was changed after you had opened this page. Look at it once more."


def _wish(form: Form, desk: Desk) -> _Wish:
    wish = _Wish(note=form.text("note"))
    if form.text("_revision") != str(desk.revision):
        wish.errors[""] = _CHANGED
    if not wish.note:
        wish.errors["note"] = "Say why, in a sentence: it stays in the history."
    elif len(wish.note) > _LONGEST_NOTE or not wish.note.replace("\r", "").replace("\n", "").isprintable():
        wish.errors["note"] = f"Write at most {_LONGEST_NOTE:,} characters, and no control characters."
    if desk.checked.cautions and not form.checked("cautions"):
        wish.errors["cautions"] = "Tick the box once you have read them."
    if desk.draft is not None and desk.draft.based_on != desk.newest.version:
        wish.errors[""] = "Another version was published meanwhile. Bring the draft forward first."
    if form.text("when") == "later" and desk.checked.document is not None:
        _read_moment(wish, form.text("moment"), desk.checked.document, desk.now)
    return wish


def _read_moment(wish: _Wish, typed: str, document: ProgramDocument, now: datetime) -> None:
    try:
        moment = parse_local_moment(typed).replace(tzinfo=document.zone).astimezone(UTC)
    except (ValueError, OverflowError):
        wish.errors["moment"] = "Give a day and a time, for example 2026-12-01T00:00."
        return
    if moment <= now:
        wish.errors["moment"] = f"This is past in {document.timezone}; publish it now, or later than now."
    elif moment - now > _FURTHEST:
        wish.errors["moment"] = "This is more than ten years away."
    wish.effective_from = moment


def _record(conn: Connection, admin: Admin, desk: Desk, version: ProgramVersion) -> None:
    detail = {
        "version": version.version,
        "note": version.note,
        "effective_from": version.effective_from.isoformat(),
        "changes": len(history_differences(desk.newest.document, version.document)),
    }
    subject = f"program:{version.version}"
    record(conn, admin=admin, action="program.published", subject=subject, detail=detail, now=desk.now)


@router.post(f"{ADDRESS}/rebase", include_in_schema=False)
async def rebase(request: Request) -> Response:
    """Bring the draft forward to what was published meanwhile: its changes are made to that version."""
    admin = await signed_in(request, "program.edit")
    form = await read_form(request, admin)
    programs = services_of(request).programs

    def work(conn: Connection) -> list[str] | None:
        read_draft(conn, lock=True)
        desk = read_desk(conn, programs.current(conn))
        if desk.draft is None or desk.data is None or form.text("_revision") != str(desk.revision):
            return None
        newest = desk.newest
        merged = merge(document_data(desk.based_on.document), desk.data, document_data(newest.document))
        store(conn, desk, admin, data=merged.data, based_on=newest.version)
        detail = {"from": desk.draft.based_on, "to": newest.version, "conflicts": merged.conflicts[:20]}
        record(conn, admin=admin, action="draft.rebased", subject=SUBJECT, detail=detail, now=desk.now)
        return merged.conflicts

    try:
        conflicts = await writing(request, work)
    except DraftChanged:
        conflicts = None
    if conflicts is None:
        return redirect(request, ADDRESS, _CHANGED, "bad")
    if conflicts:
        places = ", ".join(conflicts[:10])
        text = f"The draft is brought forward. Both had changed {places}; there the draft's own stands."
        return redirect(request, ADDRESS, text, "note")
    return redirect(request, ADDRESS, "The draft is brought forward; look at what it changes now.")


def _page(
    request: Request,
    admin: Admin,
    desk: Desk,
    moves: KeptMoves | None,
    form: Form | None = None,
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    document = desk.checked.document if desk.draft is not None else None
    is_behind = desk.draft is not None and desk.draft.based_on != desk.newest.version
    return program_page(
        request,
        admin,
        "publish.html",
        desk,
        status,
        form=form or Form(),
        errors=errors or {},
        document=document,
        moves=moves,
        changes=history_differences(desk.newest.document, document) if document is not None else [],
        is_behind=is_behind,
        published_since=(
            history_differences(desk.based_on.document, desk.newest.document) if is_behind else []
        ),
        remarks=[desk.linked(each) for each in desk.remarks] if desk.draft is not None else [],
        may_edit=admin.may("program.edit"),
        may_publish=admin.may("program.publish"),
    )
