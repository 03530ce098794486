"""Names of form fields: where in the document a value stands, such as ``d.earn.0.gives.points``."""

import re
from typing import Any

from api.pages.document_form.kinds import (
    FieldKind,
    Kind,
    ListKind,
    OneOfKind,
    SectionKind,
    document_kind,
)

Path = tuple[str | int, ...]

#: Every name begins with it, so that no field of the document is mistaken for one of the page's own.
ROOT = "d"
_PART = re.compile(r"\[(\d+)\]|([^.\[]+)")
#: A longer list than the document can hold is not read from a form.
LONGEST_INDEX = 4


def name_of(path: Path) -> str:
    """Return the name of the form field for a place in the document."""
    return ".".join((ROOT, *map(str, path)))


def path_of(name: str) -> Path:
    """Return the place that a form field's name stands for.

    Raises:
        ValueError: it stands for none.
    """
    root, *parts = name.split(".")
    if root != ROOT or any(not part for part in parts):
        raise ValueError(f"{name[:80]!r} is no field of the document")
    return tuple(int(part) if part.isdecimal() and len(part) <= LONGEST_INDEX else part for part in parts)


def path_in_text(text: str) -> Path:
    """Return the place that a message's path stands for, such as ``earn[0].gives.points``."""
    return tuple(int(index) if index else name for index, name in _PART.findall(text))


def look_up(data: Any, path: Path) -> Any:
    """Return what stands at a place in plain data, None where nothing does."""
    for part in path:
        is_there = (
            part < len(data)
            if isinstance(data, list) and isinstance(part, int)
            else isinstance(data, dict) and part in data
        )
        if not is_there:
            return None
        data = data[part]
    return data


def field_at(path: Path, data: Any) -> FieldKind | None:
    """Return the field that a path ends in, or whose list it leads into; None where there is none.

    Args:
        path: from the document's root.
        data: the document as plain data, which says what stands where one of several sections could.
    """
    kind: Kind = document_kind()
    field: FieldKind | None = None
    for depth, part in enumerate(path):
        if isinstance(part, int):
            kind = kind.item if isinstance(kind, ListKind) else kind
            continue
        section = chosen(kind, look_up(data, path[:depth]))
        field = section.field(part) if section is not None else None
        if field is None:
            return None
        kind = field.kind
    return field


def kind_at(path: Path, data: Any) -> Kind | None:
    """Return what kind of value stands at a place, None where there is no such place."""
    if not path:
        return document_kind()
    field = field_at(path, data)
    if field is None:
        return None
    if isinstance(path[-1], int):
        return field.kind.item if isinstance(field.kind, ListKind) else None
    return field.kind


def chosen(kind: Kind, value: Any) -> SectionKind | None:
    """Return which section a value is, None where it cannot be known."""
    if isinstance(kind, SectionKind):
        return kind
    if isinstance(kind, OneOfKind) and isinstance(value, dict):
        tag = value.get("type")
        return kind.variants.get(tag) if isinstance(tag, str) else None
    return None
