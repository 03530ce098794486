"""From an admin page's template to the page: navigation, flash message, tokens, and addresses that fit any prefix."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import quote

from fastapi import Request, Response
from itsdangerous import BadData, URLSafeTimedSerializer
from sqlalchemy import Connection
from starlette.responses import RedirectResponse

from api.deps import services_of
from api.errors import Problem, request_id_of
from api.pages.admin.session import (
    SIGN_IN,
    Admin,
    SignInNeeded,
    is_secure,
    keep_form,
    own_path,
    path_of,
    secret_of,
)
from api.pages.assets import asset_name
from api.pages.rendering import PAGE_HEADERS, html_page
from rewards.admins.roles import Permission

T = TypeVar("T")
Kind = Literal["good", "bad", "note"]

_FLASH_COOKIE = "rewards_flash"
_FLASH_PURPOSE = "rewards.admin.flash.1"
_FLASH_SECONDS = 120
_LONGEST_FLASH = 1_000

#: Our own scripts and styles, and nothing else. Forms tell their origin, so that we can check it; nobody else is
#: told the address.
ADMIN_HEADERS: Mapping[str, str] = {
    **PAGE_HEADERS,
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "referrer-policy": "same-origin",
}


class Section(NamedTuple):
    """An entry of the navigation."""

    path: str
    label: str
    permission: Permission = "view"


SECTIONS = (
    Section("/admin", "Overview"),
    Section("/admin/metrics", "Metrics"),
    Section("/admin/program", "Program"),
    Section("/admin/customers", "Customers"),
    Section("/admin/segments", "Segments"),
    Section("/admin/referrals", "Referrals"),
    Section("/admin/activity", "Activity"),
    Section("/admin/system", "System"),
    Section("/admin/audit", "Audit log"),
    Section("/admin/admins", "Admins"),
)


@dataclass(frozen=True, slots=True)
class Flash:
    """What is said once, at the top of the page that comes next."""

    text: str
    kind: Kind


def admin_page(
    request: Request,
    admin: Admin | None,
    template: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **about: Any,
) -> Response:
    """Return a page of the admin's, ``templates/admin/<template>``.

    The template is given ``admin``, ``csrf``, ``link`` (an address from a path), ``path`` and what it is ``about``.
    """
    flash = _read_flash(request)
    response = html_page(
        f"admin/{template}",
        status,
        {**ADMIN_HEADERS, **(headers or {})},
        admin=admin,
        csrf=admin.csrf if admin else "",
        sections=_sections_for(admin),
        here=_section_of(request),
        path=path_of(request),
        link=partial(relative, request),
        asset=lambda name: relative(request, f"/static/{asset_name(name)}"),
        flash=flash,
        **about,
    )
    if flash is not None:
        response.delete_cookie(_FLASH_COOKIE, path="/")
    return response


def redirect(request: Request, path: str, flash: str | None = None, kind: Kind = "good") -> Response:
    """Send a browser to another of our pages, which says ``flash`` at its top.

    Args:
        request: what is answered.
        path: from ``/admin`` on, with a query perhaps; anything else leads to the overview.
        flash: a sentence.
        kind: whether it is good or bad news.
    """
    response = RedirectResponse(relative(request, own_path(path)), 303, {"cache-control": "no-store"})
    if flash is not None:
        text = _flasher(request).dumps([flash[:_LONGEST_FLASH], kind])
        response.set_cookie(
            _FLASH_COOKIE,
            str(text),
            max_age=_FLASH_SECONDS,
            path="/",
            httponly=True,
            samesite="lax",
            secure=is_secure(request),
        )
    return response


def relative(request: Request, path: str) -> str:
    """Return the address of a path, seen from the page that is asked for: a proxy may serve us under a prefix."""
    depth = path_of(request).count("/") - 1
    return ("../" * depth or "./") + path.lstrip("/")


async def reading(request: Request, work: Callable[[Connection], T]) -> T:
    """Return what ``work`` reads, all of it from one snapshot, in a thread.

    Raises:
        Problem: ``overloaded`` or ``unavailable``.
    """

    def snapshot(conn: Connection) -> T:
        conn.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        return work(conn)

    return await services_of(request).reader.read(snapshot)


async def writing(request: Request, work: Callable[[Connection], T]) -> T:
    """Do ``work`` in a transaction, in a thread, and return what it returns; an exception takes all of it back.

    Raises:
        Problem: ``overloaded`` or ``unavailable``.
    """
    services = services_of(request)

    def transaction() -> T:
        with services.database.engine.begin() as conn:
            return work(conn)

    return await services.reader.run(transaction)


def problem_page(request: Request, problem: Problem) -> Response:
    """Answer a problem with a page instead of a document."""
    admin: Admin | None = getattr(request.state, "admin", None)
    about = {"problem": problem, "request_id": request_id_of(request.scope)}
    return admin_page(request, admin, "problem.html", problem.status, problem.headers, **about)


def sign_in_answer(request: Request, needed: SignInNeeded) -> Response:
    """Answer who is not signed in: the sign-in page, which keeps what was typed."""
    if needed.form is None:
        if needed.next_path == "/admin":
            return redirect(request, SIGN_IN)
        return redirect(request, _with_next(needed.next_path))
    settings = services_of(request).settings
    return admin_page(
        request,
        None,
        "sign_in.html",
        401,
        next_path=own_path(needed.next_path),
        kept=keep_form(settings, own_path(needed.next_path), needed.form),
        email="",
        error="",
    )


def _with_next(path: str) -> str:
    return f"{SIGN_IN}?next={quote(path, safe='/')}"


def _sections_for(admin: Admin | None) -> list[Section]:
    if admin is None:
        return []
    return [section for section in SECTIONS if admin.may(section.permission)]


def _section_of(request: Request) -> str:
    path = path_of(request)
    inside = (each.path for each in SECTIONS[1:] if path == each.path or path.startswith(each.path + "/"))
    return next(inside, path if path == SECTIONS[0].path else "")


def _read_flash(request: Request) -> Flash | None:
    text = request.cookies.get(_FLASH_COOKIE)
    if not text:
        return None
    try:
        said, kind = _flasher(request).loads(text, max_age=_FLASH_SECONDS)
    except (BadData, ValueError, TypeError):
        return None
    return Flash(said, kind)


def _flasher(request: Request) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(secret_of(services_of(request).settings), salt=_FLASH_PURPOSE)
