"""The stored shape of bulk applications of a ladder, and of the previews that they are compared with."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, String
from sqlalchemy.dialects.postgresql import JSON
from sqlmodel import Field, SQLModel

from rewards.ledger.columns import customer_key, instant, points_column, text_column


class MovePreviewRow(SQLModel, table=True):
    """Who would move by a ladder, as it was found at an instant."""

    __tablename__ = "move_previews"
    __table_args__ = (Index("ix_move_previews_made_at", "made_at"),)

    preview_id: str = Field(sa_column=Column(String(32), primary_key=True))
    #: Of who moves from where to where; two previews with the same one say the same.
    digest: str = text_column()
    made_at: datetime = instant()
    #: The figures, in the API's shape.
    report: Any = Field(sa_column=Column(JSON(none_as_null=True), nullable=False))


class PreviewedMoveRow(SQLModel, table=True):
    """One customer who would move; null is below the first tier."""

    __tablename__ = "previewed_moves"

    preview_id: str = Field(sa_column=Column(String(32), primary_key=True))
    customer_id: str = customer_key()
    from_tier: str | None = text_column(nullable=True)
    to_tier: str | None = text_column(nullable=True)
    #: When the standing would end; null for never.
    until: datetime | None = instant(nullable=True)


class LadderApplicationRow(SQLModel, table=True):
    """A ladder that came into force, and how far customers are brought up to it.

    Not how the job knows what is left to do, which the accounts say: a process that dies loses nothing.
    """

    __tablename__ = "ladder_applications"

    version: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    #: From when on the ladder is in force: two stretches of time may bear one version.
    effective_from: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    #: The preview that it was published with; null where it was published without one.
    preview_id: str | None = Field(sa_column=Column(String(32), nullable=True))
    #: Customers to bring up, and how many have been; who moved, a first step below the first tier not told apart.
    total: int = points_column(0)
    done: int = points_column(0)
    moved: int = points_column(0)
    started_at: datetime | None = instant(nullable=True)
    finished_at: datetime | None = instant(nullable=True)
    #: How many customers moved otherwise than previewed; null where it is not known, or nothing was previewed.
    otherwise: int | None = Field(sa_column=Column(BigInteger, nullable=True))
    #: The first of them, each with what was previewed and what came of it.
    examples: Any = Field(sa_column=Column(JSON(none_as_null=True), nullable=True))
