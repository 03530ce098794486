"""Every kind of tampering that stored data can show is found and named with its customer and number."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, text

from rewards.core.database import Database
from rewards.decide import Submission
from rewards.decide.commands import Award, Redeem, Reverse
from rewards.engine import Engine
from rewards.ledger.verification import Report, verify

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def _buy(customer_id: str, order: str, minor: int) -> Award:
    activity = {"type": "purchase", "order_id": order, "total_minor": minor, "currency": "USD"}
    return Award.model_validate({"customer_id": customer_id, "activity": activity})


@pytest.fixture
def ledger(database: Database) -> Database:
    """Two customers: ``a`` with five entries, ``b`` with one."""
    commands = [
        _buy("a", "1", 5000),
        _buy("a", "2", 3000),
        Redeem(customer_id="a", points=60),
        Redeem(customer_id="a", points=5, hold=True),
        Reverse(customer_id="a", order_id="1", refund_id="r", amount_minor=1000),
        _buy("b", "3", 2000),
    ]
    submissions = [Submission(command, f"k{number}", "test") for number, command in enumerate(commands)]
    answers = Engine(database).execute(submissions, NOW)
    assert [answer.status for answer in answers] == [201] * 6
    return database


def _verified(database: Database) -> Report:
    with database.engine.connect() as conn:
        return verify(conn)


def test_an_untouched_ledger_holds(ledger: Database) -> None:
    told: list[tuple[int, int]] = []
    with ledger.engine.connect() as conn:
        report = verify(conn, progress=lambda done, total: told.append((done, total)))
    assert report.as_json() == {"ok": True, "customers": 2, "entries": 6, "breaks": []}
    assert told[-1] == (2, 2)


@pytest.mark.parametrize(
    ("change", "invariant", "seq"),
    [
        ("UPDATE entries SET note = 'x' WHERE customer_id = 'a' AND seq = 2", "digest-chain", 2),
        ("UPDATE entries SET points = 31 WHERE customer_id = 'a' AND seq = 2", "digest-chain", 2),
        (
            "UPDATE entries SET occurred_at = '2020-01-01' WHERE customer_id = 'a' AND seq = 1",
            "digest-chain",
            1,
        ),
        ("UPDATE entries SET balance_after = 1 WHERE customer_id = 'a' AND seq = 5", "balance-after", 5),
        ("DELETE FROM entries WHERE customer_id = 'a' AND seq = 3", "entry-sequence", 3),
        ("DELETE FROM entries WHERE customer_id = 'a' AND seq = 5", "entry-sequence", 5),
        (
            "UPDATE lots SET remaining = remaining + 1 WHERE customer_id = 'a' AND lot_seq = 2",
            "lot-remaining",
            2,
        ),
        ("UPDATE lots SET expired = 1 WHERE customer_id = 'a' AND lot_seq = 1", "lot-expired", 1),
        ("UPDATE lots SET points = points + 1 WHERE customer_id = 'a' AND lot_seq = 1", "entry-postings", 1),
        ("DELETE FROM consumptions WHERE customer_id = 'a' AND entry_seq = 3", "entry-postings", 3),
        (
            "UPDATE accounts SET available = available + 5, balance = balance + 5 WHERE customer_id = 'a'",
            "account-balances",
            5,
        ),
        ("UPDATE accounts SET held = 0 WHERE customer_id = 'a'", "account-balances", 5),
        (
            "UPDATE accounts SET digest = decode(repeat('ab', 32), 'hex') WHERE customer_id = 'a'",
            "account-head",
            5,
        ),
        ("UPDATE accounts SET next_change_at = NULL WHERE customer_id = 'a'", "account-next-change", 5),
        (
            "UPDATE redemptions SET status = 'voided' WHERE customer_id = 'a' AND redemption_seq = 4",
            "hold-resolved-once",
            4,
        ),
        (
            "UPDATE redemptions SET captured = 59 WHERE customer_id = 'a' AND redemption_seq = 3",
            "redemption",
            3,
        ),
        ("UPDATE reversals SET clawed_back = 9 WHERE customer_id = 'a'", "reversal", 5),
        ("UPDATE reversals SET is_full = true WHERE customer_id = 'a'", "reversal", 1),
        ("UPDATE activities SET points = 51 WHERE customer_id = 'a' AND award_seq = 1", "activity", 1),
        ("DELETE FROM commands WHERE customer_id = 'a' AND idempotency_key = 'k2'", "command", 3),
        ("DELETE FROM accounts WHERE customer_id = 'a'", "account", None),
        ("UPDATE lots SET expires_at = '2076-01-01' WHERE customer_id = 'a' AND lot_seq = 2", "lot-life", 2),
        (
            "UPDATE lots SET available_at = '2020-01-01' WHERE customer_id = 'a' AND lot_seq = 1",
            "lot-life",
            1,
        ),
        ("UPDATE lots SET written_off = 9 WHERE customer_id = 'a' AND lot_seq = 1", "lot-written-off", 1),
        ("DELETE FROM redemptions WHERE customer_id = 'a' AND redemption_seq = 3", "redemption", 3),
        ("DELETE FROM activities WHERE customer_id = 'a' AND award_seq = 2", "activity", 2),
        ("UPDATE activities SET grants = '[]' WHERE customer_id = 'a' AND award_seq = 2", "activity", 2),
        (
            "UPDATE activities SET program_version = 2 WHERE customer_id = 'a' AND award_seq = 2",
            "activity",
            2,
        ),
        ("DELETE FROM reversals WHERE customer_id = 'a'", "reversal", 5),
        ("UPDATE reversals SET refund_id = 'other' WHERE customer_id = 'a'", "reversal", 5),
        ("UPDATE accounts SET purchases = purchases + 1 WHERE customer_id = 'a'", "account-facts", 5),
        ("UPDATE accounts SET spent_minor = spent_minor - 1 WHERE customer_id = 'a'", "account-facts", 5),
        ("UPDATE accounts SET last_purchase_at = '2020-01-01' WHERE customer_id = 'a'", "account-facts", 5),
        ("UPDATE accounts SET joined_at = NULL WHERE customer_id = 'a'", "account-facts", 5),
        ("INSERT INTO counts VALUES ('a', 'rule:base', 'life', 5, 1)", "counts", None),
    ],
)
def test_tampering_is_named(
    ledger: Database,
    tampering: Callable[[Connection], AbstractContextManager[None]],
    change: str,
    invariant: str,
    seq: int | None,
) -> None:
    with ledger.engine.begin() as conn, tampering(conn):
        assert conn.execute(text(change)).rowcount > 0
    report = _verified(ledger)
    assert not report.ok
    assert (invariant, "a", seq) in [(each.invariant, each.customer_id, each.seq) for each in report.breaks]
    assert {each.customer_id for each in report.breaks} == {"a"}
