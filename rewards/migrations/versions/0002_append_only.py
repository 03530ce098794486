"""Append-only tables: the database itself refuses to change or remove what was recorded.

Privileges come first: the tables' owner gives up UPDATE, DELETE and TRUNCATE, which a sharding extension
without triggers keeps too. Triggers come second: they also stop a superuser, whom privileges do not bind.

Kept apart from 0001, which is generated as a whole.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = ("entries", "consumptions", "activities", "reversals", "commands", "program_versions")


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'table "%" is append-only: % is refused', TG_TABLE_NAME, TG_OP
                USING ERRCODE = 'restrict_violation',
                      HINT = 'Correct the ledger with a new entry, such as an adjustment.';
        END
        $$
        """
    )
    for table in TABLES:
        op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM PUBLIC, CURRENT_USER")
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"DROP TRIGGER append_only ON {table}")
        op.execute(f"GRANT UPDATE, DELETE, TRUNCATE ON {table} TO CURRENT_USER")
    op.execute("DROP FUNCTION refuse_change()")
