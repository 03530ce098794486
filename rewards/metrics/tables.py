"""The stored shape of the metrics that were worked out beforehand, for the dashboard."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Date, Float, SmallInteger, String, text
from sqlalchemy.dialects.postgresql import JSON
from sqlmodel import Field, SQLModel

from rewards.ledger.columns import instant, one_of, text_column

#: As of the last day that has ended; and with today so far.
SPANS = ("closed", "today")


class KeptMetricRow(SQLModel, table=True):
    """A metric with its defaults, as it was last worked out."""

    __tablename__ = "kept_metrics"
    __table_args__ = (CheckConstraint(one_of("span", SPANS), name="span_is_known"),)

    name: str = Field(sa_column=Column(String(64, collation="C"), primary_key=True))
    span: str = Field(sa_column=Column(String(8, collation="C"), primary_key=True))
    as_of: date = Field(sa_column=Column(Date, nullable=False))
    failed: bool = Field(sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    seconds: float = Field(sa_column=Column(Float, nullable=False))
    #: As :func:`rewards.metrics.showing.wire.packed` makes it.
    result: Any = Field(sa_column=Column(JSON(none_as_null=True), nullable=False))
    #: The charts of its tables by their keys, drawn, so that no page waits for them.
    drawings: Any = Field(sa_column=Column(JSON(none_as_null=True), nullable=False))


class KeptShopRow(SQLModel, table=True):
    """Of which generation of the facts, and of which day, the kept metrics are; one row."""

    __tablename__ = "kept_shop"
    __table_args__ = (CheckConstraint("shop_id = 1", name="one_row"),)

    shop_id: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    generation: int = Field(sa_column=Column(BigInteger, nullable=False))
    as_of: date = Field(sa_column=Column(Date, nullable=False))
    #: Which metrics they are: another version of the program may have others.
    metrics: str = text_column()
    made_at: datetime = instant()
    seconds: float = Field(sa_column=Column(Float, nullable=False))
    #: How many customers and purchases there are, and what is left out.
    shop: Any = Field(sa_column=Column(JSON(none_as_null=True), nullable=False))
