"""What an activity earns under a document: which rule gives how many points, on what base, said in words.

Pure and quick: rules are compiled once per document. Rounding happens once per rule, on the rule's total.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from rewards.core.errors import BalanceTooLarge
from rewards.core.money import format_minor
from rewards.ledger.state import Grant
from rewards.program.compiled import ByIdentity
from rewards.program.document import LARGEST_INTEGER, EarnRule, Fixed, PerAmount, ProgramDocument, Rounding


class Activity(Protocol):
    """An activity as the contract has it. Only a purchase has amounts, only a custom activity has a name."""

    type: Any


class Purchase(Activity, Protocol):
    """The amounts of a purchase, in minor units of the program's currency."""

    total_minor: int
    discount_minor: int
    tax_minor: int
    shipping_minor: int


def earn(document: ProgramDocument, activity: Activity) -> list[Grant]:
    """Return what ``activity`` earns under ``document``, in the order of the document's rules.

    The caller has checked that a purchase is in the document's currency.

    Raises:
        BalanceTooLarge: a rule would give more than 2^53 points.
    """
    return _earning(document).grants(activity)


def base_amount_minor(document: ProgramDocument, purchase: Purchase) -> int:
    """Return the part of a purchase that earns, in minor units; never negative."""
    base = purchase.total_minor
    parts = document.base_amount
    if parts.discount:
        base += purchase.discount_minor
    if not parts.tax:
        base -= purchase.tax_minor
    if not parts.shipping:
        base -= purchase.shipping_minor
    return max(base, 0)


def divide(numerator: int, denominator: int, rounding: Rounding) -> int:
    """Divide two integers, neither negative, and round to a whole number."""
    if rounding == "floor":
        return numerator // denominator
    if rounding == "ceil":
        return -(-numerator // denominator)
    return (2 * numerator + denominator) // (2 * denominator)


def count_points(points: int) -> str:
    """Write a number of points: ``1 point``, ``100 points``."""
    return "1 point" if points == 1 else f"{points} points"


_Rule = Callable[[Activity, int], Grant]


class _Earning:
    """A document's rules by type of activity, each ready to be given an activity and its base amount."""

    __slots__ = ("_document", "_rules")

    def __init__(self, document: ProgramDocument) -> None:
        self._document = document
        by_type: dict[str, list[_Rule]] = {}
        for rule in document.earn:
            by_type.setdefault(rule.activity, []).append(_compile(rule, document.currency))
        self._rules: Mapping[str, list[_Rule]] = by_type

    def grants(self, activity: Activity) -> list[Grant]:
        rules = self._rules.get(activity.type)
        if rules is None:
            return []
        base = base_amount_minor(self._document, activity) if activity.type == "purchase" else 0  # type: ignore[arg-type]
        return [rule(activity, base) for rule in rules]


def _compile(rule: EarnRule, currency: str) -> _Rule:
    match rule.gives:
        case PerAmount() as gives:
            return _per_amount(rule.id, gives, currency)
        case Fixed(points=points):
            return _fixed(rule.id, points, rule.activity)


def _per_amount(rule_id: str, gives: PerAmount, currency: str) -> _Rule:
    points_each, per_minor, rounding = gives.points, gives.per_minor, gives.rounding
    whole_blocks, round_down = gives.whole_blocks, rounding == "floor"
    block = f"{'whole ' if whole_blocks else ''}{format_minor(per_minor, currency)} {currency}"
    before = f"{count_points(points_each)} per {block} on "
    after = f" {currency}" + {"floor": "", "half_up": ", rounded half up", "ceil": ", rounded up"}[rounding]

    def apply(_: Activity, base_minor: int) -> Grant:
        if whole_blocks:
            points = base_minor // per_minor * points_each
        elif round_down:
            points = base_minor * points_each // per_minor
        else:
            points = divide(base_minor * points_each, per_minor, rounding)
        if points > LARGEST_INTEGER:
            raise BalanceTooLarge(
                f"Rule {rule_id!r} would give more than {LARGEST_INTEGER} points; check the amount"
            )
        return Grant(rule_id, None, points, base_minor, before + format_minor(base_minor, currency) + after)

    return apply


def _fixed(rule_id: str, points: int, activity_type: str) -> _Rule:
    before = f"{count_points(points)} for "

    def apply(activity: Activity, base_minor: int) -> Grant:
        # A custom activity says itself what it is.
        what = getattr(activity, "name", activity_type) if activity_type == "custom" else activity_type
        return Grant(rule_id, None, points, base_minor, before + what)

    return apply


_earning = ByIdentity(_Earning)
