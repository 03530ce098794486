"""What points are worth and how many may be redeemed at once: plain facts, decided on elsewhere."""

from math import gcd

from rewards.program.compiled import ByIdentity
from rewards.program.document import RedemptionPolicy
from rewards.program.ladder import Tier


def valued(policy: RedemptionPolicy, tier: Tier | None) -> RedemptionPolicy:
    """Return the policy for customers in a tier: the same points are worth more there."""
    if tier is None or tier.redemption_value_pct == 100:
        return policy
    return _raised(policy, tier)


def _raise(policy: RedemptionPolicy, tier: Tier) -> RedemptionPolicy:
    worth, points = policy.value_minor * tier.redemption_value_pct, policy.points * 100
    common = gcd(worth, points)
    return policy.model_copy(update={"value_minor": worth // common, "points": points // common})


_raised = ByIdentity(_raise)


def value_minor(policy: RedemptionPolicy, points: int) -> int:
    """Return what ``points`` are worth, in minor units, rounded down."""
    return points * policy.value_minor // policy.points


def is_below_minimum(policy: RedemptionPolicy, points: int) -> bool:
    """Say whether ``points`` are fewer than can be redeemed at once."""
    return points < policy.minimum_points


def is_a_step(policy: RedemptionPolicy, points: int) -> bool:
    """Say whether ``points`` are a multiple of the step."""
    return points % policy.step_points == 0


def max_points_for_order(policy: RedemptionPolicy, order_total_minor: int) -> int | None:
    """Return the most points that may pay a part of an order, None for no limit.

    The limit is on the points' exact worth, so that no points are spent on a fraction that pays nothing. It
    is a multiple of the step; below the minimum it is 0, because nothing can be redeemed on the order then.
    """
    if policy.max_order_share_pct is None:
        return None
    share_minor = order_total_minor * policy.max_order_share_pct // 100
    return redeemable(policy, share_minor * policy.points // policy.value_minor)


def redeemable(policy: RedemptionPolicy, points: int) -> int:
    """Return the most of ``points`` that the minimum and the step let redeem at once; 0 for none."""
    whole_steps = points - points % policy.step_points
    return whole_steps if whole_steps >= policy.minimum_points else 0
