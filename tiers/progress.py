"""What a customer is told of a standing: since when, until when, and what it takes to keep it or to climb. Pure."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from rewards.ledger.standing_state import Move, Standing
from rewards.program.ladder import Perk, Tier
from rewards.program.rules import parse_local_moment
from tiers.folding import Fold
from tiers.history import History
from tiers.ladder import CompiledLadder, Timeline

_JUST_BEFORE = timedelta(microseconds=1)


class Way(NamedTuple):
    """One way into a tier and how far a customer has come on it.

    ``measure`` is ``points``, ``spend_minor``, ``orders``, ``referrals`` or ``condition``; of a condition, ``text`` is
    the expression, and the numbers say only whether it is met.
    """

    measure: str
    needed: int
    have: int
    remaining: int
    #: When what counts now begins to count no more, where time does that; None for never.
    counts_until: datetime | None
    text: str | None = None


class Goal(NamedTuple):
    """A tier that can be reached or kept, and what that takes."""

    tier: Tier
    #: Whether one of the ways is enough, or all are needed.
    needs: str
    ways: list[Way]
    #: Until when it must be done; None for any time.
    by: datetime | None

    @property
    def is_met(self) -> bool:
        """Whether it is done."""
        done = [way.remaining == 0 for way in self.ways]
        return any(done) if self.needs == "any" and done else all(done)


class Outlook(NamedTuple):
    """A standing with all that a customer is told of it."""

    ladder: CompiledLadder
    standing: Standing
    tier: Tier | None
    #: How the standing was reached; None where nobody moved yet.
    reached_by: Move | None
    #: What it takes to keep it, at its end; None where it does not end.
    to_keep: Goal | None
    #: The tiers above that activities can reach, the nearest first.
    to_reach: list[Goal]
    perks: list[Perk]
    moves: list[Move]


def outlook(timeline: Timeline, history: History, at: datetime) -> Outlook | None:
    """Return a customer's standing at an instant, past or future, with what follows; None where there is no ladder.

    What occurred later is left out, also refunds of what occurred before: so it is what was, as far as it is known
    when things occurred, or what will be if nothing happens.
    """
    known = history._replace(
        events=[event for event in history.events if event.at <= at],
        grants=[grant for grant in history.grants if grant.granted_at <= at],
    )
    fold = Fold(timeline, known).run(at)
    ladder = fold.ladder
    if ladder is None:
        return None
    standing = fold.standing()
    here = -1 if standing.tier is None else ladder.place_of[standing.tier]
    tier = None if here < 0 else ladder.ladder.tiers[here]
    above = [place for place, each in enumerate(ladder.ladder.tiers) if place > here and each.ways_in]
    return Outlook(
        ladder,
        standing,
        tier,
        fold.moves[-1] if fold.moves else None,
        _to_keep(timeline, known, ladder, standing, tier),
        [_goal(fold, ladder, ladder.ladder.tiers[place], None) for place in above],
        [] if tier is None else [perk for perk in tier.perks if _is_on(perk, ladder, at)],
        fold.moves,
    )


def _to_keep(
    timeline: Timeline, history: History, ladder: CompiledLadder, standing: Standing, tier: Tier | None
) -> Goal | None:
    """Return what is missing at the end of the standing, if nothing happens until then."""
    ends_at = standing.grace_until or standing.earned_until
    if ends_at is None or tier is None or standing.is_granted or not tier.ways_in:
        return None
    ahead = Fold(timeline, history).run(ends_at - _JUST_BEFORE)
    return _goal(ahead, ladder, tier, ends_at) if ahead.ladder is ladder else None


def _goal(fold: Fold, ladder: CompiledLadder, tier: Tier, by: datetime | None) -> Goal:
    ways = []
    until = fold.counts_until()
    sums = fold.sums
    met = iter(fold.met_conditions(tier))
    for way in tier.ways_in:
        if way.when is not None:
            is_met = next(met)
            ways.append(Way("condition", 1, int(is_met), int(not is_met), None, " ".join(way.when.split())))
            continue
        for measure in ("points", "spend_minor", "orders", "referrals"):
            needed = getattr(way, measure)
            if needed is not None:
                gauge = ladder.gauge_of(measure, way.window or ladder.ladder.window)
                have = sums[gauge]
                ways.append(Way(measure, needed, have, max(needed - have, 0), until[gauge]))
    return Goal(tier, tier.needs, ways, by)


def _is_on(perk: Perk, ladder: CompiledLadder, at: datetime) -> bool:
    if perk.active is None:
        return True
    local = ladder.days.local(at)
    begins = perk.active.from_ is None or parse_local_moment(perk.active.from_) <= local
    return begins and (perk.active.until is None or local < parse_local_moment(perk.active.until))


def as_told(found: Outlook) -> dict[str, Any]:
    """Return an outlook as data, as the API shows it; instants are left as they are."""
    standing, tier = found.standing, found.tier
    reached = found.reached_by
    return {
        "tier": None if tier is None else tier.id,
        "name": None if tier is None else tier.name,
        "since": standing.since,
        "until": standing.until,
        "grace_until": standing.grace_until,
        "is_granted": standing.is_granted,
        "reason": None if reached is None else reached.reason,
        "earn_multiplier_pct": 100 if tier is None else tier.earn_multiplier_pct,
        "redemption_value_pct": 100 if tier is None else tier.redemption_value_pct,
        "perks": [
            {
                "id": perk.id,
                "name": perk.name,
                "description": perk.description,
                "until": None if perk.active is None else perk.active.until,
            }
            for perk in found.perks
        ],
        "to_keep": None if found.to_keep is None else _goal_as_told(found.to_keep),
        "to_reach": [_goal_as_told(goal) for goal in found.to_reach],
    }


def _goal_as_told(goal: Goal) -> dict[str, Any]:
    return {
        "tier": goal.tier.id,
        "name": goal.tier.name,
        "needs": goal.needs,
        "by": goal.by,
        "is_met": goal.is_met,
        "ways": [way._asdict() for way in goal.ways],
    }
