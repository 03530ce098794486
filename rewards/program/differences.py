"""What changed between two documents, by path, for people to read."""

from collections.abc import Iterator, Mapping
from typing import Any

from rewards.program.document import ProgramDocument
from rewards.program.rules import EarnRule

_ABSENT = object()
_NOTHING = (None, _ABSENT)
#: What a rule that says nothing of a field has there, as JSON.
_USUAL = {
    field.alias or name: list(field.default) if isinstance(field.default, tuple) else field.default
    for name, field in EarnRule.model_fields.items()
    if not field.is_required()
}


def history_differences(before: ProgramDocument, after: ProgramDocument) -> list[str]:
    """Return the changes from one document to the next, such as ``points.expiry.period: P12M → P24M``.

    Rules are told apart by their id, so that moving one shows as a new order, not as a change of each.
    Documents that say the same give an empty list.
    """
    return list(_changes("", before.model_dump(mode="json"), after.model_dump(mode="json")))


def _changes(path: str, before: Any, after: Any) -> Iterator[str]:
    if before == after or (before in _NOTHING and after in _NOTHING):
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys((*before, *after)):
            inner = f"{path}.{name}" if path else str(name)
            yield from _changes(inner, before.get(name, _ABSENT), after.get(name, _ABSENT))
    elif _has_ids(before) and _has_ids(after):
        yield from _changes_by_id(path, before, after)
    elif before is _ABSENT:
        yield f"{path}: added {_short(after)}"
    elif after is _ABSENT:
        yield f"{path}: removed (was {_short(before)})"
    else:
        yield f"{path}: {_short(before)} → {_short(after)}"


def _changes_by_id(path: str, before: list[Any], after: list[Any]) -> Iterator[str]:
    old, new = ({item["id"]: item for item in items} for items in (before, after))
    for name in dict.fromkeys((*old, *new)):
        yield from _changes(f"{path}[{name}]", old.get(name, _ABSENT), new.get(name, _ABSENT))
    kept_before = [name for name in old if name in new]
    kept_after = [name for name in new if name in old]
    if kept_before != kept_after:
        yield f"{path}: new order {', '.join(new)}"


def _has_ids(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) and "id" in item for item in value)


def _short(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(_short, value))}]"
    if isinstance(value, dict):
        usual = _USUAL if "gives" in value else {}
        said = (
            f"{name}: {_short(item)}"
            for name, item in value.items()
            if item is not None and (name not in usual or usual[name] != item)
        )
        return f"{{{', '.join(said)}}}"
    return str(value)
