"""What a ladder may not say, and where the message points."""

from typing import Any

import pytest

from rewards.program.document import ProgramDocument
from rewards.program.loading import ProgramInvalid, parse_document

BRONZE = {"id": "bronze", "name": "Bronze"}
SILVER: dict[str, Any] = {"id": "silver", "name": "Silver", "ways_in": [{"orders": 2}]}
GRACEFUL = {"lasts": {"type": "while_qualified"}, "downgrade": {"to": "one_lower", "grace": "P1M"}}


def _data(ladder: Any, **others: Any) -> dict[str, Any]:
    data = {"schema_version": 1, "name": "Tea Club", "currency": "GBP", "timezone": "Europe/London"}
    return {**data, "ladder": ladder, **others}


def _silver(**parts: Any) -> dict[str, Any]:
    return {"tiers": [BRONZE, {**SILVER, **parts}]}


def _way(**parts: Any) -> dict[str, Any]:
    return _silver(ways_in=[{"orders": 1}, parts])


def _refusals(ladder: Any, **others: Any) -> list[tuple[str, str]]:
    with pytest.raises(ProgramInvalid) as caught:
        parse_document(_data(ladder, **others))
    return [(error.path, error.message) for error in caught.value.errors]


REFUSED: list[tuple[Any, str, str]] = [
    ({}, "ladder.tiers", "is required"),
    ({"tiers": []}, "ladder.tiers", "must have at least 1"),
    ({"tiers": [BRONZE], "steps": 1}, "ladder.steps", "unknown field"),
    ({"tiers": [{"id": "bronze"}]}, "ladder.tiers[0].name", "is required"),
    ({"tiers": [{**BRONZE, "id": "Bronze tier"}]}, "ladder.tiers[0].id", "is not an id"),
    (
        {"tiers": [BRONZE, {**SILVER, "id": "bronze"}]},
        "ladder.tiers[1].id",
        "another tier has the id 'bronze'",
    ),
    (
        {"tiers": [BRONZE, {"id": "silver", "name": "Silver"}]},
        "ladder.tiers[1].ways_in",
        "everyone would be in it",
    ),
    (
        {"tiers": [{**BRONZE, "invitation_only": True}]},
        "ladder.tiers[0].invitation_only",
        "the first tier is where customers begin",
    ),
    (_silver(invitation_only=True), "ladder.tiers[1].ways_in", "an invitation-only tier has no ways in"),
    (_silver(earn_multiplier_pct=99), "ladder.tiers[1].earn_multiplier_pct", "must be at least 100"),
    (_silver(redemption_value_pct=1.5), "ladder.tiers[1].redemption_value_pct", "whole number"),
    (_silver(needs="some"), "ladder.tiers[1].needs", "any"),
    (
        _silver(perks=[{"id": "a", "name": "A"}, {"id": "a", "name": "B"}]),
        "ladder.tiers[1].perks[1].id",
        "another perk has the id 'a'",
    ),
    (
        _way(),
        "ladder.tiers[1].ways_in[1]",
        "give exactly one of points, spend_minor, orders, referrals or when",
    ),
    (_way(orders=1, points=5), "ladder.tiers[1].ways_in[1]", "give exactly one of"),
    (_way(orders=0), "ladder.tiers[1].ways_in[1].orders", "must be at least 1"),
    (_way(spend_minor=10.5), "ladder.tiers[1].ways_in[1].spend_minor", "whole number"),
    (
        _way(when="qualifying.orders > 1", window={"type": "lifetime"}),
        "ladder.tiers[1].ways_in[1].window",
        "a condition is over the ladder's window",
    ),
    (
        _way(orders=1, window={"type": "rolling", "period": "P0D"}),
        "ladder.tiers[1].ways_in[1].window.period",
        "is no time at all",
    ),
    ({**_silver(), "window": {"type": "weekly"}}, "ladder.window.type", "weekly"),
    ({**_silver(), "window": {"type": "rolling"}}, "ladder.window.period", "is required"),
    (
        {**_silver(), "window": {"type": "rolling", "period": "PT24H"}},
        "ladder.window.period",
        "PT24H has hours; standings change at midnight",
    ),
    ({**_silver(), "window": {"type": "dates", "dates": []}}, "ladder.window.dates", "at least 1"),
    (
        {**_silver(), "window": {"type": "dates", "dates": ["04-01", "04-01"]}},
        "ladder.window.dates[1]",
        "04-01 is listed twice",
    ),
    (
        {**_silver(), "window": {"type": "dates", "dates": ["04-31"]}},
        "ladder.window.dates[0]",
        "not a day of the year: '04-31'",
    ),
    ({**_silver(), "lasts": {"type": "period_end"}}, "ladder.lasts.type", "has no periods that end"),
    (
        {**_silver(), "lasts": {"type": "after", "period": "P1DT1H"}},
        "ladder.lasts.period",
        "P1DT1H has hours",
    ),
    (
        {**_silver(), "lasts": {"type": "after", "period": "P0D"}},
        "ladder.lasts.period",
        "is no time at all",
    ),
    (
        {**_silver(), "upgrade": "period_end"},
        "ladder.upgrade",
        "has no periods that end; use a window of calendar",
    ),
    (
        {
            **_silver(),
            "window": {"type": "calendar"},
            "lasts": {"type": "while_qualified"},
            "upgrade": "period_end",
        },
        "ladder.upgrade",
        "would be lost at once",
    ),
    ({**_silver(), "downgrade": {"to": "lower"}}, "ladder.downgrade.to", "one_lower"),
    ({**_silver(), "downgrade": {"grace": "PT1H"}}, "ladder.downgrade.grace", "PT1H has hours"),
    (
        {**_silver(), "downgrade": {"round_up_to": "month"}},
        "ladder.downgrade.round_up_to",
        "there is no grace to round up",
    ),
    (
        {**_silver(), **GRACEFUL, "downgrade": {"to": "one_lower"}},
        "ladder.downgrade.grace",
        "how long each tier on the way down is kept",
    ),
    ({**_silver(), "refunds": "ignore"}, "ladder.refunds", "lower"),
    ({**_silver(), "edits": "freeze"}, "ladder.edits", "requalify"),
]


@pytest.mark.parametrize(("ladder", "path", "message"), REFUSED, ids=lambda part: str(part)[-60:])
def test_a_refusal_points_at_the_place(ladder: Any, path: str, message: str) -> None:
    ((found, said),) = _refusals(ladder)
    assert found == path
    assert message in said


@pytest.mark.parametrize("lasts", [{"type": "period_end"}, {"type": "for_ever"}])
def test_a_wrong_window_is_told_of_once(lasts: dict[str, Any]) -> None:
    """Not also that it has no periods, which nobody can know."""
    ladder = {
        **_silver(),
        "window": {"type": "calendar", "unit": "week"},
        "lasts": lasts,
        "upgrade": "period_end",
    }
    assert [path for path, _ in _refusals(ladder)] == ["ladder.window.unit"]


@pytest.mark.parametrize(
    "parts",
    [
        {"pending": "P60D"},
        {"expiry": {"type": "after", "period": "P10D"}},
    ],
)
def test_the_points_of_a_tier_must_be_able_to_live(parts: dict[str, Any]) -> None:
    points = {"pending": "P14D", "expiry": {"type": "after", "period": "P30D"}}
    ((path, _),) = _refusals(_silver(**parts), points=points)
    assert path == f"ladder.tiers[1].{next(iter(parts))}"


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("qualifying.order >= 1", "qualifying.order"),
        ("customer.tags.exists(t, t == 'vip')", "customer.tags is not known to a way into a tier"),
        ("customer.tier == 'gold'", "customer.tier is not known to a way into a tier"),
        ("order.total_minor > 5", "order.total_minor is not known to a way into a tier"),
        ("qualifying.orders", "true or false"),
        ("qualifying.orders = 1", "compare with =="),
    ],
)
def test_a_condition_is_checked_where_it_stands(when: str, message: str) -> None:
    ((path, said),) = _refusals(_way(when=when))
    assert path == "ladder.tiers[1].ways_in[1].when"
    assert message in said


def test_what_is_left_out_has_its_documented_default() -> None:
    ladder = ProgramDocument.model_validate(_data({"tiers": [BRONZE]})).ladder
    assert ladder is not None
    dumped = ladder.model_dump(mode="json", exclude={"tiers"})
    assert dumped == {
        "window": {"type": "lifetime"},
        "lasts": {"type": "for_ever"},
        "upgrade": "at_once",
        "counts_from": "next_activity",
        "downgrade": {"to": "qualified", "grace": None, "round_up_to": None},
        "refunds": "lower",
        "edits": "requalify",
        "notice": "P30D",
    }
    assert ProgramDocument.model_validate(_data(None)).ladder is None
    assert ladder.tier("bronze") is ladder.tiers[0]
    assert ladder.tier("gold") is None
    assert ladder.tier(None) is None
