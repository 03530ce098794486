"""The digest chain that makes a customer's history tamper-evident by itself.

``digest = SHA-256(previous digest || canonical form)``, where the first previous digest is 32 zero bytes and
the canonical form is a compact JSON array in UTF-8 of the entry's fields, in the order of
:func:`canonical_form`, with instants in RFC 3339 and UTC (``2026-11-01T12:00:00Z``, six digits of a second
where it has a fraction). Anyone can recompute it from an export with a JSON library and SHA-256.
"""

from hashlib import sha256
from typing import Any

from pydantic_core import to_json

FIRST = bytes(32)


#: The fields of an entry that its digest covers, in order; all that is stored of it but the digest itself.
COVERED = (
    "customer_id",
    "seq",
    "kind",
    "points",
    "balance_after",
    "occurred_at",
    "recorded_at",
    "cause",
    "program_version",
    "actor",
    "note",
    "idempotency_key",
)


def canonical_form(fields: tuple[Any, ...]) -> bytes:
    """Return the bytes that stand for an entry in its digest, from the fields named in ``COVERED``, in UTC."""
    return to_json(fields)


def chain(previous: bytes, canonical: bytes) -> bytes:
    """Return the digest of an entry from the one before it."""
    return sha256(previous + canonical).digest()
