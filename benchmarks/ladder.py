"""(f) The ladder: what it adds to an award, how long a preview takes, and how quickly everybody is moved."""

import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from benchmarks import baselines
from benchmarks.figures import Figure, paired
from benchmarks.shop import CURRENCY, Shop, shop
from rewards.applying.bulk import apply_ladder
from rewards.core.clock import utc_now
from rewards.core.collector import tune_for_batches
from rewards.core.database import Database, connect_database
from rewards.core.progress import unheard
from rewards.core.settings import Settings
from rewards.decide.commands import Award, Purchase
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.preview.moves import MovesReport, preview_moves
from rewards.program.document import ProgramDocument
from rewards.program.loading import load_text
from rewards.program.versions import publish

CUSTOMERS = 100_000
ORDERS_EACH = 6
MOST_PREVIEW_MS = 10_000.0
LEAST_MOVES = 5_000.0
ROUNDS = 4
#: Two ladders between which most customers are in another tier.
_ONE, _OTHER = (100, 500, 1_500), (30, 200, 700)

AWARD_CUSTOMERS = 10_000
AWARDS_AT_ONCE = 1_000
AWARD_ROUNDS = 30
MOST_TIMES_THE_COST = 1.3

_PROGRAM = """
schema_version: 1
name: Benchmark
currency: GBP
timezone: Europe/London
earn:
- {id: base, activity: purchase, gives: {type: per_amount, points: 1, per_minor: 100}}
"""
_LADDER = """
ladder:
  window: {type: rolling, period: P12M}
  lasts: {type: after, period: P12M}
  downgrade: {to: one_lower, grace: P1M}
  tiers:
  - {id: member, name: Member}
  - {id: bronze, name: Bronze, ways_in: [{points: BRONZE}], earn_multiplier_pct: 110}
  - {id: silver, name: Silver, ways_in: [{points: SILVER}, {orders: 12}], earn_multiplier_pct: 125}
  - {id: gold, name: Gold, ways_in: [{points: GOLD}], earn_multiplier_pct: 150, redemption_value_pct: 120}
  - {id: black, name: Black, ways_in: [{points: 4000}], earn_multiplier_pct: 200, redemption_value_pct: 150}
"""


def program(bronze: int | None = None, silver: int = 500, gold: int = 1_500) -> ProgramDocument:
    """Return a program with a ladder of five tiers; without ``bronze``, with none."""
    if bronze is None:
        return load_text(_PROGRAM)
    ladder = _LADDER.replace("BRONZE", str(bronze)).replace("SILVER", str(silver)).replace("GOLD", str(gold))
    return load_text(_PROGRAM + ladder)


def fill(database: Database, customers: int) -> None:
    """Store six orders for each customer, over two years, by SQL; their digests are made up, which nobody looks at."""
    parameters: dict[str, Any] = {"most": customers - 1, "each": ORDERS_EACH}
    # From the numbers alone, so that each run has the same shop.
    orders = """
        SELECT 'cust-' || c AS customer_id, s AS seq, 10 + (c * 7919 + s * 104729) % (c % 40 * 20 + 50) AS points,
               date_trunc('second', now()) - interval '1 hour' * ((c * 31 + (:each - s) * 2900) % 17000) AS at
        FROM generate_series(0, :most) AS c, generate_series(1, :each) AS s"""
    with database.engine.begin() as conn:
        for statement in (
            f"""WITH orders AS ({orders}), totals AS (
                    SELECT customer_id, sum(points) AS points, min(at) AS first_at, max(at) AS last_at
                    FROM orders GROUP BY customer_id)
                INSERT INTO accounts (customer_id, seq, balance, available, as_of, purchases, spent_minor, joined_at,
                    last_purchase_at, last_activity_at)
                SELECT customer_id, :each, points, points, last_at, :each, points * 100, first_at, last_at, last_at
                FROM totals""",
            f"""WITH orders AS ({orders})
                INSERT INTO activities (customer_id, activity_key, award_seq, points, program_version, occurred_at,
                    body, grants, qualifying_points, spend_minor)
                SELECT customer_id, 'purchase:' || seq, seq, points, 1, at,
                    json_build_object('type', 'purchase', 'order_id', seq::text, 'total_minor', points * 100),
                    json_build_array(json_build_object('rule_id', 'base', 'points', points)), points, points * 100
                FROM orders""",
            f"""WITH orders AS ({orders})
                INSERT INTO lots (customer_id, lot_seq, points, remaining, available_at)
                SELECT customer_id, seq, points, points, at FROM orders""",
        ):
            conn.execute(text(statement), parameters)
    baselines.vacuum(database, "accounts", "activities", "lots")


def bench_ladder() -> list[Figure]:
    """Preview and apply ladders to 100,000 customers with six orders each, then award with one and without."""
    tune_for_batches()
    return [*_bench_moving(), _bench_awards()]


def _bench_moving() -> list[Figure]:
    with shop() as place:
        database = place.database
        _publish(database, program(), years=10)
        fill(database, CUSTOMERS)
        # In force since before the orders, as in a shop whose customers climbed one after the other.
        _publish(database, program(*_ONE), years=3)
        apply_ladder(database, utc_now(), unheard)
        previews: list[float] = []
        moves: list[tuple[float, float]] = []
        beside: list[dict[str, float]] = []
        for number in range(ROUNDS):
            draft = program(*(_ONE if number % 2 else _OTHER))
            report = _preview(database, draft)
            previews.append(report.seconds * 1_000)
            _publish(database, draft)
            with _awards_beside(place) as told:
                started = time.perf_counter()
                applied = apply_ladder(database, utc_now(), unheard)
                seconds = time.perf_counter() - started
            if applied.failed or applied.moves < len(report.moved) * 0.9:
                raise RuntimeError(f"{applied.moves} moves where {len(report.moved)} were previewed")
            moves.append((applied.moves / seconds, LEAST_MOVES))
            beside.append(told)
    preview = paired(
        "preview of who moves, 100,000 customers (at most)",
        "ms",
        [(each, MOST_PREVIEW_MS) for each in previews],
        "the target",
        1.0,
    )
    applying = paired("bulk apply while awards go on", "moves/s", moves, "the target", 1.0)
    awards = sorted(beside, key=lambda told: told["per_second"])[len(beside) // 2]
    going_on = Figure(
        "awards beside the bulk apply, twenty at once",
        "awards/s",
        awards["per_second"],
        p50_ms=awards["p50_ms"],
        p99_ms=awards["p99_ms"],
    )
    return [preview, applying, going_on]


def _publish(database: Database, document: ProgramDocument, years: float = 0) -> None:
    now = utc_now()
    with database.engine.begin() as conn:
        publish(conn, document, effective_from=now - timedelta(days=365 * years), now=now, actor="bench")


def _preview(database: Database, draft: ProgramDocument) -> MovesReport:
    with database.engine.connect() as conn:
        report = preview_moves(conn, draft, now=utc_now())
    if report is None:
        raise RuntimeError("there is no ladder")
    return report


@contextmanager
def _awards_beside(place: Shop) -> Iterator[dict[str, float]]:
    """Award in a process of its own meanwhile, as a server does; say afterwards how that went."""
    start = "import sys; from benchmarks.ladder import award_until_told; award_until_told(sys.argv[1])"
    command = [sys.executable, "-c", start, str(place.settings.home)]
    told: dict[str, float] = {}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        yield told
        process.stdin.close()
        told.update(json.loads(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()


def award_until_told(home: str) -> None:
    """Award to twenty customers ten times a second, until the end of the input; print how long they took."""
    settings = Settings(home=Path(home), currency=CURRENCY, database_url=None)
    database = connect_database(settings, application_name="bench awards")
    engine = Engine(database)
    is_over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), is_over.set()), daemon=True).start()
    _award(engine, 20, 0)
    print("ready", flush=True)
    taken: list[float] = []
    started = time.perf_counter()
    while not is_over.wait(0.1):
        taken.append(_award(engine, 20, len(taken) * 7_919))
    seconds = time.perf_counter() - started
    database.dispose()
    taken.sort()
    told = {
        "per_second": 20 * len(taken) / seconds,
        "p50_ms": taken[len(taken) // 2] * 1_000,
        "p99_ms": taken[len(taken) * 99 // 100] * 1_000,
    }
    print(json.dumps(told), flush=True)


def _award(engine: Engine, count: int, first: int, customers: int = CUSTOMERS) -> float:
    """Award so many orders of 49.99, each to another customer; return the seconds that it took."""
    run = uuid.uuid4().hex[:12]
    submissions = []
    for number in range(count):
        activity = Purchase(type="purchase", order_id=f"{run}-{number}", total_minor=4_999, currency=CURRENCY)
        customer_id = f"cust-{(first + number) % customers}"
        command = Award(customer_id=customer_id, activity=activity)
        submissions.append(Submission(command, f"{run}-{number}", "bench"))
    now = utc_now()
    started = time.perf_counter()
    answers = engine.execute(submissions, now)
    seconds = time.perf_counter() - started
    if any(answer.status != 201 for answer in answers):
        raise RuntimeError("an award was refused")
    return seconds


def _bench_awards() -> Figure:
    with shop() as without, shop() as laddered:
        for place in (without, laddered):
            _publish(place.database, program(), years=10)
            fill(place.database, AWARD_CUSTOMERS)
        _publish(laddered.database, program(*_ONE), years=3)
        apply_ladder(laddered.database, utc_now(), unheard)
        engines = Engine(laddered.database), Engine(without.database)
        pairs: list[tuple[float, float]] = []
        for number in range(-3, AWARD_ROUNDS):
            first = number * AWARDS_AT_ONCE % AWARD_CUSTOMERS
            with_it, without_it = (
                _award(engine, AWARDS_AT_ONCE, first, AWARD_CUSTOMERS) * 1e6 / AWARDS_AT_ONCE
                for engine in engines
            )
            if number >= 0:
                pairs.append((with_it, without_it))
    return paired(
        "cost of an award with a ladder of five tiers (at most)",
        "µs",
        pairs,
        "without a ladder",
        MOST_TIMES_THE_COST,
    )
