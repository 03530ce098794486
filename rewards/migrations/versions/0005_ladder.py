"""The ladder: what counts to tiers, customers' standings and their moves, and events to send.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _count_what_was_given()
    op.add_column("accounts", sa.Column("tier", sa.Text(), nullable=True))
    op.add_column("accounts", sa.Column("standing", sa.JSON(), nullable=True))
    op.add_column("accounts", sa.Column("standing_due_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("accounts", sa.Column("ladder_version", sa.Integer(), nullable=True))
    op.add_column("accounts", sa.Column("member_since", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_accounts_standing_due_at",
        "accounts",
        ["standing_due_at"],
        postgresql_where=sa.text("standing_due_at IS NOT NULL"),
    )
    op.create_index(
        "ix_accounts_tier", "accounts", ["tier", "customer_id"], postgresql_where=sa.text("tier IS NOT NULL")
    )
    _create_moves()
    op.create_table(
        "standing_grants",
        sa.Column("customer_id", sa.String(length=128, collation="C"), nullable=False),
        sa.Column("grant_seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "grant_seq", name=op.f("pk_standing_grants")),
    )
    op.create_table(
        "outbox",
        sa.Column("event_seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.String(length=128, collation="C"), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("payload", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("event_seq", name=op.f("pk_outbox")),
    )
    op.create_index("uq_outbox_event_id", "outbox", ["event_id"], unique=True)
    op.create_index("ix_outbox_unsent", "outbox", ["event_seq"], postgresql_where=sa.text("sent_at IS NULL"))


def _count_what_was_given() -> None:
    """Keep beside each activity and refund what it counts to tiers, so that nobody reads their JSON for it."""
    for table in ("activities", "reversals", "retractions"):
        op.add_column(
            table,
            sa.Column("qualifying_points", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        )
    op.add_column(
        "activities", sa.Column("spend_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column("activities", sa.Column("tier", sa.Text(), nullable=True))
    op.add_column("redemptions", sa.Column("tier", sa.Text(), nullable=True))
    with _written_to("activities", "reversals", "retractions"):
        op.execute(
            """
            UPDATE activities AS a SET
                qualifying_points = coalesce((
                    SELECT sum(CAST(g ->> 'points' AS bigint)) FROM json_array_elements(a.grants) AS g
                    WHERE coalesce(CAST(g ->> 'qualifies' AS boolean), true)), 0),
                spend_minor = coalesce(CASE WHEN a.body ->> 'type' = 'purchase'
                    THEN CAST(a.body ->> 'total_minor' AS bigint) END, 0)
            """
        )
        taken = """
            UPDATE {table} AS r SET qualifying_points = coalesce((
                SELECT sum(CAST(t.points AS bigint))
                FROM activities AS a,
                    {elements}(r.by_grant) WITH ORDINALITY AS t (points, place)
                WHERE a.customer_id = r.customer_id AND a.activity_key = {key}
                  AND coalesce(CAST(a.grants -> CAST(t.place - 1 AS integer) ->> 'qualifies' AS boolean), true)), 0)
            """
        op.execute(
            taken.format(
                table="reversals", elements="jsonb_array_elements_text", key="'purchase:' || r.order_id"
            )
        )
        op.execute(
            taken.format(table="retractions", elements="json_array_elements_text", key="r.activity_key")
        )


class _written_to:
    """Let this migration, and nothing else, write to tables that are append-only."""

    def __init__(self, *tables: str) -> None:
        self._tables = tables

    def __enter__(self) -> None:
        for table in self._tables:
            op.execute(f"GRANT UPDATE ON {table} TO CURRENT_USER")
            op.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only")

    def __exit__(self, *error: object) -> None:
        for table in self._tables:
            op.execute(f"ALTER TABLE {table} ENABLE TRIGGER append_only")
            op.execute(f"REVOKE UPDATE ON {table} FROM CURRENT_USER")


def _create_moves() -> None:
    op.create_table(
        "moves",
        sa.Column("customer_id", sa.String(length=128, collation="C"), nullable=False),
        sa.Column("move_seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("from_tier", sa.Text(), nullable=True),
        sa.Column("to_tier", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("program_version", sa.Integer(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "move_seq", name=op.f("pk_moves")),
    )
    op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON moves FROM PUBLIC, CURRENT_USER")
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON moves"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def downgrade() -> None:
    op.drop_table("outbox")
    op.drop_table("standing_grants")
    op.drop_table("moves")
    op.drop_index("ix_accounts_tier", "accounts")
    op.drop_index("ix_accounts_standing_due_at", "accounts")
    for column in ("tier", "standing", "standing_due_at", "ladder_version", "member_since"):
        op.drop_column("accounts", column)
    for column in ("tier", "spend_minor", "qualifying_points"):
        op.drop_column("activities", column)
    op.drop_column("redemptions", "tier")
    op.drop_column("reversals", "qualifying_points")
    op.drop_column("retractions", "qualifying_points")
