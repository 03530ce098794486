"""The stored shape of experiments: who was assigned which arm by others than the lot, and who met one when."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Column, Index, String, Text
from sqlmodel import Field, SQLModel

from rewards.ledger.columns import customer_key, instant, one_of, text_column

ARMS = ("program", "holdout")


class AssignmentRow(SQLModel, table=True):
    """An arm that was assigned, not drawn; the first one stays. The account has a copy, for decisions."""

    __tablename__ = "assignments"
    __table_args__ = (
        CheckConstraint(one_of("arm", ARMS), name="arm_is_known"),
        Index("ix_assignments_experiment", "experiment_id", "customer_id"),
    )

    customer_id: str = customer_key()
    experiment_id: str = Field(sa_column=Column(String(64, collation="C"), primary_key=True))
    arm: str = text_column()
    #: When the customer was assigned, as whoever did so says.
    assigned_at: datetime = instant()
    #: ``import`` for a file's; else who assigned.
    source: str = text_column()
    #: From when on it counts in decisions.
    recorded_at: datetime = instant()


class ExposureRow(SQLModel, table=True):
    """That, and when, a customer first met an experiment, in whichever arm: who its effect is measured on."""

    __tablename__ = "exposures"
    __table_args__ = (
        CheckConstraint(one_of("arm", ARMS), name="arm_is_known"),
        Index("ix_exposures_customer", "customer_id"),
    )

    experiment_id: str = Field(sa_column=Column(String(64, collation="C"), primary_key=True))
    customer_id: str = customer_key()
    arm: str = text_column()
    exposed_at: datetime = instant()
    #: ``activity`` for the first activity, ``storefront`` for what a storefront logged, ``import`` for an assignment
    #: to an experiment that the program does not have, ``campaign`` for an offer that was made or withheld.
    source: str = Field(sa_column=Column(Text, nullable=False))
