"""What is said of a document that can be read: what cannot be used, and what is hardly meant."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sample_programs import PER_POUND, program
from test_loading import GOOD, errors_of

from rewards.program.loading import ProgramInvalid, cautions_of, load_text, parse_document

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def said(rules: list[dict[str, Any]], **sections: Any) -> list[str]:
    return [str(each) for each in cautions_of(program(earn=rules, **sections), NOW)]


def fixed(points: int = 100, rule_id: str = "bonus", **parts: Any) -> dict[str, Any]:
    gives = {"type": "fixed", "points": points}
    return {"id": rule_id, "activity": "purchase", "gives": gives, **parts}


def test_a_condition_that_cannot_be_used_is_named_with_its_line() -> None:
    text = GOOD.replace("    gives:", '    when: "order.totl_minor > 5"\n    gives:')
    (error,) = errors_of(text)
    assert error.startswith("p.yaml:8:5: earn[0].when: ")
    assert "order.total_minor" in error


@pytest.mark.parametrize(
    ("condition", "about"),
    [
        ("order.total_minor", "true or false"),
        ("order.total_minor > '5'", ">"),
        ("survey.answers.recommend == 10", "survey"),
        ("1 +", "character"),
        ("[1,2,3].all(a, [1,2,3].all(b, [1,2,3].all(c, a + b + c > 0)))", "2"),
    ],
)
def test_conditions_that_cannot_be_used(condition: str, about: str) -> None:
    with pytest.raises(ProgramInvalid) as caught:
        parse_document(
            program(earn=[]).model_dump(mode="json") | {"earn": [{**PER_POUND, "when": condition}]}
        )
    (error,) = caught.value.errors
    assert error.path == "earn[0].when"
    assert about in error.message


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"when": "time.hour == 25"}, "earn[0].when: the rule never applies: "),
        (
            {"active": {"from": "2026-01-01", "until": "2026-11-22"}},
            "earn[0].active.until: the rule's time is over; it applies only to activities that are sent late",
        ),
        (
            {"windows": [{"months": [2, 4], "month_days": [31]}]},
            "earn[0].windows: no month has such a day; the rule never applies",
        ),
        (
            {"caps": [{"per": "day", "points": 60}]},
            "earn[0].caps[0]: rule 'bonus' gives 100 points at once and this lets 60 through: it is cut each time",
        ),
        (
            {"budget": {"points": 60, "then": "refuse"}},
            "earn[0].budget: rule 'bonus' gives 100 points at once and this lets 60 through: it never gives any",
        ),
        (
            {"activity": "signup", "occurrences": {"every": 2}},
            "earn[0].occurrences.every: a customer has one signup at most, so time 2 never comes",
        ),
    ],
)
def test_rules_that_are_hardly_meant(parts: dict[str, Any], expected: str) -> None:
    (caution,) = said([fixed(**parts)])
    assert caution.startswith(expected)


def test_rules_that_are_meant() -> None:
    assert (
        said([fixed(), fixed(rule_id="more", when="time.hour == 23", caps=[{"per": "day", "points": 100}])])
        == []
    )
    assert said([fixed(windows=[{"months": [2], "month_days": [29, -1]}])]) == []


def test_a_rule_that_always_applies_alone_leaves_nothing_to_the_others() -> None:
    rules = [
        fixed(rule_id="weak", priority=1, stacking="exclusive"),
        fixed(rule_id="strong", priority=2, stacking="exclusive"),
        fixed(rule_id="stronger", priority=3, stacking="exclusive", when="time.hour == 23"),
        fixed(rule_id="other"),
    ]
    assert said(rules) == [
        "earn[0]: the rule never applies: 'strong' is exclusive and always applies",
        "earn[3]: the rule never applies: 'strong' is exclusive and always applies",
    ]


def test_points_that_nobody_can_redeem() -> None:
    (caution,) = said([fixed()], caps=[{"per": "life", "points": 150}], redemption={"minimum_points": 200})
    assert caution.startswith("caps[0]: nobody can redeem")


def test_cautions_have_lines_where_there_is_a_text() -> None:
    text = GOOD.replace("    gives:", '    when: "time.hour == 25"\n    gives:')
    (caution,) = cautions_of(load_text(text), NOW, text, "p.yaml")
    assert str(caution).startswith("p.yaml:8:5: earn[0].when: ")
