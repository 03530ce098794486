"""The audit log: what each admin did, when, and to what. Appended only; the database refuses all else."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, insert, select

from rewards.admins.tables import AuditRow

PAGE_SIZE = 50
_CSV_AT_ONCE = 1_000

_audit = AuditRow.__table__  # type: ignore[attr-defined]


class Acting(Protocol):
    """Who does something: an admin's account or whatever stands for one."""

    @property
    def admin_id(self) -> str:
        """The account's id."""

    @property
    def email(self) -> str:
        """How the admin is called in the log."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A line of the log."""

    audit_id: int
    at: datetime
    admin_id: str | None
    who: str
    action: str
    subject: str | None
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AuditFilters:
    """Which lines are wanted; None and empty are: all. ``until`` is the first instant that is not."""

    who: str = ""
    action: str = ""
    subject: str = ""
    since: datetime | None = None
    until: datetime | None = None


_COLUMNS = [_audit.c[name] for name in AuditEntry.__slots__]


def record(
    conn: Connection,
    *,
    admin: Acting | None,
    action: str,
    subject: str | None = None,
    detail: dict[str, Any] | None = None,
    now: datetime,
    who: str = "(nobody)",
) -> None:
    """Append a line; in the transaction of what was done, where there is one.

    Args:
        conn: a connection in that transaction.
        admin: who did it; None where nobody was signed in.
        action: what was done, in a stable form: ``customer.adjusted``, ``key.revoked``.
        subject: what it was done to: ``customer:c-1``, ``key:5f0c…``.
        detail: what else is worth knowing. No personal data of customers, and no secrets.
        now: when.
        who: how to call the one who did it where ``admin`` is None, such as ``(command line)``.
    """
    conn.execute(
        insert(_audit).values(
            at=now,
            admin_id=None if admin is None else admin.admin_id,
            who=who if admin is None else admin.email,
            action=action,
            subject=subject,
            detail=detail or {},
        )
    )


def audit_page(
    conn: Connection, filters: AuditFilters, before: int | None = None, size: int = PAGE_SIZE
) -> tuple[list[AuditEntry], int | None]:
    """Return a page of the log, newest first, and where the next one begins; None where there is no other.

    Args:
        conn: where to look.
        filters: which lines are wanted.
        before: what an earlier page said that the next one begins with.
        size: how many lines a page has.
    """
    query = select(*_COLUMNS).where(*_wanted(filters)).order_by(_audit.c.audit_id.desc()).limit(size + 1)
    if before is not None:
        query = query.where(_audit.c.audit_id < before)
    entries = [AuditEntry(**row) for row in conn.execute(query).mappings()]
    has_more = len(entries) > size
    return entries[:size], entries[size - 1].audit_id if has_more else None


def all_entries(conn: Connection, filters: AuditFilters) -> Iterator[AuditEntry]:
    """Yield every wanted line, newest first, without holding them all."""
    before: int | None = None
    while True:
        entries, before = audit_page(conn, filters, before, _CSV_AT_ONCE)
        yield from entries
        if before is None:
            return


def known_actions(conn: Connection) -> list[str]:
    """Return every action that was ever recorded, in order."""
    return list(conn.scalars(select(_audit.c.action).distinct().order_by(_audit.c.action)))


def known_people(conn: Connection) -> list[str]:
    """Return everybody who ever did something, in order."""
    return list(conn.scalars(select(_audit.c.who).distinct().order_by(_audit.c.who)))


def _wanted(filters: AuditFilters) -> Iterator[ColumnElement[bool]]:
    if filters.who:
        yield _audit.c.who == filters.who
    if filters.action:
        yield _audit.c.action == filters.action
    if filters.subject:
        # `customer:c-1`, or only `c-1`.
        yield (_audit.c.subject == filters.subject) | _audit.c.subject.endswith(
            ":" + filters.subject, autoescape=True
        )
    if filters.since is not None:
        yield _audit.c.at >= filters.since
    if filters.until is not None:
        yield _audit.c.at < filters.until
