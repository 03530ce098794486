"""The dashboard's metrics are worked out when something has changed, and kept."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from metric_database import NOW, Purchased, commands_of, load_shop, submit
from metric_samples import sample_metrics
from sqlalchemy import text

from rewards.core.database import Database
from rewards.facts.refresh import refresh
from rewards.jobs import run_job
from rewards.metrics import kept as keeping
from rewards.metrics.kept import Kept, keep, read_kept

ORDERS = [
    Purchased("c-1", "1", datetime(2026, 10, 1, 12, tzinfo=UTC), 1000),
    Purchased("c-1", "2", datetime(2026, 10, 20, 12, tzinfo=UTC), 1000, refunded=1000),
    Purchased("c-2", "3", datetime(2026, 10, 2, 12, tzinfo=UTC), 500),
]


@pytest.fixture(autouse=True)
def samples(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with sample_metrics(monkeypatch):
        yield


def _read(database: Database) -> Kept:
    with database.engine.connect() as conn:
        found = read_kept(conn)
    assert found is not None
    return found


def test_nothing_is_kept_before_there_are_facts(database: Database) -> None:
    assert keep(database, NOW).metrics == 0
    with database.engine.connect() as conn:
        assert read_kept(conn) is None


def test_what_is_kept_is_the_dashboards_metrics_with_their_charts(database: Database) -> None:
    load_shop(database, ORDERS)
    assert keep(database, NOW) == (7, ["broken"])
    found = _read(database)
    assert list(found.entries) == [
        "matured-repeat-rate", "cohorts", "liability", "broken", "effect", "association", "at-risk"
    ]  # fmt: skip
    assert found.shop.as_of.isoformat() == "2026-10-31"
    assert (found.shop.purchases, found.shop.customers, found.shop.left_out.refunded_whole) == (3, 2, 1)
    rate = found.entries["matured-repeat-rate"]
    assert (rate.result.value, rate.failed) == (0.3526, False)
    assert set(rate.drawings) == {"cohorts", "survival"}
    assert rate.drawings["survival"]["desk"].startswith("<svg")
    assert rate.drawings["survival"]["legend"] == ["Program", "Held out"]
    # The database's own error left the transaction good for the metrics that come after.
    assert found.entries["broken"].failed
    assert found.entries["effect"].result.evidence == "A"
    assert [table.key for table in found.entries["at-risk"].result.tables][-1] == "listed"


def test_headlines_are_kept_with_today_so_far_too(database: Database) -> None:
    load_shop(database, ORDERS)
    keep(database, NOW)
    entries = _read(database).entries
    today = entries["matured-repeat-rate"].today
    assert today is not None
    assert today.parameters["as_of"] == "2026-11-01"
    assert entries["matured-repeat-rate"].result.parameters["as_of"] == "2026-10-31"
    assert entries["effect"].today is None


def test_it_is_worked_out_again_only_for_news(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "REST", 0.0)
    load_shop(database, ORDERS)
    assert keep(database, NOW).metrics == 7
    assert keep(database, NOW + timedelta(minutes=1)).metrics == 0
    refresh(database, NOW)
    assert keep(database, NOW + timedelta(minutes=2)).metrics == 0
    submit(database, commands_of([Purchased("c-3", "4", datetime(2026, 10, 30, 12, tzinfo=UTC), 700)]))
    refresh(database, NOW)
    assert keep(database, NOW + timedelta(minutes=3)).metrics == 7
    assert _read(database).shop.purchases == 4
    # A day has ended.
    assert keep(database, NOW + timedelta(days=1)).metrics == 7
    assert _read(database).shop.as_of.isoformat() == "2026-11-01"


def test_a_large_shop_is_given_a_rest(database: Database) -> None:
    load_shop(database, ORDERS)
    keep(database, NOW)
    with database.engine.begin() as conn:
        conn.execute(text("UPDATE kept_shop SET seconds = 60, generation = 0"))
    assert keep(database, NOW + timedelta(seconds=200)).metrics == 0
    assert (
        keep(database, NOW - timedelta(days=0, seconds=1)).metrics == 7
    )  # a clock that was set back waits for nobody


def test_other_metrics_than_before_are_news(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    load_shop(database, ORDERS)
    keep(database, NOW)
    with database.engine.begin() as conn:
        conn.execute(text("UPDATE kept_shop SET metrics = 'of another version'"))
        conn.execute(text("UPDATE kept_metrics SET name = 'gone' WHERE name = 'effect'"))
    assert "gone" not in _read(database).entries
    assert keep(database, NOW).metrics == 7
    assert "effect" in _read(database).entries


def test_the_job_brings_facts_and_dashboard_up(database: Database) -> None:
    load_shop(database, ORDERS[:1])
    outcome = run_job("rollups", database, NOW)
    assert outcome.status == "done"
    assert "7 metrics worked out, of which failed: broken" in outcome.detail
    assert "metrics" not in run_job("rollups", database, NOW).detail
