"""What conditions may ask about an activity: facts by their dotted names, made only where a condition names them."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from rewards.ledger.state import Account

_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


class Occasion:
    """One activity of one customer, as rules see it."""

    __slots__ = ("account", "activity", "base_minor", "local", "occurred_at", "tier")

    def __init__(
        self,
        activity: Any,
        account: Account,
        occurred_at: datetime,
        base_minor: int,
        zone: ZoneInfo,
        tier: str = "",
    ) -> None:
        self.activity = activity
        self.account = account
        self.occurred_at = occurred_at
        self.base_minor = base_minor
        #: The tier that the customer is in when it is given points; empty for none.
        self.tier = tier
        #: The wall clock of the program's zone when it occurred.
        self.local = occurred_at.astimezone(zone)

    def facts(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the facts of these names."""
        return {name: _FACTS[name](self) for name in names}


def item_facts(item: Any) -> dict[str, Any]:
    """Return what a condition on a line may ask about it."""
    return {f"item.{name}": value for name, value in _of_item(item).items()}


def _of_item(item: Any) -> dict[str, Any]:
    return {
        "line_id": item.line_id,
        "sku": item.sku or "",
        "category": item.category or "",
        "quantity": item.quantity,
        "amount_minor": item.amount_minor,
        "attributes": item.attributes,
    }


def _items(occasion: Occasion) -> list[Mapping[str, Any]]:
    return [_of_item(item) for item in getattr(occasion.activity, "items", ())]


def _of_activity(name: str, default: Any) -> Callable[[Occasion], Any]:
    def fact(occasion: Occasion) -> Any:
        value = getattr(occasion.activity, name, None)
        return default if value is None else value

    return fact


def _name(occasion: Occasion) -> str:
    activity = occasion.activity
    for attribute in ("name", "survey_id", "subject"):
        named = getattr(activity, attribute, None)
        if named is not None:
            return str(named)
    return ""


def _days_between(earlier: datetime | None, occasion: Occasion, unknown: int) -> int:
    """Return whole calendar days in the program's zone, as people count them; none for what lies ahead."""
    if earlier is None:
        return unknown
    days = (occasion.local.date() - earlier.astimezone(occasion.local.tzinfo).date()).days
    return max(days, 0)


_FACTS: dict[str, Callable[[Occasion], Any]] = {
    "activity.type": lambda o: o.activity.type,
    "activity.name": _name,
    "activity.channel": _of_activity("channel", ""),
    "activity.attributes": _of_activity("attributes", {}),
    "order.total_minor": _of_activity("total_minor", 0),
    "order.base_minor": lambda o: o.base_minor,
    "order.discount_minor": _of_activity("discount_minor", 0),
    "order.tax_minor": _of_activity("tax_minor", 0),
    "order.shipping_minor": _of_activity("shipping_minor", 0),
    "order.units": lambda o: sum(item.quantity for item in getattr(o.activity, "items", ())),
    "order.items": _items,
    "survey.answers": _of_activity("answers", {}),
    "survey.comment": _of_activity("comment", ""),
    "customer.tier": lambda o: o.tier,
    "customer.tags": lambda o: list(o.account.tags),
    "customer.purchases": lambda o: o.account.purchases,
    "customer.is_first_purchase": lambda o: o.account.purchases == 0,
    "customer.spent_minor": lambda o: o.account.spent_minor,
    "customer.days_since_last_purchase": lambda o: _days_between(o.account.last_purchase_at, o, -1),
    "customer.days_since_joined": lambda o: _days_between(o.account.joined_at, o, 0),
    "time.year": lambda o: o.local.year,
    "time.month": lambda o: o.local.month,
    "time.day": lambda o: o.local.day,
    "time.hour": lambda o: o.local.hour,
    "time.minute": lambda o: o.local.minute,
    "time.weekday": lambda o: _WEEKDAYS[o.local.weekday()],
    "time.date": lambda o: o.local.date().isoformat(),
}

NAMES = frozenset(_FACTS)
