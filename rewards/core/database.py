"""The database: finding it, connecting to it, bringing its schema to head."""

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from rewards.core.clock import utc_now
from rewards.core.errors import SetupError
from rewards.core.settings import Settings
from rewards.core.wire import register_arrays

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

    from rewards.core.embedded import EmbeddedServer

OLDEST_SERVER = 15
#: Advisory lock under which one process at a time migrates. Any number, but always this one.
MIGRATION_LOCK = 0x5257_4D49
MIGRATIONS = Path(__file__).parent.parent / "migrations"


class Database:
    """A PostgreSQL that is known to answer and to be new enough.

    Attributes:
        settings: what it was connected with.
        engine: SQLAlchemy's pool of connections: READ COMMITTED, time zone UTC.
        url: its address; the password is part of it.
    """

    def __init__(self, settings: Settings, engine: Engine, server: "EmbeddedServer | None") -> None:
        self.settings = settings
        self.engine = engine
        self.url: URL = engine.url
        self._server = server

    @property
    def is_embedded(self) -> bool:
        """Whether the server is the one under ``REWARDS_HOME``, which :meth:`revive` can start."""
        return self._server is not None

    @property
    def libpq_url(self) -> str:
        """The address as psql, pgbench and psycopg take it."""
        return self.url.set(drivername="postgresql").render_as_string(hide_password=False)

    def revive(self) -> None:
        """Start the embedded server again where it is down; your own server is your own to start.

        Raises:
            SetupError: it did not come up within a minute.
        """
        if self._server is not None:
            self._server.ensure_running()

    def dispose(self) -> None:
        """Close the pool. The embedded server goes on until the last process that uses it ends."""
        self.engine.dispose()


def connect_database(
    settings: Settings,
    *,
    application_name: str = "rewards",
    pool_size: int = 5,
    max_overflow: int = 5,
    pool_timeout: float = 10.0,
) -> Database:
    """Connect to the database of the settings, starting the embedded one where it is not running.

    Args:
        settings: where it is.
        application_name: what the server's activity view shows.
        pool_size: connections that are kept.
        max_overflow: connections beyond those, closed after use.
        pool_timeout: seconds to wait for a free one.

    Raises:
        SetupError: no server answers there, it is older than PostgreSQL 15, or it cannot be written to.
    """
    server: EmbeddedServer | None = None
    if settings.database_url is not None:
        url = _parse_url(settings.database_url.get_secret_value())
    else:
        server = _embedded(settings.home)
        url = make_url(server.ensure_running())
    # The pool's connections adapt values as the driver does at this moment.
    register_arrays()
    engine = create_engine(
        url,
        isolation_level="READ COMMITTED",
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=pool_timeout,
        # The last used connection first: under little load few stay warm, with their prepared statements.
        pool_use_lifo=True,
        connect_args={
            "application_name": application_name,
            "connect_timeout": 10,
            "options": "-c timezone=UTC",
            # A statement is prepared when it comes the third time: the hot path's few statements are, soon.
            "prepare_threshold": 2,
        },
    )
    try:
        _check_server(engine)
    except BaseException:
        engine.dispose()
        raise
    return Database(settings, engine, server)


def migrate(database: Database, now: datetime | None = None) -> None:
    """Bring the schema to head; a database without a program is given the starter program.

    All of it is one transaction under an advisory lock: processes that start together do it once.

    Args:
        database: what to migrate.
        now: when the starter program is published; the present by default.

    Raises:
        SetupError: the schema was made by a newer version of this program, or this user may not change it.
    """
    from alembic import command
    from alembic.util import CommandError

    from rewards.program.versions import publish_starter

    try:
        with database.engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            if _heads(connection) != _wanted_heads():
                command.upgrade(_alembic_config(connection), "head")
            if connection.scalar(text("SELECT count(*) FROM program_versions")) == 0:
                publish_starter(connection, database.settings, now or utc_now())
    except CommandError as error:
        raise SetupError(
            f"The database's schema is not one that this version knows ({error}): install the newer version"
        ) from error
    except DBAPIError as error:
        raise SetupError(f"The database cannot be migrated: {_first_line(error)}") from error


def pending_migrations(database: Database) -> bool:
    """Whether the schema is not at this version's head, so that ``rewards migrate`` has to run first."""
    try:
        with database.engine.connect() as connection:
            return _heads(connection) != _wanted_heads()
    except SQLAlchemyError as error:
        raise SetupError(f"The database cannot be read: {_first_line(error)}") from error


def _embedded(home: Path) -> "EmbeddedServer":
    if sys.platform == "win32":
        raise SetupError(
            "There is no embedded PostgreSQL on Windows: set REWARDS_DATABASE_URL to a PostgreSQL 15 or newer"
        )
    from rewards.core.embedded import embedded_server

    return embedded_server(home)


def _parse_url(given: str) -> URL:
    wanted = "must look like postgresql://user:password@host:5432/database"
    try:
        url = make_url(given)
    except (ArgumentError, ValueError) as error:
        raise SetupError(f"The setting REWARDS_DATABASE_URL {wanted}") from error
    if url.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise SetupError(f"The setting REWARDS_DATABASE_URL {wanted}; {url.drivername} is not supported")
    return url.set(drivername="postgresql+psycopg")


def _check_server(engine: Engine) -> None:
    where = engine.url.render_as_string(hide_password=True)
    try:
        with engine.connect() as connection:
            version = int(connection.scalar(text("SELECT current_setting('server_version_num')")) or 0)
            encoding = connection.scalar(text("SELECT current_setting('server_encoding')"))
            is_standby = connection.scalar(text("SELECT pg_is_in_recovery()"))
    except SQLAlchemyError as error:
        raise SetupError(f"The database {where} does not answer: {_first_line(error)}") from error
    if version // 10_000 < OLDEST_SERVER:
        raise SetupError(
            f"The database {where} is PostgreSQL {version // 10_000}; {OLDEST_SERVER} or newer is needed"
        )
    if encoding != "UTF8":
        raise SetupError(f"The database {where} has the encoding {encoding}; create it with ENCODING 'UTF8'")
    if is_standby:
        raise SetupError(f"The database {where} is a read-only standby; connect to the primary")


def _alembic_config(connection: "Connection | None") -> "Config":
    """Alembic's configuration, built here so that an installed wheel needs no ``alembic.ini``."""
    from alembic.config import Config

    # By default it writes to what stdout was when Alembic was loaded, which may be closed by now.
    config = Config(stdout=sys.stdout)
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _wanted_heads() -> set[str]:
    from alembic.script import ScriptDirectory

    return set(ScriptDirectory.from_config(_alembic_config(None)).get_heads())


def _heads(connection: "Connection") -> set[str]:
    from alembic.runtime.migration import MigrationContext

    return set(MigrationContext.configure(connection).get_current_heads())


def _first_line(error: SQLAlchemyError) -> str:
    """What the database said, in one line, without the statement and its values."""
    said = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
