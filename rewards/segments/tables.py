"""Who is in which segment, and whom campaigns have drawn."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Column, Index, Text, text
from sqlmodel import Field, SQLModel

from rewards.ledger.columns import customer_key, instant, one_of, text_column

ARMS = ("program", "holdout")
STATES = ("drawn", "offered", "ended")


class SegmentMemberRow(SQLModel, table=True):
    """A customer who was in a segment when the job last looked; those who have left it are gone."""

    __tablename__ = "segment_members"
    __table_args__ = (Index("ix_segment_members_segment", "segment_id", "customer_id"),)

    customer_id: str = customer_key()
    segment_id: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    #: When the job first found it there.
    since: datetime = instant()


class CampaignCustomerRow(SQLModel, table=True):
    """A customer whom a campaign has drawn: in which arm, and how far the offer is."""

    __tablename__ = "campaign_customers"
    __table_args__ = (
        CheckConstraint(one_of("arm", ARMS), name="arm_is_known"),
        CheckConstraint(one_of("state", STATES), name="state_is_known"),
        Index("ix_campaign_customers_campaign", "campaign_id", "customer_id"),
        Index(
            "ix_campaign_customers_due",
            "offered_until",
            postgresql_where=text("arm = 'program' AND state <> 'ended'"),
        ),
    )

    customer_id: str = customer_key()
    campaign_id: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    arm: str = text_column()
    #: When its lot was drawn: the moment of the offer, for both arms alike.
    drawn_at: datetime = instant()
    #: When the offer ends, or would have ended.
    offered_until: datetime = instant()
    #: ``drawn`` until the customer was made the offer, then ``offered`` until it has ``ended``.
    state: str = text_column()
