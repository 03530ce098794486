"""What an activity earns under a document: which rules apply, what each gives, and why, said in words.

Pure and quick: rules are compiled once per document. In order: a rule must be on (dates, windows), its condition
met, its turn come (occurrences); then stacking chooses among the rules that are left. Rules that give by
themselves come first, then multipliers of what those gave, then floors. Each rule's points are rounded once, by
the rule itself, and then cut by its caps and its budget; last come the caps of the program, which cut the rules
from the document's last to its first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import gcd, lcm
from types import MappingProxyType
from typing import Any, NamedTuple

from rewards.ledger.state import Account, Count, CountKey, Grant, add_count
from rewards.program.document import ProgramDocument
from rewards.program.facts import Occasion, item_facts
from rewards.program.giving import Setting
from rewards.program.ladder import Tier
from rewards.program.limits import (
    NOTHING,
    part_of_cut,
    period_of,
    within_budget,
    within_caps,
)
from rewards.program.periods import Times
from rewards.program.plans import FLOORS, Limits, Plan, Rule, base_amount_minor
from rewards.program.rules import (
    Multiplier,
    Occurrences,
    PerAmount,
)
from rewards.program.sections import LARGEST_INTEGER

_NEW_CUSTOMER = Account("-")
_SOME_TIME = datetime(2000, 1, 1, tzinfo=UTC)


class Earned(NamedTuple):
    """What an activity was given, and what that adds to counts and budgets."""

    grants: list[Grant]
    #: When each grant's points can be spent and expire: None is as the program says; empty where all are.
    times: Sequence[Times | None] = ()
    counts: Mapping[CountKey, Count] = MappingProxyType({})
    budgets: Mapping[str, Count] = MappingProxyType({})


@dataclass(slots=True)
class NotApplied:
    """A rule for this kind of activity that gave nothing, and why."""

    rule_id: str
    text: str


def earn(
    document: ProgramDocument,
    activity: Any,
    account: Account = _NEW_CUSTOMER,
    occurred_at: datetime = _SOME_TIME,
    counts: Mapping[CountKey, Count] | None = None,
    budgets: Mapping[str, Count] | None = None,
    *,
    tier: Tier | None = None,
    not_applied: list[NotApplied] | None = None,
) -> Earned:
    """Return what ``activity`` earns under ``document``, in the order of the document's rules.

    Args:
        document: the program; the caller has checked that a purchase is in its currency.
        activity: an activity of the contract.
        account: the customer as before the activity.
        occurred_at: when it occurred.
        counts: what limits have counted for the customer, at least all that :func:`limits_of` names.
        budgets: what budgets have given, likewise.
        tier: the tier of the program's ladder that the customer is in.
        not_applied: gathers the rules that did not apply, with the reasons.

    Raises:
        BalanceTooLarge: a rule would give more than 2^53 points.
    """
    plan = document.plans_in(tier).get(activity.type)
    if plan is None:
        return Earned([])
    if plan.is_simple and not_applied is None:
        return Earned(plan.simple_grants(activity))
    name = "" if tier is None else tier.id
    return _Award(
        plan, activity, account, occurred_at, counts or {}, budgets or {}, not_applied, name
    ).earned()


def limits_of(document: ProgramDocument, activity_type: str) -> Limits | None:
    """Return what must be known to give points for an activity of this type; None where nothing is limited."""
    plan = document.plans.get(activity_type)
    return None if plan is None else plan.limits


class _Award:
    """One activity being given its points."""

    def __init__(
        self,
        plan: Plan,
        activity: Any,
        account: Account,
        occurred_at: datetime,
        counts: Mapping[CountKey, Count],
        budgets: Mapping[str, Count],
        not_applied: list[NotApplied] | None,
        tier: str,
    ) -> None:
        self._plan = plan
        self._document = plan.document
        is_purchase = activity.type == "purchase"
        self._base_minor = base_amount_minor(self._document, activity) if is_purchase else 0
        self._occasion = Occasion(activity, account, occurred_at, self._base_minor, self._document.zone, tier)
        self._local = self._occasion.local
        self._activity = activity
        self._counts = counts
        self._budgets = budgets
        self._not_applied = not_applied
        self._as_a_whole = Setting(activity, self._base_minor)
        self._seen: dict[CountKey, Count] = {}
        self._lines: list[list[Any]] | None = None

    def earned(self) -> Earned:
        in_order = sorted(self._stacked(self._applying()).items())
        given = [grant for _, grant in in_order]
        self._cut_by_program(given)
        lives = [self._plan.rules[index].times for index, _ in in_order] if self._plan.has_own_lives else ()
        if self._plan.limits is None:
            return Earned(given, lives)
        counts = self._seen
        budgets: dict[str, Count] = {}
        for index, grant in in_order:
            each = self._plan.rules[index]
            if grant.points:
                for name, per in each.counted:
                    add_count(counts, (name, period_of(per, self._local)), Count(grant.points, 1))
                if each.rule.budget is not None:
                    budgets[grant.rule_id] = Count(grant.points, 1)
        total = sum(grant.points for grant in given)
        if total:
            for cap in self._document.caps:
                if cap.per != "award":
                    counts["program", period_of(cap.per, self._local)] = Count(total, 1)
        return Earned(given, lives, counts, budgets)

    def _applying(self) -> list[tuple[int, Rule]]:
        """Return the rules that are on, whose condition is met, and whose turn it is."""
        plan, local = self._plan, self._local
        met: Sequence[bool] = ()
        facts: dict[str, Any] = {}
        if plan.conditions is not None:
            facts = self._occasion.facts(plan.conditions.names)
            met = plan.conditions.evaluate(facts)
        applying = []
        for index, each in enumerate(plan.rules):
            if each.is_on is not None and not each.is_on(local):
                self._skip(each, f"it is not on at {local:%Y-%m-%d %H:%M} ({self._document.timezone})")
            elif each.condition is not None and not met[each.condition]:
                if self._not_applied is not None:
                    assert plan.conditions is not None
                    self._skip(each, plan.conditions.explain(each.condition, facts))
            elif each.gives_lines and not self._lines_for(each):
                self._skip(each, "no line of the order counts for it")
            elif each.rule.occurrences is None or self._is_its_turn(each, each.rule.occurrences):
                applying.append((index, each))
        return applying

    def _is_its_turn(self, each: Rule, turn: Occurrences) -> bool:
        if turn.first is not None:
            times = self._counts.get((f"rule:{each.rule.id}", "life"), NOTHING).times
            if times >= turn.first:
                self._skip(
                    each, f"it gives only the first {turn.first} of a customer's, and has given {times}"
                )
                return False
            return True
        assert turn.every is not None
        key = (f"seen:{each.rule.id}", "life")
        # Refunds of earlier orders must not let the same turn come again once it was given for.
        given = self._counts.get((f"rule:{each.rule.id}", "life"), NOTHING).times
        seen = max(self._counts.get(key, NOTHING).times, given * turn.every) + 1
        self._seen[key] = Count(0, 1)
        if seen % turn.every:
            self._skip(each, f"it gives every {turn.every} times, and this is time {seen}")
            return False
        return True

    def _stacked(self, rules: list[tuple[int, Rule]]) -> dict[int, Grant]:
        """Return what the rules give: the exclusive one of the highest priority alone, if it has something to give."""
        while exclusive := [found for found in rules if found[1].rule.stacking == "exclusive"]:
            winner = max(exclusive, key=lambda found: (found[1].rule.priority, -found[0]))
            grants = self._grants([winner])
            if any(grant.points or not grant.cuts for grant in grants.values()):
                for index, each in rules:
                    if index != winner[0]:
                        self._skip(each, f"rule {winner[1].rule.id!r} is exclusive and applies alone")
                return grants
            # What is spent must not keep the others from giving.
            for grant in grants.values():
                self._skip(winner[1], grant.text)
            rules = [found for found in rules if found is not winner]
        return self._grants(rules)

    def _grants(self, rules: list[tuple[int, Rule]]) -> dict[int, Grant]:
        """Return what the rules give, by their place: those that give by themselves, then what comes on top of them.

        Of all rules marked best, multipliers and floors too, only one is among them.
        """
        plan = self._plan
        adding, best = rules, []
        if plan.has_best:
            adding = [found for found in rules if found[1].rule.stacking != "best"]
            best = [found for found in rules if found[1].rule.stacking == "best"]
        grants: dict[int, Grant] = {}
        self._give(adding, 0, grants)
        if best:
            self._give_best(best, grants)
        for phase in plan.phases:
            if phase:
                self._give(adding, phase, grants)
        return grants

    def _give(self, rules: Iterable[tuple[int, Rule]], phase: int, grants: dict[int, Grant]) -> None:
        """Add the grants of one phase, each worked out from those before it."""
        new: dict[int, Grant] = {}
        now = [found for found in rules if found[1].phase == phase]
        if phase == FLOORS:
            # The lowest first, so that a higher one gives only what it lacks; multipliers do not multiply each other.
            now.sort(key=lambda found: getattr(found[1].rule.gives, "points", 0))
        for index, each in now:
            grant = self._grant(each, {**grants, **new} if phase == FLOORS else grants)
            if grant is not None:
                new[index] = grant
        grants.update(new)

    def _give_best(self, rules: Iterable[tuple[int, Rule]], grants: dict[int, Grant]) -> None:
        """Add the grant of that one rule which gives most on top of ``grants``."""
        found = []
        for index, each in rules:
            grant = self._grant(each, grants)
            if grant is not None:
                found.append(((grant.points, each.rule.priority, -index), each, grant))
        ranked = sorted(found, key=lambda each: each[0], reverse=True)
        for place, (rank, each, grant) in enumerate(ranked):
            if place == 0:
                grants[-rank[2]] = grant
            else:
                self._skip(each, "another rule that is marked best gives more, or as much and comes first")

    def _grant(self, each: Rule, so_far: Mapping[int, Grant]) -> Grant | None:
        """Return what a rule gives after its own caps and budget; None where it has nothing to work on."""
        rule = each.rule
        points, base_minor, text, lines = each.give(self._setting(each, so_far))
        if each.phase and not points:
            self._skip(each, text + ": nothing on top")
            return None
        cuts: list[dict[str, Any]] = []
        if rule.caps:
            points, cuts = within_caps(points, rule.caps, f"rule:{rule.id}", self._counts, self._local)
        if rule.budget is not None and points:
            used = self._budgets.get(rule.id, NOTHING)
            points, more = within_budget(points, rule.id, rule.budget, used)
            cuts += more
        if cuts:
            text = "; ".join([text, *(cut["text"] for cut in cuts)])
        return Grant(rule.id, None, points, base_minor, text, 0, lines, cuts or None, rule.counts_to_tiers)

    def _setting(self, each: Rule, so_far: Mapping[int, Grant]) -> Setting:
        if each.phase == 0:
            if not each.gives_lines:
                return self._as_a_whole
            return Setting(self._activity, self._base_minor, self._goods_minor(), self._lines_for(each))
        gives = each.rule.gives
        if not isinstance(gives, Multiplier):
            points = sum(grant.points for grant in so_far.values())
            return Setting(self._activity, self._base_minor, points=points)
        multiplied = [
            grant
            for index, grant in so_far.items()
            if self._plan.rules[index].phase == 0
            and (
                grant.rule_id in gives.of
                if gives.of
                else isinstance(self._plan.rules[index].rule.gives, PerAmount)
            )
        ]
        points = sum(grant.points for grant in multiplied)
        return Setting(self._activity, self._base_minor, points=points, weights=_weights(multiplied))

    def _goods_minor(self) -> int:
        shipping: int = self._activity.shipping_minor if self._document.base_amount.shipping else 0
        return max(self._base_minor - shipping, 0)

    def _lines_for(self, each: Rule) -> list[Any]:
        """Return the lines of the order that a rule counts."""
        if each.items is None:
            return list(self._activity.items)
        if self._lines is None:
            conditions = self._plan.item_conditions
            assert conditions is not None
            counted = [conditions.evaluate(item_facts(item)) for item in self._activity.items]
            self._lines = [
                [item for item, met in zip(self._activity.items, counted, strict=True) if met[index]]
                for index in range(len(counted[0]) if counted else 0)
            ]
        return self._lines[each.items] if self._lines else []

    def _cut_by_program(self, grants: list[Grant]) -> None:
        """Apply the program's caps to the sum, cutting the last rules first."""
        for cap in self._document.caps:
            total = sum(grant.points for grant in grants)
            given, cuts = within_caps(total, [cap], "program", self._counts, self._local)
            excess = total - given
            for grant in reversed(grants):
                if not excess:
                    break
                part = min(grant.points, excess)
                if part:
                    cut = part_of_cut(cuts[0], part)
                    grant.points -= part
                    grant.cuts = [*(grant.cuts or ()), cut]
                    grant.text += f"; {cut['text']}"
                    excess -= part

    def _skip(self, each: Rule, reason: str) -> None:
        if self._not_applied is not None:
            self._not_applied.append(NotApplied(each.rule.id, reason))


def _weights(grants: Sequence[Grant]) -> dict[str, int] | None:
    """Return how much each line weighs in the sum of grants; None where any is for the order as a whole."""
    weights: dict[str, int] = {}
    whole = lcm(*(sum(grant.lines.values()) for grant in grants if grant.lines))
    for grant in grants:
        if grant.lines is None:
            return None
        of_all = sum(grant.lines.values())
        for line_id, weight in grant.lines.items() if of_all else ():
            weights[line_id] = weights.get(line_id, 0) + grant.points * weight * (whole // of_all)
    return _in_small_numbers(weights) or None


def _in_small_numbers(weights: Mapping[str, int]) -> dict[str, int]:
    """Return weights of the same proportions that are stored in few digits, however many rules they come from."""
    common, largest = gcd(*weights.values()) or 1, max(weights.values(), default=0)
    if largest // common > LARGEST_INTEGER:
        return {line_id: weight * LARGEST_INTEGER // largest for line_id, weight in weights.items()}
    return {line_id: weight // common for line_id, weight in weights.items()}
