"""Clawing back: what an award gave is taken from where it is, and what it used up of limits is free again."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rewards.decide.draft import Draft
from rewards.ledger.state import Count, Lot, RecordedActivity, add_count

if TYPE_CHECKING:
    from rewards.program.document import ProgramDocument


def free_limits(
    draft: Draft,
    activity: RecordedActivity,
    by_grant: Sequence[int],
    times: int,
    document: "ProgramDocument",
) -> None:
    """Free the limits and budgets that an award used, given what is taken back of each grant.

    ``times`` is -1 where nothing of it stays, so that it was no occasion either, else 0.
    """
    by_rule: dict[str, Count] = {}
    for grant, points in zip(activity.grants, by_grant, strict=True):
        if grant.points:
            add_count(by_rule, f"rule:{grant.rule_id}", Count(-points, times))
    if activity.points:
        by_rule["program"] = Count(-sum(by_grant), times)
    counts = {}
    for name, period in activity.counted:
        # What only met a rule is counted by times alone.
        back = Count(0, times) if name.startswith("seen:") else by_rule.get(name)
        if back is not None and any(back):
            counts[name, period] = back
    with_budget = {f"rule:{rule.id}": rule.id for rule in document.earn if rule.budget is not None}
    budgets = {rule_id: by_rule[name] for name, rule_id in with_budget.items() if any(by_rule.get(name, ()))}
    draft.count(counts, budgets)


def qualifying_part(activity: RecordedActivity, by_grant: Sequence[int]) -> int:
    """Return how many of the points that are taken back of each grant had counted to tiers."""
    if activity.activity_key.startswith("tier:"):
        return 0
    return sum(points for grant, points in zip(activity.grants, by_grant, strict=True) if grant.qualifies)


def claw_back(
    draft: Draft,
    activity: RecordedActivity | None,
    by_grant: Sequence[int],
    cause: str,
    at: datetime,
    version: int,
    document: "ProgramDocument",
) -> tuple[int, int]:
    """Take an award's points back, given how many of each grant; return the clawback's seq and what was written off.

    First from the award's own lots; then their points that have expired, whose expiry is undone because they are
    gone already; what was spent comes from the customer's other points, and then, by the program's policy, is
    owed or written off.
    """
    due = sum(by_grant)
    own = [] if activity is None else _own_parts(draft, activity, by_grant)
    for lot, part in own:
        from_expired = min(part - min(part, lot.remaining), lot.expired)
        if from_expired:
            # An expiry cannot be undone before it came, even where the refund occurred before it.
            undone_at = max(at, lot.expires_at or at)
            seq = draft.enter(
                "unexpire", from_expired, f"lot:{lot.lot_seq}", occurred_at=undone_at, program_version=version
            )
            draft.move(lot, -from_expired, seq, seq)
            lot.expired -= from_expired
    taken = [(lot, min(part, lot.remaining)) for lot, part in own]
    rest = due - sum(part for _, part in taken)
    # What the award's own lots have beyond their parts is as good as other points.
    others = draft.open_lots()
    taken_of = {lot.lot_seq: part for lot, part in taken}
    left_in_others = sum(lot.remaining - taken_of.get(lot.lot_seq, 0) for lot in others)
    owed = max(rest - left_in_others, 0)
    written_off = owed if document.points.negative_balance == "clamp" else 0
    left = written_off
    for (lot, part), (_, from_own) in zip(own, taken, strict=True):
        # Each lot bears what was spent of it, as far as that was let be.
        let_be = min(part - from_own, left)
        lot.written_off += let_be
        left -= let_be
    seq = draft.enter("clawback", written_off - due, cause, occurred_at=at, program_version=version)
    for lot, part in taken:
        draft.take(part, [lot], seq)
    draft.take(rest, others, seq)
    draft.owe(owed - written_off, seq)
    return seq, written_off


def _own_parts(draft: Draft, activity: RecordedActivity, by_grant: Sequence[int]) -> list[tuple[Lot, int]]:
    """Return the award's own lots, each with what is due of it."""
    due: dict[int, int] = {}
    for grant, points in zip(activity.grants, by_grant, strict=True):
        lot_seq = grant.lot_seq or activity.award_seq
        due[lot_seq] = due.get(lot_seq, 0) + points
    lots = ((draft.lot(lot_seq), points) for lot_seq, points in due.items())
    return [(lot, points) for lot, points in lots if lot is not None]
