"""The system: API keys, jobs, the ledger's check, and facts about the database and the version."""

import platform
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple, get_args
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection, text

from api.background import start_command
from api.deps import services_of
from api.errors import http_problem
from api.pages.admin.forms import Form
from api.pages.admin.render import admin_page, reading, redirect, writing
from api.pages.admin.session import Admin, read_form, signed_in
from rewards.admins.audit import record
from rewards.admins.checks import LedgerCheck, begin_check, last_check
from rewards.admins.figures import JobState, job_states
from rewards.core import wording
from rewards.core.clock import utc_now
from rewards.core.keys import ApiKey, Scope, create_key, list_keys, parse_token, revoke_key
from rewards.jobs import JOBS

router = APIRouter()

SCOPES = (
    ("storefront", "storefront: award, redeem and read"),
    ("readonly", "readonly: look"),
    ("admin", "admin: everything that the API can do"),
)


#: A job that has not begun by then will not.
_BEGINS_WITHIN = timedelta(minutes=1)
#: The last second that an instant can have.
_LATEST = 253_402_300_799


class Fact(NamedTuple):
    """Something about the installation."""

    term: str
    value: str


class Told(NamedTuple):
    """What the page tells."""

    api_keys: Sequence[ApiKey]
    jobs: Sequence[JobState]
    check: LedgerCheck | None
    facts: Sequence[Fact]


@router.api_route("/admin/system", methods=["GET", "HEAD"], include_in_schema=False)
async def system(request: Request) -> Response:
    """Show it all."""
    return await _page(request, await signed_in(request))


@router.post("/admin/system/keys", include_in_schema=False)
async def make_key(request: Request) -> Response:
    """Make an API key and show it, this once."""
    admin = await signed_in(request, "keys.manage")
    form = await read_form(request, admin)
    scope = next((each for each in get_args(Scope) if each == form.text("scope")), None)
    if scope is None:
        return await _page(request, admin, 422, form=form, errors={"scope": "Choose what the key may do."})
    now = utc_now()

    def work(conn: Connection) -> str:
        key = create_key(conn, form.text("name"), scope, now)
        token = parse_token(key)
        assert token is not None
        detail = {"name": form.text("name"), "scope": scope}
        record(conn, admin=admin, action="key.created", subject=f"key:{token.key_id}", detail=detail, now=now)
        return key

    try:
        key = await writing(request, work)
    except ValueError:
        errors = {"name": "Give the key a name of 1 to 200 readable characters, such as webshop."}
        return await _page(request, admin, 422, form=form, errors=errors)
    # Not by a redirect: the key must not stand in an address or a cookie.
    return await _page(request, admin, new_key=key)


@router.post("/admin/system/keys/{key_id}/revoke", include_in_schema=False)
async def revoke(request: Request, key_id: str) -> Response:
    """Revoke an API key for ever."""
    admin = await signed_in(request, "keys.manage")
    await read_form(request, admin)
    now = utc_now()

    def work(conn: Connection) -> bool:
        is_known = revoke_key(conn, key_id, now)
        if is_known:
            record(conn, admin=admin, action="key.revoked", subject=f"key:{key_id}", now=now)
        return is_known

    if not await writing(request, work):
        raise http_problem(404, "")
    return redirect(request, "/admin/system", "The key is revoked; servers stop taking it within a second.")


@router.post("/admin/system/jobs/{name}/run", include_in_schema=False)
async def run_job_now(request: Request, name: str) -> Response:
    """Run a job beside its turns."""
    admin = await signed_in(request, "jobs.run")
    await read_form(request, admin)
    if name not in JOBS:
        raise http_problem(404, "")
    now = utc_now()
    await writing(
        request, lambda conn: record(conn, admin=admin, action="job.started", subject=f"job:{name}", now=now)
    )
    start_command(services_of(request).settings, ["jobs", "run", name])
    path = f"/admin/system?started={name}&at={int(now.timestamp())}"
    return redirect(request, path, f"The job {name} is started.")


@router.post("/admin/system/check", include_in_schema=False)
async def check_ledger(request: Request) -> Response:
    """Begin to verify the ledger."""
    admin = await signed_in(request, "jobs.run")
    await read_form(request, admin)
    now = utc_now()

    def work(conn: Connection) -> int | None:
        check_id = begin_check(conn, now)
        if check_id is not None:
            record(conn, admin=admin, action="check.started", subject=f"check:{check_id}", now=now)
        return check_id

    check_id = await writing(request, work)
    if check_id is None:
        return redirect(request, "/admin/system", "A check is at work already.", "note")
    start_command(services_of(request).settings, ["check", "--record", str(check_id)])
    return redirect(request, "/admin/system", "The check has begun. You can leave this page.")


async def _page(
    request: Request,
    admin: Admin,
    status: int = 200,
    *,
    form: Form | None = None,
    errors: dict[str, str] | None = None,
    new_key: str = "",
) -> Response:
    now, services = utc_now(), services_of(request)

    def read(conn: Connection) -> tuple[Told, ZoneInfo]:
        zone = services.programs.current(conn).in_force(now).document.zone
        facts = _facts(conn, services.database.is_embedded, request.app.version, zone.key)
        return Told(list_keys(conn), job_states(conn, now), last_check(conn), facts), zone

    told, zone = await reading(request, read)
    return admin_page(
        request,
        admin,
        "system.html",
        status,
        told=told,
        now=now,
        when=partial(wording.minute, zone=zone),
        zone=zone.key,
        scopes=SCOPES,
        form=form or Form(),
        errors=errors or {},
        new_key=new_key,
        is_moving=any(job.is_running or _is_awaited(request, job, now) for job in told.jobs),
    )


def _is_awaited(request: Request, state: JobState, now: datetime) -> bool:
    """Say whether a job that was started from here has not begun yet: its process takes a moment to come up."""
    at = request.query_params.get("at", "")
    if request.query_params.get("started") != state.job.name or not (at.isascii() and at.isdecimal()):
        return False
    asked = datetime.fromtimestamp(min(int(at[:12]), _LATEST), UTC)
    has_begun = state.started_at is not None and state.started_at >= asked
    return not has_begun and now - asked < _BEGINS_WITHIN


def _facts(conn: Connection, is_embedded: bool, version: str, zone: str) -> list[Fact]:
    row = conn.execute(_DATABASE).one()
    return [
        Fact("This program", f"version {version}, Python {platform.python_version()}"),
        Fact("Database", f"PostgreSQL {row.version}, {'embedded' if is_embedded else 'your own'}"),
        Fact("Schema", f"at migration {row.revision}"),
        Fact("Size", _size(row.bytes)),
        Fact("Entries", wording.number(row.entries)),
        Fact("Connections", f"{row.connections} of {row.most_connections}"),
        Fact("Up since", f"{row.started_at:%Y-%m-%d %H:%M} UTC"),
        Fact("Time zone of the program", zone),
    ]


#: Each customer's entries are numbered without gaps, so their numbers add up to how many there are.
_DATABASE = text("""
SELECT current_setting('server_version') AS version,
       pg_database_size(current_database()) AS bytes,
       (SELECT version_num FROM alembic_version) AS revision,
       (SELECT CAST(coalesce(sum(seq), 0) AS bigint) FROM accounts) AS entries,
       (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()) AS connections,
       current_setting('max_connections') AS most_connections,
       pg_postmaster_start_time() AS started_at
""")


def _size(size_bytes: int) -> str:
    size = float(size_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
