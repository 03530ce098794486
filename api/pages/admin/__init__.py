"""The pages with which admins run the program, under ``/admin``. Each section is a module with a router."""

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.types import Scope

from api.errors import internal_error
from api.pages.admin import (
    activity,
    admins,
    audit,
    customer,
    customer_changes,
    customer_standing,
    customers,
    metrics,
    overview,
    program,
    referrals,
    segments,
    sign_in,
    system,
)
from api.pages.admin.render import problem_page, redirect, sign_in_answer
from api.pages.admin.session import OwnPasswordNeeded, SignInNeeded, is_script

__all__ = ["install", "is_admin_page", "problem_page", "routers"]

routers: list[APIRouter] = [
    sign_in.router,
    overview.router,
    metrics.router,
    customers.router,
    customer.router,
    customer_changes.router,
    customer_standing.router,
    segments.router,
    referrals.router,
    activity.router,
    system.router,
    audit.router,
    admins.router,
    program.router,
]


def install(app: FastAPI) -> None:
    """Add the pages to the application."""
    for router in routers:
        app.include_router(router)

    app.state.fault_page = fault_page

    @app.exception_handler(SignInNeeded)
    async def sign_in_first(request: Request, needed: SignInNeeded) -> Response:
        return sign_in_answer(request, needed)

    @app.exception_handler(OwnPasswordNeeded)
    async def own_password_first(request: Request, _: OwnPasswordNeeded) -> Response:
        return redirect(request, "/admin/password", "Choose a password of your own first.", "note")


def fault_page(scope: Scope) -> Response | None:
    """Return the page that tells of a fault of ours on one of these pages, None for any other request."""
    request = Request(scope)
    if not is_admin_page(request):
        return None
    try:
        return problem_page(request, internal_error())
    except Exception:  # noqa: BLE001 - the fault may be in what every page is made of; there is another answer
        return None


def is_admin_page(request: Request) -> bool:
    """Say whether a person looks at the answer, on one of these pages, and not a script."""
    path = request.url.path
    return (path == "/admin" or path.startswith("/admin/")) and not is_script(request)
