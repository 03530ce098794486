"""Telling the engine of whom there is a profile, and since when they are members.

A profile may be there before a customer's first activity; enrolling makes the account, so that admins find the
customer and anniversaries are counted from the right day. What the engine knows already is not told again, and what it
was not told, because a process ended between, it is told the next time.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import text

from rewards.core.database import Database
from rewards.core.errors import BusyError
from rewards.core.wire import TextArray
from rewards.decide.commands import Enroll
from rewards.decide.submission import Submission
from rewards.engine import Engine

_AT_ONCE = 1_000

_NOT_ENROLLED = text("""
SELECT p.customer_id, p.joined_at FROM profiles AS p LEFT JOIN accounts AS a ON a.customer_id = p.customer_id
WHERE p.customer_id = ANY(:customers) AND p.erased_at IS NULL
  AND (a.customer_id IS NULL OR a.member_since IS DISTINCT FROM p.joined_at)
ORDER BY p.customer_id""")


def enroll(database: Database, engine: Engine, customers: Iterable[str], actor: str, now: datetime) -> int:
    """Enroll those of the customers of whom the profile says what the engine does not know; return how many.

    Raises:
        BusyError: the database does not answer; do it again.
    """
    with database.engine.connect() as conn:
        rows = conn.execute(_NOT_ENROLLED, {"customers": TextArray(sorted(set(customers)))}).all()
    commands = [
        Submission(
            Enroll(customer_id=row.customer_id, member_since=row.joined_at),
            None,
            actor,
            remember_refusal=False,
        )
        for row in rows
    ]
    for start in range(0, len(commands), _AT_ONCE):
        answers = engine.execute(commands[start : start + _AT_ONCE], now)
        if any(answer.status >= 500 for answer in answers):
            raise BusyError("Some customers could not be enrolled; try again.")
    return len(commands)
