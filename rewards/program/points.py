"""What the document says about points once they are given: when they can be spent and when they expire."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from rewards.program.durations import Duration, parse_duration
from rewards.program.sections import MonthDay, Period, PositivePeriod, Section, invalid


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
