"""Who would move by a ladder, and what that costs, from standings on record and what counts to tiers. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from rewards.ledger.standing_state import Standing
from rewards.program.history import ProgramHistory, ProgramVersion
from tiers.folding import Fold
from tiers.history import History
from tiers.ladder import CompiledLadder, timeline_of
from tiers.resuming import resumed

#: What was bought in so many days up to the present stands for a year.
YEAR = timedelta(days=365)

#: From which tier, and to which; None is below the first one, or where there is no ladder.
Step = tuple[str | None, str | None]


class Moved(NamedTuple):
    """A customer who would move."""

    customer_id: str
    from_tier: str | None
    to_tier: str | None
    #: When the standing would end; None for never.
    until: datetime | None


@dataclass(slots=True)
class MoveTally:
    """What is found of customers, taken one after the other in the order of their ids.

    Attributes:
        customers: by where they come from and go to; who stays is there, too.
        points: that those have, held ones included, by the same.
        year_points: qualifying points of the purchases of a year, less what came back, by the same.
        moved: who moves.
    """

    customers: Counter[Step] = field(default_factory=Counter)
    points: Counter[Step] = field(default_factory=Counter)
    year_points: Counter[Step] = field(default_factory=Counter)
    moved: list[Moved] = field(default_factory=list)

    def add(self, other: "MoveTally") -> None:
        """Take in the tally of customers that come after these."""
        self.customers.update(other.customers)
        self.points.update(other.points)
        self.year_points.update(other.year_points)
        self.moved += other.moved


class MovePreview:
    """Tells for one customer after the other where a ladder would take them.

    Args:
        published: what is published.
        draft: what would be, as the next version.
        now: the present.
    """

    def __init__(self, published: ProgramHistory, draft: ProgramVersion, now: datetime) -> None:
        self._before = timeline_of(published)
        self._after = timeline_of(ProgramHistory([*published.versions, draft]))
        self._version = draft.version
        self._now = now
        self._at = max(draft.effective_from, now)
        self._is_late = draft.effective_from < now
        self.tally = MoveTally()

    @property
    def has_ladder(self) -> bool:
        """Whether there is a ladder at all, before or after."""
        return self._after.has_ladder

    def take(self, customer_id: str, history: History, standing: Standing | None, points: int) -> None:
        """Work out where a customer would go, given the standing on record and the points that there are."""
        fold = resumed(self._after, history, standing).run(self._at)
        came_from, goes_to = self._step(fold, history, standing)
        step = came_from, goes_to
        tally = self.tally
        tally.customers[step] += 1
        tally.points[step] += points
        tally.year_points[step] += self._bought(history)
        if came_from != goes_to:
            tally.moved.append(Moved(customer_id, came_from, goes_to, fold.standing().until))

    def _step(self, fold: Fold, history: History, standing: Standing | None) -> Step:
        if self._is_late:
            # In force since before now: all that came of it up to now is told by both, side by side.
            return resumed(self._before, history, standing).run(self._now).tier, fold.tier
        brought = [
            move
            for move in fold.moves
            if move.at == self._at and move.reason == "program" and move.program_version == self._version
        ]
        return (brought[0].from_tier, brought[-1].to_tier) if brought else (fold.tier, fold.tier)

    def _bought(self, history: History) -> int:
        since = self._now - YEAR
        return sum(
            event.points
            for event in history.events
            if event.counted_on > since and (event.orders or event.spend_minor)
        )


def merged_order(before: CompiledLadder | None, after: CompiledLadder | None) -> list[str]:
    """Return all tiers of two ladders, lowest first; one that is gone stands where it stood among its neighbours."""
    old = [] if before is None else before.ids
    new = [] if after is None else after.ids
    order: list[str] = []
    left = iter(new)
    for tier_id in old:
        if tier_id in new:
            for each in left:
                order.append(each)
                if each == tier_id:
                    break
        elif tier_id not in order:
            order.append(tier_id)
    order += [each for each in new if each not in order]
    return list(dict.fromkeys(order))


def count_direction(order: Sequence[str], customers: Iterable[tuple[Step, int]]) -> tuple[int, int]:
    """Return how many go up, and how many down."""
    place: dict[str | None, int] = {None: -1, **{tier_id: number for number, tier_id in enumerate(order)}}
    up = down = 0
    for (came_from, goes_to), count in customers:
        if place[goes_to] > place[came_from]:
            up += count
        elif place[goes_to] < place[came_from]:
            down += count
    return up, down
