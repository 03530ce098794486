"""Guessing made slow: who fails often waits, longer with each further failure.

An attempt is counted before its password is looked at, under a lock, so a thousand guesses at the same moment are
a thousand counted guesses. It makes no difference whether there is an admin of that name.
"""

from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from rewards.admins.tables import AdminAttemptRow

#: So many failures are forgiven: a person mistypes. Many people may come from one address.
FREE_BY_EMAIL = 5
FREE_BY_ADDRESS = 25
#: How long one waits after the last free attempt; twice as long after each one more, up to the longest.
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=15)
#: Failures are forgotten when there was none for so long.
FORGOTTEN_AFTER = timedelta(minutes=15)

_attempts = AdminAttemptRow.__table__  # type: ignore[attr-defined]


class Attempt(NamedTuple):
    """A sign-in that is allowed, or has to wait."""

    #: None where the attempt may be made.
    wait: timedelta | None
    #: Whether this one was the last before a wait, unless it succeeds.
    is_last: bool = False


def begin_attempt(conn: Connection, email: str, address: str, now: datetime) -> Attempt:
    """Count an attempt as failed, and say whether it may be made at all; see :func:`forgive`.

    Commit before the password is looked at.
    """
    free = {_subject("email", email): FREE_BY_EMAIL, _subject("address", address): FREE_BY_ADDRESS}
    conn.execute(delete(_attempts).where(_attempts.c.failed_at < now - timedelta(days=1)))
    conn.execute(
        upsert(_attempts)
        .values([{"subject": subject, "failures": 0, "failed_at": now} for subject in sorted(free)])
        .on_conflict_do_nothing()
    )
    rows = conn.execute(
        select(_attempts)
        .where(_attempts.c.subject.in_(list(free)))
        .order_by(_attempts.c.subject)
        .with_for_update()
    ).all()
    waits = [row.locked_until - now for row in rows if row.locked_until and row.locked_until > now]
    if waits:
        return Attempt(max(waits))
    is_last = False
    for row in rows:
        subject = bytes(row.subject)
        is_forgotten = max(row.failed_at, row.locked_until or row.failed_at) <= now - FORGOTTEN_AFTER
        failures = 1 if is_forgotten else row.failures + 1
        wait = _wait(failures, free[subject])
        is_last |= wait is not None
        conn.execute(
            update(_attempts)
            .where(_attempts.c.subject == subject)
            .values(failures=failures, failed_at=now, locked_until=now + wait if wait else None)
        )
    return Attempt(None, is_last)


def forgive(conn: Connection, email: str, address: str | None = None) -> None:
    """Take back what was counted: the attempt succeeded, or somebody vouches for the person.

    Of the network address only this attempt is forgiven: who has one good password must not guess others with it.
    """
    conn.execute(delete(_attempts).where(_attempts.c.subject == _subject("email", email)))
    if address is not None:
        conn.execute(
            update(_attempts)
            .where(_attempts.c.subject == _subject("address", address), _attempts.c.failures > 0)
            .values(failures=_attempts.c.failures - 1, locked_until=None)
        )


def _wait(failures: int, free: int) -> timedelta | None:
    if failures < free:
        return None
    wait: timedelta = FIRST_WAIT * 2 ** min(failures - free, 10)
    return min(wait, LONGEST_WAIT)


def _subject(kind: str, name: str) -> bytes:
    # Hashed, because what is typed into the wrong field may be a password.
    return sha256(f"{kind}:{name}".encode()).digest()
