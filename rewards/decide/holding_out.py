"""Holding out: whether a customer is kept out of the program at an instant, and assigning arms by hand.

Who is held out earns nothing, but all that is a fact is recorded as of anybody else, so that the arms can be compared.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rewards.core.errors import AlreadyAssigned
from rewards.decide.commands import Activity, Assign
from rewards.decide.draft import Draft
from rewards.decide.submission import Submission
from rewards.ledger.state import Account, Assigned, CustomerState, Decision, Grant
from rewards.program.earning import Earned, NotApplied
from rewards.program.holdout import HOLDOUT_RULE, Experiment, arm_in, assigned_arm, first_known, with_arm

if TYPE_CHECKING:
    from rewards.program.document import ProgramDocument
    from rewards.program.history import ProgramHistory


def holding_out(
    document: "ProgramDocument", account: Account, at: datetime, now: datetime
) -> Experiment | None:
    """Return the experiment by which a customer is held out at an instant; None for who takes part in the program.

    Args:
        document: the program in force at ``at``.
        account: the customer's, as before whatever happens then.
        at: the instant.
        now: when it is decided; what was assigned later did not count yet.
    """
    experiment = document.experiment
    if experiment is None or not experiment.is_on(at):
        return None
    first_at = first_known(at, account.joined_at, account.member_since)
    arm = arm_in(experiment, account.customer_id, first_at, account.arms, now)
    return experiment if arm == "holdout" else None


def earned_nothing(experiment: Experiment) -> Earned:
    """Return what an activity of a customer who is held out earns: nothing, and why."""
    return Earned([Grant(HOLDOUT_RULE, None, 0, 0, why_nothing(experiment))])


def why_nothing(experiment: Experiment) -> str:
    """Say why a customer who is held out earns nothing."""
    until = (
        ""
        if experiment.ends_at is None
        else f" until {experiment.ends_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    )
    return f"held out of the program{until}, so that its effect can be measured ({experiment.experiment_id})"


def none_apply(document: "ProgramDocument", activity: Activity, experiment: Experiment) -> list[NotApplied]:
    """Return all rules for an activity, none of which applies to who is held out."""
    text = f"the customer is {why_nothing(experiment)}"
    return [NotApplied(rule.id, text) for rule in document.earn if rule.activity == activity.type]


def assign(
    state: CustomerState, submission: Submission, command: Assign, programs: "ProgramHistory", now: datetime
) -> Decision:
    """Decide an arm that others have assigned; it counts from now on. The same one again changes nothing.

    Raises:
        AlreadyAssigned: the customer is in the other arm.
    """
    draft = Draft(state, submission, now, programs.in_force(now).version)
    account = draft.account
    known = assigned_arm(account.arms, command.experiment_id) if account.arms is not None else None
    if known is not None and known != command.arm:
        raise AlreadyAssigned(
            f"The customer was assigned to {known} before, and who has met one arm stays in it.", arm=known
        )
    if known is None:
        account.arms = with_arm(account.arms, command.experiment_id, command.arm, now)
        assigned_at = now if command.assigned_at is None else min(command.assigned_at, now)
        draft.decision.assigned = Assigned(command.experiment_id, command.arm, assigned_at, command.source)
    decision = draft.close()
    decision.outcome = {
        "customer_id": command.customer_id,
        "experiment_id": command.experiment_id,
        "arm": command.arm,
        "is_new": known is None,
    }
    return decision
