"""Moves between tiers as they took effect: what a later one set right of an earlier one does not count."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from rewards.metrics.ledger_reading.clocks import NOT_CUSTOMERS


class Step(NamedTuple):
    """How many customers went from one tier to another in a span; None is in none."""

    bucket: int
    from_tier: str | None
    to_tier: str | None
    customers: int


# A move is in force from its instant until that of any later one; late activities book moves that lie before others.
_IN_FORCE = """
WITH known AS (
    SELECT m.customer_id, m.move_seq, m.to_tier, m.at, min(m.at) OVER (
               PARTITION BY m.customer_id ORDER BY m.move_seq ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
           ) AS replaced_at
    FROM moves AS m WHERE m.at < :at AND m.customer_id NOT IN {not_customers}
), in_force AS (
    SELECT customer_id, to_tier, at, lag(to_tier) OVER (PARTITION BY customer_id ORDER BY move_seq) AS from_tier,
           lead(move_seq) OVER (PARTITION BY customer_id ORDER BY move_seq) IS NULL AS is_last
    FROM known WHERE replaced_at IS NULL OR replaced_at > at
)"""

_STEPS = """
SELECT width_bucket(at, CAST(:bounds AS timestamptz[])) AS bucket, from_tier, to_tier, count(*) AS customers
FROM in_force WHERE from_tier IS DISTINCT FROM to_tier GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""

_MEMBERS = """
SELECT customer_id, to_tier, at FROM in_force WHERE is_last AND to_tier IS NOT NULL ORDER BY to_tier, at, customer_id"""


def read_steps(conn: Connection, at: datetime, bounds: Sequence[datetime]) -> list[Step]:
    """Return all steps before ``at`` by the places among ``bounds`` (0 is before the first)."""
    sql = _IN_FORCE.format(not_customers=NOT_CUSTOMERS) + _STEPS
    return [Step(*row) for row in conn.execute(text(sql), {"at": at, "bounds": list(bounds)})]


class Member(NamedTuple):
    """Who is in a tier, since when."""

    customer_id: str
    tier: str
    since: datetime


def read_members(conn: Connection, at: datetime) -> list[Member]:
    """Return who was in which tier just before ``at``."""
    sql = _IN_FORCE.format(not_customers=NOT_CUSTOMERS) + _MEMBERS
    return [Member(*row) for row in conn.execute(text(sql), {"at": at})]


def first_move(conn: Connection, zone: ZoneInfo) -> date | None:
    """Return the day of the first move; None where there is none."""
    sql = "SELECT CAST(min(at) AT TIME ZONE :zone AS date) FROM moves"
    found: date | None = conn.execute(text(sql), {"zone": zone.key}).scalar()
    return found
