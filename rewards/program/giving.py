"""What each kind of `gives` gives: points, the money or lines they are for, and the sentence that says so. Pure."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rewards.core.errors import BalanceTooLarge
from rewards.core.money import format_minor
from rewards.program.rules import AtLeast, EarnRule, Fixed, Multiplier, PerAmount, PerUnit
from rewards.program.sections import LARGEST_INTEGER, Rounding

#: What a rule gives before caps and budgets: points, the base amount, a sentence, and how much each line weighs in
#: it (None where it is for the activity as a whole). A plain tuple, as one is made for every rule of every award.
Given = tuple[int, int, str, dict[str, int] | None]


class Setting(NamedTuple):
    """What a rule is given to work on: the activity, its base amount, and those lines that the rule counts."""

    activity: Any
    base_minor: int
    #: The part of the base amount that is goods; lines that sum to more were discounted as a whole.
    goods_minor: int = 0
    lines: Sequence[Any] | None = None
    #: Points of the rules that a multiplier multiplies, or of all so far for a floor.
    points: int = 0
    #: How much each line weighs in what is multiplied, where all of that is for lines.
    weights: dict[str, int] | None = None


Give = Callable[[Setting], Given]

_ROUNDED = {"floor": "", "half_up": ", rounded half up", "ceil": ", rounded up"}


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


def compile_gives(rule: EarnRule, currency: str) -> Give:
    """Return the function that works out what a rule gives."""
    match rule.gives:
        case PerAmount() as gives:
            return _per_amount(rule.id, gives, currency)
        case Fixed(points=points):
            return _fixed(points, rule.activity)
        case PerUnit() as gives:
            return _per_unit(rule.id, gives)
        case Multiplier() as gives:
            return _multiplier(rule.id, gives)
        case AtLeast(points=points):
            return _at_least(points)


def _per_amount(rule_id: str, gives: PerAmount, currency: str) -> Give:
    points_each, per_minor, rounding = gives.points, gives.per_minor, gives.rounding
    whole_blocks, round_down = gives.whole_blocks, rounding == "floor"
    block = f"{'whole ' if whole_blocks else ''}{format_minor(per_minor, currency)} {currency}"
    before = f"{count_points(points_each)} per {block} on "
    after = f" {currency}" + _ROUNDED[rounding]
    of_lines = gives.items is not None

    def give(setting: Setting) -> Given:
        base_minor, lines = setting.base_minor, None
        if of_lines:
            base_minor, lines = _base_of_lines(setting)
        if whole_blocks:
            points = base_minor // per_minor * points_each
        elif round_down:
            points = base_minor * points_each // per_minor
        else:
            points = divide(base_minor * points_each, per_minor, rounding)
        if points > LARGEST_INTEGER:
            raise _too_many(rule_id)
        text = before + format_minor(base_minor, currency) + after
        return points, base_minor, text + _in_lines(setting) if of_lines else text, lines

    return give


def _base_of_lines(setting: Setting) -> tuple[int, dict[str, int]]:
    """Return the counted lines' part of what earns, where a discount on the whole made that less than their sum."""
    counted = {line.line_id: line.amount_minor for line in setting.lines or ()}
    base_minor = sum(counted.values())
    listed = sum(line.amount_minor for line in setting.activity.items)
    if listed > setting.goods_minor:
        base_minor = divide(base_minor * setting.goods_minor, listed, "half_up")
    return base_minor, counted


def _in_lines(setting: Setting) -> str:
    count = len(setting.lines or ())
    return f" in {count} line{'' if count == 1 else 's'}"


def _per_unit(rule_id: str, gives: PerUnit) -> Give:
    points_each = gives.points

    def give(setting: Setting) -> Given:
        lines = {line.line_id: line.quantity for line in setting.lines or ()}
        units = sum(lines.values())
        if units * points_each > LARGEST_INTEGER:
            raise _too_many(rule_id)
        text = f"{count_points(points_each)} for each of {units} unit{'' if units == 1 else 's'}"
        return units * points_each, 0, text, lines

    return give


def _fixed(points: int, activity_type: str) -> Give:
    before = f"{count_points(points)} for "

    def give(setting: Setting) -> Given:
        # A custom activity says itself what it is.
        what = (
            getattr(setting.activity, "name", activity_type) if activity_type == "custom" else activity_type
        )
        return points, setting.base_minor, before + what, None

    return give


def _multiplier(rule_id: str, gives: Multiplier) -> Give:
    more_pct, rounding = gives.multiplier_pct - 100, gives.rounding
    before = f"{gives.multiplier_pct / 100:g} times "

    def give(setting: Setting) -> Given:
        points = divide(setting.points * more_pct, 100, rounding)
        if points > LARGEST_INTEGER:
            raise _too_many(rule_id)
        text = before + count_points(setting.points) + _ROUNDED[rounding]
        return points, 0, text, setting.weights

    return give


def _at_least(least: int) -> Give:
    text = f"up to {count_points(least)} in all, of which other rules give "

    def give(setting: Setting) -> Given:
        return max(least - setting.points, 0), 0, text + str(setting.points), None

    return give


def _too_many(rule_id: str) -> BalanceTooLarge:
    return BalanceTooLarge(
        f"Rule {rule_id!r} would give more than {LARGEST_INTEGER} points; check the amount"
    )
