"""Many at once, on real connections, from several engines and several processes.

REWARDS_TEST_CROWD=10000 is the full size of the crowd of mixed commands; without it a fifth of that comes.
"""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from api_shop import make_keys, serving
from crowd import Acknowledged, Caller, at_once, purchase
from invariants import broken
from sqlalchemy import text

from rewards.core.clock import utc_now
from rewards.core.database import Database, connect_database
from rewards.core.settings import Settings
from rewards.decide import Submission
from rewards.decide.commands import Redeem
from rewards.engine import Answer, Engine
from rewards.ledger.verification import verify

CROWD = int(os.environ.get("REWARDS_TEST_CROWD", "2000"))
CONNECTIONS = 32


@contextmanager
def engines(settings: Settings, count: int, connections: int) -> Iterator[list[Engine]]:
    """Engines that share nothing but the database, as those of different processes do."""
    databases = [
        connect_database(settings, application_name="race", pool_size=connections, max_overflow=0)
        for _ in range(count)
    ]
    try:
        yield [Engine(database) for database in databases]
    finally:
        for database in databases:
            database.dispose()


def check(database: Database) -> None:
    with database.engine.connect() as conn:
        assert broken(conn) == []
    with database.engine.connect() as conn:
        assert verify(conn).breaks == []
        query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert conn.execute(text(query)).scalar_one() == 0


def test_fifty_redemptions_of_points_that_cover_one(database: Database, settings: Settings) -> None:
    answers: list[Answer] = []
    with engines(settings, 2, connections=25) as (one, other):
        one.execute([Submission(purchase("c", "1"), "award", "test")], utc_now())

        def redeem(number: int) -> None:
            engine = (one, other)[number % 2]
            command = Redeem(customer_id="c", points=100)
            answers.extend(engine.execute([Submission(command, f"r{number}", "test")], utc_now()))

        at_once(50, redeem)
    assert Counter(each.status for each in answers) == {201: 1, 409: 49}
    assert {json.loads(each.body)["code"] for each in answers if each.status == 409} == {
        "insufficient-points"
    }
    check(database)


def test_one_key_from_everywhere_takes_effect_once(database: Database, settings: Settings) -> None:
    """Also where the command is the customer's first, and there is no row to wait for yet."""
    with engines(settings, 2, connections=8) as both:
        for round_ in range(10):
            answers: list[Answer] = []
            submission = Submission(purchase(f"c{round_}", "1"), "the key", "test")

            def send(number: int, same: Submission = submission, answers: list[Answer] = answers) -> None:
                answers.extend(both[number % 2].execute([same], utc_now()))

            at_once(16, send)
            assert {(each.status, each.body) for each in answers} == {(201, answers[0].body)}
            assert Counter(each.replayed for each in answers) == {False: 1, True: 15}
    check(database)


def test_two_engines_create_the_same_customers_at_once(database: Database, settings: Settings) -> None:
    statuses: Counter[int] = Counter()
    with engines(settings, 2, connections=2) as both:
        for round_ in range(10):
            customers = [f"{round_}-{number}" for number in range(60)]

            def create(number: int, customers: list[str] = customers) -> None:
                # In opposite orders, with a few that only one of them knows.
                named = [*(customers if number else reversed(customers)), f"{customers[0]}-{number}"]
                batch = [
                    Submission(purchase(each, f"{number}-{times}"), f"{number}-{times}", "test")
                    for each in named
                    for times in range(2)
                ]
                statuses.update(answer.status for answer in both[number].execute(batch, utc_now()))

            at_once(2, create)
    assert statuses == {201: 10 * 2 * 2 * 61}
    check(database)


def test_a_crowd_of_mixed_commands(database: Database, settings: Settings) -> None:
    """Over 100 customers from 32 connections, in batches that overlap; half of the customers are new."""
    told = Acknowledged()
    statuses: Counter[int] = Counter()
    customers = [f"c{number}" for number in range(100)]
    engines_of = CONNECTIONS // 8
    with engines(settings, engines_of, connections=8) as several:
        old = [Submission(purchase(each, "first"), "first", "test") for each in customers[:50]]
        for submission, answer in zip(old, several[0].execute(old, utc_now()), strict=True):
            told.add("award", submission.command.customer_id, "first", answer.status, answer.body)  # type: ignore[union-attr]

        def work(number: int) -> None:
            caller = Caller(number, customers)
            engine = several[number % engines_of]
            left = CROWD // CONNECTIONS
            while left > 0:
                made = [caller.next() for _ in range(min(left, caller.random.choice([1, 1, 1, 2, 5, 12])))]
                left -= len(made)
                answers = engine.execute([submission for _, _, submission in made], utc_now())
                for (kind, customer_id, submission), answer in zip(made, answers, strict=True):
                    caller.heard(kind, customer_id, answer)
                    statuses[answer.status] += 1
                    # What was refused to a customer who is not there yet is decided anew each time.
                    if submission.idempotency_key is not None and answer.status != 404:
                        told.add(kind, customer_id, submission.idempotency_key, answer.status, answer.body)

        at_once(CONNECTIONS, work)
    assert set(statuses) <= {200, 201, 404, 409, 422}, statuses
    assert statuses[201] > CROWD / 3
    with database.engine.connect() as conn:
        assert told.missing(conn) == []
        assert told.doubled(conn) == []
    check(database)


@pytest.mark.slow
def test_fifty_redemptions_over_http_with_two_workers(database: Database, settings: Settings) -> None:
    keys = make_keys(database)
    Engine(database).execute([Submission(purchase("c", "1"), "award", "test")], utc_now())

    async def race(url: str) -> list[httpx.Response]:
        async def redeem(number: int) -> httpx.Response:
            # A connection for each, so that the system spreads them over the workers.
            headers = {"authorization": f"Bearer {keys['storefront']}", "idempotency-key": f"r{number}"}
            async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
                await client.get("/healthz")
                await ready.wait()
                body: dict[str, Any] = {"customer_id": "c", "points": 100}
                return await client.post("/v1/redemptions", json=body)

        ready = asyncio.Barrier(50)
        return await asyncio.gather(*(redeem(number) for number in range(50)))

    with serving(settings, workers=2) as served:
        answers = asyncio.run(race(served.url))
        assert len(served.workers()) == 2
    assert Counter(each.status_code for each in answers) == {201: 1, 409: 49}
    assert {each.json()["code"] for each in answers if each.status_code == 409} == {"insufficient-points"}
    check(database)
