"""Going on from a standing on record, where that says all that the history would: what a change of the ladder asks for
every customer at once, so that nobody's years are read again step by step. Pure.
"""

from bisect import bisect_right
from datetime import datetime

from rewards.ledger.standing_state import Qualifying, Standing
from tiers.folding import Fold
from tiers.history import History, Step, as_read, begins_at, program_steps, steps_of
from tiers.ladder import CompiledLadder, Facts, Timeline
from tiers.sums import NEVER


def resumed(timeline: Timeline, history: History, standing: Standing | None) -> Fold:
    """Return a fold of a history: one that goes on from the standing on record where it can, else from the beginning.

    Both come to the same at any instant that is not before the standing's.
    """
    if standing is None or history.grants or standing.earned is None or standing.grace_until is not None:
        # What was granted, and what was qualified for when a grace began, is in no standing.
        return Fold(timeline, history)
    place = timeline.at(standing.at)
    stretch = timeline.stretches[place]
    if stretch.version != standing.version or stretch.ladder is None:
        return Fold(timeline, history)
    return _Resumed(timeline, history, standing, place)


class _Resumed(Fold):
    """A fold that begins where a standing on record stands."""

    def __init__(self, timeline: Timeline, history: History, standing: Standing, place: int) -> None:
        self._timeline = timeline
        self._begins_at = begins_at(history)
        self._joined_at = self._begins_at if history.member_since is None else history.member_since
        self.has_grants = False
        self._facts = Facts()
        self._stretch = place
        ladder = timeline.stretches[place].ladder
        assert ladder is not None
        assert standing.earned is not None
        self._past = _read(timeline, history)
        self._steps = self._ahead(standing.at, history.member_since)
        self._next = 0
        self._grants: dict[int, tuple[str, datetime | None]] = {}
        self._tier = ladder.place_of[standing.earned]
        self._floor = ladder.floor(self._tier)
        self._until = NEVER if standing.earned_until is None else ladder.days.of(standing.earned_until)
        self._grace_until, self._closing = NEVER, -1
        self._name, self.since = standing.tier, standing.since
        self.moves = []
        self.at = standing.at
        self._sums, self._day = [], ladder.days.of(standing.at)
        self._sums_wait = self._is_replaced_first(ladder)
        if not self._sums_wait:
            self._rebuild(ladder, standing.at)

    def _ahead(self, at: datetime, member_since: datetime | None) -> list[Step]:
        """Return what there is to read after an instant; what happened then is taken out of the past."""
        later: list[Qualifying] = []
        if self._past and self._past[-1].at > at:
            place = bisect_right(self._past, at, key=_instant)
            later = self._past[place:]
            del self._past[place:]
        if not later and (member_since is None or member_since <= at):
            return [step for step in program_steps(self._timeline) if step.at > at]
        steps = steps_of(self._timeline, History(later, (), member_since))
        return [step for step in steps if step.at > at]

    def run(self, to: datetime) -> Fold:
        """Take in everything up to an instant; never go back."""
        if self._sums_wait:
            self._sums_wait = False
            if to < self._steps[0].at:
                assert self.ladder is not None
                assert self.at is not None
                self._rebuild(self.ladder, self.at)
        return super().run(to)

    def _is_replaced_first(self, ladder: CompiledLadder) -> bool:
        """Tell whether another ladder comes before anything that asks for this one's sums."""
        if not self._steps or self._steps[0].kind != "program" or ladder.while_qualified:
            return False
        step = self._steps[0]
        following = self._timeline.stretches[step.what].ladder
        if following is not None and following.moving == ladder.moving:
            return False
        return self._due() > ladder.days.of(step.at)


def _read(timeline: Timeline, history: History) -> list[Qualifying]:
    """Return what happened in the order in which it counts."""
    events = [as_read(timeline, event) if event.is_return else event for event in history.events]
    events.sort(key=_in_order)
    return events


def _instant(event: Qualifying) -> datetime:
    return event.at


def _in_order(event: Qualifying) -> tuple[datetime, int]:
    return event.at, event.seq
