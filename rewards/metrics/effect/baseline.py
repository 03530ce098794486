"""What the power calculator asks of a shop, read from its orders: how often customers come back, and how many come."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from rewards.metrics.effect.power import DAYS_A_MONTH, MATURES_DAYS

_WINDOW_DAYS = 365

# Of customers whose first order is in the window: whether they ordered on another day within 90 days of it, and what
# they spent in those days, refunds not taken off. On the shop's calendar.
_BASELINE = text("""
WITH orders AS (
    SELECT a.customer_id, CAST(a.occurred_at AT TIME ZONE :zone AS date) AS day,
           CAST(a.body ->> 'total_minor' AS bigint) AS minor
    FROM activities AS a
    WHERE a.activity_key >= 'purchase:' AND a.activity_key < 'purchase;'
      AND a.body ->> 'currency' = :currency AND CAST(a.body ->> 'total_minor' AS bigint) > 0
),
firsts AS (SELECT customer_id, min(day) AS day FROM orders GROUP BY customer_id),
acquired AS (
    SELECT * FROM firsts WHERE day >= CAST(:since AS date) AND day < CAST(:until AS date)
),
outcomes AS (
    SELECT f.customer_id, bool_or(o.day > f.day) AS came_back, sum(o.minor) AS minor
    FROM acquired AS f
    JOIN orders AS o ON o.customer_id = f.customer_id AND o.day < f.day + :days
    GROUP BY f.customer_id
)
SELECT count(*) AS customers, avg(CAST(came_back AS integer)) AS rate, avg(minor) AS mean,
       stddev_samp(minor) AS deviation
FROM outcomes""")


@dataclass(frozen=True, slots=True)
class Baseline:
    """How a shop's new customers have behaved.

    Attributes:
        customers: new ones of the window whose 90 days are over.
        per_month: how many came in a month.
        rate: the share of them who came back within 90 days; None without customers.
        mean_minor, deviation_minor: what one spent in those days, in minor units; None with fewer than two customers.
    """

    customers: int
    per_month: float
    rate: float | None
    mean_minor: float | None
    deviation_minor: float | None


def read_baseline(conn: Connection, zone: str, currency: str, now: datetime) -> Baseline:
    """Return the figures of the customers acquired in the year that ended 90 days ago."""
    until = now - timedelta(days=MATURES_DAYS)
    about = {
        "zone": zone,
        "currency": currency,
        "since": until - timedelta(days=_WINDOW_DAYS),
        "until": until,
        "days": MATURES_DAYS,
    }
    row = conn.execute(_BASELINE, about).one()
    months = _WINDOW_DAYS / DAYS_A_MONTH
    return Baseline(
        row.customers,
        row.customers / months,
        None if row.rate is None else float(row.rate),
        None if row.mean is None else float(row.mean),
        None if row.deviation is None else float(row.deviation),
    )
