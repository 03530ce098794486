"""A document's earn rules, compiled: what can be worked out once, whatever the activity. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from rewards.ledger.state import CountKey, Grant
from rewards.program.document import ProgramDocument, tier_policy
from rewards.program.giving import Give, Given, Setting, compile_gives
from rewards.program.ladder import Tier
from rewards.program.limits import counts_of, is_on, period_of
from rewards.program.periods import Times, times
from rewards.program.rules import AtLeast, EarnRule, Fixed, Multiplier, Per, PerAmount, PerUnit
from rewards.program.sections import ActivityType
from rewards.program.segments import condition_of

if TYPE_CHECKING:
    from rewards.program.conditions import Conditions, Scope


@dataclass(slots=True)
class Limits:
    """What the rules for one type of activity count."""

    zone: ZoneInfo
    counts: Sequence[tuple[str, Per]]
    #: Rules that have a budget.
    budgets: Sequence[str]

    def counts_at(self, at: datetime) -> list[CountKey]:
        """Return the counts that matter for an activity that occurs at ``at``."""
        local = at.astimezone(self.zone)
        return [(name, period_of(per, local)) for name, per in self.counts]


def base_amount_minor(document: ProgramDocument, purchase: Any) -> int:
    """Return the part of a purchase that earns, in minor units; never negative."""
    base: int = purchase.total_minor
    parts = document.base_amount
    if parts.discount:
        base += purchase.discount_minor
    if not parts.tax:
        base -= purchase.tax_minor
    if not parts.shipping:
        base -= purchase.shipping_minor
    if not parts.points:
        base -= purchase.points_minor
    return max(base, 0)


#: Rules that give by themselves come first (0), then multipliers (1), then floors.
FLOORS = 2


class Rule:
    """A rule, ready to be applied."""

    __slots__ = ("condition", "counted", "give", "gives_lines", "is_on", "items", "phase", "rule", "times")

    def __init__(self, rule: EarnRule, document: ProgramDocument, tier: Tier | None = None) -> None:
        self.rule = rule
        self.give: Give = compile_gives(rule, document.currency)
        self.is_on = is_on(rule.active, rule.windows)
        #: When its points can be spent and expire; None where that is as the program says.
        self.times: Times | None = None
        policy = document.points_of(rule, tier)
        if policy is not document.points and (tier is None or policy != tier_policy(tier, document.points)):
            self.times = times(policy, document.zone)
        #: What is counted where it gave points.
        self.counted = [(name, per) for name, per in counts_of(rule) if name.startswith("rule:")]
        #: Where its conditions stand among the plan's; None where it has none.
        self.condition: int | None = None
        self.items: int | None = None
        self.gives_lines = isinstance(rule.gives, PerUnit) or (
            isinstance(rule.gives, PerAmount) and rule.gives.items is not None
        )
        self.phase = FLOORS if isinstance(rule.gives, AtLeast) else int(isinstance(rule.gives, Multiplier))


class Plan:
    """A document's rules for one type of activity."""

    __slots__ = (
        "_on_top",
        "_simple",
        "conditions",
        "document",
        "has_best",
        "has_own_lives",
        "is_simple",
        "item_conditions",
        "limits",
        "phases",
        "rules",
    )

    def __init__(self, document: ProgramDocument, rules: list[EarnRule], tier: Tier | None = None) -> None:
        self.document = document
        self.rules = [Rule(rule, document, tier) for rule in rules]
        self._on_top: tuple[str, Give, list[bool]] | None = None
        self.phases = sorted({each.phase for each in self.rules})
        self.has_best = any(rule.stacking == "best" for rule in rules)
        self.has_own_lives = any(each.times is not None for each in self.rules)
        self.is_simple = not document.caps and all(_is_simple(rule, document) for rule in rules)
        self._simple = [(each.rule.id, each.give) for each in self.rules]
        whens: list[str] = []
        items: list[str] = []
        for each in self.rules:
            when = condition_of(each.rule, document.segments)
            if when is not None:
                each.condition = len(whens)
                whens.append(when)
            wanted = getattr(each.rule.gives, "items", None)
            if wanted is not None:
                each.items = len(items)
                items.append(wanted)
        self.conditions = _compile_conditions(whens, "activity")
        self.item_conditions = _compile_conditions(items, "item")
        counts: list[tuple[str, Per]] = [("program", cap.per) for cap in document.caps if cap.per != "award"]
        counts = list(dict.fromkeys([*counts, *(key for rule in rules for key in counts_of(rule))]))
        budgets = [rule.id for rule in rules if rule.budget is not None]
        self.limits = Limits(document.zone, counts, budgets) if counts or budgets else None

    def simple_grants(self, activity: Any) -> list[Grant]:
        """Return what the rules give where each always gives, whatever else there is."""
        base = base_amount_minor(self.document, activity) if activity.type == "purchase" else 0
        setting = Setting(activity, base)
        grants = []
        for rule_id, give in self._simple:
            points, base_minor, text, _ = give(setting)
            grants.append(Grant(rule_id, None, points, base_minor, text))
        if self._on_top is not None:
            rule_id, give, multiplied = self._on_top
            whole = sum(grant.points for grant, counts in zip(grants, multiplied, strict=True) if counts)
            points, _, text, _ = give(Setting(activity, base, points=whole))
            if points:
                grants.append(Grant(rule_id, None, points, 0, text, qualifies=False))
        return grants

    def raised(self, tier: Tier) -> "Plan":
        """Return the plan for customers in a tier: points live as it says, and it gives something on top."""
        rules = [each.rule for each in self.rules]
        plan = Plan(self.document, rules, tier)
        # What the conditions are does not hang on the tier, and compiling them takes its time.
        plan.conditions, plan.item_conditions = self.conditions, self.item_conditions
        if tier.earn_multiplier_pct > 100 and any(rule.gives.type == "per_amount" for rule in rules):
            on_top = Rule(_on_top(tier, rules[0].activity), self.document, tier)
            on_top.give = _named(tier, on_top.give)
            multiplied = [isinstance(rule.gives, PerAmount) for rule in rules]
            plan._on_top = (on_top.rule.id, on_top.give, multiplied)
            plan.rules.append(on_top)
            plan.phases = sorted({each.phase for each in plan.rules})
        return plan


def _on_top(tier: Tier, activity: ActivityType) -> EarnRule:
    """Return the rule that a tier's multiplier amounts to; no admin's rule can have its id."""
    gives = Multiplier(type="multiplier", multiplier_pct=tier.earn_multiplier_pct)
    # The points on top count to no tier, or each tier would be a step up to the next.
    plain = EarnRule(id="tier", name=tier.name, activity=activity, gives=gives, counts_to_tiers=False)
    return plain.model_copy(update={"id": f"tier:{tier.id}"})


def _named(tier: Tier, give: Give) -> Give:
    def give_on_top(setting: Setting) -> Given:
        points, base_minor, text, lines = give(setting)
        return points, base_minor, f"{tier.name}: {text}", lines

    return give_on_top


def _compile_conditions(expressions: list[str], scope: "Scope") -> "Conditions | None":
    if not expressions:
        return None
    # Most programs have no condition, and CEL takes its time to load.
    from rewards.program.conditions import Conditions

    return Conditions(expressions, scope)


def _is_simple(rule: EarnRule, document: ProgramDocument) -> bool:
    """Tell whether a rule always gives, whatever else there is, and points that live like all."""
    if document.points_of(rule) is not document.points:
        return False
    gives = rule.gives
    plain = EarnRule(id=rule.id, name=rule.name, activity=rule.activity, gives=gives)
    return rule == plain and (
        isinstance(gives, Fixed) or (isinstance(gives, PerAmount) and gives.items is None)
    )


def plans_of_tier(document: ProgramDocument, tier: Tier) -> Mapping[str, Plan]:
    """Return a document's rules by type of activity for customers in a tier."""
    if tier.earn_multiplier_pct == 100 and tier_policy(tier, document.points) is document.points:
        return document.plans
    return {activity: plan.raised(tier) for activity, plan in document.plans.items()}


def compile_plans(document: ProgramDocument) -> Mapping[str, Plan]:
    """Return a document's rules by type of activity; ask the document for its ``plans``, which keeps them."""
    by_type: dict[str, list[EarnRule]] = {}
    for rule in document.earn:
        by_type.setdefault(rule.activity, []).append(rule)
    return {activity: Plan(document, rules) for activity, rules in by_type.items()}
