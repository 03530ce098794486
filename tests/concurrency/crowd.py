"""Customers who do everything at once: mixed commands for the races, with what was answered to each."""

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Barrier, Lock, Thread
from typing import Any

from sqlalchemy import Connection, text

from rewards.decide import Submission
from rewards.decide.commands import (
    Adjust,
    Award,
    Capture,
    Command,
    Redeem,
    Reverse,
    ReverseRedemption,
    Settle,
    Void,
)
from rewards.engine import Answer


def purchase(customer_id: str, order_id: str, total_minor: int = 10_000) -> Award:
    activity = {"type": "purchase", "order_id": order_id, "total_minor": total_minor, "currency": "USD"}
    return Award.model_validate({"customer_id": customer_id, "activity": activity})


def at_once(count: int, work: Callable[[int], None]) -> None:
    """Run ``work(number)`` in so many threads that begin together; the first error is raised here."""
    barrier, errors = Barrier(count), list[BaseException]()

    def run(number: int) -> None:
        barrier.wait()
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - it is raised below, in the test's own thread
            errors.append(error)

    threads = [Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
        assert not thread.is_alive(), "a thread did not end in ten minutes"
    if errors:
        raise errors[0]


@dataclass
class Acknowledged:
    """Commands that were answered, by customer and key. Safe to share between threads."""

    answers: dict[tuple[str, str], tuple[str, int, str]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def add(self, kind: str, customer_id: str, key: str, status: int, body: str) -> None:
        """Note an answer; one that a key got before must be the same again."""
        with self._lock:
            known = self.answers.setdefault((customer_id, key), (kind, status, body))
        assert known == (kind, status, body), (customer_id, key, known, (kind, status, body))

    def __len__(self) -> int:
        return len(self.answers)

    def missing(self, conn: Connection, since: int = 0) -> list[str]:
        """Return what was acknowledged (from the answer with that number on) and is not stored as it was told."""
        with self._lock:
            told = list(self.answers.items())[since:]
        names = {"customers": [pair[0] for pair, _ in told], "keys": [pair[1] for pair, _ in told]}
        query = text("""
            SELECT c.customer_id, c.idempotency_key, c.status, c.answer, count(e.seq)
            FROM unnest(CAST(:customers AS text[]), CAST(:keys AS text[])) AS k (customer_id, key)
            JOIN commands AS c ON c.customer_id = k.customer_id AND c.idempotency_key = k.key
            LEFT JOIN entries AS e ON e.customer_id = c.customer_id AND e.idempotency_key = c.idempotency_key
            GROUP BY c.customer_id, c.idempotency_key""")
        stored = {(row[0], row[1]): tuple(row[2:]) for row in conn.execute(query, names)}
        return [
            f"{pair}: told {status}, stored {stored.get(pair)}"
            for pair, (_, status, body) in told
            if stored.get(pair, ())[:2] != (status, body) or (stored[pair][2] > 0) != (status < 300)
        ]

    def doubled(self, conn: Connection) -> list[str]:
        """Return where the ledger has more, or less, than the commands that were accepted. All must be answered."""
        accepted: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for (customer_id, _), (kind, status, _) in self.answers.items():
            accepted[kind][customer_id] += status < 300
        breaks = []
        for kind, query in {
            "award": "SELECT customer_id, count(*) FROM entries WHERE kind = 'award' GROUP BY 1",
            "redeem": "SELECT customer_id, count(*) FROM redemptions GROUP BY 1",
            "reverse": "SELECT customer_id, count(*) FROM reversals GROUP BY 1",
            "adjust": "SELECT customer_id, count(*) FROM entries WHERE kind = 'adjust' GROUP BY 1",
        }.items():
            stored = {row[0]: row[1] for row in conn.execute(text(query))}
            told = {customer_id: count for customer_id, count in accepted[kind].items() if count}
            if stored != told:
                breaks.append(f"{kind}: {set(stored.items()) ^ set(told.items())}")
        return breaks


class Caller:
    """One of the callers: makes up commands, remembering what it can go on with."""

    def __init__(self, number: int, customers: Iterable[str]) -> None:
        self.name = f"t{number}"
        self.random = random.Random(number)
        self.customers = list(customers)
        self.sent = 0
        self.orders: list[tuple[str, str]] = []
        self.redemptions: list[tuple[str, str]] = []
        self.earlier: list[tuple[str, str, Submission]] = []

    def next(self) -> tuple[str, str, Submission]:
        """Return a command: its kind, its customer, and how it is submitted."""
        self.sent += 1
        if self.earlier and self.random.random() < 0.05:
            return self.random.choice(self.earlier)
        kind, customer_id, command = self._made_up()
        key = None if kind == "settle" else f"{self.name}-{self.sent}"
        made = (kind, customer_id, Submission(command, key, self.name))
        if key is not None:
            self.earlier = [*self.earlier[-20:], made]
        return made

    def _made_up(self) -> tuple[str, str, Command]:
        pick, customer_id = self.random.random(), self.random.choice(self.customers)
        if pick < 0.4 or not self.orders:
            order_id = f"{self.name}-{self.sent}"
            self.orders.append((customer_id, order_id))
            return "award", customer_id, purchase(customer_id, order_id, self.random.randrange(100, 20_000))
        if pick < 0.55:
            points = self.random.choice([1, 10, 50, 300])
            return "redeem", customer_id, Redeem(customer_id=customer_id, points=points)
        if pick < 0.7:
            points = self.random.choice([1, 10, 50])
            return "redeem", customer_id, Redeem(customer_id=customer_id, points=points, hold=True)
        if pick < 0.85 and self.redemptions:
            owner, redemption_id = self.redemptions.pop(self.random.randrange(len(self.redemptions)))
            kinds: list[tuple[str, Command]] = [
                ("capture", Capture(redemption_id=redemption_id, points=1)),
                ("void", Void(redemption_id=redemption_id)),
                ("reverse-redemption", ReverseRedemption(redemption_id=redemption_id)),
            ]
            kind, command = self.random.choice(kinds)
            return kind, owner, command
        if pick < 0.95:
            owner, order_id = self.random.choice(self.orders[-30:])
            part: dict[str, Any] = self.random.choice(
                [{"full": True}, {"amount_minor": 50}, {"amount_minor": 5_000}]
            )
            refund = Reverse(
                customer_id=owner, order_id=order_id, refund_id=f"{self.name}-{self.sent}", **part
            )
            return "reverse", owner, refund
        if pick < 0.98:
            points = self.random.choice([5, -5])
            return "adjust", customer_id, Adjust(customer_id=customer_id, points=points, reason="crowd")
        return "settle", customer_id, Settle(customer_id=customer_id)

    def heard(self, kind: str, customer_id: str, answer: Answer) -> None:
        """Take note of an answer."""
        if kind == "redeem" and answer.status == 201:
            self.redemptions.append((customer_id, json.loads(answer.body)["redemption_id"]))
