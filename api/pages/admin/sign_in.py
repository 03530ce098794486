"""Signing in and out, and one's own password.

A wrong password and an e-mail address that nobody has are answered alike: in the same words, after the same time.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Annotated, Any, NamedTuple, TypeVar

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection

from api.bodies import read_form as read_fields
from api.deps import services_of
from api.errors import overloaded
from api.pages.admin.forms import Form
from api.pages.admin.render import admin_page, redirect, writing
from api.pages.admin.session import (
    SIGN_IN,
    Admin,
    client_address,
    csrf_token,
    delete_session_cookie,
    find_signed_in,
    kept_form,
    own_path,
    read_form,
    require_own_origin,
    set_session_cookie,
    signed_in,
    token_of,
)
from rewards.admins.accounts import (
    AdminAccount,
    AdminRefused,
    find_admin,
    normal_email,
    note_sign_in,
    password_hash_of,
    set_password,
)
from rewards.admins.audit import record
from rewards.admins.lockout import Attempt, begin_attempt, forgive
from rewards.admins.passwords import (
    PasswordRefused,
    check_password,
    hash_password,
    is_outdated,
    is_password,
)
from rewards.admins.sessions import begin_session, end_session, read_session
from rewards.core.clock import utc_now

T = TypeVar("T")

router = APIRouter()

WRONG = "The e-mail address or the password is not right."
#: Argon2 takes a core and 64 MiB for each password; more than a few at once would starve the requests.
_threads = ThreadPoolExecutor(2, thread_name_prefix="rewards-passwords")
_MOST_WAITING = 32
_waiting = 0


@router.api_route(SIGN_IN, methods=["GET", "HEAD"], include_in_schema=False)
async def sign_in_page(request: Request, next_path: Annotated[str, Query(alias="next")] = "") -> Response:
    """Show the form, also to who is signed in: perhaps as somebody else."""
    return _form(request, own_path(next_path))


@router.post(SIGN_IN, include_in_schema=False)
async def sign_in(request: Request) -> Response:
    """Begin a session, with a secret that no browser has seen before."""
    require_own_origin(request)
    form = Form(await read_fields(request))
    next_path, kept, typed = own_path(form.text("next")), form.raw("kept"), form.text("email")
    email, address, now = _lookup_email(typed), client_address(request), utc_now()
    attempt = await writing(request, lambda conn: _begin_attempt(conn, email, address, now))
    if attempt.wait is not None:
        error = f"Too many attempts. Try again in {_in_words(attempt.wait)}."
        headers = {"retry-after": str(int(attempt.wait.total_seconds()) + 1)}
        return _form(request, next_path, kept, typed, error, 429, headers)
    account = await check_admin(request, email, form.raw("password"))
    if account is None:
        return _form(request, next_path, kept, typed, WRONG, 422)
    old = token_of(request)
    token = await writing(request, lambda conn: _begin(conn, account, email, address, old, now))
    response = _welcome(request, account, token, next_path, kept)
    set_session_cookie(request, response, token)
    return response


@router.post("/admin/sign-out", include_in_schema=False)
async def sign_out(request: Request) -> Response:
    """End the session, here and in the browser."""
    require_own_origin(request)
    admin, now = await find_signed_in(request), utc_now()
    if admin is not None:
        await read_form(request, admin)
        signed_out = admin
        await writing(request, lambda conn: _end(conn, signed_out, now))
    response = redirect(request, SIGN_IN, "You are signed out.", "note")
    delete_session_cookie(request, response)
    return response


@router.api_route("/admin/password", methods=["GET", "HEAD"], include_in_schema=False)
async def password_page(request: Request) -> Response:
    """Show the form for one's own password."""
    admin = await signed_in(request, with_temporary_password=True)
    return admin_page(request, admin, "password.html", errors={})


@router.post("/admin/password", include_in_schema=False)
async def change_password(request: Request) -> Response:
    """Change one's own password: the old one is asked for, and every session but a new one ends."""
    admin = await signed_in(request, with_temporary_password=True)
    form = await read_form(request, admin)
    now, chosen = utc_now(), form.raw("new_password")
    address = client_address(request)
    attempt = await writing(request, lambda conn: _begin_attempt(conn, admin.email, address, now))
    errors = {}
    if attempt.wait is not None:
        errors["old_password"] = f"Too many attempts. Try again in {_in_words(attempt.wait)}."
    elif await check_admin(request, admin.email, form.raw("old_password")) is None:
        errors["old_password"] = "This is not your password."  # noqa: S105 - what is said of one
    try:
        check_password(chosen, admin.email, admin.name)
    except PasswordRefused as refused:
        errors["new_password"] = str(refused)
    else:
        if chosen != form.raw("again_password"):
            errors["again_password"] = "This is not the same password."  # noqa: S105 - the same
        elif chosen == form.raw("old_password"):
            errors["new_password"] = "This is the password you have."  # noqa: S105 - the same
    if errors:
        return admin_page(request, admin, "password.html", 422, errors=errors)
    hashed = await in_password_thread(hash_password, chosen)

    def change(conn: Connection) -> str:
        set_password(conn, admin.admin_id, hashed, now)
        forgive(conn, admin.email, address)
        record(conn, admin=admin, action="password.changed", subject=f"admin:{admin.admin_id}", now=now)
        return begin_session(conn, admin.admin_id, now)

    token = await writing(request, change)
    response = redirect(request, "/admin", "Your password is changed. Other browsers are signed out.")
    set_session_cookie(request, response, token)
    return response


class _Found(NamedTuple):
    account: AdminAccount | None
    password_hash: str | None


async def check_admin(request: Request, email: str, password: str) -> AdminAccount | None:
    """Return the admin with this e-mail address and password; None for any other, after the same time."""

    def find(conn: Connection) -> _Found:
        account = find_admin(conn, email)
        return _Found(account, password_hash_of(conn, account.admin_id if account else ""))

    found = await services_of(request).reader.read(find)
    fits = await in_password_thread(is_password, found.password_hash, password)
    if not fits or found.account is None or found.password_hash is None:
        return None
    if is_outdated(found.password_hash):
        renewed, admin_id = await in_password_thread(hash_password, password), found.account.admin_id
        await writing(request, lambda conn: note_sign_in(conn, admin_id, utc_now(), renewed))
    return found.account


async def in_password_thread(work: Callable[..., T], *given: Any) -> T:
    """Return what slow work with a password returns.

    Raises:
        Problem: ``overloaded``.
    """
    global _waiting  # noqa: PLW0603 - counts for the one pool of this process
    if _waiting >= _MOST_WAITING:
        raise overloaded()
    _waiting += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(_threads, work, *given)
    finally:
        _waiting -= 1


def _form(
    request: Request,
    next_path: str,
    kept: str = "",
    email: str = "",
    error: str = "",
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    about = {"next_path": next_path, "kept": kept, "email": email[:254], "error": error}
    return admin_page(request, None, "sign_in.html", status, headers, **about)


def _welcome(request: Request, account: AdminAccount, token: str, next_path: str, kept: str) -> Response:
    settings = services_of(request).settings
    found = kept_form(settings, kept) if kept else None
    if found is None:
        return redirect(request, next_path)
    path, form = found
    admin = Admin(account, token, csrf_token(settings, token))
    return admin_page(request, admin, "resume.html", kept_path=path, fields=list(form.pairs()))


def _lookup_email(typed: str) -> str:
    try:
        return normal_email(typed)
    except AdminRefused:
        return typed.strip().lower()[:254]


def _begin_attempt(conn: Connection, email: str, address: str, now: datetime) -> Attempt:
    attempt = begin_attempt(conn, email, address, now)
    if attempt.is_last:
        account = find_admin(conn, email)
        subject = None if account is None else f"admin:{account.admin_id}"
        # Whoever it was, nobody was signed in.
        record(conn, admin=None, action="sign-in.slowed", subject=subject, now=now)
    return attempt


def _begin(
    conn: Connection, account: AdminAccount, email: str, address: str, old: str | None, now: datetime
) -> str:
    forgive(conn, email, address)
    if old is not None:
        end_session(conn, old)
    note_sign_in(conn, account.admin_id, now)
    record(conn, admin=account, action="signed-in", subject=f"admin:{account.admin_id}", now=now)
    return begin_session(conn, account.admin_id, now)


def _end(conn: Connection, admin: Admin, now: datetime) -> None:
    if read_session(conn, admin.token, now) is not None:
        record(conn, admin=admin, action="signed-out", subject=f"admin:{admin.admin_id}", now=now)
    end_session(conn, admin.token)


def _in_words(wait: timedelta) -> str:
    seconds = int(wait.total_seconds()) + 1
    if seconds < 90:
        return f"{seconds} seconds"
    return f"{-(-seconds // 60)} minutes"
