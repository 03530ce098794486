"""Admins: who may sign in, as what. Owners change it; everybody else sees it."""

import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from api.deps import services_of
from api.pages.admin.forms import Form
from api.pages.admin.render import admin_page, reading, redirect, writing
from api.pages.admin.session import Admin, read_form, signed_in
from api.pages.admin.sign_in import in_password_thread
from rewards.admins import accounts
from rewards.admins.accounts import AdminAccount, AdminRefused
from rewards.admins.audit import record
from rewards.admins.lockout import forgive
from rewards.admins.passwords import hash_password
from rewards.admins.roles import MEANINGS, ROLES, Role
from rewards.core import wording
from rewards.core.clock import utc_now

router = APIRouter()

ADMINS = "/admin/admins"


@router.api_route(ADMINS, methods=["GET", "HEAD"], include_in_schema=False)
async def admins(request: Request) -> Response:
    """Show everybody who may sign in, and who may no longer."""
    return await _page(request, await signed_in(request))


@router.post(ADMINS, include_in_schema=False)
async def add(request: Request) -> Response:
    """Make an account with a password that is good for choosing another, and show it, this once."""
    admin = await signed_in(request, "admins.manage")
    form = await read_form(request, admin)
    role, now = _role(form), utc_now()
    if role is None:
        return await _page(request, admin, 422, form=form, errors={"role": "Choose a role."})
    password = _made_up()
    hashed = await in_password_thread(hash_password, password)

    def work(conn: Connection) -> AdminAccount:
        made = accounts.create_admin(
            conn,
            email=form.text("email"),
            name=form.text("name"),
            role=role,
            password_hash=hashed,
            now=now,
            is_temporary=True,
        )
        detail = {"email": made.email, "role": made.role}
        record(
            conn,
            admin=admin,
            action="admin.created",
            subject=f"admin:{made.admin_id}",
            detail=detail,
            now=now,
        )
        return made

    try:
        made = await writing(request, work)
    except AdminRefused as refused:
        where = "name" if "name" in str(refused) else "email"
        return await _page(request, admin, 422, form=form, errors={where: str(refused)})
    return await _page(request, admin, shown=(made, password))


@router.post(ADMINS + "/{admin_id}/role", include_in_schema=False)
async def change_role(request: Request, admin_id: str) -> Response:
    """Give an admin another role."""
    admin = await signed_in(request, "admins.manage")
    form = await read_form(request, admin)
    role = _role(form)
    if role is None:
        return redirect(request, ADMINS, "Choose one of the roles.", "bad")
    change = partial(accounts.set_role, admin_id=admin_id, role=role)
    return await _changed(
        request, admin, admin_id, change, "admin.role-changed", {"role": role}, f"is {role} now"
    )


@router.post(ADMINS + "/{admin_id}/disable", include_in_schema=False)
async def disable(request: Request, admin_id: str) -> Response:
    """Let an admin sign in no more."""
    admin = await signed_in(request, "admins.manage")
    await read_form(request, admin)
    change = partial(accounts.disable_admin, admin_id=admin_id, now=utc_now())
    said = "may sign in no more, and is signed out everywhere"
    return await _changed(request, admin, admin_id, change, "admin.disabled", {}, said)


@router.post(ADMINS + "/{admin_id}/enable", include_in_schema=False)
async def enable(request: Request, admin_id: str) -> Response:
    """Let a disabled admin sign in again."""
    admin = await signed_in(request, "admins.manage")
    await read_form(request, admin)
    change = partial(accounts.enable_admin, admin_id=admin_id)
    return await _changed(request, admin, admin_id, change, "admin.enabled", {}, "may sign in again")


@router.post(ADMINS + "/{admin_id}/password", include_in_schema=False)
async def reset_password(request: Request, admin_id: str) -> Response:
    """Give an admin a password that is good for choosing another, and show it, this once."""
    admin = await signed_in(request, "admins.manage")
    await read_form(request, admin)
    if admin_id == admin.admin_id:
        return redirect(request, "/admin/password", "Your own password you change here.", "note")
    now, password = utc_now(), _made_up()
    hashed = await in_password_thread(hash_password, password)

    def work(conn: Connection) -> AdminAccount:
        changed = accounts.set_password(conn, admin_id, hashed, now, is_temporary=True)
        forgive(conn, changed.email)
        record(conn, admin=admin, action="admin.password-reset", subject=f"admin:{admin_id}", now=now)
        return changed

    try:
        changed = await writing(request, work)
    except AdminRefused as refused:
        return redirect(request, ADMINS, str(refused), "bad")
    return await _page(request, admin, shown=(changed, password))


async def _changed(
    request: Request,
    admin: Admin,
    admin_id: str,
    change: Callable[..., AdminAccount],
    action: str,
    detail: dict[str, Any],
    said: str,
) -> Response:
    def work(conn: Connection) -> AdminAccount:
        changed = change(conn)
        record(
            conn,
            admin=admin,
            action=action,
            subject=f"admin:{admin_id}",
            detail={"email": changed.email, **detail},
            now=utc_now(),
        )
        return changed

    try:
        changed = await writing(request, work)
    except AdminRefused as refused:
        return redirect(request, ADMINS, str(refused), "bad")
    return redirect(request, ADMINS, f"{changed.name} {said}.")


async def _page(
    request: Request,
    admin: Admin,
    status: int = 200,
    *,
    form: Form | None = None,
    errors: dict[str, str] | None = None,
    shown: tuple[AdminAccount, str] | None = None,
) -> Response:
    programs, now = services_of(request).programs, utc_now()

    def read(conn: Connection) -> dict[str, Any]:
        zone = programs.current(conn).in_force(now).document.zone
        return {"people": accounts.list_admins(conn), "when": partial(wording.minute, zone=zone)}

    return admin_page(
        request,
        admin,
        "admins.html",
        status,
        form=form or Form(),
        errors=errors or {},
        shown=shown,
        roles=[(role, f"{role}: {MEANINGS[role][0].lower()}{MEANINGS[role][1:]}") for role in ROLES],
        role_names=[(role, role) for role in ROLES],
        meanings=MEANINGS,
        **await reading(request, read),
    )


def _role(form: Form) -> Role | None:
    return next((role for role in ROLES if role == form.text("role")), None)


def _made_up() -> str:
    return secrets.token_urlsafe(15)
