"""Profiles on the database: reading them, and putting one or a thousand at once."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic_core import to_json
from sqlalchemy import Connection, Row, text

from rewards.core.wire import TextArray
from rewards.profiles.profile import Profile

#: What became of a profile that was put; ``erased`` is one that was not written because it had been erased.
Outcome = Literal["created", "changed", "unchanged", "erased"]

_FIELDS = ("email", "name", "birthday", "joined_at", "attributes")
_KEYS = ("email_key", "name_key", "surname_key")

_READ = text("""
SELECT customer_id, email, name, birthday, joined_at, attributes, updated_at, erased_at, links_void_until
FROM profiles WHERE customer_id = :customer_id""")

_NAMES = text(
    "SELECT customer_id, name FROM profiles WHERE customer_id = ANY(:customers) AND name IS NOT NULL"
)

_LOCK = text("""
SELECT customer_id, email, name, birthday, joined_at, attributes, erased_at
FROM profiles WHERE customer_id = ANY(:customers) ORDER BY customer_id FOR NO KEY UPDATE""")

_PUT = text(f"""
INSERT INTO profiles (customer_id, {", ".join((*_FIELDS, *_KEYS))}, updated_at)
SELECT r.customer_id, {", ".join(f"r.{name}" for name in (*_FIELDS, *_KEYS))}, :now
FROM jsonb_populate_recordset(NULL::profiles, CAST(:rows AS jsonb)) AS r ORDER BY r.customer_id
ON CONFLICT (customer_id) DO UPDATE SET
{", ".join(f"{name} = excluded.{name}" for name in (*_FIELDS, *_KEYS, "updated_at"))}, erased_at = NULL""")  # noqa: S608 - constants


def read_profile(conn: Connection, customer_id: str) -> dict[str, Any] | None:
    """Return a customer's profile as the API shows it; None where none was ever put."""
    row = conn.execute(_READ, {"customer_id": customer_id}).one_or_none()
    return None if row is None else shown(row)


def shown(row: Row[Any]) -> dict[str, Any]:
    """Return a row of ``profiles`` as the API shows it."""
    return {
        "customer_id": row.customer_id,
        "email": row.email,
        "name": row.name,
        "birthday": row.birthday,
        "joined_at": _utc(row.joined_at),
        "attributes": row.attributes,
        "updated_at": _utc(row.updated_at),
        "erased_at": _utc(row.erased_at),
    }


def names_of(conn: Connection, customers: Iterable[str]) -> dict[str, str]:
    """Return the names of those customers who have one."""
    rows = conn.execute(_NAMES, {"customers": TextArray(sorted(set(customers)))})
    return {row.customer_id: row.name for row in rows}


def links_void_until(conn: Connection, customer_id: str) -> datetime | None:
    """Return until when links to the customer's page expire that an erasure made void; None where none did."""
    row = conn.execute(_READ, {"customer_id": customer_id}).one_or_none()
    return None if row is None else _utc(row.links_void_until)


def put_profile(
    conn: Connection, customer_id: str, profile: Profile, now: datetime, *, restores_erased: bool = False
) -> Outcome:
    """Put a profile in place of the one that is there. In a transaction of its own."""
    given = profile.model_dump()
    return put_profiles(conn, {customer_id: given}, now, replaces=True, restores_erased=restores_erased)[
        customer_id
    ]


def put_profiles(
    conn: Connection,
    given: Mapping[str, Mapping[str, Any]],
    now: datetime,
    *,
    replaces: bool = False,
    restores_erased: bool = False,
) -> dict[str, Outcome]:
    """Put profiles, in a transaction of their own, and return what became of each.

    Args:
        conn: in a transaction.
        given: for each customer fields of a valid :class:`Profile`.
        now: the present.
        replaces: False leaves fields and attributes that are not given as they are; an attribute given as None goes.
        restores_erased: whether who was erased is known again.
    """
    there = {
        row.customer_id: row for row in conn.execute(_LOCK, {"customers": TextArray(sorted(given))}).all()
    }
    outcomes: dict[str, Outcome] = {}
    rows = []
    for customer_id, fields in given.items():
        before = there.get(customer_id)
        if before is not None and before.erased_at is not None and not restores_erased:
            outcomes[customer_id] = "erased"
            continue
        known = _known(before)
        after = _merged({} if replaces else known, fields)
        if before is not None and before.erased_at is None and after == known:
            outcomes[customer_id] = "unchanged"
            continue
        outcomes[customer_id] = "created" if before is None else "changed"
        keys = Profile.model_construct(**after).keys()
        rows.append({"customer_id": customer_id, **after, **dict(zip(_KEYS, keys, strict=True))})
    if rows:
        conn.execute(_PUT, {"rows": to_json(rows).decode(), "now": now})
    return outcomes


def _known(row: Row[Any] | None) -> dict[str, Any]:
    if row is None:
        return {}
    return {name: getattr(row, name) for name in _FIELDS} | {"joined_at": _utc(row.joined_at)}


def _merged(known: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    after = {name: given.get(name, known.get(name)) for name in _FIELDS}
    attributes = {**(known.get("attributes") or {}), **(given.get("attributes") or {})}
    after["attributes"] = {name: value for name, value in attributes.items() if value is not None}
    return after


def _utc(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.astimezone(UTC)
