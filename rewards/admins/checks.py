"""Verifications of the ledger that admins ask for: each in a process of its own, its progress in the database.

Verifying a large ledger takes minutes of a core. In a process of its own it takes none of it from the requests, and
whichever worker of the server is asked can say how far it is.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select, text, update

from rewards.admins.tables import LedgerCheckRow
from rewards.core.clock import utc_now
from rewards.core.database import Database
from rewards.facts.comparing import check_facts
from rewards.ledger.verification import Report, verify

#: A check that has not said anything for so long was cut short.
SILENT_FOR = timedelta(minutes=2)
#: How often it says how far it is.
_SECONDS_BETWEEN_NOTES = 0.5
#: Breaks that are kept and shown; `rewards check` prints all.
_BREAKS_KEPT = 50
#: Under which two starts at the same moment wait for each other. Any number, but always this one.
_LOCK = 0x5257_4348

_checks = LedgerCheckRow.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class LedgerCheck:
    """A check as it stands at this moment."""

    check_id: int
    started_at: datetime
    seen_at: datetime
    finished_at: datetime | None
    customers_done: int
    customers_total: int
    report: dict[str, Any] | None
    failure: str | None

    def is_running(self, now: datetime) -> bool:
        """Say whether it is still at work."""
        return self.finished_at is None and now - self.seen_at < SILENT_FOR

    def was_cut_short(self, now: datetime) -> bool:
        """Say whether it ended without saying so: its process was killed, or the machine."""
        return self.finished_at is None and not self.is_running(now)

    @property
    def ok(self) -> bool:
        """Whether it ended and every invariant holds."""
        return self.report is not None and bool(self.report["ok"])


_COLUMNS = [_checks.c[name] for name in LedgerCheck.__slots__]


def begin_check(conn: Connection, now: datetime) -> int | None:
    """Note that a check begins, and return its number; None where one is at work already."""
    conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    last = last_check(conn)
    if last is not None and last.is_running(now):
        return None
    made = insert(_checks).values(started_at=now, seen_at=now).returning(_checks.c.check_id)
    return int(conn.execute(made).scalar_one())


def last_check(conn: Connection) -> LedgerCheck | None:
    """Return the check that began last, None where there was none."""
    row = (
        conn.execute(select(*_COLUMNS).order_by(_checks.c.check_id.desc()).limit(1)).mappings().one_or_none()
    )
    return None if row is None else LedgerCheck(**row)


def run_check(database: Database, check_id: int) -> Report | None:
    """Verify the ledger, noting how far it is, and keep what was found; None where there is no such check to do."""
    if not _note(database, check_id):
        return None
    next_at = 0.0

    def heard(done: int, total: int) -> None:
        nonlocal next_at
        if time.monotonic() >= next_at:
            next_at = time.monotonic() + _SECONDS_BETWEEN_NOTES
            _note(database, check_id, customers_done=done, customers_total=total)

    try:
        with database.engine.connect() as conn:
            report = verify(conn, heard)
        with database.engine.connect() as conn:
            check_facts(conn, report)
    except Exception as error:
        _note(database, check_id, finished_at=utc_now(), failure=type(error).__name__)
        raise
    found = report.as_json()
    found["breaks_found"] = len(report.breaks) + report.breaks_not_listed
    found["breaks"] = found["breaks"][:_BREAKS_KEPT]
    total = report.customers
    _note(
        database,
        check_id,
        finished_at=utc_now(),
        customers_done=total,
        customers_total=total,
        report=found,
    )
    return report


def _note(database: Database, check_id: int, **values: Any) -> bool:
    unfinished = (_checks.c.check_id == check_id) & _checks.c.finished_at.is_(None)
    with database.engine.begin() as conn:
        noted = conn.execute(update(_checks).where(unfinished).values(seen_at=func.now(), **values))
    return noted.rowcount > 0
