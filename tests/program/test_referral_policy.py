"""The document's referrals section: what it takes, and what it refuses with a place to look at."""

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from rewards.program.differences import history_differences
from rewards.program.document import ProgramDocument
from rewards.program.loading import ProgramInvalid, load_text, to_yaml
from rewards.program.periods import times

BEGINNING = """\
schema_version: 1
name: Tea club
currency: GBP
timezone: Europe/London
"""
RULES = """\
earn:
  - {id: bring, activity: referral, gives: {type: fixed, points: 500}}
  - {id: come, activity: referred, gives: {type: fixed, points: 200}, pending: P1D}
"""
ORDERED = datetime(2026, 3, 20, 10, tzinfo=UTC)


def errors(text: str) -> list[str]:
    with pytest.raises(ProgramInvalid) as caught:
        load_text(text, source="p.yaml")
    return str(caught.value).splitlines()


def test_all_of_it_has_a_default() -> None:
    policy = load_text(BEGINNING + RULES + "referrals: {}\n").referrals
    assert policy is not None
    assert (policy.window, policy.minimum_order_minor, policy.pending) == ("P30D", 0, "P14D")
    assert (policy.guards.fingerprints, policy.guards.velocity) == ("flag", None)
    assert load_text(BEGINNING).referrals is None


def test_rewards_wait_as_the_section_says_unless_the_rule_does() -> None:
    document = load_text(BEGINNING + RULES + "points: {pending: P2D}\nreferrals: {}\n")
    waits = [times(document.points_of(rule), document.zone).available_at(ORDERED) for rule in document.earn]
    assert [each.day for each in waits] == [3, 21]
    without = load_text(BEGINNING + RULES + "points: {pending: P2D}\n")
    assert without.points_of(without.earn[0]) is without.points


def test_referrals_that_give_nothing_are_refused_where_they_stand() -> None:
    found = errors(BEGINNING + "referrals:\n  window: P30D\n")
    assert found[0].startswith(
        "p.yaml:5:1: referrals: no rule gives anything for a referral; add one with activity: referral"
    )


def test_points_that_would_be_dead_as_they_come_are_refused() -> None:
    text = (
        BEGINNING
        + RULES
        + "points: {expiry: {type: after, period: P7D}}\nreferrals:\n  window: P30D\n  pending: P14D\n"
    )
    assert errors(text)[0].startswith("p.yaml:11:")
    assert "rule 'bring' waits for this long" in errors(text)[0]


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ({"window": "P0D"}, "referrals.window"),
        ({"minimum_order_minor": -1}, "referrals.minimum_order_minor"),
        ({"pending": "14 days"}, "referrals.pending"),
        ({"guards": {"fingerprints": "block"}}, "referrals.guards.fingerprints"),
        ({"guards": {"velocity": {"count": 0, "within": "P1D"}}}, "referrals.guards.velocity.count"),
        ({"guards": {"velocity": {"count": 1}}}, "referrals.guards.velocity"),
        ({"bonus": 1}, "referrals.bonus"),
    ],
)
def test_what_cannot_be_is_refused_with_its_path(section: dict[str, Any], path: str) -> None:
    text = BEGINNING + RULES + yaml.safe_dump({"referrals": section})
    assert any(path in line for line in errors(text)), errors(text)


def test_it_is_written_and_compared_like_the_rest() -> None:
    document = load_text(BEGINNING + RULES + "referrals: {guards: {velocity: {count: 3, within: P1D}}}\n")
    assert load_text(to_yaml(document)) == document
    before = ProgramDocument.model_validate(document.model_dump() | {"referrals": None})
    assert any("referrals" in str(line) for line in history_differences(before, document))
