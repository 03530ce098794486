"""The stored shape of standings: their moves, what was granted by hand, and the events that are to be sent."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Identity, Index, Integer, String, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from rewards.ledger.columns import customer_key, instant, seq_key, text_column


class MoveRow(SQLModel, table=True):
    """One step of a customer up or down the ladder; appended, never changed."""

    __tablename__ = "moves"

    customer_id: str = customer_key()
    move_seq: int = seq_key()
    from_tier: str | None = text_column(nullable=True)
    to_tier: str | None = text_column(nullable=True)
    at: datetime = instant()
    reason: str = text_column()
    program_version: int = Field(sa_column=Column(Integer, nullable=False))
    #: What brought it about: an activity key, ``refund:ORDER:REFUND``, ``time``, ``program`` or ``grant``.
    cause: str = text_column()
    recorded_at: datetime = instant()


class StandingGrantRow(SQLModel, table=True):
    """A standing that an admin gave by hand, with the reason."""

    __tablename__ = "standing_grants"

    customer_id: str = customer_key()
    grant_seq: int = seq_key()
    tier: str = text_column()
    granted_at: datetime = instant()
    until: datetime | None = instant(nullable=True)
    #: When it was ended before its time.
    ended_at: datetime | None = instant(nullable=True)
    reason: str = text_column()
    actor: str = text_column()


class OutboxRow(SQLModel, table=True):
    """Something that others are to be told, written with what it tells of and sent after that is committed."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("uq_outbox_event_id", "event_id", unique=True),
        Index("ix_outbox_unsent", "event_seq", postgresql_where=text("sent_at IS NULL")),
    )

    event_seq: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    event_id: str = text_column()
    customer_id: str = Field(sa_column=Column(String(128, collation="C"), nullable=False))
    type: str = text_column()
    occurred_at: datetime = instant()
    payload: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = instant()
    sent_at: datetime | None = instant(nullable=True)
