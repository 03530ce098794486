"""Tagging: what the shop says of a customer, for conditions of rules to ask."""

from datetime import datetime
from typing import TYPE_CHECKING

from rewards.decide.commands import Tag
from rewards.decide.draft import Draft
from rewards.decide.submission import Submission
from rewards.ledger.state import CustomerState, Decision
from rewards.program.segments import OFFERED

if TYPE_CHECKING:
    from rewards.program.history import ProgramHistory


def tag(
    state: CustomerState, submission: Submission, command: Tag, programs: "ProgramHistory", now: datetime
) -> Decision:
    """Decide a customer's tags; they matter for what is awarded from now on.

    The engine's own tags, which say what campaigns have offered the customer, are not the shop's to give or take.
    """
    draft = Draft(state, submission, now, programs.in_force(now).version)
    own = {each for each in draft.account.tags if each.startswith(OFFERED)}
    tags = sorted(own | {each for each in command.tags if not each.startswith(OFFERED)})
    draft.account.tags = draft.decision.tags = tags
    decision = draft.close()
    decision.outcome = {"customer_id": command.customer_id, "tags": tags}
    return decision
