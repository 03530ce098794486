"""The ledger's invariants (DESIGN §6) on rows in memory. ``invariants.py`` says the same in SQL."""

import json
from collections import defaultdict
from datetime import UTC, datetime
from hashlib import sha256

from memory_ledger import Ledger

CREDITS = {"award", "reinstate", "release", "unexpire"}
DEBITS = {"clawback", "redeem", "hold", "expire"}


def check_laws(ledger: Ledger) -> None:
    """Fail on the first law that the stored rows of any customer break."""
    for customer_id in ledger.accounts:
        _check_entries(ledger, customer_id)
        _check_consumptions(ledger, customer_id)
        _check_redemptions(ledger, customer_id)
        _check_refunds(ledger, customer_id)


def _check_entries(ledger: Ledger, customer_id: str) -> None:
    balance, digest = 0, bytes(32)
    for seq, entry in enumerate(ledger.entries[customer_id], 1):
        assert entry.seq == seq
        assert entry.points >= 0 or entry.kind not in CREDITS, entry
        assert entry.points <= 0 or entry.kind not in DEBITS, entry
        balance += entry.points
        assert entry.balance_after == balance, entry
        fields = [_rfc3339(each) if isinstance(each, datetime) else each for each in entry[:-1]]
        canonical = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
        digest = sha256(digest + canonical).digest()
        assert entry.digest == digest, entry
    account = ledger.accounts[customer_id]
    assert (account.seq, account.balance, account.digest) == (
        len(ledger.entries[customer_id]),
        balance,
        digest,
    )


def _rfc3339(at: datetime) -> str:
    assert at.utcoffset() == UTC.utcoffset(None)
    return at.replace(tzinfo=None).isoformat() + "Z"


def _check_consumptions(ledger: Ledger, customer_id: str) -> None:
    kinds = {entry.seq: entry.kind for entry in ledger.entries[customer_id]}
    lots = ledger.lots[customer_id]
    moved: dict[int, int] = defaultdict(int)
    left = {seq: lot.points for seq, lot in lots.items()}
    expired = dict.fromkeys(lots, 0)
    deficit = 0
    for (entry_seq, lot_seq, debit_seq), points in ledger.consumptions[customer_id].items():
        moved[entry_seq] += points
        if lot_seq == 0:
            deficit += points
            assert entry_seq == debit_seq
        else:
            left[lot_seq] -= points
            assert 0 <= left[lot_seq] <= lots[lot_seq].points
            # Only time takes points as expired, and what it takes is nothing else.
            if kinds[entry_seq] in ("expire", "unexpire"):
                expired[lot_seq] += points
        # A debit takes for itself; what another entry does on its account is to give back.
        assert entry_seq == debit_seq or points < 0
        # A debt is paid by what comes in, never by a debit.
        if lot_seq == 0 and points < 0:
            assert kinds[entry_seq] in CREDITS | {"adjust"}, (entry_seq, kinds[entry_seq])
    for entry in ledger.entries[customer_id]:
        opened = lots[entry.seq].points if entry.seq in lots else 0
        assert entry.points == opened - moved[entry.seq], entry
    for seq, lot in lots.items():
        assert kinds[seq] in ("award", "adjust")
        assert (lot.remaining, lot.expired) == (left[seq], expired[seq])
        # What a refund could not take is taken at once when it comes back.
        assert lot.written_off == 0 or lot.remaining == 0
    account = ledger.accounts[customer_id]
    assert account.deficit == deficit
    assert account.balance == sum(left.values()) - deficit
    assert deficit == 0 or not any(left.values())
    assert account.as_of is not None
    assert account.next_change_at is None or account.next_change_at > account.as_of


def _check_redemptions(ledger: Ledger, customer_id: str) -> None:
    by_cause: dict[tuple[str, str], list[int]] = defaultdict(list)
    for entry in ledger.entries[customer_id]:
        by_cause[entry.kind, entry.cause].append(entry.points)
    held = 0
    for seq, each in ledger.redemptions[customer_id].items():
        cause = f"redemption:{seq}"
        placed, released = by_cause["hold", cause], by_cause["release", cause]
        was_held = bool(placed)
        assert len(released) == (was_held and each.status != "held")
        assert len(placed) <= 1
        if was_held:
            assert (placed, released or [each.points]) == ([-each.points], [each.points])
        assert sum(by_cause["redeem", cause]) == -each.captured
        held += each.points if each.status == "held" else 0
        _check_debit(ledger, customer_id, seq, each.points if each.status == "held" else 0, was_held=was_held)
        if each.redeem_seq is not None:
            _check_debit(ledger, customer_id, each.redeem_seq, each.captured - each.reinstated, was_held=True)
    assert ledger.accounts[customer_id].held == held


def _check_debit(ledger: Ledger, customer_id: str, debit: int, out: int, *, was_held: bool) -> None:
    """What is still out of a hold or redemption, by lot: no lot was given back more than it paid."""
    by_lot: dict[int, int] = defaultdict(int)
    for (_, lot_seq, debit_seq), points in ledger.consumptions[customer_id].items():
        if debit_seq == debit:
            by_lot[lot_seq] += points
    assert was_held is False or sum(by_lot.values()) == out
    assert min(by_lot.values(), default=0) >= 0
    assert 0 not in by_lot


def _check_refunds(ledger: Ledger, customer_id: str) -> None:
    entries = {entry.seq: entry for entry in ledger.entries[customer_id]}
    for key, activity in ledger.activities[customer_id].items():
        booked = [each.points for each in entries.values() if (each.kind, each.cause) == ("award", key)]
        assert sum(booked) == activity.points == sum(each.points for each in activity.grants)
        if activity.body["type"] != "purchase":
            continue
        order_id = activity.body["order_id"]
        assert key == f"purchase:{order_id}"
        refunds = [each for (order, _), each in ledger.reversals[customer_id].items() if order == order_id]
        given = [each.points for each in activity.grants]
        taken = [
            sum(parts) for parts in zip(*(each.by_grant for each in refunds if each.by_grant), strict=True)
        ]
        assert all(part <= whole for part, whole in zip(taken, given, strict=False))
        refunded = sum(each.amount_minor for each in refunds)
        assert refunded <= activity.body["total_minor"]
        is_full = any(each.is_full for each in refunds)
        # Where no money was paid, the lines say when all came back.
        assert is_full == (refunded == activity.body["total_minor"]) or activity.body["total_minor"] == 0
        assert not is_full or taken == given, (order_id, taken, given)
    for reversal in ledger.reversals[customer_id].values():
        entry = entries[reversal.reversal_seq]
        assert (entry.kind, entry.points) == ("clawback", -reversal.clawed_back)
        assert sum(reversal.by_grant) == reversal.clawed_back + reversal.written_off
