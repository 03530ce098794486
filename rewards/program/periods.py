"""Calendar arithmetic in the program's time zone: when points become available and when they expire.

Years, months, weeks and days move the wall clock: a month after 31 January is the last day of February, and
a day after 12:00 is 12:00, however long that day was. Hours, minutes and seconds are elapsed time. A wall
time that a change of clocks skips is read as if they had not yet changed (01:30 becomes 02:30); one that
comes twice means the first. Every result is in UTC.
"""

import calendar
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from rewards.program.compiled import ByIdentity
from rewards.program.durations import Duration, parse_duration, parse_month_day
from rewards.program.points import (
    ExpiresAfter,
    ExpiresOnDates,
    ExpiresOnInactivity,
    NeverExpires,
    PointsPolicy,
)

__all__ = [
    "Duration",
    "add",
    "available_at",
    "end_of_listed_day",
    "end_of_month",
    "end_of_year",
    "expires_at",
    "inactive_at",
    "parse_duration",
    "parse_month_day",
    "start_of_day",
]

#: Instants whose periods are remembered, for each policy. A batch's awards often share one.
_REMEMBERED = 1024

_Step = Callable[[datetime], datetime]


def add(instant: datetime, duration: Duration, zone: ZoneInfo) -> datetime:
    """Return the instant that lies ``duration`` after ``instant`` on the calendar of ``zone``, in UTC."""
    if duration.months or duration.days:
        wall = instant.astimezone(zone)
        if duration.months:
            year, month = divmod(wall.year * 12 + wall.month - 1 + duration.months, 12)
            day = wall.day
            if day > 28:
                day = min(day, calendar.monthrange(year, month + 1)[1])
            wall = wall.replace(year=year, month=month + 1, day=day)
        instant = wall.replace(fold=0) + timedelta(days=duration.days)
    instant = instant.astimezone(UTC)
    return instant + timedelta(seconds=duration.seconds) if duration.seconds else instant


def start_of_day(day: date, zone: ZoneInfo) -> datetime:
    """Return the first instant of a calendar day in ``zone``, in UTC."""
    # A midnight that a change of clocks skips is read with the offset before it: the very change.
    return datetime.combine(day, time(), zone).astimezone(UTC)


def end_of_month(instant: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant of the month after the one that ``instant`` lies in, in UTC."""
    wall = instant.astimezone(zone)
    year, month = divmod(wall.year * 12 + wall.month, 12)
    return datetime(year, month + 1, 1, tzinfo=zone).astimezone(UTC)


def end_of_year(instant: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant of the year after the one that ``instant`` lies in, in UTC."""
    return datetime(instant.astimezone(zone).year + 1, 1, 1, tzinfo=zone).astimezone(UTC)


def end_of_listed_day(instant: datetime, days: Sequence[tuple[int, int]], zone: ZoneInfo) -> datetime:
    """Return the end of the first of ``days`` (month, day) on or after ``instant``'s day in ``zone``."""
    today = instant.astimezone(zone).date()
    ahead = min(
        listed
        for year in (today.year, today.year + 1)
        for listed in _listed_days(tuple(days), year)
        if listed >= today
    )
    return start_of_day(ahead + timedelta(days=1), zone)


@lru_cache(maxsize=256)
def _listed_days(days: tuple[tuple[int, int], ...], year: int) -> list[date]:
    return [date(year, month, min(day, calendar.monthrange(year, month)[1])) for month, day in days]


def available_at(points: PointsPolicy, occurred_at: datetime, zone: ZoneInfo) -> datetime:
    """Return when points for an activity at ``occurred_at`` become available, in UTC."""
    return times(points, zone).available_at(occurred_at.astimezone(UTC))


def expires_at(points: PointsPolicy, occurred_at: datetime, zone: ZoneInfo) -> datetime | None:
    """Return when points for an activity at ``occurred_at`` expire, in UTC.

    None where no date is known at once: they never expire, or expire on inactivity (see ``inactive_at``).
    """
    step = times(points, zone).expires_at
    return None if step is None else step(occurred_at.astimezone(UTC))


def inactive_at(points: PointsPolicy, last_activity_at: datetime, zone: ZoneInfo) -> datetime | None:
    """Return when a customer who last earned or redeemed at ``last_activity_at`` loses all points, in UTC.

    None where inactivity costs nothing.
    """
    step = times(points, zone).inactive_at
    return None if step is None else step(last_activity_at.astimezone(UTC))


class Times:
    """A policy's three questions, with all parsing done and recent answers remembered."""

    __slots__ = ("available_at", "expires_at", "inactive_at")

    def __init__(self, points: PointsPolicy, zone: ZoneInfo) -> None:
        pending = parse_duration(points.pending or "P0D")
        self.available_at: _Step = _remembered(_adding(pending, zone)) if pending else _same
        self.expires_at: _Step | None = None
        self.inactive_at: _Step | None = None
        match points.expiry:
            case ExpiresOnInactivity(period=period):
                self.inactive_at = _remembered(_adding(parse_duration(period), zone))
            case NeverExpires():
                pass
            case expiry:
                self.expires_at = _remembered(_expiring(expiry, zone))


def _expiring(expiry: ExpiresAfter | ExpiresOnDates, zone: ZoneInfo) -> _Step:
    match expiry:
        case ExpiresAfter(period=period, round_up_to=None):
            return _adding(parse_duration(period), zone)
        case ExpiresAfter(period=period, round_up_to=unit):
            life, end = parse_duration(period), end_of_month if unit == "month" else end_of_year
            return lambda instant: end(add(instant, life, zone), zone)
        case ExpiresOnDates(dates=dates, minimum_life=minimum):
            life, days = parse_duration(minimum or "P0D"), tuple(parse_month_day(day) for day in dates)
            return lambda instant: end_of_listed_day(add(instant, life, zone), days, zone)


def _adding(duration: Duration, zone: ZoneInfo) -> _Step:
    return lambda instant: add(instant, duration, zone)


def _same(instant: datetime) -> datetime:
    return instant


def _remembered(step: _Step) -> _Step:
    return lru_cache(maxsize=_REMEMBERED)(step)


times = ByIdentity(Times)
