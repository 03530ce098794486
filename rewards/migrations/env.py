"""What Alembic runs: on the connection that ``rewards migrate`` gives it, or else on the database of the settings."""

from alembic import context
from sqlalchemy import Connection
from sqlmodel import SQLModel

import rewards.admins.tables
import rewards.applying.tables
import rewards.facts.tables
import rewards.ledger.experiment_tables
import rewards.ledger.referral_tables
import rewards.ledger.standing_tables
import rewards.ledger.tables
import rewards.metrics.tables
import rewards.profiles.tables
import rewards.program.draft_tables
import rewards.segments.tables  # noqa: F401 - they declare the tables
from rewards.core.database import connect_database
from rewards.core.settings import load_settings


def run(connection: Connection) -> None:
    """Migrate, or compare, in the transaction of ``connection``."""
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    database = connect_database(load_settings(), application_name="rewards-alembic", pool_size=1)
    with database.engine.begin() as own:
        run(own)
    database.dispose()
