"""Signed links: an address that opens one customer's page until it expires, with nothing stored.

The token in the address is ``payload.signature``: the customer's id and the instant of expiry, in base64,
and their HMAC-SHA-256 under ``REWARDS_SECRET_KEY``. Whoever has the address can open the page, so it is to be
sent like a password reset: to the customer, and nowhere else. Changing the secret key voids every link.
"""

import hmac
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from rewards.core.settings import Settings, secret_key

#: What the signature is for: a token signed for anything else is no customer link.
PURPOSE = "rewards.customer-page.1"
#: Well above the longest token that is ever made: 128 characters of four bytes each.
LONGEST_TOKEN = 1024


class LinkInvalid(Exception):
    """The token was not made by this server, or not for a customer's page, or was changed on its way."""


class LinkExpired(Exception):
    """The token was good until ``expired_at``."""

    def __init__(self, expired_at: datetime) -> None:
        super().__init__(f"the link expired at {expired_at.isoformat()}")
        self.expired_at = expired_at


def make_link(settings: Settings, customer_id: str, now: datetime) -> tuple[str, datetime]:
    """Return the address of a customer's page and when it expires, ``link_life_days`` from ``now``, in UTC.

    Whether there is such a customer is for the caller to know.
    """
    expires_at = now.astimezone(UTC).replace(microsecond=0) + timedelta(days=settings.link_life_days)
    payload = base64_encode(
        json.dumps([customer_id, int(expires_at.timestamp())], ensure_ascii=False, separators=(",", ":"))
    )
    token = _signer(settings).sign(payload).decode("ascii")
    return f"{settings.public_url}/me/{token}", expires_at


def read_link(settings: Settings, token: str, now: datetime) -> str:
    """Return the customer whose page ``token`` opens.

    Raises:
        LinkInvalid: it is forged, truncated, or altered in any character.
        LinkExpired: its time is over.
    """
    payload, dot, _ = token.rpartition(".")
    if not dot or len(token) > LONGEST_TOKEN or not token.isascii():
        raise LinkInvalid("not a link's token")
    # Signed anew and compared, rather than decoded and verified: base64 has several spellings of the same
    # bytes, and only the one that was given out is to open the page.
    if not hmac.compare_digest(_signer(settings).sign(payload.encode("ascii")), token.encode("ascii")):
        raise LinkInvalid("the signature does not fit")
    try:
        customer_id, expires_seconds = json.loads(base64_decode(payload))
        expires_at = datetime.fromtimestamp(expires_seconds, UTC)
    except (BadData, ValueError, TypeError) as error:
        raise LinkInvalid("signed, but not a customer's link") from error
    if now >= expires_at:
        raise LinkExpired(expires_at)
    return str(customer_id)


def _signer(settings: Settings) -> Signer:
    return Signer(secret_key(settings), salt=PURPOSE, key_derivation="hmac", digest_method=sha256)
