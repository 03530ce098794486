"""The audit log: what every admin did, filtered, turned over, and as a file."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection
from starlette.responses import StreamingResponse

from api.csv_files import csv_lines
from api.deps import services_of
from api.pages.admin.render import admin_page, reading
from api.pages.admin.session import signed_in
from rewards.admins.accounts import names_of_actors
from rewards.admins.audit import AuditEntry, AuditFilters, audit_page, known_actions, known_people
from rewards.core import wording
from rewards.core.clock import utc_now

router = APIRouter()

_FILTERS = ("who", "action", "subject", "since", "until")
_LONGEST = 300
_LARGEST = 2**63 - 1
#: So many lines are read, and sent, at once.
_LINES_AT_ONCE = 1_000
_HEAD = ("audit_id", "at", "admin_id", "who", "action", "subject", "detail")


class Asked(NamedTuple):
    """What an address asks for, as typed, and as understood."""

    typed: Mapping[str, str]
    filters: AuditFilters

    @property
    def is_filtered(self) -> bool:
        """Whether some lines may be left out."""
        return any(self.typed.values())

    def query(self, **more: object) -> str:
        """Return the query of an address that asks for the same, and ``more``."""
        return "?" + urlencode({name: value for name, value in {**self.typed, **more}.items() if value})


@router.api_route("/admin/audit", methods=["GET", "HEAD"], include_in_schema=False)
async def audit(request: Request) -> Response:
    """Show a page of it, newest first."""
    admin = await signed_in(request)
    before = _number(request.query_params.get("before", ""))
    programs, now = services_of(request).programs, utc_now()

    def read(conn: Connection) -> dict[str, Any]:
        zone = programs.current(conn).in_force(now).document.zone
        asked = _asked(request, zone)
        entries, following = audit_page(conn, asked.filters, before)
        return {
            "asked": asked,
            "entries": entries,
            "older": following and asked.query(before=following),
            "newest": asked.query() if before is not None else None,
            "people": [(each, each) for each in known_people(conn)],
            "actions": [(each, each) for each in known_actions(conn)],
            "names": names_of_actors(conn),
            "when": partial(wording.minute, zone=zone),
            "zone": zone.key,
        }

    return admin_page(request, admin, "audit.html", place_of=place_of, **await reading(request, read))


@router.get("/admin/audit.csv", include_in_schema=False)
async def audit_file(request: Request) -> Response:
    """Send all of it that is asked for, as CSV."""
    await signed_in(request)
    services, now = services_of(request), utc_now()
    zone = await reading(request, lambda conn: services.programs.current(conn).in_force(now).document.zone)
    filters = _asked(request, zone).filters

    async def lines() -> AsyncIterator[str]:
        yield csv_lines([_HEAD])
        before: int | None = None
        while True:
            read = partial(audit_page, filters=filters, before=before, size=_LINES_AT_ONCE)
            entries, before = await services.reader.read(read)
            yield csv_lines([_row(entry) for entry in entries])
            if before is None:
                return

    name = f"audit-{now:%Y-%m-%d}.csv"
    headers = {"content-disposition": f"attachment; filename={quote(name)}", "cache-control": "no-store"}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)


def place_of(entry: AuditEntry) -> str | None:
    """Return the path of the page about what a line is about, None where there is none."""
    kind, _, name = (entry.subject or "").partition(":")
    pages = {
        "customer": f"/admin/customers/{quote(name, safe='')}",
        "admin": "/admin/admins",
        "key": "/admin/system",
        "job": "/admin/system",
        "check": "/admin/system",
    }
    return pages.get(kind) if name else None


def _asked(request: Request, zone: ZoneInfo) -> Asked:
    typed = {name: _plain(request.query_params.get(name, "")) for name in _FILTERS}
    filters = AuditFilters(typed["who"], typed["action"], typed["subject"])
    since, until = _day(typed["since"]), _day(typed["until"])
    if since is not None:
        filters = replace(filters, since=datetime.combine(since, datetime.min.time(), zone))
    if until is not None and until < date.max:
        # The day that was named is wanted whole.
        filters = replace(
            filters, until=datetime.combine(until + timedelta(days=1), datetime.min.time(), zone)
        )
    return Asked(typed, filters)


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    # Years that no instant in UTC has, once a zone's offset is taken off.
    return day if 1 < day.year < 9999 else None


def _number(text: str) -> int | None:
    return min(int(text), _LARGEST) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def _plain(text: str) -> str:
    return "".join(each for each in text.strip()[:_LONGEST] if each.isprintable())


def _row(entry: AuditEntry) -> tuple[object, ...]:
    at = entry.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    detail = json.dumps(entry.detail, ensure_ascii=False, sort_keys=True) if entry.detail else ""
    texts = (entry.admin_id or "", entry.who, entry.action, entry.subject or "", detail)
    return (entry.audit_id, at, *texts)
