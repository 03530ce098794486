"""Customers who were brought by others, and what they bought since: who counts, and why the others do not."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from rewards.metrics.ledger_reading.clocks import NOT_CUSTOMERS

#: Why a referral does not count, in the order in which that is asked; what is left counts.
REASONS = {
    "oneself": "Referred themselves: both are one person",
    "rejected": "Rejected",
    "flagged": "Waiting for somebody's judgement",
    "expired": "No order that qualifies in time",
    "reversed": "Undone by a refund",
    "existing": "Had bought before they were referred",
    "another": "Was brought by somebody else first",
    "no-order": "Has not bought since",
    "refunded": "First order was refunded whole",
}
COUNTS = "counts"


class Referred(NamedTuple):
    """A referral that was attributed before the end, and what came of it in the period.

    ``minor`` is what the attributed orders of the period came to, ``refunded_minor`` what was refunded of that.
    """

    person: str
    referrer: str
    attributed_at: datetime
    why: str
    orders: int
    minor: int
    refunded_minor: int


# Merged identities are one person, who can be brought once, and not by oneself.
_REFERRED = """
WITH known AS (
    SELECT r.customer_id, coalesce(i.same_as, r.customer_id) AS person, coalesce(j.same_as, r.referrer_id) AS referrer,
           r.status, r.attributed_at
    FROM referrals AS r LEFT JOIN identities AS i ON i.customer_id = r.customer_id
    LEFT JOIN identities AS j ON j.customer_id = r.referrer_id
    WHERE r.attributed_at < :until AND r.customer_id NOT IN {not_customers} AND r.referrer_id NOT IN {not_customers}
), bought AS MATERIALIZED (
    SELECT s.customer_id AS person, p.ordered_at, p.order_id, p.amount_minor, p.refunded_minor,
           row_number() OVER (PARTITION BY p.unit_no ORDER BY p.ordered_at, p.order_id) AS nth
    FROM (SELECT DISTINCT person FROM known) AS k JOIN customer_stats AS s ON s.customer_id = k.person
    JOIN purchases AS p ON p.unit_no = s.unit_no AND p.status = 'purchase' AND p.ordered_at < :until
), since AS (
    SELECT k.customer_id, min(b.nth) FILTER (WHERE b.ordered_at >= k.attributed_at) AS first_nth,
           bool_or(b.ordered_at < k.attributed_at) AS had_bought
    FROM known AS k JOIN bought AS b ON b.person = k.person GROUP BY k.customer_id
), judged AS (
    SELECT k.*, s.had_bought, b.ordered_at AS first_at, b.order_id AS first_order,
           b.refunded_minor >= b.amount_minor AS is_first_refunded,
           row_number() OVER (PARTITION BY k.person ORDER BY k.person = k.referrer,
               k.status IN ('rejected', 'flagged', 'expired', 'reversed'), k.attributed_at, k.customer_id) AS nth
    FROM known AS k LEFT JOIN since AS s ON s.customer_id = k.customer_id
    LEFT JOIN bought AS b ON b.person = k.person AND b.nth = s.first_nth
), told AS (
    SELECT j.*, CASE
        WHEN person = referrer THEN 'oneself'
        WHEN status IN ('rejected', 'flagged', 'expired', 'reversed') THEN status
        WHEN had_bought THEN 'existing'
        WHEN nth > 1 THEN 'another'
        WHEN first_at IS NULL THEN 'no-order'
        WHEN is_first_refunded THEN 'refunded'
        ELSE 'counts' END AS why
    FROM judged AS j
), attributed AS (
    SELECT t.customer_id, b.ordered_at, b.amount_minor, least(b.refunded_minor, b.amount_minor) AS refunded_minor
    FROM told AS t JOIN bought AS b ON b.person = t.person
    WHERE t.why = 'counts' AND b.ordered_at >= :since AND b.ordered_at >= t.attributed_at
      AND CASE WHEN :first_only THEN b.order_id = t.first_order AND b.ordered_at = t.first_at
               ELSE b.ordered_at < t.attributed_at + interval '365 days' END
)"""

_EACH = """
SELECT t.person, t.referrer, t.attributed_at, t.why, count(a.customer_id) AS orders,
       CAST(coalesce(sum(a.amount_minor), 0) AS bigint) AS minor,
       CAST(coalesce(sum(a.refunded_minor), 0) AS bigint) AS refunded_minor
FROM told AS t LEFT JOIN attributed AS a ON a.customer_id = t.customer_id
GROUP BY t.customer_id, t.person, t.referrer, t.attributed_at, t.why
ORDER BY t.attributed_at, t.customer_id"""

_BY_SPAN = """
SELECT width_bucket(ordered_at, CAST(:bounds AS timestamptz[])) AS bucket, CAST(sum(amount_minor) AS bigint) AS minor,
       count(*) AS orders
FROM attributed GROUP BY 1 ORDER BY 1"""


def read_referred(conn: Connection, since: datetime, until: datetime, *, first_only: bool) -> list[Referred]:
    """Return every referral attributed before ``until`` with what its customer bought in ``[since, until)``.

    Args:
        conn: reads only.
        since, until: the period of purchases.
        first_only: whether the first order alone is attributed, or all within 365 days of the referral.
    """
    sql = _REFERRED.format(not_customers=NOT_CUSTOMERS) + _EACH
    return [
        Referred(*row)
        for row in conn.execute(text(sql), {"since": since, "until": until, "first_only": first_only})
    ]


class Revenue(NamedTuple):
    """What was attributed to referrals in one span."""

    bucket: int
    minor: int
    orders: int


def read_revenue(
    conn: Connection, since: datetime, until: datetime, bounds: Sequence[datetime], *, first_only: bool
) -> list[Revenue]:
    """Return what was attributed in ``[since, until)``, by the places among ``bounds`` (0 is before the first)."""
    sql = _REFERRED.format(not_customers=NOT_CUSTOMERS) + _BY_SPAN
    return [
        Revenue(*row)
        for row in conn.execute(
            text(sql), {"since": since, "until": until, "first_only": first_only, "bounds": list(bounds)}
        )
    ]
