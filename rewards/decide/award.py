"""Award: credit a customer for an activity, by the rules in force when it occurred."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pydantic_core import from_json

from rewards.core import ids
from rewards.core.errors import AlreadyAwarded, CurrencyMismatch, OccurredInFuture
from rewards.decide.commands import Award, Purchase, Record
from rewards.decide.draft import Draft
from rewards.decide.submission import Submission
from rewards.ledger.lots import is_expired
from rewards.ledger.state import Account, CustomerState, Decision, Lot, RecordedActivity
from rewards.program import periods
from rewards.program.earning import earn

if TYPE_CHECKING:
    from rewards.program.history import ProgramHistory

#: Clocks of a shop and of the engine may differ by this much before an activity counts as future.
CLOCK_SKEW = timedelta(minutes=5)


def award(
    state: CustomerState, submission: Submission, command: Award, programs: "ProgramHistory", now: datetime
) -> Decision:
    """Decide an award.

    Raises:
        AlreadyAwarded: the activity was awarded under another key.
        OccurredInFuture: it lies ahead by more than the clock skew.
        CurrencyMismatch: it is not in the program's currency.
        BalanceTooLarge: the balance would leave the exact range.
    """
    occurred_at = past_instant(command.occurred_at, now)
    activity = command.activity
    activity_key = activity.key(submission.idempotency_key or "")
    if activity_key in state.activities:
        raise AlreadyAwarded(
            f"{_described(activity_key)} was awarded before, under another idempotency key; its points stand.",
            activity=activity_key,
        )
    version = programs.in_force(occurred_at)
    document = version.document
    if isinstance(activity, Purchase) and activity.currency != document.currency:
        raise CurrencyMismatch(
            f"The order is in {activity.currency}, but the program in force when it occurred (version "
            f"{version.version}) is in {document.currency}. Convert the amounts before sending them.",
            currency=activity.currency,
            program_currency=document.currency,
        )
    grants = [] if isinstance(command, Record) else earn(document, activity)
    points = sum(grant.points for grant in grants)
    draft = Draft(state, submission, now, version.version)
    seq = draft.enter("award", points, activity_key, occurred_at=occurred_at)
    times = periods.times(document.points, document.zone)
    draft.be_active(occurred_at, times.inactive_at)
    lot = credit_lot(seq, points, occurred_at, times.available_at(occurred_at), times)
    if points:
        draft.add_lot(lot)
    body_json = submission.activity_json()
    # Only a later command on the same order in this batch reads the body, and then the lots are at hand.
    body = {} if state.lots is None else from_json(body_json)
    draft.record(
        RecordedActivity(activity_key, seq, points, version.version, occurred_at, body, grants), body_json
    )
    decision = draft.close()
    account = draft.account
    expires_at = lot.expiry(account.inactive_at)
    decision.outcome = {
        "award_id": ids.encode(ids.AWARD, account.customer_id, seq),
        "customer_id": account.customer_id,
        "points": points,
        "status": _status(lot, account, now),
        "available_at": lot.available_at,
        "expires_at": expires_at,
        "program_version": version.version,
        "explanation": [
            {"rule_id": each.rule_id, "points": each.points, "text": each.text} for each in grants
        ],
        "balance": balance(account),
        "tier": None,
    }
    return decision


def past_instant(occurred_at: datetime | None, now: datetime) -> datetime:
    """Return when something happened: ``now`` where it is not said or lies within the clock skew ahead.

    Raises:
        OccurredInFuture: it lies further ahead.
    """
    if occurred_at is None:
        return now
    if occurred_at > now:
        if occurred_at > now + CLOCK_SKEW:
            raise OccurredInFuture(
                f"occurred_at {occurred_at.isoformat()} is later than now ({now.isoformat()}); "
                "send it once it has happened, with an offset that is right for the shop.",
            )
        return now
    return occurred_at


def credit_lot(
    seq: int, points: int, occurred_at: datetime, available_at: datetime, times: periods.Times
) -> Lot:
    """Return the lot that a credit opens, with the life that a program's ``times`` give it."""
    expires_at = None if times.expires_at is None else times.expires_at(occurred_at)
    return Lot(seq, points, points, 0, available_at, expires_at, times.inactive_at is not None)


def balance(account: Account) -> dict[str, int]:
    """Return the four figures of a balance, in points, as the contract names them."""
    return {
        "available": account.available,
        "pending": account.pending,
        "held": account.held,
        "deficit": account.deficit,
    }


def _status(lot: Lot, account: Account, now: datetime) -> str:
    if is_expired(lot, account.inactive_at, now):
        return "expired"
    return "pending" if lot.available_at > now else "available"


def _described(activity_key: str) -> str:
    kind, _, name = activity_key.partition(":")
    return f"{'Order' if kind == 'purchase' else kind.capitalize()} {name}".strip()
