"""Signed links: an address that opens one customer's page until it expires, with nothing stored.

The token in the address is ``payload.signature``: whom and what it is for and the instant of expiry, in base64,
and their HMAC-SHA-256 under ``REWARDS_SECRET_KEY``. Whoever has the address can open the page, so it is to be
sent like a password reset: to the customer, and nowhere else. Changing the secret key voids every link.

Each kind of page has a purpose of its own that goes into the signature, so that the token of one opens no other.
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
SURVEY_PURPOSE = "rewards.survey.1"
#: Well above the longest token that is ever made: 128 characters of four bytes each, and a survey's id.
LONGEST_TOKEN = 1024


class LinkInvalid(Exception):
    """The token was not made by this server, or not for this kind of page, or was changed on its way."""


class LinkExpired(Exception):
    """The token was good until ``expired_at``."""

    def __init__(self, expired_at: datetime) -> None:
        super().__init__(f"the link expired at {expired_at.isoformat()}")
        self.expired_at = expired_at


def make_link(settings: Settings, customer_id: str, now: datetime) -> tuple[str, datetime]:
    """Return the address of a customer's page and when it expires, ``link_life_days`` from ``now``, in UTC.

    Whether there is such a customer is for the caller to know.
    """
    expires_at = default_expiry(settings, now)
    return f"{settings.public_url}/me/{_token(settings, PURPOSE, [customer_id], expires_at)}", expires_at


def read_link(settings: Settings, token: str, now: datetime) -> str:
    """Return the customer whose page ``token`` opens.

    Raises:
        LinkInvalid: it is forged, truncated, or altered in any character.
        LinkExpired: its time is over.
    """
    return read_link_until(settings, token, now)[0]


def read_link_until(settings: Settings, token: str, now: datetime) -> tuple[str, datetime]:
    """Return the customer whose page ``token`` opens, and until when it does.

    Raises:
        LinkInvalid: it is forged, truncated, or altered in any character.
        LinkExpired: its time is over.
    """
    (customer_id,), expires_at = _read(settings, PURPOSE, token, now, names=1)
    return customer_id, expires_at


def make_survey_link(settings: Settings, customer_id: str, survey_id: str, expires_at: datetime) -> str:
    """Return the address at which a customer answers a survey until ``expires_at``, which is cut to the second.

    Whether there are such a customer and such a survey is for the caller to know.
    """
    token = _token(settings, SURVEY_PURPOSE, [customer_id, survey_id], expires_at)
    return f"{settings.public_url}/s/{token}"


def read_survey_link(settings: Settings, token: str, now: datetime) -> tuple[str, str]:
    """Return the customer and the survey for whom and which ``token`` was made.

    Raises:
        LinkInvalid: it is forged, truncated, or altered in any character.
        LinkExpired: its time is over.
    """
    (customer_id, survey_id), _ = _read(settings, SURVEY_PURPOSE, token, now, names=2)
    return customer_id, survey_id


def default_expiry(settings: Settings, now: datetime) -> datetime:
    """Return when a link made ``now`` expires unless somebody says otherwise, in UTC."""
    return now.astimezone(UTC).replace(microsecond=0) + timedelta(days=settings.link_life_days)


def _token(settings: Settings, purpose: str, names: list[str], expires_at: datetime) -> str:
    said = [*names, int(expires_at.timestamp())]
    payload = base64_encode(json.dumps(said, ensure_ascii=False, separators=(",", ":")))
    return _signer(settings, purpose).sign(payload).decode("ascii")


def _read(
    settings: Settings, purpose: str, token: str, now: datetime, *, names: int
) -> tuple[list[str], datetime]:
    payload, dot, _ = token.rpartition(".")
    if not dot or len(token) > LONGEST_TOKEN or not token.isascii():
        raise LinkInvalid("not a link's token")
    # Signed anew and compared, rather than decoded and verified: base64 has several spellings of the same
    # bytes, and only the one that was given out is to open the page.
    if not hmac.compare_digest(
        _signer(settings, purpose).sign(payload.encode("ascii")), token.encode("ascii")
    ):
        raise LinkInvalid("the signature does not fit")
    try:
        *said, expires_seconds = json.loads(base64_decode(payload))
        expires_at = datetime.fromtimestamp(expires_seconds, UTC)
    except (BadData, ValueError, TypeError) as error:
        raise LinkInvalid("signed, but not a link's content") from error
    if len(said) != names:
        raise LinkInvalid("signed, but not a link's content")
    if now >= expires_at:
        raise LinkExpired(expires_at)
    return [str(name) for name in said], expires_at


def _signer(settings: Settings, purpose: str) -> Signer:
    return Signer(secret_key(settings), salt=purpose, key_derivation="hmac", digest_method=sha256)
