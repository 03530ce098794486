"""What the API takes and tells of standings on the ladder: shapes for the OpenAPI document."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rewards.decide.commands import Instant


class _Shown(BaseModel):
    """An answer: callers must expect further members."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class GrantBody(BaseModel):
    """A standing to be given by hand."""

    model_config = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)

    tier: Annotated[str, Field(min_length=1, max_length=64)]
    until: Instant | None = None
    """When it ends and the automatic rules go on alone; for ever unless given."""
    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]
    """Why; it stays on record."""


class EndGrantBody(BaseModel):
    """Why a standing that was given by hand is over."""

    model_config = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)

    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]


class NextTier(_Shown):
    """What is missing to the next tier, on the way in that is nearest to done."""

    id: str
    name: str
    remaining: int
    unit: Literal["points", "spend_minor", "orders", "referrals"]


class TierShown(_Shown):
    """A customer's tier."""

    id: str | None
    """Null below the first tier, where that has ways in."""
    name: str | None
    next: NextTier | None = None
    """Null at the top, and where the next tier is reached by conditions only."""


class WayShown(_Shown):
    """One way into a tier, and how far the customer has come on it."""

    measure: Literal["points", "spend_minor", "orders", "referrals", "condition"]
    needed: int
    have: int
    remaining: int
    counts_until: datetime | None
    """When time next takes something off what counts; null for never."""
    text: str | None
    """The expression of a condition."""


class GoalShown(_Shown):
    """A tier to be kept or reached, and what it takes."""

    tier: str
    name: str
    needs: Literal["any", "all"]
    by: datetime | None
    """When it is looked at; null for any time."""
    is_met: bool
    ways: list[WayShown]


class PerkShown(_Shown):
    """Something that the tier's customers have."""

    id: str
    name: str
    description: str | None
    until: str | None
    """Day or local time at which it ends; null for never."""


class StandingShown(_Shown):
    """A customer's standing on the ladder at an instant."""

    tier: str | None
    name: str | None
    since: datetime | None
    until: datetime | None
    """When it ends or is looked at again; null for never."""
    grace_until: datetime | None
    is_granted: bool
    """Whether it was given by hand."""
    reason: str | None
    """How it was reached: `joined`, `earned`, `period-end`, `ended`, `program`, `granted`, `grant-ended` or
    `corrected`."""
    earn_multiplier_pct: int
    redemption_value_pct: int
    perks: list[PerkShown]
    to_keep: GoalShown | None
    """What it takes to keep it, counted as of its end if nothing happens until then; null where it does not end."""
    to_reach: list[GoalShown]
    """The tiers above, the nearest first."""


class GrantAnswer(_Shown):
    """Where the customer stands now."""

    customer_id: str
    tier: TierShown | None
    since: datetime | None
    until: datetime | None
    is_granted: bool


class MoveShown(_Shown):
    """One step up or down the ladder."""

    move_seq: int
    from_tier: str | None
    to_tier: str | None
    at: datetime
    reason: str
    program_version: int
    cause: str
    """What brought it about: an activity, `refund:…`, `time`, `grant` or `enroll`."""
    recorded_at: datetime


class MovesAnswer(_Shown):
    """A page of moves, the newest first."""

    moves: list[MoveShown]
    next_cursor: str | None


class EventShown(_Shown):
    """Something that happened."""

    event_id: str
    """The same each time; by it a receiver knows what it has seen."""
    customer_id: str
    type: Literal["tier.upgraded", "tier.downgraded", "tier.will-expire", "campaign.offered"]
    occurred_at: datetime
    created_at: datetime
    payload: dict[str, Any]


class EventsAnswer(_Shown):
    """Events, the oldest first."""

    events: list[EventShown]
    next_cursor: str
    """Send it as `after` to go on from here; it stays the same while there is nothing new."""
