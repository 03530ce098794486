"""From a posted form back to the document's plain data, without what is as by default."""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from api.pages.document_form import plain
from api.pages.document_form.kinds import (
    ABSENT,
    ChoiceKind,
    FieldKind,
    FlagKind,
    Kind,
    ListKind,
    NumberKind,
    OneOfKind,
    RawKind,
    SectionKind,
    SeveralKind,
    TextKind,
)
from api.pages.document_form.naming import LONGEST_INDEX, Path, look_up, name_of

#: A form's fields: all values of each name, in the form's order.
Posted = Mapping[str, Sequence[str]]

#: Suffixes of names of what stands beside a value.
RAW, MORE, WAS = "!raw", "!more", "!was"

#: What stands between several values: periods may have blanks in them, and sentences anything but a new line.
_WORDS, _PERIODS, _LINES = r"[\s,;]+", r"[,;\r\n]+", r"[\r\n]+"

_ITEM = re.compile(rf"(.*)\.(\d{{1,{LONGEST_INDEX}}})", re.ASCII)


def read_section(
    form: Posted, kind: Kind, path: Path, before: Any, *, currency: str, apart: Collection[Path] = ()
) -> Any:
    """Return what a form says of one part of the document.

    Args:
        form: what was posted.
        kind: what kind of value the part is.
        path: where the part stands.
        before: the whole document as plain data; what has pages of its own is taken from it.
        currency: in which the form showed money.
        apart: places of lists that have pages of their own, so that the form has nothing of them.
    """
    return _Reading(form, before, currency, frozenset(apart)).value(kind, path)


def read_fields(
    form: Posted,
    kind: SectionKind,
    names: Collection[str],
    path: Path,
    before: Any,
    *,
    currency: str,
    apart: Collection[Path] = (),
) -> dict[str, Any]:
    """Return what a form says of some of a section's fields."""
    reading = _Reading(form, before, currency, frozenset(apart))
    return reading.fields([field for field in kind.fields if field.name in names], path)


class _Reading:
    def __init__(self, form: Posted, before: Any, currency: str, apart: frozenset[Path]) -> None:
        self._form = form
        self._before = before
        self._currency = currency
        self._apart = apart
        self._items: defaultdict[str, list[int]] = defaultdict(list)
        for name in form:
            if match := _ITEM.fullmatch(name):
                self._items[match[1]].append(int(match[2]))

    def value(self, kind: Kind, path: Path) -> Any:
        """Return a value, ``ABSENT`` where the form has none and None where it was left blank."""
        name = name_of(path)
        if path in self._apart:
            kept = look_up(self._before, path)
            return ABSENT if kept is None else kept
        if name + RAW in self._form or isinstance(kind, RawKind):
            return self._raw(name + RAW)
        if isinstance(kind, SectionKind | OneOfKind):
            return self.section(kind, path) if isinstance(kind, SectionKind) else self._one_of(kind, path)
        if name not in self._form and not (isinstance(kind, SeveralKind) and name + WAS in self._form):
            return ABSENT
        if isinstance(kind, ListKind):
            return [self._item(kind, (*path, index)) for index in sorted(self._items[name])]
        return self._plain(kind, name)

    def section(self, kind: SectionKind, path: Path) -> dict[str, Any]:
        """Return a section, which may turn out to be empty."""
        read = self.fields(kind.fields, path)
        if kind.tag is not None:
            # Where the model has it, so that a document's YAML reads as it did before.
            read["type"] = kind.tag
            read = {name: read[name] for name in kind.names if name in read}
        more = self._raw(name_of(path) + MORE)
        return {**read, **more} if isinstance(more, dict) else read

    def fields(self, fields: Sequence[FieldKind], path: Path) -> dict[str, Any]:
        """Return those of the fields that are not as by default."""
        read = {}
        for field in fields:
            value = self._field(field, (*path, field.name))
            if value is not ABSENT:
                read[field.name] = value
        return read

    def _field(self, field: FieldKind, path: Path) -> Any:
        if (
            isinstance(field.kind, SectionKind)
            and field.is_nullable
            and not self._is_posted(name_of(path), name_of(path) + RAW)
        ):
            # The button beside it takes an optional section out; where it was never in, nothing is posted either.
            return ABSENT if field.default is None or field.is_required else None
        value = self._in_words(field, path) if field.is_money else self.value(field.kind, path)
        if value is None:
            return None if field.is_nullable and field.default not in (None, ABSENT) else ABSENT
        if value == [] and field.is_nullable and isinstance(field.kind, ListKind | SeveralKind):
            return ABSENT
        return ABSENT if _is_same(value, field.default) else value

    def _in_words(self, field: FieldKind, path: Path) -> Any:
        name = name_of(path)
        if name not in self._form:
            return self._raw(name + RAW) if name + RAW in self._form else ABSENT
        typed = self._form[name][-1]
        assert isinstance(field.kind, NumberKind)
        return plain.understood(field, field.kind, typed, self._currency) if typed.strip() else None

    def _item(self, kind: ListKind, path: Path) -> Any:
        value = self.value(kind.item, path)
        return {} if value is ABSENT else value

    def _one_of(self, kind: OneOfKind, path: Path) -> Any:
        posted = self._form.get(name_of((*path, "type")))
        if posted is None:
            return ABSENT
        variant = kind.variants.get(posted[-1])
        return None if variant is None else self.section(variant, path)

    def _plain(self, kind: Kind, name: str) -> Any:
        typed = self._form.get(name, ())
        if isinstance(kind, SeveralKind):
            return self._several(kind, name, typed)
        last = typed[-1]
        if isinstance(kind, FlagKind):
            return last == "on"
        if isinstance(kind, ChoiceKind):
            return None if last == "" else _choice(kind, last)
        assert isinstance(kind, TextKind | NumberKind)
        return plain.understood(_NO_FIELD, kind, last, self._currency) if last.strip() else _blank(kind, last)

    def _several(self, kind: SeveralKind, name: str, typed: Sequence[str]) -> list[Any]:
        item = kind.item
        if isinstance(item, ChoiceKind):
            was = [each for each in self._form.get(name + WAS, [""])[-1].split(",") if each]
            marked = [*(each for each in was if each in typed), *(each for each in typed if each not in was)]
            return [_choice(item, each) for each in marked]
        separators = _LINES
        if isinstance(item, NumberKind) or item.is_word:
            separators = _WORDS if isinstance(item, NumberKind) or not item.format else _PERIODS
        words = [each for each in re.split(separators, typed[-1]) if each.strip()]
        return [plain.understood(_NO_FIELD, item, word, self._currency) for word in words]

    def _raw(self, name: str) -> Any:
        typed = self._form.get(name, [""])[-1]
        return plain.raw_understood(typed) if typed.strip() else ABSENT

    def _is_posted(self, *names: str) -> bool:
        return any(name in self._form for name in names)


#: Of values that are no money the field's name does not matter.
_NO_FIELD = FieldKind("", "", RawKind(), "", ABSENT, is_nullable=False)


def _blank(kind: TextKind | NumberKind, typed: str) -> Any:
    """Return what blanks stand for: nothing, but in a text they are something, if something wrong."""
    return typed if typed and isinstance(kind, TextKind) and not kind.is_word and not kind.format else None


def _choice(kind: ChoiceKind, typed: str) -> Any:
    return next((value for value in kind.values if str(value) == typed), typed)


def _is_same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and value == default
