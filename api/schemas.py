"""The shapes that the API answers with and, where no command is one, takes.

A command's body is the command itself (:mod:`rewards.decide.commands`). What comes back is JSON text that the
engine made; the models of answers here describe it for the OpenAPI document and are checked against it in tests.
Points are integers, money is integer minor units, instants are RFC 3339 in UTC.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from api.standing_schemas import StandingShown, TierShown
from rewards.decide.commands import (
    Adjust,
    Award,
    Capture,
    Instant,
    Points,
    Redeem,
    Reverse,
    ReverseRedemption,
    ShopId,
    ShortText,
    Tags,
    Void,
)
from rewards.profiles.profile import Profile

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


class SurveyLinkBody(_Body):
    """Which survey a customer is invited to answer, and for how long."""

    survey_id: ShopId
    """A survey of the program in force; it need not have opened yet."""
    expires_in: Annotated[str, Field(max_length=32)] | None = None
    """ISO 8601 duration after which the address stops working, at most a year; unless given, as the customer's page."""


class TagsBody(_Body):
    """What the shop says of a customer."""

    tags: Tags
    """All of them; those that are left out are taken away."""


class IdentityBody(_Body):
    """Whom a customer is the same person as."""

    same_as: ShopId | None
    """The other customer; null says that this one stands for itself."""


class ProfileBody(Profile):
    """Who a customer is; what is left out is emptied."""

    restore_erased: bool = False
    """Whether who was erased may be known again: say true where the person came back."""


class ExposureBody(_Body):
    """That a customer meets a holdout of the program."""

    customer_id: ShopId
    experiment_id: Annotated[str, Field(min_length=1, max_length=64)]
    """The holdout's `id` in the program."""
    exposed_at: Instant | None = None
    """When; now, unless given. It may lie in the past."""


class ReferralNote(_Body):
    """Why a referral counts, or does not; it stays on record."""

    note: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]


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
    expected_moves: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """The `digest` of the preview's `moves`: publish only if the same customers would still move, else 409."""


# -- what is answered ----------------------------------------------------------------------------------------


class ErrorAt(_Shown):
    """One thing that is wrong with a request."""

    path: str
    """Where in the request, such as `activity.items[0].amount_minor`; empty for the whole of it."""
    message: str


class AnswerError(_Shown):
    """What is wrong with one answer to a survey."""

    question: str
    """Its id; one that the survey has not where the question itself is unknown."""
    detail: str


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
    errors: list[ErrorAt | AnswerError] | None = None
    """With the codes `invalid-request` and `invalid-program`; of each answer with `survey-answers-invalid`."""


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


class Cut(_Shown):
    """Points that a cap or a budget did not let through."""

    limit: str
    """`rule:ID` or `program` for a cap, `budget:ID` for a budget."""
    per: str | None = None
    """The cap's period."""
    points_limit: int | None
    times_limit: int | None
    used_points: int
    used_times: int
    points: int
    """How many were not given."""
    text: str


class LotShown(_Shown):
    """Points of an award that live together."""

    points: int
    status: Literal["available", "pending", "expired"]
    available_at: datetime
    expires_at: datetime | None


class Explanation(_Shown):
    """What one rule gave or took."""

    rule_id: str
    points: int
    text: str
    cuts: list[Cut] | None = None
    """What caps and the rule's budget took off, in this order."""


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
    lots: list[LotShown] | None = None
    """Where its points do not all live alike: each part; status and dates above are then the largest part's."""


class ReferralTold(_Shown):
    """What became of the customer's referral by an activity; the referrer is not named."""

    status: Literal[
        "attributed",
        "flagged",
        "approved",
        "rejected",
        "qualified",
        "rewarded",
        "reversed",
        "expired",
        "unknown-code",
        "self-referral",
        "loop",
        "existing-customer",
        "already-referred",
    ]
    reason: str


class AwardAnswer(AwardFigures):
    """A booked award."""

    award_id: str
    referral: ReferralTold | None = None
    """Where the activity carried a code, or its order matters to how the customer was brought."""


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


class NotApplied(_Shown):
    """A rule that would not apply."""

    rule_id: str
    text: str
    """Why, in a sentence."""


class TagsAnswer(_Shown):
    """The tags that a customer now has."""

    customer_id: str
    tags: list[str]


class IdentityAnswer(_Shown):
    """Whom a customer is the same person as from now on."""

    customer_id: str
    same_as: str | None


class QuoteAnswer(_Shown):
    """What an award would be; nothing was written."""

    award: AwardFigures
    redemption: Redeemable
    not_applied: list[NotApplied] | None = None
    """Rules for such an activity that would give nothing, and why; only where it was asked for."""


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


class ReferralSummary(_Shown):
    """Whom a customer brought. What waits for a person, or was rejected, brought nothing."""

    code: str | None
    """Null until one is made."""
    referred: int
    rewarded: int
    revenue_minor: int
    """What those customers have spent, net of refunds, in minor units of the program's currency."""


class ProgramPart(_Shown):
    """Whether a customer takes part in the program, or is held out so that its effect can be measured."""

    status: Literal["enrolled", "held-out"]
    """Show nothing of the program to who is `held-out`: awards earn nothing."""
    experiment_id: str | None
    """The holdout that is on and that the customer is part of; null where none concerns it."""
    arm: Literal["program", "holdout"] | None


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
    standing: StandingShown | None = None
    """Null where the program has no ladder, and for who is held out of it."""
    program: ProgramPart
    enrolled: bool
    """As `program.status` says."""
    held_out: bool
    customer_since: datetime
    referrals: ReferralSummary | None = None
    """As of today; null where the program has no referrals."""


class ExposureAnswer(_Shown):
    """In which arm a customer is, and whether to show the program."""

    customer_id: str
    experiment_id: str
    arm: Literal["program", "holdout"] | None
    """Null for who takes no part in the experiment, and while it is not on."""
    show: bool
    exposed_at: datetime | None
    """The earliest moment that is known; null for who takes no part or has not done anything yet."""


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
    explanation: list[Explanation] | None = None
    """What each rule gave, of an award; null of other entries."""


class EntriesAnswer(_Shown):
    """A page of entries, the newest first."""

    entries: list[EntryShown]
    next_cursor: str | None
    """Send it as `cursor` for the next page; null where there is none."""


class ProfileAnswer(_Shown):
    """Who a customer is."""

    customer_id: str
    email: str | None
    name: str | None
    birthday: str | None
    joined_at: datetime | None
    attributes: dict[str, Any]
    updated_at: datetime
    erased_at: datetime | None
    """When it was erased; then all the rest is empty."""


class ErasedAnswer(_Shown):
    """What was erased of a customer."""

    customer_id: str
    erased_at: datetime
    profile: bool
    """Whether there was a profile."""
    fingerprints: int
    """How many went."""
    activities: int
    """How many lost the words that were in them."""


class ExportedReferrals(_Shown):
    """The customer's own side of referrals."""

    own_code: str | None
    brought_by_a_friend: dict[str, Any] | None
    referred: int
    first_at: datetime | None
    last_at: datetime | None


class ExportAnswer(_Shown):
    """Everything that is known of a customer."""

    customer_id: str
    exported_at: datetime
    profile: ProfileAnswer | None
    tags: list[str]
    statement: dict[str, Any] | None
    """As `GET /v1/customers/{customer_id}`; null for who has a profile and nothing else."""
    entries: list[EntryShown]
    """The ledger, the oldest first."""
    activities: list[dict[str, Any]]
    """What the customer did, as it was sent."""
    survey_answers: list[dict[str, Any]]
    redemptions: list[dict[str, Any]]
    refunds: list[dict[str, Any]]
    moves: list[dict[str, Any]]
    """On the ladder, the first one first."""
    standing_grants: list[dict[str, Any]]
    """What was given by hand."""
    referrals: ExportedReferrals
    same_person_as: str | None
    """Another id of the same person, as the shop has told metrics."""
    experiments: list[dict[str, Any]]
    """In which arm the customer is of which, and since when that mattered."""
    fingerprints: list[dict[str, str]]
    erased_at: list[datetime]
    """When the customer was erased before."""


class LinkAnswer(_Shown):
    """A signed address of the customer's page."""

    url: str
    expires_at: datetime


class SurveyLinkAnswer(_Shown):
    """A signed address at which one customer answers one survey."""

    url: str
    expires_at: datetime


ReferralStatus = Literal[
    "attributed", "flagged", "approved", "rejected", "qualified", "rewarded", "reversed", "expired"
]


class ReferralReason(_Shown):
    """What a guard found."""

    guard: Literal["fingerprints", "velocity"]
    text: str


class ReferralShown(_Shown):
    """How a customer was brought by another, and what came of it."""

    referred_customer_id: str
    referrer_customer_id: str
    code: str
    status: ReferralStatus
    reasons: list[ReferralReason]
    attributed_at: datetime
    """When the activity that carried the code occurred."""
    closes_at: datetime
    """Until when an order can qualify."""
    order_id: str | None
    order_minor: int | None
    ordered_at: datetime | None
    qualified_at: datetime | None
    rewarded_at: datetime | None
    undone_at: datetime | None
    """When it was refunded, or rejected by a person."""
    decided_by: str | None
    decided_at: datetime | None
    note: str | None


class ReferralsAnswer(_Shown):
    """A page of referrals, the latest first."""

    referrals: list[ReferralShown]
    next_cursor: str | None
    """Send it as `cursor` for the next page; null where there is none."""


class ReferralCodeAnswer(_Shown):
    """What a customer gives to friends."""

    code: str


class ProgramAnswer(_Shown):
    """A published version of the program."""

    version: int
    effective_from: datetime
    published_at: datetime
    published_by: str
    note: str | None
    document: dict[str, Any]
    warnings: list[ErrorAt] | None = None
    """What is allowed but hardly meant, such as a rule that never applies; only where something is."""


class Health(_Shown):
    """The process answers."""

    status: Literal["ok"]


class Readiness(_Shown):
    """The process can serve."""

    status: Literal["ready"]
    program_version: int
