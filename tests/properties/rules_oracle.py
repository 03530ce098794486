"""What an activity should be given: a document's words worked out again, slowly, with fractions.

This shares no code with ``rewards.program.earning``. Documents and activities are plain data; what a customer and
the budgets were given before is told by a :class:`Past`, which looks at what is on record and keeps no counts.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Protocol
from zoneinfo import ZoneInfo

WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]


@dataclass
class Customer:
    """What conditions may ask of a customer, as before the activity."""

    purchases: int = 0
    spent_minor: int = 0
    last_purchase_at: datetime | None = None
    joined_at: datetime | None = None


@dataclass
class Occasion:
    """One activity, on the wall clock of the program's zone."""

    body: dict[str, Any]
    local: datetime
    customer: Customer
    base_minor: int

    def days_since(self, at: datetime | None, unknown: int) -> int:
        return (
            unknown
            if at is None
            else max((self.local.date() - at.astimezone(self.local.tzinfo).date()).days, 0)
        )


class Past(Protocol):
    """What was given before, less what refunds took back: points and times."""

    def given(self, rule_id: str | None, per: str, local: datetime) -> tuple[int, int]: ...

    def met(self, rule_id: str) -> int: ...

    def spent(self, rule_id: str) -> tuple[int, int]: ...


class NoPast:
    """Nobody was given anything."""

    def given(self, rule_id: str | None, per: str, local: datetime) -> tuple[int, int]:
        return 0, 0

    def met(self, rule_id: str) -> int:
        return 0

    def spent(self, rule_id: str) -> tuple[int, int]:
        return 0, 0


@dataclass
class Expected:
    """What each rule gives, in the order of the document; and the counting rules that the activity met."""

    points: dict[str, int] = field(default_factory=dict)
    met: set[str] = field(default_factory=set)

    @property
    def given(self) -> dict[str, int]:
        return {rule_id: points for rule_id, points in self.points.items() if points}


# -- conditions: the CEL of each, and what it means --------------------------------------------------------

CONDITIONS: dict[str, Callable[[Occasion], bool]] = {
    "order.total_minor >= 5000": lambda o: o.body["total_minor"] >= 5000,
    "order.base_minor % 2 == 0": lambda o: o.base_minor % 2 == 0,
    "order.discount_minor > 0 || order.tax_minor > 10": lambda o: (
        o.body.get("discount_minor", 0) > 0 or o.body.get("tax_minor", 0) > 10
    ),
    "order.units > 2": lambda o: sum(item["quantity"] for item in o.body.get("items", [])) > 2,
    "order.items.exists(i, i.category == 'drinks')": lambda o: any(
        item.get("category") == "drinks" for item in o.body.get("items", [])
    ),
    "customer.is_first_purchase": lambda o: o.customer.purchases == 0,
    "customer.purchases >= 2": lambda o: o.customer.purchases >= 2,
    "customer.spent_minor > 10000": lambda o: o.customer.spent_minor > 10_000,
    "customer.days_since_last_purchase > 7 || customer.days_since_last_purchase == -1": lambda o: (
        (days := o.days_since(o.customer.last_purchase_at, -1)) > 7 or days == -1
    ),
    "customer.days_since_joined == 0": lambda o: o.days_since(o.customer.joined_at, 0) == 0,
    "activity.channel == 'app'": lambda o: o.body.get("channel") == "app",
    # An attribute that is not there makes the condition unmet, not an error.
    "activity.attributes.gift == true": lambda o: o.body.get("attributes", {}).get("gift") is True,
    "time.weekday in ['SA', 'SU']": lambda o: o.local.weekday() >= 5,
    "time.hour >= 18": lambda o: o.local.hour >= 18,
    "time.month == 12 || time.date < '2026-11-01'": lambda o: (
        o.local.month == 12 or f"{o.local:%Y-%m-%d}" < "2026-11-01"
    ),
}
#: Those that any activity can be asked.
OF_ANY = [each for each in CONDITIONS if not each.startswith("order.")]

ITEM_CONDITIONS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "item.category == 'drinks'": lambda i: i.get("category") == "drinks",
    "item.quantity > 1": lambda i: i["quantity"] > 1,
    "item.amount_minor >= 1000": lambda i: i["amount_minor"] >= 1000,
    "item.line_id != '0'": lambda i: i["line_id"] != "0",
    "item.attributes.organic == true": lambda i: i.get("attributes", {}).get("organic") is True,
}


# -- the words of the documentation, one by one ------------------------------------------------------------


def rounded(exact: Fraction, rounding: str) -> int:
    if rounding == "half_up":
        return math.floor(exact + Fraction(1, 2))
    return math.ceil(exact) if rounding == "ceil" else math.floor(exact)


def base_of(document: Mapping[str, Any], body: Mapping[str, Any]) -> int:
    parts = document.get("base_amount", {})
    base = body.get("total_minor", 0)
    base += body.get("discount_minor", 0) if parts.get("discount", False) else 0
    base -= 0 if parts.get("tax", True) else body.get("tax_minor", 0)
    base -= 0 if parts.get("shipping", True) else body.get("shipping_minor", 0)
    base -= 0 if parts.get("points", True) else body.get("points_minor", 0)
    return int(max(base, 0))


def is_on(rule: Mapping[str, Any], local: datetime) -> bool:
    now = f"{local:%Y-%m-%dT%H:%M:%S.%f}"
    active = rule.get("active", {})
    if now < active.get("from", "") or ("until" in active and now >= active["until"]):
        return False
    windows = rule.get("windows", [])
    return not windows or any(_in_window(window, local) for window in windows)


def _in_window(window: Mapping[str, Any], local: datetime) -> bool:
    clock = f"{local:%H:%M:%S.%f}"
    begin, end = window.get("from", "00:00"), window.get("until", "24:00")
    yesterday = local - timedelta(days=1)
    if begin < end:
        return bool(begin <= clock < end and _on_day(window, local))
    return bool((clock >= begin and _on_day(window, local)) or (clock < end and _on_day(window, yesterday)))


def _on_day(window: Mapping[str, Any], local: datetime) -> bool:
    tomorrow = local.replace(hour=12) + timedelta(days=1)
    days_left = 1
    while tomorrow.month == local.month:
        tomorrow += timedelta(days=1)
        days_left += 1
    return (
        WEEKDAYS[local.weekday()] in window.get("days", WEEKDAYS)
        and local.month in window.get("months", range(1, 13))
        and bool({local.day, -days_left} & set(window.get("month_days", [local.day])))
    )


def lines_of(gives: Mapping[str, Any], body: Mapping[str, Any]) -> list[dict[str, Any]]:
    counts = ITEM_CONDITIONS[gives["items"]] if gives.get("items") else lambda _: True
    return [item for item in body.get("items", []) if counts(item)]


def by_itself(rule: Mapping[str, Any], document: Mapping[str, Any], o: Occasion) -> int | None:
    """What a rule gives that looks at no other; None where no line counts for it."""
    gives = rule["gives"]
    if gives["type"] == "fixed":
        return int(gives["points"])
    lines = lines_of(gives, o.body)
    if gives["type"] == "per_unit":
        return gives["points"] * sum(line["quantity"] for line in lines) if lines else None
    base = Fraction(o.base_minor)
    if gives.get("items"):
        if not lines:
            return None
        # A discount on the order as a whole is shared by its lines.
        listed = sum(line["amount_minor"] for line in o.body["items"])
        goods = o.base_minor
        if document.get("base_amount", {}).get("shipping", True):
            goods = max(goods - o.body.get("shipping_minor", 0), 0)
        base = Fraction(sum(line["amount_minor"] for line in lines))
        if listed > goods:
            base = Fraction(rounded(base * goods / listed, "half_up"))
    blocks = base / gives["per_minor"]
    if gives.get("whole_blocks"):
        blocks = Fraction(math.floor(blocks))
    return rounded(blocks * gives["points"], gives.get("rounding", "floor"))


# -- limits ------------------------------------------------------------------------------------------------


def what_fits(limit: Mapping[str, Any], points: int, used: tuple[int, int]) -> int:
    used_points, used_times = used
    if "times" in limit and used_times >= limit["times"]:
        return 0
    left = max(limit["points"] - used_points, 0) if "points" in limit else points
    if points > left:
        return left if limit.get("then", "reduce") == "reduce" else 0
    return points


def within_limits(rule: Mapping[str, Any], points: int, local: datetime, past: Past) -> int:
    for cap in rule.get("caps", []):
        used = (0, 0) if cap["per"] == "award" else past.given(rule["id"], cap["per"], local)
        points = what_fits(cap, points, used)
    if "budget" in rule:
        points = what_fits(rule["budget"], points, past.spent(rule["id"]))
    return points


# -- an award ----------------------------------------------------------------------------------------------


def expected(
    document: Mapping[str, Any],
    body: dict[str, Any],
    occurred_at: datetime,
    customer: Customer | None = None,
    past: Past | None = None,
) -> Expected:
    """Return what an activity is given under a document."""
    customer, past = customer or Customer(), past or NoPast()
    local = occurred_at.astimezone(ZoneInfo(document["timezone"]))
    o = Occasion(body, local, customer, base_of(document, body) if body["type"] == "purchase" else 0)
    answer = Expected()
    rules = []
    for rule in document["earn"]:
        if rule["activity"] != body["type"] or not is_on(rule, local):
            continue
        if "when" in rule and not CONDITIONS[rule["when"]](o):
            continue
        if rule["gives"]["type"] in BY_ITSELF and by_itself(rule, document, o) is None:
            continue
        turn = rule.get("occurrences", {})
        if "first" in turn and past.given(rule["id"], "life", local)[1] >= turn["first"]:
            continue
        if "every" in turn:
            answer.met.add(rule["id"])
            given = past.given(rule["id"], "life", local)[1]
            if (max(past.met(rule["id"]), given * turn["every"]) + 1) % turn["every"]:
                continue
        rules.append(rule)
    points = _stacked(rules, lambda each, so_far: _limited(each, document, o, so_far, past))
    answer.points = {rule["id"]: points[rule["id"]] for rule in rules if rule["id"] in points}
    _cut_by_program(answer.points, document, local, past)
    return answer


#: What a rule gives on top of others, before and after its own limits; None where it has nothing to work on.
Give = Callable[[Mapping[str, Any], Mapping[str, int]], tuple[int, int] | None]
BY_ITSELF = ("per_amount", "fixed", "per_unit")


def _stacked(rules: list[Mapping[str, Any]], give: Give) -> dict[str, int]:
    exclusive = [rule for rule in rules if rule.get("stacking") == "exclusive"]
    # The highest priority first; sorting keeps equals as the document lists them.
    for rule in sorted(exclusive, key=lambda each: -each.get("priority", 0)):
        raw, limited = give(rule, {}) or (0, 0)
        if limited or not raw:
            return {rule["id"]: limited}
    rules = [rule for rule in rules if rule not in exclusive]
    adding = [rule for rule in rules if rule.get("stacking", "add") == "add"]
    points = _all_of(BY_ITSELF, adding, give, {})
    best: tuple[int, int] | None = None
    for rule in rules:
        found = give(rule, points) if rule.get("stacking") == "best" else None
        rank = None if found is None else (found[1], rule.get("priority", 0))
        if rank is not None and (best is None or rank > best):
            best, its_id = rank, rule["id"]
    if best is not None:
        points[its_id] = best[0]
    points |= _all_of(("multiplier",), adding, give, points)
    for rule in sorted(adding, key=lambda each: each["gives"].get("points", 0)):
        points |= _all_of(("at_least",), [rule], give, points)
    return points


def _all_of(
    kinds: tuple[str, ...], rules: list[Mapping[str, Any]], give: Give, so_far: Mapping[str, int]
) -> dict[str, int]:
    found = {rule["id"]: give(rule, so_far) for rule in rules if rule["gives"]["type"] in kinds}
    return {rule_id: given[1] for rule_id, given in found.items() if given is not None}


def _limited(
    rule: Mapping[str, Any],
    document: Mapping[str, Any],
    o: Occasion,
    so_far: Mapping[str, int],
    past: Past,
) -> tuple[int, int] | None:
    raw = _raw(rule, document, o, so_far)
    return None if raw is None else (raw, within_limits(rule, raw, o.local, past))


def _raw(
    rule: Mapping[str, Any], document: Mapping[str, Any], o: Occasion, so_far: Mapping[str, int]
) -> int | None:
    gives = rule["gives"]
    if gives["type"] in BY_ITSELF:
        return by_itself(rule, document, o)
    if gives["type"] == "at_least":
        return max(gives["points"] - sum(so_far.values()), 0) or None
    of = gives.get("of") or [
        each["id"]
        for each in document["earn"]
        if each["activity"] == rule["activity"] and each["gives"]["type"] == "per_amount"
    ]
    # Twice the points are as many again on top.
    on_top = Fraction(
        sum(so_far.get(rule_id, 0) for rule_id in set(of)) * (gives["multiplier_pct"] - 100), 100
    )
    return rounded(on_top, gives.get("rounding", "floor")) or None


def _cut_by_program(points: dict[str, int], document: Mapping[str, Any], local: datetime, past: Past) -> None:
    for cap in document.get("caps", []):
        used = (0, 0) if cap["per"] == "award" else past.given(None, cap["per"], local)
        total = sum(points.values())
        excess = total - what_fits(cap, total, used)
        for rule_id in reversed(points):
            part = min(points[rule_id], excess)
            points[rule_id] -= part
            excess -= part
