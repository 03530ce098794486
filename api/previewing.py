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
}
