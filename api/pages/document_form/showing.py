"""From the document's plain data to what a form shows: fields, groups and lists, each with what is wrong with it."""

import re
from collections.abc import Collection, Sequence
from typing import Any

from api.pages.document_form import labels, plain
from api.pages.document_form.kinds import (
    ABSENT,
    ChoiceKind,
    FieldKind,
    FlagKind,
    Kind,
    ListKind,
    NumberKind,
    OneOfKind,
    SectionKind,
    SeveralKind,
    TextKind,
)
from api.pages.document_form.naming import Path, chosen, name_of
from api.pages.document_form.nodes import Apart, Group, Input, Items, Node, Option, Remark, Row, walk
from api.pages.document_form.reading import MORE, RAW

#: A line this long is edited in a box of several lines.
_LONG_LINE = 200
_PERIODS = ("14 days", "12 months")
_PLAIN = str | int | float | bool | None


class Form:
    """Builds the nodes of one part of the document.

    Args:
        currency: in which money is shown.
        remarks: what there is to say about the document; what concerns other parts is left to them.
        apart: places of lists that have pages of their own.
        new: a place that was only just added.
    """

    def __init__(
        self,
        *,
        currency: str,
        remarks: Sequence[Remark] = (),
        apart: Collection[Path] = (),
        new: Path | None = None,
    ) -> None:
        self._currency = currency
        self._remarks = remarks
        self._apart = frozenset(apart)
        self._new = new

    def section(self, kind: Kind, data: Any, path: Path, title: str) -> Node:
        """Return a part of the document that is a section, or one of several."""
        node = self._section(kind, data, path, Group(name_of(path), title))
        return self._remarked(node, path)

    def field(self, kind: FieldKind, data: Any, path: Path) -> Node:
        """Return a field of the document with all that is in it."""
        return self._remarked(self._field(kind, data, path), path)

    def fields(self, kinds: Sequence[FieldKind], data: dict[str, Any], path: Path) -> list[Node]:
        """Return some of a section's fields."""
        nodes: list[Node] = []
        for kind in kinds:
            at = (*path, kind.name)
            nodes.append(self._remarked(self._field(kind, data.get(kind.name, ABSENT), at), at))
        return nodes

    # What is what

    def _field(self, kind: FieldKind, data: Any, path: Path) -> Node:
        label, help_text = labels.label(kind), labels.help_text(kind)
        if data is ABSENT or (data is None and not kind.is_nullable):
            data = None if kind.default is ABSENT else kind.default
        inner = kind.kind
        if isinstance(inner, ListKind):
            return self._list(kind, inner, data, path)
        if isinstance(inner, SectionKind | OneOfKind):
            group = Group(name_of(path), label, help_text, is_optional=kind.is_nullable)
            if isinstance(inner, SectionKind):
                group.is_there = data is not None or not kind.is_nullable
                group.marker = kind.is_nullable
                data = {} if data is None else data
            return self._section(inner, data, path, group)
        node = Input(name_of(path), label, help_text, posts_as=name_of(path), is_required=kind.is_required)
        self._fill(node, kind, data)
        return node

    def _section(self, kind: Kind, data: Any, path: Path, group: Group) -> Node:
        if not group.is_there:
            return group
        section = chosen(kind, data)
        if isinstance(kind, OneOfKind):
            is_blank = data is None or data == {}
            group.options = _variants(kind, section, _blank(is_blank, group.is_optional))
            if is_blank:
                group.is_there = not group.is_optional
                return group
        if section is None or not isinstance(data, dict):
            return _raw(group.name, group.label, group.help, data)
        if section.tag is not None and not group.help:
            group.help = section.help
        for each in section.fields:
            group.parts.append(self._field(each, data.get(each.name, ABSENT), (*path, each.name)))
        known = {each.name for each in section.fields} | ({"type"} if section.tag is not None else set())
        more = {name: value for name, value in data.items() if name not in known}
        if more:
            extra = _raw(group.name, "Other fields", "The program knows no such fields.", more, MORE)
            extra.name = group.name + MORE
            group.parts.append(extra)
        return group

    def _list(self, kind: FieldKind, inner: ListKind, data: Any, path: Path) -> Node:
        name, label, help_text = name_of(path), labels.label(kind), labels.help_text(kind)
        singular = labels.singular(kind)
        if data is None:
            data = []
        if not isinstance(data, list):
            return _raw(name, label, help_text, data)
        is_full = inner.most is not None and len(data) >= inner.most
        titles = [labels.title(inner.item, each, singular, index) for index, each in enumerate(data)]
        if path in self._apart:
            rows = [Row(i, titles[i], name_of((*path, i)), each) for i, each in enumerate(data)]
            return Apart(name, label, help_text, rows=rows, singular=singular, is_full=is_full)
        items = [
            self._section(inner.item, each, (*path, i), Group(name_of((*path, i)), titles[i], marker=True))
            for i, each in enumerate(data)
        ]
        return Items(name, label, help_text, items=items, singular=singular, is_full=is_full)

    def _fill(self, node: Input, field: FieldKind, data: Any) -> None:
        kind = field.kind
        if isinstance(kind, SeveralKind) and _is_several(kind, data):
            self._fill_several(node, field, kind, [] if data is None else data)
        elif isinstance(kind, FlagKind) and isinstance(data, bool) and not field.is_nullable:
            node.widget, node.is_on = "flag", data
        elif isinstance(kind, ChoiceKind) and isinstance(data, _PLAIN):
            node.widget = "choice"
            node.options = _options(kind, data, _blank(data is None, field.is_nullable))
        elif isinstance(kind, TextKind | NumberKind) and isinstance(data, _PLAIN):
            node.value = plain.shown(field, kind, data, self._currency)
            node.widget = _widget(kind, node.value)
            node.unit = labels.unit(field, self._currency)
            complaint = plain.complaint(field, data, self._currency)
            if complaint:
                node.remarks.append(Remark((), "error", complaint))
            if isinstance(kind, TextKind) and kind.examples and kind.format != "date":
                examples = kind.examples if kind.format != "duration" else _PERIODS
                node.help = f"{node.help} For example {' or '.join(examples)}.".strip()
        else:
            raw = _raw(node.name, node.label, node.help, data)
            node.widget, node.value, node.posts_as = raw.widget, raw.value, raw.posts_as

    def _fill_several(self, node: Input, field: FieldKind, kind: SeveralKind, data: list[Any]) -> None:
        item = kind.item
        if isinstance(item, ChoiceKind):
            node.widget = "several"
            node.was = ",".join(map(str, data))
            node.options = [Option(str(each), labels.value(each), each in data) for each in item.values]
            return
        values = [plain.shown(field, item, each, self._currency) for each in data]
        is_line = isinstance(item, NumberKind) or item.is_word
        node.widget, node.value = ("line", ", ".join(values)) if is_line else ("area", "\n".join(values))
        if isinstance(item, TextKind) and item.examples:
            node.help = f"{node.help} For example {', '.join(item.examples)}.".strip()

    # What is wrong with what

    def _remarked(self, node: Node, path: Path) -> Node:
        """Hang each remark on the node that it is about, or on the one that its place lies in."""
        nodes = {each.name: each for each in walk(node)}
        for each in nodes.values():
            each.is_new = self._new is not None and _is_within(each.name, name_of(self._new))
        for remark in self._remarks:
            if remark.path[: len(path)] != path:
                continue
            at = remark.path
            while name_of(at) not in nodes and len(at) > len(path):
                at = at[:-1]
            owner = nodes[name_of(at)]
            if isinstance(owner, Apart) and remark.path[len(at) :]:
                _count(owner, remark, at)
            elif not _is_said(owner, remark):
                owner.remarks.append(remark)
        return node


def _is_within(name: str, outer: str) -> bool:
    return name == outer or name.startswith(outer + ".")


def _count(owner: Apart, remark: Remark, at: Path) -> None:
    index = remark.path[len(at)]
    if isinstance(index, int) and index < len(owner.rows):
        row = owner.rows[index]
        if remark.kind == "error":
            row.errors += 1
        else:
            row.cautions += 1
    else:
        owner.remarks.append(remark)


def _is_said(node: Node, remark: Remark) -> bool:
    """Tell whether the form said it better already, or whether it is too early to say it."""
    is_own = any(each.path == () for each in node.remarks) and remark.kind == "error"
    return is_own or (node.is_new and remark.message.lower().startswith("is required"))


def _blank(is_absent: bool, is_optional: bool) -> str:
    """Return what to choose for nothing at all; empty where something must be chosen, and is."""
    return "(not set)" if is_optional else "(choose one)" if is_absent else ""


def _variants(kind: OneOfKind, section: SectionKind | None, blank: str) -> list[Option]:
    options = [Option("", blank, section is None)] if blank else []
    return options + [
        Option(tag, labels.variant(tag), section is each, each.help) for tag, each in kind.variants.items()
    ]


def _options(kind: ChoiceKind, data: Any, blank: str) -> list[Option]:
    options = [Option("", blank, data is None)] if blank else []
    options += [Option(str(each), labels.value(each), _equal(each, data)) for each in kind.values]
    if data is not None and not any(_equal(each, data) for each in kind.values):
        options.append(Option(str(data), f"{data} (unknown)", is_chosen=True))
    return options


def _equal(value: Any, data: Any) -> bool:
    return type(value) is type(data) and bool(value == data)


def _is_several(kind: SeveralKind, data: Any) -> bool:
    """Tell whether a list can be shown on one line, or as boxes to tick, and read back as it is."""
    if data is None:
        return True
    if not isinstance(data, list):
        return False
    item = kind.item
    if isinstance(item, ChoiceKind):
        return all(any(_equal(value, each) for value in item.values) for each in data)
    if isinstance(item, NumberKind):
        return all(type(each) is int for each in data) or all(_is_word(each) for each in data)
    if item.is_word:
        return all(isinstance(each, str) and _is_word(each) for each in data)
    return all(
        isinstance(each, str) and bool(each.strip()) and not re.search(r"[\r\n]", each) for each in data
    )


def _is_word(each: Any) -> bool:
    return type(each) is int or (isinstance(each, str) and bool(re.fullmatch(r"[^\s,;]+", each)))


def _widget(kind: TextKind | NumberKind, value: str) -> str:
    if isinstance(kind, NumberKind):
        return "number"
    if kind.format == "cel":
        return "code"
    if kind.format == "date" and re.fullmatch(r"(\d{4}-\d\d-\d\d)?", value):
        return "date"
    is_long = "\n" in value or (kind.longest is not None and kind.longest > _LONG_LINE)
    return "area" if is_long else "line"


def _raw(name: str, label: str, help_text: str, data: Any, suffix: str = RAW) -> Input:
    value = "" if data is None else plain.raw_shown(data)
    return Input(name, label, help_text, widget="raw", posts_as=name + suffix, value=value)
