"""What the buttons of a form do to the document's plain data: items come, go and move, sections too."""

from copy import deepcopy
from typing import Any

from api.pages.document_form.kinds import FieldKind, Kind, ListKind, OneOfKind, SectionKind
from api.pages.document_form.naming import Path, field_at, look_up, path_of

ACTIONS = ("add", "remove", "copy", "up", "down", "put", "drop", "choose")


class EditRefused(Exception):
    """A button that the document, as it is by now, has no place for."""


def apply(data: dict[str, Any], action: str) -> tuple[dict[str, Any], Path, bool]:
    """Carry out a button's ``action``, such as ``add:d.earn``.

    Args:
        data: the document; it stays as it is.
        action: what to do and where.

    Returns:
        the document after it, the place to look at next, and whether that is new.

    Raises:
        EditRefused: there is no such place.
    """
    verb, _, name = action.partition(":")
    try:
        path = path_of(name)
    except ValueError as error:
        raise EditRefused(str(error)) from None
    field = field_at(path, data)
    if verb not in ACTIONS or field is None:
        raise EditRefused(f"there is nothing to {verb[:20] or 'do'} there")
    data = deepcopy(data)
    if verb == "choose":
        return data, path, False
    if verb == "put":
        _set(data, path, _blank(field.kind))
        return data, path, True
    if verb == "drop":
        _drop(data, path, field)
        return data, path, False
    if verb == "add":
        return _added(data, path, field)
    return _item_edited(data, path, verb)


def _added(data: dict[str, Any], path: Path, field: FieldKind) -> tuple[dict[str, Any], Path, bool]:
    if not isinstance(field.kind, ListKind) or isinstance(path[-1], int):
        raise EditRefused("there is no list to add to")
    items = look_up(data, path)
    items = items if isinstance(items, list) else []
    _set(data, path, [*items, _blank(field.kind.item)])
    return data, (*path, len(items)), True


def _item_edited(data: dict[str, Any], path: Path, verb: str) -> tuple[dict[str, Any], Path, bool]:
    *above, index = path
    items = look_up(data, tuple(above))
    if not isinstance(index, int) or not isinstance(items, list) or index >= len(items):
        raise EditRefused("it is no longer there")
    match verb:
        case "remove":
            del items[index]
            holder, field = look_up(data, tuple(above[:-1])), field_at(tuple(above), data)
            if not items and field is not None and field.default == [] and isinstance(holder, dict):
                # A list that is left out says the same.
                del holder[above[-1]]
            return data, tuple(above), False
        case "copy":
            items.insert(index + 1, _copied(items, index))
            return data, (*above, index + 1), False
        case _:
            other = index - 1 if verb == "up" else index + 1
            if not 0 <= other < len(items):
                return data, path, False
            items[index], items[other] = items[other], items[index]
            return data, (*above, other), False


def _copied(items: list[Any], index: int) -> Any:
    copy = deepcopy(items[index])
    if isinstance(copy, dict) and isinstance(copy.get("id"), str):
        taken = {each.get("id") for each in items if isinstance(each, dict)}
        number = 2
        while f"{copy['id']}-{number}" in taken:
            number += 1
        copy["id"] = f"{copy['id']}-{number}"
    return copy


def _blank(kind: Kind) -> Any:
    if isinstance(kind, OneOfKind):
        return {"type": next(iter(kind.variants))}
    if isinstance(kind, SectionKind):
        return {}
    raise EditRefused("it is there already")


def _set(data: dict[str, Any], path: Path, value: Any) -> None:
    """Put a value at a place; sections on the way that were left out begin empty."""
    held: Any = data
    for part in path[:-1]:
        if isinstance(held, dict) and held.get(str(part)) is None:
            held[part] = {}
        if not isinstance(held, dict if isinstance(part, str) else list):
            raise EditRefused("what it would stand in is written as something else")
        held = look_up(held, (part,))
    if not isinstance(held, dict):
        raise EditRefused("what it would stand in is written as something else")
    held[path[-1]] = value


def _drop(data: dict[str, Any], path: Path, field: FieldKind) -> None:
    holder = look_up(data, path[:-1])
    if isinstance(holder, dict):
        holder.pop(path[-1], None)
        if field.default is not None and field.is_nullable and not field.is_required:
            holder[path[-1]] = None
