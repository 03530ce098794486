"""What follows from a customer's recorded activities and refunds: lots, facts and counts. Pure.

The account and the counts are kept up by the decisions; here they are worked out again from what they came from.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from rewards.ledger.state import Count, CountKey, add_count
from rewards.program.document import ProgramDocument
from rewards.program.history import ProgramHistory
from rewards.program.periods import Times, times


class Facts(NamedTuple):
    """What conditions of rules ask about a customer, as the account has it."""

    purchases: int
    spent_minor: int
    last_purchase_at: datetime | None
    joined_at: datetime | None


def points_by_lot(activity: Any) -> dict[int, int]:
    """Return the lots that an award's points went into, the first entry's also where it is of none."""
    points: dict[int, int] = {}
    for grant in activity.grants:
        lot_seq = grant.get("lot_seq") or activity.award_seq
        points[lot_seq] = points.get(lot_seq, 0) + grant["points"]
    given = {lot_seq: part for lot_seq, part in points.items() if part}
    return given or {activity.award_seq: 0}


def times_of_lot(document: ProgramDocument, activity: Any, lot_seq: int) -> Times:
    """Return when the points of one of an award's lots can be spent and expire, by the rules that gave them."""
    tier = None if document.ladder is None else document.ladder.tier(activity.tier)
    rules = {rule.id: rule for rule in document.earn}
    for grant in activity.grants:
        rule = rules.get(grant["rule_id"])
        if grant["points"] and (grant.get("lot_seq") or activity.award_seq) == lot_seq and rule is not None:
            return times(document.points_of(rule, tier), document.zone)
    return document.times_in(tier)


def explanation_of(grants: Iterable[Mapping[str, Any]], award_seq: int, seq: int) -> list[dict[str, Any]]:
    """Return what each rule gave to one entry of an award, in the words of the award's answer."""
    return [
        {name: grant[name] for name in ("rule_id", "points", "text", "cuts") if name in grant}
        for grant in grants
        if (grant.get("lot_seq") or award_seq) == seq
    ]


def refunds_by_activity(reversals: Iterable[Any]) -> dict[str, list[Any]]:
    """Return what took an award back, refund or retraction, by its activity's key."""
    by_activity: dict[str, list[Any]] = defaultdict(list)
    for reversal in reversals:
        by_activity[reversal.activity_key].append(reversal)
    return by_activity


def facts_of(activities: Sequence[Any], refunds: Mapping[str, Sequence[Any]]) -> Facts:
    """Return what is to be known of a customer, given activities with ``type`` and ``total_minor``."""
    purchases = [each for each in activities if each.type == "purchase"]
    kept = [
        each for each in purchases if not any(refund.is_full for refund in refunds.get(each.activity_key, ()))
    ]
    refunded = sum(refund.amount_minor for each in purchases for refund in refunds.get(each.activity_key, ()))
    return Facts(
        len(kept),
        sum(each.total_minor for each in purchases) - refunded,
        max((each.occurred_at for each in purchases), default=None),
        min((each.occurred_at for each in activities), default=None),
    )


def counts_of(activities: Iterable[Any], refunds: Mapping[str, Sequence[Any]]) -> dict[CountKey, Count]:
    """Return what limits have counted for a customer; what came back to nothing is left out."""
    counts: dict[CountKey, Count] = {}
    for activity in activities:
        if not activity.counted:
            continue
        its_refunds = refunds.get(activity.activity_key, ())
        is_undone = any(refund.is_full for refund in its_refunds)
        by_rule: dict[str, int] = defaultdict(int)
        for index, grant in enumerate(activity.grants):
            taken = sum(refund.by_grant[index] for refund in its_refunds if refund.by_grant)
            by_rule[f"rule:{grant['rule_id']}"] += grant["points"] - taken
        by_rule["program"] = sum(by_rule.values())
        for name, period in activity.counted:
            add_count(counts, (name, period), Count(by_rule.get(name, 0), 0 if is_undone else 1))
    return {key: count for key, count in counts.items() if any(count)}


def add_to_budgets(
    budgets: dict[str, Count],
    activities: Iterable[Any],
    refunds: Mapping[str, Sequence[Any]],
    programs: ProgramHistory,
) -> None:
    """Add to ``budgets`` what one customer's activities were given of them, less what was taken back."""
    if not programs.budgets:
        return
    with_budget = {
        each.version: {rule.id for rule in each.document.earn if rule.budget is not None}
        for each in programs.versions
    }
    for activity in activities:
        of_budgets = with_budget.get(activity.program_version, ())
        its_refunds = refunds.get(activity.activity_key, ())
        times = 0 if any(refund.is_full for refund in its_refunds) else 1
        for index, grant in enumerate(activity.grants):
            if grant["points"] and grant["rule_id"] in of_budgets:
                taken = sum(refund.by_grant[index] for refund in its_refunds if refund.by_grant)
                add_count(budgets, grant["rule_id"], Count(grant["points"] - taken, times))
