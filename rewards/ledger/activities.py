"""Reading one recorded activity of a customer."""

from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

_FIND = text(
    "SELECT occurred_at, points FROM activities WHERE customer_id = :customer_id AND activity_key = :activity_key"
)


class Recorded(NamedTuple):
    """When an activity occurred, in UTC, and the points that it was awarded."""

    occurred_at: datetime
    points: int


def find_activity(conn: Connection, customer_id: str, activity_key: str) -> Recorded | None:
    """Return a customer's activity by its key, such as ``survey:nps-2026q4``; None where there is none."""
    row = conn.execute(_FIND, {"customer_id": customer_id, "activity_key": activity_key}).one_or_none()
    return None if row is None else Recorded(row.occurred_at.astimezone(UTC), row.points)
