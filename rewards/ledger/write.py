"""Write: store all decisions of a batch with one statement a table, however many they are.

New rows go in by COPY, the quickest way into PostgreSQL; changed rows by one UPDATE from arrays; both in binary form.
Only :mod:`rewards.engine` calls this.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection, text

from rewards.core import wire
from rewards.core.wire import BigintArray, ByteaArray, InstantArray, TextArray
from rewards.ledger.referral_state import Referral
from rewards.ledger.referrals import write_referrals
from rewards.ledger.standings import write_standings
from rewards.ledger.state import (
    Account,
    Assigned,
    Count,
    Decision,
    Entry,
    Lot,
    Redemption,
    Retraction,
    add_count,
)

_UPDATE = """
UPDATE accounts AS a
SET seq = v.seq, balance = v.balance, available = v.available, pending = v.pending, held = v.held,
    deficit = v.deficit, digest = v.digest, as_of = v.as_of, next_change_at = v.next_change_at,
    last_activity_at = v.last_activity_at, inactive_at = v.inactive_at, purchases = v.purchases,
    spent_minor = v.spent_minor, last_purchase_at = v.last_purchase_at, joined_at = v.joined_at{more}
FROM unnest(:customers, :seq, :balance, :available, :pending, :held, :deficit, :digest, :as_of, :next_change_at,
            :last_activity_at, :inactive_at, :purchases, :spent_minor, :last_purchase_at, :joined_at{more_arrays})
     AS v (customer_id, seq, balance, available, pending, held, deficit, digest, as_of, next_change_at,
           last_activity_at, inactive_at, purchases, spent_minor, last_purchase_at, joined_at{more_names})
WHERE a.customer_id = v.customer_id"""
_UPDATE_ACCOUNTS = text(_UPDATE.format(more="", more_arrays="", more_names=""))
# Most programs have no ladder, and what is not written costs nothing.
_UPDATE_ACCOUNTS_AND_STANDINGS = text(
    _UPDATE.format(
        more=", standing = CAST(v.standing AS json)",
        more_arrays=", :standing",
        more_names=", standing",
    )
)
# What has an index changes with few activities only, so that the many keep to their pages.
_UPDATE_PLACES = text("""
UPDATE accounts AS a
SET tier = v.tier, standing_due_at = v.standing_due_at, ladder_version = v.ladder_version
FROM unnest(:customers, :tier, :standing_due_at, :ladder_version)
     AS v (customer_id, tier, standing_due_at, ladder_version)
WHERE a.customer_id = v.customer_id""")
# Where a whole ladder is applied nothing else of an account changes.
_UPDATE_STANDINGS = text("""
UPDATE accounts AS a
SET standing = CAST(v.standing AS json), tier = v.tier, standing_due_at = v.standing_due_at,
    ladder_version = v.ladder_version
FROM unnest(:customers, :standing, :tier, :standing_due_at, :ladder_version)
     AS v (customer_id, standing, tier, standing_due_at, ladder_version)
WHERE a.customer_id = v.customer_id""")
_UPDATE_MEMBERS = text("""
UPDATE accounts AS a SET member_since = v.member_since
FROM unnest(:customers, :member_since) AS v (customer_id, member_since)
WHERE a.customer_id = v.customer_id""")

_UPDATE_ARMS = text("""
UPDATE accounts AS a SET arms = v.arms FROM unnest(:customers, :arms) AS v (customer_id, arms)
WHERE a.customer_id = v.customer_id""")
_PUT_ASSIGNMENTS = text("""
INSERT INTO assignments (customer_id, experiment_id, arm, assigned_at, source, recorded_at)
SELECT r.customer_id, r.experiment_id, r.arm, r.assigned_at, r.source, :now
FROM jsonb_populate_recordset(NULL::assignments, CAST(:rows AS jsonb)) AS r""")

_UPDATE_LOTS = text("""
UPDATE lots AS l SET remaining = v.remaining, expired = v.expired, written_off = v.written_off
FROM unnest(:customers, :lot_seq, :remaining, :expired, :written_off)
     AS v (customer_id, lot_seq, remaining, expired, written_off)
WHERE l.customer_id = v.customer_id AND l.lot_seq = v.lot_seq""")

_LET_LOTS_DIE = text("""
UPDATE lots AS l SET expires_at = v.died_at, expires_on_inactivity = false
FROM unnest(:customers, :died_at) AS v (customer_id, died_at)
WHERE l.customer_id = v.customer_id AND l.expires_on_inactivity""")

_UPDATE_REDEMPTIONS = text("""
UPDATE redemptions AS r
SET status = v.status, captured = v.captured, reinstated = v.reinstated, redeem_seq = v.redeem_seq,
    value_minor = v.value_minor, resolved_at = v.resolved_at
FROM unnest(:customers, :redemption_seq, :status, :captured, :reinstated, :redeem_seq, :value_minor, :resolved_at)
     AS v (customer_id, redemption_seq, status, captured, reinstated, redeem_seq, value_minor, resolved_at)
WHERE r.customer_id = v.customer_id AND r.redemption_seq = v.redemption_seq""")

_SET_TAGS = text("""
UPDATE accounts AS a SET tags = ARRAY(SELECT jsonb_array_elements_text(v.tags))
FROM jsonb_each(CAST(:tags AS jsonb)) AS v (customer_id, tags)
WHERE a.customer_id = v.customer_id""")

# As differences, so that a refund need not know what stands there.
_ADD_COUNTS = text("""
INSERT INTO counts AS c (customer_id, name, period, points, times)
SELECT * FROM unnest(:customers, :names, :periods, :points, :times)
ON CONFLICT (customer_id, name, period)
DO UPDATE SET points = c.points + excluded.points, times = c.times + excluded.times""")

_ADD_TO_BUDGETS = text("""
INSERT INTO budgets AS b (rule_id, points, times)
SELECT * FROM unnest(:rules, :points, :times) ORDER BY 1
ON CONFLICT (rule_id) DO UPDATE SET points = b.points + excluded.points, times = b.times + excluded.times""")

_COPY = {
    "accounts": "customer_id, seq, balance, available, pending, held, deficit, digest, as_of, next_change_at, "
    "last_activity_at, inactive_at, created_at, purchases, spent_minor, last_purchase_at, joined_at, tier, standing, "
    "standing_due_at, ladder_version, member_since",
    "commands": "customer_id, idempotency_key, kind, input_hash, status, answer, recorded_at",
    "activities": "customer_id, activity_key, award_seq, points, program_version, occurred_at, body, grants, "
    "counted, qualifying_points, spend_minor, tier, held_out",
    "entries": "customer_id, seq, kind, points, balance_after, occurred_at, recorded_at, cause, program_version, "
    "actor, note, idempotency_key, digest",
    "lots": "customer_id, lot_seq, points, remaining, expired, available_at, expires_at, expires_on_inactivity, "
    "written_off",
    "consumptions": "customer_id, entry_seq, lot_seq, debit_seq, points",
    "redemptions": "customer_id, redemption_seq, status, points, captured, reinstated, redeem_seq, value_minor, "
    "currency, order_id, program_version, hold_expires_at, occurred_at, resolved_at, tier",
    "reversals": "customer_id, order_id, refund_id, reversal_seq, amount_minor, lines, by_grant, is_full, "
    "clawed_back, written_off, reinstated, occurred_at, recorded_at, qualifying_points",
}
_COPY_STATEMENT = {
    table: f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)" for table, columns in _COPY.items()
}
_ROW_HEAD = {table: wire.row_head(columns.count(",") + 1) for table, columns in _COPY.items()}


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
    lots_died_at: dict[str, datetime] = field(default_factory=dict)
    counts: dict[tuple[str, str, str], Count] = field(default_factory=dict)
    budgets: dict[str, Count] = field(default_factory=dict)
    tags: dict[str, Sequence[str]] = field(default_factory=dict)
    referrals: dict[str, Referral] = field(default_factory=dict)
    fingerprints: set[tuple[str, str, str]] = field(default_factory=set)
    retractions: list[tuple[str, Retraction]] = field(default_factory=list)
    #: Whether any standing is new.
    has_standings: bool = False
    #: Customers whose tier is new, or when somebody is to look at it; and those of whom it is since when they are
    #: members.
    places: set[str] = field(default_factory=set)
    members: set[str] = field(default_factory=set)
    assigned: list[tuple[str, Assigned]] = field(default_factory=list)
    moves: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    grants: list[tuple[str, Decision, str]] = field(default_factory=list)

    def add(self, customer_id: str, decision: Decision, *, is_new: bool, actor: str = "") -> None:
        """Add a decision that was not refused; ``is_new`` says that it creates the customer, ``actor`` who asked."""
        assert decision.after is not None
        self.decisions.append((customer_id, decision))
        self.accounts[customer_id] = decision.after.account
        if is_new:
            self.new_accounts.add(customer_id)
        if decision.lots_died_at is not None:
            self._let_lots_die(customer_id, decision.lots_died_at)
        self._add_lots(customer_id, decision)
        for redemption in decision.new_redemptions:
            self.new_redemptions[customer_id, redemption.redemption_seq] = redemption
        for seq, redemption in decision.changed_redemptions.items():
            is_placed = (customer_id, seq) in self.new_redemptions
            redemptions = self.new_redemptions if is_placed else self.changed_redemptions
            redemptions[customer_id, seq] = redemption
        if decision.tags is not None:
            self.tags[customer_id] = decision.tags
        if decision.counts or decision.budgets:
            for (name, period), count in decision.counts.items():
                add_count(self.counts, (customer_id, name, period), count)
            for rule_id, count in decision.budgets.items():
                add_count(self.budgets, rule_id, count)
        if decision.referral is not None or decision.fingerprints or decision.new_retraction is not None:
            self._add_referral(customer_id, decision)
        if decision.is_member_since_new or decision.assigned is not None:
            self._add_part(customer_id, decision)
        if decision.is_standing_new:
            self._add_standing(customer_id, decision, actor)
        self.events += decision.events

    def _add_part(self, customer_id: str, decision: Decision) -> None:
        if decision.is_member_since_new:
            self.members.add(customer_id)
        if decision.assigned is not None:
            self.assigned.append((customer_id, decision.assigned))

    def _add_lots(self, customer_id: str, decision: Decision) -> None:
        for lot in decision.new_lots:
            self.new_lots[customer_id, lot.lot_seq] = lot
        for lot_seq, lot in decision.changed_lots.items():
            # A lot that this batch opened is written once, with what is left of it in the end.
            place = self.new_lots if (customer_id, lot_seq) in self.new_lots else self.changed_lots
            place[customer_id, lot_seq] = lot

    def _add_standing(self, customer_id: str, decision: Decision, actor: str) -> None:
        self.has_standings = True
        if decision.is_place_new:
            self.places.add(customer_id)
        assert decision.after is not None
        standing = decision.after.account.standing
        if decision.moves and standing is not None:
            first = standing.moves - len(decision.moves) + 1
            for number, move in enumerate(decision.moves, first):
                self.moves.append(
                    {
                        "customer_id": customer_id,
                        "move_seq": number,
                        **move._asdict(),
                        "cause": decision.moved_by,
                    }
                )
        if decision.new_grant is not None or decision.grants_ended_at is not None:
            self.grants.append((customer_id, decision, actor))

    def _add_referral(self, customer_id: str, decision: Decision) -> None:
        if decision.referral is not None:
            self.referrals[customer_id] = decision.referral
        for kind, value in decision.fingerprints.items():
            self.fingerprints.add((customer_id, kind, value))
        if decision.new_retraction is not None:
            self.retractions.append((customer_id, decision.new_retraction))

    def _let_lots_die(self, customer_id: str, died_at: datetime) -> None:
        # Stored lots die once; those of a later death in this batch are new ones.
        self.lots_died_at.setdefault(customer_id, died_at)
        for place, lot in self.new_lots.items():
            if place[0] == customer_id and lot.expires_on_inactivity:
                self.new_lots[place] = lot = lot.copy()  # noqa: PLW2901 - states before this one have the lot too
                lot.die(died_at)


def write(conn: Connection, batch: Batch, now: datetime) -> None:
    """Store a batch.

    Raises:
        psycopg.errors.UniqueViolation: another transaction created one of the new customers meanwhile.
    """
    owners = {owner: wire.text(owner) for owner in batch.accounts}
    changed = [account for owner, account in batch.accounts.items() if owner not in batch.new_accounts]
    # New accounts go first and in id order, so that two batches with the same new customers cannot block each
    # other in a circle.
    _copy(conn, "accounts", [_account(batch.accounts[owner], now) for owner in sorted(batch.new_accounts)])
    if changed:
        if all(decision.is_only_standing for _, decision in batch.decisions):
            conn.execute(_UPDATE_STANDINGS, _standing_array(changed) | _place_arrays(changed))
        elif batch.has_standings:
            conn.execute(_UPDATE_ACCOUNTS_AND_STANDINGS, _account_arrays(changed) | _standing_array(changed))
            _update_places(conn, [account for account in changed if account.customer_id in batch.places])
        else:
            conn.execute(_UPDATE_ACCOUNTS, _account_arrays(changed))
    _copy(conn, "commands", [_claim(claim, now) for claim in batch.claims])
    _copy(
        conn,
        "entries",
        [_entry(owners[owner], entry) for owner, decision in batch.decisions for entry in decision.entries],
    )
    _copy(conn, "activities", _activities(batch, owners))
    if batch.lots_died_at:
        conn.execute(
            _LET_LOTS_DIE,
            {
                "customers": TextArray(batch.lots_died_at),
                "died_at": InstantArray(list(batch.lots_died_at.values())),
            },
        )
    _copy(conn, "lots", [_lot(owners[owner], lot) for (owner, _), lot in batch.new_lots.items()])
    _copy(conn, "consumptions", _consumptions(batch))
    _copy(conn, "redemptions", [_redemption(key[0], each) for key, each in batch.new_redemptions.items()])
    _copy(conn, "reversals", _reversals(batch, now))
    if batch.changed_lots:
        conn.execute(_UPDATE_LOTS, _lot_arrays(batch.changed_lots))
    if batch.changed_redemptions:
        conn.execute(_UPDATE_REDEMPTIONS, _redemption_arrays(batch.changed_redemptions))
    if batch.tags:
        conn.execute(_SET_TAGS, {"tags": to_json(batch.tags).decode()})
    if batch.counts:
        conn.execute(_ADD_COUNTS, _count_arrays(batch.counts))
    if batch.budgets:
        conn.execute(_ADD_TO_BUDGETS, _budget_arrays(batch.budgets))
    write_referrals(conn, batch.referrals, batch.fingerprints, batch.retractions, now)
    if batch.members:
        members = [batch.accounts[owner] for owner in batch.members]
        conn.execute(
            _UPDATE_MEMBERS,
            {
                "customers": TextArray([account.customer_id for account in members]),
                "member_since": InstantArray([account.member_since for account in members]),
            },
        )
    if batch.assigned:
        _assign(conn, batch, now)
    write_standings(conn, batch.moves, batch.events, batch.grants, now)


def _assign(conn: Connection, batch: Batch, now: datetime) -> None:
    """Store arms that were assigned, and the copies of them by which decisions are made."""
    rows = [{"customer_id": owner, **each._asdict()} for owner, each in batch.assigned]
    conn.execute(_PUT_ASSIGNMENTS, {"rows": to_json(rows).decode(), "now": now})
    owners = sorted({owner for owner, _ in batch.assigned})
    arms = TextArray([batch.accounts[owner].arms for owner in owners])
    conn.execute(_UPDATE_ARMS, {"customers": TextArray(owners), "arms": arms})


def _copy(conn: Connection, table: str, rows: list[list[bytes]]) -> None:
    """Store rows, each given as the fields of its columns."""
    if not rows:
        return
    head = _ROW_HEAD[table]
    parts = [wire.COPY_HEADER]
    for row in rows:
        parts.append(head)
        parts += row
    parts.append(wire.COPY_TRAILER)
    driver: Any = conn.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(_COPY_STATEMENT[table]) as copy:
        copy.write(b"".join(parts))


def _account(account: Account, now: datetime) -> list[bytes]:
    figures = (
        account.seq,
        account.balance,
        account.available,
        account.pending,
        account.held,
        account.deficit,
    )
    instants = (account.as_of, account.next_change_at, account.last_activity_at, account.inactive_at, now)
    return [
        wire.text(account.customer_id),
        *map(wire.bigint, figures),
        wire.bytea(account.digest),
        *map(wire.instant_or_null, instants),
        wire.two_bigints(account.purchases, account.spent_minor),
        wire.instant_or_null(account.last_purchase_at),
        wire.instant_or_null(account.joined_at),
        *_standing(account),
    ]


_NO_STANDING = (wire.NULL, wire.NULL, wire.NULL, wire.NULL)


def _standing(account: Account) -> tuple[bytes, ...]:
    standing = account.standing
    member_since = wire.instant_or_null(account.member_since)
    if standing is None:
        return (*_NO_STANDING, member_since)
    return (
        wire.text_or_null(standing.tier),
        wire.text(standing.stored()),
        wire.instant_or_null(standing.wake_at),
        wire.integer(standing.version),
        member_since,
    )


def _standing_array(accounts: list[Account]) -> dict[str, Any]:
    standings = [account.standing for account in accounts]
    return {"standing": TextArray([None if each is None else each.stored() for each in standings])}


def _update_places(conn: Connection, accounts: list[Account]) -> None:
    if accounts:
        conn.execute(_UPDATE_PLACES, _place_arrays(accounts))


def _place_arrays(accounts: list[Account]) -> dict[str, Any]:
    standings = [account.standing for account in accounts]
    return {
        "customers": TextArray([account.customer_id for account in accounts]),
        "tier": TextArray([None if each is None else each.tier for each in standings]),
        "standing_due_at": InstantArray([None if each is None else each.wake_at for each in standings]),
        "ladder_version": BigintArray([None if each is None else each.version for each in standings]),
    }


def _account_arrays(accounts: list[Account]) -> dict[str, Any]:
    return {
        "customers": TextArray([a.customer_id for a in accounts]),
        "seq": BigintArray([a.seq for a in accounts]),
        "balance": BigintArray([a.balance for a in accounts]),
        "available": BigintArray([a.available for a in accounts]),
        "pending": BigintArray([a.pending for a in accounts]),
        "held": BigintArray([a.held for a in accounts]),
        "deficit": BigintArray([a.deficit for a in accounts]),
        "digest": ByteaArray([a.digest for a in accounts]),
        "as_of": InstantArray([a.as_of for a in accounts]),
        "next_change_at": InstantArray([a.next_change_at for a in accounts]),
        "last_activity_at": InstantArray([a.last_activity_at for a in accounts]),
        "inactive_at": InstantArray([a.inactive_at for a in accounts]),
        "purchases": BigintArray([a.purchases for a in accounts]),
        "spent_minor": BigintArray([a.spent_minor for a in accounts]),
        "last_purchase_at": InstantArray([a.last_purchase_at for a in accounts]),
        "joined_at": InstantArray([a.joined_at for a in accounts]),
    }


def _claim(claim: Claim, now: datetime) -> list[bytes]:
    return [
        wire.text(claim.customer_id),
        wire.text(claim.idempotency_key),
        wire.word(claim.kind),
        wire.bytea(claim.input_hash),
        wire.smallint(claim.status),
        wire.text(claim.answer),
        wire.instant(now),
    ]


def _entry(owner: bytes, entry: Entry) -> list[bytes]:
    return [
        owner,
        wire.bigint(entry.seq),
        wire.word(entry.kind),
        wire.two_bigints(entry.points, entry.balance_after),
        wire.instant(entry.occurred_at),
        wire.instant(entry.recorded_at),
        wire.text(entry.cause),
        wire.integer(entry.program_version),
        wire.word(entry.actor),
        wire.text_or_null(entry.note),
        wire.text_or_null(entry.idempotency_key),
        wire.bytea(entry.digest),
    ]


def _activities(batch: Batch, owners: dict[str, bytes]) -> list[list[bytes]]:
    rows = []
    for owner, decision in batch.decisions:
        if decision.new_activity is None:
            continue
        activity, body_json = decision.new_activity
        rows.append(
            [
                owners[owner],
                wire.text(activity.activity_key),
                wire.two_bigints(activity.award_seq, activity.points),
                wire.integer(activity.program_version),
                wire.instant(activity.occurred_at),
                wire.text(body_json),
                wire.bytea(to_json([each.stored() for each in activity.grants])),
                wire.bytea(to_json(activity.counted)) if activity.counted else wire.NULL,
                wire.two_bigints(activity.qualifying_points, activity.spend_minor),
                wire.text_or_null(activity.tier),
                wire.TRUE if activity.held_out else wire.FALSE,
            ]
        )
    return rows


def _lot(owner: bytes, lot: Lot) -> list[bytes]:
    return [
        owner,
        wire.four_bigints(lot.lot_seq, lot.points, lot.remaining, lot.expired),
        wire.instant(lot.available_at),
        wire.instant_or_null(lot.expires_at),
        wire.TRUE if lot.expires_on_inactivity else wire.FALSE,
        wire.bigint(lot.written_off),
    ]


def _consumptions(batch: Batch) -> list[list[bytes]]:
    return [
        [wire.text(owner), wire.four_bigints(*row)]
        for owner, decision in batch.decisions
        for row in decision.consumptions
    ]


def _redemption(owner: str, r: Redemption) -> list[bytes]:
    return [
        wire.text(owner),
        wire.bigint(r.redemption_seq),
        wire.word(r.status),
        wire.bigint(r.points),
        wire.bigint(r.captured),
        wire.bigint(r.reinstated),
        wire.NULL if r.redeem_seq is None else wire.bigint(r.redeem_seq),
        wire.bigint(r.value_minor),
        wire.word(r.currency),
        wire.text_or_null(r.order_id),
        wire.integer(r.program_version),
        wire.instant_or_null(r.hold_expires_at),
        wire.instant(r.occurred_at),
        wire.instant_or_null(r.resolved_at),
        wire.text_or_null(r.tier),
    ]


def _reversals(batch: Batch, now: datetime) -> list[list[bytes]]:
    return [
        [
            wire.text(owner),
            wire.text(r.order_id),
            wire.text(r.refund_id),
            wire.bigint(r.reversal_seq),
            wire.bigint(r.amount_minor),
            wire.jsonb(to_json(r.lines)),
            wire.jsonb(to_json(r.by_grant)),
            wire.TRUE if r.is_full else wire.FALSE,
            wire.bigint(r.clawed_back),
            wire.bigint(r.written_off),
            wire.bigint(r.reinstated),
            wire.instant(r.occurred_at),
            wire.instant(now),
            wire.bigint(r.qualifying_points),
        ]
        for owner, decision in batch.decisions
        for r in decision.new_reversals
    ]


def _count_arrays(counts: dict[tuple[str, str, str], Count]) -> dict[str, Any]:
    return {
        "customers": TextArray([owner for owner, _, _ in counts]),
        "names": TextArray([name for _, name, _ in counts]),
        "periods": TextArray([period for _, _, period in counts]),
        "points": BigintArray([count.points for count in counts.values()]),
        "times": BigintArray([count.times for count in counts.values()]),
    }


def _budget_arrays(budgets: dict[str, Count]) -> dict[str, Any]:
    return {
        "rules": TextArray(budgets),
        "points": BigintArray([count.points for count in budgets.values()]),
        "times": BigintArray([count.times for count in budgets.values()]),
    }


def _lot_arrays(lots: dict[tuple[str, int], Lot]) -> dict[str, Any]:
    return {
        "customers": TextArray([owner for owner, _ in lots]),
        "lot_seq": BigintArray([lot_seq for _, lot_seq in lots]),
        "remaining": BigintArray([lot.remaining for lot in lots.values()]),
        "expired": BigintArray([lot.expired for lot in lots.values()]),
        "written_off": BigintArray([lot.written_off for lot in lots.values()]),
    }


def _redemption_arrays(redemptions: dict[tuple[str, int], Redemption]) -> dict[str, Any]:
    each = list(redemptions.values())
    return {
        "customers": TextArray([owner for owner, _ in redemptions]),
        "redemption_seq": BigintArray([seq for _, seq in redemptions]),
        "status": TextArray([r.status for r in each]),
        "captured": BigintArray([r.captured for r in each]),
        "reinstated": BigintArray([r.reinstated for r in each]),
        "redeem_seq": BigintArray([r.redeem_seq for r in each]),
        "value_minor": BigintArray([r.value_minor for r in each]),
        "resolved_at": InstantArray([r.resolved_at for r in each]),
    }
