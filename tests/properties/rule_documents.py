"""Programs of many rules, and activities for them, as Hypothesis draws them: small numbers, so that limits bite."""

from typing import Any

from hypothesis import strategies as st
from rules_oracle import CONDITIONS, ITEM_CONDITIONS, OF_ANY

PERS = ["day", "week", "month", "year", "life"]
ROUNDINGS = st.sampled_from(["floor", "half_up", "ceil"])
THEN = st.sampled_from(["reduce", "reduce", "refuse"])
#: Each expiry outlives each of the pending periods, so that any two go together.
PENDING = ["P1D", "P14D", "PT1H"]
OWN_EXPIRY: list[dict[str, Any]] = [
    {"type": "never"},
    {"type": "after", "period": "P1M"},
    {"type": "after", "period": "P3M", "round_up_to": "month"},
    {"type": "dates", "dates": ["12-31", "06-30"], "minimum_life": "P1M"},
]
EXPIRY = [*OWN_EXPIRY, {"type": "inactivity", "period": "P6M"}, {"type": "never"}]


def maybe(what: st.SearchStrategy[Any], nones: int = 3) -> st.SearchStrategy[Any]:
    """What, or so many times as often None, which shrinking prefers."""
    return st.integers(0, nones).flatmap(lambda number: what if number == nones else st.none())


def _without_none(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}


def _some(keys: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


ITEMS = st.sampled_from([None, None, *ITEM_CONDITIONS])
PER_AMOUNT = st.builds(
    lambda whole, rounding, items, points, per_minor: _without_none(
        {
            "type": "per_amount",
            "points": points,
            "per_minor": per_minor,
            "whole_blocks": whole,
            "rounding": "floor" if whole else rounding,
            "items": items,
        }
    ),
    st.booleans(),
    ROUNDINGS,
    ITEMS,
    st.integers(1, 3),
    st.sampled_from([100, 1000, 70, 1]),
)
FIXED = st.builds(lambda points: {"type": "fixed", "points": points}, st.integers(1, 60))
PER_UNIT = st.builds(
    lambda points, items: _without_none({"type": "per_unit", "points": points, "items": items}),
    st.integers(1, 9),
    ITEMS,
)
AT_LEAST = st.builds(
    lambda points: {"type": "at_least", "points": points}, st.sampled_from([5, 20, 50, 100, 300])
)
MULTIPLIER = st.builds(
    lambda pct, rounding: {"type": "multiplier", "multiplier_pct": pct, "rounding": rounding},
    st.sampled_from([200, 150, 101, 333, 1000]),
    ROUNDINGS,
)
POINTS = st.sampled_from([100, 20, 50, 1, 250])
MEASURE = st.one_of(
    st.builds(lambda points: {"points": points}, POINTS),
    st.builds(lambda times: {"times": times}, st.integers(1, 3)),
)
CAP = st.one_of(
    st.builds(
        lambda per, measure, then: {"per": per, **measure, "then": then}, st.sampled_from(PERS), MEASURE, THEN
    ),
    st.builds(lambda points, then: {"per": "award", "points": points, "then": then}, POINTS, THEN),
)
CAPS = st.lists(CAP, max_size=3)
BUDGET = st.builds(
    lambda points, times, then: _without_none({"points": points, "times": times, "then": then}),
    st.sampled_from([100, 30, 300]),
    st.sampled_from([None, 1, 2, 3]),
    THEN,
)
OCCURRENCES = st.one_of(
    st.builds(lambda first: {"first": first}, st.integers(1, 3)),
    st.builds(lambda every: {"every": every}, st.integers(2, 3)),
)
WINDOW = _some(
    {
        "days": st.lists(st.sampled_from(["MO", "FR", "SA", "SU"]), min_size=1, max_size=3),
        "month_days": st.lists(st.sampled_from([1, -1, 30, 31, -31, 2]), min_size=1, max_size=3),
        "months": st.lists(st.sampled_from([10, 11, 12, 1]), min_size=1, max_size=3),
        "from": st.sampled_from(["00:00", "08:00", "17:30", "23:59"]),
        "until": st.sampled_from(["24:00", "23:00", "07:00", "00:01"]),
    }
)
ACTIVE = st.sampled_from(
    [
        {"from": "2026-11-01"},
        {"until": "2026-11-15"},
        {"from": "2026-10-20T18:00", "until": "2026-12-01"},
        {"until": "2026-12-31T23:59:59"},
    ]
)


@st.composite
def rules(draw: st.DrawFn, rule_id: str) -> dict[str, Any]:
    activity = draw(st.sampled_from(["purchase"] * 5 + ["custom", "signup"]))
    of_purchases = [PER_AMOUNT, PER_AMOUNT, PER_UNIT, MULTIPLIER] if activity == "purchase" else []
    gives = draw(st.one_of(*of_purchases, FIXED, AT_LEAST))
    stackings = ["add"] * 7 + ["best", "best", "exclusive"]
    if gives["type"] == "multiplier":
        stackings.remove("exclusive")
    when = list(CONDITIONS) if activity == "purchase" else OF_ANY
    rule = {
        "id": rule_id,
        "activity": activity,
        "gives": gives,
        "when": draw(maybe(st.sampled_from(when), 4)),
        "active": draw(maybe(ACTIVE, 7)),
        "windows": draw(maybe(st.lists(WINDOW, min_size=1, max_size=2), 7)),
        "priority": draw(st.integers(0, 2)),
        "stacking": draw(st.sampled_from(stackings)),
        "caps": draw(maybe(CAPS, 1)),
        "occurrences": draw(maybe(OCCURRENCES)),
        "budget": draw(maybe(BUDGET)),
        "pending": draw(maybe(st.sampled_from(PENDING))),
        "expiry": draw(maybe(st.sampled_from(OWN_EXPIRY), 1)),
    }
    return _without_none(rule)


@st.composite
def documents(draw: st.DrawFn, most_rules: int = 6) -> dict[str, Any]:
    """A valid document. Rules of different versions share their ids, so that their counts go on."""
    earn = [draw(rules(f"r{number}")) for number in range(draw(st.integers(2, most_rules)))]
    bases = [
        each["id"]
        for each in earn
        if each["activity"] == "purchase" and each["gives"]["type"] not in ("multiplier", "at_least")
    ]
    by_amount = [each["id"] for each in earn if each["gives"]["type"] == "per_amount"]
    for each in earn:
        if each["gives"]["type"] != "multiplier":
            continue
        if bases and (not by_amount or draw(st.booleans())):
            each["gives"] = each["gives"] | {
                "of": draw(st.lists(st.sampled_from(bases), min_size=1, max_size=3))
            }
        elif not by_amount:
            each["gives"] = {"type": "fixed", "points": 5}
    return {
        "schema_version": 1,
        "name": "Test",
        "currency": "USD",
        "timezone": draw(st.sampled_from(["UTC", "Europe/London", "Asia/Tokyo"])),
        "base_amount": draw(
            _some({part: st.booleans() for part in ("discount", "tax", "shipping", "points")})
        ),
        "earn": earn,
        "caps": draw(maybe(CAPS, 1)) or [],
        "points": _without_none(
            {
                "pending": draw(maybe(st.sampled_from(PENDING))),
                "expiry": draw(st.sampled_from(EXPIRY)),
                "negative_balance": draw(st.sampled_from(["allow", "allow", "clamp"])),
            }
        ),
        "refunds": {"rounding": draw(ROUNDINGS)},
    }


AMOUNTS = st.one_of(st.sampled_from([0, 1, 99, 1000, 5000, 12_345]), st.integers(0, 20_000))
LINE = st.fixed_dictionaries(
    {
        "quantity": st.sampled_from([1, 1, 2, 3, 7]),
        "amount_minor": st.sampled_from([0, 1, 100, 999, 1000, 3000]),
    },
    optional={
        "category": st.sampled_from(["drinks", "food"]),
        "attributes": st.sampled_from([{}, {"organic": True}, {"organic": "yes"}]),
    },
)


@st.composite
def purchases(draw: st.DrawFn) -> dict[str, Any]:
    """A purchase without its order's id. Its lines sum to less, as much, or more than what was paid."""
    lines = draw(st.lists(LINE, max_size=4))
    items = [{"line_id": str(number), **line} for number, line in enumerate(lines)]
    tax, shipping = draw(st.sampled_from([(0, 0), (0, 0), (17, 5), (16, 0), (0, 300)]))
    listed = sum(item["amount_minor"] for item in items)
    total = (
        draw(AMOUNTS)
        if not items
        else draw(st.sampled_from([listed, listed + shipping, listed // 2, 0, 7000]))
    )
    total = max(total, tax + shipping)
    body = {
        "type": "purchase",
        "total_minor": total,
        "currency": "USD",
        "discount_minor": draw(st.sampled_from([0, 0, 500])),
        "tax_minor": tax,
        "shipping_minor": shipping,
        "points_minor": draw(st.sampled_from([0, 0, total // 3])),
        "items": items,
        "channel": draw(st.sampled_from([None, "app"])),
        "attributes": draw(st.sampled_from([{}, {"gift": True}, {"gift": 1}])),
    }
    return _without_none(body)
