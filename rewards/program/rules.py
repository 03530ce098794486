"""The document's earn rules: what an activity gives, when, how often, and how rules go together.

How each part is carried out is told in :mod:`rewards.program.earning`.
"""

import re
from datetime import datetime, time
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from rewards.program.points import ExpiresAfter, ExpiresOnDates, NeverExpires, PointsPolicy
from rewards.program.sections import (
    ActivityType,
    Count,
    Period,
    Rounding,
    RuleId,
    Section,
    Text,
    checked,
    invalid,
)

_LOCAL_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?)?")
_TIME_OF_DAY = re.compile(r"\d\d:\d\d")


def parse_local_moment(text: str) -> datetime:
    """Return the wall time that ``2026-11-01`` (its first moment) or ``2026-11-01T18:00`` names, without a zone.

    Raises:
        ValueError: it is neither.
    """
    if not _LOCAL_MOMENT.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a day or local time; write 2026-11-01 or 2026-11-01T18:00")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not on the calendar") from None


def parse_time_of_day(text: str) -> time:
    """Return the time of day that ``18:00`` names; ``24:00`` is the end of the day, given as the latest time.

    Raises:
        ValueError: it is none.
    """
    if text == "24:00":
        return time.max
    if not _TIME_OF_DAY.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a time of day; write for example 18:00")
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a time of day; the last is 24:00") from None


def _no_control_characters(text: str) -> str:
    if any(not character.isprintable() and character not in "\n\r\t" for character in text):
        raise invalid("has a control character; leave it out, or write it as an escape such as \\u0007")
    return text


Condition = Annotated[
    str,
    Field(min_length=1, max_length=1_000, json_schema_extra={"format": "cel"}),
    AfterValidator(_no_control_characters),
]
LocalMoment = Annotated[
    str,
    checked(parse_local_moment),
    WithJsonSchema({"type": "string", "examples": ["2026-11-01", "2026-11-01T18:00"]}),
]
TimeOfDay = Annotated[
    str, checked(parse_time_of_day), WithJsonSchema({"type": "string", "examples": ["09:00", "18:30"]})
]
Weekday = Literal["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
_SmallCount = Annotated[int, Field(ge=1, le=1_000_000)]


class PerAmount(Section):
    """Points in proportion to the order's base amount, or to that of some of its lines."""

    type: Literal["per_amount"]
    points: _SmallCount
    """This many points…"""
    per_minor: Annotated[int, Field(ge=1, le=1_000_000_000_000)]
    """…for this much money, in minor units: 100 with GBP is one pound, 1 with JPY is one yen."""
    whole_blocks: bool = False
    """Count only whole blocks of `per_minor`: 10 points per 10.00 give 40 on 49.99, not 49."""
    rounding: Rounding = "floor"
    """How the rule's points are rounded to a whole number, once, at the end of the rule."""
    items: Condition | None = None
    """Count only the lines that meet this condition, by their own amounts."""

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


class PerUnit(Section):
    """The same number of points for each unit of the lines that meet a condition."""

    type: Literal["per_unit"]
    points: _SmallCount
    items: Condition | None = None
    """Which lines count; all of them unless given."""


class Multiplier(Section):
    """More of what other rules give: 150 percent gives half as much again, on top of theirs."""

    type: Literal["multiplier"]
    multiplier_pct: Annotated[int, Field(ge=101, le=100_000)]
    of: Annotated[tuple[RuleId, ...], Field(strict=False, max_length=200)] = ()
    """The rules that it multiplies; every per_amount rule of the same activity unless given."""
    rounding: Rounding = "floor"
    """How the points on top are rounded to a whole number, once."""


class AtLeast(Section):
    """What is missing for the activity to give this many points in all."""

    type: Literal["at_least"]
    points: Count


Gives = Annotated[PerAmount | Fixed | PerUnit | Multiplier | AtLeast, Field(discriminator="type")]


class Active(Section):
    """From when until when a rule applies, on the wall clock of the program's zone."""

    from_: LocalMoment | None = Field(default=None, alias="from")
    until: LocalMoment | None = None
    """The first moment at which it applies no more."""

    @model_validator(mode="after")
    def _begins_first(self) -> "Active":
        if self.from_ is None and self.until is None:
            raise invalid("say from when, until when, or both")
        if self.from_ is not None and self.until is not None:
            begin, end = parse_local_moment(self.from_), parse_local_moment(self.until)
            if begin >= end:
                raise invalid("ends before it begins; the rule would never apply", "until")
        return self


class Window(Section):
    """A part of the week, month or year in which a rule applies, on the wall clock of the program's zone."""

    days: Annotated[tuple[Weekday, ...], Field(strict=False, max_length=7)] = ()
    """Days of the week; all unless given. A window that passes midnight belongs to the day on which it begins."""
    month_days: Annotated[
        tuple[Annotated[int, Field(ge=-31, le=31)], ...], Field(strict=False, max_length=62)
    ] = ()
    """Days of the month, -1 for its last; all unless given."""
    months: Annotated[tuple[Annotated[int, Field(ge=1, le=12)], ...], Field(strict=False, max_length=12)] = ()
    from_: TimeOfDay = Field(default="00:00", alias="from")
    until: TimeOfDay = "24:00"

    @model_validator(mode="after")
    def _is_some_time(self) -> "Window":
        if self.from_ == "24:00":
            raise invalid("24:00 is the end of a day; write 00:00 and the day after", "from")
        if self.from_ == self.until:
            raise invalid("is no time at all; until must be another time than from", "until")
        if 0 in self.month_days:
            raise invalid("0 is no day of the month; 1 is the first, -1 the last", "month_days")
        return self


Per = Literal["award", "day", "week", "month", "year", "life"]


class Cap(Section):
    """The most that may be given to one customer in a period on the program's calendar; weeks begin on Monday."""

    per: Per
    points: Count | None = None
    times: _SmallCount | None = None
    """How many activities may be given points."""
    then: Literal["reduce", "refuse"] = "reduce"
    """What does not fit: give what is left of the cap, or nothing."""

    @model_validator(mode="after")
    def _one_measure(self) -> "Cap":
        if (self.points is None) == (self.times is None):
            raise invalid("give either points or times")
        if self.per == "award" and self.times is not None:
            raise invalid("an award is given once; cap its points", "times")
        return self


class Budget(Section):
    """The most that a rule may give to all customers together, once and for all."""

    points: Count | None = None
    times: Count | None = None
    then: Literal["reduce", "refuse"] = "reduce"
    """What does not fit: give what is left of the budget, or nothing."""

    @model_validator(mode="after")
    def _some_measure(self) -> "Budget":
        if self.points is None and self.times is None:
            raise invalid("give points, times, or both")
        return self


class Occurrences(Section):
    """Which of a customer's activities that meet the rule are given points."""

    first: _SmallCount | None = None
    """Only the first so many that are given points."""
    every: Annotated[int, Field(ge=2, le=1_000_000)] | None = None
    """Only every N-th that meets the rule."""

    @model_validator(mode="after")
    def _one_measure(self) -> "Occurrences":
        if (self.first is None) == (self.every is None):
            raise invalid("give either first or every")
        return self


Caps = Annotated[tuple[Cap, ...], Field(strict=False, max_length=20)]
_OwnExpiry = Annotated[NeverExpires | ExpiresAfter | ExpiresOnDates, Field(discriminator="type")]

_ON_PURCHASES = {
    "per_amount": "only a purchase has an amount, and this rule is for {activity}; use fixed points",
    "per_unit": "only a purchase has lines, and this rule is for {activity}; use fixed points",
}


class EarnRule(Section):
    """What one kind of activity gives. All rules that an activity meets apply, unless their stacking says other."""

    id: RuleId
    """Name of the rule in explanations and reports; keep it when you change the rule."""
    name: Text | None = None
    activity: ActivityType
    when: Condition | None = None
    """A CEL expression that must be true for the rule to apply."""
    gives: Gives
    active: Active | None = None
    windows: Annotated[tuple[Window, ...], Field(strict=False, max_length=50)] = ()
    """The rule applies within any of these; always unless given."""
    priority: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 0
    stacking: Literal["add", "exclusive", "best"] = "add"
    """Add to other rules; apply alone, where of all exclusive ones the highest priority wins; or only the best of all
    marked best."""
    caps: Caps = ()
    occurrences: Occurrences | None = None
    budget: Budget | None = None
    pending: Period | None = None
    """How long its points wait, where that is not as in `points`."""
    expiry: _OwnExpiry | None = None
    """How long its points live, where that is not as in `points`."""
    counts_to_tiers: bool = True
    segments: Annotated[tuple[RuleId, ...], Field(strict=False, max_length=20)] = ()
    """Only for customers who are in all of these segments."""
    campaign: RuleId | None = None
    """Only for customers to whom this campaign has made its offer, for as long as it stands."""

    @field_validator("gives")
    @classmethod
    def _money_needs_a_purchase(cls, gives: Gives, info: ValidationInfo) -> Gives:
        activity = info.data.get("activity", "purchase")
        if activity != "purchase" and gives.type in _ON_PURCHASES:
            raise invalid(_ON_PURCHASES[gives.type].format(activity=activity), "type")
        return gives

    @field_validator("stacking")
    @classmethod
    def _multipliers_need_others(cls, stacking: str, info: ValidationInfo) -> str:
        if stacking == "exclusive" and isinstance(info.data.get("gives"), Multiplier):
            raise invalid("a multiplier multiplies other rules, so it cannot apply alone; use add or best")
        return stacking

    def points_policy(self, of_program: PointsPolicy) -> PointsPolicy:
        """Return when this rule's points can be spent and expire: its own say, else the program's."""
        if self.pending is None and self.expiry is None:
            return of_program
        return PointsPolicy(
            pending=of_program.pending if self.pending is None else self.pending,
            expiry=of_program.expiry if self.expiry is None else self.expiry,
            negative_balance=of_program.negative_balance,
        )
