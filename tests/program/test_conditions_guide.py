"""The guide to conditions says what is so: its variables are the engine's, and its examples are true."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rewards.program.conditions import ITEM_VARIABLES, VARIABLES, Conditions, Variable, check, never_true

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "conditions.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```cel( items)?\n(.*?)```", PAGE, re.DOTALL)

FACTS: dict[str, Any] = {
    "order.total_minor": 5000,
    "customer.tags": ["vip"],
    "customer.is_first_purchase": False,
    "customer.days_since_last_purchase": 200,
    "order.items": [{"category": "drinks", "quantity": 2}],
    "time.weekday": "FR",
    "time.hour": 18,
    "activity.attributes": {"gift": True},
    "item.category": "drinks",
    "item.sku": "COLA-1",
}


def test_it_has_examples() -> None:
    assert len(EXAMPLES) == 6


@pytest.mark.parametrize(("items", "expression"), EXAMPLES)
def test_its_examples_are_true(items: str, expression: str) -> None:
    scope = "item" if items else "activity"
    check(expression, scope, "purchase")
    assert never_true(expression, scope, "purchase") is None
    assert list(Conditions([expression], scope).evaluate(FACTS)) == [True]
    assert list(Conditions([f"!({expression})"], scope).evaluate(FACTS)) == [False]


def rows(variables: Mapping[str, Variable], with_activities: bool) -> list[str]:
    return [
        f"| `{name}` | {variable.kind} | {variable.description} |"
        + (f" {', '.join(sorted(variable.activities or ()))} |" if with_activities else "")
        for name, variable in variables.items()
    ]


def test_its_tables_are_the_variables() -> None:
    printed = [line for line in PAGE.splitlines() if re.match(r"\| `\w+\.\w+` \|", line)]
    assert printed == rows(VARIABLES, True) + rows(ITEM_VARIABLES, False)


def test_the_engine_gives_what_conditions_may_ask_about() -> None:
    from rewards.program.facts import NAMES

    assert set(VARIABLES) == NAMES
