"""Referrals in the program document: when a customer who was brought by another counts, and what gives pause.

What the two are given is said by earn rules: those for the activity ``referral`` give to the referrer, those for
``referred`` to the customer who was brought.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from rewards.program.points import PointsPolicy
from rewards.program.rules import EarnRule
from rewards.program.sections import LARGEST_INTEGER, Period, PositivePeriod, Section, invalid

#: Kinds of activity that a referral gives for.
GIVEN_FOR = ("referral", "referred")
MOST_COUNTED = 1_000


class Velocity(Section):
    """How often one customer's code may be used before it looks like more than friends."""

    count: Annotated[int, Field(ge=1, le=MOST_COUNTED)]
    """So many customers…"""
    within: PositivePeriod
    """…within this period pass; what comes after them in it does not."""
    then: Literal["flag", "reject"] = "flag"


class Guards(Section):
    """What makes a referral wait for a person (`flag`), or end (`reject`)."""

    fingerprints: Literal["flag", "reject", "ignore"] = "flag"
    """The same address, payment or device as the referrer's, or as another of those whom the referrer brought."""
    velocity: Velocity | None = None


class ReferralPolicy(Section):
    """When a referral counts."""

    window: PositivePeriod = "P30D"
    """From the activity that carried the code until when an order can qualify."""
    minimum_order_minor: Annotated[int, Field(ge=0, le=LARGEST_INTEGER)] = 0
    """The least that the order must come to, in minor units, after refunds too."""
    pending: Period = "P14D"
    """How long both rewards wait, from the order on; give it your refund window."""
    guards: Guards = Guards()


def points_policy(referrals: ReferralPolicy | None, rule: EarnRule, of_program: PointsPolicy) -> PointsPolicy:
    """Return when a rule's points can be spent and expire: its own say, a referral's, or the program's."""
    if referrals is not None and rule.activity in GIVEN_FOR and rule.pending is None:
        of_program = PointsPolicy(
            pending=referrals.pending,
            expiry=of_program.expiry,
            negative_balance=of_program.negative_balance,
        )
    return rule.points_policy(of_program)


def check_rewarded(referrals: ReferralPolicy, rules: Iterable[EarnRule], points: PointsPolicy | None) -> None:
    """Raise the error of a validator where referrals give nothing, or points that would be dead as they come.

    Args:
        referrals: the section.
        rules: all of the program's.
        points: the program's own; None where that section has an error of its own.
    """
    giving = [rule for rule in rules if rule.activity in GIVEN_FOR]
    if not giving:
        raise invalid(
            "no rule gives anything for a referral; add one with activity: referral (for who brings) or "
            "activity: referred (for who is brought), or leave this section out"
        )
    for rule in giving:
        try:
            points_policy(referrals, rule, points or PointsPolicy())
        except ValidationError as error:
            why = error.errors()[0].get("ctx", {}).get("message", "its points cannot live like that")
            raise invalid(f"rule {rule.id!r} waits for this long: {why}", "pending") from None
