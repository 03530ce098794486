"""Adjustment: an admin credits or debits points by hand, with a reason."""

from datetime import datetime
from typing import TYPE_CHECKING

from rewards.core import ids
from rewards.core.errors import InsufficientPoints
from rewards.decide.award import balance, credit_lot
from rewards.decide.commands import Adjust, Settle
from rewards.decide.draft import Draft
from rewards.decide.referral import expire_referral
from rewards.decide.standing import settle_standing
from rewards.decide.submission import Submission
from rewards.ledger.state import CustomerState, Decision
from rewards.program import periods

if TYPE_CHECKING:
    from rewards.program.history import ProgramHistory


def adjust(
    state: CustomerState, submission: Submission, command: Adjust, programs: "ProgramHistory", now: datetime
) -> Decision:
    """Decide an adjustment. A credit is spendable at once and lives as long as the program's points do.

    Raises:
        InsufficientPoints: a debit is not covered and ``allow_negative`` is false.
        BalanceTooLarge: the balance would leave the exact range.
    """
    version = programs.in_force(now)
    draft = Draft(state, submission, now, version.version)
    points = command.points
    available = draft.available() if points < 0 else 0
    if points < 0 and available + points < 0 and not command.allow_negative:
        raise InsufficientPoints(
            f"{-points} points were to be taken and {available} are available; send allow_negative to take them "
            "all the same.",
            available=available,
            requested=-points,
        )
    seq = draft.enter("adjust", points, "adjustment", note=command.reason)
    if points > 0:
        times = periods.times(version.document.points, version.document.zone)
        deadline = draft.account.inactive_at
        if times.inactive_at is not None and (deadline is None or deadline <= now):
            # A credit by hand is no activity, but points that die of inactivity need a deadline to start from.
            draft.be_active(now, times.inactive_at)
        draft.add_lot(credit_lot(seq, points, now, now, times))
    else:
        taken = draft.take(-points, draft.open_lots(), seq)
        draft.owe(-points - taken, seq)
    decision = draft.close()
    decision.outcome = {
        "adjustment_id": ids.encode(ids.ADJUSTMENT, draft.account.customer_id, seq),
        "customer_id": draft.account.customer_id,
        "points": points,
        "reason": command.reason,
        "program_version": version.version,
        "balance": balance(draft.account),
    }
    return decision


def settle(
    state: CustomerState, submission: Submission, command: Settle, programs: "ProgramHistory", now: datetime
) -> Decision:
    """Book what time alone has brought about: lapsed holds, expired lots and referrals, pending points available."""
    draft = Draft(state, submission, now, programs.in_force(now).version)
    expire_referral(draft)
    settle_standing(draft, state, programs)
    decision = draft.close()
    decision.outcome = {
        "customer_id": command.customer_id,
        "points_expired": -sum(entry.points for entry in decision.entries if entry.kind == "expire"),
        "points_released": sum(entry.points for entry in decision.entries if entry.kind == "release"),
        "balance": balance(draft.account),
    }
    return decision
