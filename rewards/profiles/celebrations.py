"""Birthdays and anniversaries: sent to the engine on their day, once a year each.

The day is the program's: it begins at midnight on the clocks of the zone of the version in force. Who was born, or
joined, on the 29th of February is celebrated on the 28th in common years. Each look goes back over the last seven
days, so that a job that did not run misses nobody; the activity's name, such as ``birthday:2026``, makes sure that
nobody is celebrated twice.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from sqlalchemy import Connection, text

from rewards.core.database import Database
from rewards.core.progress import Progress
from rewards.core.wire import TextArray
from rewards.decide.commands import Award
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.program.history import ProgramHistory, ProgramVersion
from rewards.program.versions import load_history

Kind = Literal["birthday", "anniversary"]

KINDS: tuple[Kind, ...] = ("birthday", "anniversary")
LOOK_BACK_DAYS = 7
ACTOR = "job:celebrations"
_PAGE = 1_000


@dataclass(slots=True)
class Celebrated:
    """How many were celebrated, with how many points, and how many could not be."""

    birthdays: int = 0
    anniversaries: int = 0
    points: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class _Day:
    """A day on which there may be something to celebrate."""

    day: date
    begins_at: datetime
    ends_at: datetime
    zone: str
    kinds: tuple[Kind, ...]

    @property
    def names(self) -> list[str]:
        """The days of the year that are celebrated on it, as ``05-17``."""
        names = [f"{self.day:%m-%d}"]
        is_last = (self.day + timedelta(days=1)).month == 3
        return [*names, "02-29"] if is_last and self.day.day == 28 else names


def celebrate(database: Database, now: datetime, progress: Progress) -> Celebrated:
    """Send the birthdays and anniversaries of the last days that the engine has not been sent."""
    engine, done = Engine(database), Celebrated()
    with database.engine.connect() as conn:
        programs = load_history(conn)
    for day in _days(programs, now):
        for kind in day.kinds:
            for customers in _pages(database, kind, day):
                _send(engine, kind, day, customers, now, done)
                progress("celebrations", done.birthdays + done.anniversaries, None)
    return done


def _days(programs: ProgramHistory, now: datetime) -> Iterator[_Day]:
    """Yield the days to look at, the earliest first, each with what its program has rules for."""
    today = now.astimezone(programs.in_force(now).document.zone).date()
    for back in range(LOOK_BACK_DAYS, -1, -1):
        day = today - timedelta(days=back)
        zone = programs.in_force(now - timedelta(days=back)).document.zone
        begins, ends = (
            datetime.combine(each, time(), zone).astimezone(UTC) for each in (day, day + timedelta(days=1))
        )
        # The award is decided as of midnight, so what is in force then decides whether to send it.
        version = programs.in_force(begins)
        kinds = tuple(kind for kind in KINDS if _has_rule(version, kind))
        if kinds and begins <= now:
            yield _Day(day, begins, ends, zone.key, kinds)


def _has_rule(version: ProgramVersion, kind: Kind) -> bool:
    return any(rule.activity == kind for rule in version.document.earn)


# Only who had joined by then, and was not sent it by another way.
_BIRTHDAYS = text("""
SELECT p.customer_id, greatest(:begins_at, a.since) AS at
FROM profiles AS p
LEFT JOIN LATERAL (
    SELECT coalesce(p.joined_at, a.member_since, a.joined_at, a.created_at) AS since FROM accounts AS a
    WHERE a.customer_id = p.customer_id
) AS a ON true
WHERE "right"(p.birthday, 5) = ANY(:names) AND p.birthday IS NOT NULL AND p.customer_id > :after
  AND coalesce(p.joined_at, a.since, :begins_at) < :ends_at
  AND NOT EXISTS (SELECT FROM activities AS v
                  WHERE v.customer_id = p.customer_id AND v.activity_key = 'birthday:' || :year)
ORDER BY p.customer_id LIMIT :most""")

_ANNIVERSARIES = text("""
SELECT k.customer_id, :begins_at AS at
FROM (
    SELECT a.customer_id, coalesce(p.joined_at, a.member_since, a.joined_at) AS since
    FROM accounts AS a LEFT JOIN profiles AS p USING (customer_id)
    WHERE a.customer_id > :after
) AS k
WHERE to_char(k.since AT TIME ZONE :zone, 'MM-DD') = ANY(:names)
  AND extract(year FROM k.since AT TIME ZONE :zone) < CAST(:year AS integer)
  AND NOT EXISTS (SELECT FROM activities AS v
                  WHERE v.customer_id = k.customer_id AND v.activity_key = 'anniversary:' || :year)
ORDER BY k.customer_id LIMIT :most""")

_QUERIES = {"birthday": _BIRTHDAYS, "anniversary": _ANNIVERSARIES}


def _pages(database: Database, kind: Kind, day: _Day) -> Iterator[list[tuple[str, datetime]]]:
    """Yield those to be celebrated, each with the instant from which it counts, a thousand at a time."""
    after = ""
    while True:
        with database.engine.connect() as conn:
            found = _read(conn, kind, day, after)
        if not found:
            return
        yield found
        after = found[-1][0]


def _read(conn: Connection, kind: Kind, day: _Day, after: str) -> list[tuple[str, datetime]]:
    about = {
        "names": TextArray(day.names),
        "year": str(day.day.year),
        "begins_at": day.begins_at,
        "after": after,
        "most": _PAGE,
    }
    about |= {"ends_at": day.ends_at} if kind == "birthday" else {"zone": day.zone}
    return [(row.customer_id, row.at) for row in conn.execute(_QUERIES[kind], about)]


def _send(
    engine: Engine,
    kind: Kind,
    day: _Day,
    customers: list[tuple[str, datetime]],
    now: datetime,
    done: Celebrated,
) -> None:
    activity = {"type": kind, "year": day.day.year}
    awards = [
        Submission(
            Award.model_validate({"customer_id": who, "occurred_at": at, "activity": activity}),
            f"celebrations:{kind}:{day.day.year}",
            ACTOR,
            remember_refusal=False,
        )
        for who, at in customers
    ]
    for answer in engine.execute(awards, now):
        if answer.status >= 500:
            done.failed += 1
        elif answer.status < 300 and not answer.replayed:
            done.points += json.loads(answer.body)["points"]
            done.birthdays += kind == "birthday"
            done.anniversaries += kind == "anniversary"
