"""What the ledger has of each customer, read a few customers at a time, in one snapshot.

Customers come in the order of a hash of their ids. That order has nothing to do with who they are, so the first few
are a fair sample of all, at whatever point one stops, and the same ones each time.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from pydantic_core import from_json
from sqlalchemy import Connection, Row, text

from rewards.core.wire import TextArray
from rewards.ledger.standing_state import StandingGrant
from rewards.program.segments import OFFERED

#: So much is read at once: it bounds the memory, whatever the length of the history.
_ENTRIES_AT_ONCE = 4_000
_CUSTOMERS_AT_ONCE = 250


class StoredEntry(NamedTuple):
    """An entry, without what no replay needs."""

    seq: int
    kind: str
    points: int
    occurred_at: datetime
    recorded_at: datetime
    cause: str
    actor: str
    note: str | None
    idempotency_key: str | None


class StoredActivity(NamedTuple):
    """An activity as it was recorded; ``body`` is its JSON text."""

    activity_key: str
    occurred_at: datetime
    body: str
    #: What each rule gave: ``(rule_id, points)``.
    grants: list[tuple[str, int]]


class StoredRedemption(NamedTuple):
    """A redemption or hold as it was placed, and what became of it."""

    redemption_seq: int
    points: int
    captured: int
    status: str
    order_id: str | None
    occurred_at: datetime
    hold_expires_at: datetime | None


class StoredReversal(NamedTuple):
    """One refund of one order."""

    order_id: str
    refund_id: str
    amount_minor: int
    lines: dict[str, int]
    is_full: bool
    occurred_at: datetime


@dataclass(slots=True)
class History:
    """One customer's stored facts, by the number of the entry that they came with."""

    customer_id: str
    #: Time has something due that no job has booked yet.
    is_stale: bool
    #: As the shop has them today: when it gave them is not kept.
    tags: Sequence[str] = ()
    entries: list[StoredEntry] = field(default_factory=list)
    activities: dict[int, StoredActivity] = field(default_factory=dict)
    reversals: dict[int, StoredReversal] = field(default_factory=dict)
    redemptions: dict[int, StoredRedemption] = field(default_factory=dict)
    #: What was granted by hand on the ladder, and since when the shop says that the customer is a member.
    grants: list[StandingGrant] = field(default_factory=list)
    member_since: datetime | None = None
    #: Arms of experiments that were assigned.
    arms: str | None = None
    #: What campaigns have offered, each with its id, since when and until when.
    offers: Sequence[tuple[str, datetime, datetime]] = ()

    def tags_at(self, at: datetime) -> list[str]:
        """Return the tags that the customer had at an instant: the shop's are today's, campaigns' as they were."""
        shops = [tag for tag in self.tags if not tag.startswith(OFFERED)]
        return sorted(
            [*shops, *(OFFERED + name for name, since, until in self.offers if since <= at < until)]
        )

    #: Keys of the commands that only recorded an activity, to earn nothing.
    records: set[str] = field(default_factory=set)


_CUSTOMERS = text("""
SELECT customer_id, seq, tags, member_since, arms, coalesce(next_change_at <= :as_of, false) AS is_stale,
       (SELECT json_agg(json_build_array(c.campaign_id, c.drawn_at, c.offered_until)) FROM campaign_customers AS c
        WHERE c.customer_id = accounts.customer_id AND c.arm = 'program' AND c.state <> 'drawn') AS offers
FROM accounts ORDER BY md5(customer_id) COLLATE "C", customer_id""")

_ENTRIES = text("""
SELECT customer_id, seq, kind, points, occurred_at, recorded_at, cause, actor, note, idempotency_key
FROM entries WHERE customer_id = ANY(:customers) ORDER BY customer_id, seq""")

# As text: a body is validated from its JSON, and a driver that decodes it first would do that work twice.
_ACTIVITIES = text("""
SELECT customer_id, award_seq, activity_key, occurred_at, CAST(body AS text) AS body, CAST(grants AS text) AS grants
FROM activities WHERE customer_id = ANY(:customers)""")

_REVERSALS = text("""
SELECT customer_id, reversal_seq, order_id, refund_id, amount_minor, lines, is_full, occurred_at
FROM reversals WHERE customer_id = ANY(:customers)""")

_REDEMPTIONS = text("""
SELECT customer_id, redemption_seq, points, captured, status, order_id, occurred_at, hold_expires_at
FROM redemptions WHERE customer_id = ANY(:customers)""")

_GRANTS = text("""
SELECT customer_id, grant_seq, tier, granted_at, until, ended_at
FROM standing_grants WHERE customer_id = ANY(:customers) ORDER BY customer_id, grant_seq""")

# Only an activity that earned nothing may have been recorded to earn nothing.
_RECORDS = text("""
SELECT c.customer_id, c.idempotency_key
FROM unnest(:customers, :keys) AS k (customer_id, idempotency_key)
JOIN commands AS c ON c.customer_id = k.customer_id AND c.idempotency_key = k.idempotency_key
WHERE c.kind = 'record'""")


def take_snapshot(conn: Connection) -> None:
    """Let all that the transaction reads be of one instant, and let it write nothing.

    Must be the first thing that is done in the transaction.
    """
    conn.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))


def count_customers(conn: Connection) -> int:
    """Return how many customers there are."""
    return int(conn.execute(text("SELECT count(*) FROM accounts")).scalar_one())


@contextmanager
def customers_at_random(conn: Connection, as_of: datetime) -> Iterator[Iterator[Row[Any]]]:
    """Yield all customers, in an order that is the same each time and says nothing about them."""
    streamed = _CUSTOMERS.execution_options(stream_results=True, max_row_buffer=_CUSTOMERS_AT_ONCE)
    with conn.execute(streamed, {"as_of": as_of}) as rows:
        yield iter(rows)


def portions(customers: Iterator[Row[Any]], most: int | None) -> Iterator[list[Row[Any]]]:
    """Cut the first ``most`` customers (None: all) into portions that have about the same number of entries."""
    portion: list[Row[Any]] = []
    entries = 0
    for customer in islice(customers, most):
        portion.append(customer)
        entries += customer.seq
        if entries >= _ENTRIES_AT_ONCE or len(portion) >= _CUSTOMERS_AT_ONCE:
            yield portion
            portion, entries = [], 0
    if portion:
        yield portion


def read_histories(conn: Connection, customers: Sequence[Row[Any]]) -> list[History]:
    """Read all that is stored of some customers."""
    histories = {
        row.customer_id: History(
            row.customer_id,
            row.is_stale,
            row.tags,
            member_since=row.member_since,
            arms=row.arms,
            offers=[
                (name, datetime.fromisoformat(since), datetime.fromisoformat(until))
                for name, since, until in row.offers or ()
            ],
        )
        for row in customers
    }
    ids = {"customers": TextArray(histories)}
    for customer_id, *entry in conn.execute(_ENTRIES, ids):
        histories[customer_id].entries.append(StoredEntry._make(entry))
    for row in conn.execute(_ACTIVITIES, ids):
        grants = [(each["rule_id"], each["points"]) for each in from_json(row.grants)]
        stored = StoredActivity(row.activity_key, row.occurred_at, row.body, grants)
        histories[row.customer_id].activities[row.award_seq] = stored
    for customer_id, seq, *reversal in conn.execute(_REVERSALS, ids):
        histories[customer_id].reversals[seq] = StoredReversal(*reversal)
    for customer_id, *redemption in conn.execute(_REDEMPTIONS, ids):
        histories[customer_id].redemptions[redemption[0]] = StoredRedemption(*redemption)
    for customer_id, *grant in conn.execute(_GRANTS, ids):
        histories[customer_id].grants.append(StandingGrant._make(grant))
    _read_records(conn, histories)
    return list(histories.values())


def _read_records(conn: Connection, histories: dict[str, History]) -> None:
    keys = [
        (history.customer_id, entry.idempotency_key)
        for history in histories.values()
        for entry in history.entries
        if (activity := history.activities.get(entry.seq)) is not None and not activity.grants
    ]
    if keys:
        pairs = {
            "customers": TextArray([each[0] for each in keys]),
            "keys": TextArray([each[1] for each in keys]),
        }
        for customer_id, key in conn.execute(_RECORDS, pairs):
            histories[customer_id].records.add(key)
