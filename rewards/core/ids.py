"""Identifiers of what the engine makes: a prefix, the customer, and a sequence number.

An id leads straight to its rows: it names the customer whose partition holds them, so no lookup table and no
index across customers is needed (ADR 0004). Ids are opaque to callers.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache

AWARD = "awd"
REDEMPTION = "rdm"
REVERSAL = "rev"
ADJUSTMENT = "adj"

_LARGEST_SEQ = 2**63 - 1
_LONGEST_ID = 720


@lru_cache(maxsize=16_384)
def _customer_part(customer_id: str) -> str:
    return urlsafe_b64encode(customer_id.encode()).rstrip(b"=").decode("ascii")


def encode(prefix: str, customer_id: str, seq: int) -> str:
    """Return the id of the thing that entry ``seq`` of ``customer_id`` made, such as ``awd_Yy0x.7``."""
    return f"{prefix}_{_customer_part(customer_id)}.{seq}"


def decode(prefix: str, text: str) -> tuple[str, int]:
    """Return ``(customer_id, seq)`` of an id.

    Raises:
        ValueError: ``text`` is not an id with that prefix, in the one form that ``encode`` gives.
    """
    head, underscore, rest = text.partition("_")
    customer_part, dot, seq_part = rest.rpartition(".")
    if len(text) > _LONGEST_ID or head != prefix or not underscore or not dot:
        raise ValueError(f"not a {prefix} id")
    if not (seq_part.isascii() and seq_part.isdigit()) or len(seq_part) > 19:
        raise ValueError(f"not a {prefix} id")
    try:
        padding = "=" * (-len(customer_part) % 4)
        customer_id = urlsafe_b64decode(customer_part.encode("ascii") + padding.encode()).decode()
    except (UnicodeError, ValueError):
        raise ValueError(f"not a {prefix} id") from None
    seq = int(seq_part)
    if not 1 <= len(customer_id) <= 128 or any(ord(each) < 32 or ord(each) == 127 for each in customer_id):
        raise ValueError(f"not a {prefix} id")
    if not 1 <= seq <= _LARGEST_SEQ or encode(prefix, customer_id, seq) != text:
        raise ValueError(f"not a {prefix} id")
    return customer_id, seq
