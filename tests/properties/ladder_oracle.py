"""Where a customer should stand: the words of docs/guides/ladders.md played again, slowly, one day after the other.

This shares no code with ``tiers``. Ladders are plain data; every sum is counted anew from all that happened, each time it
is asked for, and every midnight is looked at, whether or not anything is due.
"""

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

MEASURES = ("points", "spend_minor", "orders", "referrals")
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Happened:
    """A purchase, a referral, or a refund, which counts to where its order was bought."""

    at: datetime
    counted_on: datetime
    amounts: dict[str, int]
    is_refund: bool = False


@dataclass(frozen=True)
class Granted:
    """A standing given by hand."""

    tier: str
    at: datetime
    ends_at: datetime | None


@dataclass(frozen=True)
class Published:
    """A ladder, or none, and from when on it is in force."""

    at: datetime
    ladder: dict[str, Any] | None


@dataclass
class Life:
    """All that is known of a customer and of the program."""

    zone: ZoneInfo
    #: The first one governs what was before it, too.
    published: list[Published]
    happened: list[Happened] = field(default_factory=list)
    granted: list[Granted] = field(default_factory=list)
    member_since: datetime | None = None


@dataclass(frozen=True)
class Stands:
    """Where the customer stands."""

    tier: str | None
    since: datetime | None
    until: datetime | None
    earned: str | None
    is_in_grace: bool


#: What conditions say, in Python.
CONDITIONS: dict[str, Callable[[dict[str, int], "Walk"], bool]] = {
    "qualifying.orders >= 2 && qualifying.spend_minor >= 5000": lambda sums, _: (
        sums["orders"] >= 2 and sums["spend_minor"] >= 5000
    ),
    "qualifying.points + 20 * qualifying.referrals >= 60": lambda sums, _: (
        sums["points"] + 20 * sums["referrals"] >= 60
    ),
    "customer.days_since_joined >= 100": lambda _, walk: (walk.today - walk.joined_on()).days >= 100,
    "time.month == 12": lambda _, walk: walk.today.month == 12,
}


# The calendar.


@lru_cache(maxsize=100_000)
def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return a day's first instant: the first minute in which a clock on the wall shows that day, or a later one."""
    low = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=2)
    high = low + timedelta(days=4)
    while high - low > timedelta(minutes=1):
        middle = low + (high - low) // 2
        middle -= timedelta(seconds=middle.second, microseconds=middle.microsecond)
        if middle == low:
            break
        if middle.astimezone(zone).date() >= day:
            high = middle
        else:
            low = middle
    return high


def later(day: date, period: str) -> date:
    """Return the day that is a period later: months on the calendar, and then days."""
    unit = {name: int(number) for number, name in re.findall(r"(\d+)([YMWD])", period)}
    months = 12 * unit.get("Y", 0) + unit.get("M", 0)
    year, month = day.year, day.month + months
    while month > 12:
        year, month = year + 1, month - 12
    moved = date(year, month, min(day.day, calendar.monthrange(year, month)[1]))
    return moved + timedelta(days=7 * unit.get("W", 0) + unit.get("D", 0))


def first_days(window: dict[str, Any], joined: date) -> list[date]:
    """Return the first days of all a window's periods in the years that matter."""
    years = range(joined.year - 2, joined.year + 20)
    match window["type"]:
        case "calendar":
            months = {"year": [1], "quarter": [1, 4, 7, 10], "month": range(1, 13)}[
                window.get("unit", "year")
            ]
            return [date(year, month, 1) for year in years for month in months]
        case "dates":
            listed = [(int(day[:2]), int(day[3:])) for day in window["dates"]]
            return sorted(
                {
                    date(year, month, min(number, calendar.monthrange(year, month)[1]))
                    for year in years
                    for month, number in listed
                }
            )
    return [later(joined, f"P{number}Y") for number in range(20)]


def period(window: dict[str, Any], day: date, joined: date) -> tuple[date, date]:
    """Return the period that a day is in: its first day, and the next one's. Before joining it is the first one."""
    starts = first_days(window, joined)
    place = max([place for place, start in enumerate(starts) if start <= day], default=0)
    return starts[place], starts[place + 1]


# A customer's life, one step after the other.


class Walk:
    """A walk through a customer's life."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.seen: list[Happened] = []
        self.ladder = life.published[0].ladder
        #: The place of the tier that is earned: -1 below the first; None while there is no customer, or no ladder.
        self.tier: int | None = None
        self.until: date | None = None
        self.grace_until: date | None = None
        self.enough_at_the_end = -1
        self.floor = -1
        self.grants: list[Granted] = []
        self.name: str | None = None
        self.since: datetime | None = None
        self.today = date.min

    def stands(self, at: datetime) -> Stands:
        """Return where the customer stands at ``at``."""
        grants = [each for each in self.grants if self.place(each.tier) >= 0]
        best = max([self.place(each.tier) for each in grants], default=-1)
        earned = -1 if self.tier is None else self.tier
        ends: list[datetime | None] = [each.ends_at for each in grants if self.place(each.tier) == best]
        own = self.grace_until or self.until
        own_end = None if own is None else midnight(own, self.life.zone)
        if best < earned:
            ends = [own_end]
        elif best == earned:
            ends.append(own_end)
        until = None if None in ends else max(end for end in ends if end is not None)
        name = self.tiers()[earned]["id"] if earned >= 0 else None
        return Stands(self.name, self.since, until, name, self.grace_until is not None)

    # -- what the ladder says

    def rule(self, name: str, otherwise: Any) -> Any:
        assert self.ladder is not None
        return self.ladder.get(name, otherwise)

    def tiers(self) -> list[dict[str, Any]]:
        return [] if self.ladder is None else self.ladder["tiers"]

    def window(self) -> dict[str, Any]:
        return dict(self.rule("window", {"type": "lifetime"}))

    def lasts(self) -> dict[str, Any]:
        return dict(self.rule("lasts", {"type": "for_ever"}))

    def downgrade(self, part: str, otherwise: Any) -> Any:
        return self.rule("downgrade", {}).get(part, otherwise)

    def place(self, tier: str) -> int:
        return next((place for place, each in enumerate(self.tiers()) if each["id"] == tier), -1)

    def lowest(self) -> int:
        return -1 if self.tiers()[0].get("ways_in") else 0

    def is_while_qualified(self) -> bool:
        return bool(self.lasts()["type"] == "while_qualified")

    def raises_at_ends(self) -> bool:
        return bool(self.rule("upgrade", "at_once") == "period_end")

    # -- what counts

    def day(self, instant: datetime) -> date:
        return instant.astimezone(self.life.zone).date()

    def joined_on(self) -> date:
        joined = self.life.member_since or begins(self.life)
        assert joined is not None
        return self.day(joined)

    def counts(self, each: Happened, window: dict[str, Any]) -> bool:
        """Tell whether what happened counts today."""
        day = self.day(each.counted_on)
        match window["type"]:
            case "lifetime":
                return True
            case "rolling":
                return self.today < later(day, window["period"])
        return day >= period(window, self.today, self.joined_on())[0]

    def sum(self, measure: str, window: dict[str, Any]) -> int:
        return sum(each.amounts.get(measure, 0) for each in self.seen if self.counts(each, window))

    def is_enough(self, way: dict[str, Any]) -> bool:
        if "when" in way:
            sums = {measure: self.sum(measure, self.window()) for measure in MEASURES}
            return CONDITIONS[way["when"]](sums, self)
        (measure,) = set(way) - {"window"}
        return self.sum(measure, way.get("window", self.window())) >= int(way[measure])

    def qualified(self, today: date) -> int:
        """Return the place of the highest tier whose ways in are enough on a day."""
        self.today = today
        for place in reversed(range(len(self.tiers()))):
            tier = self.tiers()[place]
            if tier.get("invitation_only"):
                continue
            met = [self.is_enough(way) for way in tier.get("ways_in", [])]
            if all(met) if tier.get("needs", "any") == "all" or not met else any(met):
                return place
        return -1

    def something_stops_counting(self, today: date) -> bool:
        """Tell whether anything that any way in asks for stops counting with a day's beginning."""
        asked: list[tuple[str, dict[str, Any]]] = []
        for way in (way for tier in self.tiers() for way in tier.get("ways_in", [])):
            if "when" in way:
                if "time." in way["when"] or "days_since" in way["when"]:
                    return True
                asked += [(measure, self.window()) for measure in MEASURES]
            else:
                (measure,) = set(way) - {"window"}
                asked.append((measure, way.get("window", self.window())))
        return any(self.stops(measure, window, today) for measure, window in asked)

    def stops(self, measure: str, window: dict[str, Any], today: date) -> bool:
        if window["type"] == "lifetime":
            return False
        if window["type"] == "rolling":
            days = [self.day(each.counted_on) for each in self.seen if each.amounts.get(measure)]
            return any(later(day, window["period"]) == today for day in days)
        return self.period_begins(window, today)

    def period_begins(self, window: dict[str, Any], today: date) -> bool:
        return period(window, today - DAY, self.joined_on())[1] == today

    # -- how long it lasts

    def lasts_from(self, today: date, is_renewal: bool) -> date | None:
        """Return the first day after a standing that is reached during a day, or renewed as a day begins."""
        lasts = self.lasts()
        if self.downgrade("to", "qualified") == "none":
            return None
        if lasts["type"] == "after":
            last = later(today - DAY if is_renewal else today, lasts["period"])
            match lasts.get("round_up_to"):
                case "month":
                    last = date(last.year, last.month, calendar.monthrange(last.year, last.month)[1])
                case "year":
                    last = date(last.year, 12, 31)
            return last + DAY
        if lasts["type"] == "period_end":
            end = period(self.window(), today, self.joined_on())[1]
            for _ in range(0 if is_renewal else lasts.get("more_periods", 0)):
                end = period(self.window(), end, self.joined_on())[1]
            return end
        return None

    def reached_at_midnight(self, today: date) -> date | None:
        """A tier that comes with the beginning of a day; of periods, it has the one that begins, and what follows."""
        return self.lasts_from(today, is_renewal=self.lasts()["type"] != "period_end")

    def grace_from(self, today: date) -> date | None:
        grace, is_rounded = self.downgrade("grace", None), self.downgrade("round_up_to", None) == "month"
        if grace is None:
            return None
        end = later(today, grace)
        if is_rounded:
            last = max(end - DAY, today)
            end = date(last.year, last.month, calendar.monthrange(last.year, last.month)[1]) + DAY
        return end if end > today else None

    # -- moving

    def stand(self, tier: int, until: date | None) -> None:
        self.tier = tier
        held = [place for place in range(tier + 1) if self.tiers()[place].get("never_downgrade")]
        self.floor = max([self.floor, self.lowest(), *held])
        self.until = None if tier <= self.floor else until
        self.grace_until, self.enough_at_the_end = None, -1

    def note(self, at: datetime) -> None:
        place = max(
            [-1 if self.tier is None else self.tier, *(self.place(each.tier) for each in self.grants)]
        )
        name = None if self.ladder is None or place < 0 else self.tiers()[place]["id"]
        if name != self.name or (self.since is None and self.ladder is not None):
            self.since = at
        self.name = name

    def landing(self, enough: int) -> int:
        """Return where the standing falls to."""
        assert self.tier is not None
        match self.downgrade("to", "qualified"):
            case "none":
                falls_to = self.tier
            case "first":
                falls_to = self.lowest()
            case "one_lower":
                open_ones = [
                    place for place in range(self.tier) if not self.tiers()[place].get("invitation_only")
                ]
                falls_to = max([self.lowest(), enough, *open_ones])
            case _:
                falls_to = max(enough, self.lowest())
        return max(falls_to, self.floor)

    def fall(self, enough: int, today: date) -> None:
        assert self.tier is not None
        tier = self.tier if enough >= self.tier else self.landing(enough)
        self.stand(tier, self.lasts_from(today, is_renewal=True))

    def end(self, enough: int, today: date) -> None:
        assert self.tier is not None
        grace = self.grace_from(today)
        if enough < self.tier and self.landing(enough) < self.tier and grace is not None:
            self.until, self.grace_until = None, grace
            self.enough_at_the_end = -1 if self.is_while_qualified() else enough
        else:
            self.fall(enough, today)

    # -- what there is on the way

    def begin_day(self, today: date, at: datetime) -> None:
        """Midnight: what ended is looked at as of yesterday, then the windows let go, then everybody requalifies."""
        if self.tier is None:
            return
        looks = self.is_while_qualified() and self.something_stops_counting(today)
        enough = self.qualified(today - DAY)
        period_ended = self.raises_at_ends() and self.period_begins(self.window(), today)
        if period_ended and enough > self.tier:
            self.stand(enough, self.reached_at_midnight(today))
        elif self.grace_until == today:
            self.fall(max(enough, self.enough_at_the_end), today)
            looks = self.is_while_qualified()
        elif self.until == today:
            self.end(enough, today)
        enough = self.qualified(today)
        if enough > self.tier and not self.raises_at_ends():
            self.stand(enough, self.reached_at_midnight(today))
        elif looks and enough >= self.tier:
            self.grace_until = None
        elif looks and self.grace_until is None and self.tier > self.floor:
            self.end(enough, today)
        self.note(at)

    def look(self, at: datetime) -> None:
        """Something happened."""
        if self.ladder is None:
            return
        today = self.day(at)
        if self.tier is None:
            self.enter(at, is_new=True)
            return
        enough = self.qualified(today)
        if self.raises_at_ends():
            enough = min(enough, max(self.tier, 0))
        if enough > self.tier:
            self.stand(enough, self.lasts_from(today, is_renewal=False))
        elif self.grace_until is not None and enough >= self.tier:
            again = self.lasts()["type"] == "period_end"
            self.stand(self.tier, self.lasts_from(today, is_renewal=again))
        self.note(at)

    def enter(self, at: datetime, *, is_new: bool) -> None:
        today = self.day(at)
        self.floor = self.lowest()
        self.stand(self.lowest(), None)
        enough = self.qualified(today)
        if is_new and self.raises_at_ends():
            enough = min(enough, 0)
        if enough > self.lowest():
            self.stand(enough, self.lasts_from(today, is_renewal=False))
        self.note(at)

    def change(self, ladder: dict[str, Any] | None, at: datetime) -> None:
        """Another ladder takes effect."""
        before, self.ladder = self.ladder, ladder
        if ladder is None:
            self.tier = self.until = self.grace_until = None
            self.note(at)
            return
        if before is not None and moving(before) == moving(ladder):
            return
        began = begins(self.life)
        if began is None or began > at:
            return
        if before is None or self.tier is None:
            self.enter(at, is_new=False)
            return
        self.requalify_under(before, ladder, at)

    def requalify_under(self, before: dict[str, Any], ladder: dict[str, Any], at: datetime) -> None:
        assert self.tier is not None
        today = self.day(at)
        kept = before["tiers"][self.tier]["id"] if self.tier >= 0 else None
        tier = self.as_if(before, self.tier)
        enough = self.qualified(today)
        reachable = min(enough, max(tier, 0)) if self.raises_at_ends() else enough
        if reachable > tier:
            tier = reachable
        elif (
            enough < tier and ladder.get("edits", "requalify") == "requalify" and asks(before) != asks(ladder)
        ):
            held = [place for place in range(tier + 1) if self.tiers()[place].get("never_downgrade")]
            tier = max([enough, self.lowest(), *held])
        until, grace = self.until, self.grace_until
        enough_at_the_end = self.as_if(before, self.enough_at_the_end)
        self.floor = self.lowest()
        self.stand(tier, self.lasts_from(today, is_renewal=False))
        runs_on = self.place(kept or "") == tier >= 0 and (until or grace) and tier > self.floor
        if runs_on and clock(before) == clock(ladder):
            # Another ladder, but the standing goes on as it was.
            self.until, self.grace_until, self.enough_at_the_end = until, grace, enough_at_the_end
        self.note(at)

    def as_if(self, before: dict[str, Any], tier: int) -> int:
        """Return the place of a tier of the ladder before; where it is gone, of the next lower one."""
        ids = [each["id"] for each in before["tiers"][: max(tier + 1, 0)]]
        if ids and self.place(ids[-1]) >= 0:
            return self.place(ids[-1])
        for tier_id in reversed(ids[:-1]):
            place = self.place(tier_id)
            if place >= 0 and not self.tiers()[place].get("invitation_only"):
                return place
        return self.lowest()


def begins(life: Life) -> datetime | None:
    """Return the customer's first sign of life."""
    instants = [each.counted_on for each in life.happened] + [each.at for each in life.granted]
    return min([*instants, *([] if life.member_since is None else [life.member_since])], default=None)


def asks(ladder: dict[str, Any]) -> Any:
    """Return what a ladder asks for."""
    kept = ("id", "ways_in", "needs", "invitation_only")
    tiers = [{name: tier[name] for name in kept if tier.get(name)} for tier in ladder["tiers"]]
    return tiers, ladder.get("window", {"type": "lifetime"})


def clock(ladder: dict[str, Any]) -> Any:
    return ladder.get("lasts", {"type": "for_ever"}), ladder.get("window", {"type": "lifetime"})


def moving(ladder: dict[str, Any]) -> Any:
    """Return all that moves customers."""
    floors = [tier.get("never_downgrade", False) for tier in ladder["tiers"]]
    return asks(ladder), clock(ladder), floors, ladder.get("upgrade", "at_once"), ladder.get("downgrade", {})


# The walk.


def walked(life: Life, instants: list[datetime]) -> list[Stands]:
    """Return where the customer stands at each of some instants, in order."""
    steps = _steps(life)
    walk, told = Walk(life), []
    began = begins(life)
    first = min([instants[0], *(step[0] for step in steps), *([began] if began else [])])
    day = walk.day(first)
    for instant in instants:
        while True:
            following = midnight(day + DAY, life.zone)
            due = steps[0][0] if steps else instant + DAY
            if min(following, due) > instant:
                break
            if following <= due:
                day += DAY
                walk.begin_day(day, following)
            else:
                _, _, step = steps.pop(0)
                step(walk)
        told.append(walk.stands(instant))
    return told


Step = tuple[datetime, int, Callable[[Walk], None]]


def _steps(life: Life) -> list[Step]:
    """Return what there is on the way: at one instant programs come first, then grants, then what happened."""
    steps: list[Step] = []
    for number, each in enumerate(life.published):
        follows = life.published[number + 1 : number + 2]
        if number and not (follows and follows[0].at == each.at):
            steps.append((each.at, 0, lambda walk, each=each: walk.change(each.ladder, each.at)))  # type: ignore[misc]
    for grant in life.granted:
        steps.append((grant.at, 1, lambda walk, grant=grant: _grant(walk, grant)))  # type: ignore[misc]
        if grant.ends_at is not None:
            end = max(grant.ends_at, grant.at)
            steps.append((end, 2, lambda walk, grant=grant, end=end: _take_back(walk, grant, end)))  # type: ignore[misc]
    if (joined := life.member_since) is not None:
        steps.append((joined, 1, lambda walk: walk.look(joined)))
    read = [(_read_at(life, each), each) for each in life.happened]
    for instant in {instant for instant, _ in read}:
        together = [each for at, each in read if at == instant]
        steps.append((instant, 3, lambda walk, at=instant, all_=together: _happen(walk, all_, at)))  # type: ignore[misc]
    return sorted(steps, key=lambda step: step[:2])


def _read_at(life: Life, each: Happened) -> datetime:
    """Return when something counts from: a refund, as if what came back had never been bought, unless kept."""
    ladder = [
        published for number, published in enumerate(life.published) if not number or published.at <= each.at
    ][-1].ladder
    if each.is_refund and not (ladder is not None and ladder.get("refunds", "lower") == "keep"):
        return each.counted_on
    return each.at


def _happen(walk: Walk, together: list[Happened], at: datetime) -> None:
    walk.seen += together
    walk.look(at)


def _grant(walk: Walk, grant: Granted) -> None:
    if walk.ladder is not None and walk.tier is None:
        walk.enter(grant.at, is_new=True)
    walk.grants.append(grant)
    if walk.ladder is not None:
        walk.note(grant.at)


def _take_back(walk: Walk, grant: Granted, at: datetime) -> None:
    walk.grants.remove(grant)
    if walk.ladder is not None:
        walk.note(at)
