"""The ledger in a few dicts: feeds ``decide`` as ``rewards.ledger.load`` does, and keeps what it decides.

Only what the engine would load is handed to a decision, so one that reads more than its needs say fails here
as it would there. What the database refuses by keys and checks is refused here too.
"""

from collections import defaultdict
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json, to_json

from rewards.core.errors import IdempotencyKeyReused, Refusal
from rewards.decide import Submission, decide
from rewards.decide.commands import Adjust, Award, Redeem, Reverse
from rewards.decide.needs import creates_customer, customer_of, needs_of, unknown_customer
from rewards.engine import Answer
from rewards.ledger.needs import Needs
from rewards.ledger.state import (
    Account,
    Consumption,
    Count,
    CountKey,
    CustomerState,
    Decision,
    Entry,
    Lot,
    RecordedActivity,
    Redemption,
    Remembered,
    Reversal,
    add_count,
)
from rewards.program.document import ProgramDocument
from rewards.program.history import ProgramHistory, ProgramVersion
from rewards.program.versions import starter_program

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Ledger:
    """All rows, by customer."""

    def __init__(self) -> None:
        # As in a new database, the starter program is version 1.
        starter = starter_program("USD", "UTC")
        self.programs = ProgramHistory([ProgramVersion(1, starter, EPOCH, EPOCH, "system")])
        self.accounts: dict[str, Account] = {}
        self.commands: dict[tuple[str, str], Remembered] = {}
        self.entries: dict[str, list[Entry]] = defaultdict(list)
        self.lots: dict[str, dict[int, Lot]] = defaultdict(dict)
        self.consumptions: dict[str, dict[tuple[int, int, int], int]] = defaultdict(dict)
        self.redemptions: dict[str, dict[int, Redemption]] = defaultdict(dict)
        self.activities: dict[str, dict[str, RecordedActivity]] = defaultdict(dict)
        self.reversals: dict[str, dict[tuple[str, str], Reversal]] = defaultdict(dict)
        self.counts: dict[str, dict[CountKey, Count]] = defaultdict(dict)
        self.budgets: dict[str, Count] = {}

    def publish(self, document: dict[str, Any], effective_from: datetime, now: datetime) -> None:
        version = len(self.programs) + 1
        parsed = ProgramDocument.model_validate(document)
        published = ProgramVersion(version, parsed, effective_from, now, "test")
        self.programs = ProgramHistory([*self.programs.versions, published])

    # As the engine does it.

    def execute(self, submissions: Sequence[Submission], now: datetime) -> list[Answer]:
        owned: list[tuple[str, Submission]] = []
        answers: dict[int, Answer] = {}
        for submission in submissions:
            try:
                owned.append((customer_of(submission), submission))
            except Refusal as refusal:
                answers[id(submission)] = _refused(refusal)
        states = self._load(needs_of(owned, self.programs, now), now)
        answered = []
        for submission in submissions:
            customer_id = next((owner for owner, each in owned if each is submission), None)
            if customer_id is None:
                answered.append(answers[id(submission)])
                continue
            answer, after = self._carry_out(states[customer_id], customer_id, submission, now)
            states[customer_id] = after
            answered.append(answer)
        return answered

    def _carry_out(
        self, state: CustomerState, customer_id: str, submission: Submission, now: datetime
    ) -> tuple[Answer, CustomerState]:
        key = submission.idempotency_key
        if key is not None and (known := state.remembered.get(key)) is not None:
            if known.input_hash != submission.input_hash():
                return _refused(IdempotencyKeyReused("")), state
            return Answer(known.status, known.answer, replayed=True), state
        if not state.exists and not creates_customer(submission):
            return _refused(unknown_customer(submission, customer_id)), state
        before = deepcopy(state)
        decision = decide(state, submission, self.programs, now)
        assert state == before, "a decision changed the state that it was given"
        if decision.refusal is not None:
            answer, after = _refused(decision.refusal), state
        else:
            created = isinstance(submission.command, Award | Redeem | Reverse | Adjust)
            answer = Answer(201 if created else 200, to_json(decision.outcome).decode())
            assert decision.after is not None
            after = decision.after
            self._keep(customer_id, decision)
            decision.spend(self.budgets)
            decision.spend(state.budgets)
        if key is not None and after.exists and (decision.refusal is None or submission.remember_refusal):
            remembered = Remembered(submission.input_hash(), answer.status, answer.body)
            assert (customer_id, key) not in self.commands
            self.commands[customer_id, key] = after.remembered[key] = remembered
        return answer, after

    # Load, as the statements of rewards.ledger.load say.

    def _load(self, needs: Needs, now: datetime) -> dict[str, CustomerState]:
        states = {}
        with_lots = set(needs.with_lots)
        for customer_id in needs.customers:
            account = self.accounts.get(customer_id)
            states[customer_id] = CustomerState(
                deepcopy(account) or Account(customer_id), exists=account is not None
            )
            if account is not None and _is_stale(account, now):
                with_lots.add(customer_id)
        for customer_id, key, name in needs.claims:
            if key is not None and (customer_id, key) in self.commands:
                states[customer_id].remembered[key] = self.commands[customer_id, key]
            if name is not None and name in self.activities[customer_id]:
                states[customer_id].activities[name] = None
        for customer_id, name, period in needs.counts:
            if (name, period) in self.counts[customer_id]:
                states[customer_id].counts[name, period] = self.counts[customer_id][name, period]
        budgets = {rule_id: self.budgets[rule_id] for rule_id in needs.budgets if rule_id in self.budgets}
        for customer_id, state in states.items():
            state.budgets = budgets
            self._load_orders(customer_id, state, needs)
            if customer_id in with_lots:
                self._load_lots(customer_id, state, needs)
        return states

    def _load_orders(self, customer_id: str, state: CustomerState, needs: Needs) -> None:
        takes_all = customer_id in needs.all_orders
        for name, activity in self.activities[customer_id].items():
            if (customer_id, name) in needs.activities or (takes_all and name.startswith("purchase:")):
                state.activities[name] = deepcopy(activity)
        for reversal in self.reversals[customer_id].values():
            if takes_all or (customer_id, reversal.order_id) in needs.orders:
                state.reversals.append(deepcopy(reversal))

    def _load_lots(self, customer_id: str, state: CustomerState, needs: Needs) -> None:
        for seq, redemption in self.redemptions[customer_id].items():
            has_order = redemption.order_id is not None
            if (
                redemption.status == "held"
                or (customer_id, seq) in needs.redemptions
                or (has_order and (customer_id, redemption.order_id) in needs.orders)
                or (has_order and customer_id in needs.all_orders)
            ):
                state.redemptions[seq] = deepcopy(redemption)
        numbers = {
            lot_seq for each in state.activities.values() if each is not None for lot_seq in each.lot_seqs()
        }
        debits = {each.debit_seq for each in state.redemptions.values()}
        for (_, lot_seq, debit_seq), points in self.consumptions[customer_id].items():
            if debit_seq in debits and lot_seq > 0:
                by_lot = state.consumed.setdefault(debit_seq, {})
                by_lot[lot_seq] = by_lot.get(lot_seq, 0) + points
                numbers.add(lot_seq)
        lots = self.lots[customer_id].items()
        state.lots = {seq: lot.copy() for seq, lot in lots if lot.remaining > 0 or seq in numbers}

    # Write, with the keys and checks that the tables have.

    def _keep(self, customer_id: str, decision: Decision) -> None:
        assert decision.after is not None
        account = deepcopy(decision.after.account)
        assert min(account.available, account.pending, account.held, account.deficit) >= 0
        assert account.balance == account.available + account.pending - account.deficit
        self.accounts[customer_id] = account
        for entry in decision.entries:
            self.entries[customer_id].append(entry)
            assert entry.seq == len(self.entries[customer_id])
        if decision.lots_died_at is not None:
            for lot in self.lots[customer_id].values():
                if lot.expires_on_inactivity:
                    lot.die(decision.lots_died_at)
        for lot in [*decision.new_lots, *decision.changed_lots.values()]:
            assert lot.remaining >= 0
            assert lot.expired >= 0
            assert lot.remaining + lot.expired <= lot.points
            self.lots[customer_id][lot.lot_seq] = lot.copy()
        for key, count in decision.counts.items():
            add_count(self.counts[customer_id], key, count)
        for row in decision.consumptions:
            self._consume(customer_id, row)
        for redemption in [*decision.new_redemptions, *decision.changed_redemptions.values()]:
            assert 0 <= redemption.reinstated <= redemption.captured <= redemption.points
            self.redemptions[customer_id][redemption.redemption_seq] = redemption.copy()
        if decision.new_activity is not None:
            activity, body_json = decision.new_activity
            assert activity.activity_key not in self.activities[customer_id]
            kept = deepcopy(activity)
            kept.body = from_json(body_json)
            self.activities[customer_id][activity.activity_key] = kept
        for reversal in decision.new_reversals:
            name = (reversal.order_id, reversal.refund_id)
            assert name not in self.reversals[customer_id]
            self.reversals[customer_id][name] = deepcopy(reversal)

    def _consume(self, customer_id: str, row: Consumption) -> None:
        place = (row.entry_seq, row.lot_seq, row.debit_seq)
        assert place not in self.consumptions[customer_id]
        assert row.points != 0
        self.consumptions[customer_id][place] = row.points

    # What is compared.

    def rows(self) -> dict[str, Any]:
        """Everything that replaying, or cutting the commands into other batches, must not change.

        ``next_change_at`` is left out: it is a lower bound, and may be a closer one where more was loaded.
        """
        return {
            "accounts": {
                name: _without(asdict(each), "next_change_at") for name, each in self.accounts.items()
            },
            "commands": self.commands,
            "entries": {name: rows for name, rows in self.entries.items() if rows},
            "lots": {name: rows for name, rows in self.lots.items() if rows},
            "consumptions": {name: rows for name, rows in self.consumptions.items() if rows},
            "redemptions": {name: rows for name, rows in self.redemptions.items() if rows},
            # The database makes a budget's row, of nothing, to lock it.
            "counts": {
                name: _of_something(rows) for name, rows in self.counts.items() if _of_something(rows)
            },
            "budgets": _of_something(self.budgets),
            "activities": {name: rows for name, rows in self.activities.items() if rows},
            "reversals": {name: rows for name, rows in self.reversals.items() if rows},
        }


def _of_something(counts: dict[Any, Count]) -> dict[Any, Count]:
    return {key: count for key, count in counts.items() if any(count)}


def _without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


def _is_stale(account: Account, now: datetime) -> bool:
    assert account.as_of is not None
    return account.as_of > now or (account.next_change_at is not None and account.next_change_at <= now)


def _refused(refusal: Refusal) -> Answer:
    return Answer(refusal.status, to_json(refusal.problem()).decode())
