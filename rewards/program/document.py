"""The program document: everything an admin decides, as one immutable value.

A document is strict (no field is guessed, none is unknown), bounded, and checked as a whole, so that whatever
holds one may compute with it. Points and minor units are integers; periods are ISO 8601 durations on the
calendar of ``timezone``.
"""

import re
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache, cached_property
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from rewards.core.money import known_currency
from rewards.program.durations import Duration, parse_duration, parse_month_day

LARGEST_INTEGER = 2**53
MOST_RULES = 200


def invalid(message: str, *at: str | int) -> PydanticCustomError:
    """Return the error to raise from a validator; ``at`` leads on from the validated field to the culprit."""
    return PydanticCustomError("program", "{message}", {"message": message, "at": list(at)})


def _checked(parse: Callable[[str], Any]) -> AfterValidator:
    def check(text: str) -> str:
        try:
            parse(text)
        except ValueError as error:
            raise invalid(str(error)) from None
        return text

    return AfterValidator(check)


def _positive(text: str) -> str:
    if not parse_duration(text):
        raise invalid(f"{text} is no time at all; write a longer period, for example P12M")
    return text


def _currency(code: str) -> str:
    if not known_currency(code):
        raise invalid(f"{code[:40]!r} is not an ISO 4217 currency code; write for example USD, EUR or GBP")
    return code


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone(name: str) -> str:
    if name not in _zone_names():
        close = get_close_matches(name[:64], _zone_names(), n=1)
        hint = f"; did you mean {close[0]}?" if close else "; write for example Europe/London or UTC"
        raise invalid(f"{name[:64]!r} is not an IANA time zone{hint}")
    return name


def _not_blank(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise invalid("must be readable text, not blank and without control characters")
    return text


def _an_integer(version: Any) -> Any:
    # To Python true and 1.0 equal 1, so a literal lets them pass.
    if isinstance(version, bool | float):
        raise invalid(f"must be 1, not {str(version).lower()}")
    return version


_RULE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def _rule_id(text: str) -> str:
    if not _RULE_ID.fullmatch(text):
        shape = "1 to 64 letters, digits, hyphens, underscores and dots, beginning with a letter or digit"
        raise invalid(f"{text[:64]!r} is not an id: {shape}")
    return text


_DURATION_SCHEMA = {"type": "string", "format": "duration", "examples": ["P12M", "P14D", "PT30M"]}

Count = Annotated[int, Field(ge=1, le=LARGEST_INTEGER)]
Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_not_blank)]
RuleId = Annotated[
    str, AfterValidator(_rule_id), WithJsonSchema({"type": "string", "pattern": f"^{_RULE_ID.pattern}$"})
]
Period = Annotated[str, _checked(parse_duration), WithJsonSchema(_DURATION_SCHEMA)]
PositivePeriod = Annotated[
    str, _checked(parse_duration), AfterValidator(_positive), WithJsonSchema(_DURATION_SCHEMA)
]
MonthDay = Annotated[
    str,
    _checked(parse_month_day),
    WithJsonSchema({"type": "string", "pattern": r"^\d\d-\d\d$", "examples": ["06-30", "12-31"]}),
]
CurrencyCode = Annotated[
    str, AfterValidator(_currency), WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$"})
]
ZoneName = Annotated[
    str, AfterValidator(_zone), WithJsonSchema({"type": "string", "examples": ["Europe/London"]})
]

Rounding = Literal["floor", "half_up", "ceil"]
ActivityType = Literal["purchase", "survey", "referral", "review", "signup", "custom"]


class Section(BaseModel):
    """What all parts of the document share: strict types, no unknown fields, immutable, documented fields.

    Lists are kept as tuples so that a document can never change; what is read is a list, so for them alone
    strictness is off.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True)


class BaseAmount(Section):
    """Which parts of an order earn. Its total is what was paid: after discounts, with tax and shipping."""

    discount: bool = False
    """Also earn on what a discount took off: it is added back to the total."""
    tax: bool = True
    """Earn on tax; false takes it off the total."""
    shipping: bool = True
    """Earn on shipping; false takes it off the total."""


class PerAmount(Section):
    """Points in proportion to the order's base amount."""

    type: Literal["per_amount"]
    points: Annotated[int, Field(ge=1, le=1_000_000)]
    """This many points…"""
    per_minor: Annotated[int, Field(ge=1, le=1_000_000_000_000)]
    """…for this much money, in minor units: 100 with GBP is one pound, 1 with JPY is one yen."""
    whole_blocks: bool = False
    """Count only whole blocks of `per_minor`: 10 points per 10.00 give 40 on 49.99, not 49."""
    rounding: Rounding = "floor"
    """How the rule's points are rounded to a whole number, once, at the end of the rule."""

    @field_validator("rounding")
    @classmethod
    def _rounding_has_effect(cls, rounding: Rounding, info: ValidationInfo) -> Rounding:
        if info.data.get("whole_blocks") and rounding != "floor":
            raise invalid(f"{rounding} has no effect with whole_blocks: true; leave one of the two out")
        return rounding


class Fixed(Section):
    """The same number of points each time."""

    type: Literal["fixed"]
    points: Count


Gives = Annotated[PerAmount | Fixed, Field(discriminator="type")]


class EarnRule(Section):
    """What one kind of activity gives. All rules of an activity's type apply, and what they give adds up."""

    id: RuleId
    """Name of the rule in explanations and reports; keep it when you change the rule."""
    name: Text | None = None
    activity: ActivityType
    gives: Gives
    # A rule's optional parts (condition, priority, stacking, caps, dates) join here.

    @field_validator("gives")
    @classmethod
    def _money_needs_a_purchase(cls, gives: Gives, info: ValidationInfo) -> Gives:
        activity = info.data.get("activity", "purchase")
        if gives.type == "per_amount" and activity != "purchase":
            raise invalid(
                f"only a purchase has an amount, and this rule is for {activity}; use fixed points", "type"
            )
        return gives


class NeverExpires(Section):
    """Points live for ever."""

    type: Literal["never"]


class ExpiresAfter(Section):
    """Points live for a period from the activity, to the instant unless rounded up."""

    type: Literal["after"]
    period: PositivePeriod
    round_up_to: Literal["month", "year"] | None = None
    """Let points live on to the end of the month or year in which the period ends."""


class ExpiresOnDates(Section):
    """Points die at the end of the first listed day that is at least `minimum_life` away."""

    type: Literal["dates"]
    dates: Annotated[tuple[MonthDay, ...], Field(strict=False, min_length=1, max_length=366)]
    """Days of every year, as MM-DD; 02-29 is the last day of February."""
    minimum_life: Period | None = None

    @field_validator("dates")
    @classmethod
    def _dates_differ(cls, dates: tuple[str, ...]) -> tuple[str, ...]:
        for position, day in enumerate(dates):
            if day in dates[:position]:
                raise invalid(f"{day} is listed twice", position)
        return dates


class ExpiresOnInactivity(Section):
    """All points die when the customer neither earned nor redeemed for a period."""

    type: Literal["inactivity"]
    period: PositivePeriod


Expiry = Annotated[
    NeverExpires | ExpiresAfter | ExpiresOnDates | ExpiresOnInactivity, Field(discriminator="type")
]


class PointsPolicy(Section):
    """How long points wait, how long they live, and whether a balance may fall below zero."""

    pending: Period | None = None
    """How long after the activity points become available, for example P14D for a refund window."""
    expiry: Expiry = NeverExpires(type="never")
    negative_balance: Literal["allow", "clamp"] = "allow"
    """When a refund takes back points that were spent: owe them (allow), or forgive them (clamp)."""

    @field_validator("expiry")
    @classmethod
    def _outlives_pending(cls, expiry: Expiry, info: ValidationInfo) -> Expiry:
        pending_text = info.data.get("pending")
        if pending_text is None or isinstance(expiry, NeverExpires):
            return expiry
        pending = parse_duration(pending_text)
        if isinstance(expiry, ExpiresOnDates):
            # The end of a day lies after its every instant, so a life as long as the wait will do.
            life = parse_duration(expiry.minimum_life or "P0D")
            field, suffices = "minimum_life", life == pending or _surely_longer(life, pending)
        else:
            field, suffices = "period", _surely_longer(parse_duration(expiry.period), pending)
        if not suffices:
            remedy = f"make this longer than pending ({pending_text})"
            raise invalid(f"points could expire before they are available; {remedy}", field)
        return expiry


def _surely_longer(life: Duration, pending: Duration) -> bool:
    covers = life.months >= pending.months and life.days >= pending.days and life.seconds >= pending.seconds
    return (covers and life != pending) or life.shortest() > pending.longest()


class RedemptionPolicy(Section):
    """What points are worth and how many may be redeemed at once."""

    points: Count = 1
    """This many points…"""
    value_minor: Count = 1
    """…are worth this many minor units."""
    minimum_points: Count = 1
    """The fewest points that can be redeemed at once."""
    step_points: Count = 1
    """Points are redeemed in multiples of this."""
    max_order_share_pct: Annotated[int, Field(ge=1, le=100)] | None = None
    """The largest share of an order that points may pay, in percent; null for no limit."""


class RefundPolicy(Section):
    """How a refund takes back points."""

    rounding: Rounding = "half_up"
    """How the points of a part of an order are rounded; all refunds together never take more than it gave."""


class ProgramDocument(Section):
    """A loyalty program."""

    schema_version: Annotated[Literal[1], BeforeValidator(_an_integer)]
    """Version of this format."""
    name: Text
    currency: CurrencyCode
    """ISO 4217 code of the one currency that the program counts in."""
    timezone: ZoneName
    """IANA zone on whose calendar periods and expiry dates are computed."""
    base_amount: BaseAmount = BaseAmount()
    earn: Annotated[tuple[EarnRule, ...], Field(strict=False, max_length=MOST_RULES)] = ()
    points: PointsPolicy = PointsPolicy()
    redemption: RedemptionPolicy = RedemptionPolicy()
    refunds: RefundPolicy = RefundPolicy()
    # Optional sections join here, each with a default that means "the program has none" (tiers, rewards,
    # surveys, referrals, holdout): documents published before a section existed keep their meaning.

    @field_validator("earn")
    @classmethod
    def _rule_ids_differ(cls, rules: tuple[EarnRule, ...]) -> tuple[EarnRule, ...]:
        seen: set[str] = set()
        for position, rule in enumerate(rules):
            if rule.id in seen:
                raise invalid(f"another rule has the id {rule.id!r}; give each rule its own", position, "id")
            seen.add(rule.id)
        return rules

    @cached_property
    def zone(self) -> ZoneInfo:
        """The program's time zone."""
        return ZoneInfo(self.timezone)
