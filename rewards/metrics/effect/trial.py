"""A randomised trial as columns: who was exposed, when, and in which arm. What the formulas here compute on."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from rewards.metrics.orders import Orders

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: How far the past reaches that estimates are adjusted by.
PAST_DAYS = 365

#: In the columns; the words are those of the tables and files.
PROGRAM, HOLDOUT = 1, 0
ARM_NAMES = {PROGRAM: "program", HOLDOUT: "holdout"}

#: The outcome that a trial was set up to be judged by.
Primary = Literal["repeat-rate", "revenue-per-customer"]


@dataclass(frozen=True)
class Redeemed:
    """Points that customers redeemed: arrays of one length, the number of redemptions.

    Attributes:
        unit: whose, int32.
        at: the instant, int64, microseconds since the epoch.
        day: the shop's calendar day of it, int32.
        worth: what the points were worth, without those that came back, int64, minor units.
    """

    unit: "NDArray[np.int32]"
    at: "NDArray[np.int64]"
    day: "NDArray[np.int32]"
    worth: "NDArray[np.int64]"


@dataclass(frozen=True)
class Trial:
    """Who was exposed in a trial: arrays of one length, the number of customers, sorted by ``unit``.

    A customer is *exposed* at the moment the program would have begun to matter to them, in both arms alike. Customers
    whose merged identities stand in both arms are not here; ``merged_across_arms`` counts them.

    Attributes:
        experiment_id: its name.
        share: how much of the customers drawn the holdout was meant to be, 0 to 1; None where no lot was drawn.
        unit: the customer's number, int32, ascending, the same as in :class:`rewards.metrics.orders.Orders`.
        arm: int8, 1 program and 0 holdout.
        exposed_at: int64, microseconds since the epoch.
        exposed_day: int32, the shop's calendar day of it.
        enrolled: bool, whether the customer takes part: has earned points, or joined.
        contaminated: bool, whether a customer of the holdout got from the program what it was to be kept from.
        logged_by: int8, how the exposure became known, as a place in ``logged_names``.
        drawn: bool, whether the engine's lot decided the arm; others were assigned from outside.
        ends_at: the instant from which the holdout takes part too; None where it never does.
        ends_day: the day number of that instant on the shop's calendar; None with it.
        planned_end: the day number after the last day of the trial as it was registered; None where none was.
        is_staggered: whether the holdout joins so soon that outcomes are counted in the time that each had until then.
        primary: the outcome that it is judged by.
        subject: what one arm has and the other has not, a word: the program, or a campaign's offer.
        redeemed: what customers redeemed, where somebody asks for the margin.
        merged_across_arms: how many customers were left out because their identities stand in both arms.
    """

    experiment_id: str
    share: float | None
    unit: "NDArray[np.int32]"
    arm: "NDArray[np.int8]"
    exposed_at: "NDArray[np.int64]"
    exposed_day: "NDArray[np.int32]"
    enrolled: "NDArray[np.bool_]"
    contaminated: "NDArray[np.bool_]"
    logged_by: "NDArray[np.int8]"
    drawn: "NDArray[np.bool_]"
    ends_at: int | None = None
    ends_day: int | None = None
    planned_end: int | None = None
    is_staggered: bool = False
    primary: Primary = "repeat-rate"
    merged_across_arms: int = 0
    subject: str = "program"
    redeemed: Redeemed | None = None
    logged_names: tuple[str, ...] = field(default=("first activity",))

    def __len__(self) -> int:
        """Return the number of customers."""
        return len(self.unit)

    @property
    def sizes(self) -> tuple[int, int]:
        """How many were exposed: in the program, in the holdout."""
        in_program = int(self.arm.sum())
        return in_program, len(self) - in_program

    def until(self, day: int) -> "Trial":
        """Return those who were exposed before ``day`` (a day number)."""
        import numpy as np

        if not len(self) or int(self.exposed_day.max()) < day:
            return self
        keep = np.flatnonzero(self.exposed_day < day)
        columns = (
            "unit",
            "arm",
            "exposed_at",
            "exposed_day",
            "enrolled",
            "contaminated",
            "logged_by",
            "drawn",
        )
        return replace(self, **{name: getattr(self, name)[keep] for name in columns})

    @property
    def registered_end(self) -> int | None:
        """The day number after the last day of the trial as it was registered; None where it is open-ended."""
        ends = [each for each in (self.planned_end, self.ends_day) if each is not None]
        return min(ends, default=None)

    def closes(self, until: int) -> int:
        """Return the day number before which outcomes count: ``until``, or the day the holdout joins if sooner."""
        return until if self.ends_day is None else min(until, self.ends_day)


@dataclass(frozen=True)
class Followed:
    """A trial's customers with their purchases before and after their exposure: what outcomes are counted from.

    Attributes:
        trial: the customers.
        orders: their purchases, and nobody else's, none at or after the trial's ``ends_at``.
        who: for each purchase, the position of its customer in ``trial``.
        days_after: for each purchase, its day minus the day of the exposure.
        is_after: for each purchase, whether it came after the exposure. The purchase by which a customer became
            exposed is neither before nor after: the program had no part in it.
    """

    trial: Trial
    orders: Orders
    who: "NDArray[np.int64]"
    days_after: "NDArray[np.int32]"
    is_after: "NDArray[np.bool_]"

    @cached_property
    def returns_after(self) -> "NDArray[np.int64]":
        """For each customer, after how many days they bought again on a later day; very many where never."""
        import numpy as np

        never = np.iinfo(np.int64).max
        days = np.full(len(self.trial), never, dtype=np.int64)
        later = np.flatnonzero(self.days_after > 0)
        np.minimum.at(days, self.who[later], self.days_after[later].astype(np.int64))
        return days

    def summed(self, where: "NDArray[np.int64]", column: "NDArray[np.int64]") -> "NDArray[np.float64]":
        """Return for each customer the sum of a column of the purchases ``where``."""
        import numpy as np

        weights = column[where].astype(np.float64)
        sums = np.bincount(self.who[where], weights=weights, minlength=len(self.trial))
        return sums.astype(np.float64)  # without any purchase it would count in integers

    def redeemed_within(self, days: int, last_day: int) -> "NDArray[np.float64]":
        """Return for each customer the worth of the points redeemed in the ``days`` after the exposure."""
        import numpy as np

        found = self.trial.redeemed
        if found is None or not len(self.trial) or not len(found.unit):
            return np.zeros(len(self.trial))
        who = np.minimum(np.searchsorted(self.trial.unit, found.unit), len(self.trial) - 1)
        counts = (self.trial.unit[who] == found.unit) & (found.at >= self.trial.exposed_at[who])
        counts &= (found.day <= self.trial.exposed_day[who] + days) & (found.day <= last_day)
        if self.trial.ends_at is not None:
            counts &= found.at < self.trial.ends_at
        worth = found.worth[counts].astype(np.float64)
        return np.bincount(who[counts], weights=worth, minlength=len(self.trial)).astype(np.float64)

    def purchase_days(self, where: "NDArray[np.int64]") -> "NDArray[np.float64]":
        """Return for each customer on how many days the purchases ``where`` were."""
        import numpy as np

        day, who = self.orders.day[where], self.who[where]
        fresh = np.ones(len(day), dtype=bool)
        fresh[1:] = (np.diff(who) != 0) | (np.diff(day) != 0)
        return np.bincount(who[fresh], minlength=len(self.trial)).astype(np.float64)

    @cached_property
    def _past(self) -> "NDArray[np.int64]":
        import numpy as np

        before = self.orders.at < self.trial.exposed_at[self.who]
        return np.flatnonzero(before & (self.days_after >= -PAST_DAYS)).astype(np.int64)

    @cached_property
    def has_history(self) -> "NDArray[np.bool_]":
        """For each customer, whether they bought in the year before their exposure."""
        import numpy as np

        return np.bincount(self.who[self._past], minlength=len(self.trial)) > 0

    @cached_property
    def past_days(self) -> "NDArray[np.float64]":
        """For each customer, log1p of the days on which they bought in the year before their exposure."""
        import numpy as np

        return np.log1p(self.purchase_days(self._past))

    @cached_property
    def past_money(self) -> "NDArray[np.float64]":
        """For each customer, what they paid in the year before their exposure, net of refunds."""
        return self.summed(self._past, self.orders.amount - self.orders.refunded)


def follow(trial: Trial, orders: Orders) -> Followed:
    """Return the trial's customers with their purchases."""
    import numpy as np

    if not len(trial) or not len(orders):
        keep = where = np.zeros(0, dtype=np.int64)
    else:
        position = np.minimum(np.searchsorted(trial.unit, orders.units), len(trial) - 1)
        counts = (trial.unit[position] == orders.units)[orders.owner]
        if trial.ends_at is not None:
            counts &= orders.at < trial.ends_at
        keep = np.flatnonzero(counts)
        where = position[orders.owner[keep]]
    kept = Orders(
        orders.unit[keep], orders.day[keep], orders.at[keep], orders.amount[keep], orders.refunded[keep]
    )
    return Followed(
        trial,
        kept,
        where,
        kept.day - trial.exposed_day[where],
        kept.at > trial.exposed_at[where],
    )
