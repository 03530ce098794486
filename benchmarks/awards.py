"""Awards: one at a time over HTTP, in batches, and by import, each beside the same work by hand."""

import csv
import json
import tempfile
import threading
import time
import uuid
from pathlib import Path

from benchmarks import baselines
from benchmarks.figures import Figure, paired
from benchmarks.http_load import Load, request, send_all
from benchmarks.shop import CURRENCY, Shop, shop
from rewards.core.collector import tune_for_batches

CUSTOMERS = 10_000
CONNECTIONS = 64
ROUNDS = 5


def award_body(customer: int, order_id: str) -> dict[str, object]:
    """Return the body of an award, with its customer."""
    activity = {"type": "purchase", "order_id": order_id, "total_minor": 4999, "currency": CURRENCY}
    return {"customer_id": f"cust-{customer}", "activity": activity}


def single_awards(shop: Shop, count: int, customers: int = CUSTOMERS) -> list[bytes]:
    """Return so many requests for one award each, over all customers in turn."""
    run = uuid.uuid4().hex[:12]
    step = 7_919  # a prime, so that neighbouring requests are for customers far apart
    requests = []
    for number in range(count):
        body = json.dumps(award_body(number * step % customers, f"{run}-{number}")).encode()
        requests.append(request("POST", "/v1/awards", shop.key, body, f"{run}-{number}"))
    return requests


def batches(shop: Shop, count: int, size: int = 1_000, customers: int = CUSTOMERS) -> list[bytes]:
    """Return so many ``/v1/batches`` requests of ``size`` awards, each for another customer."""
    run = uuid.uuid4().hex[:12]
    requests = []
    for number in range(count):
        operations = [
            {
                "op": "award",
                "idempotency_key": f"{run}-{number}-{each}",
                "body": award_body((number * size + each) % customers, f"{run}-{number}-{each}"),
            }
            for each in range(size)
        ]
        body = json.dumps({"operations": operations}).encode()
        requests.append(request("POST", "/v1/batches", shop.key, body))
    return requests


def bench_awards() -> list[Figure]:
    """(a) Single awards over HTTP from 64 connections to 2 workers, beside pgbench with 64 clients."""
    with shop() as place, place.serving() as port:
        _enrol(place, port)
        baselines.prepare(place.database, CUSTOMERS)
        pairs: list[tuple[float, float]] = []
        loads: list[Load] = []
        for _ in range(ROUNDS):
            by_hand = baselines.pgbench(place.database, customers=CUSTOMERS, clients=CONNECTIONS, seconds=6)
            load = send_all(port, single_awards(place, 30_000), CONNECTIONS, seconds=6).must_be(201)
            pairs.append((load.per_second, by_hand))
            loads.append(load)
        median = sorted(loads, key=lambda load: load.per_second)[len(loads) // 2]
        return [
            _with_latency(
                paired(
                    "single awards over HTTP, 64 connections, 2 workers",
                    "awards/s",
                    pairs,
                    "pgbench, 64 clients",
                    0.6,
                ),
                median,
            )
        ]


def bench_batches() -> list[Figure]:
    """(b) Batches of 1,000 awards over HTTP, and an import of orders, beside one hand-written statement."""
    with shop() as place, place.serving() as port:
        _enrol(place, port)
        baselines.prepare(place.database, CUSTOMERS)
        over_http: list[tuple[float, float]] = []
        like_for_like: list[tuple[float, float]] = []
        imported: list[tuple[float, float]] = []
        for _ in range(ROUNDS):
            alone = _one_statement_rate(place, batches_each=20, threads=1)
            load = send_all(port, batches(place, 30), connections=2).must_be(200)
            if b'"status":201' not in load.last_body:
                raise RuntimeError(f"the awards were not made: {load.last_body[:500]!r}")
            both = _one_statement_rate(place, batches_each=15, threads=2)
            over_http.append((load.per_second * 1_000, alone))
            like_for_like.append((load.per_second * 1_000, both))
            imported.append((_import_rate(place, 60_000), alone))
        subject = "awards in batches of 1,000 over HTTP, 2 workers, 2 connections"
        return [
            paired(subject, "awards/s", over_http, "one statement for 1,000, after another", 0.4),
            paired(subject, "awards/s", like_for_like, "the same from 2 connections at once"),
            paired(
                "awards by import of orders",
                "awards/s",
                imported,
                "one statement for 1,000, after another",
                0.4,
            ),
        ]


def _enrol(place: Shop, port: int) -> None:
    """Award every customer once, so that none is new in what is measured."""
    send_all(port, batches(place, CUSTOMERS // 1_000), connections=2).must_be(200)
    baselines.vacuum(place.database, "accounts", "commands", "activities", "entries", "lots")
    send_all(port, single_awards(place, 2_000), CONNECTIONS).must_be(201)


def _one_statement_rate(place: Shop, *, batches_each: int, threads: int) -> float:
    """Return awards a second of the hand-written statement, from so many connections at once."""

    def work(first: int) -> None:
        run = uuid.uuid4().hex[:12]
        with place.database.engine.connect() as conn:
            for number in range(batches_each):
                start = (first + number * threads) * 1_000 % CUSTOMERS
                customers = [f"cust-{start + each}" for each in range(1_000)]
                baselines.one_statement(conn, customers, [f"{run}-{number}-{each}" for each in range(1_000)])

    workers = [threading.Thread(target=work, args=(first,)) for first in range(threads)]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return threads * batches_each * 1_000 / (time.perf_counter() - started)


def _import_rate(place: Shop, rows: int) -> float:
    """Return awards a second of ``import orders``, from opening the file to its report."""
    from rewards.core.clock import utc_now
    from rewards.importing.running import import_orders

    tune_for_batches()  # as the command does
    run = uuid.uuid4().hex[:12]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "orders.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["order_id", "customer_id", "ordered_at", "amount"])
            for number in range(rows):
                writer.writerow(
                    [
                        f"{run}-{number}",
                        f"cust-{number * 7_919 % CUSTOMERS}",
                        f"2026-10-01T{number % 24:02}:{number % 60:02}:00",
                        "49.99",
                    ]
                )
        started = time.perf_counter()
        report = import_orders(path, place.database, now=utc_now())
        seconds = time.perf_counter() - started
    if report.awarded != rows:
        raise RuntimeError(f"{report.awarded} of {rows} orders were awarded")
    return rows / seconds


def _with_latency(figure: Figure, load: Load) -> Figure:
    from dataclasses import replace

    return replace(figure, p50_ms=load.percentile_ms(50), p99_ms=load.percentile_ms(99))
