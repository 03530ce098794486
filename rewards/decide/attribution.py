"""Attribution: whether a code brings its owner a new customer, and what gives pause about that.

An attribution that is refused never refuses the activity that carried the code. Guessing leads nowhere: codes have
59 bits, a customer can try two (at signup and with the first order, since each only happens once), and to everybody
else a code that is known and one that is not are answered alike.
"""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from rewards.core.referral_codes import written
from rewards.decide.draft import Draft
from rewards.ledger.referral_state import Referral, Referring
from rewards.ledger.state import CustomerState
from rewards.program.periods import add, parse_duration
from rewards.program.referrals import ReferralPolicy

_LONGEST_CHAIN = 50
_NOBODY = Referring()


def attribute(
    draft: Draft,
    state: CustomerState,
    code: str,
    policy: ReferralPolicy,
    zone: ZoneInfo,
    occurred_at: datetime,
) -> dict[str, Any]:
    """Attribute a customer to the owner of a code, unless something speaks against it; return what to tell.

    What is told names no customer, and tells an unknown code from a known one only to those who may use one.
    """
    refused = _refused_unseen(draft, state, code) or _refused_seen(state, code)
    if refused is not None:
        return refused
    referring = state.referring or _NOBODY
    customer_id, referrer = state.account.customer_id, referring.owners[code]
    reasons, status = _guarded(referring, policy, draft, referrer, zone, occurred_at)
    draft.refer(
        Referral(
            customer_id,
            referrer,
            code,
            status,
            reasons,
            draft.decision.fingerprints,
            occurred_at,
            add(occurred_at, parse_duration(policy.window), zone),
        )
    )
    if status == "attributed":
        return _told(status, "The code counts; both are rewarded once an order qualifies.")
    ends = "It was rejected" if status == "rejected" else "It waits for somebody to look at it"
    return _told(status, f"{ends}: {'; '.join(reason['text'] for reason in reasons)}.")


def _refused_unseen(draft: Draft, state: CustomerState, code: str) -> dict[str, Any] | None:
    """Return why a code does not count for this customer, whether or not there is such a code."""
    known = draft.referral
    if known is not None and known.code == code:
        return _told(known.status, f"The customer came with the code {written(code)}.")
    if known is not None:
        return _told("already-referred", "The customer came with another code, and the first one counts.")
    if state.account.last_purchase_at is not None:
        return _told("existing-customer", "A code is for new customers; this one has bought before.")
    return None


def _refused_seen(state: CustomerState, code: str) -> dict[str, Any] | None:
    """Return why this very code does not count for this customer."""
    referring = state.referring or _NOBODY
    customer_id = state.account.customer_id
    referrer = referring.owners.get(code)
    if referrer is None:
        return _told("unknown-code", "There is no such code; check it for typing errors.")
    if referrer == customer_id:
        return _told("self-referral", "The code is the customer's own; it is for friends.")
    if _leads_back(referring, referrer, customer_id):
        return _told("loop", "The code's owner was brought by this customer; that counts one way only.")
    return None


def _told(status: str, reason: str) -> dict[str, Any]:
    return {"status": status, "reason": reason}


def _leads_back(referring: Referring, referrer: str, customer_id: str) -> bool:
    """Tell whether the referrer was brought by this customer, or by someone whom this customer brought, and so on."""
    brought = referrer
    for _ in range(_LONGEST_CHAIN):
        before = referring.referrers.get(brought)
        if before is None or before == customer_id:
            return before is not None
        brought = before
    return False


def _guarded(
    referring: Referring,
    policy: ReferralPolicy,
    draft: Draft,
    referrer: str,
    zone: ZoneInfo,
    occurred_at: datetime,
) -> tuple[list[dict[str, str]], str]:
    """Return what the guards found, and the status that follows."""
    reasons: list[dict[str, str]] = []
    verdicts = set()
    for kind in _shared(referring, draft, referrer) if policy.guards.fingerprints != "ignore" else ():
        reasons.append({"guard": "fingerprints", "text": kind})
        verdicts.add(policy.guards.fingerprints)
    velocity = policy.guards.velocity
    if velocity is not None:
        within = parse_duration(velocity.within)
        uses = sum(add(at, within, zone) > occurred_at for at in referring.used_at.get(referrer, ()))
        if uses >= velocity.count:
            text = f"the code was used {uses} times within {velocity.within}, and {velocity.count} pass"
            reasons.append({"guard": "velocity", "text": text})
            verdicts.add(velocity.then)
    if "reject" in verdicts:
        return reasons, "rejected"
    return reasons, "flagged" if verdicts else "attributed"


def _shared(referring: Referring, draft: Draft, referrer: str) -> list[str]:
    found = []
    for kind, value in draft.decision.fingerprints.items():
        others = referring.fingerprints.get((kind, value), set()) - {draft.account.customer_id}
        if referrer in others:
            found.append(f"the same {kind} as the referrer's")
        elif any(referring.referrers.get(other) == referrer for other in others):
            found.append(f"the same {kind} as that of another customer of the referrer")
    return found
