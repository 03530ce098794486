"""Exposures: when each customer first met the program's holdout, in whichever arm.

Both arms are logged alike: by the first thing that a customer does of its own accord while the holdout is on, which is
when the program would have begun to matter. What only the program brings about, such as a welcome to a tier or a
birthday's points, is no exposure. A storefront may log an earlier moment itself; the earliest counts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from rewards.core.wire import InstantArray, TextArray
from rewards.program.experiments import HoldoutRun, holdout_runs
from rewards.program.history import ProgramHistory
from rewards.program.holdout import Arm, arm_in, first_known, lots_below
from rewards.program.versions import load_history

_OF_WHOM = "({column} = ANY(:customers))"

#: What a customer does of its own accord; the rest comes of the program, or of another customer.
_OWN = "split_part(a.activity_key, ':', 1) NOT IN ('tier', 'birthday', 'anniversary', 'referral', 'referred')"
_IN_SPANS = """EXISTS (
    SELECT FROM unnest(:sinces, :untils) AS w (since, until)
    WHERE a.occurred_at >= w.since AND (w.until IS NULL OR a.occurred_at < w.until))"""
#: Who takes part in the draw: whom others have assigned, and else whom the terms take.
_TAKES_PART = """(s.arm IS NOT NULL OR :is_for_all OR least(c.joined_at, c.member_since) >= :starts_at)"""

# The lot as in rewards.program.holdout: the first 8 bytes of SHA-256, which compare byte by byte as a number does.
_STORE = """
INSERT INTO exposures AS e (experiment_id, customer_id, arm, exposed_at, source)
SELECT CAST(:experiment_id AS text), m.customer_id,
       coalesce(s.arm, CASE WHEN substr(sha256(convert_to(:salt || ':' || m.customer_id, 'UTF8')), 1, 8) < :below
                            THEN 'holdout' ELSE 'program' END),
       m.exposed_at, 'activity'
FROM (
    SELECT a.customer_id, min(a.occurred_at) AS exposed_at FROM activities AS a
    WHERE {whose} AND a.occurred_at >= :first AND {own} AND {in_spans}
    GROUP BY a.customer_id
) AS m
JOIN accounts AS c ON c.customer_id = m.customer_id
LEFT JOIN assignments AS s ON s.customer_id = m.customer_id AND s.experiment_id = :experiment_id
WHERE {takes_part} ORDER BY m.customer_id
ON CONFLICT (experiment_id, customer_id) DO UPDATE
SET arm = excluded.arm, exposed_at = excluded.exposed_at, source = excluded.source
WHERE excluded.exposed_at < e.exposed_at
   OR (e.source = 'activity' AND (e.exposed_at, e.arm) IS DISTINCT FROM (excluded.exposed_at, excluded.arm))"""

# Of whom it became known later that there was something before the start, that customer was never part of it.
_FORGET_OTHERS = """
DELETE FROM exposures AS e USING accounts AS c
WHERE e.experiment_id = :experiment_id AND {whose} AND c.customer_id = e.customer_id AND NOT :is_for_all
  AND least(c.joined_at, c.member_since) < :starts_at
  AND NOT EXISTS (SELECT FROM assignments AS s
                  WHERE s.customer_id = e.customer_id AND s.experiment_id = :experiment_id)"""
_FORGET_OUTSIDE = """
DELETE FROM exposures AS e
WHERE e.experiment_id = :experiment_id AND e.source = 'activity'
  AND NOT EXISTS (SELECT FROM activities AS a
                  WHERE a.customer_id = e.customer_id AND a.occurred_at = e.exposed_at AND {in_spans})"""
_FORGET_IMPORTED = text("DELETE FROM exposures WHERE source = 'import' AND experiment_id = ANY(:ours)")

# An experiment that is not the program's own has no moment but that of the assignment.
_STORE_IMPORTED = """
INSERT INTO exposures AS e (experiment_id, customer_id, arm, exposed_at, source)
SELECT s.experiment_id, s.customer_id, s.arm, s.assigned_at, 'import' FROM assignments AS s
WHERE s.source = 'import' AND {whose} AND NOT s.experiment_id = ANY(:ours)
ORDER BY s.experiment_id, s.customer_id
ON CONFLICT DO NOTHING"""


def refresh_exposures(conn: Connection, customers: Sequence[str] | None) -> int:
    """Bring the exposures of some customers up to what they did, or (None) of all; return how many rows changed.

    In the caller's transaction. Doing it again changes nothing.
    """
    programs = load_history(conn)
    runs = holdout_runs(programs)
    changed = 0
    for run in runs:
        changed += _refresh(conn, run, customers)
    ours = {"ours": TextArray(_experiments(programs, runs))}
    changed += conn.execute(_FORGET_IMPORTED, ours).rowcount
    statement, scope = _scoped(_STORE_IMPORTED, "s.customer_id", customers)
    return changed + conn.execute(text(statement), ours | scope).rowcount


def _experiments(programs: ProgramHistory, runs: Iterable[HoldoutRun]) -> list[str]:
    """Return the names of all experiments that the program itself has, its campaigns included."""
    names = {run.terms.experiment_id for run in runs}
    return sorted(names | {each.id for version in programs.versions for each in version.document.campaigns})


def _refresh(conn: Connection, run: HoldoutRun, customers: Sequence[str] | None) -> int:
    terms = run.terms
    about: dict[str, Any] = {
        "experiment_id": terms.experiment_id,
        "is_for_all": terms.is_for_all,
        "starts_at": terms.starts_at,
        "sinces": InstantArray([span.since for span in run.spans]),
        "untils": InstantArray([span.until for span in run.spans]),
    }
    changed = 0
    statement, scope = _scoped(_FORGET_OTHERS, "e.customer_id", customers)
    changed += conn.execute(text(statement), about | scope).rowcount
    if customers is None:
        # Only another program moves the spans, and then all are looked at.
        changed += conn.execute(text(_FORGET_OUTSIDE.format(in_spans=_IN_SPANS)), about).rowcount
    if run.spans:
        statement, scope = _scoped(
            _STORE, "a.customer_id", customers, own=_OWN, in_spans=_IN_SPANS, takes_part=_TAKES_PART
        )
        about |= {"salt": terms.salt, "below": lots_below(terms.share), "first": run.spans[0].since}
        changed += conn.execute(text(statement), about | scope).rowcount
    return changed


def _scoped(
    statement: str, column: str, customers: Sequence[str] | None, **parts: str
) -> tuple[str, dict[str, Any]]:
    """Return a statement about some customers or about all, and its parameters."""
    if customers is None:
        return statement.format(whose="true", **parts), {}
    return statement.format(whose=_OF_WHOM.format(column=column), **parts), {
        "customers": TextArray(customers)
    }


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a storefront is told: the customer's arm (None: takes no part), and since when it is exposed, if known."""

    arm: Arm | None
    exposed_at: datetime | None

    @property
    def show(self) -> bool:
        """Tell whether the program is to be shown to the customer."""
        return self.arm != "holdout"


_CUSTOMER = text("SELECT joined_at, member_since, arms FROM accounts WHERE customer_id = :customer_id")
_LOG = text("""
INSERT INTO exposures AS e (experiment_id, customer_id, arm, exposed_at, source)
VALUES (:experiment_id, :customer_id, :arm, :at, 'storefront')
ON CONFLICT (experiment_id, customer_id) DO UPDATE
SET exposed_at = least(e.exposed_at, excluded.exposed_at),
    source = CASE WHEN excluded.exposed_at < e.exposed_at THEN excluded.source ELSE e.source END
RETURNING e.arm, e.exposed_at""")


def log_exposure(
    conn: Connection, run: HoldoutRun, customer_id: str, at: datetime, now: datetime
) -> Exposure:
    """Log that a customer met a holdout at an instant, unless that was logged earlier; in a transaction of its own.

    Nothing is logged of who takes no part, of a time at which the holdout is not on, and of who has not done anything
    yet: the first activity is that customer's exposure.
    """
    terms = run.terms
    if not any(span.since <= at and (span.until is None or at < span.until) for span in run.spans):
        return Exposure(None, None)
    row = conn.execute(_CUSTOMER, {"customer_id": customer_id}).one_or_none()
    if row is None or row.joined_at is None:
        arms = None if row is None else row.arms
        first_at = at if row is None else first_known(at, row.member_since)
        return Exposure(arm_in(terms, customer_id, first_at, arms, now), None)
    arm = arm_in(terms, customer_id, first_known(at, row.joined_at, row.member_since), row.arms, now)
    if arm is None:
        return Exposure(None, None)
    about = {"experiment_id": terms.experiment_id, "customer_id": customer_id, "arm": arm, "at": at}
    logged = conn.execute(_LOG, about).one()
    return Exposure(logged.arm, logged.exposed_at)
