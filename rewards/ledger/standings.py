"""Standings on their way to and from the database: what counts to tiers, moves, grants by hand, and events to send."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection, text

from rewards.core.wire import TextArray
from rewards.ledger.needs import Needs
from rewards.ledger.standing_state import Qualifying, Standing, StandingGrant, read_standing
from rewards.ledger.state import CustomerState, Decision
from rewards.program.history import ProgramHistory
from tiers.history import History
from tiers.ladder import timeline_of
from tiers.progress import Outlook, outlook

#: What counts to tiers, and what was taken back of it; what the tiers themselves gave counts to none, and what was done
#: while its customer was held out counts for nothing.
QUALIFYING = """
SELECT a.customer_id, a.occurred_at AS at, a.award_seq AS seq, a.occurred_at AS counted_on,
       a.qualifying_points AS points, a.spend_minor,
       CASE WHEN a.activity_key >= 'purchase:' AND a.activity_key < 'purchase;' AND NOT a.held_out
            THEN 1 ELSE 0 END AS orders,
       CASE WHEN a.activity_key >= 'referral:' AND a.activity_key < 'referral;' AND NOT a.held_out
            THEN 1 ELSE 0 END AS referrals,
       false AS is_return
FROM activities AS a
WHERE {of_whom} AND NOT (a.activity_key >= 'tier:' AND a.activity_key < 'tier;')
UNION ALL
SELECT a.customer_id, r.occurred_at, r.reversal_seq, a.occurred_at, -r.qualifying_points,
       CASE WHEN a.held_out THEN 0 ELSE -r.amount_minor END,
       CASE WHEN r.is_full AND NOT a.held_out THEN -1 ELSE 0 END, 0, true
FROM activities AS a
JOIN reversals AS r ON r.customer_id = a.customer_id AND 'purchase:' || r.order_id = a.activity_key
WHERE {of_whom}
UNION ALL
SELECT a.customer_id, r.occurred_at, r.retraction_seq, a.occurred_at, -r.qualifying_points, 0, 0,
       CASE WHEN a.activity_key >= 'referral:' AND a.activity_key < 'referral;' AND NOT a.held_out
            THEN -1 ELSE 0 END, true
FROM activities AS a
JOIN retractions AS r ON r.customer_id = a.customer_id AND r.activity_key = a.activity_key
WHERE {of_whom} AND NOT (a.activity_key >= 'tier:' AND a.activity_key < 'tier;')
"""

_QUALIFYING = text(QUALIFYING.format(of_whom="a.customer_id = ANY(:customers)") + "ORDER BY 1, 2, 3")
_GRANTS = text("""
SELECT customer_id, grant_seq, tier, granted_at, until, ended_at
FROM standing_grants WHERE customer_id = ANY(:customers) ORDER BY customer_id, grant_seq""")


def load_qualifying(conn: Connection, needs: Needs, states: Mapping[str, CustomerState]) -> None:
    """Bring all that counts to tiers of those customers whose standing on record will not do."""
    wanted = [
        customer_id
        for customer_id in needs.customers
        if _needs_history(needs, customer_id, states[customer_id])
    ]
    for customer_id in wanted:
        states[customer_id].qualifying = []
    known = [customer_id for customer_id in wanted if states[customer_id].exists]
    if not known:
        return
    events = _read_events_that_count(conn, known)
    # A standing is never true for longer than an instant where anything was granted by hand, now or before.
    granted = [each for each in known if _may_be_granted(states[each].account.standing)]
    grants = _read_grants(conn, granted) if granted else {}
    for customer_id in known:
        states[customer_id].qualifying = events.get(customer_id, [])
        states[customer_id].standing_grants = grants.get(customer_id, [])


def _needs_history(needs: Needs, customer_id: str, state: CustomerState) -> bool:
    if customer_id in needs.qualifying:
        return True
    moments = needs.moments.get(customer_id)
    if moments is None:
        return False
    standing = state.account.standing
    if standing is None:
        return True
    # A command that says no time may count as of a little later than now; those of one batch all count as of the same.
    is_one = len(moments) == 1 or all(each == moments[0] for each in moments)
    instants = moments[0] if is_one else [at for each in moments for at in each]
    assert needs.can_advance is not None
    wake_at = standing.wake_at
    return (wake_at is not None and wake_at <= instants[-1]) or not needs.can_advance(standing, instants)


def read_qualifying(
    conn: Connection, customers: Iterable[str]
) -> tuple[dict[str, list[Qualifying]], dict[str, list[StandingGrant]]]:
    """Return by customer what counts to tiers, in order of time, and what was granted by hand."""
    ids = list(customers)
    return _read_events_that_count(conn, ids), _read_grants(conn, ids)


def _may_be_granted(standing: Standing | None) -> bool:
    return standing is not None and standing.stale_at == standing.at


def _read_events_that_count(conn: Connection, customers: Sequence[str]) -> dict[str, list[Qualifying]]:
    events: dict[str, list[Qualifying]] = {}
    for customer_id, *event in conn.execute(_QUALIFYING, {"customers": TextArray(customers)}):
        events.setdefault(customer_id, []).append(Qualifying._make(event))
    return events


def _read_grants(conn: Connection, customers: Sequence[str]) -> dict[str, list[StandingGrant]]:
    grants: dict[str, list[StandingGrant]] = {}
    for customer_id, *grant in conn.execute(_GRANTS, {"customers": TextArray(customers)}):
        grants.setdefault(customer_id, []).append(StandingGrant._make(grant))
    return grants


_STANDINGS = text("""
SELECT customer_id, CAST(standing AS text) FROM accounts
WHERE customer_id = ANY(:customers) AND standing IS NOT NULL ORDER BY customer_id""")


def read_standings(conn: Connection, customers: Iterable[str]) -> list[tuple[str, Standing]]:
    """Return the standings on record of customers who have one."""
    rows = conn.execute(_STANDINGS, {"customers": TextArray(customers)})
    return [(customer_id, read_standing(stored)) for customer_id, stored in rows]


_MEMBER = text("SELECT member_since FROM accounts WHERE customer_id = :customer_id")


def read_outlook(
    conn: Connection, programs: ProgramHistory, customer_id: str, at: datetime
) -> Outlook | None:
    """Return a customer's standing at an instant with what follows from it; None where there is no ladder then.

    It is worked out from the history and so is true whatever the jobs have booked.
    """
    timeline = timeline_of(programs)
    if not timeline.has_ladder:
        return None
    events, grants = read_qualifying(conn, [customer_id])
    member_since = conn.execute(_MEMBER, {"customer_id": customer_id}).scalar()
    history = History(events.get(customer_id, []), grants.get(customer_id, []), member_since)
    return outlook(timeline, history, at)


_MOVES = text("""
SELECT move_seq, from_tier, to_tier, at, reason, program_version, cause, recorded_at FROM moves
WHERE customer_id = :customer_id AND move_seq < :before ORDER BY move_seq DESC LIMIT :most""")


def read_moves(conn: Connection, customer_id: str, most: int, before: int = 2**62) -> list[dict[str, Any]]:
    """Return the moves of a customer on record, the newest first."""
    given = {"customer_id": customer_id, "before": before, "most": most}
    return [dict(row) for row in conn.execute(_MOVES, given).mappings()]


_EVENTS = text("""
SELECT event_seq, event_id, customer_id, type, occurred_at, created_at, payload FROM outbox
WHERE event_seq > :after
ORDER BY event_seq LIMIT :most""")


def read_events(conn: Connection, after: int, most: int) -> list[dict[str, Any]]:
    """Return the events with numbers above ``after``, the lowest first; what is written later has higher ones."""
    return [dict(row) for row in conn.execute(_EVENTS, {"after": after, "most": most}).mappings()]


_PUT_GRANT = text("""
INSERT INTO standing_grants (customer_id, grant_seq, tier, granted_at, until, reason, actor)
VALUES (:customer_id, :grant_seq, :tier, :granted_at, :until, :reason, :actor)""")
_END_GRANTS = text("""
UPDATE standing_grants SET ended_at = :ended_at
WHERE customer_id = :customer_id AND ended_at IS NULL AND (until IS NULL OR until > :ended_at)
  AND grant_seq < :before""")

_PUT_MOVES = text("""
INSERT INTO moves (customer_id, move_seq, from_tier, to_tier, at, reason, program_version, cause, recorded_at)
SELECT m.customer_id, m.move_seq, m.from_tier, m.to_tier, m.at, m.reason, m.program_version, m.cause, :now
FROM jsonb_populate_recordset(NULL::moves, CAST(:rows AS jsonb)) AS m""")
# Numbers are given out before their transactions commit, so a lower one could appear after a higher one was read, and
# who reads on from there would miss it. One transaction at a time numbers its events, until it has committed.
#: The key of that lock ("rew_outb" in ASCII).
_NUMBERING = 0x7265775F6F757462
_PUT_EVENTS = text("""
WITH alone AS MATERIALIZED (SELECT pg_advisory_xact_lock(:key))
INSERT INTO outbox (event_id, customer_id, type, occurred_at, payload, created_at)
SELECT e.event_id, e.customer_id, e.type, e.occurred_at, e.payload, :now
FROM alone, jsonb_populate_recordset(NULL::outbox, CAST(:rows AS jsonb)) AS e""")


def write_standings(
    conn: Connection,
    moves: Sequence[dict[str, Any]],
    events: Sequence[dict[str, Any]],
    grants: Sequence[tuple[str, Decision, str]],
    now: datetime,
) -> None:
    """Store what a batch brought about besides the standings themselves, which are on the accounts.

    Args:
        conn: the batch's transaction.
        moves: rows of ``moves``, without ``recorded_at``.
        events: rows of ``outbox``, without what the database adds.
        grants: decisions that grant a standing or end what was granted, with the customer and the actor.
        now: the present.
    """
    if moves:
        conn.execute(_PUT_MOVES, {"rows": to_json(moves).decode(), "now": now})
    for customer_id, decision, actor in grants:
        grant = decision.new_grant
        if decision.grants_ended_at is not None:
            before = 2**62 if grant is None else grant.grant_seq
            conn.execute(
                _END_GRANTS,
                {"customer_id": customer_id, "ended_at": decision.grants_ended_at, "before": before},
            )
        if grant is not None:
            conn.execute(
                _PUT_GRANT,
                {
                    "customer_id": customer_id,
                    "grant_seq": grant.grant_seq,
                    "tier": grant.tier,
                    "granted_at": grant.granted_at,
                    "until": grant.until,
                    "reason": decision.grant_reason,
                    "actor": actor,
                },
            )
    if events:
        # Last of all that the batch writes: who holds this lock waits for no other.
        conn.execute(_PUT_EVENTS, {"rows": to_json(events).decode(), "now": now, "key": _NUMBERING})
