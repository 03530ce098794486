"""When an entry counts: by when it occurred, or by when it was booked; and the spans that figures are told by."""

from bisect import bisect_right
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from rewards.facts.tables import EXCLUDED_TAGS
from rewards.metrics.orders import day_of
from rewards.metrics.windows import Kind, window_of

if TYPE_CHECKING:
    from rewards.metrics.source import Source

#: ``occurred`` is the shop's own time: what is told of the past takes in what came late. ``recorded`` is ours: what
#: the books said then, which nothing changes any more.
Clock = Literal["occurred", "recorded"]
CLOCKS = ("occurred", "recorded")

#: Points that expire at the end of a day are gone with that day, though its end is the next one's first instant.
_ENDS = "('expire', 'unexpire')"

#: Accounts whose doings are no business: tagged as tests or staff, as is whoever is the same person.
NOT_CUSTOMERS = """(
    SELECT customer_id FROM accounts WHERE tags && '{excluded_tags}'
    UNION ALL SELECT customer_id FROM customer_stats WHERE excluded
    UNION ALL SELECT i.customer_id FROM identities AS i
              JOIN customer_stats AS s ON s.customer_id = i.same_as AND s.excluded
)""".replace("excluded_tags", ",".join(EXCLUDED_TAGS))


def is_before(clock: Clock, instant: str = ":at", entry: str = "e") -> str:
    """Return the SQL condition that an entry counts before an instant."""
    if clock == "recorded":
        return f"{entry}.recorded_at < {instant}"
    ended = f"{entry}.occurred_at = {instant} AND {entry}.kind IN {_ENDS}"
    return f"({entry}.occurred_at < {instant} OR ({ended}))"


def counted_at(clock: Clock, entry: str = "e") -> str:
    """Return the SQL of the instant by which an entry is put into a span."""
    if clock == "recorded":
        return f"{entry}.recorded_at"
    ends = f"CASE WHEN {entry}.kind IN {_ENDS} THEN interval '1 microsecond' ELSE interval '0' END"
    return f"({entry}.occurred_at - {ends})"


_Read = TypeVar("_Read")


def kept(source: "Source", key: Hashable, read: Callable[[], _Read]) -> _Read:
    """Return what was read for this source under this key before, or read it: figures share what costs a pass."""
    memory: dict[Hashable, Any] = source.__dict__.setdefault("_kept_readings", {})
    if key not in memory:
        memory[key] = read()
    found: _Read = memory[key]
    return found


def begins(day: date, zone: ZoneInfo) -> datetime:
    """Return the instant, in UTC, at which a day begins on the clocks of ``zone``."""
    return datetime.combine(day, datetime.min.time(), zone).astimezone(UTC)


def month_of(day: date, back: int = 0) -> date:
    """Return the first day of a date's month, or of that ``back`` months before."""
    months = day.year * 12 + day.month - 1 - back
    return date(months // 12, months % 12 + 1, 1)


@dataclass(frozen=True, slots=True)
class Period:
    """Days that a figure looks at: from the beginning of ``first`` to the end of ``last`` on the shop's clocks."""

    first: date
    last: date
    zone: ZoneInfo

    @property
    def starts_at(self) -> datetime:
        """The instant at which it begins."""
        return begins(self.first, self.zone)

    @property
    def ends_at(self) -> datetime:
        """The instant at which it is over."""
        return begins(self.last + timedelta(days=1), self.zone)

    def __str__(self) -> str:
        """Return it for people."""
        return f"{self.first.isoformat()} to {self.last.isoformat()}"

    def parameters(self) -> dict[str, str]:
        """Return it as plain JSON values, ``to`` being the day after the last."""
        return {"from": self.first.isoformat(), "to": (self.last + timedelta(days=1)).isoformat()}


def period_of(source: "Source", window: Kind, days: int, span: Mapping[str, date | None]) -> Period:
    """Return the days that were asked for, as :func:`rewards.metrics.windows.window_of` has them.

    Raises:
        BadParameter: there would be none.
    """
    found = window_of(source, window, days, span)
    return Period(day_of(found.start), day_of(found.end - 1), source.zone)


class Spans:
    """Calendar months up to the end of a day, the last of them perhaps cut short, with one more cut among them.

    ``bounds`` are for ``width_bucket``: 0 is before all of them, i is from the i-th bound on.

    Args:
        as_of: the last day.
        zone: whose calendar it is.
        months: how many calendar months, that of ``as_of`` included.
        since: a day at whose beginning spans are cut, too.
    """

    def __init__(self, as_of: date, zone: ZoneInfo, months: int, since: date | None = None) -> None:
        self.months = [month_of(as_of, back) for back in reversed(range(months))]
        cuts = {*self.months, as_of + timedelta(days=1)}
        self._cuts = sorted(cuts | ({since} if since is not None else set()))
        self.bounds = [begins(day, zone) for day in self._cuts]

    def month(self, bucket: int) -> date | None:
        """Return the month that a bucket lies in; None before all months."""
        if bucket == 0:
            return None
        found = bisect_right(self.months, self._cuts[bucket - 1]) - 1
        return self.months[found] if found >= 0 else None

    def is_since(self, bucket: int, day: date) -> bool:
        """Tell whether a bucket lies at or after the beginning of ``day``, which is one of the cuts."""
        return bucket > 0 and self._cuts[bucket - 1] >= day

    def month_at(self, day: date) -> date | None:
        """Return the month that a day lies in; None before all months, or after their end."""
        month = month_of(day)
        return month if self.months[0] <= month <= self.months[-1] else None


def months_since(first: date | None, as_of: date, most: int) -> int:
    """Return how many calendar months there are from ``first`` to ``as_of``, both included: 1 to ``most``."""
    if first is None:
        return 1
    return max(1, min(most, (as_of.year - first.year) * 12 + as_of.month - first.month + 1))


def edges(at: datetime, days: Sequence[int]) -> list[datetime]:
    """Return the instants so many days from ``at``, in the order given."""
    return [at + timedelta(days=each) for each in days]
