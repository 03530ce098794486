"""A draft brought forward to a version that was published meanwhile: its changes are made to that version instead."""

from collections.abc import Iterator
from typing import Any, NamedTuple

Path = tuple[str | int, ...]


class _Absent:
    """Not there at all."""


_ABSENT = _Absent()


class Merged(NamedTuple):
    """What came of it, and the places that both changed, each in another way: there the draft's own stands."""

    data: Any
    conflicts: list[str]


def merge(before: Any, ours: Any, theirs: Any) -> Merged:
    """Return ``theirs`` with what ``ours`` changed since ``before``; all three are plain data.

    Rules, tiers and whatever else has an id are told apart by it, so that one may move while another changes it.
    """
    conflicts: list[str] = []
    merged = _merged("", before, ours, theirs, conflicts)
    return Merged(None if merged is _ABSENT else merged, conflicts)


def _merged(path: str, before: Any, ours: Any, theirs: Any, conflicts: list[str]) -> Any:
    if _same(ours, theirs) or _same(theirs, before):
        return ours
    if _same(ours, before):
        return theirs
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return _merged_fields(path, before if isinstance(before, dict) else {}, ours, theirs, conflicts)
    if _has_ids(ours) and _has_ids(theirs) and (_has_ids(before) or before is _ABSENT):
        return _merged_items(path, [] if before is _ABSENT else before, ours, theirs, conflicts)
    conflicts.append(path or "the whole")
    return ours


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _merged_fields(
    path: str, before: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any], conflicts: list[str]
) -> dict[str, Any]:
    merged = {}
    for name in dict.fromkeys((*theirs, *ours)):
        at = f"{path}.{name}" if path else str(name)
        was, own, other = (each.get(name, _ABSENT) for each in (before, ours, theirs))
        value = _merged(at, was, own, other, conflicts)
        if value is not _ABSENT:
            merged[name] = value
    return merged


def _merged_items(
    path: str, before: list[Any], ours: list[Any], theirs: list[Any], conflicts: list[str]
) -> list[Any]:
    was, own, other = ({item["id"]: item for item in items} for items in (before, ours, theirs))
    merged = []
    for name in _order(list(was), list(own), list(other)):
        first, second, third = (each.get(name, _ABSENT) for each in (was, own, other))
        value = _merged(f"{path}[{name}]", first, second, third, conflicts)
        if value is not _ABSENT:
            merged.append(value)
    return merged


def _order(was: list[str], own: list[str], other: list[str]) -> Iterator[str]:
    """Yield all names in the order of whoever changed it, and what only the other has where it stood there."""
    first, second = (other, own) if own == [name for name in was if name in own] else (own, other)
    left = [name for name in second if name not in first]
    for name in first:
        yield name
        # What follows it in the other's list, and is only there, follows it here.
        position = second.index(name) + 1 if name in second else len(second)
        while position < len(second) and second[position] in left:
            left.remove(second[position])
            yield second[position]
            position += 1
    yield from left


def _has_ids(value: Any) -> bool:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return False
    names = [item.get("id") for item in value]
    return all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
