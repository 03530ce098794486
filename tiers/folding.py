"""A customer's qualifying history, folded into a standing: what happened and what time did, in order. Pure.

At the beginning of a day, in this order: standings and periods that end are looked at with what counted until the day
before; then windows let go of what is over; then everybody is in the tier that is qualified for, where that is higher.
Points that become available or expire at the same moment change nothing of it. What happened at the very beginning of
a day comes after all of that.
"""

from datetime import datetime
from heapq import heappop, heappush
from typing import Any

from rewards.ledger.standing_state import Move, Qualifying, Standing, StandingGrant
from rewards.program.ladder import Tier
from tiers.history import History, Step, begins_at, joined_at, steps_of
from tiers.ladder import CompiledLadder, Facts, Timeline
from tiers.sums import NEVER, Sum
from tiers.windows import days_of


class Fold:
    """A history on its way to a standing.

    Args:
        timeline: the ladders.
        history: what is known of the customer; more may be added at the end by :meth:`add`.
    """

    def __init__(self, timeline: Timeline, history: History) -> None:
        self._timeline = timeline
        self._steps = steps_of(timeline, history)
        self._next = 0
        self._joined_at = joined_at(history)
        self._begins_at = begins_at(history)
        self.has_grants = bool(history.grants)
        self._past: list[Qualifying] = []
        self._facts = Facts()
        self._stretch = 0
        ladder = timeline.stretches[0].ladder
        self._sums = [] if ladder is None else [Sum(gauge) for gauge in ladder.gauges]
        self._day = 0
        #: The place of the tier that is earned, -1 below the first; None while there is no ladder or no customer.
        self._tier: int | None = None
        self._until = self._grace_until = NEVER
        #: What the sums qualified for when the standing that is in grace ended.
        self._closing = -1
        self._floor = -1 if ladder is None else ladder.base
        #: What is granted, by id: a ladder may lack a tier for a while.
        self._grants: dict[int, tuple[str, datetime | None]] = {}
        #: The tier that the customer is in, earned or granted, and since when.
        self._name: str | None = None
        self.since: datetime | None = None
        self.moves: list[Move] = []
        self.at: datetime | None = None

    # -- going on --------------------------------------------------------------------------------------

    def run(self, to: datetime) -> "Fold":
        """Take in everything up to an instant; never go back."""
        steps = self._steps
        while self._next < len(steps) and steps[self._next].at <= to:
            step = steps[self._next]
            self._next += 1
            self._take(step)
        self._pass_days(self._days().of(to))
        self.at = to
        return self

    def add(self, event: Qualifying) -> None:
        """Take in what happens now: at the instant up to which :meth:`run` went, or later."""
        self._take(Step(event.at, event.seq, "event", event))
        self.at = event.at

    def _take(self, step: "Step") -> None:
        match step.kind:
            case "event":
                if self._joined_at is None:
                    self._joined_at = self._begins_at = step.what.counted_on
                self._pass_days(self._days().of(step.at))
                self._count(step.what)
                if step.is_last:
                    self._look(step.at)
            case "program":
                self._pass_days(self._days().of(step.at))
                self._change_ladder(step.what, step.at)
            case "join":
                self._pass_days(self._days().of(step.at))
                self._look(step.at)
            case "grant":
                self._pass_days(self._days().of(step.at))
                self._grant(step.what, step.at)
            case "grant-end":
                self._pass_days(self._days().of(step.at))
                if self._grants.pop(step.what.grant_seq, None) is not None:
                    self._settle(step.at, "grant-ended")

    @property
    def ladder(self) -> CompiledLadder | None:
        """The ladder in force where the fold is."""
        return self._timeline.stretches[self._stretch].ladder

    @property
    def tier(self) -> str | None:
        """The tier that the customer is in where the fold is."""
        return self._name

    @property
    def version(self) -> int:
        """The version of the program whose ladder is in force where the fold is."""
        return self._timeline.stretches[self._stretch].version

    @property
    def sums(self) -> list[int]:
        """What the ladder's gauges show."""
        return [each.value for each in self._sums]

    def _days(self) -> Any:
        ladder = self.ladder
        # Without a ladder no day matters; any calendar will do.
        return (
            days_of(self._timeline.stretches[self._stretch].document.zone) if ladder is None else ladder.days
        )

    # -- what counts -----------------------------------------------------------------------------------

    def _count(self, event: Qualifying) -> None:
        self._past.append(event)
        ladder = self.ladder
        if ladder is None:
            return
        day = ladder.days.of(event.counted_on)
        for each in self._sums:
            self._add_to(each, event, day)
        if ladder.conditions is not None:
            self._note(event, day)

    def _add_to(self, each: Sum, event: Qualifying, day: int) -> None:
        amount: int = event[each.gauge.place]  # type: ignore[assignment]  # the places are those of numbers
        if not amount:
            return
        gauge = each.gauge
        if gauge.drop is not None:
            drops_on = gauge.drop(day)
            if drops_on <= self._day:
                return
            heappush(each.dropping, (drops_on, amount))
        elif gauge.periods is not None:
            start, _ = gauge.periods(self._day, self._joined_day())
            if day < start:
                return
        each.value += amount

    def _note(self, event: Qualifying, day: int) -> None:
        facts = self._facts
        facts.purchases += event.orders
        facts.spent_minor += event.spend_minor
        if event.orders > 0 and (facts.last_purchase_day is None or day > facts.last_purchase_day):
            facts.last_purchase_day = day

    def _joined_day(self) -> int:
        assert self._joined_at is not None
        return int(self._days().of(self._joined_at))

    def _turn_to(self, day: int) -> None:
        """Let the windows be those of a day."""
        self._day = day
        for each in self._sums:
            gauge = each.gauge
            if gauge.drop is not None:
                dropping = each.dropping
                while dropping and dropping[0][0] <= day:
                    each.value -= heappop(dropping)[1]
            elif gauge.periods is not None and day >= each.ends:
                self._begin_period(each, day)

    def _begin_period(self, each: Sum, day: int) -> None:
        ladder, periods = self.ladder, each.gauge.periods
        assert ladder is not None
        assert periods is not None
        start, each.ends = periods(day, self._joined_day())
        begins = ladder.days.begins(start)
        each.value = 0
        for event in reversed(self._past):
            if event.at < begins:
                break
            if event.counted_on >= begins:
                each.value += event[each.gauge.place]  # type: ignore[operator]  # a number

    def qualified(self) -> int:
        """Return the place of the tier that the sums qualify for."""
        ladder = self.ladder
        assert ladder is not None
        sums = [each.value for each in self._sums]
        if ladder.conditions is None:
            return ladder.qualified(sums)
        self._facts.joined_day = self._joined_day()
        return ladder.qualified(sums, ladder.met(sums, self._facts, self._day))

    def counts_until(self) -> list[datetime | None]:
        """Return when time next takes something off each gauge; None for never."""
        ladder = self.ladder
        if ladder is None or self._joined_at is None:
            return [None for _ in self._sums]
        days = [each.changes_on() for each in self._sums]
        return [None if day == NEVER else ladder.days.begins(day) for day in days]

    def met_conditions(self, tier: Tier) -> list[bool]:
        """Return which of a tier's conditions are met, in the order of its ways in."""
        ladder = self.ladder
        if ladder is None or ladder.conditions is None or self._joined_at is None:
            return [False for way in tier.ways_in if way.when is not None]
        self._facts.joined_day = self._joined_day()
        met = ladder.met(self.sums, self._facts, self._day)
        test = next(each for each in ladder.tests if ladder.ids[each.tier] == tier.id)
        return [met[place] for place in test.conditions]

    # -- what time does --------------------------------------------------------------------------------

    def _pass_days(self, day: int) -> None:
        ladder = self.ladder
        if ladder is None or self._joined_at is None:
            # No day yet: the windows are turned to the one on which they are first asked.
            self._day = 0
            return
        while True:
            due = self._due()
            if due > day:
                break
            self._begin(due)
        if day != self._day:
            self._turn_to(day)

    def _due(self) -> int:
        """Return the next day at whose beginning time may move the customer."""
        ladder = self.ladder
        assert ladder is not None
        due = min(self._until, self._grace_until)
        if ladder.ends_with_periods and ladder.periods is not None and self._tier is not None:
            due = min(due, ladder.periods(self._day, self._joined_day())[1])
        if ladder.while_qualified and self._tier is not None and self._tier > ladder.base:
            due = min(due, *(each.changes_on() for each in self._sums), NEVER)
        if ladder.asks_time and self._tier is not None:
            due = min(due, self._day + 1)
        return due

    def _begin(self, day: int) -> None:
        """Let a day begin on which something is due."""
        ladder = self.ladder
        assert ladder is not None
        assert self._tier is not None
        at = ladder.days.begins(day)
        ends_period = (
            ladder.ends_with_periods
            and ladder.periods is not None
            and ladder.periods(self._day, self._joined_day())[1] == day
        )
        reason = "earned"
        if ends_period or day in (self._grace_until, self._until):
            reason = self._close(day, at, ends_period=ends_period)
        self._turn_to(day)
        self._requalify(day, at, reason)
        self._settle(at, "ended" if reason == "earned" else reason)

    def _close(self, day: int, at: datetime, *, ends_period: bool) -> str:
        """Look at what ends with the day before, by what counted until then; return why the customer moves, if so."""
        ladder = self.ladder
        assert ladder is not None
        assert self._tier is not None
        self._turn_to(day - 1)
        qualified = self.qualified()
        if ends_period and qualified > self._tier:
            self._rise(qualified, ladder.begun(day, self._joined_day()), at, "period-end")
            return "period-end"
        if day == self._grace_until:
            self._fall(max(qualified, self._closing), day)
        elif day == self._until:
            self._end(qualified, day)
        else:
            return "earned"
        return "ended"

    def _end(self, qualified: int, day: int) -> None:
        """A standing ends: it is renewed, kept for a grace, or lost."""
        ladder = self.ladder
        assert ladder is not None
        assert self._tier is not None
        if qualified >= self._tier:
            self._stand(self._tier, ladder.renewed(day, self._joined_day()))
        elif (
            max(ladder.fallen(self._tier, qualified), self._floor) < self._tier
            and ladder.grace_ends(day) > day
        ):
            self._until, self._grace_until = NEVER, ladder.grace_ends(day)
            # What the period that is over qualified for is not lost because the next one has just begun.
            self._closing = -1 if ladder.while_qualified else qualified
        else:
            self._fall(qualified, day)

    def _fall(self, qualified: int, day: int) -> None:
        ladder = self.ladder
        assert ladder is not None
        assert self._tier is not None
        if qualified < self._tier:
            self._tier = max(ladder.fallen(self._tier, qualified), self._floor)
        self._stand(self._tier, ladder.renewed(day, self._joined_day()))

    def _requalify(self, day: int, at: datetime, reason: str) -> None:
        """After the windows have moved on: up where more is qualified for, and down where less is and that ends it."""
        ladder = self.ladder
        assert ladder is not None
        assert self._tier is not None
        qualified = self.qualified()
        if qualified > self._tier and not ladder.ends_with_periods:
            self._rise(qualified, ladder.begun(day, self._joined_day()), at, reason)
        elif ladder.while_qualified:
            if qualified >= self._tier:
                self._grace_until = NEVER
            elif self._grace_until == NEVER and self._tier > max(self._floor, ladder.base):
                self._end(qualified, day)

    def _stand(self, tier: int, until: int | None) -> None:
        ladder = self.ladder
        assert ladder is not None
        self._tier = tier
        self._floor = max(self._floor, ladder.floor(tier))
        # From the lowest standing, and from a tier that is never left, nobody falls: there is no end to look at it.
        self._until = NEVER if until is None or tier <= self._floor else until
        self._grace_until, self._closing = NEVER, -1

    # -- what happens ----------------------------------------------------------------------------------

    def _look(self, at: datetime) -> None:
        """Look at the standing after something happened."""
        ladder = self.ladder
        if ladder is None or self._joined_at is None:
            return
        day = self._day
        if self._tier is None:
            self._enter(ladder, day, at, "joined")
            return
        qualified = self._reachable(ladder)
        if qualified > self._tier:
            self._rise(qualified, ladder.reached(day, self._joined_day()), at, "earned")
        elif self._grace_until != NEVER and qualified >= self._tier:
            # Qualified again within the grace.
            self._stand(self._tier, ladder.kept(day, self._joined_day()))

    def _reachable(self, ladder: CompiledLadder) -> int:
        """Return the tier that is reached at once: where tiers are reached at periods' ends, the first at most."""
        qualified = self.qualified()
        return qualified if not ladder.ends_with_periods else min(qualified, max(self._tier or 0, 0))

    def _rise(self, tier: int, until: int | None, at: datetime, reason: str) -> None:
        """Reach a higher tier; the first is never skipped."""
        if self._tier is not None and self._tier < 0 < tier and self._name is None:
            self._stand(0, until)
            self._settle(at, reason)
        self._stand(tier, until)
        self._settle(at, reason)

    def _enter(self, ladder: CompiledLadder, day: int, at: datetime, reason: str) -> None:
        """Begin on the ladder: in the first tier, and from there at once in the one that is qualified for."""
        until = ladder.reached(day, self._joined_day())
        self._stand(ladder.base, until)
        self._settle(at, reason)
        # Whoever is there when a ladder comes has the tier that was qualified for by then, whenever tiers are reached.
        is_new = reason == "joined"
        qualified = self._reachable(ladder) if is_new else self.qualified()
        if qualified > ladder.base:
            self._rise(qualified, until, at, "earned" if is_new else reason)

    def _change_ladder(self, stretch: int, at: datetime) -> None:
        before = self.ladder
        self._stretch = stretch
        ladder = self.ladder
        if ladder is None:
            self._sums, self._tier = [], None
            self._until = self._grace_until = NEVER
            self._floor = -1
            self._settle(at, "program")
            return
        if before is not None and before.moving == ladder.moving:
            # Only names, perks, what tiers raise or the like have changed.
            return
        self._rebuild(ladder, at)
        self._floor = ladder.base
        if self._begins_at is None or self._begins_at > at:
            return
        if self._tier is None or before is None:
            self._enter(ladder, self._day, at, "program")
        else:
            self._requalify_under(ladder, before, at)

    def _rebuild(self, ladder: CompiledLadder, at: datetime) -> None:
        """Sum up anew what happened so far, as the new ladder counts it."""
        self._day = today = ladder.days.of(at)
        self._sums = [Sum(gauge) for gauge in ladder.gauges]
        self._facts = Facts()
        past = self._past
        days = [ladder.days.of(event.counted_on) for event in past]
        for each in self._sums:
            each.fill(past, days, today)
        if ladder.conditions is not None:
            for event, day in zip(past, days, strict=True):
                self._note(event, day)
        if self._joined_at is not None:
            self._turn_to(today)

    def _requalify_under(self, ladder: CompiledLadder, before: CompiledLadder, at: datetime) -> None:
        """Find the standing under a ladder that replaces another."""
        assert self._tier is not None
        kept = "" if self._tier < 0 else before.ids[self._tier]
        tier = place = _place_under(ladder, before, self._tier)
        qualified = self.qualified()
        reachable = min(qualified, max(place, 0)) if ladder.ends_with_periods else qualified
        if reachable > place:
            tier = reachable
        elif qualified < place and ladder.ladder.edits == "requalify" and before.asks != ladder.asks:
            tier = max(qualified, ladder.floor(place))
        if self._name is None and tier > 0:
            # The first tier is never skipped.
            self._tier = 0
            self._settle(at, "program")
        same_clock = before.clock == ladder.clock
        has_end = min(self._until, self._grace_until) != NEVER
        if same_clock and has_end and tier == ladder.place_of.get(kept) and ladder.floor(tier) < tier:
            self._tier, self._floor = tier, ladder.floor(tier)
            self._closing = _place_under(ladder, before, self._closing)
        else:
            self._stand(tier, ladder.reached(self._day, self._joined_day()))
        self._settle(at, "program")

    def _grant(self, grant: StandingGrant, at: datetime) -> None:
        ladder = self.ladder
        if ladder is not None and self._tier is None:
            self._enter(ladder, self._day, at, "joined")
        self._grants[grant.grant_seq] = grant.tier, grant.ends_at
        if ladder is not None:
            self._settle(at, "granted")

    def _granted(self) -> list[tuple[int, datetime | None]]:
        """Return the places of the tiers that are granted, as far as the ladder has them, and until when."""
        ladder = self.ladder
        assert ladder is not None
        return [(ladder.place_of.get(tier, -1), end) for tier, end in self._grants.values()]

    def _settle(self, at: datetime, reason: str) -> None:
        """Note the move that has come about: the customer is in the higher of what is earned and what is granted."""
        ladder = self.ladder
        tier = -1 if self._tier is None else self._tier
        if ladder is not None and self._grants:
            tier = max(tier, *(granted for granted, _ in self._granted()))
        name = None if ladder is None or tier < 0 else ladder.ids[tier]
        if name != self._name:
            version = self._timeline.stretches[self._stretch].version
            self.moves.append(Move(self._name, name, at, reason, version))
        if name != self._name or (self.since is None and ladder is not None):
            self.since = at
        self._name = name

    # -- what has come of it ---------------------------------------------------------------------------

    def standing(self) -> Standing:
        """Return the standing where the fold is; how many moves are on record is for the ledger to say."""
        at, ladder = self.at, self.ladder
        assert at is not None
        version = self._timeline.stretches[self._stretch].version
        if ladder is None:
            return Standing(version, at, since=self.since, stale_at=at if self.has_grants else None)
        begins = ladder.days.begins
        granted = max((tier for tier, _ in self._granted()), default=-1)
        earned = -1 if self._tier is None else self._tier
        earned_until = None if self._until == NEVER else begins(self._until)
        grace_until = None if self._grace_until == NEVER else begins(self._grace_until)
        ends = [end for tier, end in self._granted() if tier == granted >= max(earned, 0)]
        if granted <= earned:
            ends.append(grace_until or earned_until)
        until = None if None in ends else max(end for end in ends if end is not None)
        soonest = NEVER if self._joined_at is None else self._due()
        return Standing(
            version,
            at,
            self._name,
            self.since,
            until,
            None if self._tier is None or self._tier < 0 else ladder.ids[self._tier],
            earned_until,
            grace_until,
            granted > earned,
            self.sums,
            self._stale_at(ladder, soonest),
            self._due_at(ladder, soonest),
        )

    def _stale_at(self, ladder: CompiledLadder, soonest: int) -> datetime | None:
        """Return from when on the gauges, or what follows from them, are to be worked out again.

        ``soonest`` is the day at whose beginning time may next move the customer.
        """
        assert self.at is not None
        if ladder.conditions is not None or self.has_grants or self._joined_at is None:
            return self.at
        for each in self._sums:
            soonest = min(soonest, each.changes_on())
        instants = [] if soonest == NEVER else [ladder.days.begins(soonest)]
        if self._stretch + 1 < len(self._timeline.stretches):
            # Two stretches may bear one version, so the version does not always tell that another ladder began.
            instants.append(self._timeline.stretches[self._stretch + 1].since or self.at)
        return min(instants, default=None)

    def _due_at(self, ladder: CompiledLadder, soonest: int) -> datetime | None:
        instants = [] if soonest == NEVER else [ladder.days.begins(soonest)]
        instants += [end for _, end in self._grants.values() if end is not None]
        return min(instants, default=None)


def _place_under(ladder: CompiledLadder, before: CompiledLadder, tier: int) -> int:
    """Return the place of another ladder's tier; where it is gone, of the next lower one that is left."""
    if tier >= 0 and before.ids[tier] in ladder.place_of:
        return ladder.place_of[before.ids[tier]]
    lower = (ladder.place_of.get(tier_id, -1) for tier_id in reversed(before.ids[: max(tier, 0)]))
    return next(
        (place for place in lower if place >= 0 and not ladder.ladder.tiers[place].invitation_only),
        ladder.base,
    )
