"""Admins' accounts: made, given a role, disabled. There is always an owner left."""

import re
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from rewards.admins.roles import ROLES, Role
from rewards.admins.tables import AdminRow, AdminSessionRow

LONGEST_EMAIL = 254
LONGEST_NAME = 100

_admins = AdminRow.__table__  # type: ignore[attr-defined]
_sessions = AdminSessionRow.__table__  # type: ignore[attr-defined]

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(?:\.[^@\s.]+)*")


class AdminRefused(ValueError):
    """The change cannot be made; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class AdminAccount:
    """An admin as stored, without the password's hash. Instants are UTC."""

    admin_id: str
    email: str
    name: str
    role: Role
    password_is_temporary: bool
    created_at: datetime
    password_changed_at: datetime
    signed_in_at: datetime | None
    disabled_at: datetime | None

    @property
    def actor(self) -> str:
        """How entries name who made them."""
        return f"admin:{self.admin_id}"


_COLUMNS = [_admins.c[name] for name in AdminAccount.__slots__]


def normal_email(text: str) -> str:
    """Return an e-mail address as it is stored and looked up.

    Raises:
        AdminRefused: it is none.
    """
    email = unicodedata.normalize("NFC", text.strip()).lower()
    if len(email) > LONGEST_EMAIL or not email.isprintable() or not _EMAIL.fullmatch(email):
        raise AdminRefused("Give an e-mail address, such as ada@example.com.")
    return email


def normal_name(text: str) -> str:
    """Return a person's name as it is stored.

    Raises:
        AdminRefused: it is empty, too long, or has characters that cannot be read.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise AdminRefused(f"Give a name of 1 to {LONGEST_NAME} readable characters.")
    return name


def create_admin(
    conn: Connection,
    *,
    email: str,
    name: str,
    role: Role,
    password_hash: str,
    now: datetime,
    is_temporary: bool = False,
) -> AdminAccount:
    """Make an account.

    Args:
        conn: a connection in a transaction.
        email: where the person is reached; what they sign in with.
        name: how they are called; what stands before the @ where it is empty.
        role: what they may do.
        password_hash: of their password.
        now: the present.
        is_temporary: whether the password is only good for choosing another.

    Raises:
        AdminRefused: there is one with this e-mail address, or something is not valid.
    """
    values = {
        "admin_id": secrets.token_hex(6),
        "email": normal_email(email),
        "name": normal_name(name or email.partition("@")[0]),
        "role": _known_role(role),
        "password_hash": password_hash,
        "password_is_temporary": is_temporary,
        "created_at": now,
        "password_changed_at": now,
    }
    made = conn.execute(
        upsert(_admins).values(values).on_conflict_do_nothing(index_elements=["email"]).returning(*_COLUMNS)
    )
    row = made.mappings().one_or_none()
    if row is None:
        raise AdminRefused("There is an admin with this e-mail address already.")
    return _account(row)


def list_admins(conn: Connection) -> list[AdminAccount]:
    """Return all admins, disabled ones last, in order of their e-mail addresses."""
    rows = conn.execute(
        select(*_COLUMNS).order_by(_admins.c.disabled_at.is_not(None), _admins.c.email)
    ).mappings()
    return [_account(row) for row in rows]


def read_admin(conn: Connection, admin_id: str) -> AdminAccount | None:
    """Return an admin by id, None where there is none."""
    row = conn.execute(select(*_COLUMNS).where(_admins.c.admin_id == admin_id)).mappings().one_or_none()
    return None if row is None else _account(row)


def find_admin(conn: Connection, email: str) -> AdminAccount | None:
    """Return an admin by e-mail address, None where there is none."""
    try:
        wanted = normal_email(email)
    except AdminRefused:
        return None
    row = conn.execute(select(*_COLUMNS).where(_admins.c.email == wanted)).mappings().one_or_none()
    return None if row is None else _account(row)


def password_hash_of(conn: Connection, admin_id: str) -> str | None:
    """Return the hash of an admin's password; None for who may not sign in."""
    may_sign_in = (_admins.c.admin_id == admin_id) & _admins.c.disabled_at.is_(None)
    return conn.scalar(select(_admins.c.password_hash).where(may_sign_in))


def names_of_actors(conn: Connection) -> dict[str, str]:
    """Return the names of all admins by how entries call them: ``admin:5f0c…``."""
    rows = conn.execute(select(_admins.c.admin_id, _admins.c.name))
    return {f"admin:{admin_id}": name for admin_id, name in rows}


def set_role(conn: Connection, admin_id: str, role: Role) -> AdminAccount:
    """Give an admin another role; their sessions go on under it.

    Raises:
        AdminRefused: there is no such admin, or it is the last owner.
    """
    known = _known_role(role)
    account = _locked(conn, admin_id)
    if known != "owner":
        _leave_an_owner(conn, account)
    return _change(conn, admin_id, role=known)


def disable_admin(conn: Connection, admin_id: str, now: datetime) -> AdminAccount:
    """Let an admin sign in no more, and end all their sessions.

    Raises:
        AdminRefused: there is no such admin, or it is the last owner.
    """
    account = _locked(conn, admin_id)
    _leave_an_owner(conn, account)
    end_sessions(conn, admin_id)
    return account if account.disabled_at else _change(conn, admin_id, disabled_at=now)


def enable_admin(conn: Connection, admin_id: str) -> AdminAccount:
    """Let a disabled admin sign in again.

    Raises:
        AdminRefused: there is no such admin.
    """
    _locked(conn, admin_id)
    return _change(conn, admin_id, disabled_at=None)


def set_password(
    conn: Connection, admin_id: str, password_hash: str, now: datetime, *, is_temporary: bool = False
) -> AdminAccount:
    """Give an admin another password, and end all their sessions.

    Args:
        conn: a connection in a transaction.
        admin_id: whose.
        password_hash: of the new password.
        now: the present.
        is_temporary: whether it is only good for choosing another.

    Raises:
        AdminRefused: there is no such admin.
    """
    _locked(conn, admin_id)
    end_sessions(conn, admin_id)
    return _change(
        conn,
        admin_id,
        password_hash=password_hash,
        password_is_temporary=is_temporary,
        password_changed_at=now,
    )


def set_name(conn: Connection, admin_id: str, name: str) -> AdminAccount:
    """Call an admin by another name.

    Raises:
        AdminRefused: there is no such admin, or it is no name.
    """
    known = normal_name(name)
    _locked(conn, admin_id)
    return _change(conn, admin_id, name=known)


def note_sign_in(conn: Connection, admin_id: str, now: datetime, password_hash: str | None = None) -> None:
    """Remember when an admin signed in last, and a hash that was made anew with today's parameters."""
    renewed = {} if password_hash is None else {"password_hash": password_hash}
    conn.execute(update(_admins).where(_admins.c.admin_id == admin_id).values(signed_in_at=now, **renewed))


def end_sessions(conn: Connection, admin_id: str) -> int:
    """End all sessions of an admin, and return how many there were."""
    return conn.execute(delete(_sessions).where(_sessions.c.admin_id == admin_id)).rowcount


def _known_role(role: str) -> Role:
    known = next((each for each in ROLES if each == role), None)
    if known is None:
        raise AdminRefused(f"The role must be one of {', '.join(ROLES)}.")
    return known


def _locked(conn: Connection, admin_id: str) -> AdminAccount:
    # All owners' rows are locked with it, in order: two of them cannot disable each other at the same time.
    concerned = (_admins.c.admin_id == admin_id) | (_admins.c.role == "owner")
    rows = conn.execute(
        select(*_COLUMNS).where(concerned).order_by(_admins.c.admin_id).with_for_update()
    ).mappings()
    found = next((row for row in rows if row["admin_id"] == admin_id), None)
    if found is None:
        raise AdminRefused("There is no such admin.")
    return _account(found)


def _leave_an_owner(conn: Connection, account: AdminAccount) -> None:
    if account.role != "owner" or account.disabled_at is not None:
        return
    others = (_admins.c.role == "owner") & _admins.c.disabled_at.is_(None)
    others &= _admins.c.admin_id != account.admin_id
    if not conn.scalar(select(func.count()).select_from(_admins).where(others)):
        raise AdminRefused("This is the last owner. Make somebody else an owner first.")


def _change(conn: Connection, admin_id: str, **values: Any) -> AdminAccount:
    changed = conn.execute(
        update(_admins).where(_admins.c.admin_id == admin_id).values(values).returning(*_COLUMNS)
    )
    return _account(changed.mappings().one())


def _account(row: RowMapping) -> AdminAccount:
    return AdminAccount(**row)
