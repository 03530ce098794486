"""Finding customers for the admin pages: by id, e-mail address or name, filtered, sorted, a page at a time.

A search is by prefix, so that it walks indexes however many customers there are: of the id, of the e-mail address, of
the name, and of the name with its last word in front. The order of ids needs no sorting; the other orders look at
every customer that the filters leave, which takes a tenth of a second for a hundred thousand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from rewards.profiles.profile import folded

#: After every other text in the order of bytes: where a prefix ends, and where those without a name stand.
_LAST = "\U0010ffff"
_JOINED = "coalesce(p.joined_at, a.member_since, a.joined_at, a.created_at)"
#: What each sort goes by, and the type that its value is read back as from a cursor.
_SORTS: dict[str, tuple[str, str]] = {
    "id": ("a.customer_id", "text"),
    "name": (f"coalesce(p.name_key, '{_LAST}')", "text"),
    "balance": ("a.balance", "bigint"),
    "activity": ("coalesce(a.last_activity_at, '-infinity')", "timestamptz"),
    "joined": (_JOINED, "timestamptz"),
}
SORTS: tuple[str, ...] = tuple(_SORTS)


class FoundCustomer(NamedTuple):
    """A customer in a list. ``place`` is where the list goes on after it."""

    customer_id: str
    name: str | None
    email: str | None
    erased_at: datetime | None
    balance: int
    available: int
    tier: str | None
    tags: Sequence[str]
    joined_at: datetime
    last_activity_at: datetime | None
    place: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which customers are wanted, in which of :data:`SORTS`, and after which place. Nothing given is: any."""

    search: str = ""
    tag: str = ""
    tier: str = ""
    has_balance: bool | None = None
    joined_from: datetime | None = None
    joined_before: datetime | None = None
    sort: str = "id"
    descending: bool = False
    after: tuple[str, str] | None = None


def find_customers(conn: Connection, wanted: Wanted, most: int) -> list[FoundCustomer]:
    """Return up to ``most`` customers.

    Where no id, address or name begins with what is searched for, ids that have it anywhere are looked for.
    """
    statement, parameters = statement_for(wanted, most)
    rows = conn.execute(text(statement), parameters).all()
    if not rows and wanted.search and wanted.after is None:
        statement, parameters = statement_for(wanted, most, anywhere=True)
        rows = conn.execute(text(statement), parameters).all()
    return [FoundCustomer._make((*row[:-1], (row.key, row.customer_id))) for row in rows]


def statement_for(wanted: Wanted, most: int, *, anywhere: bool = False) -> tuple[str, dict[str, Any]]:
    """Return the statement that finds customers, and its parameters; all that was typed is in these."""
    key, type_ = _SORTS[wanted.sort]
    conditions: list[str] = []
    parameters: dict[str, Any] = {"most": most}
    if wanted.search:
        conditions.append(_ANYWHERE if anywhere else _BEGINS)
        parameters |= _prefixes(wanted.search)
        if anywhere:
            parameters = {"most": most, "part": wanted.search}
    if wanted.tag:
        conditions.append("a.tags @> ARRAY[CAST(:tag AS text)] AND a.tags <> '{}'")
        parameters["tag"] = wanted.tag
    if wanted.tier:
        conditions.append("a.tier = :tier")
        parameters["tier"] = wanted.tier
    if wanted.has_balance is not None:
        conditions.append("a.balance > 0" if wanted.has_balance else "a.balance <= 0")
    if wanted.joined_from is not None:
        conditions.append(f"{_JOINED} >= :joined_from")
        parameters["joined_from"] = wanted.joined_from
    if wanted.joined_before is not None:
        conditions.append(f"{_JOINED} < :joined_before")
        parameters["joined_before"] = wanted.joined_before
    if wanted.after is not None:
        beyond = "<" if wanted.descending else ">"
        conditions.append(f"({key}, a.customer_id) {beyond} (CAST(:after_key AS {type_}), :after_id)")
        parameters |= {"after_key": wanted.after[0], "after_id": wanted.after[1]}
    direction = "DESC" if wanted.descending else "ASC"
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    # The parts are constants; what was typed is in the parameters.
    statement = f"""
SELECT a.customer_id, p.name, p.email, p.erased_at, a.balance, a.available, a.tier, a.tags, {_JOINED} AS joined_at,
       a.last_activity_at, CAST({key} AS text) AS key
FROM accounts AS a LEFT JOIN profiles AS p ON p.customer_id = a.customer_id
{where}
ORDER BY {key} {direction}, a.customer_id {direction} LIMIT :most"""  # noqa: S608
    return statement, parameters


_BEGINS = """a.customer_id IN (
    SELECT customer_id FROM accounts WHERE customer_id >= :id_from AND customer_id < :id_until
    UNION SELECT customer_id FROM profiles WHERE email_key >= :key_from AND email_key < :key_until
    UNION SELECT customer_id FROM profiles WHERE name_key >= :key_from AND name_key < :key_until
    UNION SELECT customer_id FROM profiles WHERE surname_key >= :key_from AND surname_key < :key_until)"""
_ANYWHERE = "position(:part IN a.customer_id) > 0"


def _prefixes(search: str) -> dict[str, Any]:
    """Return the bounds of what begins with a text; unlike a pattern, they know no special characters."""
    key = folded(search) or search
    return {"id_from": search, "id_until": search + _LAST, "key_from": key, "key_until": key + _LAST}


def readable_place(sort: str, place: object) -> tuple[str, str] | None:
    """Return a place in a list as a cursor had it; None where it is none."""
    if not isinstance(place, list) or len(place) != 2 or not all(isinstance(each, str) for each in place):
        return None
    key, customer_id = place
    if "\0" in key + customer_id or not _fits(_SORTS[sort][1], key):
        return None
    return key, customer_id


def _fits(type_: str, key: str) -> bool:
    try:
        if type_ == "bigint":
            return -(2**63) <= int(key) < 2**63
        if type_ == "timestamptz" and key != "-infinity":
            datetime.fromisoformat(key)
    except ValueError:
        return False
    return True


#: Tags are looked for among so many customers who have any, which is as good as all.
_MOST_TAGGED = 2_000
KNOWN_TAGS = """
SELECT DISTINCT unnest(t.tags) AS tag FROM (
    SELECT tags FROM accounts WHERE tags <> '{}' ORDER BY customer_id LIMIT :tagged
) AS t ORDER BY tag LIMIT :most"""


def known_tags(conn: Connection, most: int) -> list[str]:
    """Return tags that customers have, in order, to choose from."""
    return list(conn.execute(text(KNOWN_TAGS), {"tagged": _MOST_TAGGED, "most": most}).scalars())
