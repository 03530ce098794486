"""What a trial is judged by: each customer's outcome in the days after their exposure, and what is known from before.

Both arms are followed in the same way. Share-like outcomes wait until the days have passed for a customer (*matured*);
sums count what has happened of the days until now, of everybody exposed, whose time to buy is the same in both arms by
the draw. Where the holdout joins later, nothing at or after that instant counts.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rewards.metrics.effect.estimators import winsorised
from rewards.metrics.effect.trial import Followed
from rewards.metrics.result import Unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Days after the exposure that outcomes are counted in, where nobody says otherwise.
DAYS = 90


@dataclass(frozen=True)
class Sample:
    """One outcome of a trial's customers, those of them whose outcome is known: arrays of one length.

    Attributes:
        who: the customer's position in the trial, int64.
        y: the outcome, float64; shares as 0 and 1, money in minor units.
        arm: int8, 1 program and 0 holdout.
        enrolled: bool.
        x: the same figure from before the exposure, float64 (counts as log1p); None where there is none.
        has_history: bool, whether there was anything to know ``x`` from; None with it.
        below: what ``y`` is divided by, for ratios such as money per order; None for others.
    """

    who: "NDArray[np.int64]"
    y: "NDArray[np.float64]"
    arm: "NDArray[np.int8]"
    enrolled: "NDArray[np.bool_]"
    x: "NDArray[np.float64] | None" = None
    has_history: "NDArray[np.bool_] | None" = None
    below: "NDArray[np.float64] | None" = None

    @property
    def events(self) -> tuple[int, int]:
        """In how many customers of each arm, program and holdout, anything happened."""
        happened = (self.y if self.below is None else self.below) != 0
        in_program = self.arm == 1
        return int(happened[in_program].sum()), int(happened[~in_program].sum())


class Outcome(NamedTuple):
    """What is compared.

    Attributes:
        name: in parameters and JSON.
        title: for people, after "difference in".
        unit: of an arm's level.
        role: ``primary`` may be what a trial is judged by; ``guardrail`` must not get worse; the rest is ``secondary``.
        says: what is counted, a phrase with ``{days}``.
        sample: takes the followed customers, the day number before which things count, and the days.
        waits: for how many times the days a customer's outcome is not known yet.
    """

    name: str
    title: str
    unit: Unit
    role: Literal["primary", "guardrail", "secondary"]
    says: str
    sample: Callable[[Followed, int, int], Sample]
    waits: int = 0

    @property
    def difference_unit(self) -> Unit:
        """The unit of a difference of two levels."""
        return "points_pct" if self.unit == "share" else self.unit


def _last_day(followed: Followed, closes: int) -> int:
    """Return the last day whose purchases count.

    A trial's own end is an instant, which :func:`rewards.metrics.effect.trial.follow` has kept to, so that day counts
    as far as it is there; the asking's end is a day that does not count.
    """
    ends = followed.trial.ends_day
    return closes - 1 if ends is None or closes < ends else ends


def _within(followed: Followed, closes: int, days: int) -> "NDArray[np.int64]":
    """Return where the purchases of the ``days`` after the exposure are, those before the day ``closes``."""
    import numpy as np

    counts = followed.is_after & (followed.days_after <= days)
    return np.flatnonzero(counts & (followed.orders.day <= _last_day(followed, closes)))


def _exposed(followed: Followed, closes: int) -> "NDArray[np.int64]":
    """Return where the customers are who were exposed before the day ``closes``."""
    import numpy as np

    return np.flatnonzero(followed.trial.exposed_day < closes)


def _sample(
    followed: Followed,
    keep: "NDArray[np.int64]",
    y: "NDArray[Any]",
    past: "NDArray[np.float64] | None" = None,
    below: "NDArray[np.float64] | None" = None,
) -> Sample:
    """Return these customers' outcome, with their past and their divisors, all given for everybody."""
    import numpy as np

    return Sample(
        keep,
        y[keep].astype(np.float64),
        followed.trial.arm[keep],
        followed.trial.enrolled[keep],
        None if past is None else past[keep],
        None if past is None else followed.has_history[keep],
        None if below is None else below[keep],
    )


def repeated(followed: Followed, closes: int, days: int) -> Sample:
    """Whether a customer bought again, on a later day than that of the exposure, within ``days``.

    Of those for whom the days have passed; in a staggered start, where the holdout joins before that for most, of
    everybody, with the time that they had.
    """
    import numpy as np

    trial = followed.trial
    if not trial.is_staggered:
        keep = np.flatnonzero(trial.exposed_day + days < closes)
        last: NDArray[Any] | int = days
    else:
        keep = _exposed(followed, closes)
        last = np.minimum(days, _last_day(followed, closes) - trial.exposed_day)
    return _sample(followed, keep, followed.returns_after <= last, followed.past_days)


def retained(followed: Followed, closes: int, days: int) -> Sample:
    """Whether a customer bought in the ``days`` after the first ``days``, of those for whom both have passed."""
    import numpy as np

    keep = np.flatnonzero(followed.trial.exposed_day + 2 * days < closes)
    late = (followed.days_after > days) & (followed.days_after <= 2 * days)
    bought = np.bincount(followed.who[late], minlength=len(followed.trial)) > 0
    return _sample(followed, keep, bought, followed.past_days)


def revenue(followed: Followed, closes: int, days: int) -> Sample:
    """What a customer paid after the exposure, net of refunds."""
    where = _within(followed, closes, days)
    y = followed.summed(where, followed.orders.amount - followed.orders.refunded)
    return _sample(followed, _exposed(followed, closes), y, followed.past_money)


def margin(followed: Followed, closes: int, days: int, *, share: float) -> Sample:
    """What is left of what a customer paid after the exposure: a share of it, less the points that were redeemed."""
    paid = revenue(followed, closes, days)
    cost = followed.redeemed_within(days, _last_day(followed, closes))[paid.who]
    assert paid.x is not None
    return replace(paid, y=share * paid.y - cost, x=share * paid.x)


def winsorised_revenue(followed: Followed, closes: int, days: int) -> Sample:
    """The same, the highest hundredth of both arms lowered to where it begins, so that no single customer decides."""
    plain = revenue(followed, closes, days)
    assert plain.x is not None
    return replace(plain, y=winsorised(plain.y), x=winsorised(plain.x))


def orders(followed: Followed, closes: int, days: int) -> Sample:
    """On how many days a customer bought after the exposure."""
    y = followed.purchase_days(_within(followed, closes, days))
    return _sample(followed, _exposed(followed, closes), y, followed.past_days)


def order_value(followed: Followed, closes: int, days: int) -> Sample:
    """What was paid per purchase day after the exposure: a ratio over the customers of an arm."""
    where = _within(followed, closes, days)
    below = followed.purchase_days(where)
    y = followed.summed(where, followed.orders.amount)
    return _sample(followed, _exposed(followed, closes), y, below=below)


def refunded(followed: Followed, closes: int, days: int) -> Sample:
    """How much of what was paid after the exposure was refunded since: a ratio over the customers of an arm."""
    where = _within(followed, closes, days)
    y = followed.summed(where, followed.orders.refunded)
    below = followed.summed(where, followed.orders.amount)
    return _sample(followed, _exposed(followed, closes), y, below=below)


#: Only where somebody says how much of the revenue is margin.
MARGIN = "margin-per-customer"


def outcomes_with(margin_share: float | None) -> "dict[str, Outcome]":
    """Return every outcome by name; with the margin, where its share of the revenue is given."""
    if margin_share is None:
        return OUTCOMES
    says = (
        f"{margin_share:.0%} of what a customer paid within {{days}} days after the exposure, less the worth of the "
        "points redeemed in them"
    )
    sample = partial(margin, share=margin_share)
    return OUTCOMES | {MARGIN: Outcome(MARGIN, "margin per customer", "minor", "guardrail", says, sample)}


OUTCOMES: dict[str, Outcome] = {
    each.name: each
    for each in (
        Outcome(
            "repeat-rate", "repeat rate", "share", "primary",
            "customers who bought again, on a later day, within {days} days of their exposure", repeated, 1,
        ),
        Outcome(
            "revenue-per-customer", "revenue per customer", "minor", "primary",
            "what a customer paid within {days} days after the exposure, net of refunds", revenue,
        ),
        Outcome(
            "retention", "retention", "share", "secondary",
            "customers who bought in the second {days} days after their exposure", retained, 2,
        ),
        Outcome(
            "orders-per-customer", "purchase days per customer", "score", "secondary",
            "on how many days a customer bought within {days} days after the exposure", orders,
        ),
        Outcome(
            "winsorised-revenue", "winsorised revenue per customer", "minor", "secondary",
            "what a customer paid within {days} days after the exposure, the highest 1 % lowered to where it begins",
            winsorised_revenue,
        ),
        Outcome(
            "order-value", "money per purchase day", "minor", "secondary",
            "what was paid on a purchase day within {days} days after the exposure", order_value,
        ),
        Outcome(
            "refund-rate", "refund rate", "share", "guardrail",
            "how much of what was paid within {days} days after the exposure was refunded", refunded,
        ),
    )
}  # fmt: skip
