"""What the API answers about segments and campaigns."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Shown(BaseModel):
    """An answer: callers must expect further members."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class SegmentShown(_Shown):
    """A segment of the program in force."""

    id: str
    name: str | None
    when: str
    """The condition, in CEL."""
    customers: int
    """How many customers were in it when the job last looked."""


class SegmentsAnswer(_Shown):
    """The segments of the program in force."""

    segments: list[SegmentShown]
    as_of: datetime | None
    """When the job last looked at all customers; null before it first has."""


class SegmentCustomerShown(_Shown):
    """A customer in a segment."""

    customer_id: str
    since: datetime
    """When the job first found the customer there."""
    tier: str | None
    purchases: int
    spent_minor: int
    last_purchase_at: datetime | None


class SegmentCustomersAnswer(_Shown):
    """A page of the customers in a segment, in the order of their ids."""

    customers: list[SegmentCustomerShown]
    next_cursor: str | None


class CampaignShown(_Shown):
    """A campaign, and how many customers it has drawn for each arm."""

    id: str
    name: str | None
    segment: str
    status: Literal["coming", "running", "over"]
    offered: int
    """Customers drawn for the offer."""
    held_out: int
    """Customers drawn for comparison, who got none."""
    first_at: datetime | None
    last_at: datetime | None


class CampaignsAnswer(_Shown):
    """The campaigns of the program in force."""

    campaigns: list[CampaignShown]
