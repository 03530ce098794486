"""Connecting, migrating, and what the database itself refuses."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from alembic import command
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import SQLModel

from rewards.core.database import (
    Database,
    _alembic_config,
    connect_database,
    migrate,
    pending_migrations,
)
from rewards.core.errors import SetupError
from rewards.core.settings import Settings
from rewards.ledger.tables import APPEND_ONLY

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
ENTRY = """
    INSERT INTO entries (customer_id, seq, kind, points, balance_after, occurred_at, recorded_at, cause,
                         program_version, actor, digest)
    VALUES ('c-1', :seq, :kind, :points, 0, now(), now(), 'test', 1, 'test', :digest)
"""


def entry(**others: object) -> dict[str, object]:
    return {"seq": 1, "kind": "award", "points": 10, "digest": b"x" * 32, **others}


# Connecting.


def test_sessions_are_as_the_engine_expects_them(database: Database) -> None:
    with database.engine.connect() as connection:
        assert connection.scalar(text("SHOW timezone")) == "UTC"
        assert connection.scalar(text("SHOW transaction_isolation")) == "read committed"
        assert connection.scalar(text("SHOW application_name")) == "test"
        stored = connection.scalar(text("SELECT timestamptz '2026-07-01 12:00+02'"))
        assert stored == datetime(2026, 7, 1, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://db/rewards", "must look like postgresql://"),
        ("postgresql+asyncpg://db/rewards", "must look like postgresql://"),
        ("nonsense", "must look like postgresql://"),
        ("postgresql://user:hunter2@127.0.0.1:1/rewards", "does not answer"),
        ("postgresql://user:hunter2@/rewards?host=/nowhere", "does not answer"),
    ],
)
def test_an_unusable_address_is_said_in_one_line_without_its_password(url: str, reason: str) -> None:
    with pytest.raises(SetupError, match=reason) as caught:
        connect_database(Settings(database_url=url))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_addresses_in_libpqs_own_words_are_taken(settings: Settings) -> None:
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value().replace("postgresql+psycopg://", "postgres://")
    database = connect_database(
        settings.model_copy(update={"database_url": type(settings.database_url)(url)})
    )
    with psycopg.connect(database.libpq_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    database.dispose()


def test_a_database_that_does_not_exist_is_said_in_one_line(settings: Settings) -> None:
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value().replace("rewards_test_", "no_such_")
    with pytest.raises(SetupError, match=r'database "no_such_.*" does not exist'):
        connect_database(Settings(database_url=url))  # type: ignore[arg-type]


# Migrating.


def test_an_empty_database_is_brought_to_head_with_a_starter_program(empty_settings: Settings) -> None:
    database = connect_database(empty_settings)
    assert pending_migrations(database)
    migrate(database, NOW)
    assert not pending_migrations(database)
    assert set(inspect(database.engine).get_table_names()) == {*SQLModel.metadata.tables, "alembic_version"}
    with database.engine.connect() as connection:
        assert connection.scalar(text("SELECT version FROM program_versions")) == 1
    database.dispose()


def test_migrating_again_changes_nothing(database: Database) -> None:
    migrate(database)
    with database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM program_versions")) == 1


def test_processes_that_migrate_together_do_it_once(empty_settings: Settings) -> None:
    database = connect_database(empty_settings)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            migrate(database, NOW)
        except BaseException as error:  # noqa: BLE001 - it is reported below
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM program_versions")) == 1
    database.dispose()


def test_the_migrations_make_what_the_tables_declare(connection: Connection) -> None:
    command.check(_alembic_config(connection))  # raises where it finds a difference


def test_the_migrations_make_the_checks_that_the_tables_declare(connection: Connection) -> None:
    declared = {
        str(constraint.name)
        for table in SQLModel.metadata.tables.values()
        for constraint in table.constraints
        if constraint.name is not None
    }
    made = set(connection.scalars(text("SELECT conname FROM pg_constraint WHERE contype IN ('c', 'p', 'u')")))
    assert {name for name in declared if name.startswith("ck_")} <= made


def test_the_migrations_can_be_taken_back(database: Database) -> None:
    with database.engine.begin() as connection:
        command.downgrade(_alembic_config(connection), "base")
    assert inspect(database.engine).get_table_names() == ["alembic_version"]
    migrate(database, NOW)


def test_a_schema_from_a_newer_version_is_refused_in_one_line(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert pending_migrations(database)
    with pytest.raises(SetupError, match="install the newer version") as caught:
        migrate(database)
    assert "\n" not in str(caught.value)


def test_alembics_own_command_finds_nothing_to_add(settings: Settings) -> None:
    assert settings.database_url is not None
    finished = subprocess.run(
        [sys.executable, "-m", "alembic", "check"],
        env={**os.environ, "REWARDS_DATABASE_URL": settings.database_url.get_secret_value()},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


# What the database refuses.


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"])
def test_what_was_recorded_is_not_changed(connection: Connection, table: str, change: str) -> None:
    column = "version" if table == "program_versions" else "customer_id"
    with pytest.raises(DBAPIError, match=f"permission denied for table {table}"):
        connection.execute(text(change.format(table, column, column)))


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"])
def test_nor_by_whoever_has_every_privilege(connection: Connection, table: str, change: str) -> None:
    column = "version" if table == "program_versions" else "customer_id"
    connection.execute(text(f"GRANT ALL ON {table} TO CURRENT_USER"))
    with pytest.raises(
        IntegrityError, match=f'table "{table}" is append-only: {change.split(maxsplit=1)[0]} is refused'
    ):
        connection.execute(text(change.format(table, column, column)))


@pytest.mark.parametrize(
    ("row", "constraint"),
    [
        (entry(points=-1), "ck_entries_sign_fits_kind"),
        (entry(kind="gift"), "ck_entries_"),
        (entry(seq=0), "ck_entries_seq_starts_at_one"),
        (entry(digest=b"short"), "ck_entries_digest_is_sha256"),
    ],
)
def test_an_impossible_entry_is_refused_by_name(
    connection: Connection, row: dict[str, object], constraint: str
) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        connection.execute(text(ENTRY), row)


def test_tampering_needs_the_protection_lifted(
    connection: Connection, tampering: Callable[[Connection], AbstractContextManager[Connection]]
) -> None:
    connection.execute(text(ENTRY), entry())
    with tampering(connection):
        connection.execute(text("UPDATE entries SET points = 11"))
    assert connection.scalar(text("SELECT points FROM entries")) == 11
    with pytest.raises(DBAPIError, match="permission denied"):
        connection.execute(text("UPDATE entries SET points = 12"))
