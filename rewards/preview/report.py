"""What a preview found, as plain data: the same for the command, the API and tests.

Points are integers, money is integer minor units. ``before`` is what the ledger has, ``after`` is what the draft
would have made of the same history.
"""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from rewards.ledger.statements import rfc3339


class Change(NamedTuple):
    """A figure as the ledger has it, and as it would be."""

    before: int
    after: int

    def as_json(self) -> dict[str, int]:
        """Return both by name."""
        return {"before": self.before, "after": self.after}


@dataclass(frozen=True, slots=True)
class Flows:
    """What came and went in a time. All but ``adjusted`` are 0 or more, unless a refund undid older things.

    Attributes:
        issued: points that rules gave.
        clawed_back: points that refunds took back.
        redeemed: points that customers spent.
        reinstated: spent points that came back.
        expired: points that time took, less those of which a refund undid that.
        adjusted: points that were given (or, below zero, taken) by hand.
    """

    issued: Change
    clawed_back: Change
    redeemed: Change
    reinstated: Change
    expired: Change
    adjusted: Change

    def as_json(self) -> dict[str, Any]:
        """Return all by name."""
        return {name: getattr(self, name).as_json() for name in FLOWS}


FLOWS = ("issued", "clawed_back", "redeemed", "reinstated", "expired", "adjusted")


@dataclass(frozen=True, slots=True)
class RuleMonth:
    """What one rule gave in one month (``2026-11``, of the draft's time zone)."""

    month: str
    rule_id: str
    points: Change


@dataclass(frozen=True, slots=True)
class Mover:
    """A customer and the balance, pending points included, that there is and that there would be."""

    customer_id: str
    points: Change


@dataclass(slots=True)
class Refused:
    """Why the draft refuses things that happened: how often, and the first of them."""

    #: What is refused: ``activity``, ``refund``, ``redemption`` or ``adjustment``.
    what: str
    code: str
    count: int
    customer_id: str
    #: The activity's key, the refund or redemption.
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Sampled:
    """How a sample stands for all customers.

    Attributes:
        customers: in the sample.
        of: how many there are.
        factor: what a sampled figure is multiplied by, ``of / customers``.
        issued_standard_error: of the points issued, before and after.
        change_standard_error: of the difference between the two, in points.
    """

    customers: int
    of: int
    factor: float
    issued_standard_error: Change
    change_standard_error: int


@dataclass(slots=True)
class PreviewReport:
    """What a draft would have made of the shop's own history.

    Where ``sample`` is set, points, money and counts are estimates for all customers: each is the sample's times
    the factor, rounded half up by itself. ``customers`` and ``activities`` are what was replayed, and the customers
    that are named are the sample's.

    Attributes:
        as_of: the instant that balances are told for.
        since: from when on the draft is in force; None for ever.
        until: what happened from then on is left out; None for nothing.
        currency: ISO 4217 code of the money after; ``currency_before`` of the money before.
        currency_before: see ``currency``.
        customers: that were replayed.
        activities: that were replayed.
        seconds: that it took.
        sample: None where all customers were replayed.
        issued: points by month and rule; those that gave nothing are left out.
        months: flows by month.
        totals: flows of all months together.
        cost_minor: what the points issued are worth when redeemed, rounded down once, on the total.
        liability_points: all balances and holds together; a customer who owes points counts below zero.
        liability_minor: what those are worth when redeemed, rounded down once.
        changed: customers whose balance is another one.
        up: whose balance grows most, the most first.
        down: whose balance shrinks most, the most first.
        refused: what the draft refuses.
        redemptions_cut: redemptions that the balance under the draft did not cover.
        points_cut: points that they were short of.
        notes: what else there is to know, in sentences.
    """

    as_of: datetime
    since: datetime | None
    until: datetime | None
    currency: str
    currency_before: str
    customers: int
    activities: int
    seconds: float
    sample: Sampled | None
    issued: list[RuleMonth]
    months: dict[str, Flows]
    totals: Flows
    cost_minor: Change
    liability_points: Change
    liability_minor: Change
    changed: int
    up: list[Mover]
    down: list[Mover]
    refused: list[Refused]
    redemptions_cut: int
    points_cut: int
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the report in the API's shape."""
        return {
            "as_of": rfc3339(self.as_of),
            "since": self.since and rfc3339(self.since),
            "until": self.until and rfc3339(self.until),
            "currency": self.currency,
            "currency_before": self.currency_before,
            "customers": self.customers,
            "activities": self.activities,
            "seconds": round(self.seconds, 2),
            "sample": self._sample(),
            "totals": self.totals.as_json(),
            "cost_minor": self.cost_minor.as_json(),
            "liability_points": self.liability_points.as_json(),
            "liability_minor": self.liability_minor.as_json(),
            "issued": [
                {"month": each.month, "rule_id": each.rule_id, **each.points.as_json()}
                for each in self.issued
            ],
            "months": [{"month": month, **flows.as_json()} for month, flows in self.months.items()],
            "customers_changed": {
                "count": self.changed,
                "up": [_mover(each) for each in self.up],
                "down": [_mover(each) for each in self.down],
            },
            "refused": [asdict(each) for each in self.refused],
            "redemptions_cut": {"count": self.redemptions_cut, "points": self.points_cut},
            "notes": self.notes,
        }

    def _sample(self) -> dict[str, Any] | None:
        sample = self.sample
        if sample is None:
            return None
        return {
            "customers": sample.customers,
            "of": sample.of,
            "factor": round(sample.factor, 4),
            "issued_standard_error": sample.issued_standard_error.as_json(),
            "change_standard_error": sample.change_standard_error,
        }


def _mover(mover: Mover) -> dict[str, Any]:
    return {"customer_id": mover.customer_id, **mover.points.as_json()}
