"""Admins for the browser: an account of each role on the site, and a browser that is signed in as one."""

from typing import Any
from urllib.parse import urlsplit

from rewards.admins.accounts import create_admin, find_admin
from rewards.admins.passwords import hash_password
from rewards.admins.roles import Role
from rewards.admins.sessions import begin_session
from rewards.core.clock import utc_now

PASSWORD = "correct horse battery"
HOSTILE_NAME = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def email_of(role: Role) -> str:
    return f"{role}@shop.test"


def add_admin(site: Any, role: Role, name: str = "") -> str:
    """Make the account of a role where there is none yet, and return its id."""
    with site.database.engine.begin() as connection:
        found = find_admin(connection, email_of(role))
        if found is None:
            found = create_admin(
                connection,
                email=email_of(role),
                name=name or f"The {role}",
                role=role,
                password_hash=hash_password(PASSWORD),
                now=utc_now(),
            )
    return found.admin_id


def signed_in(site: Any, role: Role = "owner") -> dict[str, Any]:
    """Options of a window in which somebody of that role is signed in: ``look(url, **signed_in(site))``."""
    admin_id = add_admin(site, role)
    with site.database.engine.begin() as connection:
        token = begin_session(connection, admin_id, utc_now())
    cookie = {
        "name": "rewards_session",
        "value": token,
        "domain": urlsplit(site.base).hostname,
        "path": "/",
        "expires": -1,
        "httpOnly": True,
        "secure": False,
        "sameSite": "Lax",
    }
    return {"storage_state": {"cookies": [cookie], "origins": []}}
