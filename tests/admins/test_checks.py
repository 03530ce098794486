from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from rewards.admins.checks import SILENT_FOR, begin_check, last_check, run_check
from rewards.core.clock import utc_now
from rewards.core.database import Database
from rewards.decide.commands import Adjust
from rewards.decide.submission import Submission
from rewards.engine import Engine

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def checked(database: Database) -> int:
    given = [
        Submission(Adjust(customer_id=f"c-{number}", points=10, reason="A gift"), f"k-{number}", "test")
        for number in range(3)
    ]
    assert {answer.status for answer in Engine(database).execute(given, NOW)} == {201}
    with database.engine.begin() as conn:
        check_id = begin_check(conn, utc_now())
    assert check_id is not None
    return check_id


def test_a_check_says_what_it_found(database: Database, checked: int) -> None:
    with database.engine.begin() as conn:
        assert begin_check(conn, utc_now()) is None, "one is at work"
    run_check(database, checked)
    with database.engine.begin() as conn:
        check = last_check(conn)
        assert check is not None
        assert check.ok
        assert (check.customers_done, check.customers_total) == (3, 3)
        assert check.report is not None
        assert check.report["entries"] == 3
        assert check.finished_at is not None
        assert begin_check(conn, utc_now()) == checked + 1


def test_a_check_names_the_breaks(database: Database, checked: int) -> None:
    with database.engine.begin() as conn:
        conn.execute(text("UPDATE accounts SET balance = 11, available = 11 WHERE customer_id = 'c-1'"))
    run_check(database, checked)
    with database.engine.connect() as conn:
        check = last_check(conn)
    assert check is not None
    assert not check.ok
    assert check.report is not None
    assert check.report["breaks_found"] >= 1
    assert {each["customer_id"] for each in check.report["breaks"]} == {"c-1"}


def test_one_that_fell_silent_was_cut_short(database: Database, checked: int) -> None:
    with database.engine.begin() as conn:
        check = last_check(conn)
        assert check is not None
        later = check.seen_at + SILENT_FOR + timedelta(seconds=1)
        assert check.is_running(check.seen_at)
        assert check.was_cut_short(later)
        assert begin_check(conn, later) == checked + 1


def test_a_check_is_done_once(database: Database, checked: int) -> None:
    assert run_check(database, checked) is not None
    assert run_check(database, checked) is None
    assert run_check(database, 999) is None
