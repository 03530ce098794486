"""Write: store all decisions of a batch with one statement a table, however many they are.

New rows go in by COPY, the quickest way into PostgreSQL; changed rows by one UPDATE from arrays. Only
:mod:`rewards.engine` calls this.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection, text

from rewards.ledger.arrays import instant, instant_array, int_array, text_array
from rewards.ledger.state import Account, Decision, Lot, Redemption

_UPDATE_ACCOUNTS = text("""
UPDATE accounts AS a
SET seq = v.seq, balance = v.balance, available = v.available, pending = v.pending, held = v.held,
    deficit = v.deficit, digest = decode(v.digest, 'hex'), as_of = :as_of, next_change_at = v.next_change_at,
    last_activity_at = v.last_activity_at, inactive_at = v.inactive_at
FROM unnest(CAST(:customers AS text[]), CAST(:seq AS bigint[]), CAST(:balance AS bigint[]),
            CAST(:available AS bigint[]), CAST(:pending AS bigint[]), CAST(:held AS bigint[]),
            CAST(:deficit AS bigint[]), CAST(:digest AS text[]), CAST(:next_change_at AS timestamptz[]),
            CAST(:last_activity_at AS timestamptz[]), CAST(:inactive_at AS timestamptz[]))
     AS v (customer_id, seq, balance, available, pending, held, deficit, digest, next_change_at,
           last_activity_at, inactive_at)
WHERE a.customer_id = v.customer_id""")

_UPDATE_LOTS = text("""
UPDATE lots AS l SET remaining = v.remaining, expired = v.expired
FROM unnest(CAST(:customers AS text[]), CAST(:lot_seq AS bigint[]), CAST(:remaining AS bigint[]),
            CAST(:expired AS bigint[])) AS v (customer_id, lot_seq, remaining, expired)
WHERE l.customer_id = v.customer_id AND l.lot_seq = v.lot_seq""")

_UPDATE_REDEMPTIONS = text("""
UPDATE redemptions AS r
SET status = v.status, captured = v.captured, reinstated = v.reinstated, redeem_seq = v.redeem_seq,
    value_minor = v.value_minor, resolved_at = v.resolved_at
FROM unnest(CAST(:customers AS text[]), CAST(:redemption_seq AS bigint[]), CAST(:status AS text[]),
            CAST(:captured AS bigint[]), CAST(:reinstated AS bigint[]), CAST(:redeem_seq AS bigint[]),
            CAST(:value_minor AS bigint[]), CAST(:resolved_at AS timestamptz[]))
     AS v (customer_id, redemption_seq, status, captured, reinstated, redeem_seq, value_minor, resolved_at)
WHERE r.customer_id = v.customer_id AND r.redemption_seq = v.redemption_seq""")

_COPY = {
    "accounts": "customer_id, seq, balance, available, pending, held, deficit, digest, as_of, next_change_at, "
    "last_activity_at, inactive_at, created_at",
    "commands": "customer_id, idempotency_key, kind, input_hash, status, answer, recorded_at",
    "activities": "customer_id, activity_key, award_seq, points, program_version, occurred_at, recorded_at, body, "
    "grants",
    "entries": "customer_id, seq, kind, points, balance_after, occurred_at, recorded_at, cause, program_version, "
    "actor, note, idempotency_key, digest",
    "lots": "customer_id, lot_seq, points, remaining, expired, available_at, expires_at, expires_on_inactivity",
    "consumptions": "customer_id, entry_seq, lot_seq, debit_seq, points",
    "redemptions": "customer_id, redemption_seq, status, points, captured, reinstated, redeem_seq, value_minor, "
    "currency, order_id, program_version, hold_expires_at, occurred_at, resolved_at",
    "reversals": "customer_id, order_id, refund_id, reversal_seq, amount_minor, lines, by_grant, is_full, "
    "clawed_back, written_off, reinstated, occurred_at, recorded_at",
}


@dataclass(slots=True)
class Claim:
    """An idempotency key, what it was claimed for, and the answer that it gives for ever."""

    customer_id: str
    idempotency_key: str
    kind: str
    input_hash: bytes
    status: int
    answer: str


@dataclass(slots=True)
class Batch:
    """The decisions of a batch, gathered so that each row is written once, as it is in the end."""

    claims: list[Claim] = field(default_factory=list)
    decisions: list[tuple[str, Decision]] = field(default_factory=list)
    accounts: dict[str, Account] = field(default_factory=dict)
    new_accounts: set[str] = field(default_factory=set)
    new_lots: dict[tuple[str, int], Lot] = field(default_factory=dict)
    changed_lots: dict[tuple[str, int], Lot] = field(default_factory=dict)
    new_redemptions: dict[tuple[str, int], Redemption] = field(default_factory=dict)
    changed_redemptions: dict[tuple[str, int], Redemption] = field(default_factory=dict)

    def add(self, customer_id: str, decision: Decision, *, is_new: bool) -> None:
        """Add a decision that was not refused; ``is_new`` says that it creates the customer."""
        assert decision.after is not None
        self.decisions.append((customer_id, decision))
        self.accounts[customer_id] = decision.after.account
        if is_new:
            self.new_accounts.add(customer_id)
        for lot in decision.new_lots:
            self.new_lots[customer_id, lot.lot_seq] = lot
        for lot_seq, lot in decision.changed_lots.items():
            # A lot that this batch opened is written once, with what is left of it in the end.
            place = self.new_lots if (customer_id, lot_seq) in self.new_lots else self.changed_lots
            place[customer_id, lot_seq] = lot
        for redemption in decision.new_redemptions:
            self.new_redemptions[customer_id, redemption.redemption_seq] = redemption
        for seq, redemption in decision.changed_redemptions.items():
            is_placed = (customer_id, seq) in self.new_redemptions
            redemptions = self.new_redemptions if is_placed else self.changed_redemptions
            redemptions[customer_id, seq] = redemption


def write(conn: Connection, batch: Batch, now: datetime) -> None:
    """Store a batch.

    Raises:
        sqlalchemy.exc.IntegrityError: another transaction created one of the new customers meanwhile.
    """
    changed = [customer_id for customer_id in batch.accounts if customer_id not in batch.new_accounts]
    # New accounts go first and in id order, so that two batches with the same new customers cannot block each
    # other in a circle.
    _copy(conn, "accounts", _new_accounts(batch, now))
    if changed:
        conn.execute(_UPDATE_ACCOUNTS, _account_arrays([batch.accounts[each] for each in changed], now))
    _copy(conn, "commands", [_claim(claim, now) for claim in batch.claims])
    _copy(conn, "entries", [_entry(entry) for _, decision in batch.decisions for entry in decision.entries])
    _copy(conn, "activities", _activities(batch, now))
    _copy(conn, "lots", [_lot(customer_id, lot) for (customer_id, _), lot in batch.new_lots.items()])
    _copy(conn, "consumptions", _consumptions(batch))
    _copy(conn, "redemptions", [_redemption(key[0], each) for key, each in batch.new_redemptions.items()])
    _copy(conn, "reversals", _reversals(batch, now))
    if batch.changed_lots:
        conn.execute(_UPDATE_LOTS, _lot_arrays(batch.changed_lots))
    if batch.changed_redemptions:
        conn.execute(_UPDATE_REDEMPTIONS, _redemption_arrays(batch.changed_redemptions))


def _copy(conn: Connection, table: str, lines: list[str]) -> None:
    if not lines:
        return
    driver: Any = conn.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({_COPY[table]}) FROM STDIN") as copy:
        copy.write("".join(lines))


def _new_accounts(batch: Batch, now: datetime) -> list[str]:
    lines = []
    for customer_id in sorted(batch.new_accounts):
        a = batch.accounts[customer_id]
        lines.append(
            f"{_text(customer_id)}\t{a.seq}\t{a.balance}\t{a.available}\t{a.pending}\t{a.held}\t{a.deficit}"
            f"\t\\\\x{a.digest.hex()}\t{now}\t{_instant_or_null(a.next_change_at)}\t{_instant_or_null(a.last_activity_at)}"
            f"\t{_instant_or_null(a.inactive_at)}\t{now}\n"
        )
    return lines


def _account_arrays(accounts: list[Account], now: datetime) -> dict[str, Any]:
    return {
        "as_of": now,
        "customers": text_array([a.customer_id for a in accounts]),
        "seq": int_array([a.seq for a in accounts]),
        "balance": int_array([a.balance for a in accounts]),
        "available": int_array([a.available for a in accounts]),
        "pending": int_array([a.pending for a in accounts]),
        "held": int_array([a.held for a in accounts]),
        "deficit": int_array([a.deficit for a in accounts]),
        "digest": "{" + ",".join([a.digest.hex() for a in accounts]) + "}",
        "next_change_at": instant_array([a.next_change_at for a in accounts]),
        "last_activity_at": instant_array([a.last_activity_at for a in accounts]),
        "inactive_at": instant_array([a.inactive_at for a in accounts]),
    }


def _claim(claim: Claim, now: datetime) -> str:
    return (
        f"{_text(claim.customer_id)}\t{_text(claim.idempotency_key)}\t{claim.kind}\t\\\\x{claim.input_hash.hex()}"
        f"\t{claim.status}\t{_text(claim.answer)}\t{instant(now)}\n"
    )


def _entry(entry: Any) -> str:
    (
        customer_id,
        seq,
        kind,
        points,
        balance_after,
        occurred_at,
        recorded_at,
        cause,
        program_version,
        actor,
        note,
        key,
        digest,
    ) = entry
    return (
        f"{_text(customer_id)}\t{seq}\t{kind}\t{points}\t{balance_after}\t{instant(occurred_at)}\t{instant(recorded_at)}"
        f"\t{_text(cause)}\t{program_version}\t{_text(actor)}\t{_text_or_null(note)}\t{_text_or_null(key)}"
        f"\t\\\\x{digest.hex()}\n"
    )


def _activities(batch: Batch, now: datetime) -> list[str]:
    lines = []
    for customer_id, decision in batch.decisions:
        if decision.new_activity is None:
            continue
        activity, body_json = decision.new_activity
        lines.append(
            f"{_text(customer_id)}\t{_text(activity.activity_key)}\t{activity.award_seq}\t{activity.points}"
            f"\t{activity.program_version}\t{instant(activity.occurred_at)}\t{instant(now)}\t{_text(body_json)}"
            f"\t{_json(activity.grants)}\n"
        )
    return lines


def _lot(customer_id: str, lot: Lot) -> str:
    return (
        f"{_text(customer_id)}\t{lot.lot_seq}\t{lot.points}\t{lot.remaining}\t{lot.expired}\t{instant(lot.available_at)}"
        f"\t{_instant_or_null(lot.expires_at)}\t{lot.expires_on_inactivity}\n"
    )


def _consumptions(batch: Batch) -> list[str]:
    return [
        f"{_text(customer_id)}\t{row.entry_seq}\t{row.lot_seq}\t{row.debit_seq}\t{row.points}\n"
        for customer_id, decision in batch.decisions
        for row in decision.consumptions
    ]


def _redemption(customer_id: str, r: Redemption) -> str:
    return (
        f"{_text(customer_id)}\t{r.redemption_seq}\t{r.status}\t{r.points}\t{r.captured}\t{r.reinstated}"
        f"\t{_null(r.redeem_seq)}\t{r.value_minor}\t{r.currency}\t{_text_or_null(r.order_id)}\t{r.program_version}"
        f"\t{_instant_or_null(r.hold_expires_at)}\t{r.occurred_at}\t{_instant_or_null(r.resolved_at)}\n"
    )


def _reversals(batch: Batch, now: datetime) -> list[str]:
    return [
        f"{_text(customer_id)}\t{_text(r.order_id)}\t{_text(r.refund_id)}\t{r.reversal_seq}\t{r.amount_minor}"
        f"\t{_json(r.lines)}\t{_json(r.by_grant)}\t{r.is_full}\t{r.clawed_back}\t{r.written_off}\t{r.reinstated}"
        f"\t{r.occurred_at}\t{now}\n"
        for customer_id, decision in batch.decisions
        for r in decision.new_reversals
    ]


def _lot_arrays(lots: dict[tuple[str, int], Lot]) -> dict[str, str]:
    return {
        "customers": text_array([key[0] for key in lots]),
        "lot_seq": int_array(key[1] for key in lots),
        "remaining": int_array(lot.remaining for lot in lots.values()),
        "expired": int_array(lot.expired for lot in lots.values()),
    }


def _redemption_arrays(redemptions: dict[tuple[str, int], Redemption]) -> dict[str, str]:
    each = list(redemptions.values())
    redeem_seqs = ["NULL" if r.redeem_seq is None else str(r.redeem_seq) for r in each]
    return {
        "customers": text_array([key[0] for key in redemptions]),
        "redemption_seq": int_array(key[1] for key in redemptions),
        "status": text_array(r.status for r in each),
        "captured": int_array(r.captured for r in each),
        "reinstated": int_array(r.reinstated for r in each),
        "redeem_seq": "{" + ",".join(redeem_seqs) + "}",
        "value_minor": int_array(r.value_minor for r in each),
        "resolved_at": instant_array(r.resolved_at for r in each),
    }


def _text(value: str) -> str:
    """Return a text as COPY reads it."""
    if "\\" in value:
        value = value.replace("\\", "\\\\")
    if "\n" in value or "\t" in value or "\r" in value:
        value = value.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return value


def _text_or_null(value: str | None) -> str:
    return "\\N" if value is None else _text(value)


def _null(value: datetime | int | None) -> str:
    return "\\N" if value is None else str(value)


def _instant_or_null(value: datetime | None) -> str:
    return "\\N" if value is None else instant(value)


def _json(value: Iterable[Any]) -> str:
    return _text(to_json(value).decode())
