"""An import by several processes: the same outcome as by one, and no process that outlives its parent."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from rewards.core.database import Database, connect_database
from rewards.core.errors import BusyError, SetupError
from rewards.core.settings import Settings
from rewards.importing.chunks import Terms
from rewards.importing.csvfile import CsvFile
from rewards.importing.lanes import Lanes
from rewards.importing.orders import OrderReader
from rewards.importing.running import SMALL_FILE_BYTES, import_orders
from rewards.ledger.verification import verify
from rewards.program.versions import load_history

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
REPOSITORY = Path(__file__).parents[1]
ROWS = 48_000

needs_cores = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="an import uses one process per core"
)


@pytest.fixture
def mixed_orders(tmp_path: Path) -> Path:
    """Orders of 299 customers, returns of them that fit, exceed and miss, and rows that are rejected."""
    lines = ["order_id,customer_id,ordered_at,amount,currency,items,country"]
    for number in range(7_000):
        day = f"2026-{1 + number % 9:02d}-{1 + number % 28:02d}T{number % 24:02d}:00Z"
        amount = (
            f"-{number % 60 + 1 + 9_000 * (number % 66 == 5)}.25" if number % 6 == 5 else f"{number % 90}.50"
        )
        currency = "GBP" if number % 500 == 1 else ""
        items = "{" if number % 700 == 2 else ""
        country = "x" * 300 if number % 900 == 3 else "FR"
        lines.append(f"o{number},c-{number * 7 % 299},{day},{amount},{currency},{items},{country}")
    path = tmp_path / "mixed.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def second(server: Any, template: str) -> Iterator[Database]:
    name = f"{template}_{uuid.uuid4().hex[:12]}"
    server.create(name, template)
    database = connect_database(server.settings(name))
    yield database
    database.dispose()
    server.drop(name)


def lanes_at(database: Database) -> list[str]:
    """The last statement of each lane's connection."""
    statement = "SELECT query FROM pg_stat_activity WHERE application_name = 'rewards import'"
    with database.engine.connect() as connection:
        return list(
            connection.scalars(
                text(statement + " AND datname = current_database() AND pid <> pg_backend_pid()")
            )
        )


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    give_up_at = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def content(database: Database) -> list[Any]:
    with database.engine.connect() as connection:
        assert verify(connection).ok
        entries = connection.execute(
            text(
                "SELECT customer_id, seq, kind, points, balance_after, occurred_at, cause, program_version,"
                " actor, note, idempotency_key FROM entries ORDER BY customer_id, seq"
            )
        ).all()
        keys = connection.execute(
            text("SELECT customer_id, idempotency_key, input_hash, answer FROM commands ORDER BY 1, 2")
        ).all()
    return [*entries, *keys]


def test_several_processes_come_to_the_same_as_one(
    mixed_orders: Path, database: Database, second: Database, tmp_path: Path
) -> None:
    alone = import_orders(mixed_orders, database, now=NOW, processes=1, errors_path=tmp_path / "alone.csv")
    assert alone.rejected
    assert alone.returns_partly_matched
    assert alone.returns_unmatched
    used: list[str] = []

    def wait_for_the_others(stage: str, done: int, total: int | None) -> None:
        if stage == "Importing" and done == 0:
            until(lambda: len(lanes_at(second)) == 2)
            time.sleep(0.3)  # connected, and ready a moment later
        elif stage == "Importing" and done == total:
            used.extend(lanes_at(second))

    together = import_orders(
        mixed_orders,
        second,
        now=NOW,
        processes=3,
        errors_path=tmp_path / "together.csv",
        progress=wait_for_the_others,
    )
    assert used == ["COMMIT", "COMMIT"]
    assert replace(together, notes=[]) == replace(alone, notes=[])
    assert together.notes == alone.notes
    assert (tmp_path / "together.csv").read_bytes() == (tmp_path / "alone.csv").read_bytes()
    before = content(second)
    assert before == content(database)
    again = import_orders(mixed_orders, second, now=NOW, processes=2)
    assert (again.awarded, again.returns_matched, again.returns_partly_matched) == (0, 0, 0)
    assert content(second) == before
    until(lambda: not lanes_at(second))


def test_what_goes_wrong_on_a_lane_is_one_line_here(settings: Settings) -> None:
    terms = Terms((), award=True, now=NOW)
    nowhere = settings.model_copy(
        update={"database_url": SecretStr("postgresql://me:a-secret@127.0.0.1:9/none")}
    )
    with Lanes(1, nowhere, terms) as lanes, pytest.raises(SetupError, match="does not answer") as failed:
        list(lanes.receive(wait=True))
    assert "\n" not in str(failed.value)
    assert "a-secret" not in str(failed.value)


def test_an_order_that_the_engine_fails_on_is_reported_from_a_lane(
    mixed_orders: Path, database: Database
) -> None:
    with database.engine.begin() as connection:
        reader = OrderReader(CsvFile(mixed_orders), load_history(connection))
        connection.execute(text("ALTER TABLE activities RENAME TO activities_elsewhere"))
    orders = [order for order in reader.read()[0] if not order.items and not order.is_return][:3]
    with Lanes(1, database.settings, Terms(reader.attribute_names, award=True, now=NOW)) as lanes:
        until(lambda: bool(list(lanes.ready())))
        (lane,) = lanes.ready()
        lane.send(orders)
        (report,) = lanes.receive(wait=True)
    assert report.failed
    assert [(each.line, each.code) for each in report.rejected] == [
        (order.line, "internal-error") for order in orders
    ]


def test_secrets_are_not_in_a_lanes_arguments(database: Database) -> None:
    with Lanes(1, database.settings, Terms((), award=True, now=NOW)) as lanes:
        until(lambda: bool(list(lanes.ready())))
        (child,) = [each for each in psutil.Process().children() if "-P" in each.cmdline()]
        assert database.libpq_url not in " ".join(child.cmdline())
        assert "postgresql" not in " ".join(child.cmdline())
        child.kill()
        with pytest.raises(BusyError, match="run it again"):
            list(lanes.receive(wait=True))
    assert not child.is_running()


# Whole processes.


@pytest.fixture
def many_orders(tmp_path: Path) -> Path:
    path = tmp_path / "many.csv"
    rows = [f"order-{number},c-{number % 900},2026-01-01T10:00Z,3.00,USD\n" for number in range(ROWS)]
    path.write_text("order_id,customer_id,ordered_at,amount,currency\n" + "".join(rows), encoding="utf-8")
    assert path.stat().st_size > SMALL_FILE_BYTES
    return path


def start(settings: Settings, path: Path) -> subprocess.Popen[str]:
    assert settings.database_url is not None
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REWARDS_")}
    environment["PYTHONPATH"] = str(REPOSITORY)
    environment["REWARDS_DATABASE_URL"] = settings.database_url.get_secret_value()
    return subprocess.Popen(
        [sys.executable, "-m", "rewards.cli", "import", "orders", str(path)],
        cwd=path.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stored(database: Database) -> tuple[int, int]:
    with database.engine.connect() as connection:
        count, points = connection.execute(
            text("SELECT count(*), coalesce(sum(points), 0) FROM entries WHERE kind = 'award'")
        ).one()
    return count, int(points)


def lanes_of(process: subprocess.Popen[str], database: Database) -> list[psutil.Process]:
    """The lanes of an import, once they are at work: their first chunk is stored, and most are still to come."""
    until(lambda: process.poll() is not None or (stored(database)[0] > 0 and "COMMIT" in lanes_at(database)))
    assert process.poll() is None
    return psutil.Process(process.pid).children()


@needs_cores
@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_lanes_end_with_their_parent_and_a_second_run_completes(
    settings: Settings, database: Database, many_orders: Path, sent: signal.Signals
) -> None:
    stopped = start(settings, many_orders)
    lanes = lanes_of(stopped, database)
    assert lanes
    stopped.send_signal(sent)
    _, err = stopped.communicate(timeout=30)
    _, alive = psutil.wait_procs(lanes, timeout=10)
    assert alive == []
    until(lambda: not lanes_at(database), 10)
    if sent is signal.SIGINT:
        assert stopped.returncode == 130
        assert err.endswith("Stopped. What was imported is kept; run the same command again to go on.\n")
        assert "Traceback" not in err
    assert 0 < stored(database)[0] < ROWS
    finished = start(settings, many_orders)
    out, err = finished.communicate(timeout=120)
    assert finished.returncode == 0, err
    assert f"{ROWS:,} rows in" in out
    assert stored(database) == (ROWS, 3 * ROWS)


@needs_cores
@pytest.mark.slow
def test_a_killed_lane_ends_the_import_with_one_line(
    settings: Settings, database: Database, many_orders: Path
) -> None:
    failing = start(settings, many_orders)
    lanes_of(failing, database)[0].kill()
    out, err = failing.communicate(timeout=30)
    assert (failing.returncode, out) == (1, "")
    told = [line for line in err.splitlines() if not line.startswith("Importing: ")]
    assert told == ["A process of the import was ended; what was imported is kept, run it again to go on."]
