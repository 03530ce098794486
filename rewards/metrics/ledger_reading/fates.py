"""What became of the points of each month of award: redeemed, expired or taken back, by how old they were then."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, text

from rewards.metrics.ledger_reading.clocks import NOT_CUSTOMERS, counted_at, is_before

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Customers fall into so many groups, by a hash of their id, so that an estimate can be made without each of them.
GROUPS = 16
REDEEMED, EXPIRED, TAKEN = range(3)


class Fates(NamedTuple):
    """Points by month of award and by group of customers.

    Attributes:
        issued: what was credited: months by groups, int64.
        gone: what left, net of what came back: months by groups by months of age by fate, int64.
    """

    issued: "NDArray[np.int64]"
    gone: "NDArray[np.int64]"


# What an entry moves on its own behalf pays a debt that a refund left: those points were never the customer's to keep.
_GONE = """
WITH lots_credited AS (
    SELECT l.customer_id, l.lot_seq, l.points, l.remaining, hashtext(l.customer_id) & {last_group} AS part,
           width_bucket({counted_at}, CAST(:bounds AS timestamptz[])) AS month, l.expires_at, l.expires_on_inactivity
    FROM lots AS l JOIN entries AS e ON e.customer_id = l.customer_id AND e.seq = l.lot_seq
    WHERE {before} AND l.customer_id NOT IN {not_customers}
), exits AS (
    SELECT c.customer_id, c.lot_seq, c.points, width_bucket({counted_at}, CAST(:bounds AS timestamptz[])) AS month,
           CASE WHEN e.kind = 'redeem' OR (e.kind = 'reinstate' AND c.debit_seq <> e.seq) THEN {redeemed}
                WHEN e.kind IN ('expire', 'unexpire') THEN {expired} ELSE {taken} END AS fate
    FROM consumptions AS c JOIN entries AS e ON e.customer_id = c.customer_id AND e.seq = c.entry_seq
    WHERE {before} AND c.lot_seq > 0 AND NOT (e.kind = 'hold' OR (e.kind = 'release' AND c.debit_seq <> e.seq))
    UNION ALL
    SELECT l.customer_id, l.lot_seq, l.remaining,
           width_bucket(coalesce(a.inactive_at, l.expires_at) - interval '1 microsecond',
                        CAST(:bounds AS timestamptz[])),
           {expired}
    FROM lots AS l LEFT JOIN accounts AS a ON l.expires_on_inactivity AND a.customer_id = l.customer_id
    WHERE l.remaining > 0 AND coalesce(a.inactive_at, l.expires_at) <= :at
)
SELECT l.month, l.part, 0 AS age, -1 AS fate, CAST(sum(l.points) AS bigint) AS points
FROM lots_credited AS l WHERE l.month > 0 GROUP BY 1, 2
UNION ALL
SELECT l.month, l.part, greatest(x.month - l.month, 0), x.fate, CAST(sum(x.points) AS bigint)
FROM exits AS x JOIN lots_credited AS l ON l.customer_id = x.customer_id AND l.lot_seq = x.lot_seq
WHERE l.month > 0 GROUP BY 1, 2, 3, 4"""


def read_fates(conn: Connection, at: datetime, bounds: Sequence[datetime]) -> Fates:
    """Return what became, before ``at``, of the points awarded in the months that begin at ``bounds``."""
    import numpy as np

    sql = _GONE.format(
        last_group=GROUPS - 1,
        counted_at=counted_at("occurred"),
        before=is_before("occurred"),
        not_customers=NOT_CUSTOMERS,
        redeemed=REDEEMED,
        expired=EXPIRED,
        taken=TAKEN,
    )
    months = len(bounds)
    issued = np.zeros((months, GROUPS), dtype=np.int64)
    gone = np.zeros((months, GROUPS, months, 3), dtype=np.int64)
    rows: Sequence[Any] = conn.execute(text(sql), {"at": at, "bounds": list(bounds)}).all()
    for month, part, age, fate, points in rows:
        if fate < 0:
            issued[month - 1, part] += points
        else:
            gone[month - 1, part, age, fate] += points
    return Fates(issued, gone)
