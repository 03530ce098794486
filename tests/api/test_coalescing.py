"""How concurrent commands share transactions, and what happens when there are too many."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any

import pytest
from api_shop import Shop, open_shop, purchase, wait_until
from sqlalchemy import text

from api.coalescing import Coalescer, Limits
from api.errors import Problem
from rewards.core.database import Database
from rewards.core.errors import BusyError
from rewards.core.keys import Scope
from rewards.core.settings import Settings
from rewards.decide.commands import Settle
from rewards.decide.submission import Submission
from rewards.engine import Answer


def named(name: str) -> Submission:
    return Submission(Settle(customer_id=name), name, "test")


class Ledger:
    """Stands where the engine does: answers each command with its name, as soon as it is let."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.is_at_work = threading.Event()

    def execute(self, submissions: Sequence[Submission], _now: datetime) -> list[Answer]:
        names = [str(submission.idempotency_key) for submission in submissions]
        self.batches.append(names)
        self.is_at_work.set()
        assert self.may_go_on.wait(10)
        for name in names:
            if name == "away":
                raise BusyError("the database is away")
            if name == "broken":
                raise ZeroDivisionError
        return [Answer(500 if name == "bad" else 201, name) for name in names]

    async def keep_busy(self, coalescer: Coalescer) -> "asyncio.Future[Answer]":
        """Let the thread begin a batch and not finish it."""
        self.may_go_on.clear()
        self.is_at_work.clear()
        future = coalescer.submit(named("first"))
        await asyncio.to_thread(self.is_at_work.wait, 10)
        return future


Scenario = Callable[[Ledger, Coalescer], Coroutine[Any, Any, None]]


def play(scenario: Scenario, **limits: Any) -> Ledger:
    ledger = Ledger()

    async def playing() -> None:
        coalescer = Coalescer(ledger.execute, limits=Limits(**limits))
        coalescer.start()
        try:
            await scenario(ledger, coalescer)
        finally:
            ledger.may_go_on.set()
            await coalescer.close()

    asyncio.run(playing())
    return ledger


def code(result: Any) -> str:
    assert isinstance(result, Problem), result
    return result.code


def test_a_lone_command_starts_at_once() -> None:
    async def scenario(ledger: Ledger, coalescer: Coalescer) -> None:
        for number in range(20):
            assert (await coalescer.submit(named(f"{number}"))).body == f"{number}"

    started = time.monotonic()
    assert play(scenario).batches == [[f"{number}"] for number in range(20)]
    assert time.monotonic() - started < 1


def test_what_comes_meanwhile_shares_the_next_transaction_up_to_its_size() -> None:
    async def scenario(ledger: Ledger, coalescer: Coalescer) -> None:
        first = await ledger.keep_busy(coalescer)
        futures = [coalescer.submit(named(f"{number}")) for number in range(7)]
        ledger.may_go_on.set()
        answers = await asyncio.gather(first, *futures)
        assert [answer.body for answer in answers] == ["first", *(f"{number}" for number in range(7))]

    assert play(scenario, singles_together=5).batches == [["first"], ["0", "1", "2", "3", "4"], ["5", "6"]]


def test_batch_requests_take_turns_with_single_commands() -> None:
    async def scenario(ledger: Ledger, coalescer: Coalescer) -> None:
        first = await ledger.keep_busy(coalescer)
        one = coalescer.submit_batch([named(f"a{number}") for number in range(5)])
        two = coalescer.submit_batch([named(f"b{number}") for number in range(3)])
        singles = [coalescer.submit(named(f"s{number}")) for number in range(4)]
        ledger.may_go_on.set()
        await asyncio.gather(first, *singles)
        assert [answer.body for answer in await one if isinstance(answer, Answer)] == [
            f"a{n}" for n in range(5)
        ]
        assert [answer.body for answer in await two if isinstance(answer, Answer)] == [
            f"b{n}" for n in range(3)
        ]

    batches = play(scenario, chunk=2, singles_together=2).batches
    assert batches == [
        ["first"],
        ["a0", "a1"],
        ["s0", "s1"],
        ["b0", "b1"],
        ["s2", "s3"],
        ["a2", "a3"],
        ["b2"],
        ["a4"],
    ]


def test_more_than_may_wait_is_refused() -> None:
    async def scenario(ledger: Ledger, coalescer: Coalescer) -> None:
        first = await ledger.keep_busy(coalescer)
        waiting = [coalescer.submit(named(f"{number}")) for number in range(3)]
        with pytest.raises(Problem) as refused:
            coalescer.submit(named("one too many"))
        assert (refused.value.status, refused.value.headers) == (503, {"retry-after": "1"})
        batch = coalescer.submit_batch([named("b")])
        with pytest.raises(Problem):
            coalescer.submit_batch([named("c")])
        ledger.may_go_on.set()
        await asyncio.gather(first, *waiting, batch)

    names = [name for batch in play(scenario, singles_waiting=3, batches_waiting=1).batches for name in batch]
    assert sorted(names) == ["0", "1", "2", "b", "first"]


def test_who_waits_too_long_is_refused_rather_than_begun() -> None:
    async def scenario(ledger: Ledger, coalescer: Coalescer) -> None:
        first = await ledger.keep_busy(coalescer)
        single = coalescer.submit(named("single"))
        batch = coalescer.submit_batch([named("batch")])
        await asyncio.sleep(0.1)
        with pytest.raises(Problem):
            coalescer.submit(named("behind"))
        ledger.may_go_on.set()
        results = await asyncio.gather(first, single, batch, return_exceptions=True)
        assert results[0] == Answer(201, "first")
        assert [code(result) for result in results[1:]] == ["overloaded", "overloaded"]
        assert (await coalescer.submit(named("later"))).body == "later"

    assert play(scenario, wait_seconds=0.05).batches == [["first"], ["later"]]


def test_a_client_that_goes_away_hurts_nobody() -> None:
    async def scenario(ledger: Ledger, coalescer: Coalescer) -> None:
        first = await ledger.keep_busy(coalescer)
        gone = coalescer.submit(named("gone"))
        stays = coalescer.submit(named("stays"))
        gone.cancel()
        first.cancel()  # in the midst of its transaction
        ledger.may_go_on.set()
        assert (await stays).body == "stays"

    assert play(scenario).batches == [["first"], ["stays"]]


def test_a_fault_is_answered_and_the_next_batch_goes_on() -> None:
    async def scenario(ledger: Ledger, coalescer: Coalescer) -> None:
        for name, expected in [
            ("broken", "internal-error"),
            ("away", "unavailable"),
            ("bad", "internal-error"),
        ]:
            with pytest.raises(Problem) as met:
                await coalescer.submit(named(name))
            assert met.value.code == expected
        assert (await coalescer.submit(named("fine"))).body == "fine"

    play(scenario)


def test_where_the_database_is_away_the_rest_of_a_batch_is_not_tried() -> None:
    async def scenario(ledger: Ledger, coalescer: Coalescer) -> None:
        outcomes = await coalescer.submit_batch([named(name) for name in ("a", "away", "c", "d", "e")])
        assert isinstance(outcomes[0], Answer)
        assert [code(outcome) for outcome in outcomes[1:]] == ["unavailable"] * 4

    assert play(scenario, chunk=1).batches == [["a"], ["away"]]


def test_what_waits_is_finished_before_the_end_and_nothing_is_taken_after_it() -> None:
    async def scenario(ledger: Ledger, coalescer: Coalescer) -> None:
        first = await ledger.keep_busy(coalescer)
        waiting = [coalescer.submit(named("single")), coalescer.submit_batch([named("batch")] * 5)]
        closing = asyncio.create_task(coalescer.close())
        await asyncio.sleep(0.01)
        with pytest.raises(Problem):
            coalescer.submit(named("late"))
        ledger.may_go_on.set()
        await asyncio.gather(first, *waiting, closing)

    assert [len(batch) for batch in play(scenario, chunk=2).batches] == [1, 2, 1, 2, 1]


def test_a_full_queue_is_answered_503_and_loses_nothing(
    settings: Settings, keys: dict[Scope, str], database: Database
) -> None:
    with open_shop(settings, keys, Limits(singles_waiting=3)) as shop:
        shop.award("c-1", "1")
        with database.engine.begin() as someone:
            someone.execute(text("SELECT 1 FROM accounts WHERE customer_id = 'c-1' FOR UPDATE"))
            sending = threading.Thread(target=lambda: answers.extend(shop.together(*requests)))
            answers: list[Any] = []
            requests = [("POST", "/v1/awards", purchase("c-1", f"x{n}"), {"key": f"x{n}"}) for n in range(12)]
            sending.start()
            wait_until(lambda: is_waiting_for_a_lock(database), seconds=10)
            time.sleep(0.2)  # what is refused is refused at once
        sending.join(20)
        statuses = [answer.status_code for answer in answers]
        # Three may be at work when three more come to wait.
        assert statuses.count(503) >= 6
        assert statuses.count(201) == 12 - statuses.count(503)
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert (refused.json()["code"], refused.headers["retry-after"]) == ("overloaded", "1")
        # Nothing that was answered is lost, nothing that was refused took effect, and trying again succeeds.
        assert shop.balance("c-1")["available"] == 100 * (1 + statuses.count(201))
        again = shop.together(*requests[:3]) + shop.together(*requests[3:6])
        assert {answer.status_code for answer in again} == {201}


def is_waiting_for_a_lock(database: Database) -> bool:
    with database.engine.connect() as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return bool(connection.scalar(text(query)))


def test_concurrent_awards_share_commits(shop: Shop, database: Database) -> None:
    def commits() -> int:
        with database.engine.connect() as connection:
            query = "SELECT count(DISTINCT xmin::text) FROM entries"
            return int(connection.scalar(text(query)) or 0)

    shop.together(*[("POST", "/v1/awards", purchase(f"c-{n}", str(n)), {"key": f"k{n}"}) for n in range(200)])
    assert commits() < 100
