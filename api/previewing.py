"""The shapes of a preview: what it takes, what it answers, and an example of each."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.examples import Example
from rewards.decide.commands import Instant


class PreviewBody(BaseModel):
    """A program document to replay the shop's own history under."""

    model_config = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)

    document: dict[str, Any]
    """The whole document; its JSON Schema is what `rewards program schema` prints."""
    since: Instant | None = None
    """From when on it would have been in force; always, unless given."""
    until: Instant | None = None
    """What occurred then or later is left out; nothing is, unless given."""
    sample: Literal["auto", "all"] | Annotated[int, Field(ge=1, le=2**31)] = "auto"
    """`all` customers, so many of them, or `auto`: all, but of a shop with more than 20,000 only 2,000."""

    @model_validator(mode="after")
    def _begins_first(self) -> "PreviewBody":
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError("until must be later than since")
        return self


class _Shown(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class Change(_Shown):
    """A figure as the ledger has it, and as it would be."""

    before: int
    after: int


class PreviewFlows(_Shown):
    """Points that came and went."""

    issued: Change
    clawed_back: Change
    redeemed: Change
    reinstated: Change
    expired: Change
    """Less those of which a refund undid that."""
    adjusted: Change


class PreviewMonth(PreviewFlows):
    """Points that came and went in a month of the program's time zone."""

    month: str


class IssuedByRule(Change):
    """Points that a rule gave in a month."""

    month: str
    rule_id: str


class MovedCustomer(Change):
    """A customer's balance, pending points included."""

    customer_id: str


class CustomersChanged(_Shown):
    """Whose balance would be another one; `up` and `down` are the 20 that change most either way."""

    count: int
    up: list[MovedCustomer]
    down: list[MovedCustomer]


class PreviewSample(_Shown):
    """Present where a part of the customers stands for all: every figure is theirs times `factor`."""

    customers: int
    of: int
    factor: float
    issued_standard_error: Change
    change_standard_error: int


class RefusedByDraft(_Shown):
    """What the draft refuses of what happened, with the first example."""

    what: Literal["activity", "refund", "redemption", "adjustment"]
    code: str
    count: int
    customer_id: str
    name: str
    detail: str


class RedemptionsCut(_Shown):
    """Redemptions that the balance under the draft does not cover, and the points they are short of."""

    count: int
    points: int


class TierShown(_Shown):
    """A tier of the ladder before or after."""

    id: str
    name: str


class CustomersMoving(_Shown):
    """How many come from a tier and go to another, or stay; null is below the first tier."""

    from_: Annotated[str | None, Field(alias="from")]
    to: str | None
    customers: int


class CustomerMoving(_Shown):
    """A customer who would move tier."""

    customer_id: str
    from_: Annotated[str | None, Field(alias="from")]
    to: str | None
    until: datetime | None
    """When the standing would end; null for never."""


class Moves(_Shown):
    """Who would move tier if the document were published now: all customers, whatever the sample."""

    as_of: datetime
    effective_from: datetime
    customers: int
    moved: int
    unchanged: int
    up: int
    down: int
    digest: str
    """Send it as `expected_moves` with `PUT /v1/program`, to publish only if it is still the same."""
    tiers: list[TierShown]
    """Of both ladders, lowest first."""
    matrix: list[CustomersMoving]
    outstanding_points: int
    """That customers have, held ones included."""
    currency: str
    currency_before: str
    value_minor: Change
    """What those are worth when redeemed, each tier's rounded down once."""
    points_per_year: Change
    """What the tiers' multipliers would give on top of the qualifying points of the purchases of the last 365 days."""
    seconds: float
    list: list[CustomerMoving]
    """The first 1,000 who move, by their ids."""


class PreviewAnswer(_Shown):
    """What the draft would have made of the shop's own history."""

    as_of: datetime
    since: datetime | None
    until: datetime | None
    currency: str
    currency_before: str
    customers: int
    """That were replayed."""
    activities: int
    """That were replayed."""
    seconds: float
    sample: PreviewSample | None
    totals: PreviewFlows
    cost_minor: Change
    """What the points issued are worth when redeemed, rounded down once."""
    liability_points: Change
    """All balances and holds together."""
    liability_minor: Change
    issued: list[IssuedByRule]
    months: list[PreviewMonth]
    customers_changed: CustomersChanged
    refused: list[RefusedByDraft]
    redemptions_cut: RedemptionsCut
    notes: list[str]
    moves: Moves | None
    """Null where there is no ladder, neither published nor in the document."""


def _change(before: int, after: int) -> Example:
    return {"before": before, "after": after}


_FLOWS: Example = {
    "issued": _change(4_900, 9_800),
    "clawed_back": _change(120, 240),
    "redeemed": _change(1_500, 1_500),
    "reinstated": _change(0, 0),
    "expired": _change(0, 0),
    "adjusted": _change(100, 100),
}
PREVIEW: Example = {
    "document": {
        "schema_version": 1,
        "name": "Tea club",
        "currency": "USD",
        "timezone": "America/New_York",
        "earn": [
            {
                "id": "base",
                "activity": "purchase",
                "gives": {"type": "per_amount", "points": 2, "per_minor": 100},
            }
        ],
    },
    "since": "2026-01-01T00:00:00-05:00",
    "sample": "auto",
}
PREVIEW_ANSWER: Example = {
    "as_of": "2026-11-01T12:00:00Z",
    "since": "2026-01-01T05:00:00Z",
    "until": None,
    "currency": "USD",
    "currency_before": "USD",
    "customers": 12,
    "activities": 31,
    "seconds": 0.02,
    "sample": None,
    "totals": _FLOWS,
    "cost_minor": _change(4_900, 9_800),
    "liability_points": _change(3_380, 8_160),
    "liability_minor": _change(3_380, 8_160),
    "issued": [{"month": "2026-10", "rule_id": "base", **_change(4_900, 9_800)}],
    "months": [{"month": "2026-10", **_FLOWS}],
    "customers_changed": {"count": 9, "up": [{"customer_id": "c-1", **_change(49, 98)}], "down": []},
    "refused": [],
    "redemptions_cut": {"count": 0, "points": 0},
    "notes": [],
    "moves": {
        "as_of": "2026-11-01T12:00:00Z",
        "effective_from": "2026-11-01T12:00:00Z",
        "customers": 12,
        "moved": 1,
        "unchanged": 11,
        "up": 0,
        "down": 1,
        "digest": "1-9d1f04c2a35be07c4b1b2d6a5e6f7a8b9c0d1e2f3a4b5c6d7e8f90a1b2c3d4e5",
        "tiers": [{"id": "bronze", "name": "Bronze"}, {"id": "silver", "name": "Silver"}],
        "matrix": [
            {"from": "bronze", "to": "bronze", "customers": 9},
            {"from": "silver", "to": "bronze", "customers": 1},
            {"from": "silver", "to": "silver", "customers": 2},
        ],
        "outstanding_points": 3_380,
        "currency": "USD",
        "currency_before": "USD",
        "value_minor": _change(3_470, 3_450),
        "points_per_year": _change(310, 265),
        "seconds": 0.01,
        "list": [{"customer_id": "c-1", "from": "silver", "to": "bronze", "until": None}],
    },
}
