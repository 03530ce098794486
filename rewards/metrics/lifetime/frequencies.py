"""How often, how lately and since when each customer bought, and for how much: what the models are fitted to.

Everything is by purchase *day*: two orders of one day are one purchase, so that a split basket is no repeat.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rewards.metrics.orders import Orders

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Frequencies:
    """Customers, in the order of their numbers: arrays of one length.

    Attributes:
        unit: the customer's number.
        first_day: day number of the first purchase.
        x: repeat purchases: purchase days − 1.
        t_x: days from the first purchase to the last.
        age: days from the first purchase to the last day that counts.
        spent: what all purchases came to, net of refunds, minor units.
        mean: what a *repeat* purchase came to in the mean, net of refunds, minor units; 0 without one. The first
            purchase is left out, as it often differs from the later ones (Fader and Hardie leave it out too).
    """

    unit: "NDArray[np.int32]"
    first_day: "NDArray[np.int32]"
    x: "Floats"
    t_x: "Floats"
    age: "Floats"
    spent: "Floats"
    mean: "Floats"

    def __len__(self) -> int:
        """Return the number of customers."""
        return len(self.unit)

    @property
    def idle(self) -> "Floats":
        """Days from the last purchase to the last day that counts."""
        idle: Floats = self.age - self.t_x
        return idle


def frequencies(orders: Orders, until: int) -> Frequencies:
    """Return the frequencies of all customers.

    Args:
        orders: purchases, all on days before ``until``.
        until: the day number after the last day that counts.
    """
    import numpy as np

    days = orders.days
    net = (days.amount - days.refunded).astype(float)
    x = (days.counts - 1).astype(float)
    spent = np.add.reduceat(net, days.starts) if len(days) else np.zeros(0)
    first, last = days.first_day, days.last_day
    repeat = spent - (net[days.starts] if len(days) else 0.0)
    return Frequencies(
        days.units,
        first,
        x,
        (last - first).astype(float),
        (until - 1 - first).astype(float),
        spent,
        repeat / np.maximum(x, 1),
    )
