"""Facts and roll-ups that metrics are worked out from, and by which transaction each command was written.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_THE_TRANSACTION = sa.text("((pg_current_xact_id())::text)::bigint")


def upgrade() -> None:
    # In two steps: a constant default leaves the rows that there are alone, which may be millions.
    op.add_column("commands", sa.Column("xact", sa.BigInteger(), server_default="0", nullable=False))
    op.alter_column("commands", "xact", server_default=_THE_TRANSACTION)
    op.create_index(
        "ix_commands_xact",
        "commands",
        ["xact"],
        postgresql_using="brin",
        postgresql_with={"pages_per_range": "32", "autosummarize": "on"},
    )
    op.create_table(
        "identities",
        sa.Column("customer_id", sa.String(length=128, collation="C"), nullable=False),
        sa.Column("same_as", sa.String(length=128, collation="C"), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("xact", sa.BigInteger(), server_default=_THE_TRANSACTION, nullable=False),
        sa.CheckConstraint("same_as <> customer_id", name=op.f("ck_identities_not_oneself")),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_identities")),
    )
    op.create_index(
        "ix_identities_same_as",
        "identities",
        ["same_as"],
        postgresql_where=sa.text("same_as IS NOT NULL"),
    )
    op.create_index("ix_identities_xact", "identities", ["xact"])
    _create_facts()
    _create_roll_ups()


def _create_facts() -> None:
    op.create_table(
        "purchases",
        sa.Column("customer_id", sa.String(length=128, collation="C"), nullable=False),
        sa.Column("order_id", sa.Text(collation="C"), nullable=False),
        sa.Column("unit_no", sa.Integer(), nullable=False),
        sa.Column("ordered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "status IN ('purchase', 'zero', 'points-only', 'other-currency')",
            name=op.f("ck_purchases_status_is_known"),
        ),
        sa.PrimaryKeyConstraint("customer_id", "order_id", name=op.f("pk_purchases")),
    )
    op.create_index(
        "ix_purchases_left_out",
        "purchases",
        ["status", "unit_no"],
        postgresql_where=sa.text("status <> 'purchase'"),
    )
    op.create_table(
        "survey_answers",
        sa.Column("customer_id", sa.String(length=128, collation="C"), nullable=False),
        sa.Column("survey_id", sa.Text(collation="C"), nullable=False),
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint(
            "source IN ('activity', 'import')", name=op.f("ck_survey_answers_source_is_known")
        ),
        sa.PrimaryKeyConstraint("customer_id", "survey_id", "source", name=op.f("pk_survey_answers")),
    )
    op.create_index("ix_survey_answers_survey", "survey_answers", ["survey_id", "answered_at"])


def _create_roll_ups() -> None:
    op.create_table(
        "customer_stats",
        sa.Column("customer_id", sa.String(length=128, collation="C"), nullable=False),
        sa.Column("unit_no", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_day", sa.Date(), nullable=True),
        sa.Column("last_day", sa.Date(), nullable=True),
        sa.Column("cohort_month", sa.Date(), nullable=True),
        sa.Column("orders", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("purchase_days", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("revenue_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("first_activity_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("excluded", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_customer_stats")),
    )
    op.create_index("uq_customer_stats_unit_no", "customer_stats", ["unit_no"], unique=True)
    op.create_index(
        "ix_customer_stats_excluded", "customer_stats", ["unit_no"], postgresql_where=sa.text("excluded")
    )
    op.create_table(
        "customer_months",
        sa.Column("unit_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("cohort_month", sa.Date(), nullable=False),
        sa.Column("orders", sa.BigInteger(), nullable=False),
        sa.Column("purchase_days", sa.BigInteger(), nullable=False),
        sa.Column("revenue_minor", sa.BigInteger(), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("unit_no", "month", name=op.f("pk_customer_months")),
    )
    op.create_index("ix_customer_months_cohort", "customer_months", ["cohort_month", "month"])
    op.create_table(
        "rollup_state",
        sa.Column("state_id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("horizon", sa.BigInteger(), nullable=True),
        sa.Column("snapshot", sa.Text(), nullable=True),
        sa.Column("database_oid", sa.BigInteger(), nullable=True),
        sa.Column("generation", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("zone", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("program_version", sa.Integer(), nullable=True),
        sa.Column("refreshed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rebuilt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("history_start", sa.Date(), nullable=True),
        sa.CheckConstraint("state_id = 1", name=op.f("ck_rollup_state_only_one")),
        sa.PrimaryKeyConstraint("state_id", name=op.f("pk_rollup_state")),
    )


def downgrade() -> None:
    for table in (
        "rollup_state",
        "customer_months",
        "customer_stats",
        "survey_answers",
        "purchases",
        "identities",
    ):
        op.drop_table(table)
    op.drop_index("ix_commands_xact", table_name="commands")
    op.drop_column("commands", "xact")
