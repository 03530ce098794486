"""Qualification windows and the ends of standings, in days of the program's calendar. Pure.

A day is its ordinal (``date.toordinal``). Everything that time does to standings it does at the beginning of a day.
"""

import calendar
from bisect import bisect_right
from collections.abc import Callable
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from rewards.program import periods
from rewards.program.durations import Duration, parse_duration, parse_month_day
from rewards.program.ladder import (
    AnniversaryPeriods,
    CalendarPeriods,
    Lifetime,
    ProgramDates,
    QualificationWindow,
    Rolling,
)

#: A period as its first day and the first day after it.
Period = tuple[int, int]
#: Given a day and the day of joining, the period that the day is in.
Periods = Callable[[int, int], Period]
#: Given a day, the first one on which what was done on it counts no more.
Drop = Callable[[int], int]


class Days:
    """The days of a time zone."""

    __slots__ = ("_zone", "begins")

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        #: Return the first instant of a day, in UTC.
        self.begins: Callable[[int], datetime] = lru_cache(maxsize=4_096)(
            lambda day: periods.start_of_day(date.fromordinal(day), zone)
        )

    def local(self, instant: datetime) -> datetime:
        """Return the wall clock at an instant, without its zone."""
        return instant.astimezone(self._zone).replace(tzinfo=None)

    def of(self, instant: datetime) -> int:
        """Return the day that an instant lies in."""
        return instant.astimezone(self._zone).toordinal()


@lru_cache(maxsize=64)
def days_of(zone: ZoneInfo) -> Days:
    """Return the days of a time zone, which remember where they begin."""
    return Days(zone)


@lru_cache(maxsize=16_384)
def shift(day: int, months: int, days: int) -> int:
    """Return the day that lies some calendar months and then days later."""
    moved = date.fromordinal(day)
    if months:
        year, month = divmod(moved.year * 12 + moved.month - 1 + months, 12)
        moved = date(year, month + 1, min(moved.day, calendar.monthrange(year, month + 1)[1]))
    return moved.toordinal() + days


def end_of(unit: str, day: int) -> int:
    """Return the first day after the month or year that a day is in."""
    return calendar_period(unit, day)[1]


@lru_cache(maxsize=16_384)
def calendar_period(unit: str, day: int) -> Period:
    """Return the calendar month, quarter or year that a day is in."""
    wall = date.fromordinal(day)
    length = {"month": 1, "quarter": 3, "year": 12}[unit]
    first = (wall.month - 1) // length * length + 1
    start = date(wall.year, first, 1)
    year, month = divmod(wall.year * 12 + first - 1 + length, 12)
    return start.toordinal(), date(year, month + 1, 1).toordinal()


def anniversary_period(day: int, joined: int) -> Period:
    """Return the year since joining that a day is in; one who joined on 29 February has it on the 28th, too."""
    years = max((date.fromordinal(day).year - date.fromordinal(joined).year), 0)
    start = shift(joined, 12 * years, 0)
    if start > day and years:
        years -= 1
        start = shift(joined, 12 * years, 0)
    return start, shift(joined, 12 * (years + 1), 0)


@lru_cache(maxsize=16_384)
def dates_period(dates: tuple[str, ...], day: int) -> Period:
    """Return the period between two of the listed days of the year that a day is in."""
    year = date.fromordinal(day).year
    starts = sorted(
        date(each, month, min(number, calendar.monthrange(each, month)[1])).toordinal()
        for each in (year - 1, year, year + 1)
        for month, number in map(parse_month_day, dates)
    )
    place = bisect_right(starts, day)
    return starts[place - 1], starts[place]


def compile_window(window: QualificationWindow) -> tuple[Drop | None, Periods | None]:
    """Return how a window lets go of what happened: day by day, period by period, or (neither) never."""
    match window:
        case Lifetime():
            return None, None
        case Rolling(period=text):
            length: Duration = parse_duration(text)
            return lambda day: shift(day, length.months, length.days), None
        case CalendarPeriods(unit=unit):
            return None, lambda day, _joined: calendar_period(unit, day)
        case AnniversaryPeriods():
            return None, anniversary_period
        case ProgramDates(dates=dates):
            return None, lambda day, _joined: dates_period(dates, day)
