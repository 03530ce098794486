"""Everything that is known of one customer, as data that the customer may ask for. Read-only."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, text

from rewards.core import ids
from rewards.ledger.referral_state import Referral, shown
from rewards.ledger.referrals import OWN_COLUMNS, referral_summary
from rewards.ledger.standings import read_moves
from rewards.ledger.statements import customer_statement, entries_page
from rewards.profiles.storing import read_profile
from rewards.program.history import ProgramHistory

#: More entries than anybody has.
_ALL = 2**31 - 1

_ACTIVITIES = text("""
SELECT activity_key, occurred_at, points, program_version, body FROM activities
WHERE customer_id = :customer_id ORDER BY occurred_at, activity_key""")

_REDEMPTIONS = text("""
SELECT redemption_seq, status, points, captured, reinstated, value_minor, currency, order_id, occurred_at
FROM redemptions WHERE customer_id = :customer_id ORDER BY redemption_seq""")

_REVERSALS = text("""
SELECT order_id, refund_id, amount_minor, clawed_back, reinstated, occurred_at
FROM reversals WHERE customer_id = :customer_id ORDER BY occurred_at, order_id, refund_id""")

_GRANTS = text("""
SELECT tier, granted_at, until, ended_at, reason FROM standing_grants
WHERE customer_id = :customer_id ORDER BY grant_seq""")

_IMPORTED_ANSWERS = text("""
SELECT survey_id, answered_at, answers FROM survey_answers
WHERE customer_id = :customer_id AND source = 'import' ORDER BY answered_at, survey_id""")
_SAME_AS = text("SELECT same_as FROM identities WHERE customer_id = :customer_id")
_EXPERIMENTS = text("""
SELECT experiment_id, coalesce(e.arm, a.arm) AS arm, a.assigned_at, e.exposed_at
FROM (SELECT * FROM exposures WHERE customer_id = :customer_id) AS e
FULL JOIN (SELECT * FROM assignments WHERE customer_id = :customer_id) AS a USING (experiment_id)
ORDER BY experiment_id""")

_TAGS = text("SELECT tags FROM accounts WHERE customer_id = :customer_id")
_FINGERPRINTS = text("SELECT kind, value FROM fingerprints WHERE customer_id = :customer_id ORDER BY 1, 2")
_ERASURES = text("SELECT erased_at FROM erasures WHERE customer_id = :customer_id ORDER BY 1")
_OWN_REFERRAL = text(f"SELECT {OWN_COLUMNS} FROM referrals AS r WHERE r.customer_id = :customer_id")  # noqa: S608 - constants
_BROUGHT = text("""
SELECT count(*) AS referred, min(attributed_at) AS first_at, max(attributed_at) AS last_at
FROM referrals WHERE referrer_id = :customer_id""")


def export_customer(
    conn: Connection, programs: ProgramHistory, customer_id: str, now: datetime
) -> dict[str, Any] | None:
    """Return everything known of a customer; None where nothing is.

    Who a customer brought, or was brought by, is another person's affair: only counts and the customer's own side of a
    referral are told.

    Args:
        conn: reads only; best in one snapshot.
        programs: the program's versions.
        customer_id: whose.
        now: the present.
    """
    whose = {"customer_id": customer_id}
    profile = read_profile(conn, customer_id)
    statement = customer_statement(conn, programs, customer_id, None, now)
    if profile is None and statement is None:
        return None
    activities = [_activity(dict(row)) for row in conn.execute(_ACTIVITIES, whose).mappings()]
    return {
        "customer_id": customer_id,
        "exported_at": now.astimezone(UTC),
        "profile": profile,
        "tags": conn.execute(_TAGS, whose).scalar_one_or_none() or [],
        "statement": statement,
        "entries": [
            entry | {"cause": _without_friend(entry["cause"])}
            for entry in reversed(entries_page(conn, customer_id, _ALL))
        ],
        "activities": activities,
        "survey_answers": [
            *(each["body"] for each in activities if each["body"].get("type") == "survey"),
            *({"type": "survey", **row} for row in conn.execute(_IMPORTED_ANSWERS, whose).mappings()),
        ],
        "redemptions": [
            {"redemption_id": ids.encode(ids.REDEMPTION, customer_id, row["redemption_seq"])}
            | {name: value for name, value in row.items() if name != "redemption_seq"}
            for row in conn.execute(_REDEMPTIONS, whose).mappings()
        ],
        "refunds": [dict(row) for row in conn.execute(_REVERSALS, whose).mappings()],
        "moves": read_moves(conn, customer_id, _ALL)[::-1],
        "standing_grants": [dict(row) for row in conn.execute(_GRANTS, whose).mappings()],
        "referrals": _referrals(conn, customer_id),
        "same_person_as": conn.execute(_SAME_AS, whose).scalar_one_or_none(),
        "experiments": [dict(row) for row in conn.execute(_EXPERIMENTS, whose).mappings()],
        "fingerprints": [dict(row) for row in conn.execute(_FINGERPRINTS, whose).mappings()],
        "erased_at": [instant.astimezone(UTC) for instant in conn.execute(_ERASURES, whose).scalars()],
    }


def _activity(row: dict[str, Any]) -> dict[str, Any]:
    body = {name: value for name, value in row["body"].items() if name != "referred_customer_id"}
    return row | {"activity_key": _without_friend(row["activity_key"]), "body": body}


def _without_friend(name: str) -> str:
    """Return an activity's key, or the cause of an entry, without the id of the friend that may be in it."""
    for friends in ("referral:", "retract:referral:"):
        if name.startswith(friends):
            return friends.removesuffix(":")
    return name


def _referrals(conn: Connection, customer_id: str) -> dict[str, Any]:
    row = conn.execute(_OWN_REFERRAL, {"customer_id": customer_id}).one_or_none()
    own = None
    if row is not None:
        own = shown(Referral(*row))
        for others in ("referrer_customer_id", "code", "reasons", "decided_by"):
            del own[others]
    brought = conn.execute(_BROUGHT, {"customer_id": customer_id}).mappings().one()
    return {"own_code": referral_summary(conn, customer_id)["code"], "brought_by_a_friend": own, **brought}
