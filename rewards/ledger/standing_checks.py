"""Do stored standings follow from what counts to tiers? Part of :mod:`rewards.ledger.verification`. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rewards.ledger.standing_state import Qualifying, Standing, StandingGrant, standing_from
from rewards.program.history import ProgramHistory
from tiers.folding import Fold
from tiers.history import History
from tiers.ladder import timeline_of

_Finding = tuple[str, int | None, str]


def check_standing(
    account: Any,
    activities: Sequence[Any],
    refunds: Mapping[str, Sequence[Any]],
    moves: Sequence[Any],
    grants: Sequence[Any],
    programs: ProgramHistory,
) -> Iterator[_Finding]:
    """The standing on record is what the ladder makes of the history, and the moves on record lead to it."""
    yield from _check_amounts(activities, refunds)
    if account.standing is None:
        if moves:
            yield "standing", None, "there are moves on the ladder, but no standing"
        return
    stored = standing_from(list(account.standing))
    yield from _check_moves(stored, moves)
    if account.tier != stored.tier:
        yield "standing", None, f"the account is in tier {account.tier}, its standing in {stored.tier}"
    timeline = timeline_of(programs)
    if timeline.stretches[timeline.at(stored.at)].version != stored.version:
        # A ladder was published since then; that is applied with the customer's next command, or by the job.
        return
    history = History(
        sorted(qualifying_of(activities, refunds), key=lambda event: (event.at, event.seq)),
        [_grant(row) for row in grants],
        _utc(account.member_since),
    )
    derived = Fold(timeline, history).run(stored.at).standing()
    for name in ("tier", "since", "until", "earned", "earned_until", "grace_until", "is_granted", "gauges"):
        kept, said = getattr(stored, name), getattr(derived, name)
        if kept != said:
            yield "standing", None, f"{name} is {kept}, what counts to tiers says {said}"


def qualifying_of(activities: Sequence[Any], refunds: Mapping[str, Sequence[Any]]) -> Iterator[Qualifying]:
    """Yield what counts to tiers, given activities with ``type``, and what took them back by activity."""
    for activity in activities:
        if activity.activity_key.startswith("tier:"):
            continue
        at = activity.occurred_at.astimezone(UTC)
        is_purchase = activity.activity_key.startswith("purchase:")
        is_referral = activity.activity_key.startswith("referral:")
        yield Qualifying(
            at,
            activity.award_seq,
            at,
            activity.qualifying_points,
            activity.spend_minor,
            int(is_purchase and not activity.held_out),
            int(is_referral and not activity.held_out),
        )
        for refund in refunds.get(activity.activity_key, ()):
            yield Qualifying(
                refund.occurred_at.astimezone(UTC),
                refund.reversal_seq,
                at,
                -refund.qualifying_points,
                0 if activity.held_out else -refund.amount_minor,
                -int(is_purchase and refund.is_full and not activity.held_out),
                -int(is_referral and not activity.held_out),
                is_return=True,
            )


def _check_amounts(activities: Sequence[Any], refunds: Mapping[str, Sequence[Any]]) -> Iterator[_Finding]:
    for activity in activities:
        is_welcome = activity.activity_key.startswith("tier:")
        counts = [not is_welcome and grant.get("qualifies", True) for grant in activity.grants]
        points = sum(grant["points"] for grant, does in zip(activity.grants, counts, strict=True) if does)
        if activity.qualifying_points != points:
            kept = activity.qualifying_points
            yield "qualifying", activity.award_seq, f"{kept} points count to tiers, its grants say {points}"
        spent = (activity.total_minor or 0) if activity.type == "purchase" and not activity.held_out else 0
        if activity.spend_minor != spent:
            yield "qualifying", activity.award_seq, f"spend is {activity.spend_minor}, the order says {spent}"
        for refund in refunds.get(activity.activity_key, ()):
            taken = sum(part for part, does in zip(refund.by_grant, counts, strict=False) if does)
            if refund.qualifying_points != taken:
                kept = refund.qualifying_points
                yield (
                    "qualifying",
                    refund.reversal_seq,
                    f"takes {kept} qualifying points, its parts say {taken}",
                )


def _check_moves(stored: Standing, moves: Sequence[Any]) -> Iterator[_Finding]:
    tier = None
    for number, move in enumerate(moves, 1):
        if move.move_seq != number:
            yield "moves", move.move_seq, f"move {number} is missing"
            return
        if move.from_tier != tier:
            yield "moves", number, f"it leads from {move.from_tier}, the move before to {tier}"
        tier = move.to_tier
    if len(moves) != stored.moves or tier != stored.tier:
        yield "moves", len(moves), f"the {len(moves)} moves lead to {tier}, the standing is {stored.tier}"


def _grant(row: Any) -> StandingGrant:
    granted_at = row.granted_at.astimezone(UTC)
    return StandingGrant(row.grant_seq, row.tier, granted_at, _utc(row.until), _utc(row.ended_at))


def _utc(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.astimezone(UTC)
