"""A shop's purchases as columns: what the formulas of this package compute on, without any database.

A *purchase* is a completed order with an amount above zero that was paid in money, in the program's currency. Returns
do not undo it: they are beside it, as what was refunded. Orders that cost nothing or were paid with points alone,
those in other currencies and those of test and staff accounts are not here; :class:`LeftOut` counts them.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EPOCH = date(1970, 1, 1)


def day_number(day: date) -> int:
    """Return a date as days since 1970-01-01."""
    return (day - EPOCH).days


def day_of(number: int) -> date:
    """Return the date of a day number."""
    return EPOCH + timedelta(days=int(number))


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How many orders are not purchases, by why."""

    zero_amount: int = 0
    points_only: int = 0
    other_currency: int = 0
    test_or_staff: int = 0
    #: Purchases that were refunded whole; they are counted as purchases, and told.
    refunded_whole: int = 0


@dataclass(frozen=True)
class Orders:
    """Purchases, sorted by customer, then instant, then order: arrays of one length, the number of purchases.

    Attributes:
        unit: the customer's number, int32, as :meth:`rewards.metrics.source.Source.names` knows it. Identities that
            were merged have one number.
        day: the shop's calendar day, int32, days since 1970-01-01 in the shop's time zone.
        at: the instant, int64, microseconds since the epoch in UTC.
        amount: what was paid, int64, minor units.
        refunded: what of it was refunded until now, int64, minor units, at most ``amount`` as a rule.
        left_out: what is not here.
    """

    unit: "NDArray[np.int32]"
    day: "NDArray[np.int32]"
    at: "NDArray[np.int64]"
    amount: "NDArray[np.int64]"
    refunded: "NDArray[np.int64]"
    left_out: LeftOut = field(default_factory=LeftOut)

    def __len__(self) -> int:
        """Return the number of purchases."""
        return len(self.unit)

    def before(self, day: int) -> "Orders":
        """Return those of days before ``day`` (a day number)."""
        import numpy as np

        if not len(self) or int(self.day.max()) < day:
            return self
        keep = np.flatnonzero(self.day < day)
        return Orders(
            self.unit[keep],
            self.day[keep],
            self.at[keep],
            self.amount[keep],
            self.refunded[keep],
            self.left_out,
        )

    @cached_property
    def starts(self) -> "NDArray[np.int64]":
        """Where each customer's purchases begin: as long as there are customers; they end where the next begin."""
        import numpy as np

        if not len(self):
            return np.zeros(0, dtype=np.int64)
        return np.concatenate([[0], np.flatnonzero(np.diff(self.unit)) + 1]).astype(np.int64)

    @cached_property
    def counts(self) -> "NDArray[np.int64]":
        """The number of purchases of each customer, in the order of ``starts``."""
        import numpy as np

        return np.diff(np.append(self.starts, len(self)))

    @cached_property
    def units(self) -> "NDArray[np.int32]":
        """The number of each customer, in the order of ``starts``: ascending."""
        units: NDArray[np.int32] = self.unit[self.starts]
        return units

    @cached_property
    def first_day(self) -> "NDArray[np.int32]":
        """The day of each customer's first purchase, in the order of ``starts``."""
        first: NDArray[np.int32] = self.day[self.starts]
        return first

    @cached_property
    def last_day(self) -> "NDArray[np.int32]":
        """The day of each customer's last purchase, in the order of ``starts``."""
        last: NDArray[np.int32] = self.day[self.starts + self.counts - 1]
        return last

    @cached_property
    def owner(self) -> "NDArray[np.int64]":
        """For each purchase, the position of its customer in ``starts``."""
        import numpy as np

        return np.repeat(np.arange(len(self.starts)), self.counts)

    @cached_property
    def days(self) -> "Orders":
        """The same by purchase day: what a customer bought on one day is one purchase, at the day's first instant."""
        import numpy as np

        if not len(self):
            return self
        fresh = np.concatenate([[True], (np.diff(self.unit) != 0) | (np.diff(self.day) != 0)])
        at = np.flatnonzero(fresh)
        if len(at) == len(self):
            return self
        amount, refunded = np.add.reduceat(self.amount, at), np.add.reduceat(self.refunded, at)
        return Orders(self.unit[at], self.day[at], self.at[at], amount, refunded, self.left_out)
