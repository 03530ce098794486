"""What admins change of a customer: points by hand, tags, the profile; and links, exports and erasure."""

import json
import re
from datetime import UTC
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json
from sqlalchemy import Connection

from api.bodies import located
from api.deps import services_of
from api.errors import http_problem
from api.pages.admin.customer import customer_of, customer_page
from api.pages.admin.forms import Form
from api.pages.admin.render import ADMIN_HEADERS, admin_page, reading, redirect, writing
from api.pages.admin.session import Admin, read_form, signed_in
from api.routes.profiles import erase_customer, exported, save
from rewards.admins.audit import record
from rewards.core.clock import utc_now
from rewards.core.errors import CustomerNotFound
from rewards.core.links import make_link
from rewards.decide.commands import Adjust, Command, Tag, Tags
from rewards.decide.submission import Submission
from rewards.engine import Answer
from rewards.profiles.profile import Profile
from rewards.profiles.storing import read_profile

router = APIRouter()

_KEY = re.compile(r"[0-9a-f-]{36}")
_WHOLE = re.compile(r"[+-]?\d{1,15}", re.ASCII)
_TAGS: TypeAdapter[list[str]] = TypeAdapter(Tags)


async def answered(request: Request, admin: Admin, command: Command, key: str | None) -> Answer:
    """Return the engine's answer to a command of an admin's; a refusal is not kept under its key."""
    return await services_of(request).coalescer.submit(
        Submission(command, key, admin.actor, remember_refusal=False)
    )


async def log(
    request: Request, admin: Admin, customer_id: str, action: str, detail: dict[str, Any] | None = None
) -> None:
    """Append what was done to a customer to the audit log."""

    def work(conn: Connection) -> None:
        subject = f"customer:{customer_id}"
        record(conn, admin=admin, action=action, subject=subject, detail=detail, now=utc_now())

    await writing(request, work)


def address(customer_id: str) -> str:
    """Return the address of a customer's page."""
    return f"/admin/customers/{quote(customer_id, safe='')}"


@router.post("/admin/customers/{customer_id}/adjust", include_in_schema=False)
async def adjust(request: Request, customer_id: str) -> Response:
    """Give points, or take some, with a reason. A form counts once, however often it is sent."""
    admin = await signed_in(request, "customer.adjust")
    who = customer_of(customer_id)
    form = await read_form(request, admin)
    errors, command = _adjustment(who, form)
    if command is None:
        return await customer_page(request, admin, who, 422, form=form, errors=errors)
    answer = await answered(request, admin, command, f"admin:{form.text('key')}")
    body = json.loads(answer.body)
    if answer.status >= 400:
        errors = {"points": _in_words(body)}
        return await customer_page(request, admin, who, answer.status, form=form, errors=errors)
    if not answer.replayed:
        detail = {"points": command.points, "reason": command.reason}
        await log(request, admin, who, "customer.adjusted", detail)
    said = f"{command.points:+,}".replace("-", "\N{MINUS SIGN}")
    return redirect(request, address(who), f"Adjusted by {said} points.")


def _adjustment(customer_id: str, form: Form) -> tuple[dict[str, str], Adjust | None]:
    errors = {}
    points = form.text("points").replace("\N{MINUS SIGN}", "-").replace(",", "")
    if not _WHOLE.fullmatch(points) or int(points) == 0:
        errors["points"] = "Give a whole number of points, such as 100, or −100 to take some away."
    reason = form.text("reason")
    if not 1 <= len(reason) <= 500 or "\0" in reason:
        errors["reason"] = "Give a reason, of at most 500 characters. The customer sees it."
    if not _KEY.fullmatch(form.text("key")):
        errors["points"] = "The form was not complete. Send it once more."
    if errors:
        return errors, None
    return errors, Adjust(
        customer_id=customer_id,
        points=int(points),
        reason=reason,
        allow_negative=form.checked("allow_negative"),
    )


def _in_words(problem: dict[str, Any]) -> str:
    if problem["code"] == "insufficient-points":
        return f"Only {problem['available']:,} points are available. Tick the box below to take more than there are."
    if problem["code"] == "idempotency-key-reused":
        return "This form was sent before, with other content. Look whether that counted, then send it once more."
    return str(problem["detail"])


@router.post("/admin/customers/{customer_id}/tags", include_in_schema=False)
async def tags(request: Request, customer_id: str) -> Response:
    """Set the customer's tags."""
    admin = await signed_in(request, "customer.adjust")
    who = customer_of(customer_id)
    form = await read_form(request, admin)
    given = [tag for part in form.text("tags").split(",") if (tag := part.strip())]
    try:
        checked = _TAGS.validate_python(given)
    except ValidationError:
        errors = {"tags": "A tag has at most 64 characters, and there can be 100; put commas between them."}
        return await customer_page(request, admin, who, 422, form=form, errors=errors)
    answer = await answered(request, admin, Tag(customer_id=who, tags=checked), None)
    body = json.loads(answer.body)
    if answer.status >= 400:
        errors = {"tags": str(body["detail"])}
        return await customer_page(request, admin, who, answer.status, form=form, errors=errors)
    await log(request, admin, who, "customer.tagged", {"tags": body["tags"]})
    return redirect(request, address(who), "Tags saved.")


@router.post("/admin/customers/{customer_id}/link", include_in_schema=False)
async def link(request: Request, customer_id: str) -> Response:
    """Make a link to the customer's page, and show it once, to be copied or opened."""
    admin = await signed_in(request, "customer.link")
    who = customer_of(customer_id)
    await read_form(request, admin)
    url, expires_at = make_link(services_of(request).settings, who, utc_now())
    page = await customer_page(request, admin, who, link_made=(url, expires_at))
    await log(request, admin, who, "customer.link-made", {"expires_at": expires_at.isoformat()})
    return page


@router.api_route("/admin/customers/{customer_id}/profile", methods=["GET", "HEAD"], include_in_schema=False)
async def profile_form(request: Request, customer_id: str) -> Response:
    """Show the form in which a profile is edited."""
    admin = await signed_in(request, "customer.adjust")
    who = customer_of(customer_id)
    found = await reading(request, lambda conn: read_profile(conn, who))
    known = found or {}
    joined_at = known.get("joined_at")
    form = Form(
        {
            "email": [known.get("email") or ""],
            "name": [known.get("name") or ""],
            "birthday": [known.get("birthday") or ""],
            "joined_at": ["" if joined_at is None else f"{joined_at:%Y-%m-%dT%H:%M:%SZ}"],
        }
    )
    return _profile_page(request, admin, who, form, {}, is_erased=bool(known.get("erased_at")))


def _profile_page(
    request: Request,
    admin: Admin,
    customer_id: str,
    form: Form,
    errors: dict[str, str],
    *,
    is_erased: bool,
    status: int = 200,
) -> Response:
    return admin_page(
        request,
        admin,
        "customer_profile.html",
        status,
        customer_id=customer_id,
        form=form,
        errors=errors,
        is_erased=is_erased,
    )


@router.post("/admin/customers/{customer_id}/profile", include_in_schema=False)
async def put_profile(request: Request, customer_id: str) -> Response:
    """Save a profile. Attributes, which the shop's own programs write, stay as they are."""
    admin = await signed_in(request, "customer.adjust")
    who = customer_of(customer_id)
    form = await read_form(request, admin)
    before = await reading(request, lambda conn: read_profile(conn, who)) or {}
    is_erased = bool(before.get("erased_at"))
    given: dict[str, Any] = {
        name: form.text(name) or None for name in ("email", "name", "birthday", "joined_at")
    }
    try:
        profile = Profile.model_validate({**given, "attributes": before.get("attributes") or {}})
    except ValidationError as error:
        errors = {path: _message(path, said) for path, said in map(located, error.errors())}
        return _profile_page(request, admin, who, form, errors, is_erased=is_erased, status=422)
    if is_erased and not form.checked("restore"):
        errors = {"restore": "Tick the box to say that the person came back."}
        return _profile_page(request, admin, who, form, errors, is_erased=is_erased, status=422)
    await save(services_of(request), who, profile, admin.actor, restores_erased=is_erased)
    changed = [name for name in given if before.get(name) != getattr(profile, name)]
    # Which fields, and never what they say: the log is for ever, and the profile is not.
    await log(request, admin, who, "customer.profile-edited", {"fields": changed, "restored": is_erased})
    return redirect(request, address(who), "Profile saved.")


def _message(path: str, said: str) -> str:
    plain = {
        "email": "Write an e-mail address, such as ada@example.com.",
        "name": "A name has at most 200 characters.",
        "joined_at": "Write an instant, such as 2026-11-01T12:00:00Z.",
    }
    return plain.get(path, said[:1].upper() + said[1:] + ".")


@router.api_route("/admin/customers/{customer_id}/export", methods=["GET", "HEAD"], include_in_schema=False)
async def export(request: Request, customer_id: str) -> Response:
    """Download everything that is known of the customer."""
    admin = await signed_in(request, "customer.export")
    who = customer_of(customer_id)
    try:
        found = await exported(services_of(request), who)
    except CustomerNotFound:
        raise http_problem(404, "", {}) from None
    await log(request, admin, who, "customer.exported")
    headers = {**ADMIN_HEADERS, "content-disposition": 'attachment; filename="customer.json"'}
    return Response(to_json(found, indent=2), 200, headers, "application/json")


@router.api_route("/admin/customers/{customer_id}/erase", methods=["GET", "HEAD"], include_in_schema=False)
async def erase_form(request: Request, customer_id: str) -> Response:
    """Ask whether it is meant."""
    admin = await signed_in(request, "customer.erase")
    return admin_page(request, admin, "customer_erase.html", customer_id=customer_of(customer_id), errors={})


@router.post("/admin/customers/{customer_id}/erase", include_in_schema=False)
async def erase(request: Request, customer_id: str) -> Response:
    """Erase what is personal of a customer, once the id was typed to say that it is meant."""
    admin = await signed_in(request, "customer.erase")
    who = customer_of(customer_id)
    form = await read_form(request, admin)
    if form.text("confirm") != who.strip():
        errors = {"confirm": "Type the id exactly as it stands above."}
        return admin_page(request, admin, "customer_erase.html", 422, customer_id=who, errors=errors)
    try:
        erased = await erase_customer(services_of(request), who, admin.actor)
    except CustomerNotFound:
        raise http_problem(404, "", {}) from None
    detail = {
        "profile": erased.profile,
        "fingerprints": erased.fingerprints,
        "activities": erased.activities,
        "at": erased.erased_at.astimezone(UTC).isoformat(),
    }
    await log(request, admin, who, "customer.erased", detail)
    return redirect(request, address(who), "Erased. The ledger stays as it was.")
