"""What a standing follows from, and the order in which it is read. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from rewards.ledger.standing_state import Qualifying, StandingGrant
from rewards.program.compiled import ByIdentity
from tiers.ladder import Timeline


class History(NamedTuple):
    """All that a standing follows from, besides the program."""

    events: Sequence[Qualifying]
    grants: Sequence[StandingGrant] = ()
    #: Since when the shop says that the customer is a member; None is since the first activity.
    member_since: datetime | None = None


class Step(NamedTuple):
    """Something in the order in which a history is read."""

    at: datetime
    order: int
    kind: str
    what: Any
    #: Whether nothing else of its kind happens at the same instant: only then the standing is looked at.
    is_last: bool = True


def steps_of(timeline: Timeline, history: History) -> list[Step]:
    """Return what there is to read, in order: at one instant programs come first, then grants, then activities."""
    steps = _event_steps(timeline, history.events)
    steps += program_steps(timeline)
    for grant in history.grants:
        if grant.ends_at is not None:
            steps.append(Step(max(grant.ends_at, grant.granted_at), -1, "grant-end", grant))
        steps.append(Step(grant.granted_at, -2, "grant", grant))
    if history.member_since is not None:
        steps.append(Step(history.member_since, -2, "join", None))
    if len(steps) > len(history.events):
        steps.sort(key=_in_order)
    return steps


def _program_steps(timeline: Timeline) -> Sequence[Step]:
    return [
        Step(stretch.since, -3, "program", place)
        for place, stretch in enumerate(timeline.stretches)
        if stretch.since is not None
    ]


#: The steps at which another ladder comes, in their order.
program_steps = ByIdentity(_program_steps)


def _event_steps(timeline: Timeline, events: Sequence[Qualifying]) -> list[Step]:
    read = [as_read(timeline, event) if event.is_return else event for event in events]
    read.sort(key=_by_time)
    last = len(read) - 1
    return [
        Step(event.at, event.seq, "event", event, index == last or read[index + 1].at != event.at)
        for index, event in enumerate(read)
    ]


def as_read(timeline: Timeline, event: Qualifying) -> Qualifying:
    """Return a refund as it counts: as if what came back had never been bought, where the ladder says so."""
    ladder = timeline.stretches[timeline.at(event.at)].ladder
    if ladder is not None and ladder.ladder.refunds == "keep":
        return event
    return event._replace(at=event.counted_on)


def _by_time(event: Qualifying) -> tuple[datetime, int]:
    return event.at, event.seq


def _in_order(step: Step) -> tuple[datetime, int]:
    return step.at, step.order


def joined_at(history: History) -> datetime | None:
    """Return when the customer joined: as the shop says, or with the first activity or grant."""
    return begins_at(history) if history.member_since is None else history.member_since


def begins_at(history: History) -> datetime | None:
    """Return from when on there is a customer, who may have been one before joining."""
    instants = [event.counted_on for event in history.events] + [grant.granted_at for grant in history.grants]
    if history.member_since is not None:
        instants.append(history.member_since)
    return min(instants, default=None)
