"""The kinds of column that the tables are made of, and how constraints are named."""

from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, String, Text, text
from sqlmodel import Field, SQLModel

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "pk_%(table_name)s",
}
SQLModel.metadata.naming_convention = NAMING


def customer_key() -> Any:
    """Return the column that a customer's rows begin with in their primary key."""
    return Field(sa_column=Column(String(128, collation="C"), primary_key=True))


def seq_key() -> Any:
    """Return a column of the primary key that numbers rows within their customer."""
    return Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))


def points_column(default: int | None = None) -> Any:
    """Return a column of points, or of another whole number."""
    server_default = None if default is None else text(str(default))
    return Field(sa_column=Column(BigInteger, nullable=False, server_default=server_default))


def instant(*, nullable: bool = False) -> Any:
    """Return a column of an instant in UTC."""
    return Field(sa_column=Column(DateTime(timezone=True), nullable=nullable))


def text_column(*, nullable: bool = False) -> Any:
    """Return a column of text."""
    return Field(sa_column=Column(Text, nullable=nullable))


def one_of(column: str, values: tuple[str, ...]) -> str:
    """Return the check that a column is one of ``values``."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"
