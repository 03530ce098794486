"""Referrals: those that wait for a person, and all others."""

import json
from datetime import datetime

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from api.deps import services_of
from api.pages.admin.customer import customer_of
from api.pages.admin.forms import Form, Listing
from api.pages.admin.places import read_instant, read_place, write_place
from api.pages.admin.render import admin_page, reading, redirect, writing
from api.pages.admin.session import Admin, read_form, signed_in
from rewards.admins.accounts import names_of_actors
from rewards.admins.audit import record
from rewards.core import wording
from rewards.core.clock import utc_now
from rewards.core.referral_codes import written
from rewards.decide.commands import JudgeReferral
from rewards.decide.submission import Submission
from rewards.ledger.referral_state import STATUSES, Referral
from rewards.ledger.referrals import referrals_page
from rewards.profiles.storing import names_of
from rewards.program.document import ProgramDocument

PAGE_SIZE = 25
#: What the status filter shows for all of them; the queue is what the page opens with.
_ALL = "all"
_BADGES = {
    "flagged": "warn",
    "approved": "accent",
    "qualified": "accent",
    "rewarded": "good",
    "rejected": "bad",
    "reversed": "bad",
}

router = APIRouter()


@router.api_route("/admin/referrals", methods=["GET", "HEAD"], include_in_schema=False)
async def referrals(request: Request) -> Response:
    """Show a page of the list."""
    return await _page(request, await signed_in(request))


async def _page(
    request: Request, admin: Admin, status: int = 200, form: Form | None = None, error: str = "", at: str = ""
) -> Response:
    listing = Listing.read(request, sorts=(), default="", filters=("status", "customer"), size=PAGE_SIZE)
    wanted = listing["status"] or "flagged"
    before = _place(request.query_params.get("after", ""))

    def read(conn: Connection) -> tuple[ProgramDocument, list[Referral], dict[str, str], dict[str, str]]:
        found = referrals_page(
            conn, wanted if wanted in STATUSES else None, PAGE_SIZE + 1, before, listing["customer"] or None
        )
        people = {each.customer_id for each in found} | {each.referrer_id for each in found}
        document = services_of(request).programs.recent(conn).in_force(utc_now()).document
        return document, found, names_of(conn, people), names_of_actors(conn)

    document, found, names, actors = await reading(request, read)
    shown = found[:PAGE_SIZE]
    last = shown[-1] if len(found) > PAGE_SIZE else None
    return admin_page(
        request,
        admin,
        "referrals.html",
        status,
        listing=listing,
        wanted=wanted if wanted in STATUSES else _ALL,
        referrals=shown,
        names=names,
        actors=actors,
        statuses=[(each, each) for each in STATUSES] + [(_ALL, "all")],
        badges=_BADGES,
        more="" if last is None else write_place([last.attributed_at, last.customer_id]),
        is_first=before is None,
        has_referrals=document.referrals is not None,
        day=lambda instant: wording.day(instant.astimezone(document.zone).date()),
        money=lambda minor: wording.money(minor, document.currency),
        written=written,
        form=form or Form(),
        error=error,
        error_at=at,
    )


def _place(text: str) -> tuple[datetime, str] | None:
    place = read_place(text)
    if place is None or len(place) != 2 or not isinstance(place[1], str) or "\0" in place[1]:
        return None
    at = read_instant(place[0])
    return None if at is None else (at, place[1])


@router.post("/admin/referrals/{customer_id}/judge", include_in_schema=False)
async def judge(request: Request, customer_id: str) -> Response:
    """Let a referral count, or not, with a note that says why."""
    admin = await signed_in(request, "referral.judge")
    who = customer_of(customer_id)
    form = await read_form(request, admin)
    verdict, note = form.text("verdict"), form.text("note")
    if verdict not in ("approve", "reject"):
        return await _page(request, admin, 422, form, "Say whether it counts.", who)
    if not 1 <= len(note) <= 500 or "\0" in note:
        return await _page(request, admin, 422, form, "Say why, in at most 500 characters.", who)
    approve = verdict == "approve"
    command = JudgeReferral(customer_id=who, approve=approve, note=note)
    submission = Submission(command, None, admin.actor, remember_refusal=False)
    answer = await services_of(request).coalescer.submit(submission)
    if answer.status >= 400:
        return await _page(request, admin, answer.status, form, json.loads(answer.body)["detail"], who)

    def log(conn: Connection) -> None:
        action = "referral.approved" if approve else "referral.rejected"
        record(
            conn, admin=admin, action=action, subject=f"customer:{who}", detail={"note": note}, now=utc_now()
        )

    await writing(request, log)
    return redirect(request, "/admin/referrals", "Approved." if approve else "Rejected.")
