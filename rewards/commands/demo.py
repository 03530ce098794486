"""`rewards demo`: a shop with two years of history, served."""

import json
import os
import secrets
from typing import TYPE_CHECKING, Annotated

import typer

from rewards.commands.console import open_database, say, shown_progress
from rewards.commands.serving import (
    PortOption,
    local_url,
    require_free_port,
    run_server,
    settings_for_address,
)
from rewards.core.clock import utc_now

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from rewards.core.database import Database
    from rewards.core.keys import Scope
    from rewards.core.settings import Settings
    from rewards.demo.loading import Loaded

HOST = "127.0.0.1"
ADMIN_EMAIL = "demo@example.com"


def demo(
    port: PortOption = 8000,
    no_serve: Annotated[bool, typer.Option("--no-serve", hidden=True)] = False,
) -> None:
    """Bring up a shop with two years of orders, and serve it: the quickest way to see everything work."""
    from rewards.demo.loading import load

    if not no_serve:
        require_free_port(HOST, port)
    settings = settings_for_address(HOST, port)
    with open_database(settings) as database:
        with shown_progress() as progress:
            loaded = load(database, utc_now(), progress)
        if loaded.was_there:
            say(f"The demo shop is there already: {loaded.customers:,} customers")
        else:
            say(f"Loaded {loaded.customers:,} customers and {loaded.commands:,} commands, two years of them")
        print(_introduction(database, settings, loaded, local_url(HOST, port)), flush=True)
        if not no_serve:
            run_server(settings, HOST, port, workers=2)


def _introduction(database: "Database", settings: "Settings", loaded: "Loaded", url: str) -> str:
    from rewards.core.links import default_expiry, make_link, make_survey_link
    from rewards.demo.loading import SURVEY

    now = utc_now()
    with database.engine.begin() as connection:
        storefront_key, admin_key = (_new_key(connection, scope) for scope in ("storefront", "admin"))
        email, password = _admin_login(connection)
    lines = ["", "Customers' pages:"]
    for customer_id, what in loaded.worth_a_look:
        lines += [f"  {customer_id}: {what}", f"    {make_link(settings, customer_id, now)[0]}"]
    first = loaded.worth_a_look[0][0]
    lines += [
        f"A survey for {first}:",
        f"    {make_survey_link(settings, first, SURVEY, default_expiry(settings, now))}",
        "",
        f"Admin pages:                {url}/admin",
        f"    sign in as {email} with the password {password}",
        "",
        f"API, with its description:  {url}/docs",
        f"Storefront key:             {storefront_key}",
        f"Admin key:                  {admin_key}",
        "(New keys and a new password at each start; earlier ones no longer work.)",
        "",
        "Award points for an order, as a storefront does:",
        _curl(url, storefront_key, first, f"demo-{now:%Y%m%d%H%M%S}"),
        "",
        _where(settings),
        "Ctrl-C stops the server.",
        "",
    ]
    return "\n".join(lines)


def _curl(url: str, key: str, customer_id: str, order_id: str) -> str:
    """Return a command line that works when it is pasted: an award to a customer for a new order."""
    purchase = {"type": "purchase", "order_id": order_id, "total_minor": 4999, "currency": "GBP"}
    body = json.dumps({"customer_id": customer_id, "activity": purchase})
    headers = (
        f"Authorization: Bearer {key}",
        f"Idempotency-Key: {order_id}",
        "Content-Type: application/json",
    )
    given = "".join(f" -H '{header}'" for header in headers)
    return f"  curl -X POST {url}/v1/awards{given} -d '{body}'"


def _where(settings: "Settings") -> str:
    if not settings.is_embedded:
        return "The shop is in the database of REWARDS_DATABASE_URL."
    return f"The shop is in the folder {os.path.relpath(settings.home)}; delete it to begin anew."


def _new_key(connection: "Connection", scope: "Scope") -> str:
    """Make a key in place of the one of an earlier start, of which only the hash is left."""
    from rewards.core.keys import create_key, list_keys, revoke_key

    name, now = f"demo {scope}", utc_now()
    for key in list_keys(connection):
        if key.name == name and key.revoked_at is None:
            revoke_key(connection, key.key_id, now)
    return create_key(connection, name, scope, now)


def _admin_login(connection: "Connection") -> tuple[str, str]:
    """Return the demo owner's login, with a new password: as of the keys, only a hash is left of the last one."""
    from rewards.admins.accounts import create_admin, enable_admin, find_admin, set_password, set_role
    from rewards.admins.lockout import forgive
    from rewards.admins.passwords import hash_password

    password, now = secrets.token_urlsafe(12), utc_now()
    hashed, account = hash_password(password), find_admin(connection, ADMIN_EMAIL)
    if account is None:
        create_admin(
            connection, email=ADMIN_EMAIL, name="Demo owner", role="owner", password_hash=hashed, now=now
        )
    else:
        set_password(connection, account.admin_id, hashed, now)
        enable_admin(connection, account.admin_id)
        set_role(connection, account.admin_id, "owner")
        forgive(connection, ADMIN_EMAIL)
    return ADMIN_EMAIL, password
