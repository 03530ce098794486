"""The program in sentences for customers."""

from typing import Any

import pytest

from api.pages.program_text import how_it_works
from rewards.program.document import ProgramDocument


def told(heading: str, **sections: Any) -> str:
    data = {"schema_version": 1, "name": "Tea Club", "currency": "GBP", "timezone": "UTC", **sections}
    rules = dict(how_it_works(ProgramDocument.model_validate(data)))
    return " ".join(rules[heading]).replace("\N{NO-BREAK SPACE}", " ")


def gives(activity: str, **what: Any) -> dict[str, Any]:
    return {"id": f"{activity}-rule", "activity": activity, "gives": what}


def test_earning_lists_every_way() -> None:
    per_pound = gives("purchase", type="per_amount", points=1, per_minor=100)
    assert told("Earning", earn=[per_pound]) == "You get 1 point for every £1 you spend."
    ways = [per_pound, gives("signup", type="fixed", points=200), gives("survey", type="fixed", points=50)]
    assert (
        told("Earning", earn=ways)
        == "You get 1 point for every £1 you spend, 200 points for joining and 50 points for answering a survey."
    )
    named = {**gives("custom", type="fixed", points=5), "name": "installing the app"}
    assert told("Earning", earn=[named]) == "You get 5 points for installing the app."


def test_earning_says_what_does_not_count() -> None:
    blocks = gives("purchase", type="per_amount", points=10, per_minor=1050, whole_blocks=True)
    assert (
        told("Earning", earn=[blocks], base_amount={"tax": False, "shipping": False})
        == "You get 10 points for every full £10.50 you spend. What you pay for tax and delivery does not count."
    )
    fixed = gives("purchase", type="fixed", points=1)
    assert told("Earning", earn=[fixed], base_amount={"tax": False}) == "You get 1 point for every order."


def test_a_program_without_rules_says_so() -> None:
    assert told("Earning") == "There is nothing to earn points with at the moment."


@pytest.mark.parametrize(
    ("policy", "sentences"),
    [
        ({}, "100 points are worth £1."),
        ({"points": 3, "value_minor": 7}, "3 points are worth £0.07."),
        ({"points": 1, "value_minor": 100}, "1 point is worth £1."),
        ({"minimum_points": 500}, "100 points are worth £1. You can spend 500 points or more at once."),
        ({"step_points": 50}, "100 points are worth £1. You can spend them in steps of 50."),
        (
            {"minimum_points": 500, "step_points": 100, "max_order_share_pct": 50},
            (
                "100 points are worth £1. You can spend 500 points or more at once, in steps of 100."
                " They pay for up to 50% of an order."
            ),
        ),
    ],
)
def test_spending(policy: dict[str, Any], sentences: str) -> None:
    assert told("Spending", redemption=policy) == sentences


@pytest.mark.parametrize(
    ("points", "sentences"),
    [
        ({}, "Points never expire."),
        (
            {"pending": "P14D", "expiry": {"type": "after", "period": "P12M", "round_up_to": "month"}},
            "New points are ready to spend after 14 days. Points last 12 months, and then to the end of that month.",
        ),
        (
            {"pending": "PT1H30M"},
            "New points are ready to spend after 1 hour and 30 minutes. Points never expire.",
        ),
        ({"expiry": {"type": "after", "period": "P2Y"}}, "Points last 2 years."),
        ({"expiry": {"type": "after", "period": "P1Y6M"}}, "Points last 18 months."),
        (
            {"expiry": {"type": "dates", "dates": ["12-31", "06-30"], "minimum_life": "P6M"}},
            "Points expire at the end of 30 June and 31 December, but never before they are 6 months old.",
        ),
        ({"expiry": {"type": "dates", "dates": ["02-29"]}}, "Points expire at the end of February."),
        (
            {"expiry": {"type": "inactivity", "period": "P12M"}},
            "Points last as long as you earn or spend some every 12 months.",
        ),
        (
            {"expiry": {"type": "inactivity", "period": "P1M"}},
            "Points last as long as you earn or spend some every month.",
        ),
    ],
)
def test_keeping(points: dict[str, Any], sentences: str) -> None:
    assert told("Keeping", points=points) == sentences


def test_returns_say_what_becomes_of_spent_points() -> None:
    assert told("Returns").endswith("If you have spent them by then, the next ones you earn make up for it.")
    clamped = told("Returns", points={"negative_balance": "clamp"})
    assert clamped.endswith("If you have spent them by then, they are yours to keep.")
