import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_programs import program, rule

from rewards.core.errors import BalanceTooLarge
from rewards.ledger.state import Grant
from rewards.program.earning import earn
from rewards.program.plans import base_amount_minor


@dataclass
class Purchase:
    total_minor: int
    discount_minor: int = 0
    tax_minor: int = 0
    shipping_minor: int = 0
    type: str = "purchase"


@dataclass
class Other:
    type: str
    name: str = ""


def rounded(exact: Fraction, rounding: str) -> int:
    """The definition that the engine's integer arithmetic is held against."""
    if rounding == "half_up":
        return math.floor(exact + Fraction(1, 2))
    return math.ceil(exact) if rounding == "ceil" else math.floor(exact)


@pytest.mark.parametrize(
    ("gives", "total_minor", "points", "text"),
    [
        ({"points": 1, "per_minor": 100}, 4999, 49, "1 point per 1.00 GBP on 49.99 GBP"),
        ({"points": 1, "per_minor": 100}, 99, 0, "1 point per 1.00 GBP on 0.99 GBP"),
        ({"points": 1, "per_minor": 100}, 0, 0, "1 point per 1.00 GBP on 0.00 GBP"),
        ({"points": 10, "per_minor": 1000}, 4999, 49, "10 points per 10.00 GBP on 49.99 GBP"),
        (
            {"points": 10, "per_minor": 1000, "whole_blocks": True},
            4999,
            40,
            "10 points per whole 10.00 GBP on 49.99 GBP",
        ),
        (
            {"points": 1, "per_minor": 100, "rounding": "half_up"},
            4950,
            50,
            "1 point per 1.00 GBP on 49.50 GBP, rounded half up",
        ),
        ({"points": 1, "per_minor": 100, "rounding": "half_up"}, 4949, 49, None),
        (
            {"points": 1, "per_minor": 100, "rounding": "ceil"},
            4901,
            50,
            "1 point per 1.00 GBP on 49.01 GBP, rounded up",
        ),
        ({"points": 1, "per_minor": 100, "rounding": "ceil"}, 4900, 49, None),
        ({"points": 3, "per_minor": 7}, 2**53, 2**53 * 3 // 7, None),
    ],
)
def test_points_per_amount(gives: dict[str, Any], total_minor: int, points: int, text: str | None) -> None:
    (grant,) = earn(program(earn=[rule(type="per_amount", **gives)]), Purchase(total_minor)).grants
    assert grant == Grant("base", None, points, total_minor, text or grant.text)


@pytest.mark.parametrize(
    ("currency", "per_minor", "text"),
    [("JPY", 100, "1 point per 100 JPY on 4999 JPY"), ("KWD", 1000, "1 point per 1.000 KWD on 4.999 KWD")],
)
def test_texts_count_decimals_as_the_currency_does(currency: str, per_minor: int, text: str) -> None:
    document = program(currency=currency, earn=[rule(type="per_amount", points=1, per_minor=per_minor)])
    assert earn(document, Purchase(4999)).grants[0].text == text


@pytest.mark.parametrize(
    ("parts", "base"),
    [
        ({}, 10_000),
        ({"tax": False}, 8_000),
        ({"shipping": False}, 9_500),
        ({"discount": True}, 11_000),
        ({"tax": False, "shipping": False}, 7_500),
        ({"tax": False, "shipping": False, "discount": True}, 8_500),
    ],
)
def test_what_the_base_amount_includes(parts: dict[str, bool], base: int) -> None:
    purchase = Purchase(10_000, discount_minor=1_000, tax_minor=2_000, shipping_minor=500)
    document = program(base_amount=parts)
    assert base_amount_minor(document, purchase) == base
    (grant,) = earn(document, purchase).grants
    assert (grant.base_minor, grant.points) == (base, base // 100)


def test_the_base_amount_is_never_negative() -> None:
    document = program(base_amount={"tax": False, "shipping": False})
    (grant,) = earn(document, Purchase(1_000, tax_minor=800, shipping_minor=500)).grants
    assert (grant.base_minor, grant.points) == (0, 0)


@pytest.mark.parametrize(
    ("activity", "points", "text"),
    [
        (Other("signup"), 100, "100 points for signup"),
        (Other("survey"), 1, "1 point for survey"),
        (Other("review"), 1, "1 point for review"),
        (Other("referral"), 1, "1 point for referral"),
        (Other("custom", "app-install"), 1, "1 point for app-install"),
    ],
)
def test_fixed_points(activity: Other, points: int, text: str) -> None:
    document = program(earn=[rule("bonus", activity.type, type="fixed", points=points)])
    assert earn(document, activity).grants == [Grant("bonus", None, points, 0, text)]


def test_rules_of_the_activitys_type_add_up_in_their_order() -> None:
    document = program(
        earn=[
            rule("welcome", "signup", type="fixed", points=5),
            rule("thanks", type="fixed", points=10),
            rule("base", type="per_amount", points=1, per_minor=100),
        ]
    )
    grants = earn(document, Purchase(4999)).grants
    assert [(grant.rule_id, grant.points, grant.text) for grant in grants] == [
        ("thanks", 10, "10 points for purchase"),
        ("base", 49, "1 point per 1.00 GBP on 49.99 GBP"),
    ]
    assert earn(document, Other("review")).grants == []
    assert earn(program(earn=[]), Purchase(4999)).grants == []


def test_more_points_than_can_be_kept_are_refused() -> None:
    document = program(earn=[rule(type="per_amount", points=2, per_minor=1)])
    assert earn(document, Purchase(2**52)).grants[0].points == 2**53
    with pytest.raises(BalanceTooLarge, match="Rule 'base' would give more than 9007199254740992 points"):
        earn(document, Purchase(2**52 + 1))


@given(
    st.integers(0, 10**9),
    st.integers(1, 1_000),
    st.integers(1, 100_000),
    st.sampled_from(["floor", "half_up", "ceil"]),
)
def test_rounding_is_exact(
    total_minor: int, points: int, per_minor: int, rounding: Literal["floor", "half_up", "ceil"]
) -> None:
    document = program(earn=[rule(type="per_amount", points=points, per_minor=per_minor, rounding=rounding)])
    (grant,) = earn(document, Purchase(total_minor)).grants
    assert grant.points == rounded(Fraction(total_minor * points, per_minor), rounding)


@given(st.integers(0, 10**9), st.integers(1, 1_000), st.integers(1, 100_000))
def test_whole_blocks_are_counted_before_they_are_multiplied(
    total_minor: int, points: int, per_minor: int
) -> None:
    document = program(earn=[rule(type="per_amount", points=points, per_minor=per_minor, whole_blocks=True)])
    (grant,) = earn(document, Purchase(total_minor)).grants
    assert grant.points == math.floor(Fraction(total_minor, per_minor)) * points


def test_of_two_floors_the_higher_gives_what_the_lower_lacks() -> None:
    rules = [rule("low", type="at_least", points=20), rule("high", type="at_least", points=50)]
    for earn_rules in (rules, rules[::-1]):
        points = {each.rule_id: each.points for each in earn(program(earn=earn_rules), Purchase(100)).grants}
        assert points == {"low": 20, "high": 30}
