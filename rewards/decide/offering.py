"""Offering: a campaign's offer is made to a customer, and ends.

To whom it is made is kept as a tag of the customer's, so that the conditions of the campaign's rules can ask for it
like for any other; the tag begins with what no shop's own tag can begin with.
"""

from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from rewards.core import ids
from rewards.decide.commands import EndOffer, Offer
from rewards.decide.draft import Draft
from rewards.decide.submission import Submission
from rewards.ledger.state import CustomerState, Decision
from rewards.program.segments import OFFERED

if TYPE_CHECKING:
    from rewards.program.history import ProgramHistory

EVENT = "evtc"


def offer(
    state: CustomerState, submission: Submission, command: Offer, programs: "ProgramHistory", now: datetime
) -> Decision:
    """Decide an offer; one that was made before is not made again, and nobody is told twice."""
    version = programs.in_force(now)
    draft = Draft(state, submission, now, version.version)
    tag = OFFERED + command.campaign_id
    is_new = tag not in draft.account.tags
    if is_new:
        draft.account.tags = draft.decision.tags = sorted({*draft.account.tags, tag})
        campaign = next((each for each in version.document.campaigns if each.id == command.campaign_id), None)
        draft.decision.events.append(
            {
                "event_id": ids.encode(EVENT, command.customer_id, _number(command.campaign_id)),
                "customer_id": command.customer_id,
                "type": "campaign.offered",
                "occurred_at": now,
                "payload": {
                    "customer_id": command.customer_id,
                    "campaign_id": command.campaign_id,
                    "until": command.until,
                    "text": None if campaign is None else campaign.text,
                },
            }
        )
    decision = draft.close()
    decision.outcome = {
        "customer_id": command.customer_id,
        "campaign_id": command.campaign_id,
        "offered": is_new,
    }
    return decision


def end_offer(
    state: CustomerState, submission: Submission, command: EndOffer, programs: "ProgramHistory", now: datetime
) -> Decision:
    """Decide that an offer ends; where none stands nothing changes."""
    draft = Draft(state, submission, now, programs.in_force(now).version)
    tag = OFFERED + command.campaign_id
    if tag in draft.account.tags:
        draft.account.tags = draft.decision.tags = [each for each in draft.account.tags if each != tag]
    decision = draft.close()
    decision.outcome = {"customer_id": command.customer_id, "campaign_id": command.campaign_id}
    return decision


def _number(campaign_id: str) -> int:
    """Return a number that is the campaign's: a customer has one offer, and one event, of each."""
    return int.from_bytes(sha256(campaign_id.encode()).digest()[:7])
