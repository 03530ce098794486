"""Referrals: who was brought by whom, whether that counts, and what of it comes next.

A referral is part of the referred customer's state, so that all that happens to it is decided under that
customer's lock alone. What it brings about for the referrer is another command, sent afterwards: the referral
says what is ``due`` until that was done.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rewards.core.errors import ReferralClosed, ReferralNotFound
from rewards.core.money import format_minor
from rewards.core.referral_codes import read_code
from rewards.decide.attribution import attribute
from rewards.decide.commands import Award, FollowUp, JudgeReferral, Purchase, Record, Referred, Reward
from rewards.decide.draft import Draft
from rewards.decide.submission import Submission
from rewards.ledger.referral_state import Referral, shown
from rewards.ledger.state import CustomerState, Decision, RecordedActivity

if TYPE_CHECKING:
    from rewards.program.document import ProgramDocument
    from rewards.program.history import ProgramHistory
    from rewards.program.referrals import ReferralPolicy

#: An order makes these qualify; one that had expired may still be told of an order from within its window.
_OPEN = ("attributed", "approved", "expired")


def check_reward(state: CustomerState, command: Award) -> None:
    """Make sure that a reward for being referred is still due.

    Raises:
        ReferralClosed: it was paid, or the order was refunded meanwhile.
    """
    if isinstance(command, Reward) and isinstance(command.activity, Referred):
        referral = state.referral
        if referral is None or referral.due != "reward":
            raise ReferralClosed(
                "The referral is not waiting for its reward any more; nothing is to be done."
            )


def refer(
    draft: Draft, state: CustomerState, command: Award, document: "ProgramDocument", occurred_at: datetime
) -> dict[str, Any] | None:
    """Carry on the customer's referral by an activity; return what the award's answer says of it, if anything."""
    activity, policy = command.activity, document.referrals
    if isinstance(command, Reward):
        if isinstance(activity, Referred) and draft.referral is not None:
            draft.refer(replace(draft.referral, status="rewarded", rewarded_at=draft.now, due="referrer"))
        return None
    if policy is None or isinstance(command, Record):
        return None
    if state.account.referred and state.referral is None:
        # It was not loaded: no program about this moment had referrals when the batch began.
        return None
    told = None
    fingerprints = getattr(activity, "fingerprints", None)
    if fingerprints is not None:
        draft.decision.fingerprints = fingerprints.given()
    code = getattr(activity, "referral_code", None)
    if code is not None and read_code(code):
        told = attribute(draft, state, read_code(code), policy, document.zone, occurred_at)
    if isinstance(activity, Purchase) and draft.referral is not None:
        told = _order(draft, draft.referral, activity, policy, document.currency, occurred_at) or told
    return told


def _order(
    draft: Draft,
    referral: Referral,
    order: Purchase,
    policy: "ReferralPolicy",
    currency: str,
    occurred_at: datetime,
) -> dict[str, Any] | None:
    """Let an order qualify a referral, or wait for a person with it; None where it does not."""
    is_held_up = referral.status in ("flagged", "rejected")
    if referral.order_id is not None or not (is_held_up or referral.status in _OPEN):
        return None
    if not referral.attributed_at <= occurred_at < referral.closes_at:
        return None
    least = policy.minimum_order_minor
    if order.total_minor < least:
        if is_held_up:
            return None
        return {
            "status": referral.status,
            "reason": f"Waits for an order of at least {format_minor(least, currency)} {currency}.",
        }
    referral = replace(
        referral, order_id=order.order_id, order_minor=order.total_minor, ordered_at=occurred_at
    )
    if is_held_up:
        # It is kept with the referral, for the case that a person lets that count.
        draft.refer(referral)
        return None if referral.status == "rejected" else _waits(referral)
    draft.refer(_qualified(referral, draft.now))
    return {
        "status": "qualified",
        "reason": "The order qualifies; both are rewarded after its refund window.",
    }


def _waits(referral: Referral) -> dict[str, Any]:
    found = "; ".join(reason["text"] for reason in referral.reasons)
    return {"status": "flagged", "reason": f"It waits for somebody to look at it: {found}."}


def _qualified(referral: Referral, now: datetime) -> Referral:
    return replace(referral, status="qualified", qualified_at=now, due="reward")


def undo_referral(
    draft: Draft, activity: RecordedActivity, left_minor: int, document: "ProgramDocument", *, at: datetime
) -> None:
    """Undo the customer's referral where a refund leaves too little of the order that it rests on."""
    referral = draft.referral
    if referral is None or referral.order_id != activity.body["order_id"] or not _can_be_undone(referral):
        return
    least = 0 if document.referrals is None else document.referrals.minimum_order_minor
    if left_minor <= 0 or left_minor < least:
        draft.refer(_undone(referral, "reversed", at))


def _can_be_undone(referral: Referral) -> bool:
    # One that was rejected before it gave anything could still be approved.
    could_be_approved = referral.status == "rejected" and referral.rewarded_at is None
    return could_be_approved or referral.status in ("flagged", "qualified", "rewarded")


def _undone(referral: Referral, status: str, at: datetime) -> Referral:
    # What was not paid yet is simply not due any more.
    due = None if referral.rewarded_at is None else "retract"
    return replace(referral, status=status, undone_at=at, due=due)


def judge(
    state: CustomerState,
    submission: Submission,
    command: JudgeReferral,
    programs: "ProgramHistory",
    now: datetime,
) -> Decision:
    """Decide what an admin says of a referral: that it counts, or that it does not. Saying it again changes nothing.

    Raises:
        ReferralNotFound: nobody brought this customer.
        ReferralClosed: it is over.
    """
    referral = state.referral
    if referral is None:
        raise no_referral(command.customer_id)
    draft = Draft(state, submission, now, programs.in_force(now).version)
    judged = _approved(referral, now) if command.approve else _rejected(referral, now)
    if judged is not referral:
        judged = replace(judged, decided_by=submission.actor, decided_at=now, decision_note=command.note)
        draft.refer(judged)
    decision = draft.close()
    decision.outcome = shown(judged)
    return decision


def _approved(referral: Referral, now: datetime) -> Referral:
    if referral.status in ("attributed", "approved", "qualified", "rewarded"):
        return referral
    was_refused = referral.status == "rejected" and referral.rewarded_at is None
    if referral.status != "flagged" and not was_refused:
        raise ReferralClosed(f"The referral is {referral.status}; it cannot be approved any more.")
    referral = replace(referral, status="approved", undone_at=None)
    return referral if referral.order_id is None else _qualified(referral, now)


def _rejected(referral: Referral, now: datetime) -> Referral:
    if referral.status == "rejected":
        return referral
    if referral.status in ("reversed", "expired"):
        raise ReferralClosed(f"The referral is {referral.status}; there is nothing left to reject.")
    return _undone(referral, "rejected", now)


def no_referral(customer_id: str) -> ReferralNotFound:
    """Return the refusal of what asks for a referral that is not there."""
    return ReferralNotFound(f"No referral of a customer {customer_id!r} is on record; see GET /v1/referrals.")


def follow_up(
    state: CustomerState,
    submission: Submission,
    command: FollowUp,
    programs: "ProgramHistory",
    now: datetime,
) -> Decision:
    """Decide that what was due is done; where something else is due by now, that stays.

    Raises:
        ReferralNotFound: nobody brought this customer.
    """
    referral = state.referral
    if referral is None:
        raise no_referral(command.customer_id)
    draft = Draft(state, submission, now, programs.in_force(now).version)
    if referral.due == command.done:
        if command.done == "reward":
            # The reward was refused for good, such as for a balance that is too large: the referrer's is next.
            referral = replace(referral, status="rewarded", rewarded_at=now, due="referrer")
        else:
            referral = replace(referral, due=None)
        draft.refer(referral)
    decision = draft.close()
    decision.outcome = shown(referral)
    return decision


def expire_referral(draft: Draft) -> None:
    """Let a referral expire whose window has passed without an order."""
    referral = draft.referral
    if (
        referral is not None
        and referral.status in ("attributed", "approved")
        and referral.closes_at.astimezone(UTC) <= draft.now
    ):
        draft.refer(replace(referral, status="expired"))
