"""The document's ladder: tiers, the ways into them, how long a standing lasts, and what each tier raises.

How a customer's standing follows from it is told in :mod:`tiers`.
"""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from rewards.program.points import ExpiresAfter, ExpiresOnDates, NeverExpires
from rewards.program.rules import Active, Condition
from rewards.program.sections import (
    Count,
    MonthDay,
    Paragraph,
    Period,
    PositivePeriod,
    RuleId,
    Section,
    Text,
    invalid,
)

MOST_TIERS = 50
_Pct = Annotated[int, Field(ge=100, le=100_000)]
_OwnExpiry = Annotated[NeverExpires | ExpiresAfter | ExpiresOnDates, Field(discriminator="type")]


class Lifetime(Section):
    """All that a customer ever did counts."""

    type: Literal["lifetime"]


class Rolling(Section):
    """What a customer did counts for a period, and drops out at the beginning of the day on which that ends."""

    type: Literal["rolling"]
    period: PositivePeriod
    """Whole days, weeks, months or years, such as P12M: what was bought on 5 March counts until 4 March a year on."""

    @field_validator("period")
    @classmethod
    def _whole_days(cls, period: str) -> str:
        return _of_days(period)


class CalendarPeriods(Section):
    """What a customer did counts until the year, quarter or month is over."""

    type: Literal["calendar"]
    unit: Literal["year", "quarter", "month"] = "year"


class AnniversaryPeriods(Section):
    """What a customer did counts until the next anniversary of joining, 29 February's on the 28th in common years."""

    type: Literal["anniversary"]


class ProgramDates(Section):
    """What a customer did counts until the next of some days of the year, on which a new period begins."""

    type: Literal["dates"]
    dates: Annotated[tuple[MonthDay, ...], Field(strict=False, min_length=1, max_length=24)]
    """First days of periods, as MM-DD; 02-29 is the last day of February."""

    @field_validator("dates")
    @classmethod
    def _dates_differ(cls, dates: tuple[str, ...]) -> tuple[str, ...]:
        for position, day in enumerate(dates):
            if day in dates[:position]:
                raise invalid(f"{day} is listed twice", position)
        return dates


QualificationWindow = Annotated[
    Lifetime | Rolling | CalendarPeriods | AnniversaryPeriods | ProgramDates, Field(discriminator="type")
]
PERIODIC = (CalendarPeriods, AnniversaryPeriods, ProgramDates)


class ForEver(Section):
    """A standing is never looked at again; it only rises."""

    type: Literal["for_ever"]


class WhileQualified(Section):
    """A standing ends as soon as what counts is no longer enough."""

    type: Literal["while_qualified"]


class LastsPeriod(Section):
    """A standing lasts for a period from the day on which it was reached, that day's anniversary included."""

    type: Literal["after"]
    period: PositivePeriod
    round_up_to: Literal["month", "year"] | None = None
    """Let it last to the end of the month or year in which the period ends."""

    @field_validator("period")
    @classmethod
    def _whole_days(cls, period: str) -> str:
        return _of_days(period)


class LastsToPeriodEnd(Section):
    """A standing lasts to the end of the ladder's period in which it was reached, or of a later one."""

    type: Literal["period_end"]
    more_periods: Annotated[int, Field(ge=0, le=24)] = 0
    """So many periods more: 1 with calendar years is to the end of the next year. Renewed, it lasts one period."""


Lasts = Annotated[ForEver | WhileQualified | LastsPeriod | LastsToPeriodEnd, Field(discriminator="type")]


class Downgrade(Section):
    """What becomes of a standing that ends and was not qualified for again."""

    to: Literal["none", "first", "one_lower", "qualified"] = "qualified"
    """Nothing (it is kept), where all begin, one tier lower at a time (soft landing), or the tier qualified for."""
    grace: Period | None = None
    """So much longer it is kept before; who qualifies again meanwhile keeps it. Whole days, such as P1M."""
    round_up_to: Literal["month"] | None = None
    """Let the grace last to the end of the month in which it ends."""

    @field_validator("grace")
    @classmethod
    def _whole_days(cls, grace: str | None) -> str | None:
        return None if grace is None else _of_days(grace)

    @model_validator(mode="after")
    def _rounds_something(self) -> "Downgrade":
        if self.round_up_to is not None and self.grace is None:
            raise invalid(
                "there is no grace to round up; write P0D for one to the end of the month", "round_up_to"
            )
        return self


class WayIn(Section):
    """One thing that qualifies for a tier: so many of something within the window, or a condition."""

    points: Count | None = None
    """Qualifying points: what rules gave, less what refunds took back; not lowered by redeeming."""
    spend_minor: Count | None = None
    """What was paid, less refunds, in minor units."""
    orders: Count | None = None
    """Orders that were not refunded whole."""
    referrals: Count | None = None
    """Customers brought, once their referral was rewarded."""
    when: Condition | None = None
    """A CEL expression over `customer`, `qualifying` and `time`."""
    window: QualificationWindow | None = None
    """Over what it is counted, where that is not the ladder's window."""

    @model_validator(mode="after")
    def _one_measure(self) -> "WayIn":
        given = [name for name in (*MEASURES, "when") if getattr(self, name) is not None]
        if len(given) != 1:
            raise invalid("give exactly one of points, spend_minor, orders, referrals or when")
        if self.when is not None and self.window is not None:
            raise invalid("a condition is over the ladder's window; leave this one out", "window")
        return self


MEASURES = ("points", "spend_minor", "orders", "referrals")


class Perk(Section):
    """Something that a tier's customers have, in words; the shop honours it."""

    id: RuleId
    name: Text
    description: Paragraph | None = None
    active: Active | None = None
    """From when until when there is this perk; always unless given."""


class Tier(Section):
    """One rung of the ladder."""

    id: RuleId
    """Name of the tier in conditions, events and reports; keep it when you change the tier."""
    name: Text
    ways_in: Annotated[tuple[WayIn, ...], Field(strict=False, max_length=10)] = ()
    """What qualifies for it. The first tier may have none: then every customer begins in it."""
    needs: Literal["any", "all"] = "any"
    """Whether one of the ways in is enough, or all are needed."""
    invitation_only: bool = False
    """Only an admin lets customers in, by granting a standing."""
    never_downgrade: bool = False
    """Who has reached it never falls below it."""
    earn_multiplier_pct: _Pct = 100
    """What rules that give points per amount give in this tier, in percent: 150 is half as much again."""
    redemption_value_pct: _Pct = 100
    """What points are worth in this tier, in percent: with 120 the same points pay a fifth more."""
    pending: Period | None = None
    """How long points earned in this tier wait, where that is not as in `points`."""
    expiry: _OwnExpiry | None = None
    """How long points earned in this tier live, where that is not as in `points`."""
    perks: Annotated[tuple[Perk, ...], Field(strict=False, max_length=50)] = ()

    @field_validator("perks")
    @classmethod
    def _perk_ids_differ(cls, perks: tuple[Perk, ...]) -> tuple[Perk, ...]:
        for position, perk in enumerate(perks):
            if any(perk.id == other.id for other in perks[:position]):
                raise invalid(f"another perk has the id {perk.id!r}", position, "id")
        return perks

    @model_validator(mode="after")
    def _one_kind_of_entry(self) -> "Tier":
        if self.invitation_only and self.ways_in:
            raise invalid("an invitation-only tier has no ways in; leave them out", "ways_in")
        return self


class Ladder(Section):
    """The tiers, lowest first, and how customers climb and fall."""

    tiers: Annotated[tuple[Tier, ...], Field(strict=False, min_length=1, max_length=MOST_TIERS)]
    """From the lowest to the highest; in the first one everybody begins, unless it has ways in."""
    window: QualificationWindow = Lifetime(type="lifetime")
    """Over what is counted what customers did."""
    lasts: Annotated[Lasts, Field(validate_default=True)] = ForEver(type="for_ever")
    """How long a standing lasts before it is looked at again."""
    upgrade: Literal["at_once", "period_end"] = "at_once"
    """When a higher tier is reached: with the activity that qualifies for it, or when the ladder's period ends."""
    counts_from: Literal["this_activity", "next_activity"] = "next_activity"
    """Whether an activity that reaches a tier is itself given points by the new tier."""
    downgrade: Annotated[Downgrade, Field(validate_default=True)] = Downgrade()
    refunds: Literal["lower", "keep"] = "lower"
    """Whether a refund takes back a standing that rested on the order, or only counts less from then on."""
    edits: Literal["requalify", "raise_only"] = "requalify"
    """When this ladder replaces another: everybody is in the tier qualified for, or nobody falls by that."""
    notice: PositivePeriod = "P30D"
    """So long before a standing would be lost `tier.will-expire` is sent."""

    @field_validator("tiers")
    @classmethod
    def _tiers_differ(cls, tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
        for position, tier in enumerate(tiers):
            if any(tier.id == other.id for other in tiers[:position]):
                raise invalid(f"another tier has the id {tier.id!r}; give each tier its own", position, "id")
            if position and not tier.ways_in and not tier.invitation_only:
                raise invalid(
                    "everyone would be in it at once: give ways in, or invitation_only: true",
                    position,
                    "ways_in",
                )
        if tiers and tiers[0].invitation_only:
            raise invalid(
                "the first tier is where customers begin; invite to a later one", 0, "invitation_only"
            )
        return tiers

    @field_validator("lasts")
    @classmethod
    def _periods_end(cls, lasts: Lasts, info: ValidationInfo) -> Lasts:
        if isinstance(lasts, LastsToPeriodEnd) and _has_no_periods(info):
            raise invalid(f"the ladder's window has no periods that end; {_PERIODIC_HINT}", "type")
        return lasts

    @field_validator("upgrade")
    @classmethod
    def _upgrades_at_an_end(cls, upgrade: str, info: ValidationInfo) -> str:
        if upgrade == "period_end" and _has_no_periods(info):
            raise invalid(f"the ladder's window has no periods that end; {_PERIODIC_HINT}")
        if upgrade == "period_end" and isinstance(info.data.get("lasts"), WhileQualified):
            raise invalid(
                "what is reached when a period ends would be lost at once, as nothing counts yet; let it last, "
                "for example with `lasts: {type: period_end}`"
            )
        return upgrade

    @field_validator("downgrade")
    @classmethod
    def _lands_softly(cls, downgrade: Downgrade, info: ValidationInfo) -> Downgrade:
        lasts = info.data.get("lasts")
        if downgrade.to == "one_lower" and isinstance(lasts, WhileQualified) and not downgrade.grace:
            raise invalid(
                "say in `grace` how long each tier on the way down is kept, for example P3M", "grace"
            )
        return downgrade

    def tier(self, tier_id: str | None) -> Tier | None:
        """Return a tier by its id; None where there is none."""
        return next((tier for tier in self.tiers if tier.id == tier_id), None)


_PERIODIC_HINT = "use a window of calendar, anniversary or dates"


def _has_no_periods(info: ValidationInfo) -> bool:
    # A window that is itself wrong is told of already.
    return "window" in info.data and not isinstance(info.data["window"], PERIODIC)


def _of_days(period: str) -> str:
    if "T" in period:
        raise invalid(
            f"{period} has hours; standings change at midnight, so write whole days, for example P30D"
        )
    return period
