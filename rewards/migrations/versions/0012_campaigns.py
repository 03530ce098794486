"""Segments: who is in them. Campaigns: who was offered what, in which arm.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "segment_members",
        sa.Column("customer_id", sa.String(length=128, collation="C"), nullable=False),
        sa.Column("segment_id", sa.Text(collation="C"), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "segment_id", name=op.f("pk_segment_members")),
    )
    op.create_index("ix_segment_members_segment", "segment_members", ["segment_id", "customer_id"])
    op.create_table(
        "campaign_customers",
        sa.Column("customer_id", sa.String(length=128, collation="C"), nullable=False),
        sa.Column("campaign_id", sa.Text(collation="C"), nullable=False),
        sa.Column("arm", sa.Text(), nullable=False),
        sa.Column("drawn_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("offered_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint("arm IN ('program', 'holdout')", name=op.f("ck_campaign_customers_arm_is_known")),
        sa.CheckConstraint(
            "state IN ('drawn', 'offered', 'ended')", name=op.f("ck_campaign_customers_state_is_known")
        ),
        sa.PrimaryKeyConstraint("customer_id", "campaign_id", name=op.f("pk_campaign_customers")),
    )
    op.create_index("ix_campaign_customers_campaign", "campaign_customers", ["campaign_id", "customer_id"])
    op.create_index(
        "ix_campaign_customers_due",
        "campaign_customers",
        ["offered_until"],
        postgresql_where=sa.text("arm = 'program' AND state <> 'ended'"),
    )


def downgrade() -> None:
    op.drop_table("campaign_customers")
    op.drop_table("segment_members")
