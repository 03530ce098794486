"""Assignments and exposures of experiments.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_ARM = "arm IN ('program', 'holdout')"


def upgrade() -> None:
    op.create_table(
        "assignments",
        sa.Column("customer_id", sa.String(length=128, collation="C"), nullable=False),
        sa.Column("experiment_id", sa.String(length=64, collation="C"), nullable=False),
        sa.Column("arm", sa.Text(), nullable=False),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(_ARM, name=op.f("ck_assignments_arm_is_known")),
        sa.PrimaryKeyConstraint("customer_id", "experiment_id", name=op.f("pk_assignments")),
    )
    op.create_index("ix_assignments_experiment", "assignments", ["experiment_id", "customer_id"])
    op.create_table(
        "exposures",
        sa.Column("experiment_id", sa.String(length=64, collation="C"), nullable=False),
        sa.Column("customer_id", sa.String(length=128, collation="C"), nullable=False),
        sa.Column("arm", sa.Text(), nullable=False),
        sa.Column("exposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.CheckConstraint(_ARM, name=op.f("ck_exposures_arm_is_known")),
        sa.PrimaryKeyConstraint("experiment_id", "customer_id", name=op.f("pk_exposures")),
    )
    op.create_index("ix_exposures_customer", "exposures", ["customer_id"])
    op.add_column("accounts", sa.Column("arms", sa.Text(), nullable=True))
    op.add_column(
        "activities", sa.Column("held_out", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )


def downgrade() -> None:
    op.drop_column("activities", "held_out")
    op.drop_column("accounts", "arms")
    op.drop_table("exposures")
    op.drop_table("assignments")
