"""`rewards import`, `jobs` and `check`."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from rewards.core.database import Database
from rewards.core.settings import Settings

HEADER = "order_id,customer_id,ordered_at,amount,currency\n"


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    rows = [
        f"{number},c-{number % 7},2026-01-{1 + number % 28:02d}T10:00Z,{number}.00,USD\n"
        for number in range(40)
    ]
    path.write_text(HEADER + "".join(rows) + "x,c-1,never,1,USD\n", encoding="utf-8")
    return path


def test_an_import_says_what_became_of_each_row(
    rewards: Callable[..., Any], orders: Path, tmp_path: Path
) -> None:
    errors = tmp_path / "errors.csv"
    done = rewards("import", "orders", orders, "--errors", errors)
    assert done.exit_code == 0
    figures = [line.split(None, 1) for line in done.stdout.splitlines()]
    assert figures[0][0] == "41"
    assert figures[1] == ["40", "orders awarded, 780 points"]
    assert figures[-2:] == [["0", "rows already imported"], ["1", "rows rejected"]]
    assert "1 × invalid-time" in done.stderr
    assert "line 42: ordered_at is 'never'" in done.stderr
    assert "invalid-time" in errors.read_text(encoding="utf-8")
    again = rewards("import", "orders", orders)
    assert again.exit_code == 0
    assert "40 rows already imported" in again.stdout
    assert "--errors FILE" in again.stderr


def test_an_import_of_nothing_usable_fails(rewards: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(HEADER + "x,c-1,never,1,USD\n", encoding="utf-8")
    assert rewards("import", "orders", path).exit_code == 1
    path.write_text(HEADER, encoding="utf-8")
    assert rewards("import", "orders", path).exit_code == 0
    missing = rewards("import", "orders", tmp_path / "missing.csv")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert missing.stderr == f"There is no file {tmp_path / 'missing.csv'}\n"


def test_an_import_of_customers_says_what_became_of_each_row(
    rewards: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "customers.csv"
    path.write_text("customer_id,birthday\nc-1,05-17\nc-2,never\n", encoding="utf-8")
    done = rewards("import", "customers", path)
    assert done.exit_code == 0
    assert "1 profiles new, 0 changed, 0 as they were" in done.stdout
    assert "1 × invalid-birthday" in done.stderr
    path.write_text("customer_id,birthday\nc-2,never\n", encoding="utf-8")
    assert rewards("import", "customers", path).exit_code == 1


def test_an_import_without_awards_gives_no_points(rewards: Callable[..., Any], orders: Path) -> None:
    assert "40 orders recorded without points" in rewards("import", "orders", orders, "--no-award").stdout


@pytest.mark.slow
def test_a_killed_import_is_resumed_without_a_double_award(
    start: Callable[..., Any], settings: Settings, database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "many.csv"
    rows = [f"{number},c-{number % 900},2026-01-01T10:00Z,3.00,USD\n" for number in range(12_000)]
    path.write_text(HEADER + "".join(rows), encoding="utf-8")

    def stored() -> Any:
        with database.engine.connect() as connection:
            return connection.execute(
                text("SELECT count(*), coalesce(sum(points), 0) FROM entries WHERE kind = 'award'")
            ).one()

    killed = start("import", "orders", path, settings=settings)
    while killed.poll() is None and stored()[0] < 2000:
        time.sleep(0.02)
    killed.kill()
    killed.communicate()
    before = stored()[0]
    assert 2000 <= before < 12_000

    stopped = start("import", "orders", path, settings=settings)
    while stopped.poll() is None and stored()[0] < before + 2000:
        time.sleep(0.02)
    stopped.send_signal(signal.SIGINT)
    _, err = stopped.communicate(timeout=60)
    assert stopped.returncode == 130
    assert err.endswith("run the same command again to go on.\n")

    finished = start("import", "orders", path, settings=settings)
    _, err = finished.communicate(timeout=120)
    assert finished.returncode == 0, err
    assert tuple(stored()) == (12_000, 36_000)


def test_jobs_are_listed_and_run(rewards: Callable[..., Any], orders: Path) -> None:
    assert rewards("import", "orders", orders).exit_code == 0
    listed = rewards("jobs", "list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == [
        "JOB",
        "release-holds",
        "expire",
        "referrals",
        "tiers",
        "rollups",
        "celebrations",
        "segments",
    ]
    assert "never" in listed[1]
    run = rewards("jobs", "run", "all", "--now", "2027-06-01T00:00:00Z")
    assert run.exit_code == 0
    told = run.stdout.splitlines()
    # What follows is how many metrics were worked out of it.
    assert told.pop(4).startswith("rollups: 7 customers all worked out anew, generation 1")
    assert told == [
        "release-holds: 0 customers settled, 0 points released",
        "expire: 7 customers settled, 780 points expired",
        "referrals: 0 referrals followed up, 0 expired",
        "tiers: 0 customers settled",
        "celebrations: 0 birthdays and 0 anniversaries, 0 points",
        (
            "segments: 0 customers looked at, 0 came into a segment, 0 left one;"
            " 0 drawn, 0 offered, 0 offers ended"
        ),
    ]
    assert "ok: 7 customers settled" in rewards("jobs", "list").stdout


def test_an_unknown_job_is_one_line(rewards: Callable[..., Any]) -> None:
    unknown = rewards("jobs", "run", "weather")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert (
        unknown.stderr
        == "There is no job 'weather'; there are: release-holds, expire, referrals, tiers, rollups, celebrations,"
        " segments\n"
    )
    when = rewards("jobs", "run", "expire", "--now", "soon")
    assert (when.exit_code, len(when.stderr.splitlines())) == (1, 1)


def test_check_names_each_break(
    rewards: Callable[..., Any], orders: Path, database: Database, tampering: Any
) -> None:
    assert rewards("import", "orders", orders).exit_code == 0
    sound = rewards("check")
    assert (sound.exit_code, sound.stdout) == (0, "")
    assert sound.stderr == "7 customers, 40 entries: every invariant holds\n"
    assert json.loads(rewards("check", "--json").stdout) == {
        "ok": True,
        "customers": 7,
        "entries": 40,
        "breaks": [],
    }

    with database.engine.begin() as connection, tampering(connection):
        connection.execute(
            text("UPDATE entries SET points = points + 1 WHERE customer_id = 'c-3' AND seq = 2")
        )
    broken = rewards("check")
    assert broken.exit_code == 1
    assert "customer c-3, entry 2" in broken.stdout
    report = json.loads(rewards("check", "--json").stdout)
    assert report["ok"] is False
    assert {(each["customer_id"], each["seq"]) for each in report["breaks"]} >= {("c-3", 2)}


def test_output_that_nobody_reads_to_its_end_is_no_error(
    start: Callable[..., Any], settings: Settings
) -> None:
    process = start("program", "schema", settings=settings)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    process.wait(30)
    assert "Traceback" not in err
