"""The shapes that the API answers with and, where no command is one, takes.

A command's body is the command itself (:mod:`rewards.decide.commands`). What comes back is JSON text that the
engine made; the models of answers here describe it for the OpenAPI document and are checked against it in tests.
Points are integers, money is integer minor units, instants are RFC 3339 in UTC.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from rewards.decide.commands import (
    Adjust,
    Award,
    Capture,
    Instant,
    Points,
    Redeem,
    Reverse,
    ReverseRedemption,
    ShortText,
    Void,
)

IDEMPOTENCY_KEY_PATTERN = r"^[!-~]{1,255}$"
MOST_OPERATIONS = 5_000

IdempotencyKey = Annotated[str, Field(min_length=1, max_length=255, pattern=IDEMPOTENCY_KEY_PATTERN)]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class _Shown(BaseModel):
    """An answer: callers must expect further members."""

    model_config = ConfigDict(use_attribute_docstrings=True)


# -- what is taken -------------------------------------------------------------------------------------------


class CaptureBody(_Body):
    """How much of a hold to spend."""

    points: Points | None = None
    """All of it, unless given; the rest is released."""


class EmptyBody(_Body):
    """An object without members; the body may also be left out."""


class _Operation(_Body):
    idempotency_key: IdempotencyKey
    """As the header of a single request; unique for the customer."""


class AwardOperation(_Operation):
    """As `POST /v1/awards`."""

    op: Literal["award"]
    body: Award


class RedeemOperation(_Operation):
    """As `POST /v1/redemptions`."""

    op: Literal["redeem"]
    body: Redeem


class CaptureOperation(_Operation):
    """As `POST /v1/redemptions/{redemption_id}/capture`, with the id in the body."""

    op: Literal["capture"]
    body: Capture


class VoidOperation(_Operation):
    """As `POST /v1/redemptions/{redemption_id}/void`, with the id in the body."""

    op: Literal["void"]
    body: Void


def _what_is_reversed(body: Any) -> str:
    names = body if isinstance(body, dict) else getattr(body, "__dict__", {})
    return "redemption" if "redemption_id" in names else "order"


class ReverseOperation(_Operation):
    """As `POST /v1/reversals`, or of a redemption, with its id in the body."""

    op: Literal["reverse"]
    body: Annotated[
        Annotated[Reverse, Tag("order")] | Annotated[ReverseRedemption, Tag("redemption")],
        Discriminator(_what_is_reversed),
    ]


class AdjustOperation(_Operation):
    """As `POST /v1/adjustments`; needs an admin key."""

    op: Literal["adjust"]
    body: Adjust


Operation = Annotated[
    AwardOperation | RedeemOperation | CaptureOperation | VoidOperation | ReverseOperation | AdjustOperation,
    Field(discriminator="op"),
]


class BatchBody(_Body):
    """Commands to carry out in order; each stands alone."""

    operations: Annotated[list[Operation], Field(min_length=1, max_length=MOST_OPERATIONS)]


class AnyBatchBody(_Body):
    """A batch of which some operations are not valid."""

    operations: Annotated[list[Any], Field(min_length=1, max_length=MOST_OPERATIONS)]


class PublishBody(_Body):
    """A program document to publish as the next version."""

    document: dict[str, Any]
    """The whole document; its JSON Schema is what `rewards program schema` prints."""
    effective_from: Instant | None = None
    """From when on activities are scored by it, past or future; now, unless given."""
    note: ShortText | None = None
    """Why, for the history."""


# -- what is answered ----------------------------------------------------------------------------------------


class ErrorAt(_Shown):
    """One thing that is wrong with a request."""

    path: str
    """Where in the request, such as `activity.items[0].amount_minor`; empty for the whole of it."""
    message: str


class ProblemDocument(_Shown):
    """What went wrong, by RFC 9457. `code` is stable; some codes have further members."""

    model_config = ConfigDict(title="Problem", extra="allow")

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str | None = None
    """As the header `X-Request-ID`; not in a refusal of the engine, whose replays are equal to the byte."""
    errors: list[ErrorAt] | None = None
    """With the codes `invalid-request` and `invalid-program`."""


class Balance(_Shown):
    """A customer's points."""

    available: int
    """Can be spent now."""
    pending: int
    """Will be available later."""
    held: int
    """Set aside by open holds."""
    deficit: int
    """Owed, after points that were spent were taken back."""


class Explanation(_Shown):
    """What one rule gave or took."""

    rule_id: str
    points: int
    text: str


class NextTier(_Shown):
    """What is missing to the next tier."""

    id: str
    remaining: int
    unit: str


class TierShown(_Shown):
    """A customer's tier."""

    id: str
    name: str
    next: NextTier | None = None


class AwardFigures(_Shown):
    """What an award gives."""

    customer_id: str
    points: int
    status: Literal["available", "pending", "expired"]
    available_at: datetime
    expires_at: datetime | None
    """Null for never, or as long as the customer is active."""
    program_version: int
    explanation: list[Explanation]
    balance: Balance
    """After the award."""
    tier: TierShown | None


class AwardAnswer(AwardFigures):
    """A booked award."""

    award_id: str


class RedemptionAnswer(_Shown):
    """A redemption or hold as it stands."""

    redemption_id: str
    customer_id: str
    status: Literal["held", "captured", "voided", "expired", "reversed"]
    points: int
    points_reinstated: int
    value_minor: int
    currency: str
    order_id: str | None
    coupon_code: str | None
    expires_at: datetime | None
    """When the hold lapses; null once it is resolved."""
    program_version: int
    balance: Balance


class ReversalAnswer(_Shown):
    """A booked refund."""

    reversal_id: str
    customer_id: str
    order_id: str
    refund_id: str
    amount_minor: int
    points_clawed_back: int
    points_written_off: int
    """Points that the customer keeps because a balance may not fall below zero."""
    points_reinstated: int
    """Points that had paid for the order and came back."""
    explanation: list[dict[str, Any]]
    balance: Balance


class AdjustmentAnswer(_Shown):
    """A booked adjustment."""

    adjustment_id: str
    customer_id: str
    points: int
    reason: str
    program_version: int
    balance: Balance


class Redeemable(_Shown):
    """What the customer can redeem now, on this order."""

    available: int
    minimum_points: int
    step_points: int
    max_points: int
    max_value_minor: int
    currency: str


class QuoteAnswer(_Shown):
    """What an award would be; nothing was written."""

    award: AwardFigures
    redemption: Redeemable


class OperationResult(_Shown):
    """The answer to one operation."""

    status: int
    body: dict[str, Any]
    """What the single request would have answered: an outcome, or a problem where status is 400 or more."""
    replayed: bool | None = None
    """True where the idempotency key had this answer before."""


class BatchAnswer(_Shown):
    """The answers, in the order of the operations."""

    results: list[OperationResult]


class Expiration(_Shown):
    """Points that expire together."""

    expires_at: datetime | None
    """Null for never."""
    points: int
    pending: bool


class Arrival(_Shown):
    """Points that become available together."""

    available_at: datetime
    points: int


class OpenHold(_Shown):
    """Points set aside."""

    redemption_id: str
    points: int
    expires_at: datetime


class CustomerAnswer(_Shown):
    """A customer's statement at an instant."""

    customer_id: str
    as_of: datetime
    balance: Balance
    expirations: list[Expiration]
    """They add up to available + pending."""
    pending: list[Arrival]
    holds: list[OpenHold]
    tier: TierShown | None
    enrolled: bool
    held_out: bool
    customer_since: datetime


class EntryShown(_Shown):
    """One entry of the ledger."""

    seq: int
    kind: Literal[
        "award", "clawback", "redeem", "reinstate", "hold", "release", "adjust", "expire", "unexpire"
    ]
    points: int
    balance_after: int
    occurred_at: datetime
    recorded_at: datetime
    cause: str
    program_version: int
    actor: str
    note: str | None
    digest: str


class EntriesAnswer(_Shown):
    """A page of entries, the newest first."""

    entries: list[EntryShown]
    next_cursor: str | None
    """Send it as `cursor` for the next page; null where there is none."""


class LinkAnswer(_Shown):
    """A signed address of the customer's page."""

    url: str
    expires_at: datetime


class ProgramAnswer(_Shown):
    """A published version of the program."""

    version: int
    effective_from: datetime
    published_at: datetime
    published_by: str
    note: str | None
    document: dict[str, Any]


class Health(_Shown):
    """The process answers."""

    status: Literal["ok"]


class Readiness(_Shown):
    """The process can serve."""

    status: Literal["ready"]
    program_version: int
