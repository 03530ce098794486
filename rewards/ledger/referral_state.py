"""A referral, and what must be known of other customers to attribute one: plain data, no database."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rewards.core.referral_codes import written

#: ``attributed`` waits for an order that qualifies, ``flagged`` for a person, ``approved`` is ``attributed`` after a
#: person's yes. Then ``qualified`` and ``rewarded``; or ``rejected``, ``expired`` without an order, ``reversed`` by
#: a refund.
STATUSES = (
    "attributed",
    "flagged",
    "approved",
    "rejected",
    "qualified",
    "rewarded",
    "reversed",
    "expired",
)

#: What the engine is to send next for a referral: the reward of who was referred, then that of the referrer; or
#: what takes both back.
DUE = ("reward", "referrer", "retract")


@dataclass(frozen=True, slots=True)
class Referral:
    """How a customer was brought by another, and what came of it. It is part of the referred customer's state."""

    #: The customer who was referred.
    customer_id: str
    referrer_id: str
    code: str
    status: str
    #: What the guards found, each with its ``guard`` and a sentence, ``text``.
    reasons: list[dict[str, str]]
    #: As they came with the code, by kind.
    fingerprints: dict[str, str]
    #: When the activity with the code occurred, and until when an order can qualify.
    attributed_at: datetime
    closes_at: datetime
    #: The order that counts, what was paid for it in minor units, and when it occurred.
    order_id: str | None = None
    order_minor: int | None = None
    ordered_at: datetime | None = None
    qualified_at: datetime | None = None
    rewarded_at: datetime | None = None
    #: When the refund occurred that undid it, or since when an admin does not let it count.
    undone_at: datetime | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    decision_note: str | None = None
    due: str | None = None


@dataclass(slots=True)
class Referring:
    """Facts about other customers that the attributions of a batch are decided from.

    They are read without a lock, so guards may miss what another transaction does at the same moment; the laws of
    the ledger do not rest on them.
    """

    #: Who owns a code.
    owners: dict[str, str] = field(default_factory=dict)
    #: Who referred a customer, for those that matter.
    referrers: dict[str, str] = field(default_factory=dict)
    #: Whose fingerprints these are, ``(kind, value)``, among the referrers and those whom they brought.
    fingerprints: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    #: When a referrer's code was used, by referrer.
    used_at: dict[str, list[datetime]] = field(default_factory=dict)

    def learn(self, customer_id: str, attributed: Referral | None, fingerprints: Mapping[str, str]) -> None:
        """Add what a command of this batch brought about: a new referral, and what fingerprints came along."""
        for each in fingerprints.items():
            self.fingerprints.setdefault(each, set()).add(customer_id)
        if attributed is not None:
            self.used_at.setdefault(attributed.referrer_id, []).append(attributed.attributed_at)
            if attributed.status != "rejected":
                self.referrers[customer_id] = attributed.referrer_id


def shown(referral: Referral) -> dict[str, Any]:
    """Return a referral as admins see it."""
    return {
        "referred_customer_id": referral.customer_id,
        "referrer_customer_id": referral.referrer_id,
        "code": written(referral.code),
        "status": referral.status,
        "reasons": referral.reasons,
        "attributed_at": referral.attributed_at,
        "closes_at": referral.closes_at,
        "order_id": referral.order_id,
        "order_minor": referral.order_minor,
        "ordered_at": referral.ordered_at,
        "qualified_at": referral.qualified_at,
        "rewarded_at": referral.rewarded_at,
        "undone_at": referral.undone_at,
        "decided_by": referral.decided_by,
        "decided_at": referral.decided_at,
        "note": referral.decision_note,
    }
