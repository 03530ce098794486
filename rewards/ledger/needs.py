"""What must be loaded before a batch of commands can be decided: names of rows, no database."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rewards.ledger.standing_state import Standing

Pair = tuple[str, str]


@dataclass(slots=True)
class Needs:
    """Rows that a batch's decisions read, by table, as ``(customer_id, …)``.

    Attributes:
        customers: whose accounts are read, and locked when the decisions will be written.
        claims: idempotency keys that may have been claimed, each with the activity of which it matters whether it
            was recorded; either may be None.
        activities: activities whose content matters.
        with_lots: customers whose open lots and holds are needed whatever is due.
        redemptions: redemptions by number.
        orders: orders whose redemptions and refunds matter.
        all_orders: customers all of whose purchases and refunds matter.
        counts: counts of limits, by name and period.
        budgets: rules whose budgets matter; they are locked, after the accounts.
        referrals: customers whose own referral matters, where they have one.
        codes: codes to look up, each with the customer who sends it and the fingerprints that came along.
        retractions: activities of which it matters whether all was taken back.
        moments: instants at which the standing may matter, by customer, for each of the commands.
        can_advance: tells whether a standing on record will do at instants, one after the other; None where there is
            no ladder.
        qualifying: customers all that counts to tiers of whom matters.
    """

    customers: set[str] = field(default_factory=set)
    claims: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    activities: set[Pair] = field(default_factory=set)
    with_lots: set[str] = field(default_factory=set)
    redemptions: set[tuple[str, int]] = field(default_factory=set)
    orders: set[Pair] = field(default_factory=set)
    all_orders: set[str] = field(default_factory=set)
    counts: set[tuple[str, str, str]] = field(default_factory=set)
    budgets: set[str] = field(default_factory=set)
    referrals: set[str] = field(default_factory=set)
    codes: list[tuple[str, str, tuple[Pair, ...]]] = field(default_factory=list)
    retractions: set[Pair] = field(default_factory=set)
    moments: dict[str, list[tuple[datetime, ...]]] = field(default_factory=dict)
    can_advance: Callable[[Standing | None, Sequence[datetime]], bool] | None = None
    qualifying: set[str] = field(default_factory=set)
