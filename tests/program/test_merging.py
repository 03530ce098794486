"""Bringing a draft forward: what one side changed stands, and what both changed is told."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rewards.program.merging import merge

BASE: dict[str, Any] = {
    "name": "Tea Club",
    "points": {"pending": "P14D", "expiry": {"type": "never"}},
    "earn": [{"id": "a", "priority": 1}, {"id": "b"}, {"id": "c"}],
    "caps": [{"per": "day", "points": 5}],
}


def changed(**sections: Any) -> dict[str, Any]:
    return {**copy.deepcopy(BASE), **sections}


def test_what_only_one_changed_stands() -> None:
    ours = changed(name="Ours", points={"pending": "P14D", "expiry": {"type": "after", "period": "P1Y"}})
    theirs = changed(points={"pending": "P30D", "expiry": {"type": "never"}}, refunds={"rounding": "floor"})
    merged = merge(BASE, ours, theirs)
    assert merged.conflicts == []
    assert merged.data == changed(
        name="Ours",
        points={"pending": "P30D", "expiry": {"type": "after", "period": "P1Y"}},
        refunds={"rounding": "floor"},
    )


def test_where_both_changed_ours_stands_and_is_told() -> None:
    merged = merge(
        BASE, changed(name="Ours", caps=[]), changed(name="Theirs", caps=[{"per": "week", "points": 1}])
    )
    assert merged.conflicts == ["name", "caps"]
    assert (merged.data["name"], merged.data["caps"]) == ("Ours", [])


def test_rules_are_told_apart_by_their_id() -> None:
    ours = changed(earn=[{"id": "b"}, {"id": "a", "priority": 2}, {"id": "new"}, {"id": "c"}])
    theirs = changed(earn=[{"id": "a", "priority": 1}, {"id": "a2"}, {"id": "b", "name": "B"}])
    merged = merge(BASE, ours, theirs)
    assert merged.conflicts == []
    assert merged.data["earn"] == [
        {"id": "b", "name": "B"},
        {"id": "a", "priority": 2},
        {"id": "a2"},
        {"id": "new"},
    ]


def test_a_rule_that_one_removed_and_the_other_changed_is_told() -> None:
    ours = changed(earn=[{"id": "a", "priority": 1}, {"id": "c"}])
    theirs = changed(earn=[{"id": "a", "priority": 1}, {"id": "b", "name": "B"}, {"id": "c"}])
    merged = merge(BASE, ours, theirs)
    assert merged.conflicts == ["earn[b]"]
    assert [each["id"] for each in merged.data["earn"]] == ["a", "c"]


VALUES = st.recursive(
    st.integers(0, 3) | st.sampled_from(["x", "y"]),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3) | st.lists(inner, max_size=2)
    | st.lists(st.sampled_from("rst"), unique=True, max_size=3).flatmap(
        lambda names: st.tuples(*[inner.map(lambda value, name=name: {"id": name, "v": value}) for name in names]).map(list)
    ),
    max_leaves=8,
)  # fmt: skip


@given(VALUES, VALUES)
def test_where_one_did_nothing_the_other_stands(one: Any, other: Any) -> None:
    for merged in (merge(one, other, one), merge(one, one, other), merge(one, other, other)):
        assert merged.conflicts == []
        assert merged.data == other


@given(VALUES, VALUES, VALUES)
def test_what_is_merged_is_never_lost_silently(before: Any, ours: Any, theirs: Any) -> None:
    merged = merge(before, ours, theirs)
    again = merge(theirs, merged.data, theirs)
    assert again.data == merged.data
    if not merged.conflicts:
        other = merge(before, theirs, ours)
        assert other.conflicts == []
        assert _unordered(other.data) == _unordered(merged.data)


def _unordered(value: Any) -> Any:
    """Two who both moved things may not agree about the order; about all else they do."""
    if isinstance(value, dict):
        return {name: _unordered(each) for name, each in value.items()}
    if isinstance(value, list) and value and all(isinstance(each, dict) and "id" in each for each in value):
        return sorted(map(repr, map(_unordered, value)))
    return [_unordered(each) for each in value] if isinstance(value, list) else value
