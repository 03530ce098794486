"""Commands: what a caller can ask the engine to do, as validated data.

They are at once the bodies of the HTTP requests and the input of the decisions, so that there is one
definition of each. Points are whole and positive, money is integer minor units, both at most 2**53 so that
every JSON reader sees the same number. Instants carry an offset.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from rewards.core.money import known_currency
from rewards.program.durations import parse_duration

LARGEST = 2**53
LONGEST_ID = 128
LONGEST_ANSWER = 4_000
MOST_CHOSEN = 100
EARLIEST_YEAR = 1970
LONGEST_HOLD = timedelta(days=367)

# NUL cannot be stored in PostgreSQL text, and control characters in an id are always a mistake.
_ID_PATTERN = r"^[^\x00-\x1f\x7f]+$"
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d")
_TEXT_PATTERN = r"^[^\x00]*$"

ShopId = Annotated[str, Field(min_length=1, max_length=LONGEST_ID, pattern=_ID_PATTERN)]
Points = Annotated[int, Field(ge=1, le=LARGEST)]
AmountMinor = Annotated[int, Field(ge=0, le=LARGEST)]
ShortText = Annotated[str, Field(max_length=255, pattern=_TEXT_PATTERN)]
LongText = Annotated[str, Field(max_length=4_000, pattern=_TEXT_PATTERN)]


def _check_currency(code: str) -> str:
    if not known_currency(code):
        raise ValueError("not an ISO 4217 currency code (write for example GBP)")
    return code


def _check_written_instant(value: Any) -> Any:
    # The parser takes numbers too, in quotes or not, which are a mistake more often than seconds since 1970.
    if not isinstance(value, datetime) and not (isinstance(value, str) and _RFC_3339.match(value)):
        raise ValueError("must be an instant such as 2026-11-01T12:00:00Z")
    return value


def _check_instant(instant: datetime) -> datetime:
    try:
        instant = instant.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies too far from today") from None
    if instant.year < EARLIEST_YEAR:
        raise ValueError(f"lies before {EARLIEST_YEAR}")
    return instant


#: An instant in RFC 3339 form with its offset, kept in UTC.
#: (Not strict, because behind a check of ours the parser sees text as Python's, where strict means no text.)
Instant = Annotated[
    AwareDatetime,
    Field(strict=False),
    BeforeValidator(_check_written_instant),
    AfterValidator(_check_instant),
]
Currency = Annotated[str, Field(min_length=3, max_length=3), AfterValidator(_check_currency)]


def _check_scalar(longest: int) -> Callable[[Any], Any]:
    """Return a check of free values: one verdict for each, where a union would complain once for each kind."""

    def check(value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            if len(value) > longest or "\0" in value:
                raise ValueError(f"must be text of at most {longest} characters, without NUL")
        elif isinstance(value, int | float):
            if not -LARGEST <= value <= LARGEST:
                raise ValueError("must be a number of at most 2**53 either way")
        else:
            raise ValueError("must be text, a number, true, false or null")  # noqa: TRY004 - pydantic takes no other
        return value

    return check


def _scalar_schema(longest: int) -> dict[str, Any]:
    text = {"type": "string", "maxLength": longest}
    number = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
    return {"anyOf": [text, number, {"type": "boolean"}, {"type": "null"}]}


def _check_answer(value: Any) -> Any:
    """Check an answer: a free value or, where several things can be chosen, a list of texts."""
    if not isinstance(value, list):
        return _check_scalar(LONGEST_ANSWER)(value)
    if len(value) > MOST_CHOSEN:
        raise ValueError(f"must be a list of at most {MOST_CHOSEN} texts")
    if not all(isinstance(chosen, str) and len(chosen) <= 64 and "\0" not in chosen for chosen in value):
        raise ValueError("must be a list of texts of at most 64 characters each, without NUL")
    return value


def _answer_schema() -> dict[str, Any]:
    scalar = _scalar_schema(LONGEST_ANSWER)
    chosen = {"type": "array", "items": {"type": "string", "maxLength": 64}, "maxItems": MOST_CHOSEN}
    return {"anyOf": [*scalar["anyOf"], chosen]}


AttributeValue = Annotated[Any, PlainValidator(_check_scalar(255)), WithJsonSchema(_scalar_schema(255))]
AnswerValue = Annotated[Any, PlainValidator(_check_answer), WithJsonSchema(_answer_schema())]
Tags = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=64, pattern=_ID_PATTERN)]],
    Field(max_length=100, fail_fast=True),
]
Attributes = Annotated[
    dict[Annotated[str, Field(max_length=64, pattern=_TEXT_PATTERN)], AttributeValue], Field(max_length=50)
]


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class Fingerprints(_Model):
    """Hashes by which a shop recognises the same address, means of payment or device; opaque to the engine."""

    address: ShopId | None = None
    payment: ShopId | None = None
    device: ShopId | None = None

    def given(self) -> dict[str, str]:
        """Return those that there are, by kind."""
        return self.model_dump(exclude_none=True)


class Item(_Model):
    """One line of an order."""

    line_id: ShopId
    sku: ShortText | None = None
    category: ShortText | None = None
    quantity: Annotated[int, Field(ge=1, le=10**9)] = 1
    amount_minor: AmountMinor
    """What the whole line costs, all its units together."""
    attributes: Attributes = Field(default_factory=dict)


class Purchase(_Model):
    """A completed order."""

    type: Literal["purchase"]
    order_id: ShopId
    total_minor: AmountMinor
    """What the customer paid: after discounts, with tax and shipping."""
    currency: Currency
    discount_minor: AmountMinor = 0
    tax_minor: AmountMinor = 0
    shipping_minor: AmountMinor = 0
    points_minor: AmountMinor = 0
    """The part of the total that was paid with points."""
    items: Annotated[list[Item], Field(max_length=1_000, fail_fast=True)] = Field(default_factory=list)
    referral_code: ShortText | None = None
    """The code of who brought the customer; the first one of a new customer counts."""
    fingerprints: Fingerprints | None = None
    channel: ShortText | None = None
    attributes: Attributes = Field(default_factory=dict)

    @model_validator(mode="after")
    def _parts_fit(self) -> "Purchase":
        if self.points_minor > self.total_minor:
            raise ValueError("points_minor is a part of total_minor and cannot exceed it")
        if self.tax_minor + self.shipping_minor > self.total_minor:
            raise ValueError("tax_minor and shipping_minor are parts of total_minor and cannot exceed it")
        if self.items and len({item.line_id for item in self.items}) != len(self.items):
            raise ValueError("each line_id of an order must be unique")
        return self

    def key(self, idempotency_key: str) -> str:  # noqa: ARG002 - one signature for every activity
        """Return the activity's unique name for its customer."""
        return f"purchase:{self.order_id}"


class Survey(_Model):
    """A survey that a customer answered."""

    type: Literal["survey"]
    survey_id: ShopId
    answers: Annotated[dict[ShortText, AnswerValue], Field(max_length=100)] = Field(default_factory=dict)
    comment: LongText | None = None
    attributes: Attributes = Field(default_factory=dict)

    def key(self, idempotency_key: str) -> str:  # noqa: ARG002 - one signature for every activity
        """Return the activity's unique name for its customer."""
        return f"survey:{self.survey_id}"


class Referral(_Model):
    """A customer who brought another one."""

    type: Literal["referral"]
    referred_customer_id: ShopId
    attributes: Attributes = Field(default_factory=dict)

    def key(self, idempotency_key: str) -> str:  # noqa: ARG002 - one signature for every activity
        """Return the activity's unique name for its customer."""
        return f"referral:{self.referred_customer_id}"


class Referred(_Model):
    """A customer who was brought by another one."""

    type: Literal["referred"]
    attributes: Attributes = Field(default_factory=dict)

    def key(self, idempotency_key: str) -> str:  # noqa: ARG002 - one signature for every activity
        """Return the activity's unique name for its customer."""
        return "referred"


class Review(_Model):
    """A review of something that the shop sells."""

    type: Literal["review"]
    subject: ShopId
    attributes: Attributes = Field(default_factory=dict)

    def key(self, idempotency_key: str) -> str:  # noqa: ARG002 - one signature for every activity
        """Return the activity's unique name for its customer."""
        return f"review:{self.subject}"


class Signup(_Model):
    """A customer who joined."""

    type: Literal["signup"]
    referral_code: ShortText | None = None
    """The code of who brought the customer; the first one of a new customer counts."""
    fingerprints: Fingerprints | None = None
    attributes: Attributes = Field(default_factory=dict)

    def key(self, idempotency_key: str) -> str:  # noqa: ARG002 - one signature for every activity
        """Return the activity's unique name for its customer."""
        return "signup"


class _Yearly(_Model):
    year: Annotated[int, Field(ge=1970, le=9999)]
    """Of which year; each counts once."""
    attributes: Attributes = Field(default_factory=dict)


class Birthday(_Yearly):
    """A customer's birthday."""

    type: Literal["birthday"]

    def key(self, idempotency_key: str) -> str:  # noqa: ARG002 - one signature for every activity
        """Return the activity's unique name for its customer."""
        return f"birthday:{self.year}"


class Anniversary(_Yearly):
    """Another year since a customer joined."""

    type: Literal["anniversary"]

    def key(self, idempotency_key: str) -> str:  # noqa: ARG002 - one signature for every activity
        """Return the activity's unique name for its customer."""
        return f"anniversary:{self.year}"


class TierReached(_Model):
    """A customer who reached a tier; what the engine sends where rules welcome to it."""

    type: Literal["tier"]
    name: ShopId
    """The tier."""
    number: Annotated[int, Field(ge=1)]
    """Which of the customer's moves on the ladder it was."""
    attributes: Attributes = Field(default_factory=dict)
    """`from`, the tier before, and `reason`, how it was reached."""

    def key(self, idempotency_key: str) -> str:  # noqa: ARG002 - one signature for every activity
        """Return the activity's unique name for its customer."""
        return f"tier:{self.name}:{self.number}"


class Custom(_Model):
    """Anything else; it may happen again, so each idempotency key names one occurrence."""

    type: Literal["custom"]
    name: ShopId
    attributes: Attributes = Field(default_factory=dict)

    def key(self, idempotency_key: str) -> str:
        """Return the activity's unique name for its customer."""
        # With its length, so that no other name and key together read the same.
        return f"custom:{len(self.name)}:{self.name}:{idempotency_key}"


Activity = Annotated[
    Purchase | Survey | Referral | Referred | Review | Signup | Birthday | Anniversary | Custom,
    Field(discriminator="type"),
]


class Award(_Model):
    """Credit a customer for an activity; an unknown customer is created."""

    customer_id: ShopId
    occurred_at: Instant | None = None
    """When it happened, by the shop's clock; now, unless given. It may lie in the past."""
    activity: Activity


class Record(Award):
    """Keep an activity as a fact that earns nothing, such as history from before the program."""


class Reward(Award):
    """Credit one of the two customers of a referral; what the engine sends once an order has qualified."""


class Welcome(Award):
    """Credit a customer for having reached a tier; what the engine sends."""

    activity: TierReached  # type: ignore[assignment]  # no shop sends it, so it is not among the activities


class Redeem(_Model):
    """Spend points, at once or as a hold to capture later."""

    customer_id: ShopId
    points: Points | None = None
    reward_id: ShopId | None = None
    order_id: ShopId | None = None
    order_total_minor: AmountMinor | None = None
    """The order's total, needed where the program limits the share of an order that points may pay."""
    hold: bool = False
    hold_expires_in: Annotated[str, Field(max_length=32)] | None = None
    """ISO 8601 duration after which the hold lapses; PT30M unless given."""

    @model_validator(mode="after")
    def _names_what_to_spend(self) -> "Redeem":
        if (self.points is None) == (self.reward_id is None):
            raise ValueError("give either points or reward_id")
        if self.hold_expires_in is not None and not self.hold:
            raise ValueError("hold_expires_in needs hold: true")
        if self.hold_expires_in is not None:
            lasts = parse_duration(self.hold_expires_in)
            if not lasts or lasts.longest() > LONGEST_HOLD:
                raise ValueError("hold_expires_in must be longer than nothing and at most a year")
        return self


class Capture(_Model):
    """Spend a hold, whole or in part; the rest is released."""

    redemption_id: Annotated[str, Field(max_length=720)]
    points: Points | None = None


class Void(_Model):
    """Let a hold go; its points return to the lots they came from."""

    redemption_id: Annotated[str, Field(max_length=720)]


class ReverseRedemption(_Model):
    """Take a captured redemption back; its points return to the lots they came from."""

    redemption_id: Annotated[str, Field(max_length=720)]


class RefundedLine(_Model):
    """A line of an order that is refunded: whole, by units, or by amount."""

    line_id: ShopId
    quantity: Annotated[int, Field(ge=1, le=10**9)] | None = None
    amount_minor: AmountMinor | None = None

    @model_validator(mode="after")
    def _one_measure(self) -> "RefundedLine":
        if self.quantity is not None and self.amount_minor is not None:
            raise ValueError("give quantity or amount_minor, not both")
        return self


class Reverse(_Model):
    """Refund an order, in full, by amount or by line."""

    customer_id: ShopId
    order_id: ShopId
    refund_id: ShopId
    occurred_at: Instant | None = None
    amount_minor: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
    items: Annotated[list[RefundedLine], Field(min_length=1, max_length=1_000, fail_fast=True)] | None = None
    full: bool = False

    @model_validator(mode="after")
    def _one_extent(self) -> "Reverse":
        if (self.amount_minor is not None) + (self.items is not None) + self.full != 1:
            raise ValueError("give exactly one of amount_minor, items or full: true")
        if self.items is not None and len({line.line_id for line in self.items}) != len(self.items):
            raise ValueError("name each line_id once")
        return self


class Adjust(_Model):
    """Credit or debit points by hand, with a reason."""

    customer_id: ShopId
    points: Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=_TEXT_PATTERN)]
    allow_negative: bool = False

    @model_validator(mode="after")
    def _moves_points(self) -> "Adjust":
        if self.points == 0:
            raise ValueError("points must not be 0")
        return self


class Return(_Model):
    """A refund that names no order, as old exports have them: taken from the customer's latest orders."""

    customer_id: ShopId
    refund_id: ShopId
    occurred_at: Instant
    amount_minor: Annotated[int, Field(ge=1, le=LARGEST)]


class Tag(_Model):
    """Give a customer these tags, instead of those it has; conditions of rules ask for them."""

    customer_id: ShopId
    tags: Tags


class Offer(_Model):
    """Make a customer the offer of a campaign: its rules apply from now on. What the job of campaigns submits."""

    customer_id: ShopId
    campaign_id: Annotated[str, Field(min_length=1, max_length=64)]
    until: Instant
    """When the offer ends."""


class EndOffer(_Model):
    """End the offer that a campaign has made a customer."""

    customer_id: ShopId
    campaign_id: Annotated[str, Field(min_length=1, max_length=64)]


class Enroll(_Model):
    """Say since when a customer is a member, for anniversaries; without an instant, since the first activity."""

    customer_id: ShopId
    member_since: Instant | None


#: What experiments are called, as ids in the program are.
EXPERIMENT_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"


class Assign(_Model):
    """Say in which arm of an experiment a customer is, where others than the lot have drawn; what an import submits."""

    customer_id: ShopId
    experiment_id: Annotated[str, Field(pattern=EXPERIMENT_ID)]
    arm: Literal["program", "holdout"]
    assigned_at: Instant | None = None
    """When the customer was drawn, as whoever did so says; now, unless given."""
    source: Annotated[str, Field(min_length=1, max_length=64)] = "import"


class GrantStanding(_Model):
    """Give a customer a standing by hand, in place of what was granted before."""

    customer_id: ShopId
    tier: Annotated[str, Field(min_length=1, max_length=64)]
    until: Instant | None = None
    """When it ends and the automatic rules go on alone; for ever unless given."""
    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=_TEXT_PATTERN)]


class EndGrant(_Model):
    """End a standing that was given by hand."""

    customer_id: ShopId
    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=_TEXT_PATTERN)]


class Settle(_Model):
    """Book what time alone has brought about for a customer; what the jobs submit."""

    customer_id: ShopId


class Restand(_Model):
    """Bring a customer's standing up to the present and the ladder in force; what the job submits in bulk.

    As settling does, but without a look at points that nothing is due with.
    """

    customer_id: ShopId


class Retract(_Model):
    """Take back all that an activity was given; what the engine sends for a referral that came to nothing."""

    customer_id: ShopId
    activity_key: Annotated[str, Field(min_length=1, max_length=512)]
    occurred_at: Instant | None = None


class JudgeReferral(_Model):
    """Decide, as an admin, whether the referral of a customer counts."""

    customer_id: ShopId
    """The customer who was referred."""
    approve: bool
    note: Annotated[str, Field(min_length=1, max_length=500, pattern=_TEXT_PATTERN)]


class FollowUp(_Model):
    """Note that what a referral had to bring about next was sent; what the engine submits."""

    customer_id: ShopId
    """The customer who was referred."""
    done: Literal["reward", "referrer", "retract"]


Command = (
    Award
    | Record
    | Reward
    | Redeem
    | Capture
    | Void
    | ReverseRedemption
    | Reverse
    | Adjust
    | Return
    | Tag
    | Offer
    | EndOffer
    | Enroll
    | Assign
    | GrantStanding
    | EndGrant
    | Settle
    | Restand
    | Retract
    | JudgeReferral
    | FollowUp
)

#: The name under which each command is stored, and hashed with its input.
KINDS: dict[type[Any], str] = {
    Award: "award",
    Record: "record",
    Redeem: "redeem",
    Capture: "capture",
    Void: "void",
    ReverseRedemption: "reverse-redemption",
    Reverse: "reverse",
    Adjust: "adjust",
    Return: "return",
    Tag: "tag",
    Offer: "offer",
    EndOffer: "end-offer",
    Settle: "settle",
    Restand: "restand",
    Reward: "reward",
    Welcome: "welcome",
    Enroll: "enroll",
    Assign: "assign",
    GrantStanding: "grant-standing",
    EndGrant: "end-grant",
    Retract: "retract",
    JudgeReferral: "judge-referral",
    FollowUp: "follow-up",
}
