"""Points that came and went, by span and by what they were: sums over entries, in one pass."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection, text

from rewards.metrics.ledger_reading.clocks import NOT_CUSTOMERS, Clock, begins, counted_at, is_before, kept

if TYPE_CHECKING:
    from rewards.metrics.source import Source

#: What becomes of outstanding points, and the kinds of entry that do it. Holds are not among them: points that are
#: set aside are still the customer's.
LINES = {
    "issued": ("award",),
    "clawed_back": ("clawback",),
    "redeemed": ("redeem",),
    "reinstated": ("reinstate",),
    "expired": ("expire", "unexpire"),
    "adjusted": ("adjust",),
}
LINE_OF = {kind: line for line, kinds in LINES.items() for kind in kinds}


class Flow(NamedTuple):
    """Points of one kind of entry on one day: signed as in the ledger.

    ``source`` is the type of activity that an award was given for, "" for all else.
    """

    day: date
    kind: str
    source: str
    points: int


_FLOWS = """
SELECT width_bucket({counted_at}, CAST(:bounds AS timestamptz[])) AS bucket, e.kind,
       CASE WHEN e.kind = 'award' THEN split_part(e.cause, ':', 1) ELSE '' END AS source,
       CAST(sum(e.points) AS bigint) AS points
FROM entries AS e
WHERE {before} AND e.customer_id NOT IN {not_customers}
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""

#: All days before this one are told as one, so that a date that makes no sense costs nothing.
_EARLIEST = date(2000, 1, 1)


def read_flows(source: "Source", at: datetime | None = None, *, clock: Clock = "occurred") -> list[Flow]:
    """Return what came and went before ``at`` (the end of ``as_of`` if not told) by day on the shop's clocks.

    It is one pass over all entries, which figures of one source share. What lies before the first day that an account
    knows of, as a backdated refund may, is told with the day before that.
    """
    until = at or source.ends_at
    return kept(source, ("flows", until, clock), lambda: _read_flows(source, until, clock))


def _read_flows(source: "Source", at: datetime, clock: Clock) -> list[Flow]:
    assert source.conn is not None
    last = (at - timedelta(microseconds=1)).astimezone(source.zone).date()
    first = first_day(source, clock=clock)
    first = last if first is None else min(max(first, _EARLIEST), last)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    sql = _FLOWS.format(counted_at=counted_at(clock), before=is_before(clock), not_customers=NOT_CUSTOMERS)
    bounds = [begins(day, source.zone) for day in days]
    rows = source.conn.execute(text(sql), {"at": at, "bounds": bounds})
    return [Flow(first + timedelta(days=bucket - 1), *row) for bucket, *row in rows]


_FIRST = """
SELECT CAST({instant} AT TIME ZONE :zone AS date) FROM accounts WHERE customer_id NOT IN {not_customers}"""


def first_day(source: "Source", *, clock: Clock = "occurred") -> date | None:
    """Return the day since when there are accounts, on the shop's clocks; None where there are none."""
    instant = "least(min(joined_at), min(created_at))" if clock == "occurred" else "min(created_at)"
    sql = _FIRST.format(instant=instant, not_customers=NOT_CUSTOMERS)

    def read() -> date | None:
        assert source.conn is not None
        found: date | None = source.conn.execute(text(sql), {"zone": source.zone.key}).scalar()
        return found

    return kept(source, ("first-day", clock), read)


_ACTIVE = """
SELECT count(*) AS active, count(*) FILTER (WHERE has_redeemed) AS redeemed FROM (
    SELECT bool_or(e.kind = 'redeem') AS has_redeemed
    FROM entries AS e
    WHERE {before} AND {counted_at} >= :since AND e.kind IN ('award', 'redeem') AND e.points <> 0
          AND e.customer_id NOT IN {not_customers}
    GROUP BY e.customer_id) AS customers"""


class Active(NamedTuple):
    """Customers who earned or redeemed points in a time, and those of them who redeemed."""

    active: int
    redeemed: int


def read_active(conn: Connection, since: datetime, until: datetime) -> Active:
    """Return how many customers earned or redeemed in ``[since, until)``, and how many of them redeemed."""
    sql = _ACTIVE.format(
        counted_at="e.occurred_at", before=is_before("occurred"), not_customers=NOT_CUSTOMERS
    )
    return Active(*conn.execute(text(sql), {"since": since, "at": until}).one())


class Redeemed(NamedTuple):
    """What redemptions were worth in one span: of those captured, and of those that came back.

    ``value_minor`` and ``returned_minor`` are at the value that the points had when they were redeemed.
    """

    bucket: int
    redemptions: int
    points: int
    value_minor: int
    returned_points: int
    returned_minor: int


_REDEEMED = """
WITH moved AS (
    SELECT e.customer_id, e.seq AS redeem_seq, e.points * -1 AS points, 0 AS returned, {counted_at} AS counted_at
    FROM entries AS e WHERE e.kind = 'redeem' AND {before} AND e.customer_id NOT IN {not_customers}
    UNION ALL
    SELECT e.customer_id, c.debit_seq, 0, -c.points, {counted_at}
    FROM entries AS e JOIN consumptions AS c ON c.customer_id = e.customer_id AND c.entry_seq = e.seq
         AND c.debit_seq <> e.seq
    WHERE e.kind = 'reinstate' AND {before} AND e.customer_id NOT IN {not_customers}
), valued AS (
    SELECT width_bucket(m.counted_at, CAST(:bounds AS timestamptz[])) AS bucket, m.points, m.returned,
           CASE WHEN m.points > 0 THEN r.value_minor ELSE 0 END AS value_minor,
           CAST(r.value_minor AS numeric) * m.returned / r.captured AS returned_minor, r.currency
    FROM moved AS m JOIN redemptions AS r ON r.customer_id = m.customer_id AND r.redeem_seq = m.redeem_seq
)
SELECT bucket, count(*) FILTER (WHERE points > 0) AS redemptions, CAST(sum(points) AS bigint) AS points,
       CAST(sum(value_minor) AS bigint) AS value_minor, CAST(sum(returned) AS bigint) AS returned_points,
       CAST(round(sum(returned_minor)) AS bigint) AS returned_minor, currency = :currency AS is_ours
FROM valued GROUP BY 1, 7 ORDER BY 1"""


def read_redeemed(
    conn: Connection, at: datetime, bounds: Sequence[datetime], currency: str
) -> tuple[list[Redeemed], int]:
    """Return what was redeemed before ``at`` by span, and how many redemptions were in other currencies."""
    sql = _REDEEMED.format(
        counted_at=counted_at("occurred"), before=is_before("occurred"), not_customers=NOT_CUSTOMERS
    )
    rows = conn.execute(text(sql), {"at": at, "bounds": list(bounds), "currency": currency}).all()
    ours = [Redeemed(*row[:-1]) for row in rows if row.is_ours]
    return ours, sum(row.redemptions for row in rows if not row.is_ours)
