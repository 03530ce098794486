"""What was asked of the engine lately, for all customers: awards, redemptions, refunds, adjustments, and refusals."""

from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from api.deps import services_of
from api.pages.admin.forms import Listing
from api.pages.admin.places import day_begins, read_instant, read_place, write_place
from api.pages.admin.render import admin_page, reading
from api.pages.admin.session import signed_in
from rewards.core import wording
from rewards.core.clock import utc_now
from rewards.ledger.recent import GROUPS, Place, RecentCommand, Sought, recent_commands
from rewards.profiles.storing import names_of
from rewards.program.document import ProgramDocument

PAGE_SIZE = 50

_REFUSED = {"done": False, "refused": True}
_KIND_NAMES = {
    "award": "award",
    "record": "recorded",
    "reward": "referral",
    "redeem": "redemption",
    "capture": "capture",
    "void": "void",
    "reverse-redemption": "redemption back",
    "reverse": "refund",
    "return": "return",
    "retract": "retraction",
    "adjust": "adjustment",
}

_STATUSES = {
    "held": "Set aside",
    "captured": "Spent",
    "voided": "Let go",
    "expired": "Lapsed",
    "reversed": "Came back",
}

router = APIRouter()


@router.api_route("/admin/activity", methods=["GET", "HEAD"], include_in_schema=False)
async def activity(request: Request) -> Response:
    """Show a page of it, the latest first."""
    admin = await signed_in(request)
    filters = ("type", "status", "from", "until")
    listing = Listing.read(request, sorts=(), default="", filters=filters, size=PAGE_SIZE)
    before = _place(request.query_params.get("after", ""))
    now = utc_now()

    def read(conn: Connection) -> tuple[ProgramDocument, list[RecentCommand], dict[str, str]]:
        document = services_of(request).programs.recent(conn).in_force(now).document
        sought = Sought(
            group=listing["type"] if listing["type"] in GROUPS else "",
            refused=_REFUSED.get(listing["status"]),
            since=day_begins(listing["from"], document.zone),
            until=day_begins(listing["until"], document.zone, days_later=1),
            before=before,
        )
        found = recent_commands(conn, sought, PAGE_SIZE + 1, now)
        return document, found, names_of(conn, (each.customer_id for each in found))

    document, found, names = await reading(request, read)
    shown = found[:PAGE_SIZE]
    last = shown[-1].place if len(found) > PAGE_SIZE else None
    more = "" if last is None else write_place([last.recorded_at, last.customer_id, last.idempotency_key])
    return admin_page(
        request,
        admin,
        "activity.html",
        listing=listing,
        commands=shown,
        names=names,
        more=more,
        is_first=before is None,
        types=[("", "all"), *((group, f"{group}s") for group in GROUPS)],
        kind_names=_KIND_NAMES,
        told=lambda command: told(command, document.currency),
        points=points_moved,
        minute=lambda instant: wording.minute(instant, document.zone),
    )


def _place(text: str) -> Place | None:
    place = read_place(text)
    if (
        place is None
        or len(place) != 3
        or not all(isinstance(each, str) and "\0" not in each for each in place)
    ):
        return None
    at = read_instant(place[0])
    return None if at is None else Place(at, place[1], place[2])


def points_moved(command: RecentCommand) -> int | None:
    """Return what a command changed of the points that can be spent or will be; None where it moved none."""
    answer = command.answer
    if command.was_refused:
        return None
    match command.kind:
        case "award" | "record" | "reward" | "adjust":
            return _whole(answer, "points")
        case "redeem":  # what a capture spends was set aside before
            return -_whole(answer, "points")
        case "reverse" | "return" | "retract":
            return _whole(answer, "points_reinstated") - _whole(answer, "points_clawed_back")
        case "reverse-redemption":
            return _whole(answer, "points")
    return None


def _whole(answer: dict[str, Any], name: str) -> int:
    value = answer.get(name)
    return value if isinstance(value, int) else 0


def told(command: RecentCommand, currency: str) -> str:
    """Say in a sentence what a command came to."""
    answer = command.answer
    if command.was_refused:
        return str(answer.get("detail", "It was refused."))
    if command.kind in ("redeem", "capture", "void", "reverse-redemption"):
        worth = answer.get("value_minor")
        status = _STATUSES.get(str(answer.get("status")), "")
        if not isinstance(worth, int):
            return status
        return f"{status}, worth {wording.money(worth, str(answer.get('currency') or currency))}"
    if command.kind == "adjust":
        return str(answer.get("reason", ""))
    explained = answer.get("explanation")
    texts = [str(each.get("text", "")) for each in explained or () if isinstance(each, dict)]
    return "; ".join(filter(None, texts[:3])) + (" …" if len(texts) > 3 else "")
