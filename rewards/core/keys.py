"""API keys: made once, shown once, kept only as a hash.

A key reads ``rk_<key_id>_<secret>``. The id is public: it finds the row and names the key in entries and logs.
The secret is 32 random bytes, so its plain SHA-256 is all that is stored. A slow password hash guards secrets
that people choose and attackers can guess; nobody guesses 256 random bits, and a slow hash at each request
would only let callers exhaust the server.
"""

import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import Connection, RowMapping, column, insert, select, table, update

Scope = Literal["storefront", "admin", "readonly"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

#: Seconds for which a key that was read is believed, so that a revoked one stops working within that time.
BELIEVED_SECONDS = 0.25
#: When a key in use is read again, before it is no longer believed: no request waits for it.
READ_AGAIN_SECONDS = 0.12

_MOST_KEYS_KEPT = 4_096
_LONGEST_KEY_ID = 32

# Named here rather than taken from the ledger's tables, which stand above this package.
_COLUMNS = ("key_id", "name", "scope", "secret_hash", "created_at", "revoked_at")
_api_keys = table("api_keys", *(column(name) for name in _COLUMNS))


class Token(NamedTuple):
    """The two parts of a key as it is sent."""

    key_id: str
    secret: str


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is stored. Instants are UTC."""

    key_id: str
    name: str
    scope: Scope
    created_at: datetime
    revoked_at: datetime | None
    secret_hash: bytes = field(repr=False)

    @property
    def actor(self) -> str:
        """How entries name who used the key."""
        return f"key:{self.key_id}"

    def opens_with(self, secret: str) -> bool:
        """Say whether this is the key's secret, in a time that tells nothing about it."""
        return hmac.compare_digest(self.secret_hash, _hash(secret))

    def permits(self, needed: Scope) -> bool:
        """Say whether the key may do what needs scope ``needed``: admin may do all, and every key may read."""
        return needed in ("readonly", self.scope) or self.scope == "admin"


def parse_token(text: str) -> Token | None:
    """Take a key apart; None where the text cannot be one."""
    mark, _, rest = text.partition("_")
    key_id, _, secret = rest.partition("_")
    is_key = mark == "rk" and key_id.isascii() and key_id.isalnum() and len(key_id) <= _LONGEST_KEY_ID
    return Token(key_id, secret) if is_key and secret and secret.isascii() else None


def create_key(conn: Connection, name: str, scope: Scope, now: datetime) -> str:
    """Make a key, store its hash, and return its text: the only time that anyone sees it.

    Raises:
        ValueError: the name is empty or too long, or the scope is unknown.
    """
    if scope not in SCOPES:
        raise ValueError(f"the scope must be one of {', '.join(SCOPES)}, not {scope!r}")
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise ValueError("a key needs a name of 1 to 200 readable characters, such as 'webshop'")
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    conn.execute(
        insert(_api_keys).values(
            key_id=key_id, name=name, scope=scope, secret_hash=_hash(secret), created_at=now, revoked_at=None
        )
    )
    return f"rk_{key_id}_{secret}"


def list_keys(conn: Connection) -> list[ApiKey]:
    """Return all keys, revoked ones too, the oldest first."""
    rows = conn.execute(select(_api_keys).order_by(_api_keys.c.created_at, _api_keys.c.key_id)).mappings()
    return [_key(row) for row in rows]


def read_key(conn: Connection, key_id: str) -> ApiKey | None:
    """Return one key, revoked or not, or None where there is none."""
    row = conn.execute(select(_api_keys).where(_api_keys.c.key_id == key_id)).mappings().one_or_none()
    return None if row is None else _key(row)


def revoke_key(conn: Connection, key_id: str, now: datetime) -> bool:
    """Revoke a key for ever; return False where there is none. One that was revoked before keeps its date."""
    if read_key(conn, key_id) is None:
        return False
    still_valid = (_api_keys.c.key_id == key_id) & _api_keys.c.revoked_at.is_(None)
    conn.execute(update(_api_keys).where(still_valid).values(revoked_at=now))
    return True


class _Kept(NamedTuple):
    key: ApiKey
    read_at: float


class KeyRing:
    """Keys as a process last read them, each believed for ``BELIEVED_SECONDS``.

    It holds hashes, never secrets, and forgets unknown and revoked keys at once. Times are seconds of a
    monotonic clock, taken before the key was read.
    """

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def find(self, key_id: str, at: float) -> tuple[ApiKey | None, bool]:
        """Return the key, where it can still be believed, and whether it is time to read it again."""
        kept = self._kept.get(key_id)
        if kept is None or at - kept.read_at >= BELIEVED_SECONDS:
            return None, True
        return kept.key, at - kept.read_at >= READ_AGAIN_SECONDS

    def keep(self, key: ApiKey | None, key_id: str, read_at: float) -> ApiKey | None:
        """Take note of what the database says about a key, and return the key if it is good."""
        if key is None or key.revoked_at is not None:
            self._kept.pop(key_id, None)
            return None
        if len(self._kept) >= _MOST_KEYS_KEPT:
            self._kept.clear()
        self._kept[key_id] = _Kept(key, read_at)
        return key


def _hash(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


def _key(row: RowMapping) -> ApiKey:
    values: dict[str, Any] = dict(row)
    values["secret_hash"] = bytes(values["secret_hash"])
    return ApiKey(**values)
