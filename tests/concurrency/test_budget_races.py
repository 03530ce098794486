"""Rules' budgets, which all customers share, spent from everywhere at once."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from crowd import at_once
from invariants import broken
from sqlalchemy import text

from rewards.core.clock import utc_now
from rewards.core.database import Database, connect_database
from rewards.core.settings import Settings
from rewards.decide import Submission
from rewards.decide.commands import Award, Reverse
from rewards.engine import Answer, Engine
from rewards.ledger.verification import verify
from rewards.program.document import ProgramDocument
from rewards.program.versions import publish

CHANNELS = ("a", "b", "c")


def rule(channel: str, points: int, budget: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": channel,
        "activity": "purchase",
        "when": f"activity.channel == '{channel}' || activity.channel == ''",
        "gives": {"type": "fixed", "points": points},
        "budget": budget,
    }


def start(database: Database, *rules: dict[str, Any]) -> None:
    document = {
        "schema_version": 1,
        "name": "Test",
        "currency": "USD",
        "timezone": "UTC",
        "earn": list(rules),
    }
    with database.engine.begin() as conn:
        now = utc_now()
        parsed = ProgramDocument.model_validate(document)
        publish(conn, parsed, effective_from=now, now=now, actor="test")


@contextmanager
def engines(settings: Settings, count: int) -> Iterator[list[Engine]]:
    databases = [connect_database(settings, application_name="race", pool_size=8) for _ in range(count)]
    try:
        yield [Engine(database) for database in databases]
    finally:
        for database in databases:
            database.dispose()


def buy(customer_id: str, order_id: str, channel: str | None = None) -> Submission:
    activity = {"type": "purchase", "order_id": order_id, "total_minor": 1_000, "currency": "USD"}
    given = {"customer_id": customer_id, "activity": activity | ({"channel": channel} if channel else {})}
    return Submission(Award.model_validate(given), f"buy-{order_id}", "test")


def greet(customer_id: str, key: str) -> Submission:
    activity = {"type": "custom", "name": "greeted"}
    return Submission(Award.model_validate({"customer_id": customer_id, "activity": activity}), key, "test")


def refund(customer_id: str, order_id: str) -> Submission:
    command = Reverse(customer_id=customer_id, order_id=order_id, refund_id="r", full=True)
    return Submission(command, f"refund-{order_id}", "test")


def spent(database: Database) -> dict[str, tuple[int, int]]:
    with database.engine.connect() as conn:
        rows = conn.execute(text("SELECT rule_id, points, times FROM budgets"))
        return {rule_id: (points, times) for rule_id, points, times in rows}


def check(database: Database) -> None:
    with database.engine.connect() as conn:
        assert broken(conn) == []
    with database.engine.connect() as conn:
        assert verify(conn).breaks == []
        query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert conn.execute(text(query)).scalar_one() == 0


def test_the_last_of_a_budget_is_given_once(database: Database, settings: Settings) -> None:
    """Nobody has spent of it yet: its row, too, is made by many at once."""
    start(database, rule("a", 10, {"points": 95}), rule("b", 7, {"times": 3, "then": "refuse"}))
    answers: list[Answer] = []
    with engines(settings, 2) as pair:

        def spend(number: int) -> None:
            customer_id = f"c{number}"
            batch = [buy(customer_id, f"{number}-{turn}") for turn in range(2)]
            answers.extend(pair[number % 2].execute(batch, utc_now()))

        at_once(12, spend)
    assert {each.status for each in answers} == {201}
    given = [line for each in answers for line in json.loads(each.body)["explanation"]]
    assert sorted(line["points"] for line in given if line["rule_id"] == "a" and line["points"]) == [
        5,
        *[10] * 9,
    ]
    assert [line["points"] for line in given if line["rule_id"] == "b" and line["points"]] == [7, 7, 7]
    assert spent(database) == {"a": (95, 10), "b": (21, 3)}
    check(database)


@pytest.mark.slow
def test_refunds_and_awards_of_several_budgets_never_wait_in_a_circle(
    database: Database, settings: Settings
) -> None:
    """A refund gives back to a budget that no award in its batch spends from."""
    start(database, *(rule(channel, 10, {"points": 10**6}) for channel in CHANNELS))
    bought: list[bool] = []
    with engines(settings, 2) as pair:
        at = utc_now()
        orders = [(f"c{number}", f"old-{number}", channel) for number in range(60) for channel in CHANNELS]
        for customer_id, order_id, channel in orders:
            pair[0].execute([buy(customer_id, f"{order_id}-{channel}", channel)], at)

        def trade(number: int) -> None:
            chosen = random.Random(number)
            for turn in range(15):
                customer_id, order_id, channel = orders[number * 15 + turn]
                # The same new customers come to all, with and without a purchase that spends of a budget.
                newcomer, name = f"n{turn}", f"{number}-{turn}"
                is_buying = chosen.random() < 0.5
                batch = [
                    buy(newcomer, name, chosen.choice(CHANNELS)) if is_buying else greet(newcomer, name),
                    refund(customer_id, f"{order_id}-{channel}"),
                ]
                bought.append(is_buying)
                answers = pair[number % 2].execute(batch, utc_now())
                assert {each.status for each in answers} == {201}, answers

        at_once(8, trade)
    assert sum(points for points, _ in spent(database).values()) == 10 * (
        len(orders) - len(bought) + sum(bought)
    )
    check(database)
