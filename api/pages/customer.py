"""The customer's page, ``/me/{token}``: the balance, what becomes of it, and how it came about."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection

from api.deps import services_of
from api.errors import Problem
from api.pages import assets
from api.pages.customer_view import CustomerView, customer_view
from api.pages.rendering import html_page
from rewards.core import wording
from rewards.core.clock import utc_now
from rewards.core.links import LinkExpired, LinkInvalid, read_link_until
from rewards.ledger.history import history_view
from rewards.ledger.standings import read_outlook
from rewards.ledger.statements import read_balance
from rewards.profiles.storing import links_void_until
from rewards.program.versions import HistoryCache

PAGE_SIZE = 20
#: A larger number than any entry has; beyond it there is nothing to look for.
_LARGEST = 2**63 - 1

router = APIRouter()
router.include_router(assets.router)


@router.api_route("/me/{token}", methods=["GET", "HEAD"], include_in_schema=False)
async def customer_page(request: Request, token: str, before: Annotated[str, Query()] = "") -> Response:
    """Show a customer's page to whoever holds a good link to it."""
    services = services_of(request)
    now = utc_now()
    try:
        customer_id, expires_at = read_link_until(services.settings, token, now)
    except LinkExpired as expired:
        return html_page("link_expired.html", 410, expired_on=wording.day(expired.expired_at.date()))
    except LinkInvalid:
        return html_page("link_invalid.html", 404)
    try:
        view = await services.reader.read(
            lambda conn: _view(conn, services.programs, customer_id, expires_at, _number(before), now)
        )
    except LinkInvalid:
        return html_page("link_invalid.html", 404)
    except Problem as problem:
        return html_page("try_again.html", problem.status, headers=problem.headers)
    if view is None:
        return html_page("customer_unknown.html", 404)
    is_quiet = view.is_held_out and view.is_empty
    return html_page("customer_quiet.html" if is_quiet else "customer.html", view=view)


def _view(
    conn: Connection,
    programs: HistoryCache,
    customer_id: str,
    expires_at: datetime,
    before: int | None,
    now: datetime,
) -> CustomerView | None:
    """Return what the page shows, None where there is nothing.

    Raises:
        LinkInvalid: the link was made before the customer was erased.
    """
    # One snapshot for all that the page shows: the balance and the history never contradict each other.
    conn.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    void_until = links_void_until(conn, customer_id)
    if void_until is not None and expires_at <= void_until:
        raise LinkInvalid("made before the customer was erased")
    found = read_balance(conn, customer_id, None, now)
    if found is None:
        return None
    history = programs.current(conn)
    is_held_out = found.participation(history, customer_id).is_held_out
    lines = history_view(conn, customer_id, PAGE_SIZE, before, history, with_held_out=False)
    entries = found.entries
    if before is None:
        # What was given nothing because the customer was held out is left out, and there are no newer ones.
        entries = lines[0].seq if lines else 0
    return customer_view(
        customer_id,
        found.balance,
        history.in_force(now).document,
        lines,
        entries=entries,
        page_size=PAGE_SIZE,
        standing=None if is_held_out else read_outlook(conn, history, customer_id, now),
        is_held_out=is_held_out,
    )


def _number(text: str) -> int | None:
    """Read the number of an entry; None, the latest page, for whatever is none."""
    return min(int(text), _LARGEST) if text.isascii() and text.isdigit() and len(text) < 20 else None
