"""A customer's standing: given by hand, with a reason, and ended."""

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from api.deps import services_of
from api.pages.admin.customer import customer_of, customer_page
from api.pages.admin.customer_changes import address, answered, log
from api.pages.admin.places import day_begins
from api.pages.admin.render import reading, redirect
from api.pages.admin.session import read_form, signed_in
from rewards.core.clock import utc_now
from rewards.decide.commands import Command, EndGrant, GrantStanding
from rewards.program.document import ProgramDocument

router = APIRouter()

_NO_REASON = "Give a reason, of at most 500 characters. It stays for ever: nothing personal."


@router.post("/admin/customers/{customer_id}/standing", include_in_schema=False)
async def grant(request: Request, customer_id: str) -> Response:
    """Give the customer a tier, until a day or for as long as nobody ends it."""
    admin = await signed_in(request, "customer.grant")
    who = customer_of(customer_id)
    form = await read_form(request, admin)
    document = await reading(request, lambda conn: _document(request, conn))
    tier, last_day, reason = form.text("tier"), form.text("until"), form.text("why")
    until = day_begins(last_day, document.zone, days_later=1)
    errors: dict[str, str] = {}
    if document.ladder is None or document.ladder.tier(tier) is None:
        errors["tier"] = "Choose one of the tiers of the program in force."
    if last_day and until is None:
        errors["until"] = "Write a day, such as 2027-06-30."
    elif until is not None and until <= utc_now():
        errors["until"] = "The last day must not lie in the past."
    if not 1 <= len(reason) <= 500 or "\0" in reason:
        errors["why"] = _NO_REASON
    command: Command | None = None
    if not errors:
        command = GrantStanding(customer_id=who, tier=tier, until=until, reason=reason)
        answer = await answered(request, admin, command, None)
        if answer.status >= 400:
            errors["tier"] = str(json.loads(answer.body)["detail"])
    if errors:
        return await customer_page(request, admin, who, 422, form=form, errors=errors)
    detail: dict[str, Any] = {"tier": tier, "until": None if until is None else until.isoformat()}
    await log(request, admin, who, "customer.standing-granted", detail | {"reason": reason})
    return redirect(request, address(who), "Standing granted.")


@router.post("/admin/customers/{customer_id}/standing/end", include_in_schema=False)
async def end(request: Request, customer_id: str) -> Response:
    """End a standing that was given; what is earned holds from now on."""
    admin = await signed_in(request, "customer.grant")
    who = customer_of(customer_id)
    form = await read_form(request, admin)
    reason = form.text("end_why")
    if not 1 <= len(reason) <= 500 or "\0" in reason:
        return await customer_page(request, admin, who, 422, form=form, errors={"end_why": _NO_REASON})
    answer = await answered(request, admin, EndGrant(customer_id=who, reason=reason), None)
    if answer.status >= 400:
        errors = {"end_why": str(json.loads(answer.body)["detail"])}
        return await customer_page(request, admin, who, answer.status, form=form, errors=errors)
    await log(request, admin, who, "customer.standing-ended", {"reason": reason})
    return redirect(request, address(who), "The standing that was given has ended.")


def _document(request: Request, conn: Connection) -> ProgramDocument:
    return services_of(request).programs.recent(conn).in_force(utc_now()).document
