"""Bulk applications of a ladder, and the previews of who moves that they are compared with.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "move_previews",
        sa.Column("preview_id", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("report", postgresql.JSON(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("preview_id", name=op.f("pk_move_previews")),
    )
    op.create_index("ix_move_previews_made_at", "move_previews", ["made_at"])
    op.create_table(
        "previewed_moves",
        sa.Column("preview_id", sa.String(length=32), nullable=False),
        sa.Column("customer_id", sa.String(length=128, collation="C"), nullable=False),
        sa.Column("from_tier", sa.Text(), nullable=True),
        sa.Column("to_tier", sa.Text(), nullable=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("preview_id", "customer_id", name=op.f("pk_previewed_moves")),
    )
    op.create_table(
        "ladder_applications",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("preview_id", sa.String(length=32), nullable=True),
        sa.Column("total", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("done", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("moved", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("otherwise", sa.BigInteger(), nullable=True),
        sa.Column("examples", postgresql.JSON(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("version", "effective_from", name=op.f("pk_ladder_applications")),
    )


def downgrade() -> None:
    op.drop_table("ladder_applications")
    op.drop_table("previewed_moves")
    op.drop_table("move_previews")
