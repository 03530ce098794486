"""Sessions: who is signed in with which browser, for how long.

A session's secret is 256 random bits, kept by the browser; here is its SHA-256, so that who reads the database
cannot sign in with what is read. A session ends when nobody used it for a while, at the latest some hours after it
began, and with a change of the password.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import ColumnElement, Connection, delete, insert, or_, select, update

from rewards.admins.accounts import AdminAccount
from rewards.admins.tables import AdminRow, AdminSessionRow

#: How long a session lives unused, and in all.
IDLE = timedelta(hours=1)
AT_MOST = timedelta(hours=12)
#: That a session was used is written down only so often.
_NOTED_EVERY = timedelta(minutes=1)

_admins = AdminRow.__table__  # type: ignore[attr-defined]
_sessions = AdminSessionRow.__table__  # type: ignore[attr-defined]
_ACCOUNT = [_admins.c[name] for name in AdminAccount.__slots__]


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is good at this moment, and whose it is."""

    account: AdminAccount
    began_at: datetime
    seen_at: datetime


def begin_session(conn: Connection, admin_id: str, now: datetime) -> str:
    """Begin a session with a secret of its own, never one that a browser brought along, and return the secret."""
    token = secrets.token_urlsafe(32)
    conn.execute(delete(_sessions).where(_has_ended(now)))
    conn.execute(
        insert(_sessions).values(token_hash=_hash(token), admin_id=admin_id, began_at=now, seen_at=now)
    )
    return token


def read_session(conn: Connection, token: str, now: datetime) -> Session | None:
    """Return the session that a secret opens, None where there is none, or it has ended, or its admin is disabled."""
    its = _sessions.c.token_hash == _hash(token)
    row = (
        conn.execute(
            select(*_ACCOUNT, _sessions.c.began_at, _sessions.c.seen_at)
            .join(_sessions, _sessions.c.admin_id == _admins.c.admin_id)
            .where(its, ~_has_ended(now), _admins.c.disabled_at.is_(None))
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        return None
    if now - row["seen_at"] >= _NOTED_EVERY:
        conn.execute(update(_sessions).where(its).values(seen_at=now))
    values = dict(row)
    began_at, seen_at = values.pop("began_at"), values.pop("seen_at")
    return Session(AdminAccount(**values), began_at, seen_at)


def end_session(conn: Connection, token: str) -> bool:
    """End the session of a secret; return whether there was one."""
    return conn.execute(delete(_sessions).where(_sessions.c.token_hash == _hash(token))).rowcount > 0


def _has_ended(now: datetime) -> ColumnElement[bool]:
    return or_(_sessions.c.seen_at <= now - IDLE, _sessions.c.began_at <= now - AT_MOST)


def _hash(token: str) -> bytes:
    return sha256(token.encode()).digest()
