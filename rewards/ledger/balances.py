"""What a customer's points amount to at an instant, past, present or to come. Pure: no database.

One function, :func:`balance_at`, is behind every balance that is read: statements, the customer's page, and
the verification of the cached accounts. It starts from what was credited and taken by then and lets time do
the rest, by the same rules as the decisions: a hold that lapsed gives its points back to their lots, a lot
past its expiry is worth nothing, whether or not a job has booked it.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from rewards.ledger.lots import NEVER, is_expired, spending_order
from rewards.ledger.state import Lot

#: The lot number that stands for the deficit in consumptions.
DEFICIT = 0


class Credit(NamedTuple):
    """A lot as it was credited: ``points`` at ``occurred_at``, before anything was taken from it.

    ``written_off`` is what a refund could not take of it, as things stand: it goes when it comes back.
    """

    lot_seq: int
    points: int
    occurred_at: datetime
    available_at: datetime
    expires_at: datetime | None
    expires_on_inactivity: bool
    written_off: int = 0


class Taking(NamedTuple):
    """A consumption with the instant at which the entry that caused it occurred."""

    occurred_at: datetime
    entry_seq: int
    lot_seq: int
    debit_seq: int
    points: int


class Hold(NamedTuple):
    """A redemption that began as a hold, whatever became of it: its debit, and when it would lapse."""

    redemption_seq: int
    expires_at: datetime


class OpenLot(NamedTuple):
    """What a lot has left to spend. ``expires_at`` None is never."""

    lot_seq: int
    points: int
    available_at: datetime
    expires_at: datetime | None


class OpenHold(NamedTuple):
    """Points that are set aside until ``expires_at``."""

    redemption_seq: int
    points: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Balance:
    """A customer's points at ``at``.

    Attributes:
        at: the instant.
        available: points that can be spent.
        pending: points that become available later.
        held: points set aside by open holds.
        deficit: points owed after a refund of points that were spent; then no lot has any left.
        lots: what makes up available and pending, in spending order.
        holds: what makes up held, the first to lapse first.
    """

    at: datetime
    available: int
    pending: int
    held: int
    deficit: int
    lots: tuple[OpenLot, ...]
    holds: tuple[OpenHold, ...]

    def expirations(self) -> list[tuple[datetime | None, int, bool]]:
        """Return ``(expires_at, points, still pending)`` by instant, never (None) last."""
        points: dict[tuple[datetime, bool], int] = defaultdict(int)
        for lot in self.lots:
            points[lot.expires_at or NEVER, lot.available_at > self.at] += lot.points
        return [
            (None if expires_at == NEVER else expires_at, points[expires_at, is_pending], is_pending)
            for expires_at, is_pending in sorted(points)
        ]

    def arrivals(self) -> list[tuple[datetime, int]]:
        """Return ``(available_at, points)`` of what is pending, the first to arrive first."""
        points: dict[datetime, int] = defaultdict(int)
        for lot in self.lots:
            if lot.available_at > self.at:
                points[lot.available_at] += lot.points
        return sorted(points.items())


def balance_at(
    lots: Iterable[Credit],
    consumptions: Iterable[Taking],
    holds: Iterable[Hold],
    inactive_at: datetime | None,
    at: datetime,
) -> Balance:
    """Return what one customer's points amount to at ``at``, if nothing happens after the rows given.

    Args:
        lots: every lot; those credited after ``at`` are left out here.
        consumptions: every consumption, in any order; those that occurred after ``at`` are left out here.
        holds: every hold, resolved or not; an open one that lapses by ``at`` gives its points back.
        inactive_at: when the lots that expire on inactivity do, as things stand.
        at: the instant; past, present or future.
    """
    book = _Book(lots, consumptions, at, inactive_at)
    in_order = sorted(holds, key=lambda hold: (hold.expires_at, hold.redemption_seq))
    for hold in in_order:
        if hold.expires_at <= at:
            book.lapse(hold)
    open_lots = tuple(
        OpenLot(lot.lot_seq, lot.remaining, lot.available_at, lot.expiry(inactive_at))
        for lot in book.live(at)
    )
    open_holds = tuple(
        OpenHold(hold.redemption_seq, points, hold.expires_at)
        for hold in in_order
        if (points := book.held_by(hold))
    )
    return Balance(
        at=at,
        available=sum(lot.points for lot in open_lots if lot.available_at <= at),
        pending=sum(lot.points for lot in open_lots if lot.available_at > at),
        held=sum(hold.points for hold in open_holds),
        deficit=max(book.debt, 0),
        lots=open_lots,
        holds=open_holds,
    )


def _untouched(credit: Credit) -> Lot:
    return Lot(
        lot_seq=credit.lot_seq,
        points=credit.points,
        remaining=credit.points,
        expired=0,
        available_at=credit.available_at,
        expires_at=credit.expires_at,
        expires_on_inactivity=credit.expires_on_inactivity,
        written_off=credit.written_off,
    )


class _Book:
    """Lots and debt as of an instant, before and while time changes them."""

    def __init__(
        self, lots: Iterable[Credit], takings: Iterable[Taking], at: datetime, inactive_at: datetime | None
    ) -> None:
        self._inactive_at = inactive_at
        self._lots = {each.lot_seq: _untouched(each) for each in lots if each.occurred_at <= at}
        self._by_debit: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        self.debt = 0
        repaid: list[Taking] = []
        for taking in takings:
            if taking.occurred_at > at:
                continue
            self._by_debit[taking.debit_seq][taking.lot_seq] += taking.points
            lot = self._lots.get(taking.lot_seq)
            if lot is None:
                # The deficit, or a lot that was credited later than a backdated entry that took from it.
                self.debt += taking.points
            else:
                lot.remaining -= taking.points
            if taking.lot_seq == DEFICIT and taking.points < 0:
                repaid.append(taking)
        self._square(repaid, at)

    def _square(self, repaid: list[Taking], at: datetime) -> None:
        """Bring what backdated entries left askew at ``at`` to either a debt or points, as the ledger has it.

        A backdated award may have paid a debt that was yet to come at ``at``, and a backdated refund may have
        taken from points that were.
        """
        for lot in self._lots.values():
            if lot.remaining < 0:
                self.debt -= lot.remaining
                lot.remaining = 0
        for taking in sorted(repaid, key=lambda each: -each.entry_seq):
            for lot_seq, points in self._by_debit[taking.debit_seq].items():
                back = min(points, -self.debt)
                if lot_seq in self._lots and back > 0:
                    self._lots[lot_seq].remaining += back
                    self.debt += back
        self._pay_debt(at)

    def live(self, at: datetime) -> list[Lot]:
        """Return the lots that have points left at ``at``, in spending order."""
        deadline = self._inactive_at
        live = (lot for lot in self._lots.values() if lot.remaining and not is_expired(lot, deadline, at))
        return spending_order(live, deadline)

    def held_by(self, hold: Hold) -> int:
        """Return the points that a hold sets aside."""
        return sum(self._by_debit.get(hold.redemption_seq, {}).values())

    def lapse(self, hold: Hold) -> None:
        """Give a hold's points back when it lapses: to the lots that live on, and from them to the debt.

        Of points whose order was refunded meanwhile, what was written off is taken as it comes back.
        """
        lapsed_at = hold.expires_at
        for lot_seq, points in self._by_debit.pop(hold.redemption_seq, {}).items():
            lot = self._lots.get(lot_seq)
            if lot is not None and not is_expired(lot, self._inactive_at, lapsed_at):
                gone = min(points, lot.written_off)
                lot.written_off -= gone
                lot.remaining += points - gone
        self._pay_debt(lapsed_at)

    def _pay_debt(self, at: datetime) -> None:
        for lot in sorted(self.live(at), key=lambda each: each.available_at > at):
            part = min(max(self.debt, 0), lot.remaining)
            lot.remaining -= part
            self.debt -= part
