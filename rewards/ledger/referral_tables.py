"""The stored shape of referrals: codes, who was brought by whom, and what was taken back because of it."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, String, Text, text
from sqlalchemy.dialects.postgresql import JSON, JSONB
from sqlmodel import Field, SQLModel

from rewards.ledger.columns import customer_key, instant, one_of, points_column, text_column
from rewards.ledger.referral_state import DUE, STATUSES


def _customer() -> Any:
    return Field(sa_column=Column(String(128, collation="C"), nullable=False))


class ReferralCodeRow(SQLModel, table=True):
    """The code that a customer gives to friends, without its dashes; each has one."""

    __tablename__ = "referral_codes"
    __table_args__ = (Index("uq_referral_codes_customer_id", "customer_id", unique=True),)

    code: str = Field(sa_column=Column(String(32, collation="C"), primary_key=True))
    customer_id: str = _customer()
    created_at: datetime = instant()


class ReferralRow(SQLModel, table=True):
    """How a customer was brought by another; see :class:`rewards.ledger.referral_state.Referral`."""

    __tablename__ = "referrals"
    __table_args__ = (
        CheckConstraint(one_of("status", STATUSES), name="status_is_known"),
        CheckConstraint(f"due IS NULL OR {one_of('due', DUE)}", name="due_is_known"),
        CheckConstraint("referrer_id <> customer_id", name="not_by_oneself"),
        Index("ix_referrals_referrer", "referrer_id", "attributed_at"),
        Index("ix_referrals_status", "status", "attributed_at", "customer_id"),
        Index("ix_referrals_attributed_at", "attributed_at", "customer_id"),
        # The queue of what is still to be sent.
        Index("ix_referrals_due", "customer_id", postgresql_where=text("due IS NOT NULL")),
        Index(
            "ix_referrals_closes_at",
            "closes_at",
            "customer_id",
            postgresql_where=text("status IN ('attributed', 'approved')"),
        ),
    )

    #: The customer who was referred.
    customer_id: str = customer_key()
    referrer_id: str = _customer()
    code: str = text_column()
    status: str = text_column()
    reasons: list[dict[str, str]] = Field(sa_column=Column(JSONB, nullable=False))
    fingerprints: dict[str, str] = Field(sa_column=Column(JSONB, nullable=False))
    attributed_at: datetime = instant()
    closes_at: datetime = instant()
    order_id: str | None = text_column(nullable=True)
    order_minor: int | None = Field(sa_column=Column(BigInteger, nullable=True))
    ordered_at: datetime | None = instant(nullable=True)
    qualified_at: datetime | None = instant(nullable=True)
    rewarded_at: datetime | None = instant(nullable=True)
    undone_at: datetime | None = instant(nullable=True)
    decided_by: str | None = text_column(nullable=True)
    decided_at: datetime | None = instant(nullable=True)
    decision_note: str | None = text_column(nullable=True)
    due: str | None = text_column(nullable=True)


class FingerprintRow(SQLModel, table=True):
    """A hash that the shop sent with a customer's purchase or signup."""

    __tablename__ = "fingerprints"
    __table_args__ = (Index("ix_fingerprints_value", "value", "kind"),)

    customer_id: str = customer_key()
    #: ``address``, ``payment`` or ``device``.
    kind: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    value: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))


class RetractionRow(SQLModel, table=True):
    """All that an activity was given, taken back; see :class:`rewards.ledger.state.Retraction`."""

    __tablename__ = "retractions"
    __table_args__ = (CheckConstraint("clawed_back >= 0 AND written_off >= 0", name="not_negative"),)

    customer_id: str = customer_key()
    activity_key: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    retraction_seq: int = Field(sa_column=Column(BigInteger, nullable=False))
    #: What was taken back from each grant, in the order of the award's grants.
    by_grant: list[int] = Field(sa_column=Column(JSON, nullable=False))
    clawed_back: int = Field(sa_column=Column(BigInteger, nullable=False))
    #: Points that a clamped balance let the customer keep.
    written_off: int = Field(sa_column=Column(BigInteger, nullable=False))
    occurred_at: datetime = instant()
    recorded_at: datetime = instant()
    #: How many of these points had counted to tiers.
    qualifying_points: int = points_column(0)
