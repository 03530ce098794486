"""Published versions of the program in the database: appended under a lock, never edited.

A process reads each version once; after that the database is only asked whether there is a newer one.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple, Protocol

from sqlalchemy import Connection, Text, cast, func, insert, select, text

from rewards.core.money import minor_digits
from rewards.ledger.tables import ProgramVersionRow
from rewards.program.differences import history_differences
from rewards.program.document import BaseAmount, ProgramDocument, RedemptionPolicy
from rewards.program.history import ProgramHistory, ProgramVersion
from rewards.program.loading import ProgramInvalid
from rewards.program.lots import drawn_anew
from rewards.program.points import ExpiresAfter, PointsPolicy
from rewards.program.rules import EarnRule, PerAmount

__all__ = [
    "HistoryCache",
    "NotNewest",
    "ProgramHistory",
    "ProgramVersion",
    "StarterSettings",
    "check_lots",
    "history_differences",
    "latest_version",
    "load_history",
    "publish",
    "publish_starter",
    "starter_program",
]

_versions = ProgramVersionRow.__table__  # type: ignore[attr-defined]

#: Publishers wait for each other on this advisory lock ("rewards program" in ASCII, shortened).
_PUBLISHING = 0x7265775F70726F67

_THE_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=256)
def _parsed(document_json: str) -> ProgramDocument:
    # Keyed by content, so a process parses each document once, and equal ones are one object.
    return ProgramDocument.model_validate_json(document_json)


def load_history(conn: Connection) -> ProgramHistory:
    """Read all published versions."""
    columns = _versions.c
    rows = conn.execute(
        select(
            columns.version,
            cast(columns.document, Text).label("document_json"),
            columns.effective_from,
            columns.published_at,
            columns.published_by,
            columns.note,
        ).order_by(columns.version)
    )
    return ProgramHistory(
        ProgramVersion(
            version=row.version,
            document=_parsed(row.document_json),
            effective_from=row.effective_from.astimezone(UTC),
            published_at=row.published_at.astimezone(UTC),
            published_by=row.published_by,
            note=row.note,
        )
        for row in rows
    )


def latest_version(conn: Connection) -> int:
    """Return the number of the version published last, 0 if there is none."""
    return int(conn.execute(select(func.coalesce(func.max(_versions.c.version), 0))).scalar_one())


class NotNewest(Exception):
    """Something was published meanwhile that whoever publishes now has not seen."""


class _Stamp(NamedTuple):
    versions: int
    latest: int
    published_at: datetime | None


class HistoryCache:
    """The history as a process last saw it; one small statement tells whether that is still all of it.

    Safe to share between threads: the history is replaced as a whole, never changed.
    """

    _STAMP = select(
        func.count(), func.coalesce(func.max(_versions.c.version), 0), func.max(_versions.c.published_at)
    ).select_from(_versions)

    def __init__(self) -> None:
        self._seen: tuple[_Stamp, ProgramHistory] | None = None

    def current(self, conn: Connection) -> ProgramHistory:
        """Return the history as ``conn``'s transaction sees it."""
        stamp = _Stamp(*conn.execute(self._STAMP).one())
        seen = self._seen
        if seen is not None and seen[0] == stamp:
            return seen[1]
        history = load_history(conn)
        # Another version may have been committed between the two statements; then the stamp is older than the
        # history, and the next call reads again.
        self._seen = (stamp, history)
        return history


def publish(
    conn: Connection,
    document: ProgramDocument,
    *,
    effective_from: datetime | None = None,
    now: datetime,
    actor: str,
    note: str | None = None,
    after: int | None = None,
) -> ProgramVersion:
    """Append a version, in the caller's transaction, and return it.

    Args:
        conn: a connection within a transaction at PostgreSQL's default isolation.
        document: what to publish; that it equals an older version is fine.
        effective_from: from when on activities are scored by it, past or future; ``now`` if not given.
        now: the present, in UTC.
        actor: who publishes.
        note: why, for the history.
        after: the version that it is to follow; any, if not given.

    Raises:
        ValueError: ``effective_from`` has no offset.
        NotNewest: another version was published after the one that it is to follow.
        ProgramInvalid: it would draw the lots of a published holdout anew.
    """
    effective_from = now if effective_from is None else effective_from
    if effective_from.tzinfo is None:
        raise ValueError("effective_from needs an offset, for example 2026-11-01T00:00:00Z")
    _wait_for_other_publishers(conn)
    if after is not None and latest_version(conn) != after:
        raise NotNewest(f"version {after} is no longer the newest")
    check_lots(load_history(conn), document, now)
    return _append(conn, document, effective_from=effective_from, now=now, actor=actor, note=note)


def check_lots(history: ProgramHistory, document: ProgramDocument, now: datetime) -> None:
    """Make sure that who is held out stays so if a document is published next.

    Raises:
        ProgramInvalid: its holdout or a campaign has the id of a published one and draws other lots, or another's salt.
    """
    wrong = drawn_anew(history, document, now)
    if wrong:
        raise ProgramInvalid(wrong)


def _wait_for_other_publishers(conn: Connection) -> None:
    conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _PUBLISHING})


def _append(
    conn: Connection,
    document: ProgramDocument,
    *,
    effective_from: datetime,
    now: datetime,
    actor: str,
    note: str | None,
) -> ProgramVersion:
    published = ProgramVersion(
        version=latest_version(conn) + 1,
        document=document,
        effective_from=effective_from.astimezone(UTC),
        published_at=now.astimezone(UTC),
        published_by=actor,
        note=note,
    )
    conn.execute(
        insert(_versions).values(
            version=published.version,
            # Every default is written out: a later change of a default changes no published version.
            document=document.model_dump(mode="json"),
            effective_from=published.effective_from,
            published_at=published.published_at,
            published_by=actor,
            note=note,
        )
    )
    return published


class StarterSettings(Protocol):
    """The settings that a new database's first program is made from."""

    @property
    def currency(self) -> str:
        """ISO 4217 code of the program's money."""

    @property
    def timezone(self) -> str:
        """Name of the time zone that its periods are computed in."""


def starter_program(currency: str, timezone: str) -> ProgramDocument:
    """Return the program that a new database begins with.

    1 point per whole unit of the currency, each worth 0.01 of it, 12 months' life, nothing pending, and a
    balance that a refund may take below zero. Where the currency has no hundredths, as many points as make
    one minor unit are redeemed together, so that nobody spends points on nothing.
    """
    digits = minor_digits(currency)
    points, value_minor = (1, 10 ** (digits - 2)) if digits >= 2 else (10 ** (2 - digits), 1)
    return ProgramDocument(
        schema_version=1,
        name="Starter program",
        currency=currency,
        timezone=timezone,
        base_amount=BaseAmount(),
        earn=(
            EarnRule(
                id="base",
                activity="purchase",
                gives=PerAmount(type="per_amount", points=1, per_minor=10**digits),
            ),
        ),
        points=PointsPolicy(
            pending=None, expiry=ExpiresAfter(type="after", period="P12M"), negative_balance="allow"
        ),
        redemption=RedemptionPolicy(
            points=points, value_minor=value_minor, minimum_points=points, step_points=points
        ),
    )


def publish_starter(conn: Connection, settings: StarterSettings, now: datetime) -> ProgramVersion:
    """Publish the starter program as version 1, in force since 1970 so that any history can be imported.

    Does nothing where a program was published before. Returns version 1 either way.
    """
    _wait_for_other_publishers(conn)
    history = load_history(conn)
    if len(history):
        return history.by_version(1)
    return _append(
        conn,
        starter_program(settings.currency, settings.timezone),
        effective_from=_THE_EPOCH,
        now=now,
        actor="system",
        note="The program that a new database begins with",
    )
