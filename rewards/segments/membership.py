"""Who is in which segment: every customer's facts are held against the conditions in force, by a job.

A segment may ask how long ago the last purchase was, so that time alone moves customers in and out; therefore all are
looked at each time. What is kept is only who is in, since when it was first found there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from pydantic_core import to_json
from sqlalchemy import Connection, text

from rewards.core.database import Database
from rewards.core.progress import Progress, unheard
from rewards.core.wire import TextArray
from rewards.ledger.state import Account
from rewards.program.conditions import Conditions
from rewards.program.document import ProgramDocument
from rewards.program.facts import Occasion
from rewards.program.segments import Segment

#: So many customers are looked at in one transaction.
CHUNK_CUSTOMERS = 5_000

_ACCOUNTS = text("""
SELECT customer_id, tier, tags, purchases, spent_minor, last_purchase_at, joined_at FROM accounts
WHERE customer_id > :after ORDER BY customer_id LIMIT :most""")
_MEMBERS = text("""
SELECT customer_id, segment_id FROM segment_members WHERE customer_id > :after AND customer_id <= :last""")
_JOIN = text("""
INSERT INTO segment_members (customer_id, segment_id, since)
SELECT m.customer_id, m.segment_id, :now
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS m (customer_id text, segment_id text)
ON CONFLICT DO NOTHING""")
_LEAVE = text("""
DELETE FROM segment_members AS m
USING jsonb_to_recordset(CAST(:rows AS jsonb)) AS g (customer_id text, segment_id text)
WHERE m.customer_id = g.customer_id AND m.segment_id = g.segment_id""")
_GONE = text("DELETE FROM segment_members WHERE NOT (segment_id = ANY(:segments))")


@dataclass(slots=True)
class Counted:
    """What a look at all customers found: how many there are, how many came into a segment, and how many left one."""

    customers: int = 0
    joined: int = 0
    left: int = 0


class Sorter:
    """Tells the segments that a customer is in, by the conditions of one version."""

    def __init__(self, segments: Sequence[Segment], zone: ZoneInfo) -> None:
        self._ids = [segment.id for segment in segments]
        self._conditions = Conditions([segment.when for segment in segments], "segment")
        self._zone = zone

    def segments_of(self, account: Account, tier: str | None, now: datetime) -> list[str]:
        """Return the ids of the segments that a customer is in at ``now``."""
        occasion = Occasion(None, account, now, 0, self._zone, tier or "")
        met = self._conditions.evaluate(occasion.facts(self._conditions.names))
        return [name for name, is_in in zip(self._ids, met, strict=True) if is_in]


def refresh_members(
    database: Database,
    segments: Sequence[Segment],
    zone: ZoneInfo,
    now: datetime,
    progress: Progress = unheard,
) -> Counted:
    """Bring ``segment_members`` up to ``now``; a run that is cut short is simply done again."""
    counted = Counted()
    with database.engine.begin() as conn:
        conn.execute(_GONE, {"segments": TextArray([segment.id for segment in segments])})
    if not segments:
        return counted
    sorter = Sorter(segments, zone)
    after = ""
    while True:
        with database.engine.begin() as conn:
            rows = conn.execute(_ACCOUNTS, {"after": after, "most": CHUNK_CUSTOMERS}).all()
            if not rows:
                return counted
            last = rows[-1].customer_id
            are = {tuple(row) for row in conn.execute(_MEMBERS, {"after": after, "last": last})}
            be = {(row.customer_id, name) for row in rows for name in sorter.segments_of(*_account(row), now)}
            _write(conn, _JOIN, sorted(be - are), now=now)
            _write(conn, _LEAVE, sorted(are - be))
        counted.customers += len(rows)
        counted.joined += len(be - are)
        counted.left += len(are - be)
        progress("segments", counted.customers, None)
        after = last


def _account(row: Any) -> tuple[Account, str | None]:
    account = Account(
        row.customer_id,
        tags=row.tags,
        purchases=row.purchases,
        spent_minor=row.spent_minor,
        last_purchase_at=row.last_purchase_at,
        joined_at=row.joined_at,
    )
    return account, row.tier


def _write(conn: Connection, statement: Any, pairs: Sequence[tuple[Any, ...]], **others: Any) -> None:
    if pairs:
        rows = [{"customer_id": customer_id, "segment_id": name} for customer_id, name in pairs]
        conn.execute(statement, {"rows": to_json(rows).decode(), **others})


_COUNTS = text("SELECT segment_id, count(*) AS customers FROM segment_members GROUP BY 1")
_LOOKED_AT = text("SELECT max(finished_at) FROM job_runs WHERE name = 'segments' AND ok")
_IN_SEGMENT = text("""
SELECT m.customer_id, m.since, a.tier, a.purchases, a.spent_minor, a.last_purchase_at
FROM segment_members AS m JOIN accounts AS a ON a.customer_id = m.customer_id
WHERE m.segment_id = :segment_id AND m.customer_id > :after ORDER BY m.customer_id LIMIT :most""")


def count_members(conn: Connection) -> Mapping[str, int]:
    """Return how many customers are in each segment that has any."""
    return {row.segment_id: row.customers for row in conn.execute(_COUNTS)}


def segments_told(conn: Connection, document: ProgramDocument) -> dict[str, Any]:
    """Return the segments of a program, each with how many customers were in it when the job last looked, and when."""
    counts = count_members(conn)
    return {
        "segments": [
            {
                "id": segment.id,
                "name": segment.name,
                "when": segment.when,
                "customers": counts.get(segment.id, 0),
            }
            for segment in document.segments
        ],
        "as_of": conn.scalar(_LOOKED_AT),
    }


def read_members(conn: Connection, segment_id: str, after: str = "", most: int = 100) -> list[dict[str, Any]]:
    """Return customers in a segment with what it is about, in the order of their ids, from after ``after`` on."""
    rows = conn.execute(_IN_SEGMENT, {"segment_id": segment_id, "after": after, "most": most})
    return [dict(row) for row in rows.mappings()]


def all_members(conn: Connection, segment_id: str, at_once: int = 10_000) -> Iterator[dict[str, Any]]:
    """Yield all customers in a segment, for a download."""
    after = ""
    while rows := read_members(conn, segment_id, after, at_once):
        yield from rows
        after = rows[-1]["customer_id"]
