"""The ledger's invariants (DESIGN §6) as plain SQL on the stored rows.

This is an oracle of its own beside ``rewards check``: it shares no code with it. Each query returns the rows that
break the invariant it is named after, so an empty answer is a good one.
"""

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, text

# What entries of a kind can do to a balance.
_CREDITS = "('award', 'reinstate', 'release', 'unexpire')"
_DEBITS = "('clawback', 'redeem', 'hold', 'expire')"

BREAKS = {
    "entries are gapless": """
        SELECT customer_id, seq, 'follows ' || before FROM (
            SELECT customer_id, seq, lag(seq, 1, 0::bigint) OVER (PARTITION BY customer_id ORDER BY seq) AS before
            FROM entries) AS e
        WHERE seq <> before + 1""",
    "balance_after is the running sum": """
        SELECT customer_id, seq, balance_after || ' is not ' || total FROM (
            SELECT customer_id, seq, balance_after, sum(points) OVER (PARTITION BY customer_id ORDER BY seq) AS total
            FROM entries) AS e
        WHERE balance_after <> total""",
    "an entry's sign fits its kind": f"""
        SELECT customer_id, seq, kind || ' ' || points FROM entries
        WHERE (kind IN {_CREDITS} AND points < 0) OR (kind IN {_DEBITS} AND points > 0)""",
    "the account's head is the last entry": """
        SELECT customer_id, a.seq, 'last entry is ' || coalesce(e.seq, 0) FROM accounts AS a
        FULL JOIN (SELECT DISTINCT ON (customer_id) customer_id, seq, digest, balance_after
                   FROM entries ORDER BY customer_id, seq DESC) AS e USING (customer_id)
        WHERE (a.seq, a.digest, a.balance) IS DISTINCT FROM (e.seq, e.digest, e.balance_after)""",
    "an entry's points are those of its lot and consumptions": """
        SELECT e.customer_id, e.seq, e.kind || ' ' || e.points FROM entries AS e
        LEFT JOIN lots AS l ON (l.customer_id, l.lot_seq) = (e.customer_id, e.seq)
        LEFT JOIN (SELECT customer_id, entry_seq, sum(points) AS points FROM consumptions GROUP BY 1, 2) AS c
            ON (c.customer_id, c.entry_seq) = (e.customer_id, e.seq)
        WHERE e.points <> coalesce(l.points, 0) - coalesce(c.points, 0)""",
    "consumptions belong to an entry": """
        SELECT customer_id, c.entry_seq, 'lot ' || c.lot_seq FROM consumptions AS c
        WHERE NOT EXISTS (SELECT FROM entries AS e WHERE (e.customer_id, e.seq) = (c.customer_id, c.entry_seq))
           OR NOT EXISTS (SELECT FROM entries AS e WHERE (e.customer_id, e.seq) = (c.customer_id, c.debit_seq))
           OR (c.lot_seq > 0
               AND NOT EXISTS (SELECT FROM lots AS l WHERE (l.customer_id, l.lot_seq) = (c.customer_id, c.lot_seq)))""",
    "what another entry does on a debit's account is to give back": """
        SELECT customer_id, entry_seq, 'debit ' || debit_seq FROM consumptions
        WHERE entry_seq <> debit_seq AND (points > 0 OR lot_seq = 0)""",
    "a debt is paid by what comes in": f"""
        SELECT c.customer_id, c.entry_seq, e.kind FROM consumptions AS c
        JOIN entries AS e ON (e.customer_id, e.seq) = (c.customer_id, c.entry_seq)
        WHERE c.lot_seq = 0 AND c.points < 0 AND e.kind NOT IN {_CREDITS} AND NOT (e.kind = 'adjust' AND e.points > 0)""",
    "a lot was opened by a credit": """
        SELECT l.customer_id, l.lot_seq, coalesce(e.kind, 'no entry') FROM lots AS l
        LEFT JOIN entries AS e ON (e.customer_id, e.seq) = (l.customer_id, l.lot_seq)
        WHERE coalesce(e.kind NOT IN ('award', 'adjust') OR e.points <> l.points, true)""",
    "what remains of a lot is what was not consumed": """
        SELECT l.customer_id, l.lot_seq, l.remaining || ' of ' || l.points FROM lots AS l
        LEFT JOIN (SELECT customer_id, lot_seq, sum(points) AS points FROM consumptions GROUP BY 1, 2) AS c
            USING (customer_id, lot_seq)
        WHERE l.remaining <> l.points - coalesce(c.points, 0) OR l.remaining < 0""",
    "a lot is never overdrawn nor overfilled, at any entry": """
        SELECT customer_id, entry_seq, 'lot ' || lot_seq || ' at ' || so_far FROM (
            SELECT customer_id, entry_seq, lot_seq,
                   sum(sum(points)) OVER (PARTITION BY customer_id, lot_seq ORDER BY entry_seq) AS so_far
            FROM consumptions WHERE lot_seq > 0 GROUP BY 1, 2, 3) AS c
        JOIN lots AS l USING (customer_id, lot_seq)
        WHERE so_far < 0 OR so_far > l.points""",
    "a lot's expired points are those that its expiries took": """
        SELECT l.customer_id, l.lot_seq, l.expired || ' expired' FROM lots AS l
        LEFT JOIN (SELECT c.customer_id, c.lot_seq, sum(c.points) AS points FROM consumptions AS c
                   JOIN entries AS e ON (e.customer_id, e.seq) = (c.customer_id, c.entry_seq)
                   WHERE e.kind IN ('expire', 'unexpire') GROUP BY 1, 2) AS c USING (customer_id, lot_seq)
        WHERE l.expired <> coalesce(c.points, 0)""",
    "what a refund could not take is taken when it comes back": """
        SELECT customer_id, lot_seq, written_off || ' written off, ' || remaining || ' left' FROM lots
        WHERE written_off > 0 AND remaining > 0""",
    "an account's balances are those of its lots, holds and debt": """
        SELECT customer_id, a.seq, concat_ws(' ', a.available, a.pending, a.held, a.deficit) FROM accounts AS a
        LEFT JOIN (SELECT customer_id, sum(remaining) AS points FROM lots GROUP BY 1) AS l USING (customer_id)
        LEFT JOIN (SELECT l.customer_id, sum(l.remaining) AS points FROM lots AS l
                   JOIN accounts AS a USING (customer_id) WHERE l.available_at > a.as_of GROUP BY 1) AS p
            USING (customer_id)
        LEFT JOIN (SELECT customer_id, sum(points) AS points FROM redemptions WHERE status = 'held' GROUP BY 1) AS h
            USING (customer_id)
        LEFT JOIN (SELECT customer_id, sum(points) AS points FROM consumptions WHERE lot_seq = 0 GROUP BY 1) AS d
            USING (customer_id)
        WHERE a.available + a.pending <> coalesce(l.points, 0) OR a.pending <> coalesce(p.points, 0)
           OR a.held <> coalesce(h.points, 0) OR a.deficit <> coalesce(d.points, 0)
           OR a.balance <> a.available + a.pending - a.deficit
           OR (a.deficit > 0 AND a.available + a.pending > 0)""",
    "nothing that time does was due when the account was written": """
        SELECT a.customer_id, l.lot_seq, 'expired before ' || a.as_of FROM accounts AS a JOIN lots AS l USING (customer_id)
        WHERE l.remaining > 0 AND CASE WHEN expires_on_inactivity THEN a.inactive_at ELSE l.expires_at END <= a.as_of
        UNION ALL
        SELECT a.customer_id, r.redemption_seq, 'lapsed before ' || a.as_of
        FROM accounts AS a JOIN redemptions AS r USING (customer_id)
        WHERE r.status = 'held' AND r.hold_expires_at <= a.as_of""",
    "next_change_at is no later than what time does next": """
        SELECT a.customer_id, a.seq, a.next_change_at || ' is later than ' || min(due.at) FROM accounts AS a
        JOIN (SELECT customer_id, available_at AS at FROM lots WHERE remaining > 0 UNION ALL
              SELECT customer_id, CASE WHEN expires_on_inactivity THEN inactive_at ELSE expires_at END
              FROM lots JOIN accounts USING (customer_id) WHERE remaining > 0 UNION ALL
              SELECT customer_id, hold_expires_at FROM redemptions WHERE status = 'held') AS due USING (customer_id)
        WHERE due.at > a.as_of GROUP BY 1, 2, a.next_change_at
        HAVING coalesce(a.next_change_at > min(due.at), true)""",
    "a hold is resolved exactly once": """
        SELECT r.customer_id, r.redemption_seq, r.status || ', released ' || count(e.seq) || ' times'
        FROM redemptions AS r
        JOIN entries AS h ON (h.customer_id, h.seq, h.kind) = (r.customer_id, r.redemption_seq, 'hold')
        LEFT JOIN entries AS e ON (e.customer_id, e.kind, e.cause) = (r.customer_id, 'release', 'redemption:' || r.redemption_seq)
        GROUP BY r.customer_id, r.redemption_seq
        HAVING count(e.seq) <> CASE WHEN r.status = 'held' THEN 0 ELSE 1 END OR coalesce(sum(e.points) <> r.points, false)""",
    "a redemption took what it captured": """
        SELECT r.customer_id, r.redemption_seq, r.status || ' ' || r.captured FROM redemptions AS r
        LEFT JOIN entries AS e ON (e.customer_id, e.kind, e.cause) = (r.customer_id, 'redeem', 'redemption:' || r.redemption_seq)
        GROUP BY r.customer_id, r.redemption_seq
        HAVING coalesce(sum(e.points), 0) <> -r.captured OR count(e.seq) > 1
            OR (r.captured > 0) <> (r.status IN ('captured', 'reversed'))
            OR (r.reinstated = r.captured AND r.captured > 0) <> (r.status = 'reversed')""",
    "what a redemption took and gave back, lot by lot, is what is out": """
        SELECT r.customer_id, r.redemption_seq, r.captured || ' less ' || r.reinstated FROM redemptions AS r
        LEFT JOIN consumptions AS c ON (c.customer_id, c.debit_seq) = (r.customer_id, coalesce(r.redeem_seq, r.redemption_seq))
        GROUP BY r.customer_id, r.redemption_seq
        HAVING coalesce(sum(c.points), 0)
            <> CASE WHEN r.status = 'held' THEN r.points ELSE r.captured - r.reinstated END""",
    "no debit gave a lot more back than it took": """
        SELECT customer_id, debit_seq, 'lot ' || lot_seq || ' got ' || -sum(points) FROM consumptions
        WHERE lot_seq > 0 AND (customer_id, debit_seq) NOT IN (
            SELECT customer_id, seq FROM entries WHERE kind = 'unexpire')
        GROUP BY customer_id, debit_seq, lot_seq HAVING sum(points) < 0""",
    "an order's refunds take no more than it gave": """
        SELECT customer_id, award_seq, activity_key FROM (
            SELECT a.customer_id, a.award_seq, a.activity_key, g.at, (g.value ->> 'points')::bigint AS given,
                   coalesce(sum((r.by_grant::jsonb ->> (g.at - 1)::int)::bigint), 0) AS taken,
                   coalesce(bool_or(r.is_full), false) AS is_full
            FROM activities AS a CROSS JOIN jsonb_array_elements(a.grants::jsonb) WITH ORDINALITY AS g (value, at)
            LEFT JOIN reversals AS r ON r.customer_id = a.customer_id AND a.activity_key = 'purchase:' || r.order_id
            GROUP BY a.customer_id, a.award_seq, a.activity_key, g.at, g.value) AS grants
        WHERE taken > given OR (is_full AND taken <> given)""",
    "a refund's entry took what the refund says": """
        SELECT r.customer_id, r.reversal_seq, r.order_id || ' ' || r.refund_id FROM reversals AS r
        LEFT JOIN entries AS e ON (e.customer_id, e.seq, e.kind) = (r.customer_id, r.reversal_seq, 'clawback')
        WHERE coalesce(e.points <> -r.clawed_back, true)
           OR r.clawed_back + r.written_off <> (SELECT coalesce(sum(part::bigint), 0)
                                                FROM jsonb_array_elements_text(r.by_grant::jsonb) AS part)""",
    "an award's entry gave what the activity says": """
        SELECT a.customer_id, a.award_seq, a.activity_key FROM activities AS a
        LEFT JOIN (
            SELECT customer_id, cause, sum(points) AS points FROM entries WHERE kind = 'award' GROUP BY 1, 2
        ) AS e ON (e.customer_id, e.cause) = (a.customer_id, a.activity_key)
        WHERE coalesce(e.points <> a.points, true)
           OR a.points <> (SELECT coalesce(sum((g ->> 'points')::bigint), 0) FROM jsonb_array_elements(a.grants::jsonb) AS g)""",
    "every accepted command is in the ledger, and every refused one is not": """
        SELECT c.customer_id, count(e.seq), c.idempotency_key || ' ' || c.status FROM commands AS c
        LEFT JOIN entries AS e USING (customer_id, idempotency_key)
        GROUP BY c.customer_id, c.idempotency_key, c.status HAVING (c.status < 300) <> (count(e.seq) > 0)
        UNION ALL
        SELECT e.customer_id, e.seq, 'no command ' || e.idempotency_key FROM entries AS e
        LEFT JOIN commands AS c USING (customer_id, idempotency_key)
        WHERE e.idempotency_key IS NOT NULL AND c.customer_id IS NULL""",
}


def broken(connection: Connection) -> list[str]:
    """Return every break of an invariant that the stored rows show, one line each."""
    breaks = [
        f"{name}: customer {row[0]!r}, {row[1]}: {row[2]}"
        for name, query in BREAKS.items()
        for row in connection.execute(text(query))
    ]
    return breaks + _broken_chains(connection)


def _broken_chains(connection: Connection) -> list[str]:
    """Work every digest out again with a JSON library and SHA-256, as anyone could from an export."""
    breaks, customer_id, digest = [], None, b""
    rows = connection.execute(
        text("""SELECT customer_id, seq, kind, points, balance_after, occurred_at, recorded_at, cause, program_version,
                       actor, note, idempotency_key, digest FROM entries ORDER BY customer_id, seq""")
    )
    for *fields, stored in rows:
        if fields[0] != customer_id:
            customer_id, digest = fields[0], bytes(32)
        canonical = json.dumps([_plain(each) for each in fields], separators=(",", ":"), ensure_ascii=False)
        digest = sha256(digest + canonical.encode()).digest()
        if digest != bytes(stored):
            breaks.append(f"the digest chain: customer {customer_id!r}, {fields[1]}")
            digest = bytes(stored)
    return breaks


def _plain(field: Any) -> Any:
    if isinstance(field, datetime):
        return field.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    return field
