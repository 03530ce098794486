"""Referrals on the database: what decisions need of them, what they become, and what can be asked about them.

All of it is used only where a program has referrals; a batch without codes and referred customers has no
statement of this module. :func:`load_referrals` and :func:`write_referrals` are parts of load and write.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection, text

from rewards.core.referral_codes import make_code, written
from rewards.core.wire import TextArray
from rewards.ledger.needs import Needs
from rewards.ledger.referral_state import Referral, Referring
from rewards.ledger.state import CustomerState, Retraction

_NAMES = [each.name for each in fields(Referral)]
_COLUMNS = ", ".join(f"r.{name}" for name in _NAMES)

#: The columns that make up a :class:`Referral`, of a table called ``r``.
OWN_COLUMNS = _COLUMNS

_OWN = text(f"SELECT {_COLUMNS} FROM referrals AS r WHERE r.customer_id = ANY(:customers)")  # noqa: S608 - constants

_OWNERS = text("SELECT code, customer_id FROM referral_codes WHERE code = ANY(:codes)")

# Who brought the referrers, and who brought those, and so on: a loop of referrals is refused whatever its length.
_CHAIN = text("""
WITH RECURSIVE chain (customer_id, referrer_id, steps) AS (
    SELECT customer_id, referrer_id, 1 FROM referrals
    WHERE customer_id = ANY(:referrers) AND status <> 'rejected'
    UNION
    SELECT r.customer_id, r.referrer_id, chain.steps + 1
    FROM chain JOIN referrals AS r ON r.customer_id = chain.referrer_id
    WHERE r.status <> 'rejected' AND chain.steps < 50
)
SELECT DISTINCT customer_id, referrer_id FROM chain""")

_USES = text("""
SELECT k.referrer, u.attributed_at
FROM unnest(:referrers) AS k (referrer)
CROSS JOIN LATERAL (
    SELECT r.attributed_at FROM referrals AS r WHERE r.referrer_id = k.referrer
    ORDER BY r.attributed_at DESC LIMIT 1001
) AS u""")

_SHARED = text("""
SELECT f.kind, f.value, f.customer_id, r.referrer_id
FROM unnest(:referrers, :kinds, :values) AS k (referrer, kind, value)
JOIN fingerprints AS f ON f.value = k.value AND f.kind = k.kind
LEFT JOIN referrals AS r ON r.customer_id = f.customer_id
WHERE f.customer_id = k.referrer OR r.referrer_id = k.referrer""")

_RETRACTED = text("""
SELECT r.customer_id, r.activity_key
FROM unnest(:customers, :names) AS k (customer_id, name)
JOIN retractions AS r ON r.customer_id = k.customer_id AND r.activity_key = k.name""")


def load_referrals(conn: Connection, needs: Needs, states: Mapping[str, CustomerState]) -> None:
    """Bring the referrals of those customers who have one, and what codes need to be looked at."""
    referred = [customer_id for customer_id in needs.referrals if states[customer_id].account.referred]
    if referred:
        for row in conn.execute(_OWN, {"customers": TextArray(referred)}):
            states[row.customer_id].referral = Referral(*row)
    if needs.codes:
        referring = _load_referring(conn, needs)
        for state in states.values():
            state.referring = referring
    if needs.retractions:
        pairs = {
            "customers": TextArray([pair[0] for pair in needs.retractions]),
            "names": TextArray([pair[1] for pair in needs.retractions]),
        }
        for customer_id, activity_key in conn.execute(_RETRACTED, pairs):
            states[customer_id].retracted |= {activity_key}


def _load_referring(conn: Connection, needs: Needs) -> Referring:
    referring = Referring()
    codes = TextArray(sorted({code for _, code, _ in needs.codes}))
    referring.owners = {row.code: row.customer_id for row in conn.execute(_OWNERS, {"codes": codes})}
    if not referring.owners:
        return referring
    referrers = {"referrers": TextArray(sorted(set(referring.owners.values())))}
    referring.referrers = {row.customer_id: row.referrer_id for row in conn.execute(_CHAIN, referrers)}
    for referrer, attributed_at in conn.execute(_USES, referrers):
        referring.used_at.setdefault(referrer, []).append(attributed_at)
    given = [
        (referring.owners[code], kind, value)
        for _, code, fingerprints in needs.codes
        if code in referring.owners
        for kind, value in fingerprints
    ]
    if given:
        parameters = {
            "referrers": TextArray([each[0] for each in given]),
            "kinds": TextArray([each[1] for each in given]),
            "values": TextArray([each[2] for each in given]),
        }
        for kind, value, customer_id, referrer in conn.execute(_SHARED, parameters):
            referring.fingerprints.setdefault((kind, value), set()).add(customer_id)
            if referrer is not None:
                referring.referrers.setdefault(customer_id, referrer)
    return referring


# Their number is small beside that of orders, so they go as JSON, which says the types of columns by itself.
_PUT = text(f"""
INSERT INTO referrals ({", ".join(_NAMES)})
SELECT {_COLUMNS} FROM jsonb_populate_recordset(NULL::referrals, CAST(:rows AS jsonb)) AS r
ON CONFLICT (customer_id) DO UPDATE SET
{", ".join(f"{name} = excluded.{name}" for name in _NAMES[1:])}""")  # noqa: S608 - constants

_MARK = text("UPDATE accounts SET referred = true WHERE customer_id = ANY(:customers) AND NOT referred")

_PUT_FINGERPRINTS = text("""
INSERT INTO fingerprints (customer_id, kind, value)
SELECT DISTINCT * FROM unnest(:customers, :kinds, :values) ON CONFLICT DO NOTHING""")

_PUT_RETRACTIONS = text("""
INSERT INTO retractions (customer_id, activity_key, retraction_seq, by_grant, clawed_back, written_off,
                         occurred_at, qualifying_points, recorded_at)
SELECT r.customer_id, r.activity_key, r.retraction_seq, r.by_grant, r.clawed_back, r.written_off, r.occurred_at,
       r.qualifying_points, :now
FROM jsonb_populate_recordset(NULL::retractions, CAST(:rows AS jsonb)) AS r""")


def write_referrals(
    conn: Connection,
    referrals: Mapping[str, Referral],
    fingerprints: Collection[tuple[str, str, str]],
    retractions: Iterable[tuple[str, Retraction]],
    now: datetime,
) -> None:
    """Store what a batch brought about: referrals by customer, fingerprints by customer and kind, retractions."""
    if referrals:
        rows = to_json([{name: getattr(each, name) for name in _NAMES} for each in referrals.values()])
        conn.execute(_PUT, {"rows": rows.decode()})
        conn.execute(_MARK, {"customers": TextArray(sorted(referrals))})
    if fingerprints:
        parameters = {
            "customers": TextArray([each[0] for each in fingerprints]),
            "kinds": TextArray([each[1] for each in fingerprints]),
            "values": TextArray([each[2] for each in fingerprints]),
        }
        conn.execute(_PUT_FINGERPRINTS, parameters)
    stored = [{"customer_id": customer_id, **each._asdict()} for customer_id, each in retractions]
    if stored:
        conn.execute(_PUT_RETRACTIONS, {"rows": to_json(stored).decode(), "now": now})


# -- what can be asked ---------------------------------------------------------------------------------------

# Two customers who use each other's codes at one moment, in two transactions, do not see each other; of such a
# pair the one who came later is told apart here, before anything is paid.
_DUE = text(f"""
SELECT {_COLUMNS}, EXISTS (
    SELECT FROM referrals AS o
    WHERE o.customer_id = r.referrer_id AND o.referrer_id = r.customer_id AND o.status <> 'rejected'
      AND (o.attributed_at, o.customer_id) < (r.attributed_at, r.customer_id)
) AS is_loop
FROM referrals AS r WHERE r.customer_id = ANY(:customers) AND r.due IS NOT NULL
ORDER BY r.customer_id""")  # noqa: S608 - constants

_QUEUE = text("""
SELECT customer_id FROM referrals WHERE due IS NOT NULL AND customer_id > :after
ORDER BY customer_id LIMIT :most""")


def due_referrals(conn: Connection, customers: Iterable[str]) -> list[tuple[Referral, bool]]:
    """Return those referrals of the customers for which something is to be sent, each with whether it is a loop."""
    rows = conn.execute(_DUE, {"customers": TextArray(sorted(customers))})
    return [(Referral(*row[:-1]), row.is_loop) for row in rows]


def queued(conn: Connection, after: str, most: int) -> list[str]:
    """Return customers, in order of their ids, for whose referral something is to be sent."""
    return list(conn.execute(_QUEUE, {"after": after, "most": most}).scalars())


_PAGE = f"""
SELECT {_COLUMNS} FROM referrals AS r WHERE {{conditions}}
ORDER BY r.attributed_at DESC, r.customer_id DESC LIMIT :most"""  # noqa: S608 - constants


def referrals_page(
    conn: Connection,
    status: str | None,
    most: int,
    before: tuple[datetime, str] | None = None,
    whose: str | None = None,
) -> list[Referral]:
    """Return up to ``most`` referrals (of a status), the latest first, those before ``(attributed_at, customer)``.

    With ``whose`` only those that the customer has a side in.
    """
    conditions = ["true"]
    parameters: dict[str, Any] = {"most": most}
    if status is not None:
        conditions.append("r.status = :status")
        parameters["status"] = status
    if before is not None:
        conditions.append("(r.attributed_at, r.customer_id) < (:before_at, :before_customer)")
        parameters |= {"before_at": before[0], "before_customer": before[1]}
    if whose is not None:
        conditions.append("(r.customer_id = :whose OR r.referrer_id = :whose)")
        parameters["whose"] = whose
    rows = conn.execute(text(_PAGE.format(conditions=" AND ".join(conditions))), parameters)
    return [Referral(*row) for row in rows]


_SUMMARY = text("""
SELECT c.code, count(r.customer_id) AS referred,
       count(r.customer_id) FILTER (WHERE r.status = 'rewarded') AS rewarded,
       CAST(coalesce(sum(a.spent_minor), 0) AS bigint) AS revenue_minor
FROM (SELECT CAST(:customer_id AS text) AS customer_id) AS k
LEFT JOIN referral_codes AS c ON c.customer_id = k.customer_id
LEFT JOIN referrals AS r ON r.referrer_id = k.customer_id AND r.status NOT IN ('flagged', 'rejected')
LEFT JOIN accounts AS a ON a.customer_id = r.customer_id
GROUP BY c.code""")


def referral_summary(conn: Connection, customer_id: str) -> dict[str, Any]:
    """Return what a customer has brought: how many customers, how many of them were rewarded, and what they spent.

    ``revenue_minor`` are all purchases of those customers, net of refunds, in minor units of the program's
    currency; of referrals that a person has still to look at, or rejected, nothing counts.
    """
    row = conn.execute(_SUMMARY, {"customer_id": customer_id}).one()
    return {
        "code": None if row.code is None else written(row.code),
        "referred": row.referred,
        "rewarded": row.rewarded,
        "revenue_minor": row.revenue_minor,
    }


_REVENUE = text("""
SELECT r.referrer_id, count(DISTINCT r.customer_id), count(v.order_id),
       CAST(coalesce(sum(v.total_minor - v.refunded_minor), 0) AS bigint)
FROM referrals AS r
LEFT JOIN LATERAL (
    SELECT a.body ->> 'order_id' AS order_id, CAST(a.body ->> 'total_minor' AS bigint) AS total_minor,
           coalesce((SELECT sum(x.amount_minor) FROM reversals AS x
                     WHERE x.customer_id = a.customer_id AND x.order_id = a.body ->> 'order_id'), 0) AS refunded_minor
    FROM activities AS a
    WHERE a.customer_id = r.customer_id AND a.activity_key >= 'purchase:' AND a.activity_key < 'purchase;'
      AND a.occurred_at >= :since AND a.occurred_at < :until AND a.occurred_at >= r.attributed_at
) AS v ON true
WHERE r.status NOT IN ('flagged', 'rejected')
GROUP BY r.referrer_id HAVING count(v.order_id) > 0
ORDER BY 4 DESC, 1""")


def referred_revenue(
    conn: Connection, since: datetime, until: datetime
) -> Sequence[tuple[str, int, int, int]]:
    """Return, for each referrer, the customers brought, their orders from ``since`` to ``until``, and these orders'
    money in minor units, net of all refunds of them by now."""
    return [tuple(row) for row in conn.execute(_REVENUE, {"since": since, "until": until})]


_FIND_CODE = text("SELECT code FROM referral_codes WHERE customer_id = :customer_id")
_PUT_CODE = text("""
INSERT INTO referral_codes (code, customer_id, created_at) VALUES (:code, :customer_id, :now)
ON CONFLICT DO NOTHING""")


def code_of(conn: Connection, customer_id: str, now: datetime) -> str:
    """Return a customer's code as people write it, making it the first time. In a transaction of its own."""
    while True:
        found = conn.execute(_FIND_CODE, {"customer_id": customer_id}).scalar_one_or_none()
        if found is not None:
            return written(found)
        # Where another made the customer's at this moment, or a code comes twice, the next round finds out.
        conn.execute(_PUT_CODE, {"code": make_code(), "customer_id": customer_id, "now": now})
