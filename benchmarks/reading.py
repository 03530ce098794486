"""(c) Redemptions and balance reads over HTTP, with their latencies, beside the cheapest endpoint there is."""

import json
import uuid
from dataclasses import replace

from benchmarks.awards import CONNECTIONS, CUSTOMERS, batches
from benchmarks.figures import Figure, paired
from benchmarks.http_load import Load, request, send_all
from benchmarks.shop import Shop, shop

ROUNDS = 3


def bench_reads() -> list[Figure]:
    """Redemptions and balance reads a second, with p50 and p99, beside ``/healthz``, which does nothing."""
    with shop() as place, place.serving() as port:
        send_all(port, batches(place, 5 * CUSTOMERS // 1_000), connections=2).must_be(200)
        healthz = [request("GET", "/healthz", place.key)] * 15_000
        redeemed: list[tuple[Load, float]] = []
        read: list[tuple[Load, float]] = []
        for _ in range(ROUNDS):
            nothing = send_all(port, healthz, CONNECTIONS, seconds=5).must_be(200).per_second
            redeemed.append(
                (send_all(port, _redemptions(place, 15_000), CONNECTIONS, seconds=5).must_be(201), nothing)
            )
            read.append(
                (send_all(port, _balances(place, 15_000), CONNECTIONS, seconds=5).must_be(200), nothing)
            )
        return [
            _figure("redemptions over HTTP, 64 connections", redeemed),
            _figure("balance reads, 64 connections", read),
        ]


def _redemptions(place: Shop, count: int) -> list[bytes]:
    run = uuid.uuid4().hex[:12]
    requests = []
    for number in range(count):
        body = json.dumps({"customer_id": f"cust-{number * 7_919 % CUSTOMERS}", "points": 5}).encode()
        requests.append(request("POST", "/v1/redemptions", place.key, body, f"{run}-{number}"))
    return requests


def _balances(place: Shop, count: int) -> list[bytes]:
    return [
        request("GET", f"/v1/customers/cust-{number * 7_919 % CUSTOMERS}", place.key)
        for number in range(count)
    ]


def _figure(name: str, rounds: list[tuple[Load, float]]) -> Figure:
    figure = paired(name, "requests/s", [(load.per_second, nothing) for load, nothing in rounds], "/healthz")
    middle = sorted((load for load, _ in rounds), key=lambda load: load.per_second)[len(rounds) // 2]
    return replace(figure, p50_ms=middle.percentile_ms(50), p99_ms=middle.percentile_ms(99))
