"""What a condition may ask about, and how large it can be.

Sizes are what the API lets in, or somewhat more: they may grow later without making an accepted condition too costly.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

Scope = Literal["activity", "item", "ladder", "segment"]
Kind = Literal["text", "whole number", "true or false", "list of texts", "list of items", "map"]

MOST_ITEMS = 1000
"""Items of an order."""
MOST_ATTRIBUTES = 50
"""Attributes of an activity or an item; each is a text, a number, true, false or null."""
MOST_ANSWERS = 100
MOST_TAGS = 100
SHORT_TEXT = 255
"""Characters of a name, a tag, a category."""
LONG_TEXT = 1000
"""Characters of an attribute."""
LONG_ANSWER = 4000
MOST_COMMENT = 10_000

ITEM_FIELDS = ("line_id", "sku", "category", "quantity", "amount_minor", "attributes")
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@dataclass(frozen=True, slots=True)
class Variable:
    """One thing that a condition may ask about."""

    kind: Kind
    description: str
    activities: frozenset[str] | None = None
    """Types of activity for which it is known; None for all."""
    length: int = 1
    """The most characters of a text, or elements of a list or map."""
    inner: int = 1
    """The most characters or elements of anything inside a list or map."""
    lowest: int | None = None
    highest: int | None = None
    values: tuple[str, ...] | None = None
    """The only texts that it can be, where they are known."""


_PURCHASES = frozenset({"purchase"})
_SURVEYS = frozenset({"survey"})


def _text(description: str, **more: Any) -> Variable:
    return Variable("text", description, **({"length": SHORT_TEXT} | more))


def _number(description: str, lowest: int | None = 0, **more: Any) -> Variable:
    return Variable("whole number", description, lowest=lowest, **more)


def _map(description: str, length: int = MOST_ATTRIBUTES, **more: Any) -> Variable:
    return Variable("map", description, length=length, **({"inner": LONG_TEXT} | more))


VARIABLES: Mapping[str, Variable] = MappingProxyType(
    {
        "activity.type": _text("`'purchase'`, `'survey'`, `'custom'`, …: the rule's `activity`"),
        "activity.name": _text("a custom activity's name, a survey's id, what a review is about; else `''`"),
        "activity.channel": _text("where it happened, as the shop says it, such as `'app'`; else `''`"),
        "activity.attributes": _map("whatever else the shop sends along"),
        "order.total_minor": _number("what was paid, in minor units", activities=_PURCHASES),
        "order.base_minor": _number(
            "the part of it that earns, by the program's `base_amount`", None, activities=_PURCHASES
        ),
        "order.discount_minor": _number("what discounts took off", activities=_PURCHASES),
        "order.tax_minor": _number("tax in the total", activities=_PURCHASES),
        "order.shipping_minor": _number("shipping in the total", activities=_PURCHASES),
        "order.units": _number("the sum of the items' quantities", activities=_PURCHASES),
        "order.items": Variable(
            "list of items",
            f"the items, each with {', '.join(f'`{name}`' for name in ITEM_FIELDS)}",
            activities=_PURCHASES,
            length=MOST_ITEMS,
            inner=LONG_TEXT,
        ),
        "survey.answers": _map("the answers, by the question's id", activities=_SURVEYS, length=MOST_ANSWERS),
        "survey.comment": _text("the free comment; else `''`", activities=_SURVEYS, length=MOST_COMMENT),
        "customer.tier": _text("the customer's tier; else `''`"),
        "customer.tags": Variable("list of texts", "the customer's tags", length=MOST_TAGS, inner=SHORT_TEXT),
        "customer.purchases": _number("purchases before this activity that were not fully refunded"),
        "customer.is_first_purchase": Variable(
            "true or false", "whether no purchase came before this activity"
        ),
        "customer.spent_minor": _number(
            "what was spent before this activity, less refunds, in minor units", None
        ),
        "customer.days_since_last_purchase": _number("whole days; `-1` before the first purchase", -1),
        "customer.days_since_joined": _number("whole days; `0` at the first activity"),
        "time.year": _number("when it happened, in the program's time zone: the year", 1),
        "time.month": _number("`1` to `12`", 1, highest=12),
        "time.day": _number("day of the month, `1` to `31`", 1, highest=31),
        "time.hour": _number("`0` to `23`", highest=23),
        "time.minute": _number("`0` to `59`", highest=59),
        "time.weekday": _text("`'MO'`, `'TU'`, `'WE'`, `'TH'`, `'FR'`, `'SA'` or `'SU'`", values=WEEKDAYS),
        "time.date": _text("such as `'2026-11-20'`; dates compare as texts do"),
    }
)

ITEM_VARIABLES: Mapping[str, Variable] = MappingProxyType(
    {
        "item.line_id": _text("the line's id in the order"),
        "item.sku": _text("the shop's article number; else `''`"),
        "item.category": _text("the category; else `''`"),
        "item.quantity": _number("how many"),
        "item.amount_minor": _number("what was paid for the line, in minor units", None),
        "item.attributes": _map("whatever else the shop sends along for the line"),
    }
)


_OF_LADDER = (
    "customer.purchases",
    "customer.spent_minor",
    "customer.days_since_last_purchase",
    "customer.days_since_joined",
    "time.year",
    "time.month",
    "time.day",
    "time.weekday",
    "time.date",
)
#: What a way into a tier may ask. Tags are not among it: when the shop gave them is not kept, so that a standing
#: could not be worked out again from the customer's history.
LADDER_VARIABLES: Mapping[str, Variable] = MappingProxyType(
    {
        "qualifying.points": _number("qualifying points within the ladder's window", None),
        "qualifying.spend_minor": _number("what was spent within it, less refunds, in minor units", None),
        "qualifying.orders": _number("orders within it that were not fully refunded", None),
        "qualifying.referrals": _number("rewarded referrals within it", None),
        **{name: VARIABLES[name] for name in _OF_LADDER},
    }
)

#: What a segment may ask: what is known of a customer without any activity.
SEGMENT_VARIABLES: Mapping[str, Variable] = MappingProxyType(
    {name: VARIABLES[name] for name in ("customer.tier", "customer.tags", *_OF_LADDER)}
)


def variables_of(scope: Scope, activity: str | None = None) -> Mapping[str, Variable]:
    """Return what is known in a scope, for one type of activity or (None) for any."""
    if scope == "item":
        return ITEM_VARIABLES
    if scope == "ladder":
        return LADDER_VARIABLES
    if scope == "segment":
        return SEGMENT_VARIABLES
    return {
        name: variable
        for name, variable in VARIABLES.items()
        if activity is None or variable.activities is None or activity in variable.activities
    }


def samples(variables: Mapping[str, Variable], names: frozenset[str]) -> list[dict[str, Any]]:
    """Return facts to try a condition on: nothing, something, and the largest that the API lets in."""
    return [{name: _sample(variables[name], size) for name in names} for size in (0, 1, None)]


def _sample(variable: Variable, size: int | None) -> Any:
    length = variable.length if size is None else size
    match variable.kind:
        case "text":
            return variable.values[-1 if size is None else size] if variable.values else "x" * length
        case "whole number":
            return (
                10**15 if size is None and variable.highest is None else (variable.lowest or 0) + (size or 1)
            )
        case "true or false":
            return size != 0
        case "list of texts":
            return [f"{position:x<{variable.inner if size is None else 1}}" for position in range(length)]
        case "list of items":
            return [_sample_item(position) for position in range(length)]
        case "map":
            return {f"sample_{position}": "x" * min(variable.inner, 100) for position in range(length)}


def _sample_item(position: int) -> dict[str, Any]:
    return {
        "line_id": str(position),
        "sku": f"sku-{position}",
        "category": "sample",
        "quantity": 1 + position % 3,
        "amount_minor": 100 + position,
        "attributes": {"sample": "x"},
    }
