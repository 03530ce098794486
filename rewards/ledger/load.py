"""Load: bring the state of every customer that a batch touches, in a number of statements that no batch changes.

:func:`lock_accounts` is the one place that takes row locks: in the order of the customers' ids, so that two
batches never wait for each other in a circle.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, TextClause, text

from rewards.core.wire import BigintArray, TextArray
from rewards.ledger.needs import Needs
from rewards.ledger.referrals import load_referrals
from rewards.ledger.standing_state import read_standing
from rewards.ledger.standings import load_qualifying
from rewards.ledger.state import (
    Account,
    Count,
    CustomerState,
    Grant,
    Lot,
    RecordedActivity,
    Redemption,
    Remembered,
    Reversal,
)

_ACCOUNTS = """
SELECT customer_id, seq, balance, available, pending, held, deficit, digest, as_of, next_change_at,
       last_activity_at, inactive_at, purchases, spent_minor, last_purchase_at, joined_at, nullif(tags, '{}'),
       referred, member_since, CAST(standing AS text) AS standing, arms
FROM accounts WHERE customer_id = ANY(:customers) ORDER BY customer_id"""
_READ_ACCOUNTS = text(_ACCOUNTS)
_LOCK_ACCOUNTS = text(_ACCOUNTS + " FOR NO KEY UPDATE")

# What an award needs to know before it is decided: was its key claimed, was its activity recorded. Most often neither.
_CLAIMED = text("""
SELECT k.customer_id, k.idempotency_key, c.input_hash, c.status, c.answer, a.activity_key
FROM unnest(:customers, :keys, :activities) AS k (customer_id, idempotency_key, activity_key)
LEFT JOIN commands AS c ON c.customer_id = k.customer_id AND c.idempotency_key = k.idempotency_key
LEFT JOIN activities AS a ON a.customer_id = k.customer_id AND a.activity_key = k.activity_key
WHERE c.customer_id IS NOT NULL OR a.customer_id IS NOT NULL""")

_ACTIVITIES = text("""
SELECT a.customer_id, a.activity_key, a.award_seq, a.points, a.program_version, a.occurred_at, a.body, a.grants,
       a.counted, a.qualifying_points, a.spend_minor, a.tier, a.held_out
FROM unnest(:customers, :names) AS k (customer_id, name)
JOIN activities AS a ON a.customer_id = k.customer_id AND a.activity_key = k.name
UNION ALL
SELECT a.customer_id, a.activity_key, a.award_seq, a.points, a.program_version, a.occurred_at, a.body, a.grants,
       a.counted, a.qualifying_points, a.spend_minor, a.tier, a.held_out
FROM activities AS a
WHERE a.customer_id = ANY(:all_orders) AND a.activity_key >= 'purchase:' AND a.activity_key < 'purchase;'
""")

_REVERSALS = text("""
SELECT r.customer_id, r.order_id, r.refund_id, r.reversal_seq, r.amount_minor, r.lines, r.by_grant, r.is_full,
       r.clawed_back, r.written_off, r.reinstated, r.occurred_at, r.qualifying_points
FROM unnest(:customers, :names) AS k (customer_id, name)
JOIN reversals AS r ON r.customer_id = k.customer_id AND r.order_id = k.name
UNION ALL
SELECT r.customer_id, r.order_id, r.refund_id, r.reversal_seq, r.amount_minor, r.lines, r.by_grant, r.is_full,
       r.clawed_back, r.written_off, r.reinstated, r.occurred_at, r.qualifying_points
FROM reversals AS r WHERE r.customer_id = ANY(:all_orders)
ORDER BY 1, 4""")

_REDEMPTION_COLUMNS = """r.customer_id, r.redemption_seq, r.status, r.points, r.captured, r.reinstated, r.redeem_seq,
       r.value_minor, r.currency, r.order_id, r.program_version, r.hold_expires_at, r.occurred_at, r.resolved_at,
       r.tier"""
# UNION rather than OR, so that each arm walks its own index.
_REDEMPTIONS = text(f"""
SELECT {_REDEMPTION_COLUMNS} FROM redemptions AS r
WHERE r.customer_id = ANY(:with_lots) AND r.status = 'held'
UNION
SELECT {_REDEMPTION_COLUMNS}
FROM unnest(:customers, :numbers) AS k (customer_id, number)
JOIN redemptions AS r ON r.customer_id = k.customer_id AND r.redemption_seq = k.number
UNION
SELECT {_REDEMPTION_COLUMNS}
FROM unnest(:order_customers, :orders) AS k (customer_id, name)
JOIN redemptions AS r ON r.customer_id = k.customer_id AND r.order_id = k.name
UNION
SELECT {_REDEMPTION_COLUMNS} FROM redemptions AS r
WHERE r.customer_id = ANY(:all_orders) AND r.order_id IS NOT NULL
""")  # noqa: S608 - the only thing put in is the constant above

_CONSUMED = text("""
SELECT c.customer_id, c.debit_seq, c.lot_seq, CAST(sum(c.points) AS bigint)
FROM unnest(:customers, :debits) AS k (customer_id, debit)
JOIN consumptions AS c ON c.customer_id = k.customer_id AND c.debit_seq = k.debit
WHERE c.lot_seq > 0
GROUP BY c.customer_id, c.debit_seq, c.lot_seq""")

_LOT_COLUMNS = """l.customer_id, l.lot_seq, l.points, l.remaining, l.expired, l.available_at, l.expires_at,
       l.expires_on_inactivity, l.written_off"""
_LOTS = text(f"""
SELECT {_LOT_COLUMNS} FROM lots AS l
WHERE l.customer_id = ANY(:with_lots) AND l.remaining > 0
UNION
SELECT {_LOT_COLUMNS}
FROM unnest(:customers, :numbers) AS k (customer_id, number)
JOIN lots AS l ON l.customer_id = k.customer_id AND l.lot_seq = k.number
ORDER BY 1, 2""")  # noqa: S608 - the only thing put in is the constant above


_COUNTS = text("""
SELECT c.customer_id, c.name, c.period, c.points, c.times
FROM unnest(:customers, :names, :periods) AS k (customer_id, name, period)
JOIN counts AS c ON c.customer_id = k.customer_id AND c.name = k.name AND c.period = k.period""")

# A budget's row is there before it is locked: a lock on nothing would let two batches spend the same points.
_MAKE_BUDGETS = text("""
INSERT INTO budgets (rule_id) SELECT rule_id FROM unnest(:rules) AS k (rule_id) ORDER BY rule_id
ON CONFLICT DO NOTHING""")
_BUDGETS = "SELECT rule_id, points, times FROM budgets WHERE rule_id = ANY(:rules) ORDER BY rule_id"
_READ_BUDGETS, _LOCK_BUDGETS = text(_BUDGETS), text(_BUDGETS + " FOR NO KEY UPDATE")


def load(conn: Connection, needs: Needs, now: datetime, *, lock: bool) -> dict[str, CustomerState]:
    """Return the state of each customer in ``needs``; one who is not there yet gets a new account's.

    Lots and holds are brought along for every customer to whom time has something due at ``now``, whatever the
    commands.
    """
    states = {
        customer_id: CustomerState(Account(customer_id), exists=False) for customer_id in needs.customers
    }
    with_lots = set(needs.with_lots)
    for row in (
        lock_accounts(conn, needs.customers) if lock else _accounts(conn, _READ_ACCOUNTS, needs.customers)
    ):
        account = Account(*row)
        # Reading an array takes the driver longer than the rest of the row, and few customers have tags.
        account.tags = account.tags or ()
        if row.standing is not None:
            account.standing = read_standing(row.standing)
        states[account.customer_id] = CustomerState(account)
        if _is_stale(account, now):
            with_lots.add(account.customer_id)
    if needs.can_advance is not None:
        load_qualifying(conn, needs, states)
    if needs.claims:
        _load_claims(conn, needs, states)
    if needs.activities or needs.all_orders:
        _load_orders(conn, needs, states)
    if with_lots:
        _load_lots(conn, needs, with_lots, states)
    if needs.counts:
        _load_counts(conn, needs, states)
    if needs.budgets:
        _load_budgets(conn, needs, states, lock=lock)
    if needs.referrals or needs.codes or needs.retractions:
        load_referrals(conn, needs, states)
    return states


def _load_counts(conn: Connection, needs: Needs, states: dict[str, CustomerState]) -> None:
    counts = list(needs.counts)
    parameters = {
        "customers": TextArray([each[0] for each in counts]),
        "names": TextArray([each[1] for each in counts]),
        "periods": TextArray([each[2] for each in counts]),
    }
    for customer_id, name, period, points, times in conn.execute(_COUNTS, parameters):
        states[customer_id].counts[name, period] = Count(points, times)


def _load_budgets(conn: Connection, needs: Needs, states: dict[str, CustomerState], *, lock: bool) -> None:
    """Bring the budgets that the batch may spend from, as one dictionary that all its states share."""
    rules = {"rules": TextArray(sorted(needs.budgets))}
    if lock:
        conn.execute(_MAKE_BUDGETS, rules)
    rows = conn.execute(_LOCK_BUDGETS if lock else _READ_BUDGETS, rules)
    budgets = {rule_id: Count(points, times) for rule_id, points, times in rows}
    for state in states.values():
        state.budgets = budgets


def _is_stale(account: Account, now: datetime) -> bool:
    """Tell whether the account's own figures may not be true at ``now``: then they are made from the lots."""
    if account.as_of is not None and account.as_of > now:
        return True
    return account.next_change_at is not None and account.next_change_at <= now


def lock_accounts(conn: Connection, customers: Iterable[str]) -> Sequence[Row[Any]]:
    """Lock the accounts of ``customers`` in id order and return their rows; the only place that locks rows."""
    return _accounts(conn, _LOCK_ACCOUNTS, customers)


def _accounts(conn: Connection, statement: TextClause, customers: Iterable[str]) -> Sequence[Row[Any]]:
    return conn.execute(statement, {"customers": TextArray(sorted(customers))}).all()


def _load_claims(conn: Connection, needs: Needs, states: dict[str, CustomerState]) -> None:
    claims = needs.claims
    parameters = {
        "customers": TextArray([claim[0] for claim in claims]),
        "keys": TextArray([claim[1] for claim in claims]),
        "activities": TextArray([claim[2] for claim in claims]),
    }
    for row in conn.execute(_CLAIMED, parameters):
        state = states[row.customer_id]
        if row.status is not None:
            state.remembered[row.idempotency_key] = Remembered(row.input_hash, row.status, row.answer)
        if row.activity_key is not None:
            state.activities.setdefault(row.activity_key, None)


def _pairs(pairs: Collection[tuple[str, str]]) -> dict[str, TextArray]:
    return {
        "customers": TextArray([pair[0] for pair in pairs]),
        "names": TextArray([pair[1] for pair in pairs]),
    }


def _load_orders(conn: Connection, needs: Needs, states: dict[str, CustomerState]) -> None:
    all_orders = {"all_orders": TextArray(needs.all_orders)}
    for row in conn.execute(_ACTIVITIES, _pairs(needs.activities) | all_orders):
        states[row.customer_id].activities[row.activity_key] = RecordedActivity(
            row.activity_key,
            row.award_seq,
            row.points,
            row.program_version,
            row.occurred_at,
            row.body,
            [Grant(**grant) for grant in row.grants],
            [(name, period) for name, period in row.counted or ()],
            row.qualifying_points,
            row.spend_minor,
            row.tier,
            row.held_out,
        )
    if needs.orders or needs.all_orders:
        for customer_id, *columns in conn.execute(_REVERSALS, _pairs(needs.orders) | all_orders):
            reversal = Reversal(*columns)
            known = states[customer_id].reversals
            # An order that is asked for by name and by "all of them" comes twice.
            if not any(each.reversal_seq == reversal.reversal_seq for each in known):
                known.append(reversal)


def _load_lots(conn: Connection, needs: Needs, with_lots: set[str], states: dict[str, CustomerState]) -> None:
    """Load redemptions, then what their debits used up, then the lots that are open or may be refilled."""
    debits: set[tuple[str, int]] = set()
    numbers: set[tuple[str, int]] = set()
    parameters = {
        "with_lots": TextArray(with_lots),
        "customers": TextArray([pair[0] for pair in needs.redemptions]),
        "numbers": BigintArray(pair[1] for pair in needs.redemptions),
        "order_customers": TextArray([pair[0] for pair in needs.orders]),
        "orders": TextArray([pair[1] for pair in needs.orders]),
        "all_orders": TextArray(needs.all_orders),
    }
    for customer_id, *columns in conn.execute(_REDEMPTIONS, parameters):
        redemption = Redemption(*columns)
        states[customer_id].redemptions[redemption.redemption_seq] = redemption
        debits.add((customer_id, redemption.debit_seq))
    if debits:
        parameters = {
            "customers": TextArray([pair[0] for pair in debits]),
            "debits": BigintArray(pair[1] for pair in debits),
        }
        for customer_id, debit_seq, lot_seq, points in conn.execute(_CONSUMED, parameters):
            states[customer_id].consumed.setdefault(debit_seq, {})[lot_seq] = points
            numbers.add((customer_id, lot_seq))
    for customer_id in with_lots:
        state = states[customer_id]
        state.lots = {}
        numbers.update(
            (customer_id, lot_seq)
            for each in state.activities.values()
            if each is not None
            for lot_seq in each.lot_seqs()
        )
    parameters = {
        "with_lots": TextArray(with_lots),
        "customers": TextArray([pair[0] for pair in numbers]),
        "numbers": BigintArray(pair[1] for pair in numbers),
    }
    for customer_id, *columns in conn.execute(_LOTS, parameters):
        lot = Lot(*columns)
        lots = states[customer_id].lots
        assert lots is not None
        lots[lot.lot_seq] = lot
