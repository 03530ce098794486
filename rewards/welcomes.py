"""Welcomes: what reaching a tier is given by rules, sent right after the command by which it was reached.

What is due stands with the customer's standing, so nothing is lost however a process ends, and each step is a command
under a key of its own, so doing it again changes nothing: whoever comes first may, the process that executed the
command or the job.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rewards.decide.commands import Retract, TierReached, Welcome
from rewards.decide.submission import Submission
from rewards.ledger.standing_state import Standing

if TYPE_CHECKING:
    from rewards.engine import Answer

Execute = Callable[[Sequence[Submission]], Sequence["Answer"]]
ACTOR = "ladder"


def welcome(standings: Sequence[tuple[str, Standing]], execute: Execute) -> int:
    """Send what is due to customers, given each with the standing; return how many commands that were."""
    due = [each for customer_id, standing in standings for each in welcomes_due(customer_id, standing)]
    if due:
        execute(due)
    return len(due)


def welcomes_due(customer_id: str, standing: Standing) -> list[Submission]:
    """Return what a standing has still to bring about."""
    return [
        *(_welcome(customer_id, key, at) for key, at in standing.to_welcome),
        *(_retract(customer_id, key) for key in standing.to_retract),
    ]


def _welcome(customer_id: str, key: str, at: str) -> Submission:
    _, tier, number = key.split(":")
    activity = TierReached(type="tier", name=tier, number=int(number))
    command = Welcome(customer_id=customer_id, occurred_at=datetime.fromisoformat(at), activity=activity)
    # The key has a space, which no key that comes over HTTP has, so it is never a shop's.
    return Submission(command, f"welcome {key}", ACTOR, remember_refusal=False)


def _retract(customer_id: str, key: str) -> Submission:
    command = Retract(customer_id=customer_id, activity_key=key)
    return Submission(command, f"unwelcome {key}", ACTOR, remember_refusal=False)
