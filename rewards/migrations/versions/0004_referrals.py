"""Referrals: customers' codes, who was brought by whom, and awards that are taken back without a refund of their own.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "accounts", sa.Column("referred", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.create_table(
        "referral_codes",
        sa.Column("code", sa.String(length=32, collation="C"), nullable=False),
        sa.Column("customer_id", sa.String(length=128, collation="C"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_referral_codes")),
    )
    op.create_index("uq_referral_codes_customer_id", "referral_codes", ["customer_id"], unique=True)
    _create_referrals()
    op.create_table(
        "fingerprints",
        sa.Column("customer_id", sa.String(length=128, collation="C"), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False),
        sa.Column("value", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "kind", "value", name=op.f("pk_fingerprints")),
    )
    op.create_index("ix_fingerprints_value", "fingerprints", ["value", "kind"])
    op.create_table(
        "retractions",
        sa.Column("customer_id", sa.String(length=128, collation="C"), nullable=False),
        sa.Column("activity_key", sa.Text(collation="C"), nullable=False),
        sa.Column("retraction_seq", sa.BigInteger(), nullable=False),
        sa.Column("by_grant", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("clawed_back", sa.BigInteger(), nullable=False),
        sa.Column("written_off", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("clawed_back >= 0 AND written_off >= 0", name=op.f("ck_retractions_not_negative")),
        sa.PrimaryKeyConstraint("customer_id", "activity_key", name=op.f("pk_retractions")),
    )
    # As for the other append-only tables; see 0002.
    op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON retractions FROM PUBLIC, CURRENT_USER")
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON retractions"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def _create_referrals() -> None:
    op.create_table(
        "referrals",
        sa.Column("customer_id", sa.String(length=128, collation="C"), nullable=False),
        sa.Column("referrer_id", sa.String(length=128, collation="C"), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reasons", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("fingerprints", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("attributed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closes_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("order_minor", sa.BigInteger(), nullable=True),
        sa.Column("ordered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("qualified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rewarded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decision_note", sa.Text(), nullable=True),
        sa.Column("due", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "status IN ('attributed', 'flagged', 'approved', 'rejected', 'qualified', 'rewarded', 'reversed',"
            " 'expired')",
            name=op.f("ck_referrals_status_is_known"),
        ),
        sa.CheckConstraint(
            "due IS NULL OR due IN ('reward', 'referrer', 'retract')", name=op.f("ck_referrals_due_is_known")
        ),
        sa.CheckConstraint("referrer_id <> customer_id", name=op.f("ck_referrals_not_by_oneself")),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_referrals")),
    )
    op.create_index("ix_referrals_referrer", "referrals", ["referrer_id", "attributed_at"])
    op.create_index("ix_referrals_status", "referrals", ["status", "attributed_at", "customer_id"])
    op.create_index("ix_referrals_attributed_at", "referrals", ["attributed_at", "customer_id"])
    op.create_index(
        "ix_referrals_due", "referrals", ["customer_id"], postgresql_where=sa.text("due IS NOT NULL")
    )
    op.create_index(
        "ix_referrals_closes_at",
        "referrals",
        ["closes_at", "customer_id"],
        postgresql_where=sa.text("status IN ('attributed', 'approved')"),
    )


def downgrade() -> None:
    op.execute("GRANT UPDATE, DELETE, TRUNCATE ON retractions TO CURRENT_USER")
    for table in ("retractions", "fingerprints", "referrals", "referral_codes"):
        op.drop_table(table)
    op.drop_column("accounts", "referred")
