from typing import Any

import pytest
from sample_programs import program, rule

from rewards.program.differences import history_differences

FIXED = rule("welcome", "signup", type="fixed", points=100)
BASE = rule(type="per_amount", points=1, per_minor=100)
DOUBLE = rule(type="per_amount", points=2, per_minor=100)


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ({}, {}, []),
        ({}, {"name": "Tea Society"}, ["name: Tea Club → Tea Society"]),
        (
            {"points": {"expiry": {"type": "after", "period": "P12M"}}},
            {"points": {"expiry": {"type": "after", "period": "P24M"}}},
            ["points.expiry.period: P12M → P24M"],
        ),
        (
            {"points": {"expiry": {"type": "after", "period": "P12M"}}},
            {"points": {"expiry": {"type": "dates", "dates": ["06-30", "12-31"]}}},
            [
                "points.expiry.type: after → dates",
                "points.expiry.period: removed (was P12M)",
                "points.expiry.dates: added [06-30, 12-31]",
            ],
        ),
        ({"points": {"pending": None}}, {"points": {"pending": "P14D"}}, ["points.pending: none → P14D"]),
        ({}, {"base_amount": {"tax": False}}, ["base_amount.tax: true → false"]),
        ({"earn": [BASE]}, {"earn": [DOUBLE]}, ["earn[base].gives.points: 1 → 2"]),
        (
            {"earn": [BASE]},
            {"earn": [FIXED, DOUBLE]},
            [
                "earn[base].gives.points: 1 → 2",
                "earn[welcome]: added {id: welcome, activity: signup, gives: {type: fixed, points: 100}}",
            ],
        ),
        (
            {"earn": [BASE, FIXED]},
            {"earn": [BASE]},
            [
                (
                    "earn[welcome]: removed"
                    " (was {id: welcome, activity: signup, gives: {type: fixed, points: 100}})"
                )
            ],
        ),
        ({"earn": [BASE, FIXED]}, {"earn": [FIXED, BASE]}, ["earn: new order welcome, base"]),
        ({"earn": []}, {"earn": []}, []),
    ],
)
def test_changes_are_listed_by_path(
    before: dict[str, Any], after: dict[str, Any], changes: list[str]
) -> None:
    assert history_differences(program(**before), program(**after)) == changes
