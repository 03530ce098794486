"""Redemption: spend points at once, or hold them and capture, void or reverse later."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from rewards.core import ids
from rewards.core.errors import (
    AlreadyReversed,
    BalanceTooLarge,
    BelowMinimumRedemption,
    CaptureExceedsHold,
    ExceedsOrderShare,
    HoldAlreadyResolved,
    HoldExpired,
    InsufficientPoints,
    NoSuchReward,
    NotAStep,
    NotCaptured,
    OrderTotalMissing,
    RedemptionNotFound,
)
from rewards.core.money import format_minor
from rewards.decide.award import balance
from rewards.decide.commands import LARGEST, Capture, Redeem, ReverseRedemption, Void
from rewards.decide.draft import Draft
from rewards.decide.standing import climb_at
from rewards.decide.submission import Submission
from rewards.ledger.state import CustomerState, Decision, Redemption
from rewards.program import periods
from rewards.program.durations import parse_duration
from rewards.program.redemption import is_a_step, is_below_minimum, max_points_for_order, value_minor, valued

if TYPE_CHECKING:
    from rewards.program.document import ProgramDocument, RedemptionPolicy
    from rewards.program.history import ProgramHistory

#: How long a hold lasts unless the storefront says otherwise.
DEFAULT_HOLD = "PT30M"


def redeem(
    state: CustomerState, submission: Submission, command: Redeem, programs: "ProgramHistory", now: datetime
) -> Decision:
    """Decide a redemption or a hold.

    Raises:
        NoSuchReward: the program has no such reward.
        BelowMinimumRedemption, NotAStep, OrderTotalMissing, ExceedsOrderShare: the program's limits.
        InsufficientPoints: the available points do not cover it.
    """
    version = programs.in_force(now)
    document = version.document
    climb = climb_at(state, programs, now)
    tier = None if climb is None else climb.tier
    policy = valued(document.redemption, tier)
    if command.points is None:
        raise NoSuchReward(f"The program has no reward {command.reward_id!r}; redeem points instead.")
    points = command.points
    draft = Draft(state, submission, now, version.version)
    _check_limits(
        document, policy, points, _order_total(state, command, document.currency), _paid(draft, command)
    )
    available = draft.available()
    if points > available:
        raise InsufficientPoints(
            f"{points} points were requested and {available} are available.",
            available=available,
            requested=points,
        )
    kind = "hold" if command.hold else "redeem"
    seq = draft.enter(kind, -points, f"redemption:{draft.account.seq + 1}")
    draft.take(points, draft.spendable(), seq)
    draft.be_active(now, periods.times(document.points, document.zone).inactive_at)
    lasts = parse_duration(command.hold_expires_in or DEFAULT_HOLD)
    redemption = Redemption(
        redemption_seq=seq,
        status="held" if command.hold else "captured",
        points=points,
        captured=0 if command.hold else points,
        reinstated=0,
        redeem_seq=None if command.hold else seq,
        value_minor=value_minor(policy, points),
        currency=document.currency,
        order_id=command.order_id,
        program_version=version.version,
        hold_expires_at=periods.add(now, lasts, document.zone) if command.hold else None,
        occurred_at=now,
        resolved_at=None if command.hold else now,
        tier=None if tier is None else tier.id,
    )
    draft.place(redemption)
    if command.hold:
        draft.account.held += points
    decision = draft.close()
    decision.outcome = _outcome(draft, redemption)
    return decision


def capture(
    state: CustomerState, submission: Submission, command: Capture, programs: "ProgramHistory", now: datetime
) -> Decision:
    """Decide the capture of a hold, whole or in part; the rest returns to its lots.

    The hold's points go back and the captured part is taken from the same lots at once, so that a lot that
    expired while it was held still pays.

    Raises:
        RedemptionNotFound, HoldExpired, HoldAlreadyResolved: there is no such open hold.
        CaptureExceedsHold: more points than it holds.
    """
    draft = Draft(state, submission, now, programs.in_force(now).version)
    hold = _open_hold(draft, command.redemption_id)
    points = hold.points if command.points is None else command.points
    if points > hold.points:
        raise CaptureExceedsHold(
            f"The hold is for {hold.points} points; capture at most that.", held=hold.points
        )
    document = programs.by_version(hold.program_version).document
    draft.release(hold, "captured", at=now)
    seq = draft.enter(
        "redeem", -points, f"redemption:{hold.redemption_seq}", program_version=hold.program_version
    )
    draft.take(points, draft.payers(hold.redemption_seq), seq)
    hold.captured = points
    hold.redeem_seq = seq
    # What they were worth when they were put on hold stands.
    tier = None if document.ladder is None else document.ladder.tier(hold.tier)
    hold.value_minor = value_minor(valued(document.redemption, tier), points)
    draft.be_active(now, periods.times(document.points, document.zone).inactive_at)
    decision = draft.close()
    decision.outcome = _outcome(draft, hold)
    return decision


def void(
    state: CustomerState, submission: Submission, command: Void, programs: "ProgramHistory", now: datetime
) -> Decision:
    """Decide to let a hold go.

    Raises:
        RedemptionNotFound, HoldExpired, HoldAlreadyResolved: there is no such open hold.
    """
    draft = Draft(state, submission, now, programs.in_force(now).version)
    hold = _open_hold(draft, command.redemption_id)
    draft.release(hold, "voided", at=now)
    decision = draft.close()
    decision.outcome = _outcome(draft, hold)
    return decision


def reverse_redemption(
    state: CustomerState,
    submission: Submission,
    command: ReverseRedemption,
    programs: "ProgramHistory",
    now: datetime,
) -> Decision:
    """Decide to take a captured redemption back: its points return to their lots, with their old expiry.

    Raises:
        RedemptionNotFound: there is no such redemption.
        NotCaptured: nothing of it was spent.
        AlreadyReversed: everything came back before.
    """
    draft = Draft(state, submission, now, programs.in_force(now).version)
    redemption = _found(draft, command.redemption_id)
    if redemption.status not in ("captured", "reversed"):
        todo = "Void it instead." if redemption.status == "held" else "Its points are back already."
        raise NotCaptured(f"The redemption is {redemption.status}; nothing of it was spent. {todo}")
    points = redemption.captured - redemption.reinstated
    if points == 0:
        raise AlreadyReversed("All points of this redemption came back before.")
    reinstate(draft, redemption, points, f"redemption:{redemption.redemption_seq}", at=now)
    decision = draft.close()
    decision.outcome = _outcome(draft, redemption)
    return decision


def reinstate(draft: Draft, redemption: Redemption, points: int, cause: str, *, at: datetime) -> None:
    """Return ``points`` of a captured redemption to the lots that paid it."""
    seq = draft.enter("reinstate", points, cause, occurred_at=at, program_version=redemption.program_version)
    draft.refill(redemption.debit_seq, seq, points)
    redemption.reinstated += points
    if redemption.reinstated == redemption.captured:
        redemption.status = "reversed"
        redemption.resolved_at = at
    draft.change(redemption)


def _check_limits(
    document: "ProgramDocument",
    policy: "RedemptionPolicy",
    points: int,
    order_total_minor: int | None,
    paid: int,
) -> None:
    """Check the program's limits; ``paid`` points were redeemed on the same order before."""
    if value_minor(policy, points) > LARGEST:
        raise BalanceTooLarge(f"{points} points are worth more than {LARGEST} minor units; redeem fewer.")
    if is_below_minimum(policy, points):
        raise BelowMinimumRedemption(
            f"At least {policy.minimum_points} points must be redeemed at once.",
            minimum=policy.minimum_points,
        )
    if not is_a_step(policy, points):
        raise NotAStep(f"Points are redeemed in multiples of {policy.step_points}.", step=policy.step_points)
    if policy.max_order_share_pct is None:
        return
    if order_total_minor is None:
        raise OrderTotalMissing(
            f"Points may pay at most {policy.max_order_share_pct} % of an order; send order_total_minor with the "
            "redemption.",
        )
    most = max_points_for_order(policy, order_total_minor)
    if most is not None and points + paid > most:
        raise ExceedsOrderShare(
            f"Points may pay at most {policy.max_order_share_pct} % of an order: {most} points of one of "
            f"{format_minor(order_total_minor, document.currency)} {document.currency}"
            + (f", and {paid} pay for it already." if paid else "."),
            maximum=max(most - paid, 0),
        )


def _paid(draft: Draft, command: Redeem) -> int:
    """Return the points that pay for the order already, on hold or spent."""
    if command.order_id is None:
        return 0
    on_it = [each for each in draft.redemptions() if each.order_id == command.order_id]
    spent = sum(each.captured - each.reinstated for each in on_it)
    return spent + sum(each.points for each in on_it if each.status == "held")


def _order_total(state: CustomerState, command: Redeem, currency: str) -> int | None:
    """Return the order's total: as sent, else as recorded by an award of that order in the same currency."""
    if command.order_total_minor is not None or command.order_id is None:
        return command.order_total_minor
    recorded = state.activities.get(f"purchase:{command.order_id}")
    if recorded is None or recorded.body.get("currency") != currency:
        return None
    total_minor: int = recorded.body["total_minor"]
    return total_minor


def _found(draft: Draft, redemption_id: str) -> Redemption:
    _, seq = ids.decode(ids.REDEMPTION, redemption_id)
    redemption = draft.redemption(seq)
    if redemption is None:
        raise RedemptionNotFound(
            "There is no redemption with this id; use the redemption_id of its response."
        )
    return redemption


def _open_hold(draft: Draft, redemption_id: str) -> Redemption:
    redemption = _found(draft, redemption_id)
    if redemption.status == "expired":
        raise HoldExpired("The hold expired and its points were released; redeem them again.")
    if redemption.status != "held":
        raise HoldAlreadyResolved(
            f"The redemption is {redemption.status} already.", redemption_status=redemption.status
        )
    return redemption


def _outcome(draft: Draft, redemption: Redemption) -> dict[str, Any]:
    customer_id = draft.account.customer_id
    return {
        "redemption_id": ids.encode(ids.REDEMPTION, customer_id, redemption.redemption_seq),
        "customer_id": customer_id,
        "status": redemption.status,
        "points": redemption.captured if redemption.redeem_seq is not None else redemption.points,
        "points_reinstated": redemption.reinstated,
        "value_minor": redemption.value_minor,
        "currency": redemption.currency,
        "order_id": redemption.order_id,
        "coupon_code": None,
        "expires_at": redemption.hold_expires_at if redemption.status == "held" else None,
        "program_version": redemption.program_version,
        "balance": balance(draft.account),
    }
