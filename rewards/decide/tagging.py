"""Tagging: what the shop says of a customer, for conditions of rules to ask."""

from datetime import datetime
from typing import TYPE_CHECKING

from rewards.decide.commands import Tag
from rewards.decide.draft import Draft
from rewards.decide.submission import Submission
from rewards.ledger.state import CustomerState, Decision

if TYPE_CHECKING:
    from rewards.program.history import ProgramHistory


def tag(
    state: CustomerState, submission: Submission, command: Tag, programs: "ProgramHistory", now: datetime
) -> Decision:
    """Decide a customer's tags; they matter for what is awarded from now on."""
    draft = Draft(state, submission, now, programs.in_force(now).version)
    tags = sorted(set(command.tags))
    draft.account.tags = draft.decision.tags = tags
    decision = draft.close()
    decision.outcome = {"customer_id": command.customer_id, "tags": tags}
    return decision
