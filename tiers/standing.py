"""A customer's standing: from the whole history, or from the last standing and what happened since. Pure."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from rewards.ledger.standing_state import Move, Qualifying, Standing
from rewards.program.ladder import Tier
from tiers.folding import Fold
from tiers.history import History
from tiers.ladder import CompiledLadder, Stretch, Timeline


class Stood(NamedTuple):
    """A standing, and the moves that brought it about since another one."""

    standing: Standing
    moves: list[Move]


def standing_at(timeline: Timeline, history: History, at: datetime) -> Standing:
    """Return the standing that a history amounts to at an instant; what lies later is left out."""
    return Fold(timeline, history).run(at).standing()


def is_current(timeline: Timeline, standing: Standing | None, at: datetime) -> bool:
    """Tell whether a standing and its gauges are still true at ``at``, if nothing happened meanwhile."""
    return standing is not None and _is_current(timeline.stretches[timeline.at(at)], standing, at)


def _is_current(stretch: Stretch, standing: Standing, at: datetime) -> bool:
    return (
        standing.at <= at
        and (standing.stale_at is None or at < standing.stale_at)
        and stretch.version == standing.version
    )


def advanced(timeline: Timeline, standing: Standing, event: Qualifying) -> Stood:
    """Return the standing after an activity at which the one before :func:`is_current`; no history is needed."""
    return advanced_in(timeline.stretches[timeline.at(event.at)], standing, event)


def advanced_in(stretch: Stretch, standing: Standing, event: Qualifying) -> Stood:
    """Do the same, given the stretch of time that the activity occurred in."""
    ladder = stretch.ladder
    sums = list(standing.gauges)
    after = _copy(standing, event.at, sums)
    if ladder is None:
        return Stood(after, [])
    for place, gauge in enumerate(ladder.gauges):
        sums[place] += event[gauge.place]  # type: ignore[operator]  # a number
    if ladder.has_rolling and (after.stale_at is None or after.stale_at > event.at + ladder.shortest_rolling):
        # What is new drops out of the windows before anything else does.
        day = ladder.days.of(event.counted_on)
        drop = min(gauge.drop(day) for gauge in ladder.gauges if gauge.drop is not None)
        after.stale_at = _sooner(after.stale_at, ladder.days.begins(drop))
        if ladder.while_qualified:
            after.due_at = _sooner(after.due_at, after.stale_at)
    if standing.earned is None or ladder.ends_with_periods:
        return Stood(after, [])
    qualified = ladder.qualified(sums)
    if qualified <= ladder.place_of[standing.earned]:
        return Stood(after, [])
    return _risen(ladder, after, qualified, event)


def can_advance(timeline: Timeline, standing: Standing | None, at: datetime) -> bool:
    """Tell whether :func:`advanced` may be asked: nothing is in the balance that only the history can tell."""
    if standing is None or standing.grace_until is not None:
        return False
    stretch = timeline.stretches[timeline.at(at)]
    return _is_current(stretch, standing, at) and (
        stretch.ladder is None or (standing.earned is not None and not stretch.ladder.needs_joined)
    )


def can_advance_through(timeline: Timeline, standing: Standing | None, instants: Sequence[datetime]) -> bool:
    """Tell whether :func:`advanced` may be asked at each of some instants, one after the other.

    What the first brings about may end with the day at the earliest, so they must be of one day.
    """
    if not can_advance(timeline, standing, instants[0]):
        return False
    if len(instants) == 1:
        return True
    if any(one > other for one, other in pairwise(instants)) or not can_advance(
        timeline, standing, instants[-1]
    ):
        return False
    ladder = timeline.stretches[timeline.at(instants[0])].ladder
    return ladder is None or ladder.days.of(instants[0]) == ladder.days.of(instants[-1])


def moves_since(before: Standing | None, fold: Fold) -> list[Move]:
    """Return the moves that lead from a standing on record to where a fold is.

    Where the past has changed (a refund, an activity that was sent late) the moves on record do not lead there: then
    one corrects them, at the instant of what changed it.
    """
    recorded = None if before is None else before.tier
    tier = fold.tier
    new = [move for move in fold.moves if before is None or move.at >= before.at]
    while new and before is not None and new[0].at == before.at and new[0].from_tier != recorded:
        # It is on record already, of the same instant.
        del new[0]
    if new and new[0].from_tier == recorded and new[-1].to_tier == tier:
        return new
    if tier == recorded:
        return []
    last = fold.moves[-1] if fold.moves else None
    assert fold.at is not None
    assert fold.since is not None
    version = fold.version
    if last is not None and before is not None and last.at > before.at:
        return [Move(recorded, tier, fold.since, last.reason, version)]
    return [Move(recorded, tier, fold.at, "corrected", version)]


def tier_of(timeline: Timeline, standing: Standing | None, at: datetime) -> Tier | None:
    """Return the tier of a standing as the ladder in force at ``at`` describes it."""
    return tier_in(timeline.stretches[timeline.at(at)], standing)


def tier_in(stretch: Stretch, standing: Standing | None) -> Tier | None:
    """Return the tier of a standing as the ladder of a stretch of time describes it."""
    ladder = stretch.ladder
    if ladder is None or standing is None or standing.tier is None:
        return None
    place = ladder.place_of.get(standing.tier)
    return None if place is None else ladder.ladder.tiers[place]


def _risen(ladder: CompiledLadder, after: Standing, qualified: int, event: Qualifying) -> Stood:
    day = ladder.days.of(event.at)
    until = ladder.reached(day, day) if qualified > ladder.floor(qualified) else None
    tier = ladder.ids[qualified]
    move = Move(after.tier, tier, event.at, "earned", after.version)
    after.tier = after.earned = tier
    after.since = event.at
    after.until = after.earned_until = None if until is None else ladder.days.begins(until)
    after.stale_at = _sooner(after.stale_at, after.until)
    after.due_at = _sooner(after.until, after.stale_at if ladder.while_qualified else None)
    return Stood(after, [move])


def _copy(standing: Standing, at: datetime, sums: list[int]) -> Standing:
    return Standing(
        standing.version,
        at,
        standing.tier,
        standing.since,
        standing.until,
        standing.earned,
        standing.earned_until,
        standing.grace_until,
        standing.is_granted,
        sums,
        standing.stale_at,
        standing.due_at,
        standing.moves,
        standing.noticed,
        standing.welcomes,
        standing.to_welcome,
        standing.to_retract,
        standing.wake_at,
    )


def _sooner(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return min(one, other)
