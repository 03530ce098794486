"""Drafts of the program: the one that admins work on, and the previews that they had made of it.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "program_drafts",
        sa.Column("draft_id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("data", postgresql.JSON(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("based_on", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.CheckConstraint("draft_id = 1", name=op.f("ck_program_drafts_only_one")),
        sa.CheckConstraint("text IS NULL OR data IS NULL", name=op.f("ck_program_drafts_text_or_data")),
        sa.PrimaryKeyConstraint("draft_id", name=op.f("pk_program_drafts")),
    )
    op.create_table(
        "program_previews",
        sa.Column("preview_id", sa.String(length=32), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("document", postgresql.JSON(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("report", postgresql.JSON(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('running', 'done', 'failed', 'stopped')",
            name=op.f("ck_program_previews_state_is_known"),
        ),
        sa.PrimaryKeyConstraint("preview_id", name=op.f("pk_program_previews")),
    )
    op.create_index("ix_program_previews_started_at", "program_previews", ["started_at"])


def downgrade() -> None:
    op.drop_table("program_previews")
    op.drop_table("program_drafts")
