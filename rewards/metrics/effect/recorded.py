"""What is on record of customers beside their purchases: where they bought, when they joined, what counted to tiers.

Read only. Customers are the persons of the roll-ups, whose identities are merged; test and staff accounts are left out.
"""

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from rewards.metrics.orders import day_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from rewards.metrics.source import Source

NO_DATABASE = "This is read from the ledger, and there is no database here."
NO_MEMBERS = (
    "Of no customer it is known when they joined; send signup activities, or import members with the day on which each"
    " joined."
)

_HOMES = """
SELECT DISTINCT ON (p.unit_no) p.unit_no, v.home
FROM purchases AS p
JOIN customer_stats AS s ON s.unit_no = p.unit_no AND NOT s.excluded
JOIN activities AS a ON a.customer_id = p.customer_id AND a.activity_key = 'purchase:' || p.order_id
CROSS JOIN LATERAL (SELECT CASE WHEN :attribute = 'channel' THEN a.body ->> 'channel'
                                ELSE a.body -> 'attributes' ->> :attribute END AS home) AS v
WHERE p.status = 'purchase' AND p.day < :before AND v.home <> ''
ORDER BY p.unit_no, p.ordered_at DESC, p.order_id DESC"""

#: When a customer became a member: as the shop says, else by its signup; whoever has neither is none.
_JOINED = """
WITH joined AS (
    SELECT customer_id, member_since AS said, CAST(NULL AS timestamptz) AS signed_up
    FROM accounts WHERE member_since IS NOT NULL
    UNION ALL
    SELECT customer_id, joined_at, NULL FROM profiles WHERE joined_at IS NOT NULL
    UNION ALL
    SELECT customer_id, NULL, occurred_at FROM activities WHERE activity_key = 'signup'
), members AS (
    SELECT s.unit_no,
           CAST(coalesce(min(j.said), min(j.signed_up)) AT TIME ZONE :zone AS date) - DATE '1970-01-01' AS day
    FROM joined AS j
    LEFT JOIN identities AS i ON i.customer_id = j.customer_id
    JOIN customer_stats AS s ON s.customer_id = coalesce(i.same_as, j.customer_id) AND NOT s.excluded
    GROUP BY s.unit_no
    HAVING coalesce(min(j.said), min(j.signed_up)) < :ends_at
)
SELECT coalesce(array_agg(unit_no ORDER BY unit_no), '{}'), coalesce(array_agg(day ORDER BY unit_no), '{}')
FROM members"""

#: What counted to tiers by an instant: of activities since another, less what was taken back of them.
_SCORES = """
WITH counted AS (
    SELECT a.customer_id, a.qualifying_points AS points, a.spend_minor
    FROM activities AS a
    WHERE a.occurred_at >= :since AND a.occurred_at < :at
      AND NOT (a.activity_key >= 'tier:' AND a.activity_key < 'tier;')
    UNION ALL
    SELECT a.customer_id, -r.qualifying_points, -r.amount_minor
    FROM activities AS a
    JOIN reversals AS r ON r.customer_id = a.customer_id AND 'purchase:' || r.order_id = a.activity_key
    WHERE a.occurred_at >= :since AND a.occurred_at < :at AND r.occurred_at < :at
    UNION ALL
    SELECT a.customer_id, -r.qualifying_points, 0
    FROM activities AS a
    JOIN retractions AS r ON r.customer_id = a.customer_id AND r.activity_key = a.activity_key
    WHERE a.occurred_at >= :since AND a.occurred_at < :at AND r.occurred_at < :at
      AND NOT (a.activity_key >= 'tier:' AND a.activity_key < 'tier;')
), scores AS (
    SELECT customer_id, sum({measure}) AS score FROM counted GROUP BY customer_id
), stood AS (
    SELECT DISTINCT ON (customer_id) customer_id, to_tier FROM moves WHERE at < :at
    ORDER BY customer_id, move_seq DESC
)
SELECT s.unit_no, c.score, coalesce(t.to_tier = ANY(:tiers), false) AS is_in
FROM scores AS c
JOIN customer_stats AS s ON s.customer_id = c.customer_id AND NOT s.excluded
LEFT JOIN stood AS t ON t.customer_id = c.customer_id
WHERE c.score > 0
ORDER BY s.unit_no"""


def read_homes(conn: "Connection", attribute: str, before: int) -> "tuple[NDArray[np.int32], list[str]]":
    """Return who had bought before a day, ascending, and what the attribute was of their last order before it.

    Args:
        conn: on a database whose facts are up to date.
        attribute: of orders: ``channel``, or the name of one of their attributes.
        before: a day number.
    """
    import numpy as np
    from sqlalchemy import text

    rows = conn.execute(text(_HOMES), {"attribute": attribute, "before": day_of(before)}).all()
    return np.array([row[0] for row in rows], dtype=np.int32), [row[1] for row in rows]


def read_joined(source: "Source") -> "tuple[NDArray[np.int32], NDArray[np.int64]]":
    """Return who had joined by the end of the source's day, ascending, and the day number on which each had."""
    import numpy as np
    from sqlalchemy import text

    assert source.conn is not None
    given = {"zone": source.zone.key, "ends_at": source.ends_at}
    units, days = source.conn.execute(text(_JOINED), given).one()
    return np.array(units, dtype=np.int32), np.array(days, dtype=np.int64)


class Scores(NamedTuple):
    """Who had anything that counts to tiers, ascending; how much; and whether they were in the tier or a higher one."""

    unit: "NDArray[np.int32]"
    score: "NDArray[np.float64]"
    is_in: "NDArray[np.bool_]"


def read_scores(conn: "Connection", measure: str, since: datetime, at: datetime, tiers: list[str]) -> Scores:
    """Return what counted to tiers of what happened in ``[since, at)``, and who was in one of ``tiers`` at ``at``.

    Customers who are the same person are not put together here: the ladder knows them apart.

    Args:
        conn: the database.
        measure: ``points`` or ``spend_minor``.
        since: where the ladder's window begins.
        at: where it ends.
        tiers: ids of the tier and of those above it.
    """
    import numpy as np
    from sqlalchemy import text

    assert measure in ("points", "spend_minor")
    given = {"since": since, "at": at, "tiers": tiers}
    rows = conn.execute(text(_SCORES.format(measure=measure)), given).all()
    return Scores(
        np.array([row[0] for row in rows], dtype=np.int32),
        np.array([float(row[1]) for row in rows], dtype=float),
        np.array([row[2] for row in rows], dtype=bool),
    )
