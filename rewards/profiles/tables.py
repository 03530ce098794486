"""The stored shape of profiles, which change and go, and of erasures, which stay."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Column, DateTime, Index, String, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from rewards.ledger.columns import customer_key, instant, text_column


def _key_column() -> Any:
    """Return a column to search by: text as :func:`rewards.profiles.profile.folded` leaves it, ordered by bytes."""
    return Field(sa_column=Column(Text(collation="C"), nullable=True))


class ProfileRow(SQLModel, table=True):
    """What the shop says of who a customer is; all of it null once it is erased."""

    __tablename__ = "profiles"
    __table_args__ = (
        CheckConstraint("birthday ~ '^([0-9]{4}-)?[0-9]{2}-[0-9]{2}$'", name="birthday_is_a_day"),
        CheckConstraint(
            "erased_at IS NULL OR (email IS NULL AND name IS NULL AND birthday IS NULL AND joined_at IS NULL"
            " AND email_key IS NULL AND name_key IS NULL AND surname_key IS NULL)",
            name="erased_is_empty",
        ),
        Index("ix_profiles_email_key", "email_key"),
        Index("ix_profiles_name_key", "name_key", "customer_id"),
        Index("ix_profiles_surname_key", "surname_key"),
        # The day of the year, whatever the year.
        Index(
            "ix_profiles_day_of_birth",
            text('"right"(birthday, 5)'),
            "customer_id",
            postgresql_where=text("birthday IS NOT NULL"),
        ),
    )

    customer_id: str = customer_key()
    email: str | None = text_column(nullable=True)
    name: str | None = text_column(nullable=True)
    #: ``1990-05-17``, or ``05-17`` where the year is not known.
    birthday: str | None = text_column(nullable=True)
    joined_at: datetime | None = instant(nullable=True)
    attributes: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False, server_default="{}"))
    email_key: str | None = _key_column()
    name_key: str | None = _key_column()
    #: The last word of the name first, so that a surname finds it too.
    surname_key: str | None = _key_column()
    updated_at: datetime = instant()
    erased_at: datetime | None = instant(nullable=True)
    #: Links to the customer's page that expire no later than this were made before the erasure, and open nothing.
    links_void_until: datetime | None = instant(nullable=True)


class ErasureRow(SQLModel, table=True):
    """That, when, by whom and how much was erased of a customer; never whose name it was."""

    __tablename__ = "erasures"

    customer_id: str = customer_key()
    erased_at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    #: As the ledger's: ``key:…`` or ``admin:…``.
    actor: str = Field(sa_column=Column(String(255), nullable=False))
