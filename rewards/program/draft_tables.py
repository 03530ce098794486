"""The stored shape of the draft that admins work on, and of the previews that they had made of it."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, SmallInteger, String
from sqlalchemy.dialects.postgresql import JSON
from sqlmodel import Field, SQLModel

from rewards.ledger.columns import instant, one_of, text_column

PREVIEW_STATES = ("running", "done", "failed", "stopped")


class ProgramDraftRow(SQLModel, table=True):
    """The one working draft; see :class:`rewards.program.drafts.Draft`.

    The row stays once it is there, so that its revisions never begin anew. Without text and data there is no draft.
    """

    __tablename__ = "program_drafts"
    __table_args__ = (
        CheckConstraint("draft_id = 1", name="only_one"),
        CheckConstraint("text IS NULL OR data IS NULL", name="text_or_data"),
    )

    draft_id: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    #: As it was typed, where it was last edited as text; it may be no YAML at all.
    text: str | None = text_column(nullable=True)
    #: As the forms left it. JSON, not JSONB: its fields keep their order.
    data: Any = Field(sa_column=Column(JSON(none_as_null=True), nullable=True))
    based_on: int = Field(sa_column=Column(Integer, nullable=False))
    revision: int = Field(sa_column=Column(BigInteger, nullable=False))
    updated_at: datetime = instant()
    updated_by: str = text_column()


class ProgramPreviewRow(SQLModel, table=True):
    """A replay of the shop's history under a draft: asked for, under way, or done."""

    __tablename__ = "program_previews"
    __table_args__ = (
        CheckConstraint(one_of("state", PREVIEW_STATES), name="state_is_known"),
        Index("ix_program_previews_started_at", "started_at"),
    )

    preview_id: str = Field(sa_column=Column(String(32), primary_key=True))
    state: str = text_column()
    #: The draft's revision that is replayed, and the document itself.
    revision: int = Field(sa_column=Column(BigInteger, nullable=False))
    document: Any = Field(sa_column=Column(JSON(none_as_null=True), nullable=False))
    done: int = Field(sa_column=Column(BigInteger, nullable=False))
    total: int | None = Field(sa_column=Column(BigInteger, nullable=True))
    #: The figures so far: of a sample first, of all customers in the end.
    report: Any = Field(sa_column=Column(JSON(none_as_null=True), nullable=True))
    failure: str | None = text_column(nullable=True)
    started_at: datetime = instant()
    started_by: str = text_column()
    #: When the process that replays was last heard of.
    seen_at: datetime = instant()
