"""Cursors of lists that are turned over by their last row, so that a page deep in a long list costs no more."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pydantic_core import from_json, to_json

_LONGEST = 2_000


def write_place(place: Sequence[Any]) -> str:
    """Return a place in a list as a text for an address."""
    return urlsafe_b64encode(to_json(list(place))).rstrip(b"=").decode()


def read_place(text: str) -> list[Any] | None:
    """Return the place that an address names; None where it is none. What is in it is for the list to check."""
    if not text or len(text) > _LONGEST:
        return None
    try:
        place = from_json(urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)))
    except (ValueError, UnicodeError):
        return None
    return place if isinstance(place, list) else None


def read_instant(value: object) -> datetime | None:
    """Return an instant as :func:`write_place` wrote it; None where it is none."""
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
        # Years near the ends of the calendar leave no room to look further back or ahead from.
        is_ours = instant.tzinfo is not None and 1970 <= instant.year <= 9000
        return instant.astimezone(UTC) if is_ours else None
    except (ValueError, OverflowError):
        return None


def day_begins(text: str, zone: ZoneInfo, *, days_later: int = 0) -> datetime | None:
    """Return when a day, as a date field sends it, or a later one begins in a zone; None where it is none."""
    try:
        day = date.fromisoformat(text) + timedelta(days=days_later)
        if not 1970 <= day.year <= 9000:
            return None
        return datetime.combine(day, time(), zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
