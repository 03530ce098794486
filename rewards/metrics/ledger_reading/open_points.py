"""The points that customers had at an instant, by what they are: what liability is made of.

The ledger is read backwards: from what is left in lots today to what was left then, by undoing the entries that count
from then on. So a question about yesterday costs what happened since yesterday. What time has done by then counts
whether or not a job has booked it, as everywhere: a lot past its expiry is worth nothing.

A few customers had something that an aggregate cannot see through: a debt beside points, which backdated entries leave,
or a hold that lapsed unbooked. :func:`rewards.ledger.balances.balance_at` works those out, one by one, as it does for
every statement that a customer sees.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from rewards.core.wire import TextArray
from rewards.ledger.balances import Balance, Credit, Hold, Taking, balance_at
from rewards.metrics.ledger_reading.clocks import NOT_CUSTOMERS, Clock, edges, is_before

#: Ages of lots, in days since they were awarded: the first is up to 30 days.
AGES = (30, 90, 180, 365)
#: Days that lots have to live: the first is up to 30 days.
LIVES = (30, 90, 180, 365)
NEVER = -1


class Cell(NamedTuple):
    """Points in lots that are alike: ``age`` and ``life`` are places among AGES and LIVES, ``life`` may be NEVER."""

    tier: str | None
    is_pending: bool
    age: int
    life: int
    points: int


@dataclass
class OpenPoints:
    """What customers had.

    Attributes:
        at: the instant.
        cells: what is in lots that live: available and pending.
        held: points set aside by holds, by tier.
        owed: points that customers owe after refunds of points that were spent.
        due: what had expired by then and is not booked so, by the spans asked for.
    """

    at: datetime
    cells: list[Cell] = field(default_factory=list)
    held: dict[str | None, int] = field(default_factory=lambda: defaultdict(int))
    owed: int = 0
    due: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def available(self) -> int:
        """Points that could be spent."""
        return sum(cell.points for cell in self.cells if not cell.is_pending)

    @property
    def pending(self) -> int:
        """Points that were still to become available."""
        return sum(cell.points for cell in self.cells if cell.is_pending)

    @property
    def on_hold(self) -> int:
        """Points set aside."""
        return sum(self.held.values())

    @property
    def outstanding(self) -> int:
        """All of these together: what customers may still spend."""
        return self.available + self.pending + self.on_hold

    @property
    def net(self) -> int:
        """The same less what is owed: the sum of all entries but holds, and of what time has done unbooked."""
        return self.outstanding - self.owed

    def by_tier(self) -> dict[str | None, int]:
        """Return the outstanding points of the customers in each tier; None is in none."""
        points: dict[str | None, int] = defaultdict(int, self.held)
        for cell in self.cells:
            points[cell.tier] += cell.points
        return dict(points)


#: The lots of then: those with something left today and those that entries since have touched.
_THEN = """
WITH nobody AS MATERIALIZED (
    {not_customers}
), later AS MATERIALIZED (
    SELECT e.customer_id, e.seq, e.kind, e.points, e.cause FROM entries AS e WHERE NOT {before}
), undone AS MATERIALIZED (
    SELECT c.customer_id, c.lot_seq, CAST(sum(c.points) AS bigint) AS points
    FROM later AS e JOIN consumptions AS c ON c.customer_id = e.customer_id AND c.entry_seq = e.seq
    GROUP BY c.customer_id, c.lot_seq
), touched AS (
    SELECT l.customer_id, l.lot_seq, l.points, l.available_at, l.expires_at, l.expires_on_inactivity,
           l.remaining + coalesce(u.points, 0) AS points_left
    FROM lots AS l LEFT JOIN undone AS u ON u.customer_id = l.customer_id AND u.lot_seq = l.lot_seq
    WHERE l.remaining > 0
    UNION ALL
    SELECT l.customer_id, l.lot_seq, l.points, l.available_at, l.expires_at, l.expires_on_inactivity, u.points
    FROM undone AS u JOIN lots AS l ON l.customer_id = u.customer_id AND l.lot_seq = u.lot_seq AND l.remaining = 0
), left_then AS MATERIALIZED (
    SELECT l.*, e.seq IS NULL AS was_there
    FROM touched AS l LEFT JOIN later AS e ON e.customer_id = l.customer_id AND e.seq = l.lot_seq
    WHERE l.customer_id NOT IN (SELECT customer_id FROM nobody)
), credited AS MATERIALIZED (
    SELECT l.customer_id, l.lot_seq, l.points_left, l.available_at,
           CASE WHEN NOT l.expires_on_inactivity THEN l.expires_at
                ELSE (SELECT a.inactive_at FROM accounts AS a WHERE a.customer_id = l.customer_id) END AS expires_at
    FROM left_then AS l WHERE l.was_there AND l.points_left <> 0
), owing AS MATERIALIZED (
    SELECT customer_id, CAST(sum(points) AS bigint) AS points FROM (
        SELECT customer_id, deficit AS points FROM accounts WHERE deficit > 0
        UNION ALL SELECT customer_id, -points FROM undone WHERE lot_seq = 0) AS d
    WHERE customer_id NOT IN (SELECT customer_id FROM nobody) GROUP BY customer_id HAVING sum(points) <> 0
), holding AS MATERIALIZED (
    SELECT customer_id, CAST(sum(points) AS bigint) AS points FROM (
        SELECT customer_id, held AS points FROM accounts WHERE held > 0
        UNION ALL SELECT customer_id, points FROM later WHERE kind IN ('hold', 'release')) AS h
    WHERE customer_id NOT IN (SELECT customer_id FROM nobody) GROUP BY customer_id HAVING sum(points) <> 0
), askew AS MATERIALIZED (
    SELECT customer_id FROM credited WHERE points_left < 0
    UNION SELECT customer_id FROM left_then WHERE NOT was_there AND points_left <> points
    UNION SELECT o.customer_id FROM owing AS o
          WHERE o.points < 0 OR EXISTS (SELECT FROM credited AS l WHERE l.customer_id = o.customer_id)
    UNION SELECT h.customer_id FROM holding AS h JOIN redemptions AS r
          ON r.customer_id = h.customer_id AND r.hold_expires_at <= :at
          WHERE r.status = 'held' OR EXISTS (
              SELECT FROM later AS e WHERE e.customer_id = r.customer_id AND e.kind = 'release'
              AND e.cause = 'redemption:' || r.redemption_seq)
), standing_then AS (
    SELECT DISTINCT ON (m.customer_id) m.customer_id, m.to_tier FROM moves AS m
    WHERE {tiers} AND {moved} < :at ORDER BY m.customer_id, m.move_seq DESC
)"""

_SUMS = """
SELECT 'lots' AS what, s.to_tier AS tier, l.available_at > :at AS is_pending,
       {age} AS age,
       coalesce(width_bucket(l.expires_at, CAST(:lives AS timestamptz[])), -1) AS life,
       CAST(sum(l.points_left) AS bigint) AS points, NULL AS customer_id
FROM credited AS l {awarded} LEFT JOIN standing_then AS s ON s.customer_id = l.customer_id
WHERE (l.expires_at IS NULL OR l.expires_at > :at)
      AND NOT EXISTS (SELECT FROM askew AS k WHERE k.customer_id = l.customer_id)
GROUP BY 2, 3, 4, 5
UNION ALL
SELECT 'due', NULL, false, 0, width_bucket(l.expires_at - interval '1 microsecond', CAST(:bounds AS timestamptz[])),
       CAST(sum(l.points_left) AS bigint), NULL
FROM credited AS l
WHERE l.expires_at <= :at AND NOT EXISTS (SELECT FROM askew AS k WHERE k.customer_id = l.customer_id)
GROUP BY 5
UNION ALL
SELECT 'held', s.to_tier, false, 0, 0, CAST(sum(h.points) AS bigint), NULL
FROM holding AS h LEFT JOIN standing_then AS s USING (customer_id)
WHERE NOT EXISTS (SELECT FROM askew AS k WHERE k.customer_id = h.customer_id) GROUP BY 2
UNION ALL
SELECT 'owed', NULL, false, 0, 0, CAST(sum(o.points) AS bigint), NULL
FROM owing AS o WHERE NOT EXISTS (SELECT FROM askew AS k WHERE k.customer_id = o.customer_id)
HAVING count(*) > 0
UNION ALL
SELECT 'askew', s.to_tier, false, 0, 0, 0, k.customer_id
FROM askew AS k LEFT JOIN standing_then AS s USING (customer_id)
"""

_AGE = "width_bucket(e.occurred_at, CAST(:ages AS timestamptz[]))"
_AWARDED = "JOIN entries AS e ON e.customer_id = l.customer_id AND e.seq = l.lot_seq"

_BY_CUSTOMER = """
SELECT customer_id, max(tier) AS tier, CAST(sum(available) AS bigint) AS available,
       CAST(sum(pending) AS bigint) AS pending, CAST(sum(held) AS bigint) AS held,
       CAST(sum(owed) AS bigint) AS owed, min(oldest) AS oldest, bool_or(is_askew) AS is_askew
FROM (
    SELECT l.customer_id, NULL AS tier, CASE WHEN l.available_at <= :at THEN l.points_left ELSE 0 END AS available,
           CASE WHEN l.available_at > :at THEN l.points_left ELSE 0 END AS pending, 0 AS held, 0 AS owed,
           e.occurred_at AS oldest, false AS is_askew
    FROM credited AS l JOIN entries AS e ON e.customer_id = l.customer_id AND e.seq = l.lot_seq
    WHERE l.expires_at IS NULL OR l.expires_at > :at
    UNION ALL SELECT customer_id, NULL, 0, 0, points, 0, NULL, false FROM holding
    UNION ALL SELECT customer_id, NULL, 0, 0, 0, points, NULL, false FROM owing
    UNION ALL SELECT customer_id, NULL, 0, 0, 0, 0, NULL, true FROM askew
    UNION ALL SELECT customer_id, to_tier, 0, 0, 0, 0, NULL, false FROM standing_then
) AS parts
GROUP BY customer_id HAVING bool_or(is_askew) OR sum(available + pending + held + owed) > 0"""


def _then(clock: Clock, by_tier: bool) -> str:
    return _THEN.format(
        before=is_before(clock),
        not_customers=NOT_CUSTOMERS,
        tiers="true" if by_tier else "false",
        moved="m.at" if clock == "occurred" else "m.recorded_at",
    )


def read_open_points(
    conn: Connection,
    at: datetime,
    *,
    clock: Clock = "occurred",
    by_tier: bool = False,
    by_age: bool = True,
    bounds: Sequence[datetime] = (),
) -> OpenPoints:
    """Return the points that customers had just as ``at`` came, in at most four statements.

    Args:
        conn: reads only.
        at: the instant: what occurred at it or later does not count, what expired by it does.
        clock: what "before" goes by.
        by_tier: whether cells and holds are told apart by the tier that customers were in.
        by_age: whether cells are told apart by age; all are of the youngest otherwise.
        bounds: instants in order; ``due`` is told by the place among them.
    """
    parameters = {
        "at": at,
        "bounds": list(bounds) or [at],
        # Buckets begin with the oldest; from there a lot's age falls.
        "ages": edges(at, [-days for days in reversed(AGES)]),
        "lives": edges(at, LIVES),
    }
    found = OpenPoints(at)
    askew: dict[str, str | None] = {}
    sums = _SUMS.format(age=_AGE if by_age else len(AGES), awarded=_AWARDED if by_age else "")
    for row in conn.execute(text(_then(clock, by_tier) + sums), parameters):
        if row.what == "lots":
            found.cells.append(Cell(row.tier, row.is_pending, len(AGES) - row.age, row.life, row.points))
        elif row.what == "due":
            found.due[row.life] += row.points
        elif row.what == "held":
            found.held[row.tier] += row.points
        elif row.what == "owed":
            found.owed += row.points
        else:
            askew[row.customer_id] = row.tier
    for customer_id, (balance, credited) in _balances(conn, at, clock, list(askew)).items():
        _add(found, askew[customer_id], balance, credited)
    return found


def _add(found: OpenPoints, tier: str | None, balance: Balance, credited: dict[int, datetime]) -> None:
    """Add a customer whose balance was worked out alone."""
    for lot in balance.lots:
        age = sum(days < (balance.at - credited[lot.lot_seq]).total_seconds() / 86_400 for days in AGES)
        life = NEVER
        if lot.expires_at is not None:
            life = sum(edge <= lot.expires_at for edge in edges(balance.at, LIVES))
        found.cells.append(Cell(tier, lot.available_at > balance.at, age, life, lot.points))
    if balance.held:
        found.held[tier] += balance.held
    found.owed += balance.deficit


class Holder(NamedTuple):
    """What one customer had; ``oldest`` is when the oldest of the points were awarded."""

    customer_id: str
    tier: str | None
    available: int
    pending: int
    held: int
    owed: int
    oldest: datetime | None

    @property
    def points(self) -> int:
        """All that the customer may still spend."""
        return self.available + self.pending + self.held


def read_holders(conn: Connection, at: datetime, *, clock: Clock = "occurred") -> list[Holder]:
    """Return who had points, or owed any, just as ``at`` came: who had most first."""
    rows = conn.execute(text(_then(clock, by_tier=True) + _BY_CUSTOMER), {"at": at}).all()
    askew = [row.customer_id for row in rows if row.is_askew]
    holders = [Holder(*row[:-1]) for row in rows if not row.is_askew]
    tiers = {row.customer_id: row.tier for row in rows}
    for customer_id, (balance, credited) in _balances(conn, at, clock, askew).items():
        oldest = min((credited[lot.lot_seq] for lot in balance.lots), default=None)
        amounts = (balance.available, balance.pending, balance.held, balance.deficit)
        if any(amounts):
            holders.append(Holder(customer_id, tiers[customer_id], *amounts, oldest))
    return sorted(holders, key=lambda each: (-each.points, each.customer_id))


_LOTS = """
SELECT l.customer_id, l.lot_seq, l.points, e.occurred_at, l.available_at, l.expires_at, l.expires_on_inactivity,
       l.written_off, a.inactive_at
FROM lots AS l JOIN entries AS e ON e.customer_id = l.customer_id AND e.seq = l.lot_seq AND {before}
JOIN accounts AS a ON a.customer_id = l.customer_id
WHERE l.customer_id = ANY(:customers)"""
_TAKINGS = """
SELECT c.customer_id, c.entry_seq, c.lot_seq, c.debit_seq, c.points
FROM consumptions AS c JOIN entries AS e ON e.customer_id = c.customer_id AND e.seq = c.entry_seq AND {before}
WHERE c.customer_id = ANY(:customers)"""
_HOLDS = """
SELECT customer_id, redemption_seq, hold_expires_at FROM redemptions
WHERE customer_id = ANY(:customers) AND hold_expires_at IS NOT NULL"""


def _balances(
    conn: Connection, at: datetime, clock: Clock, customers: list[str]
) -> dict[str, tuple[Balance, dict[int, datetime]]]:
    """Return what these customers had, each with when its lots were awarded."""
    if not customers:
        return {}
    lots: dict[str, list[Any]] = defaultdict(list)
    takings: dict[str, list[Taking]] = defaultdict(list)
    holds: dict[str, list[Hold]] = defaultdict(list)
    inactive_at: dict[str, datetime | None] = {}
    which = {"at": at, "customers": TextArray(customers)}
    before = is_before(clock)
    # All rows count before the instant, so they are given as if they had just occurred.
    just = datetime.min.replace(tzinfo=UTC)
    for customer_id, *lot, until in conn.execute(text(_LOTS.format(before=before)), which):
        lots[customer_id].append(lot)
        inactive_at[customer_id] = until
    for customer_id, *taking in conn.execute(text(_TAKINGS.format(before=before)), which):
        takings[customer_id].append(Taking(just, *taking))
    for customer_id, *hold in conn.execute(text(_HOLDS), {"customers": which["customers"]}):
        holds[customer_id].append(Hold(*hold))
    found = {}
    for customer_id in customers:
        mine = lots[customer_id]
        credits_ = [Credit(lot[0], lot[1], just, *lot[3:]) for lot in mine]
        balance = balance_at(
            credits_, takings[customer_id], holds[customer_id], inactive_at.get(customer_id), at
        )
        found[customer_id] = (balance, {lot[0]: lot[2] for lot in mine})
    return found
