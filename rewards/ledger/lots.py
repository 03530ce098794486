"""Lots: which are spendable, in what order they are spent, and when time next changes them. Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime

from rewards.ledger.state import Lot

NEVER = datetime.max.replace(tzinfo=UTC)


def spending_order(lots: Iterable[Lot], inactive_at: datetime | None) -> list[Lot]:
    """Return the lots in the order in which debits use them up.

    Soonest expiry first, never-expiring last, the oldest first among equals.
    """
    return sorted(lots, key=lambda lot: (lot.expiry(inactive_at) or NEVER, lot.lot_seq))


def is_expired(lot: Lot, inactive_at: datetime | None, at: datetime) -> bool:
    """Tell whether the lot's points are past spending at ``at``; the instant of expiry is already past it."""
    expires_at = lot.expiry(inactive_at)
    return expires_at is not None and expires_at <= at


def next_change(lots: Iterable[Lot], inactive_at: datetime | None, now: datetime) -> datetime | None:
    """Return the first instant after ``now`` at which an open lot becomes available or expires."""
    soonest: datetime | None = None
    for lot in lots:
        if lot.remaining == 0:
            continue
        expires_at = lot.expiry(inactive_at)
        turns_at = lot.available_at if lot.available_at > now else expires_at
        if turns_at is not None and turns_at > now and (soonest is None or turns_at < soonest):
            soonest = turns_at
        if expires_at is not None and expires_at > now and (soonest is None or expires_at < soonest):
            soonest = expires_at
    return soonest
