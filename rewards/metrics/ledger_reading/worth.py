"""What points are worth in money at an instant, by the program then in force."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rewards.program.redemption import value_minor, valued

if TYPE_CHECKING:
    from rewards.program.document import ProgramDocument
    from rewards.program.history import ProgramHistory
    from rewards.program.ladder import Tier


class Worth:
    """What points are worth to customers just before an instant.

    Args:
        programs: all versions.
        at: the instant.
    """

    def __init__(self, programs: "ProgramHistory", at: datetime) -> None:
        self._document: ProgramDocument = programs.in_force(at - timedelta(microseconds=1)).document
        ladder = self._document.ladder
        self._tiers: dict[str, Tier] = {} if ladder is None else {tier.id: tier for tier in ladder.tiers}

    @property
    def currency(self) -> str:
        """Whose minor units they are worth."""
        return self._document.currency

    @property
    def differs_by_tier(self) -> bool:
        """Whether points are worth more in some tiers."""
        return any(tier.redemption_value_pct != 100 for tier in self._tiers.values())

    @property
    def per_point(self) -> float:
        """What a point is worth where no tier raises it, in minor units."""
        policy = self._document.redemption
        return policy.value_minor / policy.points

    def value(self, points: int, tier: str | None = None) -> int:
        """Return what points are worth to customers in a tier, in minor units, rounded down as redemptions are."""
        policy = self._document.redemption
        return value_minor(valued(policy, self._tiers.get(tier or "")), points)

    def total(self, by_tier: Mapping[str | None, int]) -> int:
        """Return what points of the customers in each tier are worth together."""
        return sum(self.value(points, tier) for tier, points in by_tier.items())
