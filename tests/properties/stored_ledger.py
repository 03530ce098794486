"""The real engine on a real database as the place where the machine's commands go."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from invariants import broken
from laws import check_laws
from memory_ledger import Ledger
from pydantic_core import from_json, to_json
from sqlalchemy import Connection, text

from rewards.core.database import connect_database
from rewards.core.errors import Refusal
from rewards.core.settings import Settings
from rewards.decide import Submission
from rewards.decide.commands import Award
from rewards.engine import Answer, Engine
from rewards.ledger.balances import Balance
from rewards.ledger.state import (
    Account,
    Count,
    Entry,
    Grant,
    Lot,
    RecordedActivity,
    Redemption,
    Remembered,
    Reversal,
)
from rewards.ledger.statements import read_balance
from rewards.ledger.verification import verify
from rewards.program.document import ProgramDocument
from rewards.program.versions import publish


class Server(Protocol):
    """What is needed of the session's server (see conftest.py)."""

    def create(self, name: str, template: str | None = None) -> None: ...

    def drop(self, name: str) -> None: ...

    def settings(self, name: str) -> Settings: ...


class OnDatabase:
    """An engine on a fresh database, which is dropped in the end."""

    def __init__(self, server: Server, template: str) -> None:
        self._server = server
        self._name = f"{template}_{uuid.uuid4().hex[:12]}"
        server.create(self._name, template)
        self.database = connect_database(server.settings(self._name), application_name="test", pool_size=2)
        self.engine = Engine(self.database)

    def execute(self, submissions: Sequence[Submission], now: datetime) -> list[Answer]:
        quoted = self._quoted(submissions[0], now)
        answers = self.engine.execute(submissions, now)
        told = from_json(answers[0].body)
        if quoted is not None and not answers[0].replayed and told.get("code") != "idempotency-key-reused":
            told.pop("award_id", None)
            assert told == quoted
        return answers

    def _quoted(self, submission: Submission, now: datetime) -> Any:
        """What an award would be, or why it would be refused; None for anything else."""
        if not isinstance(submission.command, Award):
            return None
        try:
            return from_json(to_json(self.engine.quote(submission.command, now)["award"]))
        except Refusal as refusal:
            return refusal.problem()

    def publish(self, document: dict[str, Any], effective_from: datetime, now: datetime) -> None:
        parsed = ProgramDocument.model_validate(document)
        with self.database.engine.begin() as conn:
            publish(conn, parsed, effective_from=effective_from, now=now, actor="test")

    def account(self, customer_id: str) -> Account | None:
        with self.database.engine.connect() as conn:
            rows = conn.execute(text(f"{_ACCOUNTS} WHERE customer_id = :customer"), {"customer": customer_id})
            return next((Account(*row) for row in rows), None)

    def lots(self, customer_id: str) -> list[Lot]:
        with self.database.engine.connect() as conn:
            query = text(f"SELECT {_LOTS} FROM lots WHERE customer_id = :customer ORDER BY lot_seq")
            return [Lot(*row) for row in conn.execute(query, {"customer": customer_id})]

    def balance(self, customer_id: str, at: datetime, now: datetime) -> Balance:
        with self.database.engine.connect() as conn:
            found = read_balance(conn, customer_id, None if at == now else at, now)
        assert found is not None
        return found[0]

    def check(self, replayed: Ledger) -> None:
        with self.database.engine.connect() as conn:
            assert broken(conn) == []
            stored = read_ledger(conn)
        with self.database.engine.connect() as conn:
            assert verify(conn).breaks == []
        check_laws(stored)
        assert stored.rows() == replayed.rows()

    def close(self) -> None:
        self.database.dispose()
        self._server.drop(self._name)


_ACCOUNTS = """
SELECT customer_id, seq, balance, available, pending, held, deficit, digest, as_of, next_change_at,
       last_activity_at, inactive_at, purchases, spent_minor, last_purchase_at, joined_at, tags
FROM accounts"""
_LOTS = "lot_seq, points, remaining, expired, available_at, expires_at, expires_on_inactivity, written_off"
_REDEMPTIONS = """redemption_seq, status, points, captured, reinstated, redeem_seq, value_minor, currency, order_id,
program_version, hold_expires_at, occurred_at, resolved_at, tier"""
_ENTRIES = """customer_id, seq, kind, points, balance_after, occurred_at, recorded_at, cause, program_version, actor, note,
idempotency_key, digest"""
_ACTIVITIES = "activity_key, award_seq, points, program_version, occurred_at, body, grants, counted, qualifying_points, spend_minor, tier"
_REVERSALS = """order_id, refund_id, reversal_seq, amount_minor, lines, by_grant, is_full, clawed_back, written_off,
reinstated, occurred_at, qualifying_points"""


def read_ledger(conn: Connection) -> Ledger:
    """Read all that is stored into memory."""
    ledger = Ledger()

    def rows(columns: str, table: str) -> Any:
        return conn.execute(text(f"SELECT {columns} FROM {table} ORDER BY 1, 2"))

    for row in rows(_ENTRIES, "entries"):
        ledger.entries[row[0]].append(Entry(*row))
    for row in conn.execute(text(_ACCOUNTS)):
        ledger.accounts[row[0]] = Account(*row[:-1], tuple(row[-1]))
    for row in rows("customer_id, idempotency_key, input_hash, status, answer", "commands"):
        ledger.commands[row[0], row[1]] = Remembered(*row[2:])
    for customer_id, *lot in rows(f"customer_id, {_LOTS}", "lots"):
        ledger.lots[customer_id][lot[0]] = Lot(*lot)
    for row in rows("customer_id, entry_seq, lot_seq, debit_seq, points", "consumptions"):
        ledger.consumptions[row[0]][row[1], row[2], row[3]] = row[4]
    for customer_id, *redemption in rows(f"customer_id, {_REDEMPTIONS}", "redemptions"):
        ledger.redemptions[customer_id][redemption[0]] = Redemption(*redemption)
    for customer_id, *activity, grants, counted, points, spend_minor, tier in rows(
        f"customer_id, {_ACTIVITIES}", "activities"
    ):
        keys = [tuple(key) for key in counted or ()]
        given = [Grant(**grant) for grant in grants]
        recorded = RecordedActivity(*activity, given, keys, points, spend_minor, tier)
        ledger.activities[customer_id][recorded.activity_key] = recorded
    for customer_id, *reversal in rows(f"customer_id, {_REVERSALS}", "reversals"):
        ledger.reversals[customer_id][reversal[0], reversal[1]] = Reversal(*reversal)
    for customer_id, name, period, points, times in rows(
        "customer_id, name, period, points, times", "counts"
    ):
        ledger.counts[customer_id][name, period] = Count(points, times)
    for rule_id, points, times in rows("rule_id, points, times", "budgets"):
        ledger.budgets[rule_id] = Count(points, times)
    return ledger
