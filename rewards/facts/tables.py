"""The stored shape of the facts: who is who, what was bought and answered, and the roll-ups of it.

All but ``identities`` and imported answers is worked out from the ledger by :mod:`rewards.facts.refresh`, and can be
thrown away and worked out again. None of it is written by an award: the job follows what commands have written.
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Identity,
    Index,
    Integer,
    SmallInteger,
    String,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from rewards.ledger.columns import customer_key, instant, one_of, points_column, text_column
from rewards.ledger.tables import THE_TRANSACTION

PURCHASE_STATUSES = ("purchase", "zero", "points-only", "other-currency")
ANSWER_SOURCES = ("activity", "import")
#: A customer with one of these tags is counted in no metric.
EXCLUDED_TAGS = ("test", "staff")

# A class body sees `date` as the field of that name where there is one.
_Date = date


def _day() -> Any:
    return Field(sa_column=Column(Date, nullable=False))


def _unit(*, is_key: bool = False) -> Any:
    return Field(sa_column=Column(Integer, nullable=False, primary_key=is_key, autoincrement=False))


class IdentityRow(SQLModel, table=True):
    """That a customer is the same person as another one, for measurement alone; the ledger keeps them apart.

    One level: nobody whom a row names in ``same_as`` is the same as a third. A null says that the customer is nobody
    else, and that this, or who is merged into it, was changed in the transaction ``xact``.
    """

    __tablename__ = "identities"
    __table_args__ = (
        CheckConstraint("same_as <> customer_id", name="not_oneself"),
        Index("ix_identities_same_as", "same_as", postgresql_where=text("same_as IS NOT NULL")),
        Index("ix_identities_xact", "xact"),
    )

    customer_id: str = customer_key()
    same_as: str | None = Field(sa_column=Column(String(128, collation="C"), nullable=True))
    changed_at: datetime = instant()
    actor: str = text_column()
    xact: int = Field(sa_column=Column(BigInteger, nullable=False, server_default=text(THE_TRANSACTION)))


class PurchaseRow(SQLModel, table=True):
    """An order as metrics see it. Only those of status ``purchase`` count; the others are told apart by why not."""

    __tablename__ = "purchases"
    __table_args__ = (
        CheckConstraint(one_of("status", PURCHASE_STATUSES), name="status_is_known"),
        Index("ix_purchases_left_out", "status", "unit_no", postgresql_where=text("status <> 'purchase'")),
    )

    #: Who ordered, as the shop sent it; ``unit_no`` is who that is.
    customer_id: str = customer_key()
    order_id: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    unit_no: int = _unit()
    ordered_at: datetime = instant()
    #: On the shop's calendar.
    day: _Date = _day()
    #: What was paid in money: the order's total without what points paid.
    amount_minor: int = points_column()
    #: What of that was refunded until now; never more.
    refunded_minor: int = points_column()
    currency: str = text_column()
    status: str = text_column()


class SurveyAnswerRow(SQLModel, table=True):
    """What a customer answered to a survey, from the survey's activity or from an imported file."""

    __tablename__ = "survey_answers"
    __table_args__ = (
        CheckConstraint(one_of("source", ANSWER_SOURCES), name="source_is_known"),
        Index("ix_survey_answers_survey", "survey_id", "answered_at"),
    )

    customer_id: str = customer_key()
    survey_id: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    source: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    answered_at: datetime = instant()
    answers: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))


class CustomerStatsRow(SQLModel, table=True):
    """A person who did anything at all, merged identities as one, and what purchases of status ``purchase`` come to.

    Without a purchase the days, instants and the cohort are null and the figures 0.
    """

    __tablename__ = "customer_stats"
    __table_args__ = (
        Index("uq_customer_stats_unit_no", "unit_no", unique=True),
        Index("ix_customer_stats_excluded", "unit_no", postgresql_where=text("excluded")),
    )

    customer_id: str = customer_key()
    #: Short for ``customer_id`` where there are millions of rows. It stays until identities are merged or parted.
    unit_no: int = Field(sa_column=Column(Integer, Identity(always=True), nullable=False))
    first_at: datetime | None = instant(nullable=True)
    last_at: datetime | None = instant(nullable=True)
    first_day: date | None = Field(sa_column=Column(Date, nullable=True))
    last_day: date | None = Field(sa_column=Column(Date, nullable=True))
    #: The first day of the month of the first purchase.
    cohort_month: date | None = Field(sa_column=Column(Date, nullable=True))
    orders: int = points_column(0)
    purchase_days: int = points_column(0)
    revenue_minor: int = points_column(0)
    refunded_minor: int = points_column(0)
    first_activity_at: datetime | None = instant(nullable=True)
    #: One of the person's accounts has a tag of :data:`EXCLUDED_TAGS`.
    excluded: bool = Field(sa_column=Column(Boolean, nullable=False, server_default=text("false")))


class CustomerMonthRow(SQLModel, table=True):
    """What a person bought in a month of the shop's calendar; test and staff accounts have none here."""

    __tablename__ = "customer_months"
    __table_args__ = (Index("ix_customer_months_cohort", "cohort_month", "month"),)

    unit_no: int = _unit(is_key=True)
    #: Its first day.
    month: _Date = Field(sa_column=Column(Date, primary_key=True))
    cohort_month: _Date = _day()
    orders: int = points_column()
    purchase_days: int = points_column()
    revenue_minor: int = points_column()
    refunded_minor: int = points_column()


class RollupStateRow(SQLModel, table=True):
    """How far the facts have come; one row."""

    __tablename__ = "rollup_state"
    __table_args__ = (CheckConstraint("state_id = 1", name="only_one"),)

    state_id: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    #: Commands of transactions from this one on may not be in the facts yet; null before the first run.
    horizon: int | None = Field(sa_column=Column(BigInteger, nullable=True))
    #: What the last run could see, as ``pg_snapshot``: which transactions after the horizon are in.
    snapshot: str | None = text_column(nullable=True)
    #: Of which database: numbers of transactions mean nothing in another one.
    database_oid: int | None = Field(sa_column=Column(BigInteger, nullable=True))
    #: Grows by one whenever a run, or an import of facts, has changed what metrics may say.
    generation: int = points_column(0)
    #: The program's time zone and currency that the facts were worked out in, and its latest version.
    zone: str | None = text_column(nullable=True)
    currency: str | None = text_column(nullable=True)
    program_version: int | None = Field(sa_column=Column(Integer, nullable=True))
    refreshed_at: datetime | None = instant(nullable=True)
    rebuilt_at: datetime | None = instant(nullable=True)
    #: Since when the shop's orders are complete; null is since the first of them.
    history_start: date | None = Field(sa_column=Column(Date, nullable=True))
