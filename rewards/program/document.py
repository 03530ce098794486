"""The program document: everything an admin decides, as one immutable value.

A document is strict (no field is guessed, none is unknown), bounded, and checked as a whole, so that whatever
holds one may compute with it. Points and minor units are integers; periods are ISO 8601 durations on the
calendar of ``timezone``.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache, cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from rewards.core.money import known_currency
from rewards.program.holdout import HOLDOUT_RULE, Experiment, Holdout, experiment_of
from rewards.program.ladder import Ladder, Tier
from rewards.program.periods import Times, times
from rewards.program.points import PointsPolicy
from rewards.program.referrals import ReferralPolicy, check_rewarded, points_policy
from rewards.program.rules import Caps, EarnRule, Multiplier
from rewards.program.sections import Count, Paragraph, Rounding, Section, Text, invalid
from rewards.program.segments import MOST_CAMPAIGNS, MOST_SEGMENTS, Campaign, Segment, first_missing
from rewards.program.surveys import MOST_SURVEYS, SurveyDefinition, check_ids

if TYPE_CHECKING:
    from rewards.program.plans import Plan

MOST_RULES = 200


def _currency(code: str) -> str:
    if not known_currency(code):
        raise invalid(f"{code[:40]!r} is not an ISO 4217 currency code; write for example USD, EUR or GBP")
    return code


@cache
def _zone_names() -> frozenset[str]:
    # The machine's own zone goes by this name where its files are; elsewhere, and to the database, it means nothing.
    return frozenset(available_timezones() - {"localtime"})


def _zone(name: str) -> str:
    if name not in _zone_names():
        close = get_close_matches(name[:64], _zone_names(), n=1)
        hint = f"; did you mean {close[0]}?" if close else "; write for example Europe/London or UTC"
        raise invalid(f"{name[:64]!r} is not an IANA time zone{hint}")
    return name


def _an_integer(version: Any) -> Any:
    # To Python true and 1.0 equal 1, so a literal lets them pass.
    if isinstance(version, bool | float):
        raise invalid(f"must be 1, not {str(version).lower()}")
    return version


CurrencyCode = Annotated[
    str, AfterValidator(_currency), WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$"})
]
ZoneName = Annotated[
    str, AfterValidator(_zone), WithJsonSchema({"type": "string", "examples": ["Europe/London"]})
]


class BaseAmount(Section):
    """Which parts of an order earn. Its total is what was paid: after discounts, with tax and shipping."""

    discount: bool = False
    """Also earn on what a discount took off: it is added back to the total."""
    tax: bool = True
    """Earn on tax; false takes it off the total."""
    shipping: bool = True
    """Earn on shipping; false takes it off the total."""
    points: bool = True
    """Earn on what was paid with points; false takes an order's `points_minor` off the total."""


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
    caps: Caps = ()
    """The most that all rules together may give to one customer."""
    # Checked even where it is left out: rules may have a life of their own.
    points: PointsPolicy = Field(default=PointsPolicy(), validate_default=True)
    redemption: RedemptionPolicy = RedemptionPolicy()
    refunds: RefundPolicy = RefundPolicy()
    surveys: Annotated[tuple[SurveyDefinition, ...], Field(strict=False, max_length=MOST_SURVEYS)] = ()
    referrals: ReferralPolicy | None = None
    """When customers who bring others are rewarded; null for never."""
    ladder: Ladder | None = None
    """The tiers that customers climb; null for none."""
    # Checked even where they are left out: rules may name some.
    segments: Annotated[tuple[Segment, ...], Field(strict=False, max_length=MOST_SEGMENTS)] = Field(
        default=(), validate_default=True
    )
    """Customers who meet a condition, by name."""
    campaigns: Annotated[tuple[Campaign, ...], Field(strict=False, max_length=MOST_CAMPAIGNS)] = Field(
        default=(), validate_default=True
    )
    """Offers to the customers of a segment, each with a part that gets none, to be compared with."""
    holdout: Holdout | None = None
    """Customers who are kept out of the program for a while, to measure what it changes; null for none."""
    no_holdout: Paragraph | None = None
    """Why nobody is held out, where that is meant: what the program changes cannot be measured then."""
    # Optional sections join here, each with a default that means "the program has none" (rewards): documents
    # published before a section existed keep their meaning.

    @field_validator("earn")
    @classmethod
    def _rule_ids_differ(cls, rules: tuple[EarnRule, ...]) -> tuple[EarnRule, ...]:
        seen: set[str] = set()
        for position, rule in enumerate(rules):
            if rule.id in seen:
                raise invalid(f"another rule has the id {rule.id!r}; give each rule its own", position, "id")
            seen.add(rule.id)
        _check_multiplied(rules)
        return rules

    @field_validator("points")
    @classmethod
    def _own_lives_fit(cls, points: PointsPolicy, info: ValidationInfo) -> PointsPolicy:
        for rule in info.data.get("earn", ()):
            try:
                rule.points_policy(points)
            except ValidationError as error:
                why = error.errors()[0].get("ctx", {}).get("message", "its points cannot live like that")
                raise invalid(f"rule {rule.id!r} has a pending period or expiry of its own: {why}") from None
        return points

    @field_validator("surveys")
    @classmethod
    def _survey_ids_differ(cls, surveys: tuple[SurveyDefinition, ...]) -> tuple[SurveyDefinition, ...]:
        check_ids([survey.id for survey in surveys], "survey")
        return surveys

    @field_validator("referrals")
    @classmethod
    def _referrals_are_rewarded(
        cls, referrals: ReferralPolicy | None, info: ValidationInfo
    ) -> ReferralPolicy | None:
        if referrals is not None and "earn" in info.data:
            check_rewarded(referrals, info.data["earn"], info.data.get("points"))
        return referrals

    @field_validator("ladder")
    @classmethod
    def _tiers_lives_fit(cls, ladder: Ladder | None, info: ValidationInfo) -> Ladder | None:
        points: PointsPolicy | None = info.data.get("points")
        for position, tier in enumerate(ladder.tiers if ladder is not None and points is not None else ()):
            assert points is not None
            for rule in (None, *info.data.get("earn", ())):
                try:
                    of_tier = tier_policy(tier, points)
                    if rule is not None:
                        points_policy(info.data.get("referrals"), rule, of_tier)
                except ValidationError as error:
                    why = error.errors()[0].get("ctx", {}).get("message", "its points cannot live like that")
                    of = "" if rule is None else f"with rule {rule.id!r}: "
                    field = "pending" if tier.pending is not None else "expiry"
                    raise invalid(f"{of}{why}", "tiers", position, field) from None
        return ladder

    @field_validator("segments")
    @classmethod
    def _segments_are_named(cls, segments: tuple[Segment, ...], info: ValidationInfo) -> tuple[Segment, ...]:
        check_ids([segment.id for segment in segments], "segment")
        _check_rules_find(info, "segment", [segment.id for segment in segments])
        return segments

    @field_validator("campaigns")
    @classmethod
    def _campaigns_are_named(
        cls, campaigns: tuple[Campaign, ...], info: ValidationInfo
    ) -> tuple[Campaign, ...]:
        check_ids([campaign.id for campaign in campaigns], "campaign")
        _check_rules_find(info, "campaign", [campaign.id for campaign in campaigns])
        known = [segment.id for segment in info.data.get("segments", ())]
        salts: set[str] = set()
        for position, campaign in enumerate(campaigns):
            if "segments" in info.data and campaign.segment not in known:
                raise invalid(f"there is no segment {campaign.segment!r}", position, "segment")
            if campaign.salt in salts:
                raise invalid("another campaign has this salt; each needs one of its own", position, "salt")
            salts.add(campaign.salt)
        return campaigns

    @field_validator("holdout")
    @classmethod
    def _no_rule_is_called_so(cls, holdout: Holdout | None, info: ValidationInfo) -> Holdout | None:
        if holdout is not None and any(rule.id == HOLDOUT_RULE for rule in info.data.get("earn", ())):
            raise invalid(
                f"a rule has the id {HOLDOUT_RULE!r}, which explains why who is held out earns nothing; "
                "give the rule another one"
            )
        for campaign in info.data.get("campaigns", ()) if holdout is not None else ():
            for name in ("id", "salt"):
                if getattr(campaign, name) == getattr(holdout, name):
                    raise invalid(
                        f"the campaign {campaign.id!r} has the same {name}; each experiment needs its own",
                        name,
                    )
        return holdout

    @field_validator("no_holdout")
    @classmethod
    def _there_is_none(cls, reason: str | None, info: ValidationInfo) -> str | None:
        if reason is not None and info.data.get("holdout") is not None:
            raise invalid("says why there is no holdout, and there is one; leave one of the two out")
        return reason

    def points_of(self, rule: EarnRule, tier: Tier | None = None) -> PointsPolicy:
        """Return when the points of one of the program's rules can be spent and expire, for a customer in ``tier``."""
        return points_policy(
            self.referrals, rule, self.points if tier is None else tier_policy(tier, self.points)
        )

    @cached_property
    def zone(self) -> ZoneInfo:
        """The program's time zone."""
        return ZoneInfo(self.timezone)

    @cached_property
    def experiment(self) -> Experiment | None:
        """The holdout's terms, None where there is none."""
        return None if self.holdout is None else experiment_of(self.holdout, self.zone)

    @cached_property
    def plans(self) -> "Mapping[str, Plan]":
        """The earn rules by type of activity, compiled."""
        from rewards.program.plans import compile_plans  # it builds on documents

        return compile_plans(self)

    def plans_in(self, tier: Tier | None) -> "Mapping[str, Plan]":
        """Return the earn rules by type of activity for a customer in a tier, with what the tier gives on top."""
        return self.plans if tier is None else self._plans_by_tier[tier.id]

    @cached_property
    def _plans_by_tier(self) -> "Mapping[str, Mapping[str, Plan]]":
        from rewards.program.plans import plans_of_tier  # it builds on documents

        tiers = () if self.ladder is None else self.ladder.tiers
        return {tier.id: plans_of_tier(self, tier) for tier in tiers}

    @cached_property
    def times(self) -> Times:
        """When points can be spent and expire, where neither their rule nor their tier says anything else."""
        return times(self.points, self.zone)

    def times_in(self, tier: Tier | None) -> Times:
        """Return when points earned in a tier can be spent and expire, where their rule says nothing else."""
        return self.times if tier is None else self._times_by_tier[tier.id]

    @cached_property
    def _times_by_tier(self) -> Mapping[str, Times]:
        tiers = () if self.ladder is None else self.ladder.tiers
        return {tier.id: times(tier_policy(tier, self.points), self.zone) for tier in tiers}


def _check_rules_find(info: ValidationInfo, kind: str, known: list[str]) -> None:
    """Check that the segments or campaigns that rules name are there; it is told where those are listed."""
    missing = first_missing(info.data.get("earn", ()), known, kind)
    if missing is not None:
        rule, name = missing
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise invalid(f"rule {rule!r} is for {kind} {name!r}, which is not there{hint}")


def tier_policy(tier: Tier, of_program: PointsPolicy) -> PointsPolicy:
    """Return when points earned in a tier can be spent and expire: as it says itself, else as the program does."""
    if tier.pending is None and tier.expiry is None:
        return of_program
    return PointsPolicy(
        pending=of_program.pending if tier.pending is None else tier.pending,
        expiry=of_program.expiry if tier.expiry is None else tier.expiry,
        negative_balance=of_program.negative_balance,
    )


def _check_multiplied(rules: tuple[EarnRule, ...]) -> None:
    """Check that each multiplier multiplies rules that are there, of its activity, and no multipliers."""
    by_id = {rule.id: rule for rule in rules}
    for position, rule in enumerate(rules):
        if not isinstance(rule.gives, Multiplier):
            continue
        for index, name in enumerate(rule.gives.of):
            at = (position, "gives", "of", index)
            other = by_id.get(name)
            if other is None:
                close = get_close_matches(name, by_id, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise invalid(f"there is no rule {name!r}{hint}", *at)
            if other.activity != rule.activity:
                raise invalid(f"rule {name!r} is for {other.activity}, not {rule.activity}", *at)
            if other.gives.type in ("multiplier", "at_least"):
                raise invalid(f"rule {name!r} is no rule that gives points by itself", *at)
        if not rule.gives.of and not any(
            each.activity == rule.activity and each.gives.type == "per_amount" for each in rules
        ):
            raise invalid(
                f"no per_amount rule is for {rule.activity}; name in `of` what it multiplies",
                position,
                "gives",
            )
