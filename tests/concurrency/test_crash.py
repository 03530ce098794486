"""Nothing acknowledged is lost, and nothing is doubled, when the server and the database are killed under load.

A run in the suite kills three times; ``REWARDS_TEST_KILLS=50`` makes it fifty.
"""

import json
import os
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from server_process import Caller, ServerProcess
from sqlalchemy import text

from rewards.ledger.verification import verify

KILLS = int(os.environ.get("REWARDS_TEST_KILLS", "3"))
CLIENTS = 8
CUSTOMERS = 40


@dataclass
class Client:
    """Sends awards and redemptions one after the other and keeps every answer it was given."""

    running: ServerProcess
    number: int
    stop: threading.Event
    acknowledged: list[tuple[str, str, int, dict[str, Any]]] = field(default_factory=list)
    failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - the test's thread raises it again
            self.failure = error

    def _run(self) -> None:
        dice = random.Random(self.number)
        with Caller(self.running) as caller:
            self._send_until_stopped(caller, dice)

    def _send_until_stopped(self, caller: Caller, dice: random.Random) -> None:
        count = 0
        while not self.stop.is_set():
            count += 1
            customer, key = f"c{dice.randrange(CUSTOMERS)}", f"{self.number}-{count}"
            if dice.random() < 0.7:
                activity = {"type": "purchase", "order_id": key, "total_minor": 1_000, "currency": "USD"}
                path, body = "/v1/awards", {"customer_id": customer, "activity": activity}
            else:
                path, body = "/v1/redemptions", {"customer_id": customer, "points": dice.randint(1, 15)}
            status, answer = caller.insist(path, body, key, time.monotonic() + 90)
            # A customer's first redemption may come before the first award; that is no answer of the ledger's.
            if status != 404:
                self.acknowledged.append((customer, key, status, answer))


@pytest.fixture
def running() -> Iterator[ServerProcess]:
    running = ServerProcess()
    yield running
    running.close()


def test_what_was_acknowledged_is_there_once_after_every_kill(running: ServerProcess) -> None:
    stop = threading.Event()
    clients = [Client(running, number, stop) for number in range(CLIENTS)]
    threads = [threading.Thread(target=client.run, daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    try:
        for kill in range(KILLS):
            _wait_for_progress(clients, 60)
            if kill % 2:
                running.kill_server()
                running.start()
            else:
                running.kill_database()
            _wait_for_progress(clients, 20)
            _assert_holds(running)
    finally:
        stop.set()
        for thread in threads:
            thread.join(100)
    assert [client.failure for client in clients] == [None] * CLIENTS
    _assert_holds(running)
    _assert_all_there_once(running, [each for client in clients for each in client.acknowledged])


def _wait_for_progress(clients: list[Client], answers: int) -> None:
    """Wait until so many more commands were answered."""
    wanted = sum(len(client.acknowledged) for client in clients) + answers
    give_up_at = time.monotonic() + 90
    while sum(len(client.acknowledged) for client in clients) < wanted:
        failures = [client.failure for client in clients if client.failure]
        assert not failures, failures
        assert time.monotonic() < give_up_at, "the server did not come back"
        time.sleep(0.02)


def _assert_holds(running: ServerProcess) -> None:
    # The pool's connections went with the database that they were to.
    running.database.engine.dispose()
    with running.database.engine.connect() as conn:
        assert verify(conn).breaks == []


def _assert_all_there_once(
    running: ServerProcess, acknowledged: list[tuple[str, str, int, dict[str, Any]]]
) -> None:
    assert len(acknowledged) > 60 * KILLS
    with running.database.engine.connect() as conn:
        kept = {
            (row.customer_id, row.idempotency_key): (row.status, json.loads(row.answer))
            for row in conn.execute(text("SELECT customer_id, idempotency_key, status, answer FROM commands"))
        }
        entries = {
            (row.customer_id, row.idempotency_key): row.count
            for row in conn.execute(
                text(
                    "SELECT customer_id, idempotency_key, count(*) AS count FROM entries"
                    " WHERE idempotency_key IS NOT NULL GROUP BY 1, 2"
                )
            )
        }
    for customer, key, status, answer in acknowledged:
        assert kept[customer, key] == (status, answer)
        assert entries.get((customer, key), 0) == (1 if status == 201 else 0)
