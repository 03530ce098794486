"""The oracle itself: it is content with a ledger that the engine wrote, and notices when someone else wrote in it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from invariants import broken
from sqlalchemy import text

from rewards.core.database import Database
from rewards.decide import Submission
from rewards.decide.commands import Adjust, Award, Command, Redeem, Reverse, ReverseRedemption
from rewards.engine import Answer, Engine

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)

TAMPERED = [
    "UPDATE entries SET points = points + 1 WHERE seq = 1",
    "UPDATE entries SET note = 'nothing happened' WHERE kind = 'adjust'",
    "DELETE FROM entries WHERE seq = 2",
    "DELETE FROM entries WHERE seq = (SELECT max(seq) FROM entries)",
    "UPDATE lots SET remaining = remaining + 1 WHERE lot_seq = 1",
    "UPDATE lots SET expired = expired + 1 WHERE lot_seq = 1",
    "UPDATE accounts SET available = available + 5, balance = balance + 5",
    "UPDATE accounts SET held = held + 1",
    "UPDATE accounts SET next_change_at = NULL",
    "UPDATE consumptions SET points = points - 1 WHERE points > 1",
    "DELETE FROM consumptions WHERE points < 0",
    "UPDATE redemptions SET captured = captured - 1 WHERE status = 'captured'",
    "UPDATE redemptions SET status = 'voided' WHERE status = 'held'",
    "UPDATE reversals SET clawed_back = clawed_back + 1",
    "UPDATE activities SET points = points + 1",
    "DELETE FROM commands WHERE status < 300",
]


@pytest.fixture
def shop(database: Database) -> Database:
    """A customer who did a bit of everything."""
    engine = Engine(database)

    def send(command: Command, days: int) -> Answer:
        key = f"k{days}"
        return engine.execute([Submission(command, key, "test")], NOW + timedelta(days=days))[0]

    def redeem(days: int, **more: Any) -> str:
        answer = send(Redeem(customer_id="c", points=30, **more), days)
        return answer.body.split('"redemption_id":"')[1].split('"')[0]

    activity = {"type": "purchase", "order_id": "1", "total_minor": 9_900, "currency": "USD"}
    send(Award.model_validate({"customer_id": "c", "activity": activity}), 0)
    send(ReverseRedemption(redemption_id=redeem(1)), 2)
    redeem(3)
    redeem(4, hold=True, hold_expires_in="P30D")
    send(Reverse(customer_id="c", order_id="1", refund_id="r", amount_minor=5_000), 5)
    send(Adjust(customer_id="c", points=40, reason="sorry"), 6)
    return database


def test_an_honest_ledger(shop: Database) -> None:
    with shop.engine.connect() as conn:
        assert broken(conn) == []


def test_tampered_ones(shop: Database, tampering: Any) -> None:
    unnoticed = []
    for statement in TAMPERED:
        with shop.engine.connect() as conn, tampering(conn):
            assert conn.execute(text(statement)).rowcount > 0, statement
            if not broken(conn):
                unnoticed.append(statement)
            conn.rollback()
    assert unnoticed == []
