"""Reading YAML and JSON as plain data that remembers where each part stood.

Only what JSON can say is read: mappings with text keys, lists, text, numbers, true, false and null, as
YAML 1.2 understands them, so a date, ``yes`` or ``06-30`` stays text. Keys that come twice, tags and merge
keys are refused rather than guessed at, and depth and size are bounded before anything is built.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

DEEPEST = 32
MOST_VALUES = 50_000

Path = tuple[str | int, ...]

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,60}", re.ASCII)
_FRACTION = re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?", re.ASCII)
_PAIR_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_TEXT_TAGS = (None, "!", "tag:yaml.org,2002:str")

# libyaml is many times faster than the parser in Python, and comes with every wheel of PyYAML.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Unreadable(Exception):
    """The text is not what can be read; ``line`` and ``column`` count from 1, 0 where unknown."""

    def __init__(self, message: str, line: int = 0, column: int = 0, path: Path = ()) -> None:
        super().__init__(message)
        self.message, self.line, self.column, self.path = message, line, column, path


@dataclass
class Located:
    """Plain data and where its parts stood: a mapping's entries by their key, a list's by their start."""

    data: Any
    marks: dict[Path, tuple[int, int]] = field(default_factory=dict)
    #: Keys that came twice; the first one counts in ``data``.
    problems: list[Unreadable] = field(default_factory=list)

    def position(self, path: Path) -> tuple[int, int]:
        """Return line and column of ``path``, or of what holds it where it is not itself in the text."""
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path, (1, 1))


def read(text: str) -> Located:
    """Read a YAML or JSON text.

    Raises:
        Unreadable: it is neither, is empty, uses what is not supported, or is too deep or too large.
    """
    if text.lstrip().startswith("{"):
        text = _json_as_yaml(text)
    try:
        return _Reader(yaml.parse(text, Loader=_Loader)).read()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(part for part in (error.context, error.problem) if part)
        raise Unreadable(f"not valid YAML: {reason}", *_position(mark)) from None
    except yaml.YAMLError as error:
        raise Unreadable(f"not valid YAML: {str(error).splitlines()[0]}") from None


def plain(text: str) -> str | int | float | bool | None:
    """Return what an unquoted scalar means in YAML 1.2."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FRACTION.fullmatch(text) else text


def _json_as_yaml(text: str) -> str:
    # JSON allows two things that YAML does not: tabs between values (within text they are written \t), and a
    # character beyond 16 bits as a pair of escapes.
    def as_one_escape(pair: re.Match[str]) -> str:
        high, low = int(pair[2], 16), int(pair[3], 16)
        return f"{pair[1]}\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"

    return _PAIR_ESCAPE.sub(as_one_escape, text.replace("\t", " "))


def _position(mark: Any) -> tuple[int, int]:
    return (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)


@dataclass
class _Anchored:
    value: Any
    size: int


class _Reader:
    """Builds data from the parser's events."""

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events
        self._found = Located(None)
        self._anchored: dict[str, _Anchored] = {}
        self._values = 0

    def read(self) -> Located:
        for event in self._events:
            if isinstance(event, StreamEndEvent):
                raise Unreadable("there is nothing in it", 1, 1)
            if isinstance(event, DocumentStartEvent):
                break
        first = next(self._events)
        self._found.marks[()] = _position(first.start_mark)
        self._found.data = self._value(first, ())
        next(self._events)  # the document's end
        after = next(self._events)
        if isinstance(after, DocumentStartEvent):
            self._refuse("a second document begins here; write one program to a file", after, ())
        return self._found

    def _value(self, event: Event, path: Path) -> Any:
        size_before = self._values
        self._count(1, event, path)
        if len(path) > DEEPEST:
            self._refuse(f"nested deeper than {DEEPEST} levels", event, path)
        if isinstance(event, AliasEvent):
            return self._aliased(event, path)
        if event.tag not in _TEXT_TAGS:  # type: ignore[attr-defined]
            self._refuse(f"the tag {event.tag[:80]} is not supported", event, path)  # type: ignore[attr-defined]
        value: Any
        if isinstance(event, ScalarEvent):
            value = plain(event.value) if event.implicit[0] else event.value
        elif isinstance(event, SequenceStartEvent):
            value = list(self._items(path))
        else:
            value = self._mapping(path)
        if event.anchor is not None:  # type: ignore[attr-defined]
            self._anchored[event.anchor] = _Anchored(value, self._values - size_before)  # type: ignore[attr-defined]
        return value

    def _items(self, path: Path) -> Iterator[Any]:
        position = 0
        while not isinstance(event := next(self._events), SequenceEndEvent):
            self._found.marks[(*path, position)] = _position(event.start_mark)
            yield self._value(event, (*path, position))
            position += 1

    def _mapping(self, path: Path) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(key_event := next(self._events), MappingEndEvent):
            key = self._key(key_event, path)
            if is_new := key not in mapping:
                self._found.marks[(*path, key)] = _position(key_event.start_mark)
            else:
                line = self._found.marks[(*path, key)][0]
                place = _position(key_event.start_mark)
                message = f"stands here twice (first in line {line}); remove one"
                self._found.problems.append(Unreadable(message, *place, (*path, key)))
            value = self._value(next(self._events), (*path, key))
            if is_new:
                mapping[key] = value
        return mapping

    def _key(self, event: Event, path: Path) -> str:
        if not isinstance(event, ScalarEvent):
            self._refuse("a field's name must be plain text", event, path)
        if event.value == "<<" and event.implicit[0]:
            self._refuse("merge keys (<<) are not supported; write the fields out", event, path)
        return str(event.value)

    def _aliased(self, event: AliasEvent, path: Path) -> Any:
        # An anchor is known once its value is complete, so a value can never contain itself.
        anchored = self._anchored.get(event.anchor or "")
        if anchored is None:
            self._refuse(f"there is no complete value &{event.anchor} before this", event, path)
        # Each use counts in full: what is small here may be enormous once written out.
        self._count(anchored.size, event, path)
        return anchored.value

    def _count(self, values: int, event: Event, path: Path) -> None:
        self._values += values
        if self._values > MOST_VALUES:
            self._refuse(f"more than {MOST_VALUES} values", event, path)

    def _refuse(self, message: str, event: Event, path: Path) -> NoReturn:
        raise Unreadable(message, *_position(event.start_mark), path)
