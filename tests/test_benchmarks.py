"""The benchmarks do the work that they say; how quick that is, only a quiet machine can tell."""

from datetime import timedelta

from benchmarks.deciding import bench_decide
from benchmarks.ladder import fill, program
from benchmarks.lifetime import bench_lifetime
from benchmarks.metrics import cohorts, dashboard, facts, report
from rewards.applying.bulk import apply_ladder
from rewards.core.clock import utc_now
from rewards.core.database import Database
from rewards.core.progress import unheard
from rewards.preview.moves import preview_moves
from rewards.program.versions import publish


def test_thirty_rules_are_measured_beside_one() -> None:
    rates, costs = bench_decide(rounds=1)
    assert rates.unit == "decisions/s"
    assert rates.value > 0
    assert costs.ratio is not None
    assert costs.ratio > 1
    assert costs.target == 4


def test_the_shop_of_the_ladder_moves_as_previewed(database: Database) -> None:
    now = utc_now()
    with database.engine.begin() as conn:
        publish(conn, program(), now=now, actor="bench", effective_from=now - timedelta(days=3_650))
    fill(database, 300)
    with database.engine.begin() as conn:
        publish(conn, program(100), now=now, actor="bench", effective_from=now - timedelta(days=1_095))
    assert apply_ladder(database, now, unheard).customers == 300
    with database.engine.connect() as conn:
        report = preview_moves(conn, program(30, 200, 700), now=now)
    assert report is not None
    assert len(report.moved) > 50
    with database.engine.begin() as conn:
        publish(conn, program(30, 200, 700), now=now, actor="bench")
    applied = apply_ladder(database, now, unheard)
    assert (applied.customers, applied.failed) == (300, 0)
    assert applied.application is not None
    assert applied.application.moved == len(report.moved)


def test_fits_are_measured_beside_lifetimes_and_agree_with_it() -> None:
    published, made_up = bench_lifetime(many=3_000, rounds=(1, 1))
    assert published.baseline_name == made_up.baseline_name == "lifetimes"
    assert min(published.value, made_up.value) > 0
    assert (published.target, made_up.target) == (1, 1)


def test_the_large_shop_has_what_metrics_look_for(database: Database) -> None:
    first, again = facts(database, 3_000)
    assert min(first.value, again.value) > 0
    page, whole = dashboard(database), report(database)
    assert page.p50_ms is not None
    assert (page.target, whole.target) == (1, 1)
    # That both come to the same cells is checked where they are measured.
    assert cohorts(database).baseline_name == "DuckDB"
