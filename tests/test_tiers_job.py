"""The job `tiers`: who is behind a ladder is brought up, what time has made of standings is booked, welcomes are sent."""

import os
import subprocess
import sys
import threading
import time

import pytest
from pydantic_core import from_json
from sqlalchemy import text
from tiers_shop import DAY, HIGHER, LADDER, NOW, Shop

from benchmarks.ladder import fill, program
from rewards.applying import bulk
from rewards.applying.progress import Application, latest_application, read_application
from rewards.core.clock import utc_now
from rewards.core.database import Database
from rewards.core.progress import unheard
from rewards.decide.commands import Restand
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.jobs import run_job
from rewards.preview.moves import preview_moves
from rewards.program.versions import publish


def test_a_new_ladder_places_everyone(database: Database) -> None:
    shop = Shop(database)
    for name, pounds in (("ann", 120), ("bob", 20), ("cy", 400)):
        shop.buy(name, pounds, NOW - 9 * DAY)
    assert shop.job(NOW) == "0 customers settled"
    version = shop.publish(LADDER, NOW)
    told = "All customers are brought up to the ladder; 3 came into another tier."
    assert shop.job(NOW + DAY) == f"0 customers settled; version {version}: {told}"
    assert shop.tiers() == {"ann": "silver", "bob": "bronze", "cy": "gold"}
    assert shop.moves("cy") == [(None, "bronze", "program"), ("bronze", "gold", "program")]
    # Once more there is nothing to do.
    assert shop.job(NOW + 2 * DAY) == "0 customers settled"
    with database.engine.connect() as conn:
        application = read_application(conn, version)
        assert application == latest_application(conn)
    assert application is not None
    assert (application.state, application.total, application.done, application.moved) == ("done", 3, 3, 3)
    shop.check()


def test_another_ladder_moves_those_whom_it_asks_more_of_and_a_ladder_gone_everyone(
    database: Database,
) -> None:
    shop = Shop(database, LADDER)
    for name, pounds in (("ann", 120), ("bob", 20), ("cy", 400)):
        shop.buy(name, pounds, NOW - 9 * DAY)
    version = shop.publish(HIGHER, NOW)
    assert f"version {version}: All customers are brought up to the ladder; 1 came" in shop.job(NOW)
    assert shop.tiers() == {"ann": "bronze", "bob": "bronze", "cy": "gold"}
    shop.publish("", NOW + DAY)
    assert "3 came into another tier" in shop.job(NOW + DAY)
    assert shop.tiers() == {"ann": None, "bob": None, "cy": None}
    assert shop.job(NOW + 2 * DAY) == "0 customers settled"
    shop.check()


def test_a_ladder_that_comes_later_waits_for_its_day(database: Database) -> None:
    shop = Shop(database, LADDER)
    shop.buy("ann", 120, NOW - 9 * DAY)
    shop.publish(HIGHER, NOW + 3 * DAY, now=NOW)
    assert shop.job(NOW + 2 * DAY) == "0 customers settled"
    assert shop.tiers() == {"ann": "silver"}
    shop.job(NOW + 3 * DAY)
    assert shop.tiers() == {"ann": "bronze"}
    shop.check()


def test_of_two_ladders_that_bear_one_version_the_second_is_applied_too(database: Database) -> None:
    shop = Shop(database, LADDER)
    shop.buy("ann", 120, NOW - 9 * DAY)
    shop.publish(HIGHER, NOW + 3 * DAY, now=NOW)
    # Published after it, in force before it: both stretches of time are known by this version.
    shop.publish(LADDER.replace("points: 100", "points: 110"), NOW + DAY, now=NOW)
    shop.job(NOW + DAY)
    assert shop.tiers() == {"ann": "silver"}
    shop.job(NOW + 3 * DAY)
    assert shop.tiers() == {"ann": "bronze"}
    shop.check()


def test_time_is_booked_when_it_is_due(database: Database) -> None:
    shop = Shop(database, LADDER)
    shop.buy("ann", 120, NOW)
    # By then the year in which that counts is over, too.
    assert shop.job(NOW + 180 * DAY) == "1 customers settled"
    assert shop.tiers() == {"ann": "silver"}
    assert shop.job(NOW + 400 * DAY) == "1 customers settled"
    assert shop.tiers() == {"ann": "bronze"}
    shop.check()


def test_welcomes_that_could_not_be_sent_are_sent(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = "- {id: hello, activity: tier, when: activity.name == 'silver', gives: {type: fixed, points: 25}}"
    shop = Shop(database, LADDER, rules)
    with monkeypatch.context() as cut_short:
        # As where the process dies between the order and what follows from it.
        cut_short.setattr(Engine, "_follow_up_at_once", lambda *_: None)
        shop.buy("ann", 120, NOW)
    assert shop.job(NOW + DAY) == "1 customers settled"
    with database.engine.connect() as conn:
        assert conn.scalar(text("SELECT balance FROM accounts")) == 145
    assert shop.job(NOW + DAY) == "0 customers settled"
    shop.check()


def test_a_run_that_is_cut_short_is_gone_on_with(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(database)
    shop.crowd(120)
    version = shop.publish(LADDER, NOW)
    monkeypatch.setattr(bulk, "CHUNK_CUSTOMERS", 10)

    class Cut(Exception):
        """The process ends."""

    def cut(_stage: str, done: int, _total: int | None) -> None:
        if done >= 30:
            raise Cut

    with pytest.raises(Cut):
        run_job("tiers", database, NOW, cut)
    placed = sum(tier is not None for tier in shop.tiers().values())
    assert 30 <= placed <= 60
    with database.engine.connect() as conn:
        application = read_application(conn, version)
    assert application is not None
    assert application.state == "running"
    assert application.told.endswith("of 120 customers are brought up to the ladder.")
    seen: list[tuple[int, int | None]] = []
    run_job("tiers", database, NOW + DAY, lambda _stage, done, total: seen.append((done, total)))
    assert seen[0] == (placed, 120)
    assert seen[-1] == (120, 120)
    with database.engine.connect() as conn:
        application = read_application(conn, version)
    assert application is not None
    assert (application.state, application.moved) == ("done", 120)
    shop.check()


def test_awards_go_on_meanwhile(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(database, LADDER)
    shop.crowd(300)
    shop.publish(HIGHER, NOW)
    monkeypatch.setattr(bulk, "CHUNK_CUSTOMERS", 20)
    orders = [shop.order(f"c-{number:05d}", 10, NOW + DAY) for number in range(0, 300, 3)]
    failures: list[Exception] = []

    def buy() -> None:
        try:
            for number, order in enumerate(orders):
                [answer] = shop.engine.execute([Submission(order, f"m{number}", "tests")], NOW + DAY)
                assert answer.status == 201, answer.body
        except Exception as error:  # noqa: BLE001 - told in the test's own thread
            failures.append(error)

    beside = threading.Thread(target=buy)
    beside.start()
    shop.job(NOW + DAY)
    beside.join()
    assert not failures
    assert shop.job(NOW + DAY) == "0 customers settled"
    shop.check()


def test_a_restand_leaves_points_and_their_history_alone(database: Database) -> None:
    shop = Shop(database)
    shop.buy("ann", 120, NOW - DAY)
    shop.publish(LADDER, NOW)
    kept = "SELECT seq, balance, available, digest FROM accounts"
    with database.engine.connect() as conn:
        before = conn.execute(text(kept)).one()
    [answer] = shop.engine.execute([Submission(Restand(customer_id="ann"), None, "tests")], NOW)
    assert from_json(answer.body) == {"customer_id": "ann", "moves": 2}
    with database.engine.connect() as conn:
        assert conn.execute(text(kept)).one() == before
    [answer] = shop.engine.execute([Submission(Restand(customer_id="nobody"), None, "tests")], NOW)
    assert answer.status == 404


@pytest.mark.slow
def test_a_run_that_is_killed_is_gone_on_with_by_the_next(database: Database) -> None:
    with database.engine.begin() as conn:
        publish(conn, program(), now=NOW, actor="t", effective_from=NOW - 4_000 * DAY)
    fill(database, 8_000)
    with database.engine.begin() as conn:
        version = publish(conn, program(100), now=utc_now(), actor="t").version
    with database.engine.connect() as conn:
        report = preview_moves(conn, program(100), now=utc_now())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REWARDS_")}
    environment["REWARDS_DATABASE_URL"] = database.libpq_url
    environment["REWARDS_SECRET_KEY"] = "a secret that only the tests know"
    command = [sys.executable, "-m", "rewards.cli", "jobs", "run", "tiers"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while (application := _application(database, version)) is None or not application.done:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert application.done < 8_000
    done = bulk.apply_ladder(database, utc_now(), unheard)
    assert 0 < done.customers < 8_000
    assert done.application is not None
    assert (done.application.state, done.application.moved) == ("done", 8_000)
    assert report is not None
    assert report.moved == []
    with database.engine.connect() as conn:
        gapless = "SELECT count(*) FROM accounts AS a WHERE CAST(standing ->> 12 AS int) <> (SELECT count(*) FROM moves AS m WHERE m.customer_id = a.customer_id)"
        assert conn.scalar(text(gapless)) == 0


def _application(database: Database, version: int) -> Application | None:
    with database.engine.connect() as conn:
        return read_application(conn, version)
