"""The working copy that a decision is written on.

A draft starts from a customer's state, never changes it, and keeps the ledger's laws while a decision adds to
it: every entry extends the digest chain, every point that leaves or refills a lot has its consumption row,
what is due by time is booked first, and a debt is paid by whatever credit comes next.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from rewards.core.errors import BalanceTooLarge
from rewards.decide.commands import LARGEST
from rewards.decide.submission import Submission
from rewards.ledger.digest import canonical_form, chain
from rewards.ledger.lots import is_expired, next_change, spending_order
from rewards.ledger.referral_state import Referral
from rewards.ledger.state import (
    Consumption,
    Count,
    CountKey,
    CustomerState,
    Decision,
    Entry,
    Lot,
    RecordedActivity,
    Redemption,
    Retraction,
    Reversal,
    add_count,
)

#: The lot number that stands for the deficit in consumptions.
DEFICIT = 0


class Draft:
    """One customer's state, as one command changes it at ``now``."""

    def __init__(
        self, state: CustomerState, submission: Submission, now: datetime, program_version: int
    ) -> None:
        self.now = now
        self.account = state.account.copy()
        self.decision = Decision()
        self.program_version = program_version
        self._state = state
        self._submission = submission
        #: The last entry that brought points in; a debt is paid on its behalf.
        self._credit_seq: int | None = None
        #: Numbers of the lots, redemptions and debits that are this draft's own copies.
        self._own_lots: set[int] = set()
        self._own_redemptions: set[int] = set()
        self._own_debits: set[int] = set()
        #: Where each consumption stands among the decision's.
        self._rows: dict[tuple[int, int, int], int] = {}
        #: Lots created on an account whose other lots were not loaded.
        self._fresh: list[Lot] = []
        #: How the customer was brought, as it is by now.
        self.referral = state.referral
        self._retracted = state.retracted
        #: All that counts to tiers and was granted by hand, as it is by now; None where it was not loaded.
        self.qualifying = state.qualifying
        self.standing_grants = state.standing_grants
        self._activities = dict(state.activities)
        self._reversals = list(state.reversals)
        self._lots: dict[int, Lot] | None = None
        self._redemptions: dict[int, Redemption] = {}
        self._consumed: dict[int, dict[int, int]] = {}
        if state.lots is not None:
            # What is inside is copied when it is changed: a batch may hold many commands of a customer with
            # thousands of lots.
            self._lots = dict(state.lots)
            self._redemptions = dict(state.redemptions)
            self._consumed = dict(state.consumed)
            self._book_due()

    # -- what there is ---------------------------------------------------------------------------------

    def lot(self, lot_seq: int) -> Lot | None:
        """Return a lot by number, if it is among those at hand, to be read or changed."""
        lot = (self._lots or {}).get(lot_seq)
        return None if lot is None else self._own(lot)

    def redemption(self, redemption_seq: int) -> Redemption | None:
        """Return a redemption by number, if it is among those at hand, to be read or changed."""
        redemption = self._redemptions.get(redemption_seq)
        if redemption is not None and redemption_seq not in self._own_redemptions:
            redemption = self._redemptions[redemption_seq] = redemption.copy()
            self._own_redemptions.add(redemption_seq)
        return redemption

    def redemptions(self) -> list[Redemption]:
        """Return the redemptions at hand, oldest first, to be read only."""
        return [self._redemptions[seq] for seq in sorted(self._redemptions)]

    def reversals_of(self, order_id: str) -> list[Reversal]:
        """Return the refunds of an order so far."""
        return [each for each in self._reversals if each.order_id == order_id]

    def spendable(self) -> list[Lot]:
        """Return the lots that can pay a redemption now, in spending order."""
        now = self.now
        return [lot for lot in self._in_order(now) if lot.available_at <= now]

    def open_lots(self, at: datetime | None = None) -> list[Lot]:
        """Return all lots with points left (now unless given), available first, each part in spending order."""
        at = at or self.now
        return sorted(self._in_order(at), key=lambda lot: lot.available_at > at)

    def available(self) -> int:
        """Return the points that can be spent now."""
        return sum(lot.remaining for lot in self.spendable())

    def _in_order(self, at: datetime) -> list[Lot]:
        inactive_at = self.account.inactive_at
        live = (lot for lot in self._all_lots() if lot.remaining and not is_expired(lot, inactive_at, at))
        return spending_order(live, inactive_at)

    def _all_lots(self) -> Iterable[Lot]:
        return self._fresh if self._lots is None else self._lots.values()

    # -- what comes to be ------------------------------------------------------------------------------

    def enter(
        self,
        kind: str,
        points: int,
        cause: str,
        *,
        occurred_at: datetime | None = None,
        note: str | None = None,
        program_version: int | None = None,
        by_time: bool = False,
    ) -> int:
        """Append an entry of signed ``points`` and return its seq.

        Raises:
            BalanceTooLarge: the balance would leave the range that is exact everywhere.
        """
        account = self.account
        seq = account.seq + 1
        balance = account.balance + points
        # What comes back by itself is never refused: only new points can be too many.
        if kind in ("award", "adjust") and abs(balance) + account.held > LARGEST:
            raise BalanceTooLarge(
                f"The balance would be {balance}; it can be at most {LARGEST} points either way."
            )
        if program_version is None:
            program_version = self.program_version
        if occurred_at is None:
            occurred_at = self.now
        actor = "time" if by_time else self._submission.actor
        key = None if by_time else self._submission.idempotency_key
        fields = (
            account.customer_id,
            seq,
            kind,
            points,
            balance,
            occurred_at,
            self.now,
            cause,
            program_version,
            actor,
            note,
            key,
        )
        digest = chain(account.digest, canonical_form(fields))
        self.decision.entries.append(Entry._make((*fields, digest)))
        account.seq = seq
        if points > 0:
            self._credit_seq = seq
        account.balance = balance
        account.digest = digest
        return seq

    def add_lot(self, lot: Lot) -> None:
        """Open a lot; its number is that of the credit entry just made."""
        self.decision.new_lots.append(lot)
        self._own_lots.add(lot.lot_seq)
        if self._lots is None:
            self._fresh.append(lot)
        else:
            self._lots[lot.lot_seq] = lot

    def take(self, points: int, lots: Iterable[Lot], entry_seq: int) -> int:
        """Take up to ``points`` from ``lots`` in the order given, for debit ``entry_seq``; return what was taken."""
        left = points
        for lot in lots:
            if left == 0:
                break
            part = min(left, lot.remaining)
            if part:
                self.move(lot, part, entry_seq, entry_seq)
                left -= part
        return points - left

    def move(self, lot: Lot, points: int, entry_seq: int, debit_seq: int) -> None:
        """Take ``points`` from a lot (or put back, when negative), with its consumption row."""
        lot = self._own(lot)
        lot.remaining -= points
        self._row(entry_seq, lot.lot_seq, debit_seq, points)
        if debit_seq not in self._own_debits:
            self._consumed[debit_seq] = dict(self._consumed.get(debit_seq, {}))
            self._own_debits.add(debit_seq)
        by_lot = self._consumed[debit_seq]
        by_lot[lot.lot_seq] = by_lot.get(lot.lot_seq, 0) + points

    def _own(self, lot: Lot) -> Lot:
        """Return this draft's own copy of a lot, which it may change and which will be stored."""
        if lot.lot_seq in self._own_lots or self._lots is None:
            return lot if self._lots is None else self._lots[lot.lot_seq]
        lot = self._lots[lot.lot_seq] = lot.copy()
        self._own_lots.add(lot.lot_seq)
        self.decision.changed_lots[lot.lot_seq] = lot
        return lot

    def owe(self, points: int, entry_seq: int) -> None:
        """Book the part of a debit that no lot covers as a deficit."""
        if points:
            self.account.deficit += points
            self._row(entry_seq, DEFICIT, entry_seq, points)

    def refill(self, debit_seq: int, entry_seq: int, points: int) -> None:
        """Put ``points`` of a debit back into the lots that paid it, the last to be used first."""
        by_lot = dict(self._consumed.get(debit_seq, {}))
        payers = [self._lot_of(lot_seq) for lot_seq, net in by_lot.items() if net > 0]
        left = points
        for lot in reversed(spending_order(payers, self.account.inactive_at)):
            part = min(left, by_lot[lot.lot_seq])
            if part:
                self.move(lot, -part, entry_seq, debit_seq)
                left -= part
        if left:
            raise AssertionError(f"debit {debit_seq} has {left} points fewer than are to come back")

    def payers(self, debit_seq: int) -> list[Lot]:
        """Return the lots that a debit has been paid from, in spending order, empty and expired ones too."""
        by_lot = self._consumed.get(debit_seq, {})
        return spending_order((self._lot_of(seq) for seq in by_lot), self.account.inactive_at)

    def place(self, redemption: Redemption) -> None:
        """Add a new redemption."""
        self._redemptions[redemption.redemption_seq] = redemption
        self._own_redemptions.add(redemption.redemption_seq)
        self.decision.new_redemptions.append(redemption)

    def change(self, redemption: Redemption) -> None:
        """Mark a redemption of this draft as changed."""
        if not any(redemption is new for new in self.decision.new_redemptions):
            self.decision.changed_redemptions[redemption.redemption_seq] = redemption

    def record(self, activity: RecordedActivity, body_json: str) -> None:
        """Record an activity and what it was given."""
        self._activities[activity.activity_key] = activity
        self.decision.new_activity = (activity, body_json)

    def reverse(self, reversal: Reversal) -> None:
        """Record a refund."""
        self._reversals.append(reversal)
        self.decision.new_reversals.append(reversal)

    def retract(self, retraction: Retraction) -> None:
        """Record that all that an activity was given was taken back."""
        self._retracted |= {retraction.activity_key}
        self.decision.new_retraction = retraction

    def refer(self, referral: Referral) -> None:
        """Let the customer's referral be as given."""
        self.account.referred = True
        self.referral = self.decision.referral = referral

    def _lot_of(self, lot_seq: int) -> Lot:
        lot = self.lot(lot_seq)
        if lot is None:
            raise AssertionError(f"lot {lot_seq} of a debit to undo was not loaded")
        return lot

    def _row(self, entry_seq: int, lot_seq: int, debit_seq: int, points: int) -> None:
        """Add a consumption row, or to the one that the entry already has on that lot and debit."""
        rows = self.decision.consumptions
        place = (entry_seq, lot_seq, debit_seq)
        index = self._rows.get(place)
        if index is None:
            self._rows[place] = len(rows)
            rows.append(Consumption(entry_seq, lot_seq, debit_seq, points))
        else:
            rows[index] = Consumption(entry_seq, lot_seq, debit_seq, rows[index].points + points)

    # -- what time does --------------------------------------------------------------------------------

    def _book_due(self) -> None:
        """Book the holds that lapsed and the lots that expired, in the order in which they did."""
        lapsed = [each for each in self.redemptions() if self._has_lapsed(each)]
        for each in sorted(lapsed, key=lambda each: (each.hold_expires_at, each.redemption_seq)):
            hold, lapsed_at = self.redemption(each.redemption_seq), each.hold_expires_at
            assert hold is not None
            assert lapsed_at is not None
            self.expire_lots(until=lapsed_at)
            self.release(hold, "expired", at=lapsed_at, by_time=True)
            # Points that come back after their lot's expiry are gone at that moment: a hold is no shelter.
            self.expire_lots(until=lapsed_at, no_earlier_than=lapsed_at)
            self.pay_debt(at=lapsed_at)
        self.expire_lots()

    def _has_lapsed(self, redemption: Redemption) -> bool:
        lapses_at = redemption.hold_expires_at
        return redemption.status == "held" and lapses_at is not None and lapses_at <= self.now

    def expire_lots(self, *, until: datetime | None = None, no_earlier_than: datetime | None = None) -> None:
        """Book the expiry of every open lot whose time has come by ``until`` (now unless given)."""
        at = self.now if until is None else until
        inactive_at = self.account.inactive_at
        due = [lot for lot in self._all_lots() if lot.remaining and is_expired(lot, inactive_at, at)]
        for lot in spending_order(due, inactive_at):
            expired_at = lot.expiry(inactive_at)
            assert expired_at is not None
            if no_earlier_than is not None:
                expired_at = max(expired_at, no_earlier_than)
            points = lot.remaining
            lot = self._own(lot)  # noqa: PLW2901 - the same lot, to be changed
            seq = self.enter("expire", -points, f"lot:{lot.lot_seq}", occurred_at=expired_at, by_time=True)
            lot.expired += points
            self.move(lot, points, seq, seq)

    def release(self, hold: Redemption, status: str, *, at: datetime, by_time: bool = False) -> int:
        """Give a hold's points back to their lots and resolve it as ``status``; return the entry's seq."""
        seq = self.enter(
            "release",
            hold.points,
            f"redemption:{hold.redemption_seq}",
            occurred_at=at,
            program_version=hold.program_version,
            by_time=by_time,
        )
        self.refill(hold.redemption_seq, seq, hold.points)
        hold.status = status
        hold.resolved_at = at
        self.account.held -= hold.points
        self.change(hold)
        return seq

    def pay_debt(self, *, at: datetime | None = None) -> None:
        """Pay the deficit from the lots open at ``at`` (now unless given), on behalf of the last credit.

        Never on behalf of a debit: what is undone of that would come back from the debt's payment.
        """
        self._take_written_off(at)
        credit_seq = self._credit_seq
        if self.account.deficit == 0 or credit_seq is None:
            return
        for lot in self.open_lots(at):
            part = min(self.account.deficit, lot.remaining)
            if part:
                self.move(lot, part, credit_seq, credit_seq)
                self.account.deficit -= part
                self._row(credit_seq, DEFICIT, credit_seq, -part)

    def _take_written_off(self, at: datetime | None) -> None:
        """Take what was written off of a lot from points that have come back to it.

        They were spent or on hold when their order was refunded and the balance could not go below zero; coming
        back, they would be points of an order that is no more.
        """
        for lot in [each for each in self._all_lots() if each.written_off and each.remaining]:
            points = min(lot.written_off, lot.remaining)
            seq = self.enter(
                "clawback", -points, f"lot:{lot.lot_seq}", occurred_at=at, by_time=at is not None
            )
            own = self._own(lot)
            own.written_off -= points
            self.move(own, points, seq, seq)

    # -- the end ---------------------------------------------------------------------------------------

    def be_active(self, occurred_at: datetime, deadline: Callable[[datetime], datetime] | None) -> None:
        """Note an activity; points that die of inactivity live on until ``deadline(last activity)``.

        Where today's program has no such deadline, points that were given one keep the period they had. The
        deadline never moves to an earlier instant.
        """
        account = self.account
        before = account.last_activity_at
        last = occurred_at if before is None or occurred_at > before else before
        account.last_activity_at = last
        due_before = account.inactive_at
        if due_before is not None and due_before <= self.now:
            self._let_lots_die(due_before)
        if deadline is not None:
            account.inactive_at = deadline(last) if due_before is None else max(deadline(last), due_before)
        elif due_before is not None and before is not None:
            account.inactive_at = due_before + (last - before)

    def _let_lots_die(self, died_at: datetime) -> None:
        """Fix the end of the lots that inactivity has expired, those that are not at hand too."""
        self.decision.lots_died_at = died_at
        for lot in list(self._all_lots()):
            if lot.expires_on_inactivity:
                self._own(lot).die(died_at)

    def note_activity(self, total_minor: int | None, occurred_at: datetime) -> None:
        """Keep what conditions ask about the customer; ``total_minor`` is that of a purchase, else None."""
        account = self.account
        if account.joined_at is None or occurred_at < account.joined_at:
            account.joined_at = occurred_at
        if total_minor is not None:
            account.purchases += 1
            account.spent_minor += total_minor
            if account.last_purchase_at is None or occurred_at > account.last_purchase_at:
                account.last_purchase_at = occurred_at

    def count(self, counts: Mapping[CountKey, Count], budgets: Mapping[str, Count]) -> None:
        """Add to what limits have counted and budgets have given."""
        for key, count in counts.items():
            add_count(self.decision.counts, key, count)
        for rule_id, count in budgets.items():
            add_count(self.decision.budgets, rule_id, count)

    def close(self) -> Decision:
        """Book what the command itself made due, pay debts, bring the account's cache up, and return the decision."""
        account = self.account
        if self._lots is None:
            self._close_from_account()
        else:
            # What comes back to a lot that has expired meanwhile is gone as it arrives, not before.
            self.expire_lots(
                no_earlier_than=self.decision.entries[-1].occurred_at if self._refilled() else None
            )
            self.pay_debt()
            self._close_from_lots()
        self.decision.consumptions = [row for row in self.decision.consumptions if row.points]
        account.as_of = self.now
        self.decision.after = CustomerState(
            account,
            True,
            self._state.remembered,
            self._activities,
            self._lots,
            self._redemptions,
            self._reversals,
            self._consumed,
            self._counts(),
            self._state.budgets,
            self.referral,
            self._state.referring,
            self._retracted,
            self.qualifying,
            self.standing_grants,
        )
        return self.decision

    def _counts(self) -> dict[CountKey, Count]:
        if not self.decision.counts:
            return self._state.counts
        counts = dict(self._state.counts)
        for key, count in self.decision.counts.items():
            add_count(counts, key, count)
        return counts

    def _refilled(self) -> bool:
        return any(row.points < 0 and row.lot_seq != DEFICIT for row in self.decision.consumptions)

    def _close_from_account(self) -> None:
        """Bring the cache up by what was added: nothing else was due before ``next_change_at``."""
        account = self.account
        now = self.now
        if not self._fresh:
            return
        inactive_at = account.inactive_at
        if any(is_expired(lot, inactive_at, now) for lot in self._fresh):
            self.expire_lots()
        self.pay_debt()
        soonest = account.next_change_at
        for lot in self._fresh:
            if lot.available_at > now:
                account.pending += lot.remaining
            else:
                account.available += lot.remaining
        turns_at = next_change(self._fresh, inactive_at, now)
        if turns_at is not None and (soonest is None or turns_at < soonest):
            account.next_change_at = turns_at

    def _close_from_lots(self) -> None:
        account = self.account
        now = self.now
        available = pending = 0
        for lot in self._all_lots():
            if lot.available_at > now:
                pending += lot.remaining
            else:
                available += lot.remaining
        account.available = available
        account.pending = pending
        soonest = next_change(self._all_lots(), account.inactive_at, now)
        for redemption in self._redemptions.values():
            lapses_at = redemption.hold_expires_at
            if (
                redemption.status == "held"
                and lapses_at is not None
                and (soonest is None or lapses_at < soonest)
            ):
                soonest = lapses_at
        account.next_change_at = soonest
