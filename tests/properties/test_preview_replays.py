"""Whatever a shop did: replayed under the very program that was in force, a preview gives what the ledger has."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from loyalty_machine import InMemory, Shop
from memory_ledger import Ledger
from pydantic_core import to_json

from rewards.decide import Submission, decide
from rewards.decide.commands import Settle
from rewards.ledger.needs import Needs
from rewards.ledger.state import Entry
from rewards.preview.customer import CustomerReplay, Programs, Shared, count_stored
from rewards.preview.facts import History, StoredActivity, StoredEntry, StoredRedemption, StoredReversal
from rewards.preview.tally import Tally, Window

TICK = timedelta(microseconds=1)
#: Past everything that a shop does here.
THE_END = datetime(2200, 1, 1, tzinfo=UTC)


class Replayed(InMemory):
    """Replays all that was done when it is checked: under the latest program, in force from ``since`` on."""

    def __init__(self, since: datetime | None) -> None:
        super().__init__()
        self._since = since

    def check(self, replayed: Ledger) -> None:
        draft = self.ledger.programs.latest.document
        tally = Tally(Window(None, None, draft.zone))
        programs, shared = Programs(self.ledger.programs, draft, self._since), Shared()
        for customer_id, account in self.ledger.accounts.items():
            history = history_of(self.ledger, customer_id)
            entries, due = [], settled(self.ledger, customer_id)
            replay = CustomerReplay(history, programs, tally, shared)
            tally.begin()
            count_stored(history, due, tally)
            spied = spy(replay, entries.append)
            spied.run(THE_END)
            assert told(entries) == told([*self.ledger.entries[customer_id], *due])
            assert tally.before.own_balance == tally.after.own_balance
            assert tally.before.own_issued == tally.after.own_issued
            tally.end(account.customer_id)
        assert tally.before.issued == tally.after.issued
        assert tally.before.flows == tally.after.flows
        assert (tally.before.balance, tally.before.held) == (tally.after.balance, tally.after.held)
        assert (tally.changed, tally.redemptions_cut, tally.refused(tally.customers)) == (0, 0, [])
        # All that ever came and went is what is there.
        flows = {name: tally.after.total(name) for _, name in tally.after.flows}
        signed = ("issued", "adjusted", "reinstated"), ("clawed_back", "redeemed", "expired")
        came, went = (sum(flows.get(name, 0) for name in names) for names in signed)
        assert came - went == tally.after.balance + tally.after.held


def spy(replay: CustomerReplay, heard: Callable[[Entry], None]) -> CustomerReplay:
    decided = replay._decide

    def listening(*arguments: Any) -> Any:
        decision = decided(*arguments)
        for entry in decision.entries if decision.after else ():
            heard(entry)
        return decision

    replay._decide = listening  # type: ignore[method-assign]
    return replay


def told(entries: list[Entry]) -> list[tuple[Any, ...]]:
    """What entries say but for when they were booked, and by which command."""
    return sorted((each.kind, each.points, each.occurred_at) for each in entries)


def settled(ledger: Ledger, customer_id: str) -> list[Entry]:
    """What time does to a customer until the end."""
    settle = Submission(Settle(customer_id=customer_id), None, "test")
    needs = Needs(customers={customer_id}, with_lots={customer_id})
    state = ledger._load(needs, THE_END)[customer_id]
    return decide(state, settle, ledger.programs, THE_END).entries


def history_of(ledger: Ledger, customer_id: str) -> History:
    """A customer's facts in the form in which they are read from the database."""
    history = History(customer_id, is_stale=True)
    for each in ledger.entries[customer_id]:
        columns = {name: getattr(each, name) for name in StoredEntry._fields}
        history.entries.append(StoredEntry(**columns))
    for activity in ledger.activities[customer_id].values():
        grants = [(grant.rule_id, grant.points) for grant in activity.grants]
        body = to_json(activity.body).decode()
        stored = StoredActivity(activity.activity_key, activity.occurred_at, body, grants)
        history.activities[activity.award_seq] = stored
    for reversal in ledger.reversals[customer_id].values():
        columns = {name: getattr(reversal, name) for name in StoredReversal._fields}
        history.reversals[reversal.reversal_seq] = StoredReversal(**columns)
    for redemption in ledger.redemptions[customer_id].values():
        columns = {name: getattr(redemption, name) for name in StoredRedemption._fields}
        history.redemptions[redemption.redemption_seq] = StoredRedemption(**columns)
    return history


class OneProgram(Shop):
    """A shop that keeps to the program it began with."""

    publish = None  # type: ignore[assignment]


class ManyPrograms(Shop):
    """A shop whose clocks agree, so that an instant tells which programs were published by then."""

    def _publish(self, document: dict[str, Any], effective_from: datetime) -> None:
        self._go_on(self.now + TICK)
        super()._publish(document, effective_from)
        self._go_on(self.now + TICK)

    @property
    def lag(self) -> timedelta:
        return timedelta(0)

    @lag.setter
    def lag(self, lag: timedelta) -> None:
        pass


def run(machine: Callable[[], Shop]) -> None:
    repeatable = settings(
        max_examples=60,
        stateful_step_count=60,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    run_state_machine_as_test(machine, settings=repeatable)


@pytest.mark.slow
def test_a_replay_under_the_program_in_force_is_what_the_ledger_has() -> None:
    run(lambda: OneProgram(Replayed(since=None)))


@pytest.mark.slow
def test_a_replay_until_a_draft_begins_is_what_the_ledger_has() -> None:
    run(lambda: ManyPrograms(Replayed(since=THE_END)))
