"""The draft's pages: one form for each part of the document. What is typed is saved as it is, right or wrong."""

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from api.deps import services_of
from api.errors import http_problem
from api.pages.admin.program.desk import Desk, program_page, read_desk, the_desk
from api.pages.admin.program.parts import Part, brief, part_at, part_of
from api.pages.admin.program.saving import SUBJECT, Conflict, Saved, Unreadable, save_part
from api.pages.admin.render import redirect, writing
from api.pages.admin.session import Admin, read_form, signed_in
from api.pages.document_form import labels
from api.pages.document_form.editing import EditRefused
from api.pages.document_form.kinds import ListKind
from api.pages.document_form.naming import field_at, name_of, path_of
from api.pages.document_form.nodes import Apart, Node, Remark, walk
from api.pages.document_form.reading import Posted
from api.pages.document_form.showing import Form
from rewards.admins.audit import record
from rewards.program.drafts import DraftChanged, discard_draft, read_draft

router = APIRouter()
DRAFT = "/admin/program/draft"


@router.get(DRAFT, include_in_schema=False)
async def draft(request: Request) -> Response:
    """Lead to the first of the draft's pages."""
    await signed_in(request)
    return redirect(request, f"{DRAFT}/earn")


@router.post(f"{DRAFT}/check", include_in_schema=False)
async def check(request: Request) -> Response:
    """Save what is being typed, and tell a page's script what is wrong with it."""
    admin = await signed_in(request, "program.edit")
    form = await read_form(request, admin)
    part = _part(form.text("_part"))
    outcome = await _saved(request, admin, part, form.as_dict(), by_hand=False)
    if isinstance(outcome, Conflict):
        by = outcome.desk.draft
        return JSONResponse(
            {
                "conflict": f"{outcome.desk.who(by.updated_by) if by else 'Somebody'} changed this page meanwhile."
            },
            409,
        )
    desk, here = outcome.desk, outcome.part
    assert desk.data is not None
    nodes = here.form(_form(desk), desk.data)
    return JSONResponse(
        {
            "was": here.digest(desk.data) if outcome.is_kept else form.text("_was"),
            "saved": desk.draft is not None and outcome.is_kept,
            "kept": outcome.is_kept,
            "remarks": [_as_json(node, remark, here, part) for node, remark in _said(nodes)],
            "elsewhere": sum(part_of(each.path) != here for each in desk.remarks if each.kind == "error"),
        }
    )


@router.post(f"{DRAFT}/discard", include_in_schema=False)
async def discard(request: Request) -> Response:
    """Throw the draft away."""
    admin = await signed_in(request, "program.edit")
    form = await read_form(request, admin)
    over = form.text("_revision")
    programs = services_of(request).programs

    def work(conn: Connection) -> None:
        desk = read_desk(conn, programs.current(conn))
        if str(desk.revision) != over:
            raise DraftChanged(desk.draft)
        discard_draft(conn, over=desk.revision, now=desk.now, actor=admin.actor)
        detail = {"based_on": desk.based_on.version}
        record(conn, admin=admin, action="draft.discarded", subject=SUBJECT, detail=detail, now=desk.now)

    try:
        await writing(request, work)
    except DraftChanged:
        text = "Somebody changed the draft meanwhile, so it was kept. Look at it once more."
        return redirect(request, "/admin/program", text, "bad")
    return redirect(request, "/admin/program", "The draft is gone; the published versions are as they were.")


@router.api_route(f"{DRAFT}/{{slug:path}}", methods=["GET", "HEAD"], include_in_schema=False)
async def part_page(request: Request, slug: str) -> Response:
    """Show a part of the draft."""
    admin = await signed_in(request)
    part = _part(slug)
    desk = await the_desk(request)
    if desk.data is not None and not part.exists(desk.data):
        raise http_problem(404, "")
    return _page(request, admin, desk, part, new=_new(request))


@router.post(f"{DRAFT}/{{slug:path}}", include_in_schema=False)
async def save(request: Request, slug: str) -> Response:
    """Save a part of the draft, and do what its button says."""
    admin = await signed_in(request, "program.edit")
    form = await read_form(request, admin)
    part = _part(slug)
    try:
        outcome = await _saved(request, admin, part, form.as_dict(), by_hand=True)
    except Unreadable:
        return redirect(request, f"{DRAFT}/yaml", "Mend the text first: no form can show it.", "bad")
    except EditRefused as refused:
        return redirect(request, f"{DRAFT}/{slug}", f"That could not be done: {refused}.", "bad")
    if isinstance(outcome, Conflict):
        return _page(request, admin, outcome.desk, outcome.part, conflict=outcome)
    return _look_at(request, outcome, form.text("do"))


def _part(slug: str) -> Part:
    part = part_at(slug)
    if part is None:
        raise http_problem(404, "")
    return part


async def _saved(
    request: Request, admin: Admin, part: Part, posted: Posted, *, by_hand: bool
) -> Saved | Conflict:
    programs = services_of(request).programs

    def work(conn: Connection) -> Saved | Conflict:
        # The row is locked before it is looked at: who comes second sees what the first has saved.
        read_draft(conn, lock=True)
        desk = read_desk(conn, programs.current(conn))
        return save_part(conn, desk, part, posted, admin=admin, by_hand=by_hand)

    try:
        return await writing(request, work)
    except DraftChanged:
        # Two began the first draft at once; now there is one to look at.
        return await writing(request, work)


def _look_at(request: Request, saved: Saved, action: str) -> Response:
    """Lead to what was just changed, told from its address."""
    part = part_of(saved.focus)
    assert saved.desk.data is not None
    is_here = part.path == saved.focus
    query = f"?new={quote(name_of(saved.focus))}" if saved.is_new else ""
    anchor = "" if is_here else f"#{name_of(saved.focus)}"
    flash = (
        None
        if ":" in action
        else "Saved in the draft."
        if saved.desk.draft is not None
        else "Nothing was changed."
    )
    answer = redirect(request, f"{DRAFT}/{part.slug}{query}", flash)
    answer.headers["location"] += anchor
    return answer


def _page(
    request: Request,
    admin: Admin,
    desk: Desk,
    part: Part,
    *,
    conflict: Conflict | None = None,
    new: Any = None,
) -> Response:
    data = conflict.data if conflict is not None else desk.data
    about: dict[str, Any] = {"nodes": [], "rows": {}, "was": "", "slug": part.slug}
    if data is not None:
        assert desk.data is not None
        remarks = [] if conflict is not None else desk.remarks
        form = Form(currency=desk.currency, remarks=remarks, apart=labels.APART, new=new)
        about["nodes"] = part.form(form, data)
        about["rows"] = _rows(about["nodes"], data, desk.currency)
        about["was"] = part.digest(desk.data)
    return program_page(
        request,
        admin,
        "part.html",
        desk,
        200 if conflict is None else 409,
        part=part,
        title=part.title(data),
        lead=part.help(data),
        trail=_trail(part, data),
        conflict=conflict,
        may_edit=admin.may("program.edit"),
        **about,
    )


def _trail(part: Part, data: Any) -> list[tuple[str, str]]:
    """Return the pages above an item's: the list's, and what that is in."""
    if not part.is_item:
        return []
    top = part_of(part.list_path)
    return [(top.slug, top.title(data))]


def _rows(nodes: list[Node], data: dict[str, Any], currency: str) -> dict[str, str]:
    """Return what each item of the lists with pages of their own says, by the item's name."""
    rows: dict[str, str] = {}
    for node in (each for root in nodes for each in walk(root)):
        if isinstance(node, Apart):
            field = field_at(path_of(node.name), data)
            assert field is not None
            assert isinstance(field.kind, ListKind)
            rows |= {row.name: brief(field.kind.item, row.data, currency) for row in node.rows}
    return rows


def _form(desk: Desk) -> Form:
    return Form(currency=desk.currency, remarks=desk.remarks, apart=labels.APART)


def _said(nodes: list[Node]) -> list[tuple[Node, Remark]]:
    return [(node, remark) for root in nodes for node in walk(root) for remark in node.remarks]


def _as_json(node: Node, remark: Remark, here: Part, shown: Part) -> dict[str, str]:
    """Return a remark under the name that its node has on the page that is open, which the part may have moved from."""
    prefix = name_of(here.path)
    at = name_of(shown.path) + node.name.removeprefix(prefix) if here.is_item else node.name
    return {"at": at, "kind": remark.kind, "message": remark.message}


def _new(request: Request) -> Any:
    try:
        return path_of(request.query_params.get("new", ""))
    except ValueError:
        return None
