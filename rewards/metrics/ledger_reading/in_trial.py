"""What the customers of a trial's arms were given and redeemed in the days after their exposure."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from rewards.metrics.ledger_reading.clocks import NOT_CUSTOMERS


class Given(NamedTuple):
    """Of an arm's customers: points issued net of refunds, and what those redeemed were worth, net of those back."""

    customers: int = 0
    issued: int = 0
    redeemed_minor: int = 0


_GIVEN = """
WITH exposed AS (
    SELECT x.arm, x.customer_id, x.exposed_at,
           least(x.exposed_at + make_interval(days => :days), :until) AS ends_at
    FROM exposures AS x
    WHERE x.experiment_id = :experiment AND x.exposed_at < :until AND x.customer_id NOT IN {not_customers}
), moved AS (
    SELECT x.arm, e.customer_id, e.seq, e.kind, e.points
    FROM exposed AS x JOIN entries AS e ON e.customer_id = x.customer_id
         AND e.occurred_at >= x.exposed_at AND e.occurred_at < x.ends_at
         AND e.kind IN ('award', 'clawback', 'redeem', 'reinstate')
), returned AS (
    SELECT m.arm, m.customer_id, c.debit_seq, -sum(c.points) AS points
    FROM moved AS m JOIN consumptions AS c ON c.customer_id = m.customer_id AND c.entry_seq = m.seq
    WHERE m.kind = 'reinstate' AND c.debit_seq <> m.seq GROUP BY 1, 2, 3
), summed AS (
    SELECT arm, 1 AS customers, 0 AS issued, 0 AS minor FROM exposed
    UNION ALL SELECT arm, 0, points, 0 FROM moved WHERE kind IN ('award', 'clawback')
    UNION ALL
    SELECT m.arm, 0, 0, r.value_minor FROM moved AS m JOIN redemptions AS r
           ON r.customer_id = m.customer_id AND r.redeem_seq = m.seq WHERE m.kind = 'redeem'
    UNION ALL
    SELECT t.arm, 0, 0, -CAST(r.value_minor AS numeric) * t.points / r.captured FROM returned AS t
           JOIN redemptions AS r ON r.customer_id = t.customer_id AND r.redeem_seq = t.debit_seq
)
SELECT arm, sum(customers), CAST(sum(issued) AS bigint), CAST(round(sum(minor)) AS bigint) FROM summed GROUP BY arm"""


def read_given(conn: Connection, experiment: str, days: int, until: datetime) -> dict[str, Given]:
    """Return by arm what came and went before ``until`` within ``days`` of each customer's exposure."""
    sql = _GIVEN.format(not_customers=NOT_CUSTOMERS)
    rows = conn.execute(text(sql), {"experiment": experiment, "days": days, "until": until})
    return {arm: Given(*figures) for arm, *figures in rows}
