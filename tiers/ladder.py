"""A document's ladder, compiled: what is summed over which windows, and which tier sums qualify for. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from rewards.ledger.standing_state import Qualifying, Standing
from rewards.program.compiled import ByIdentity
from rewards.program.durations import parse_duration
from rewards.program.history import ProgramHistory
from rewards.program.ladder import (
    MEASURES,
    PERIODIC,
    ForEver,
    Ladder,
    LastsPeriod,
    LastsToPeriodEnd,
    QualificationWindow,
    Rolling,
    WhileQualified,
)
from tiers.windows import Drop, Periods, compile_window, days_of, end_of, shift

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from rewards.program.conditions import Conditions
    from rewards.program.document import ProgramDocument

#: Where each measure stands in a :class:`~rewards.ledger.standing_state.Qualifying`.
_PLACES = {name: Qualifying._fields.index(name) for name in MEASURES}
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


class Gauge(NamedTuple):
    """A sum that tiers ask for: of one measure, over one window."""

    measure: str
    #: Where the measure stands in a ``Qualifying``.
    place: int
    drop: Drop | None
    periods: Periods | None


class Test(NamedTuple):
    """What qualifies for one tier: sums with the least that each must be, and conditions by their place."""

    tier: int
    any_is_enough: bool
    least: tuple[tuple[int, int], ...]
    conditions: tuple[int, ...]


@dataclass(slots=True)
class Facts:
    """What conditions ask about a customer, besides the sums."""

    purchases: int = 0
    spent_minor: int = 0
    last_purchase_day: int | None = None
    joined_day: int | None = None


def _days_since(day: int | None, today: int, unknown: int) -> int:
    return unknown if day is None else max(today - day, 0)


def _place_asked(place: int) -> Callable[[Sequence[int], Facts, int], Any]:
    return lambda sums, _facts, _day: sums[place]


#: What conditions ask: given the sums over the ladder's window, in the order of the measures, the customer and the day.
_FACTS: dict[str, Callable[[Sequence[int], Facts, int], Any]] = {
    **{f"qualifying.{measure}": _place_asked(place) for place, measure in enumerate(MEASURES)},
    "customer.purchases": lambda _, facts, __: facts.purchases,
    "customer.spent_minor": lambda _, facts, __: facts.spent_minor,
    "customer.days_since_last_purchase": lambda _, facts, day: _days_since(facts.last_purchase_day, day, -1),
    "customer.days_since_joined": lambda _, facts, day: _days_since(facts.joined_day, day, 0),
    "time.year": lambda _, __, day: date.fromordinal(day).year,
    "time.month": lambda _, __, day: date.fromordinal(day).month,
    "time.day": lambda _, __, day: date.fromordinal(day).day,
    "time.weekday": lambda _, __, day: _WEEKDAYS[date.fromordinal(day).weekday()],
    "time.date": lambda _, __, day: date.fromordinal(day).isoformat(),
}
#: So many findings of conditions are remembered.
_MOST_KNOWN = 65_536


class CompiledLadder:
    """A ladder in a time zone, ready to be asked."""

    def __init__(self, ladder: Ladder, zone: "ZoneInfo") -> None:
        self.ladder = ladder
        self.days = days_of(zone)
        self.ids = [tier.id for tier in ladder.tiers]
        self.place_of = {tier_id: place for place, tier_id in enumerate(self.ids)}
        self.gauges: list[Gauge] = []
        self._place_of_gauge: dict[tuple[str, str], int] = {}
        whens: list[str] = []
        tests = [self._test(place, ladder, whens) for place in range(len(self.ids))]
        #: From the highest tier down.
        self.tests = [test for test in reversed(tests) if test is not None]
        #: For each tier, and before those for none, the next one up that sums lead to.
        self._following = [
            next((test for test in tests[place:] if test is not None and test.least), None)
            for place in range(len(self.ids) + 1)
        ]
        #: The sums over the ladder's own window that conditions ask for; empty where there are no conditions.
        self.asked = [self._gauge(measure, ladder.window) for measure in MEASURES] if whens else []
        self.conditions = _compile(whens)
        self._names = [] if self.conditions is None else sorted(self.conditions.names)
        #: What was found of facts before: of conditions on time alone the same are asked for customer after customer.
        self._known: dict[tuple[Any, ...], Sequence[bool]] = {}
        #: Whether time alone may meet a condition, so that each day asks again.
        self.asks_time = any("time." in when or "days_since" in when for when in whens)
        #: What qualifies for tiers, and all that moves customers: a ladder that differs in neither moves nobody.
        #: As text, which compares at once; every customer's standing asks.
        self.asks = repr(
            (
                [(tier.id, tier.ways_in, tier.needs, tier.invitation_only) for tier in ladder.tiers],
                ladder.window,
            )
        )
        self.moving = repr(
            (
                self.asks,
                [tier.never_downgrade for tier in ladder.tiers],
                (ladder.lasts, ladder.upgrade, ladder.downgrade),
                zone.key,
            )
        )
        #: What says when standings end.
        self.clock = repr((ladder.lasts, ladder.window))
        #: The lowest standing: in the first tier, or below it where that has ways in.
        self.base = -1 if ladder.tiers[0].ways_in else 0
        self.periods: Periods | None = (
            compile_window(ladder.window)[1] if isinstance(ladder.window, PERIODIC) else None
        )
        self.ends_with_periods = ladder.upgrade == "period_end"
        self.while_qualified = isinstance(ladder.lasts, WhileQualified)
        self.has_rolling = any(gauge.drop is not None for gauge in self.gauges)
        #: At least so long anything counts within every rolling window.
        self.shortest_rolling = _shortest(ladder)
        self.has_periodic = any(gauge.periods is not None for gauge in self.gauges)
        self.notice_days = _whole_days(ladder.notice)
        #: Whether ends of standings hang on when the customer joined, which a standing does not keep.
        self.needs_joined = self.periods is not None and ladder.window.type == "anniversary"

    def _test(self, place: int, ladder: Ladder, whens: list[str]) -> Test | None:
        tier = ladder.tiers[place]
        if tier.invitation_only:
            return None
        least, conditions = [], []
        for way in tier.ways_in:
            if way.when is not None:
                conditions.append(len(whens))
                whens.append(way.when)
            for measure in MEASURES:
                needed = getattr(way, measure)
                if needed is not None:
                    least.append((self._gauge(measure, way.window or ladder.window), needed))
        return Test(place, tier.needs == "any" and bool(tier.ways_in), tuple(least), tuple(conditions))

    def _gauge(self, measure: str, window: QualificationWindow) -> int:
        key = (measure, window.model_dump_json())
        if key not in self._place_of_gauge:
            self._place_of_gauge[key] = len(self.gauges)
            self.gauges.append(Gauge(measure, _PLACES[measure], *compile_window(window)))
        return self._place_of_gauge[key]

    def gauge_of(self, measure: str, window: QualificationWindow) -> int:
        """Return where the sum of a measure over a window stands among the gauges."""
        return self._place_of_gauge[measure, window.model_dump_json()]

    def qualified(self, sums: Sequence[int], met: Sequence[bool] = ()) -> int:
        """Return the place of the highest tier that sums and conditions qualify for; -1 for none."""
        for tier, any_is_enough, least, conditions in self.tests:
            if any_is_enough:
                for gauge, needed in least:
                    if sums[gauge] >= needed:
                        return tier
                for condition in conditions:
                    if met[condition]:
                        return tier
            elif all(sums[gauge] >= needed for gauge, needed in least) and all(
                met[each] for each in conditions
            ):
                return tier
        return -1

    def nearest(self, tier: int, sums: Sequence[int]) -> dict[str, Any] | None:
        """Return the next tier up that sums lead to, and what is missing of the way in that is nearest to done."""
        following = self._following[tier + 1]
        if following is None:
            return None
        gauge, needed = following.least[0]
        if len(following.least) > 1:
            choose = max if following.any_is_enough else min
            gauge, needed = choose(following.least, key=lambda each: sums[each[0]] / each[1])
        return {
            "id": self.ids[following.tier],
            "name": self.ladder.tiers[following.tier].name,
            "remaining": max(needed - sums[gauge], 0),
            "unit": self.gauges[gauge].measure,
        }

    def met(self, sums: Sequence[int], facts: Facts, day: int) -> Sequence[bool]:
        """Return which conditions are met; there are none where no tier has one."""
        if self.conditions is None:
            return ()
        sums_asked = [sums[gauge] for gauge in self.asked]
        key = tuple(_FACTS[name](sums_asked, facts, day) for name in self._names)
        met = self._known.get(key)
        if met is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            met = self._known[key] = self.conditions.evaluate(dict(zip(self._names, key, strict=True)))
        return met

    def reached(self, day: int, joined: int) -> int | None:
        """Return the day on which a standing reached on ``day`` ends; None for never, or as its sums fall."""
        lasts = self.ladder.lasts
        if isinstance(lasts, LastsToPeriodEnd) and self.ladder.downgrade.to != "none":
            assert self.periods is not None
            end = self.periods(day, joined)[1]
            for _ in range(lasts.more_periods):
                end = self.periods(end, joined)[1]
            return end
        return self.renewed(day + 1, joined)

    def renewed(self, day: int, joined: int) -> int | None:
        """Return the day on which a standing ends that begins anew at the beginning of ``day``."""
        lasts = self.ladder.lasts
        if self.ladder.downgrade.to == "none":
            # Nobody falls when it ends, so there is no end.
            return None
        match lasts:
            case ForEver() | WhileQualified():
                return None
            case LastsToPeriodEnd():
                assert self.periods is not None
                return self.periods(day, joined)[1]
            case LastsPeriod(period=period, round_up_to=unit):
                length = parse_duration(period)
                last = shift(day - 1, length.months, length.days)
                return last + 1 if unit is None else end_of(unit, last)

    def begun(self, day: int, joined: int) -> int | None:
        """Return the day on which a standing ends that is reached at the beginning of ``day``."""
        return (
            self.reached(day, joined)
            if isinstance(self.ladder.lasts, LastsToPeriodEnd)
            else self.renewed(day, joined)
        )

    def kept(self, day: int, joined: int) -> int | None:
        """Return the day on which a standing ends that was qualified for again on ``day``, within its grace."""
        if isinstance(self.ladder.lasts, LastsToPeriodEnd):
            assert self.periods is not None
            return self.periods(day, joined)[1]
        return self.renewed(day + 1, joined)

    def grace_ends(self, day: int) -> int:
        """Return the day on which the grace of a standing ends that ended at the beginning of ``day``."""
        policy = self.ladder.downgrade
        length = parse_duration(policy.grace or "P0D")
        end = shift(day, length.months, length.days)
        # The last day of grace is the one before; the month that is kept to its end is that day's.
        return end_of("month", max(end - 1, day)) if policy.round_up_to == "month" else end

    def fallen(self, tier: int, qualified: int) -> int:
        """Return the tier that follows a standing in ``tier`` that ended, before what is never left is looked at."""
        match self.ladder.downgrade.to:
            case "none":
                return tier
            case "first":
                return self.base
            case "one_lower":
                lower = [test.tier for test in self.tests if test.tier < tier]
                return max(max(lower, default=self.base), qualified)
            case "qualified":
                return max(qualified, self.base)

    def floor(self, tier: int) -> int:
        """Return the highest tier up to ``tier`` that is never left."""
        for place in range(tier, -1, -1):
            if self.ladder.tiers[place].never_downgrade:
                return place
        return self.base


def _compile(whens: list[str]) -> "Conditions | None":
    if not whens:
        return None
    # Few ladders have conditions, and CEL takes its time to load.
    from rewards.program.conditions import Conditions

    return Conditions(whens, "ladder")


def _shortest(ladder: Ladder) -> timedelta:
    windows = [ladder.window, *(way.window for tier in ladder.tiers for way in tier.ways_in)]
    periods = [parse_duration(window.period).shortest() for window in windows if isinstance(window, Rolling)]
    # Less the rest of the day on which it happened.
    return max(min(periods, default=timedelta()) - timedelta(days=2), timedelta())


def _whole_days(period: str) -> int:
    length = parse_duration(period)
    return max(length.months * 30 + length.days + length.seconds // 86_400, 1)


class Stretch(NamedTuple):
    """A time in which one ladder, or none, is in force."""

    #: From when; None for ever since.
    since: datetime | None
    #: The first version of the program that has it, or a higher one that took effect before.
    version: int
    ladder: CompiledLadder | None
    document: "ProgramDocument"


class Timeline:
    """The ladders of a program's versions, one after the other. Versions that leave the ladder as it is are one."""

    def __init__(self, programs: ProgramHistory) -> None:
        self.stretches: list[Stretch] = []
        kept: tuple[Any, ...] = ()
        for version in programs.in_order:
            document = version.document
            rules = (document.ladder, document.timezone)
            if self.stretches and (rules == kept or (document.ladder is None and kept[0] is None)):
                continue
            since = version.effective_from if self.stretches else None
            if self.stretches and self.stretches[-1].since == since:
                # Of two versions that take effect at once the first never governs.
                self.stretches.pop()
                last = self.stretches[-1].document
                kept = (last.ladder, last.timezone)
                if rules == kept or (document.ladder is None and last.ladder is None):
                    continue
            ladder = None if document.ladder is None else _compiled(document.ladder, document.zone)
            # A version that was published late may take effect early: then all that follows is to be told again.
            known = max([version.version, *(stretch.version for stretch in self.stretches)])
            self.stretches.append(Stretch(since, known, ladder, document))
            kept = rules
        self.has_ladder = any(stretch.ladder is not None for stretch in self.stretches)

    def at(self, instant: datetime) -> int:
        """Return the place of the stretch that an instant lies in."""
        place = len(self.stretches) - 1
        while place and self.stretches[place].since > instant:  # type: ignore[operator]  # only the first has none
            place -= 1
        return place


_compiled = ByIdentity(CompiledLadder)
timeline_of: "ByIdentity[[ProgramHistory], Timeline]" = ByIdentity(Timeline)


def tier_told(ladder: CompiledLadder, standing: Standing) -> dict[str, Any]:
    """Return what an answer says of the tier: which, and what it takes to reach the next one."""
    here = -1 if standing.tier is None else ladder.place_of[standing.tier]
    tier = None if here < 0 else ladder.ladder.tiers[here]
    return {
        "id": None if tier is None else tier.id,
        "name": None if tier is None else tier.name,
        "next": ladder.nearest(here, standing.gauges),
    }
