"""Into which pages the draft is cut: one for what stands at the document's top, one for each section, one for each item
of the lists that are long. A section that joins the document has its page by that alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from api.pages.document_form import labels, plain
from api.pages.document_form.kinds import (
    ABSENT,
    FieldKind,
    Kind,
    ListKind,
    NumberKind,
    OneOfKind,
    SectionKind,
    SeveralKind,
    TextKind,
    document_kind,
)
from api.pages.document_form.naming import Path, chosen, field_at, kind_at, look_up, path_of
from api.pages.document_form.nodes import Group, Node
from api.pages.document_form.reading import Posted, read_fields, read_section
from api.pages.document_form.showing import Form
from rewards.program.drafts import digest_of

BASICS = "basics"
_LONGEST_BRIEF = 140
_UNKNOWN = "of no known kind"


@dataclass(frozen=True)
class Part:
    """A page's part of the document.

    Attributes:
        slug: where its page is, below ``/admin/program/draft/``.
        path: where it stands in the document; empty for the basics.
    """

    slug: str
    path: Path

    @property
    def field(self) -> FieldKind | None:
        """The document's own field that it is or lies in."""
        return document_kind().field(str(self.path[0])) if self.path else None

    @property
    def is_item(self) -> bool:
        """Tell whether it is an item of a list."""
        return bool(self.path) and isinstance(self.path[-1], int)

    @property
    def list_path(self) -> Path:
        """Where the list stands that an item is of."""
        return self.path[:-1]

    def title(self, data: Any) -> str:
        """Return what to call it."""
        if not self.path:
            return "Name, currency and time zone"
        field = field_at(self.path, data)
        if self.is_item and field is not None and isinstance(field.kind, ListKind):
            index = int(self.path[-1])
            return labels.title(field.kind.item, look_up(data, self.path), labels.singular(field), index)
        return labels.label(field) if field is not None else self.slug

    def help(self, data: Any) -> str:
        """Return what it is, in a sentence."""
        if not self.path:
            return "What the program is called, and what it counts in."
        kind = kind_at(self.path, data)
        field = field_at(self.path, data)
        if self.is_item:
            section = chosen(kind, look_up(data, self.path)) if kind is not None else None
            return section.help if section is not None else ""
        return labels.help_text(field) if field is not None else ""

    def exists(self, data: Any) -> bool:
        """Tell whether the document has such a part by now."""
        if not self.is_item:
            return True
        items = look_up(data, self.list_path)
        return isinstance(items, list) and int(self.path[-1]) < len(items)

    def form(self, form: Form, data: dict[str, Any]) -> list[Node]:
        """Return what its page shows."""
        if not self.path:
            return form.fields(_basics(), data, ())
        if self.is_item:
            kind = kind_at(self.path, data)
            assert kind is not None
            node = form.section(kind, look_up(data, self.path), self.path, self.title(data))
        else:
            field = field_at(self.path, data)
            assert field is not None
            node = form.field(field, data.get(self.slug, ABSENT), self.path)
        if isinstance(node, Group):
            # The page's own heading and lead say it.
            node.help = ""
        return [node]

    def typed(self, posted: Posted, data: dict[str, Any], currency: str) -> Any:
        """Return what a form says of this part, ``ABSENT`` for what is as by default; ``data`` is the document."""
        if self.is_item:
            items = field_at(self.list_path, data)
            assert items is not None
            assert isinstance(items.kind, ListKind)
            value = read_section(posted, items.kind.item, self.path, data, currency=currency)
            return {} if value is ABSENT or value is None else value
        # As fields of the document, so that what is as by default is left out.
        names = [self.slug] if self.path else [each.name for each in _basics()]
        read = read_fields(posted, document_kind(), names, (), data, currency=currency, apart=labels.APART)
        return read.get(self.slug, ABSENT) if self.path else read

    def placed(self, data: dict[str, Any], value: Any) -> dict[str, Any]:
        """Return the document with something else for this part; an item that it does not have comes last."""
        if not self.path:
            names = {each.name for each in _basics()}
            others = {name: each for name, each in data.items() if name not in names}
            return _in_order({**value, **others})
        return replaced(data, self.path, value)

    def digest(self, data: Any) -> str:
        """Return a name for what it says by now; of lists with pages of their own only which items they have."""
        if not self.path:
            return digest_of([look_up(data, (each.name,)) for each in _basics()])
        return digest_of(_outline(look_up(data, self.path), self.path))


@cache
def _basics() -> tuple[FieldKind, ...]:
    return tuple(each for each in document_kind().fields if not _has_page(each))


def _has_page(field: FieldKind) -> bool:
    return isinstance(field.kind, ListKind | SectionKind | OneOfKind)


@cache
def top_parts() -> tuple[Part, ...]:
    """Return the pages that are always there, in the document's order."""
    sections = (Part(each.name, (each.name,)) for each in document_kind().fields if _has_page(each))
    return (Part(BASICS, ()), *sections)


def part_at(slug: str) -> Part | None:
    """Return the part whose page has that address, None where there is none such."""
    if any(slug == part.slug for part in top_parts()):
        return next(part for part in top_parts() if part.slug == slug)
    try:
        path = path_of("d." + slug.replace("/", "."))
    except ValueError:
        return None
    if path[:-1] in labels.APART and isinstance(path[-1], int) and slug == "/".join(map(str, path)):
        return Part(slug, path)
    return None


def part_of(path: Path) -> Part:
    """Return the part on whose page a place of the document is shown."""
    for at in labels.APART:
        if path[: len(at)] == at and len(path) > len(at) and isinstance(path[len(at)], int):
            return Part("/".join(map(str, path[: len(at) + 1])), path[: len(at) + 1])
    top = (part for part in top_parts() if part.path and part.path == path[:1])
    return next(top, top_parts()[0])


def replaced(data: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """Return a document with something else at a place; ``ABSENT`` takes it out, and beyond a list's end is its end."""
    root = dict(data)
    held: Any = root
    for part, following in pairwise(path):
        inner = held[part] if isinstance(part, int) else held.get(part)
        kind = list if isinstance(following, int) else dict
        held[part] = kind(inner) if isinstance(inner, kind) else kind()
        held = held[part]
    last = path[-1]
    if isinstance(last, int):
        held[last:] = [value, *held[last + 1 :]]
    elif value is ABSENT:
        held.pop(last, None)
    else:
        held[last] = value
    return _in_order(root)


def _in_order(data: dict[str, Any]) -> dict[str, Any]:
    known = [name for name in document_kind().names if name in data]
    return {name: data[name] for name in dict.fromkeys((*known, *data))}


def _outline(value: Any, path: Path) -> Any:
    """Return what a part says, but of items that have pages of their own only their names."""
    if path in labels.APART and isinstance(value, list):
        return [each.get("id") if isinstance(each, dict) else each for each in value]
    if isinstance(value, dict):
        return {name: _outline(each, (*path, name)) for name, each in value.items()}
    return value


def brief(kind: Kind, data: Any, currency: str) -> str:
    """Return what an item says, on one line."""
    text = "; ".join(_said(kind, data, currency))
    return text if len(text) <= _LONGEST_BRIEF else text[: _LONGEST_BRIEF - 1] + "…"


def _said(kind: Kind, data: Any, currency: str) -> Iterator[str]:
    section = chosen(kind, data)
    if section is None or not isinstance(data, dict):
        return
    if section.tag is not None:
        yield labels.variant(section.tag)
    for field in section.fields:
        value = data.get(field.name)
        if value in (None, [], {}) or field.name in ("id", "name", "title"):
            continue
        label, inner = labels.label(field), field.kind
        if isinstance(inner, OneOfKind) and field.is_required:
            which, *rest = [*_said(inner, value, currency)] or [_UNKNOWN]
            yield f"{which}: {', '.join(rest)}" if rest else which
        elif isinstance(inner, OneOfKind | SectionKind):
            yield f"{label.lower()}: {', '.join(_said(inner, value, currency))}"
        elif isinstance(inner, ListKind) and isinstance(value, list):
            count = len(value)
            yield f"{count} {labels.singular(field) if count == 1 else label.lower()}"
        elif isinstance(inner, SeveralKind) and isinstance(value, list):
            yield f"{label.lower()}: {', '.join(map(labels.value, value))}"
        elif isinstance(inner, TextKind | NumberKind):
            shown = plain.shown(field, inner, value, currency)
            yield f"{label.lower()} {shown}{_unit(labels.unit(field, currency))}"
        elif isinstance(value, bool):
            yield label.lower() if value else f"not: {label.lower()}"
        else:
            yield labels.value(value)


def _unit(unit: str) -> str:
    return unit if unit in ("", "%") else f" {unit}"
