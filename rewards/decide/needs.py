"""Which rows a batch of commands needs, and whose they are. Pure."""

from collections.abc import Iterable

from rewards.core import ids
from rewards.core.errors import CustomerNotFound, RedemptionNotFound, Refusal
from rewards.decide.commands import (
    Adjust,
    Award,
    Capture,
    Redeem,
    Return,
    Reverse,
    ReverseRedemption,
    Settle,
    Void,
)
from rewards.decide.submission import Submission
from rewards.ledger.needs import Needs


def customer_of(submission: Submission) -> str:
    """Return whose ledger a command concerns.

    Raises:
        RedemptionNotFound: the command names a redemption by something that is not an id of one.
    """
    command = submission.command
    if isinstance(command, Capture | Void | ReverseRedemption):
        try:
            return ids.decode(ids.REDEMPTION, command.redemption_id)[0]
        except ValueError:
            raise _no_redemption() from None
    return command.customer_id


def unknown_customer(submission: Submission, customer_id: str) -> Refusal:
    """Return the refusal of a command on a customer who is not there."""
    if isinstance(submission.command, Capture | Void | ReverseRedemption):
        return _no_redemption()
    return CustomerNotFound(f"There is no customer {customer_id!r}; award something first.")


def _no_redemption() -> Refusal:
    return RedemptionNotFound("There is no redemption with this id; use the redemption_id of its response.")


def creates_customer(submission: Submission) -> bool:
    """Tell whether the command may be a customer's first."""
    command = submission.command
    return isinstance(command, Award) or (isinstance(command, Adjust) and command.points > 0)


def needs_of(submissions: Iterable[tuple[str, Submission]]) -> Needs:
    """Return what a batch needs, given each submission with its customer."""
    needs = Needs()
    for customer_id, submission in submissions:
        needs.customers.add(customer_id)
        key = submission.idempotency_key
        command = submission.command
        if isinstance(command, Award):
            needs.claims.append((customer_id, key, command.activity.key(key or "")))
            continue
        if key is not None:
            needs.claims.append((customer_id, key, None))
        needs.with_lots.add(customer_id)
        match command:
            case Redeem(order_id=str(order_id)):
                needs.orders.add((customer_id, order_id))
                if command.order_total_minor is None:
                    needs.activities.add((customer_id, f"purchase:{order_id}"))
            case Capture() | Void() | ReverseRedemption():
                needs.redemptions.add(ids.decode(ids.REDEMPTION, command.redemption_id))
            case Reverse(order_id=order_id):
                needs.activities.add((customer_id, f"purchase:{order_id}"))
                needs.orders.add((customer_id, order_id))
            case Return():
                needs.all_orders.add(customer_id)
            case Redeem() | Adjust() | Settle():
                pass
    return needs
