import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from rewards.core.database import Database
from rewards.core.errors import SetupError
from rewards.decide.commands import Award, Custom, Purchase, Redeem
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.jobs import JOBS, Done, Job, JobFailed, last_runs, run, run_job
from rewards.ledger.verification import verify
from rewards.program.points import ExpiresAfter, PointsPolicy
from rewards.program.rules import EarnRule, Fixed
from rewards.program.versions import publish, starter_program
from rewards.scheduler import Scheduler

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def shop(database: Database) -> Database:
    """Ten points for each visit, that wait a day and live for thirty."""
    document = starter_program("USD", "UTC").model_copy(
        update={
            "earn": (EarnRule(id="visit", activity="custom", gives=Fixed(type="fixed", points=10)),),
            "points": PointsPolicy(pending="P1D", expiry=ExpiresAfter(type="after", period="P30D")),
        }
    )
    with database.engine.begin() as connection:
        publish(connection, document, effective_from=NOW - timedelta(days=900), now=NOW, actor="test")
    return database


def visit(database: Database, customers: int, now: datetime) -> None:
    engine = Engine(database)
    for start in range(0, customers, 1000):
        awards = [
            Submission(
                Award(customer_id=f"c-{number:05d}", activity=Custom(type="custom", name="visit")),
                f"v-{now}",
                "test",
            )
            for number in range(start, min(start + 1000, customers))
        ]
        assert {answer.status for answer in engine.execute(awards, now)} == {201}


def nothing(database: Database, now: datetime, progress: Any) -> Done:
    return Done(0, "nothing to do")


def figures(database: Database) -> Any:
    with database.engine.connect() as connection:
        return tuple(
            connection.execute(
                text("SELECT sum(available), sum(pending), sum(held), sum(balance) FROM accounts")
            ).one()
        )


def job_run(database: Database, name: str) -> Any:
    with database.engine.connect() as connection:
        return last_runs(connection)[name]


def test_expire_books_what_time_has_brought_about_for_everyone(shop: Database) -> None:
    visit(shop, 2500, NOW)
    assert figures(shop) == (0, 25_000, 0, 25_000)
    seen: list[int] = []
    outcome = run_job("expire", shop, NOW + timedelta(days=1), lambda *told: seen.append(told[1]))
    assert (outcome.status, outcome.detail) == ("done", "2500 customers settled, 0 points expired")
    assert seen == [1000, 2000, 2500]
    assert figures(shop) == (25_000, 0, 0, 25_000)

    early = run_job("expire", shop, NOW + timedelta(days=30, seconds=-1))
    assert early.detail == "0 customers settled, 0 points expired"
    assert (
        run_job("expire", shop, NOW + timedelta(days=31)).detail
        == "2500 customers settled, 25000 points expired"
    )
    assert run_job("expire", shop, NOW + timedelta(days=31)).detail == "0 customers settled, 0 points expired"
    assert figures(shop) == (0, 0, 0, 0)
    with shop.engine.connect() as connection:
        occurred = connection.scalars(
            text("SELECT DISTINCT occurred_at FROM entries WHERE kind = 'expire'")
        ).all()
    assert occurred == [NOW + timedelta(days=30)]
    with shop.engine.connect() as connection:
        assert verify(connection).ok


def test_release_holds_gives_lapsed_holds_back(shop: Database) -> None:
    visit(shop, 3, NOW)
    day = NOW + timedelta(days=2)
    engine = Engine(shop)
    for customer_id, lasts in (("c-00000", "PT30M"), ("c-00001", "PT2H")):
        hold = Redeem(customer_id=customer_id, points=10, hold=True, hold_expires_in=lasts)
        assert engine.execute([Submission(hold, "h", "test")], day)[0].status == 201
    assert run_job("release-holds", shop, day + timedelta(minutes=29)).detail.startswith("0 customers")
    outcome = run_job("release-holds", shop, day + timedelta(minutes=30))
    assert outcome.detail == "1 customers settled, 10 points released"
    with shop.engine.connect() as connection:
        statuses = connection.scalars(text("SELECT status FROM redemptions ORDER BY customer_id")).all()
    assert statuses == ["expired", "held"]
    assert figures(shop)[2] == 10


def test_an_unknown_job_is_refused_with_the_names_of_those_there_are(database: Database) -> None:
    with pytest.raises(SetupError, match=r"no job 'tides'; there are: release-holds, expire"):
        run_job("tides", database, NOW)


def test_a_run_is_noted_and_a_persons_run_takes_no_turn_of_the_scheduler(database: Database) -> None:
    future = NOW + timedelta(days=400)
    run_job("expire", database, future)
    noted = job_run(database, "expire")
    assert (noted["ok"], noted["detail"]) == (True, "0 customers settled, 0 points expired")
    assert noted["started_at"] <= noted["finished_at"]
    assert noted["due_at"] < NOW
    assert run_job("expire", database, NOW, due_at=NOW).status == "done"
    assert job_run(database, "expire")["due_at"] == NOW
    run_job("expire", database, future)
    assert job_run(database, "expire")["due_at"] == NOW


def test_a_turn_is_taken_once(database: Database) -> None:
    assert run_job("expire", database, NOW, due_at=NOW).status == "done"
    assert run_job("expire", database, NOW, due_at=NOW).status == "not-due"
    assert run_job("expire", database, NOW, due_at=NOW - timedelta(minutes=5)).status == "not-due"
    assert run_job("expire", database, NOW, due_at=NOW + timedelta(minutes=5)).status == "done"


@pytest.mark.parametrize("left", ["ok = false, finished_at = now()", "ok = NULL, finished_at = NULL"])
def test_a_turn_that_failed_or_was_cut_short_is_taken_again(database: Database, left: str) -> None:
    run_job("expire", database, NOW, due_at=NOW)
    with database.engine.begin() as connection:
        connection.execute(text(f"UPDATE job_runs SET {left}"))
    assert run_job("expire", database, NOW, due_at=NOW).status == "done"


def test_a_failure_is_noted_and_raised(database: Database) -> None:
    def fail(database: Database, now: datetime, progress: Any) -> Done:
        raise ZeroDivisionError

    faulty = Job("faulty", "fails", timedelta(minutes=1), fail)
    with pytest.raises(ZeroDivisionError):
        run(faulty, database, NOW, due_at=NOW)
    noted = job_run(database, "faulty")
    assert (noted["ok"], noted["detail"]) == (False, "ZeroDivisionError")


def test_a_customer_who_cannot_be_settled_stops_no_other(shop: Database) -> None:
    visit(shop, 20, NOW)
    with shop.engine.begin() as connection:
        connection.execute(text("UPDATE accounts SET seq = 0 WHERE customer_id = 'c-00007'"))
    later = NOW + timedelta(days=40)
    with pytest.raises(JobFailed, match="1 of 20 customers could not be settled"):
        run_job("expire", shop, later, due_at=later)
    assert job_run(shop, "expire")["ok"] is False
    with shop.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM entries WHERE kind = 'expire'")) == 19


def test_while_one_process_runs_a_job_another_does_not(database: Database) -> None:
    running, finish = threading.Event(), threading.Event()

    def wait(database: Database, now: datetime, progress: Any) -> Done:
        running.set()
        assert finish.wait(20)
        return Done(1, "waited")

    slow = Job("slow", "waits", timedelta(minutes=1), wait)
    outcomes: list[Any] = []
    first = threading.Thread(target=lambda: outcomes.append(run(slow, database, NOW, due_at=NOW)))
    first.start()
    assert running.wait(20)
    assert run(slow, database, NOW, due_at=NOW).status == "already-running"
    assert run(slow, database, NOW).status == "already-running"
    assert run_job("expire", database, NOW).status == "done"
    finish.set()
    first.join(20)
    assert [outcome.status for outcome in outcomes] == ["done"]
    assert run(slow, database, NOW, due_at=NOW).status == "not-due"


def test_racing_processes_take_each_turn_once(shop: Database) -> None:
    visit(shop, 50, NOW)
    later = NOW + timedelta(days=40)
    outcomes: list[str] = []
    start = threading.Barrier(6)

    def race() -> None:
        start.wait(20)
        outcomes.append(run_job("expire", shop, later, due_at=later).status)

    racers = [threading.Thread(target=race) for _ in range(6)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert outcomes.count("done") == 1
    assert len(outcomes) == 6
    with shop.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM entries WHERE kind = 'expire'")) == 50


def test_the_lock_goes_with_the_session_that_held_it(database: Database) -> None:
    def lose_the_session(database: Database, now: datetime, progress: Any) -> Done:
        with database.engine.begin() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks"
                    " WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
                    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                )
            )
        return Done(1, "done")

    job = Job("unlucky", "loses its session", timedelta(minutes=1), lose_the_session)
    with pytest.raises(OperationalError, match="terminat"):
        run(job, database, NOW, due_at=NOW)
    calm = Job("unlucky", "does nothing", timedelta(minutes=1), nothing)
    assert run(calm, database, NOW, due_at=NOW).detail == "nothing to do"


@pytest.mark.parametrize(
    ("every_minutes", "now", "due"),
    [
        (5, "12:04:59", "12:00:00"),
        (5, "12:05:00", "12:05:00"),
        (1, "00:00:30", "00:00:00"),
        (60, "23:59:59", "23:00:00"),
    ],
)
def test_turns_are_at_fixed_instants(every_minutes: int, now: str, due: str) -> None:
    job = Job("any", "", timedelta(minutes=every_minutes), nothing)
    assert job.due_at(datetime.fromisoformat(f"2026-11-01T{now}Z")) == datetime.fromisoformat(
        f"2026-11-01T{due}Z"
    )


def test_the_scheduler_catches_up_at_its_start_and_survives_a_failing_database(
    shop: Database, database: Database
) -> None:
    long_ago = NOW - timedelta(days=800)
    visit(shop, 20, long_ago)
    for number in range(2):
        buy = Award(
            customer_id=f"c-{number:05d}",
            activity=Purchase(type="purchase", order_id="1", total_minor=1, currency="USD"),
        )
        Engine(shop).execute([Submission(buy, "o-1", "test")], long_ago)
    scheduler = Scheduler(shop)
    with shop.engine.begin() as connection:
        connection.execute(text("ALTER TABLE job_runs RENAME TO job_runs_away"))
    scheduler.start()
    try:
        scheduler.take_turn("expire")
        with shop.engine.begin() as connection:
            connection.execute(text("ALTER TABLE job_runs_away RENAME TO job_runs"))
        scheduler.take_turn("expire")
    finally:
        scheduler.stop()
    assert figures(shop) == (0, 0, 0, 0)
    noted = job_run(shop, "expire")
    assert noted["ok"] is True
    assert noted["due_at"] == JOBS["expire"].due_at(noted["due_at"])
