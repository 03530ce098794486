"""What was asked of the engine lately, across all customers, for the admin pages. Read-only.

The commands that bore a key are looked through backwards in time: a few minutes first, then further back until a page
is full. A BRIN index finds a span of time in any number of awards at next to no cost to those; what is rare beside
them (everything else, and refusals) has small indexes of its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pydantic_core import from_json
from sqlalchemy import Connection, text

#: The kinds of command that are shown, by what they are to a reader.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "award": ("award", "record", "reward"),
    "redemption": ("redeem", "capture", "void", "reverse-redemption"),
    "reversal": ("reverse", "return", "retract"),
    "adjustment": ("adjust",),
}
#: How far back is looked at once, until a page is full; beyond, everything is.
_SPANS = (
    timedelta(minutes=10),
    timedelta(hours=2),
    timedelta(days=1),
    timedelta(days=14),
    timedelta(days=180),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of commands ends."""

    recorded_at: datetime
    customer_id: str
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Sought:
    """Which commands are wanted. Nothing given is: any.

    Attributes:
        group: one of :data:`GROUPS`.
        refused: whether only those that were refused, or only those that were not.
        since, until: when they were recorded; ``until`` is the first instant that is not wanted.
        before: the place after which the page begins.
    """

    group: str = ""
    refused: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: Place | None = None


class RecentCommand(NamedTuple):
    """A command and its answer, decoded."""

    place: Place
    kind: str
    status: int
    answer: dict[str, Any]

    @property
    def customer_id(self) -> str:
        """Whose it is."""
        return self.place.customer_id

    @property
    def was_refused(self) -> bool:
        """Whether the engine decided against it."""
        return self.status >= 400


def recent_commands(conn: Connection, sought: Sought, most: int, now: datetime) -> list[RecentCommand]:
    """Return up to ``most`` commands, the latest first."""
    rows: list[RecentCommand] = []
    for since in _further_back(sought, now):
        statement, parameters = statement_for(sought, since, most)
        rows = [
            RecentCommand(
                Place(row.recorded_at.astimezone(UTC), row.customer_id, row.idempotency_key),
                row.kind,
                row.status,
                from_json(row.answer),
            )
            for row in conn.execute(text(statement), parameters)
        ]
        if len(rows) >= most:
            break
    return rows


def _further_back(sought: Sought, now: datetime) -> Iterator[datetime | None]:
    """Yield the instants from which on to look; the last one is as far back as is wanted, None where no bound is."""
    latest = min(now, sought.until or now, sought.before.recorded_at if sought.before else now)
    # What is rare has an index in order of time, so that all of it can be looked at.
    is_rare = bool(sought.refused) or sought.group not in ("", "award")
    for span in () if is_rare else _SPANS:
        since = latest - span
        if sought.since is not None and since <= sought.since:
            break
        yield since
    yield sought.since


def statement_for(sought: Sought, since: datetime | None, most: int) -> tuple[str, dict[str, Any]]:
    """Return the statement that reads a page of commands, and its parameters."""
    conditions, parameters = ["true"], dict[str, Any](most=most)
    if sought.group:
        kinds = GROUPS[sought.group]
        conditions.append("kind = ANY(:kinds)")
        parameters["kinds"] = list(kinds)
        if "award" not in kinds:
            conditions.append("kind <> 'award'")  # for the planner, which then takes the index of these
    if sought.refused is not None:
        conditions.append("status >= 400" if sought.refused else "status < 400")
    if since is not None:
        conditions.append("recorded_at >= :since")
        parameters["since"] = since
    if sought.until is not None:
        conditions.append("recorded_at < :until")
        parameters["until"] = sought.until
    if (before := sought.before) is not None:
        conditions.append(
            "recorded_at <= :at AND (recorded_at, customer_id, idempotency_key) < (:at, :id, :key)"
        )
        parameters |= {"at": before.recorded_at, "id": before.customer_id, "key": before.idempotency_key}
    # The parts are constants; what was typed is in the parameters.
    statement = f"""
SELECT recorded_at, customer_id, idempotency_key, kind, status, answer
FROM commands WHERE {" AND ".join(conditions)}
ORDER BY recorded_at DESC, customer_id DESC, idempotency_key DESC LIMIT :most"""  # noqa: S608
    return statement, parameters
