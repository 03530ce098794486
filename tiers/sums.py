"""Sums within qualification windows, and when time takes something off them. Pure."""

from collections.abc import Sequence
from heapq import heapify

from rewards.ledger.standing_state import Qualifying
from tiers.ladder import Gauge

#: Later than any day.
NEVER = 1 << 40


class Sum:
    """A gauge's sum, and what it will let go of."""

    __slots__ = ("dropping", "ends", "gauge", "value")

    def __init__(self, gauge: Gauge) -> None:
        self.gauge = gauge
        self.value = 0
        #: What drops out of a rolling window, by the day on which it does.
        self.dropping: list[tuple[int, int]] = []
        #: The day on which the present period of a periodic window is over.
        self.ends = 0

    def fill(self, past: Sequence[Qualifying], days: Sequence[int], today: int) -> None:
        """Sum up what happened, given the days that it counts to, as far as no period has to begin for that."""
        place, drop = self.gauge.place, self.gauge.drop
        if drop is not None:
            dropping = [
                (drop(day), event[place]) for event, day in zip(past, days, strict=True) if event[place]
            ]
            self.dropping = [each for each in dropping if each[0] > today]  # type: ignore[misc]  # whole numbers
            heapify(self.dropping)
            self.value = sum(amount for _, amount in self.dropping)
        elif self.gauge.periods is None:
            self.value = sum(event[place] for event in past)  # type: ignore[misc]  # the same

    def changes_on(self) -> int:
        """Return the day on which time next changes the sum."""
        if self.gauge.periods is not None:
            return self.ends
        return self.dropping[0][0] if self.dropping else NEVER
