"""What richer earn rules need: facts about a customer, counts for limits, budgets that all customers share.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("purchases", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("spent_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_purchase_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
    ):
        op.add_column("accounts", column)
    op.add_column("activities", sa.Column("counted", postgresql.JSON(astext_type=sa.Text()), nullable=True))
    op.create_table(
        "counts",
        sa.Column("customer_id", sa.String(length=128, collation="C"), nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("period", sa.Text(collation="C"), nullable=False),
        sa.Column("points", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("times", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "name", "period", name=op.f("pk_counts")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "budgets",
        sa.Column("rule_id", sa.Text(collation="C"), nullable=False),
        sa.Column("points", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("times", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("rule_id", name=op.f("pk_budgets")),
        postgresql_with={"fillfactor": "50"},
    )
    _learn_from_history()


def _learn_from_history() -> None:
    """Work out what conditions ask about the customers that are there already."""
    op.execute(
        """
        UPDATE accounts AS a
        SET purchases = f.purchases, spent_minor = f.spent_minor, last_purchase_at = f.last_purchase_at,
            joined_at = f.joined_at
        FROM (
            SELECT v.customer_id,
                   count(*) FILTER (WHERE v.is_purchase AND NOT coalesce(r.is_full, false)) AS purchases,
                   coalesce(sum(v.total_minor - coalesce(r.refunded_minor, 0)) FILTER (WHERE v.is_purchase), 0)
                       AS spent_minor,
                   max(v.occurred_at) FILTER (WHERE v.is_purchase) AS last_purchase_at,
                   min(v.occurred_at) AS joined_at
            FROM (
                SELECT customer_id, activity_key, occurred_at, body ->> 'type' = 'purchase' AS is_purchase,
                       CAST(body ->> 'total_minor' AS bigint) AS total_minor
                FROM activities
            ) AS v
            LEFT JOIN (
                SELECT customer_id, 'purchase:' || order_id AS activity_key, bool_or(is_full) AS is_full,
                       sum(amount_minor) AS refunded_minor
                FROM reversals GROUP BY customer_id, order_id
            ) AS r USING (customer_id, activity_key)
            GROUP BY v.customer_id
        ) AS f
        WHERE f.customer_id = a.customer_id
        """
    )


def downgrade() -> None:
    op.drop_table("budgets")
    op.drop_table("counts")
    op.drop_column("activities", "counted")
    for column in ("tags", "joined_at", "last_purchase_at", "spent_minor", "purchases"):
        op.drop_column("accounts", column)
