"""How the document writes periods and days of the year: ISO 8601 durations and ``MM-DD``."""

import calendar
import re
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

#: No period of a program is longer; keeps every instant that follows from one within the calendar.
LONGEST_YEARS = 100

_ISO_8601 = re.compile(
    r"P(?=.)(?:(?P<years>\d{1,4})Y)?(?:(?P<months>\d{1,5})M)?(?:(?P<weeks>\d{1,5})W)?(?:(?P<days>\d{1,6})D)?"
    r"(?:T(?=.)(?:(?P<hours>\d{1,7})H)?(?:(?P<minutes>\d{1,9})M)?(?:(?P<seconds>\d{1,10})S)?)?",
    re.ASCII,
)
_MONTH_DAY = re.compile(r"(\d\d)-(\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Duration:
    """A period of calendar months, then calendar days, then elapsed seconds; none of them negative."""

    months: int = 0
    days: int = 0
    seconds: int = 0

    def __bool__(self) -> bool:
        return bool(self.months or self.days or self.seconds)

    def shortest(self) -> timedelta:
        """Return a lower bound of the time that the period takes, whenever it begins."""
        days = max(self.months * 28, self.months * 365 // 12 - 3)
        return max(timedelta(), timedelta(days=days + self.days, seconds=self.seconds) - self._clock_change())

    def longest(self) -> timedelta:
        """Return an upper bound of the time that the period takes, whenever it begins."""
        days = min(self.months * 31, self.months * 366 // 12 + 3)
        return timedelta(days=days + self.days, seconds=self.seconds) + self._clock_change()

    def _clock_change(self) -> timedelta:
        # Of the calendar's days, one may be longer or shorter where the clocks changed.
        return timedelta(hours=2) if self.months or self.days else timedelta()


@lru_cache(maxsize=1024)
def parse_duration(text: str) -> Duration:
    """Read an ISO 8601 duration of whole units, such as ``P12M``, ``P2W`` or ``PT30M``.

    Raises:
        ValueError: not such a duration, or longer than 100 years. The message says what to write.
    """
    match = _ISO_8601.fullmatch(text)
    if match is None:
        raise ValueError(f"not an ISO 8601 duration: {text[:40]!r} (write for example P12M, P14D or PT30M)")
    unit = {name: int(digits or 0) for name, digits in match.groupdict().items()}
    parsed = Duration(
        months=12 * unit["years"] + unit["months"],
        days=7 * unit["weeks"] + unit["days"],
        seconds=3600 * unit["hours"] + 60 * unit["minutes"] + unit["seconds"],
    )
    if parsed.months / 12 + (parsed.days + parsed.seconds / 86_400) / 365 > LONGEST_YEARS:
        raise ValueError(f"{text} is longer than {LONGEST_YEARS} years")
    return parsed


@lru_cache(maxsize=1024)
def parse_month_day(text: str) -> tuple[int, int]:
    """Read a day of every year written ``MM-DD``; ``02-29`` is the last day of February in every year.

    Raises:
        ValueError: not such a day. The message says what to write.
    """
    if match := _MONTH_DAY.fullmatch(text):
        month, day = int(match[1]), int(match[2])
        if 1 <= month <= 12 and 1 <= day <= calendar.monthrange(2024, month)[1]:
            return month, day
    raise ValueError(
        f"not a day of the year: {text[:40]!r} (write month and day, for example 06-30 or 12-31)"
    )
