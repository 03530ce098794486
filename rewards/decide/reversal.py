"""Reversal: a refund takes back exactly what the order was given, and gives back the points that paid for it.

What is taken back follows the award's own grants, in proportion to the money refunded so far, rounded once per
grant over all refunds together by the policy of the version that awarded it. So any number of partial refunds
takes back no more than was given, and a fully refunded order leaves nothing of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from rewards.core import ids
from rewards.core.errors import AlreadyReversed, LineNotFound, OrderNotFound, RefundExceedsOrder
from rewards.core.money import format_minor
from rewards.decide.award import balance, past_instant
from rewards.decide.clawback import claw_back, free_limits, qualifying_part
from rewards.decide.commands import RefundedLine, Return, Reverse
from rewards.decide.draft import Draft
from rewards.decide.redemption import reinstate
from rewards.decide.referral import undo_referral
from rewards.decide.standing import after_refund, refund_event
from rewards.decide.submission import Submission
from rewards.ledger.state import (
    CustomerState,
    Decision,
    Grant,
    RecordedActivity,
    Redemption,
    Reversal,
)
from rewards.program.giving import divide

if TYPE_CHECKING:
    from rewards.program.document import ProgramDocument
    from rewards.program.history import ProgramHistory
    from rewards.program.sections import Rounding


@dataclass(slots=True)
class _Refund:
    """How much of an order one refund takes, and how much of it all refunds take together."""

    amount_minor: int
    total_minor: int
    refunded_after: int
    lines: dict[str, int]
    is_full: bool

    def share(self, points: int, rounding: "Rounding") -> int:
        """Return the part of ``points`` that belongs to all that is refunded so far."""
        if self.is_full or self.refunded_after >= self.total_minor:
            return points
        return divide(points * self.refunded_after, self.total_minor, rounding)

    def share_of_grant(
        self, grant: Grant, activity: RecordedActivity, earlier: Sequence[Reversal], rounding: "Rounding"
    ) -> int:
        """Return the part of a grant's points that belongs to all that is refunded so far.

        Points that were given for some of the lines come back with those lines, in proportion to what was refunded
        of each, and with what was refunded without naming lines, in proportion to the order.
        """
        if grant.lines is None or self.is_full:
            return self.share(grant.points, rounding)
        gone = self._gone_by_line(grant.lines, activity, earlier)
        unnamed = sum(each.amount_minor for each in earlier if not each.lines)
        unnamed += 0 if self.lines else self.amount_minor
        if unnamed and self.total_minor:
            gone += Fraction(unnamed, self.total_minor)
        gone = min(gone, Fraction(1))
        return divide(grant.points * gone.numerator, gone.denominator, rounding)

    def _gone_by_line(
        self, weights: Mapping[str, int], activity: RecordedActivity, earlier: Sequence[Reversal]
    ) -> Fraction:
        amounts = {line["line_id"]: line["amount_minor"] for line in activity.body.get("items", ())}
        whole = sum(weights.values())
        gone = Fraction(0)
        for refunded in (*(each.lines for each in earlier), self.lines):
            for line_id, amount in refunded.items():
                if amounts.get(line_id) and whole:
                    gone += Fraction(weights.get(line_id, 0) * amount, whole * amounts[line_id])
        return gone


def reverse(
    state: CustomerState, submission: Submission, command: Reverse, programs: "ProgramHistory", now: datetime
) -> Decision:
    """Decide a refund of an order.

    Raises:
        OrderNotFound: neither an award nor a captured redemption belongs to the order.
        AlreadyReversed: this refund, or the whole order, was reversed before.
        RefundExceedsOrder: it is larger than what is left.
        LineNotFound: it names a line that the order does not have.
        OccurredInFuture: it lies ahead.
    """
    occurred_at = past_instant(command.occurred_at, now)
    draft = Draft(state, submission, now, programs.in_force(now).version)
    earlier = draft.reversals_of(command.order_id)
    if any(each.refund_id == command.refund_id for each in earlier):
        raise AlreadyReversed(
            f"Refund {command.refund_id} of order {command.order_id} was reversed before; it counts once.",
            refund_id=command.refund_id,
        )
    activity = state.activities.get(f"purchase:{command.order_id}")
    paid = [each for each in draft.redemptions() if each.order_id == command.order_id and each.captured]
    if activity is None:
        _check_unawarded(command, paid)
    refund = _extent(command, activity, earlier)
    explanation = _book(draft, command, activity, paid, earlier, refund, occurred_at, programs)
    _restand(draft, state, programs, command.refund_id)
    decision = draft.close()
    booked = decision.new_reversals[-1]
    decision.outcome = {
        "reversal_id": ids.encode(ids.REVERSAL, draft.account.customer_id, booked.reversal_seq),
        "customer_id": draft.account.customer_id,
        "order_id": command.order_id,
        "refund_id": command.refund_id,
        "amount_minor": booked.amount_minor,
        "points_clawed_back": booked.clawed_back,
        "points_written_off": booked.written_off,
        "points_reinstated": booked.reinstated,
        "explanation": explanation,
        "balance": balance(draft.account),
    }
    return decision


def return_unmatched(
    state: CustomerState, submission: Submission, command: Return, programs: "ProgramHistory", now: datetime
) -> Decision:
    """Decide a refund that names no order: take it from the customer's orders before it.

    The latest order whose open amount it equals, else the latest that covers it, else the latest ones backwards
    until it is used up. What no order covers is reported as ``unmatched_minor``.

    Raises:
        AlreadyReversed: this refund was reversed before.
        OrderNotFound: no earlier order has anything left to refund.
        OccurredInFuture: it lies ahead.
    """
    occurred_at = past_instant(command.occurred_at, now)
    draft = Draft(state, submission, now, programs.in_force(now).version)
    if any(each.refund_id == command.refund_id for each in state.reversals):
        raise AlreadyReversed(f"Refund {command.refund_id} was reversed before; it counts once.")
    matched: list[dict[str, Any]] = []
    left = command.amount_minor
    for activity, part in _orders_for(state, draft, command.amount_minor, occurred_at):
        order_id = activity.body["order_id"]
        named = Reverse(
            customer_id=command.customer_id, order_id=order_id, refund_id=command.refund_id, amount_minor=part
        )
        earlier = draft.reversals_of(order_id)
        paid = [each for each in draft.redemptions() if each.order_id == order_id and each.captured]
        refund = _extent(named, activity, earlier)
        _book(draft, named, activity, paid, earlier, refund, occurred_at, programs)
        matched.append({"order_id": order_id, "amount_minor": part})
        left -= part
    if not matched:
        raise OrderNotFound(
            f"Customer {command.customer_id} has no earlier order with an amount left to refund; "
            "import the orders that the returns belong to first."
        )
    _restand(draft, state, programs, command.refund_id)
    decision = draft.close()
    decision.outcome = {
        "customer_id": command.customer_id,
        "refund_id": command.refund_id,
        "matched": matched,
        "unmatched_minor": left,
        "points_clawed_back": sum(each.clawed_back for each in decision.new_reversals),
        "points_reinstated": sum(each.reinstated for each in decision.new_reversals),
        "balance": balance(draft.account),
    }
    return decision


def _restand(draft: Draft, state: CustomerState, programs: "ProgramHistory", refund_id: str) -> None:
    """Take what was refunded out of what counts to tiers, and see where the customer stands then."""
    events = [
        refund_event(
            booked.occurred_at,
            booked.reversal_seq,
            activity.occurred_at,
            booked.qualifying_points,
            0 if activity.held_out else booked.amount_minor,
            is_full=booked.is_full and not activity.held_out,
        )
        for booked in draft.decision.new_reversals
        if (activity := state.activities.get(f"purchase:{booked.order_id}")) is not None
    ]
    if events:
        after_refund(draft, state, programs, events, f"refund:{refund_id}")


def _orders_for(
    state: CustomerState, draft: Draft, amount_minor: int, occurred_at: datetime
) -> list[tuple[RecordedActivity, int]]:
    """Return the orders that a return is taken from, each with its part of the amount."""
    candidates = []
    for activity in state.activities.values():
        if activity is None or activity.body.get("type") != "purchase" or activity.occurred_at > occurred_at:
            continue
        refunded = sum(each.amount_minor for each in draft.reversals_of(activity.body["order_id"]))
        open_minor = activity.body["total_minor"] - refunded
        if open_minor > 0:
            candidates.append((activity, open_minor))
    candidates.sort(key=lambda each: (each[0].occurred_at, each[0].award_seq), reverse=True)
    equal = [activity for activity, open_minor in candidates if open_minor == amount_minor]
    covering = [activity for activity, open_minor in candidates if open_minor > amount_minor]
    if equal or covering:
        return [((equal or covering)[0], amount_minor)]
    parts = []
    left = amount_minor
    for activity, open_minor in candidates:
        part = min(left, open_minor)
        if part:
            parts.append((activity, part))
            left -= part
    return parts


def _check_unawarded(command: Reverse, paid: Sequence[Redemption]) -> None:
    """Let pass the full refund of an order without an award, if points that paid for it are still out.

    Raises:
        OrderNotFound: nothing is known of the order, or a part of it is named.
        AlreadyReversed: all points came back before.
    """
    if not (paid and command.full):
        raise OrderNotFound(
            f"No award of order {command.order_id} is on record for this customer; award it first"
            + (", or send full: true to give back the points that paid for it." if paid else ".")
        )
    if all(each.reinstated == each.captured for each in paid):
        raise AlreadyReversed(
            f"The points that paid for order {command.order_id} came back before.", remaining_minor=0
        )


def _extent(command: Reverse, activity: RecordedActivity | None, earlier: Sequence[Reversal]) -> _Refund:
    """Work out how much of the order this refund takes.

    Raises:
        AlreadyReversed: nothing of it is left.
        RefundExceedsOrder, LineNotFound: it does not fit the order.
    """
    total = 0 if activity is None else activity.body["total_minor"]
    refunded = sum(each.amount_minor for each in earlier)
    if any(each.is_full for each in earlier):
        raise AlreadyReversed(f"Order {command.order_id} was refunded in full before.", remaining_minor=0)
    left = total - refunded
    lines: dict[str, int] = {}
    if command.full:
        # Where the award is still to come, nothing of it was taken back yet.
        return _Refund(left, total, total, lines, is_full=activity is not None)
    if command.items is not None:
        assert activity is not None
        lines = _lines(command.items, activity, earlier)
        listed = sum(line["amount_minor"] for line in activity.body["items"])
        if total == 0 and listed:
            # Points or a discount paid for all of it: the lines' own amounts say how much of it comes back.
            gone = sum(lines.values()) + sum(sum(each.lines.values()) for each in earlier)
            return _Refund(0, listed, gone, lines, is_full=gone == listed)
        amount = min(_paid_for(activity, lines, earlier), left)
    else:
        assert command.amount_minor is not None
        amount = command.amount_minor
    if amount > left:
        currency = "" if activity is None else activity.body["currency"]
        raise RefundExceedsOrder(
            f"{format_minor(amount, currency)} {currency} is more than the {format_minor(left, currency)} {currency} "
            f"that is left of order {command.order_id}; refund at most that, or send full: true.",
            remaining_minor=left,
        )
    return _Refund(amount, total, refunded + amount, lines, is_full=refunded + amount == total)


def _lines(
    items: Sequence[RefundedLine], activity: RecordedActivity, earlier: Sequence[Reversal]
) -> dict[str, int]:
    """Return the amount that the refund takes of each line that it names, in the order's own line amounts."""
    by_id = {line["line_id"]: line for line in activity.body.get("items", ())}
    taken: dict[str, int] = {}
    for item in items:
        line = by_id.get(item.line_id)
        if line is None:
            known = ", ".join(sorted(by_id)[:10]) or "none"
            raise LineNotFound(f"The order has no line {item.line_id!r}; its lines: {known}.")
        amount = line["amount_minor"]
        left = amount - sum(each.lines.get(item.line_id, 0) for each in earlier)
        if item.amount_minor is not None:
            wanted = item.amount_minor
        elif item.quantity is not None:
            units = line.get("quantity", 1)
            if item.quantity > units:
                raise RefundExceedsOrder(f"Line {item.line_id!r} has {units} units, not {item.quantity}.")
            wanted = divide(amount * item.quantity, units, "half_up")
            # Units that do not divide evenly each round half up; the last to come back takes what is left, a
            # little more or less.
            astray = abs(left - wanted)
            if 2 * astray <= units and 2 * astray * units < amount:
                wanted = left
        else:
            wanted = left
        if wanted > left or (left == 0 and amount > 0):
            raise RefundExceedsOrder(
                f"{wanted} is more than the {left} minor units that are left of line {item.line_id!r}.",
                line_id=item.line_id,
                remaining_minor=left,
            )
        taken[item.line_id] = wanted
    return taken


def _paid_for(activity: RecordedActivity, lines: dict[str, int], earlier: Sequence[Reversal]) -> int:
    """Return the lines' part of what was paid, where a discount made that less than their sum.

    It is the part of all lines refunded so far less that of the earlier ones, so that rounding leaves nothing of
    an order whose last line comes back.
    """
    body = activity.body
    listed = sum(line["amount_minor"] for line in body.get("items", ()))
    goods = body["total_minor"] - body.get("shipping_minor", 0)
    refunded = sum(lines.values())
    if listed <= goods:
        return refunded
    before = sum(sum(each.lines.values()) for each in earlier)
    return divide((before + refunded) * goods, listed, "half_up") - divide(before * goods, listed, "half_up")


def _book(
    draft: Draft,
    command: Reverse,
    activity: RecordedActivity | None,
    paid: Sequence[Redemption],
    earlier: Sequence[Reversal],
    refund: _Refund,
    occurred_at: datetime,
    programs: "ProgramHistory",
) -> list[dict[str, Any]]:
    """Write one refund onto the draft and return its explanation.

    Points that paid for the order come back first, so that a customer who cannot be charged below zero is
    charged from them; those whose lot has expired meanwhile are gone before anything is taken from them.
    """
    cause = f"refund:{command.order_id}:{command.refund_id}"
    version = (
        programs.in_force(occurred_at) if activity is None else programs.by_version(activity.program_version)
    )
    if activity is not None:
        occurred_at = max(occurred_at, activity.occurred_at)
    reinstated = _give_back(draft, paid, refund, version.document.refunds.rounding, cause, occurred_at)
    if reinstated:
        draft.expire_lots(no_earlier_than=occurred_at)
        draft.pay_debt()
    by_grant = [] if activity is None else _due_by_grant(activity, earlier, refund, version.document)
    due = sum(by_grant)
    if activity is not None:
        times = -1 if refund.is_full else 0
        free_limits(draft, activity, by_grant, times, version.document)
        draft.account.spent_minor -= refund.amount_minor
        draft.account.purchases += times
        undo_referral(
            draft, activity, refund.total_minor - refund.refunded_after, version.document, at=occurred_at
        )
    seq, written_off = claw_back(
        draft, activity, by_grant, cause, occurred_at, version.version, version.document
    )
    draft.reverse(
        Reversal(
            order_id=command.order_id,
            refund_id=command.refund_id,
            reversal_seq=seq,
            amount_minor=refund.amount_minor,
            lines=refund.lines,
            by_grant=by_grant,
            is_full=refund.is_full,
            clawed_back=due - written_off,
            written_off=written_off,
            reinstated=reinstated,
            occurred_at=occurred_at,
            qualifying_points=0 if activity is None else qualifying_part(activity, by_grant),
        )
    )
    grants: Sequence[Grant] = () if activity is None else activity.grants
    return _explanation(grants, by_grant, refund, written_off, reinstated, version.document.currency)


def _give_back(
    draft: Draft, paid: Sequence[Redemption], refund: _Refund, rounding: "Rounding", cause: str, at: datetime
) -> int:
    """Reinstate the points that paid for what is refunded; return how many."""
    points = 0
    for each in paid:
        redemption = draft.redemption(each.redemption_seq)
        assert redemption is not None
        part = max(refund.share(redemption.captured, rounding) - redemption.reinstated, 0)
        if part:
            reinstate(draft, redemption, part, cause, at=max(at, redemption.occurred_at))
            points += part
    return points


def _due_by_grant(
    activity: RecordedActivity, earlier: Sequence[Reversal], refund: _Refund, document: "ProgramDocument"
) -> list[int]:
    """Return what this refund takes back of each grant: its share of all refunds, less what earlier ones took."""
    due = []
    for index, grant in enumerate(activity.grants):
        # A refund that came before the award took nothing of it.
        taken = sum(each.by_grant[index] for each in earlier if each.by_grant)
        share = refund.share_of_grant(grant, activity, earlier, document.refunds.rounding)
        due.append(max(share - taken, 0))
    return due


def _explanation(
    grants: Sequence[Grant],
    by_grant: Sequence[int],
    refund: _Refund,
    written_off: int,
    reinstated: int,
    currency: str,
) -> list[dict[str, Any]]:
    amount, total = (
        f"{format_minor(each, currency)} {currency}" for each in (refund.amount_minor, refund.total_minor)
    )
    extent = "the whole order" if refund.amount_minor == refund.total_minor else f"{amount} of {total}"
    explanation = [
        {
            "rule_id": grant.rule_id,
            "points": -points,
            "text": f"{points} of the {grant.points} points given as “{grant.text}” taken back for {extent}",
        }
        for grant, points in zip(grants, by_grant, strict=True)
    ]
    if written_off:
        text = f"{written_off} of these points were spent and are written off: the balance does not go below zero"
        explanation.append({"rule_id": None, "points": written_off, "text": text})
    if reinstated:
        text = f"{reinstated} points that paid for {extent} given back"
        explanation.append({"rule_id": None, "points": reinstated, "text": text})
    return explanation
