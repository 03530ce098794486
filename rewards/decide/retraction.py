"""Retraction: all that an activity was given is taken back, where no refund of an order does that of itself."""

from datetime import datetime
from typing import TYPE_CHECKING

from rewards.core.errors import AlreadyReversed, OrderNotFound
from rewards.decide.award import balance, past_instant
from rewards.decide.clawback import claw_back, free_limits, qualifying_part
from rewards.decide.commands import Retract
from rewards.decide.draft import Draft
from rewards.decide.standing import after_refund, refund_event
from rewards.decide.submission import Submission
from rewards.decide.welcome import note_retracted
from rewards.ledger.state import CustomerState, Decision, Retraction

if TYPE_CHECKING:
    from rewards.program.history import ProgramHistory


def retract(
    state: CustomerState, submission: Submission, command: Retract, programs: "ProgramHistory", now: datetime
) -> Decision:
    """Decide a retraction.

    Raises:
        OrderNotFound: there is no such activity.
        AlreadyReversed: all of it was taken back before.
        OccurredInFuture: it lies ahead.
    """
    key = command.activity_key
    activity = state.activities.get(key)
    if activity is None:
        raise OrderNotFound(
            f"No activity {key!r} is on record for this customer; there is nothing to take back."
        )
    if key in state.retracted:
        raise AlreadyReversed(f"What {key!r} gave was taken back before.")
    version = programs.by_version(activity.program_version)
    at = max(past_instant(command.occurred_at, now), activity.occurred_at)
    draft = Draft(state, submission, now, programs.in_force(now).version)
    by_grant = [grant.points for grant in activity.grants]
    free_limits(draft, activity, by_grant, -1, version.document)
    seq, written_off = claw_back(
        draft, activity, by_grant, f"retract:{key}", at, version.version, version.document
    )
    clawed_back = sum(by_grant) - written_off
    qualifying = qualifying_part(activity, by_grant)
    draft.retract(Retraction(key, seq, by_grant, clawed_back, written_off, at, qualifying))
    if key.startswith("tier:"):
        note_retracted(draft, programs, key)
    else:
        event = refund_event(
            at,
            seq,
            activity.occurred_at,
            qualifying,
            0,
            is_full=False,
            referrals=int(key.startswith("referral:") and not activity.held_out),
        )
        after_refund(draft, state, programs, [event], f"retract:{key}")
    decision = draft.close()
    decision.outcome = {
        "customer_id": draft.account.customer_id,
        "activity": key,
        "points_clawed_back": clawed_back,
        "points_written_off": written_off,
        "balance": balance(draft.account),
    }
    return decision
