"""The real database that every test runs on.

One embedded server serves the whole session, all workers included. It is migrated once, in a template
database, and a test that asks for ``database`` gets a copy of that. REWARDS_TEST_DATABASE_URL, the address of
an empty database whose user may create others, puts your own server in the embedded one's place.
"""

import fcntl
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError

from rewards.core.database import Database, connect_database, migrate
from rewards.core.embedded import EmbeddedServer, embedded_server
from rewards.core.settings import Settings

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SECRET = "a secret that only the tests know"
APPEND_ONLY = (
    "entries",
    "consumptions",
    "activities",
    "reversals",
    "retractions",
    "moves",
    "erasures",
    "commands",
    "program_versions",
)

# How quick the machine is says nothing of the code; the first text that is drawn builds tables for a second.
hypothesis_settings.register_profile("rewards", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("rewards")


# The session: one folder and one set of names for all workers.


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return  # a worker inherits the names
    for name in [
        name for name in os.environ if name.startswith("REWARDS_") and not name.startswith("REWARDS_TEST_")
    ]:
        del os.environ[name]  # the developer's own settings are no part of the tests
    home = Path(tempfile.mkdtemp(prefix="rewards-tests-"))
    home.chmod(0o711)  # root's server runs as another user, which passes through here
    os.environ["REWARDS_TEST_HOME"] = str(home)
    os.environ["REWARDS_TEST_TEMPLATE"] = f"rewards_test_{uuid.uuid4().hex[:12]}"


def pytest_unconfigure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput") or "REWARDS_TEST_HOME" not in os.environ:
        return
    home = Path(os.environ.pop("REWARDS_TEST_HOME"))
    if "REWARDS_TEST_DATABASE_URL" in os.environ:
        server = TestServer(home, make_url(os.environ["REWARDS_TEST_DATABASE_URL"]))
        server.drop(os.environ["REWARDS_TEST_TEMPLATE"])
        server.close()
    elif (home / "postgres").is_dir():
        embedded_server(home).stop_if_unused()  # it runs on where a worker was killed
    shutil.rmtree(home, ignore_errors=True)


@dataclass
class TestServer:
    """The session's server and what is done on it between tests."""

    __test__ = False

    home: Path
    url: URL

    def __post_init__(self) -> None:
        self.engine: Engine = create_engine(
            self.url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT", pool_size=1
        )

    def create(self, name: str, template: str | None = None) -> None:
        suffix = f" TEMPLATE {template} STRATEGY file_copy" if template else ""
        with self.engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}{suffix}"))

    def drop(self, name: str) -> None:
        # Autovacuum may be at work in it, which only a superuser may end; it soon ends by itself.
        for left in reversed(range(100)):
            try:
                with self.engine.connect() as connection:
                    connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
                break
            except ProgrammingError as error:
                if left == 0 or not isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
                    raise
                time.sleep(0.1)

    def has(self, name: str) -> bool:
        with self.engine.connect() as connection:
            found = connection.scalar(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name})
        return found is not None

    def settings(self, name: str, **others: Any) -> Settings:
        """Settings of a program that uses a database of this server."""
        url = self.url.set(database=name).render_as_string(hide_password=False)
        return Settings(database_url=url, home=self.home, secret_key=SECRET, **others)  # type: ignore[arg-type]

    def close(self) -> None:
        self.engine.dispose()


@pytest.fixture(scope="session")
def server() -> Iterator[TestServer]:
    """The session's server, with the migrated template database on it."""
    home = Path(os.environ["REWARDS_TEST_HOME"])
    given = os.environ.get("REWARDS_TEST_DATABASE_URL")
    embedded = None
    if given is None:
        embedded = embedded_server(home)
    server = TestServer(home, make_url(given or embedded.ensure_running()))  # type: ignore[union-attr]
    template = os.environ["REWARDS_TEST_TEMPLATE"]
    with (home / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not server.has(template):
            if embedded is not None:
                _spare_the_disk(embedded)
            server.create(f"{template}_new")
            database = connect_database(server.settings(f"{template}_new"))
            migrate(database, NOW)
            database.dispose()
            with server.engine.connect() as connection:
                connection.execute(text(f"ALTER DATABASE {template}_new RENAME TO {template}"))
    yield server
    server.close()
    if embedded is not None:
        embedded.close()


def _spare_the_disk(embedded: EmbeddedServer) -> None:
    """Copy databases in a third of the time. What a test can see is the same: only a power cut would tell.

    Tests of durability, which kill servers, start their own in a folder of their own, with nothing lifted.
    """
    with psycopg.connect(embedded.conninfo("postgres", "postgres"), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")


@pytest.fixture(scope="session")
def template(server: TestServer) -> str:
    """Name of the migrated database that others are copied from. Nobody connects to it."""
    return os.environ["REWARDS_TEST_TEMPLATE"]


# What a test asks for.


@pytest.fixture
def settings(server: TestServer, template: str) -> Iterator[Settings]:
    """Settings whose database is fresh, migrated, and this test's own."""
    name = f"{template}_{uuid.uuid4().hex[:12]}"
    server.create(name, template)
    yield server.settings(name)
    server.drop(name)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """A fresh migrated database of this test's own, with the starter program; commits are fine."""
    database = connect_database(settings, application_name="test", pool_size=4, max_overflow=60)
    yield database
    database.dispose()


@pytest.fixture
def empty_settings(server: TestServer) -> Iterator[Settings]:
    """Settings whose database is this test's own and has no tables yet."""
    name = f"rewards_test_empty_{uuid.uuid4().hex[:12]}"
    server.create(name)
    yield server.settings(name)
    server.drop(name)


@pytest.fixture(scope="session")
def worker_engine(server: TestServer, template: str) -> Iterator[Engine]:
    """A migrated database that one worker's tests share, each in a transaction that is rolled back."""
    name = f"{template}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    server.create(name, template)
    database = connect_database(server.settings(name), application_name="test", pool_size=2)
    yield database.engine
    database.dispose()
    server.drop(name)


@pytest.fixture
def connection(worker_engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that is rolled back: the quickest way to a database."""
    with worker_engine.connect() as connection:
        transaction = connection.begin()
        yield connection
        transaction.rollback()


@contextmanager
def tampering(connection: Connection) -> Iterator[Connection]:
    """Lift the protection of the append-only tables, as someone with bad intentions would.

    Use it as ``with tampering(connection): connection.execute(...)``; committing is the caller's.
    """
    for table in APPEND_ONLY:
        connection.execute(text(f"GRANT UPDATE, DELETE, TRUNCATE ON {table} TO CURRENT_USER"))
        connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
    yield connection
    for table in APPEND_ONLY:
        connection.execute(text(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM CURRENT_USER"))
        connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))


@pytest.fixture(name="tampering")
def _tampering() -> Any:
    """The function :func:`tampering`, for tests that cannot import from here."""
    return tampering
