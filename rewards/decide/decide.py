"""The one function that every change of points goes through."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rewards.core.errors import Refusal
from rewards.decide import commands
from rewards.decide.adjustment import adjust, settle
from rewards.decide.award import award
from rewards.decide.holding_out import assign
from rewards.decide.offering import end_offer, offer
from rewards.decide.redemption import capture, redeem, reverse_redemption, void
from rewards.decide.referral import follow_up, judge
from rewards.decide.retraction import retract
from rewards.decide.reversal import return_unmatched, reverse
from rewards.decide.standing import bring_up, end_grant, enroll, grant_standing
from rewards.decide.submission import CLOCK_SKEW, Submission
from rewards.decide.tagging import tag
from rewards.ledger.state import CustomerState, Decision

if TYPE_CHECKING:
    from rewards.program.history import ProgramHistory

_DECISIONS: dict[type[Any], Callable[..., Decision]] = {
    commands.Award: award,
    commands.Record: award,
    commands.Redeem: redeem,
    commands.Capture: capture,
    commands.Void: void,
    commands.ReverseRedemption: reverse_redemption,
    commands.Reverse: reverse,
    commands.Return: return_unmatched,
    commands.Adjust: adjust,
    commands.Tag: tag,
    commands.Offer: offer,
    commands.EndOffer: end_offer,
    commands.Settle: settle,
    commands.Restand: bring_up,
    commands.Reward: award,
    commands.Welcome: award,
    commands.Enroll: enroll,
    commands.Assign: assign,
    commands.GrantStanding: grant_standing,
    commands.EndGrant: end_grant,
    commands.Retract: retract,
    commands.JudgeReferral: judge,
    commands.FollowUp: follow_up,
}


def decide(
    state: CustomerState, submission: Submission, programs: "ProgramHistory", now: datetime
) -> Decision:
    """Decide one command: no clock, no database, no other effect, and ``state`` is left as it was.

    Returns:
        A decision with either an ``outcome`` and the rows and state that follow from it, or a ``refusal``.
    """
    command = submission.command
    try:
        return _DECISIONS[type(command)](state, submission, command, programs, _present(state, now))
    except Refusal as refusal:
        return Decision(refusal=refusal)


def _present(state: CustomerState, now: datetime) -> datetime:
    """Return ``now``, or when the customer's last command was where that is a little later.

    Two servers' clocks differ, and a batch that read the clock first may get the lock last: what one command
    was told is available must not be pending again for the next.
    """
    as_of = state.account.as_of
    return as_of if as_of is not None and now < as_of <= now + CLOCK_SKEW else now
