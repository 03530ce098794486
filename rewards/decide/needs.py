"""Which rows a batch of commands needs, and whose they are. Pure."""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from rewards.core import ids
from rewards.core.errors import CustomerNotFound, RedemptionNotFound, Refusal
from rewards.core.referral_codes import read_code
from rewards.decide.commands import (
    Adjust,
    Assign,
    Award,
    Capture,
    Command,
    EndGrant,
    EndOffer,
    Enroll,
    FollowUp,
    GrantStanding,
    JudgeReferral,
    Offer,
    Record,
    Redeem,
    Restand,
    Retract,
    Return,
    Reverse,
    ReverseRedemption,
    Reward,
    Settle,
    Tag,
    Void,
)
from rewards.decide.referral import no_referral
from rewards.decide.submission import CLOCK_SKEW, Submission
from rewards.ledger.needs import Needs
from rewards.program.earning import limits_of
from tiers.ladder import timeline_of
from tiers.standing import can_advance_through

if TYPE_CHECKING:
    from rewards.program.history import ProgramHistory


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
    if isinstance(submission.command, JudgeReferral | FollowUp):
        return no_referral(customer_id)
    if isinstance(submission.command, Capture | Void | ReverseRedemption):
        return _no_redemption()
    return CustomerNotFound(f"There is no customer {customer_id!r}; award something first.")


def _no_redemption() -> Refusal:
    return RedemptionNotFound("There is no redemption with this id; use the redemption_id of its response.")


def creates_customer(submission: Submission) -> bool:
    """Tell whether the command may be a customer's first."""
    command = submission.command
    return isinstance(command, Award | Enroll | Assign) or (
        isinstance(command, Adjust) and command.points > 0
    )


def needs_of(
    submissions: Iterable[tuple[str, Submission]], programs: "ProgramHistory", now: datetime
) -> Needs:
    """Return what a batch needs at ``now``, given each submission with its customer."""
    needs = Needs()
    timeline = timeline_of(programs)
    if timeline.has_ladder:
        needs.can_advance = partial(can_advance_through, timeline)
    for customer_id, submission in submissions:
        needs.customers.add(customer_id)
        key = submission.idempotency_key
        command = submission.command
        if timeline.has_ladder:
            _add_standing(needs, customer_id, command, now)
        if isinstance(command, Award):
            needs.claims.append((customer_id, key, command.activity.key(key or "")))
            _add_beyond_account(needs, customer_id, command, programs, now)
            continue
        if key is not None:
            needs.claims.append((customer_id, key, None))
        if isinstance(command, Restand):
            continue
        needs.with_lots.add(customer_id)
        _add_rows(needs, customer_id, command, programs)
    return needs


def _add_rows(needs: Needs, customer_id: str, command: Command, programs: "ProgramHistory") -> None:
    """Add the rows that a command other than an award names."""
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
            needs.referrals.add(customer_id)
            needs.budgets.update(programs.budgets)
        case Return():
            needs.all_orders.add(customer_id)
            needs.referrals.add(customer_id)
            needs.budgets.update(programs.budgets)
        case Retract(activity_key=activity_key):
            needs.budgets.update(programs.budgets)
            needs.activities.add((customer_id, activity_key))
            needs.retractions.add((customer_id, activity_key))
        case Settle() | JudgeReferral() | FollowUp():
            needs.referrals.add(customer_id)
        case Redeem() | Adjust() | Tag() | Offer() | EndOffer() | Enroll() | Assign():
            pass
        case GrantStanding() | EndGrant():
            pass


def _add_standing(needs: Needs, customer_id: str, command: Command, now: datetime) -> None:
    """Add when the standing matters; commands by which the past changes need all that it follows from."""
    match command:
        case Reverse() | Return() | Retract() | Enroll() | GrantStanding() | EndGrant() | Restand():
            needs.qualifying.add(customer_id)
        case Award():
            needs.moments.setdefault(customer_id, []).append(_moments(command, now))
        case Redeem() | Settle():
            needs.moments.setdefault(customer_id, []).append((now, now + CLOCK_SKEW))


def _add_beyond_account(
    needs: Needs, customer_id: str, command: Award, programs: "ProgramHistory", now: datetime
) -> None:
    """Add what an award needs where the program has more than rules that always give: most have not."""
    if command.activity.type in programs.limited:
        _add_limits(needs, customer_id, command, programs, now)
    if programs.has_referrals:
        _add_referral(needs, customer_id, command, programs, now)


def _add_referral(
    needs: Needs, customer_id: str, command: Award, programs: "ProgramHistory", now: datetime
) -> None:
    """Add the customer's referral, where the activity may concern it, and what a code needs to be looked at."""
    if isinstance(command, Reward):
        needs.referrals.add(customer_id)
        return
    moments = _moments(command, now)
    if isinstance(command, Record) or not any(programs.in_force(at).document.referrals for at in moments):
        return
    needs.referrals.add(customer_id)
    code = getattr(command.activity, "referral_code", None)
    if code is not None:
        fingerprints = getattr(command.activity, "fingerprints", None)
        given = () if fingerprints is None else tuple(fingerprints.given().items())
        needs.codes.append((customer_id, read_code(code), given))


def _moments(command: Award, now: datetime) -> tuple[datetime, ...]:
    """Return when an award may count as having occurred.

    It may be decided at a moment a little later than now, and then on another day or under another version; one that
    lies a little ahead counts as of then.
    """
    occurred_at = command.occurred_at
    return (occurred_at,) if occurred_at is not None and occurred_at <= now else (now, now + CLOCK_SKEW)


def _add_limits(
    needs: Needs, customer_id: str, command: Award, programs: "ProgramHistory", now: datetime
) -> None:
    """Add what the limits of the rules that may apply have counted."""
    type_ = command.activity.type
    for at in _moments(command, now):
        document = programs.in_force(at).document
        limits = limits_of(document, type_)
        if limits is None:
            continue
        needs.counts.update((customer_id, name, period) for name, period in limits.counts_at(at))
        needs.budgets.update(limits.budgets)
