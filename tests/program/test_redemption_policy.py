from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.program.document import RedemptionPolicy
from rewards.program.redemption import (
    is_a_step,
    is_below_minimum,
    max_points_for_order,
    redeemable,
    value_minor,
)


def policy(**fields: Any) -> RedemptionPolicy:
    return RedemptionPolicy.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "points", "worth_minor"),
    [
        ({}, 500, 500),
        ({"points": 100, "value_minor": 500}, 250, 1250),
        ({"points": 100, "value_minor": 1}, 199, 1),
        ({"points": 100, "value_minor": 1}, 99, 0),
        ({"points": 3, "value_minor": 2}, 2**53, 2**54 // 3),
    ],
)
def test_worth_is_rounded_down(fields: dict[str, int], points: int, worth_minor: int) -> None:
    assert value_minor(policy(**fields), points) == worth_minor


def test_minimum_and_step() -> None:
    rules = policy(minimum_points=200, step_points=50)
    assert is_below_minimum(rules, 199)
    assert not is_below_minimum(rules, 200)
    assert is_a_step(rules, 250)
    assert not is_a_step(rules, 225)
    assert [redeemable(rules, points) for points in (0, 199, 200, 249, 250, 10_049)] == [
        0,
        0,
        200,
        200,
        250,
        10_000,
    ]


@pytest.mark.parametrize(
    ("fields", "order_total_minor", "most"),
    [
        ({}, 4999, None),
        ({"max_order_share_pct": 50}, 4999, 2499),
        ({"max_order_share_pct": 100}, 4999, 4999),
        ({"max_order_share_pct": 20, "step_points": 100}, 4999, 900),
        ({"max_order_share_pct": 20, "minimum_points": 1000}, 4999, 0),
        ({"max_order_share_pct": 50, "points": 100, "value_minor": 500}, 4999, 499),
        # 24 yen may be paid: 2,400 points pay just that, 2,499 would pay no more
        ({"max_order_share_pct": 50, "points": 100, "value_minor": 1}, 49, 2400),
        ({"max_order_share_pct": 50}, 0, 0),
    ],
)
def test_the_share_of_an_order_that_points_may_pay(
    fields: dict[str, int], order_total_minor: int, most: int | None
) -> None:
    assert max_points_for_order(policy(**fields), order_total_minor) == most


@given(
    st.integers(1, 1000),
    st.integers(1, 1000),
    st.integers(1, 500),
    st.integers(1, 50),
    st.integers(1, 100),
    st.integers(0, 100_000),
)
def test_the_most_is_what_every_check_allows_and_no_step_more(
    points: int, worth: int, minimum: int, step: int, share_pct: int, total_minor: int
) -> None:
    rules = policy(
        points=points,
        value_minor=worth,
        minimum_points=minimum,
        step_points=step,
        max_order_share_pct=share_pct,
    )
    most = max_points_for_order(rules, total_minor)
    assert most is not None
    share_minor = total_minor * share_pct // 100
    if most:
        assert is_a_step(rules, most)
        assert not is_below_minimum(rules, most)
        assert value_minor(rules, most) <= share_minor
    next_step = max(most, minimum - 1) // step * step + step
    assert Fraction(next_step * worth, points) > share_minor
