"""Metrics worked out beforehand, for the dashboard.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "kept_metrics",
        sa.Column("name", sa.String(length=64, collation="C"), nullable=False),
        sa.Column("span", sa.String(length=8, collation="C"), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("failed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("result", postgresql.JSON(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("drawings", postgresql.JSON(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("span IN ('closed', 'today')", name="span_is_known"),
        sa.PrimaryKeyConstraint("name", "span"),
    )
    op.create_table(
        "kept_shop",
        sa.Column("shop_id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("metrics", sa.Text(collation="C"), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("shop", postgresql.JSON(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("shop_id = 1", name="one_row"),
        sa.PrimaryKeyConstraint("shop_id"),
    )


def downgrade() -> None:
    op.drop_table("kept_shop")
    op.drop_table("kept_metrics")
