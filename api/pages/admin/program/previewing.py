"""What the draft would have done with the shop's own history: replayed in the background, with progress and result."""

import time
from datetime import datetime
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from api.deps import services_of
from api.errors import http_problem
from api.pages.admin.program.desk import Desk, desk_of, program_page, the_desk
from api.pages.admin.program.moves_view import MovesView, moves_view
from api.pages.admin.program.preview_view import PreviewView, preview_view
from api.pages.admin.program.saving import SUBJECT
from api.pages.admin.render import redirect, writing
from api.pages.admin.session import read_form, signed_in
from api.routes.preview import Pauses, is_previewing, preview_thread
from rewards.admins.audit import record
from rewards.applying.kept import keep_moves, read_moves
from rewards.core.clock import utc_now
from rewards.core.database import Database
from rewards.core.logs import fault
from rewards.preview import PreviewReport, replay
from rewards.preview.kept import (
    KeptPreview,
    begin_preview,
    end_preview,
    note_progress,
    read_preview,
    recent_previews,
    stop_preview,
)
from rewards.preview.moves import Stopped, preview_moves
from rewards.program.document import ProgramDocument
from rewards.program.drafts import document_data

log = structlog.get_logger("rewards.preview")
router = APIRouter()
ADDRESS = "/admin/program/draft/preview"
#: So long a replay may take; the customers that were replayed by then stand for all.
MOST_SECONDS = 1_800.0
_SECONDS_BETWEEN_NOTES = 0.5
#: What this process replays, to be stopped when it ends.
_under_way: "dict[str, _Notes]" = {}


@router.api_route(ADDRESS, methods=["GET", "HEAD"], include_in_schema=False)
async def preview_page(request: Request) -> Response:
    """Show the button that begins one, and those that were made."""
    admin = await signed_in(request)
    desk, previews = await desk_of(request, lambda conn, desk: recent_previews(conn, desk.now))
    return program_page(
        request,
        admin,
        "preview.html",
        desk,
        previews=previews,
        may_edit=admin.may("program.edit"),
        slug="preview",
    )


@router.post(ADDRESS, include_in_schema=False)
async def begin(request: Request) -> Response:
    """Begin to replay."""
    admin = await signed_in(request, "program.edit")
    await read_form(request, admin)
    desk = await the_desk(request)
    document = desk.checked.document
    if document is None:
        return redirect(request, ADDRESS, "Mend what is wrong with the draft first.", "bad")
    if not is_previewing.acquire(blocking=False):
        return redirect(request, ADDRESS, "Another preview is under way; wait for it, or stop it.", "bad")
    try:

        def work(conn: Connection) -> str:
            data = document_data(document)
            preview_id = begin_preview(conn, data, revision=desk.revision, now=desk.now, actor=admin.actor)
            detail = {"preview": preview_id}
            record(conn, admin=admin, action="draft.previewed", subject=SUBJECT, detail=detail, now=desk.now)
            return preview_id

        preview_id = await writing(request, work)
    except BaseException:
        is_previewing.release()
        raise
    database = services_of(request).database
    preview_thread.submit(_replay, database, preview_id, document, desk.now)
    return redirect(request, f"{ADDRESS}/{preview_id}")


@router.api_route(f"{ADDRESS}/{{preview_id}}", methods=["GET", "HEAD"], include_in_schema=False)
async def result(request: Request, preview_id: str) -> Response:
    """Show how far one is, or what it found."""
    admin = await signed_in(request)

    def found(
        conn: Connection, desk: Desk
    ) -> tuple[KeptPreview, PreviewView | None, MovesView | None] | None:
        kept = read_preview(conn, preview_id, desk.now)
        if kept is None:
            return None
        moves = read_moves(conn, preview_id)
        return (
            kept,
            preview_view(kept.report) if kept.report else None,
            None if moves is None else moves_view(moves),
        )

    desk, shown = await desk_of(request, found)
    if shown is None:
        raise http_problem(404, "")
    kept, view, moves = shown
    return program_page(
        request,
        admin,
        "preview_result.html",
        desk,
        preview=kept,
        view=view,
        moves=moves,
        is_current=desk.draft is not None and desk.revision == kept.revision,
        may_edit=admin.may("program.edit"),
        slug="preview",
    )


@router.post(f"{ADDRESS}/{{preview_id}}/stop", include_in_schema=False)
async def stop(request: Request, preview_id: str) -> Response:
    """Stop one; what it found so far stays."""
    admin = await signed_in(request, "program.edit")
    await read_form(request, admin)
    await writing(request, lambda conn: stop_preview(conn, preview_id, utc_now()))
    return redirect(
        request, f"{ADDRESS}/{preview_id}", "Stopped. What it had found by then stands below.", "note"
    )


class _Notes:
    """Writes down how far a replay is, now and then, and hears there whether it is still wanted."""

    def __init__(self, database: Database, preview_id: str) -> None:
        self.database = database
        self._preview_id = preview_id
        self._next_at = 0.0
        self.is_stopped = False

    def progress(self, _stage: str, done: int, total: int | None) -> None:
        if time.monotonic() < self._next_at:
            return
        self._next_at = time.monotonic() + _SECONDS_BETWEEN_NOTES
        self._note(done, total, None)

    def quick(self, report: PreviewReport) -> None:
        sample = report.sample
        total = sample.of if sample is not None else report.customers
        self._note(report.customers, total, report.as_json())

    def _note(self, done: int, total: int | None, report: Any) -> None:
        with self.database.engine.begin() as conn:
            is_wanted = note_progress(
                conn, self._preview_id, utc_now(), done=done, total=total, report=report
            )
        self.is_stopped = self.is_stopped or not is_wanted

    def end(self, report: PreviewReport | None, failure: str | None = None) -> None:
        with self.database.engine.begin() as conn:
            found = None if report is None else report.as_json()
            if report is not None:
                note_progress(
                    conn, self._preview_id, utc_now(), done=report.customers, total=report.customers
                )
            end_preview(conn, self._preview_id, utc_now(), report=found, failure=failure)


def _replay(database: Database, preview_id: str, document: ProgramDocument, as_of: datetime) -> None:
    notes = _under_way[preview_id] = _Notes(database, preview_id)
    try:
        with database.engine.connect() as conn:
            moves = preview_moves(
                conn,
                document,
                now=as_of,
                is_stopped=lambda: notes.is_stopped,
                pause=Pauses(),
                progress=lambda *_: notes.progress("", 0, None),
            )
        if moves is not None:
            with database.engine.begin() as conn:
                keep_moves(conn, moves, preview_id)
        with database.engine.connect() as conn:
            report = replay(
                conn,
                document,
                as_of=as_of,
                seconds=MOST_SECONDS,
                on_sample=notes.quick,
                is_stopped=lambda: notes.is_stopped,
                pause=Pauses(),
                progress=notes.progress,
            )
        notes.end(report)
    except Stopped:
        # Before there was anything to keep.
        log.info("preview stopped", preview_id=preview_id)
    except Exception as error:  # noqa: BLE001 - whatever it is, whoever waits for it is told
        log.error("preview failed", preview_id=preview_id, **fault(error))
        _tell(notes, "The replay failed; the server's log says why.")
    finally:
        del _under_way[preview_id]
        is_previewing.release()


def stop_all(database: Database) -> None:
    """Stop what is replayed of a database whose server ends; what was found by then is kept."""
    for notes in list(_under_way.values()):
        if notes.database is database:
            notes.is_stopped = True


def _tell(notes: _Notes, failure: str) -> None:
    try:
        notes.end(None, failure)
    except DBAPIError as error:
        # Without a database nobody can be told; the page finds the silence itself.
        log.error("preview could not be ended", **fault(error))
