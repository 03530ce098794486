"""Welcomes: what rules give for having reached a tier, and its return where that was for nothing.

What is due stands with the standing, written with the move, so that nothing is lost however a process ends.
"""

from typing import TYPE_CHECKING

from rewards.core.errors import ReferralClosed
from rewards.decide.commands import Award, Welcome
from rewards.decide.draft import Draft
from rewards.decide.standing import wake_at
from rewards.ledger.state import CustomerState
from tiers.ladder import timeline_of

if TYPE_CHECKING:
    from rewards.program.history import ProgramHistory


def check_welcome(state: CustomerState, command: Award, activity_key: str) -> None:
    """Make sure that a welcome is still due.

    Raises:
        ReferralClosed: it was given, or the move was undone meanwhile.
    """
    if isinstance(command, Welcome):
        standing = state.account.standing
        if standing is None or all(key != activity_key for key, _ in standing.to_welcome):
            raise ReferralClosed(
                "The customer does not wait for this welcome any more; nothing is to be done."
            )


def note_welcomed(draft: Draft, programs: "ProgramHistory", activity_key: str) -> None:
    """Note that a welcome was given."""
    standing = draft.account.standing
    assert standing is not None
    standing = standing.copy()
    standing.to_welcome = [each for each in standing.to_welcome if each[0] != activity_key]
    standing.welcomes = [*standing.welcomes, activity_key]
    standing.wake_at = wake_at(timeline_of(programs), standing)
    draft.account.standing = standing
    draft.decision.is_standing_new = draft.decision.is_place_new = True


def note_retracted(draft: Draft, programs: "ProgramHistory", activity_key: str) -> None:
    """Note that what a welcome gave was taken back."""
    standing = draft.account.standing
    if standing is None or activity_key not in standing.to_retract:
        return
    standing = standing.copy()
    standing.to_retract = [each for each in standing.to_retract if each != activity_key]
    standing.wake_at = wake_at(timeline_of(programs), standing)
    draft.account.standing = standing
    draft.decision.is_standing_new = draft.decision.is_place_new = True
