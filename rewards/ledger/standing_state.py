"""What standings are made from and what is kept of them: plain data, no database.

Instants are in UTC, points are integers, money is integer minor units.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json


class Qualifying(NamedTuple):
    """What one activity, or one refund, adds to or takes from what counts to tiers."""

    #: When it occurred, and the entry that it came with: the order in which a history is read.
    at: datetime
    seq: int
    #: When that occurred to whose windows it counts: for a refund, its order.
    counted_on: datetime
    points: int
    spend_minor: int
    orders: int
    referrals: int
    is_return: bool = False


class StandingGrant(NamedTuple):
    """A standing that an admin gave by hand, until an instant or (None) for ever; it may end sooner."""

    grant_seq: int
    tier: str
    granted_at: datetime
    until: datetime | None
    ended_at: datetime | None = None

    @property
    def ends_at(self) -> datetime | None:
        """When it is over; None for never."""
        if self.until is None or (self.ended_at is not None and self.ended_at < self.until):
            return self.ended_at
        return self.until


class Move(NamedTuple):
    """One step of a customer up or down the ladder; None is below the first tier."""

    from_tier: str | None
    to_tier: str | None
    at: datetime
    #: ``joined``, ``earned``, ``period-end``, ``ended``, ``program``, ``granted``, ``grant-ended`` or ``corrected``.
    reason: str
    #: The version of the program that brought the ladder.
    program_version: int


@dataclass(slots=True)
class Standing:
    """Where a customer stands on the ladder, and what is needed to go on from there.

    ``gauges`` are the sums within the ladder's windows, one for each measure and window that its tiers ask for;
    they are true from ``at`` until ``stale_at``, as long as nothing but new activities happens.
    """

    version: int
    at: datetime
    tier: str | None = None
    since: datetime | None = None
    #: When the standing ends or is looked at again; None for never.
    until: datetime | None = None
    #: The standing without what was granted by hand.
    earned: str | None = None
    earned_until: datetime | None = None
    #: The end of the grace in which it is kept although it ended.
    grace_until: datetime | None = None
    #: Whether it was given by hand, and higher than what is earned.
    is_granted: bool = False
    gauges: list[int] = field(default_factory=list)
    stale_at: datetime | None = None
    #: When time may next change it, or has something to be told.
    due_at: datetime | None = None
    #: How many moves are on record.
    moves: int = 0
    #: The end that the customer was told of.
    noticed: datetime | None = None
    #: The activities by which tiers that are held gave their welcome, each ``tier:ID:MOVE``.
    welcomes: list[str] = field(default_factory=list)
    #: Those that are still to be given, each with its instant, and those that are to be taken back.
    to_welcome: list[tuple[str, str]] = field(default_factory=list)
    to_retract: list[str] = field(default_factory=list)
    #: When somebody is to look at it: when time may change it, some time before it is lost, or at once.
    wake_at: datetime | None = None

    def copy(self) -> "Standing":
        """Return a copy that may be changed."""
        return replace(self, gauges=list(self.gauges))

    def stored(self) -> str:
        """Return it as JSON text: the fields in order."""
        return to_json(
            (
                self.version,
                self.at,
                self.tier,
                self.since,
                self.until,
                self.earned,
                self.earned_until,
                self.grace_until,
                self.is_granted,
                self.gauges,
                self.stale_at,
                self.due_at,
                self.moves,
                self.noticed,
                self.welcomes,
                self.to_welcome,
                self.to_retract,
                self.wake_at,
            )
        ).decode()


def read_standing(stored: str) -> Standing:
    """Return a standing from what :meth:`Standing.stored` returned."""
    return standing_from(from_json(stored))


def standing_from(kept: list[Any]) -> Standing:
    """Return a standing from the list that :meth:`Standing.stored` wrote."""
    read = datetime.fromisoformat
    for index in _INSTANTS:
        if kept[index] is not None:
            kept[index] = read(kept[index])
    if kept[_TO_WELCOME]:
        kept[_TO_WELCOME] = [(key, at) for key, at in kept[_TO_WELCOME]]
    return Standing(*kept)


_INSTANTS = (1, 3, 4, 6, 7, 10, 11, 13, 17)
_TO_WELCOME = 15
