"""(d) Does a full ledger slow awards down? Awards a second on 10,000 stored entries and on 5 million."""

from sqlalchemy import text

from benchmarks import baselines
from benchmarks.awards import CONNECTIONS, single_awards
from benchmarks.figures import Figure, paired
from benchmarks.http_load import send_all
from benchmarks.shop import Shop, shop

FEW, MANY = 10_000, 5_000_000
ENTRIES_EACH = 10
ROUNDS = 5


def bench_stored() -> list[Figure]:
    """Single awards over HTTP: two shops side by side, one with 500 times the history of the other."""
    with shop() as small, shop() as large:
        fill(small, FEW)
        fill(large, MANY)
        pairs: list[tuple[float, float]] = []
        with small.serving() as small_port, large.serving() as large_port:
            for place, port, entries in ((small, small_port, FEW), (large, large_port, MANY)):
                _rate(place, port, entries, seconds=30)
            for _ in range(ROUNDS):
                few = _rate(small, small_port, FEW)
                many = _rate(large, large_port, MANY)
                pairs.append((many, few))
        return [
            paired("awards with 5,000,000 entries stored", "awards/s", pairs, "with 10,000 entries", 0.85)
        ]


def _rate(place: Shop, port: int, entries: int, seconds: float = 5) -> float:
    requests = single_awards(place, int(6_000 * seconds), customers=entries // ENTRIES_EACH)
    return send_all(port, requests, CONNECTIONS, seconds=seconds).must_be(201).per_second


def fill(place: Shop, entries: int) -> None:
    """Store so many awards by SQL, ten for each customer; their digests are made up, which no award looks at."""
    customers = entries // ENTRIES_EACH
    parameters = {"most": customers - 1, "each": ENTRIES_EACH}
    source = """
        SELECT 'cust-' || c AS customer_id, s AS seq, now() - interval '1 day' * (:each - s) AS at
        FROM generate_series(0, :most) AS c, generate_series(1, :each) AS s"""
    with place.database.engine.begin() as conn:
        conn.execute(
            text(
                """INSERT INTO accounts (customer_id, seq, balance, available, as_of, next_change_at)
                SELECT 'cust-' || c, :each, :each * 49, :each * 49, now(), now() + interval '300 days'
                FROM generate_series(0, :most) AS c"""
            ),
            parameters,
        )
        for statement in (
            """INSERT INTO entries (customer_id, seq, kind, points, balance_after, occurred_at, recorded_at, cause,
                    program_version, actor, idempotency_key, digest)
                SELECT customer_id, seq, 'award', 49, 49 * seq, at, at, 'purchase:' || seq, 1, 'key:x', 'k' || seq,
                    sha256(convert_to(customer_id || seq, 'UTF8')) FROM source""",
            """INSERT INTO commands (customer_id, idempotency_key, kind, input_hash, status, answer, recorded_at)
                SELECT customer_id, 'k' || seq, 'award', sha256(convert_to(customer_id || seq, 'UTF8')), 201,
                    repeat('x', 450), at FROM source""",
            """INSERT INTO activities (customer_id, activity_key, award_seq, points, program_version, occurred_at,
                    body, grants)
                SELECT customer_id, 'purchase:' || seq, seq, 49, 1, at,
                    json_build_object('type', 'purchase', 'order_id', seq::text, 'total_minor', 4999), '[]'
                FROM source""",
            """INSERT INTO lots (customer_id, lot_seq, points, remaining, available_at, expires_at)
                SELECT customer_id, seq, 49, 49, at, at + interval '1 year' FROM source""",
        ):
            conn.execute(text(f"WITH source AS ({source}) {statement}"), parameters)
    baselines.vacuum(place.database, "accounts", "entries", "commands", "activities", "lots")
