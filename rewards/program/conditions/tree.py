"""A compiled condition as a tree that can be walked.

The library shows a compiled expression only in its serialized form: a ``cel.expr.CheckedExpr``, CEL's published
format (github.com/google/cel-spec, proto/cel/expr/checked.proto and syntax.proto). Reading the dozen fields that
matter takes less than depending on protobuf would. In the tree macros are expanded, names are resolved and
everything has its place in the text.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Node:
    """One part of an expression."""

    kind: Literal["const", "name", "select", "call", "list", "struct", "loop"]
    offset: int
    """Where it stands in the expression, as a 0-based character; for an operator, where the operator does."""
    value: Any = None
    """A constant's value; a variable's, field's, function's or message's name; the name of a loop's variable."""
    parts: tuple["Node", ...] = ()
    """What it is made of. A select: the operand. A call: the target, if any, then arguments.
    A loop: its range, start, condition, step and result."""
    accumulator: str = ""
    """The hidden variable in which a loop collects."""

    def walk(self) -> Iterator["Node"]:
        """Yield this node and all below it."""
        yield self
        for part in self.parts:
            yield from part.walk()


def read_tree(serialized: bytes) -> Node:
    """Return the tree of a serialized, checked expression."""
    checked = _fields(_one(_fields(serialized), 2))
    positions = {}
    for entry in _all(_fields(_one(checked, 5)), 4):
        pair = _fields(entry)
        positions[_one(pair, 1)] = _one(pair, 2, 0)
    return _node(_one(checked, 4), positions)


_Fields = list[tuple[int, Any]]


def _fields(message: bytes) -> _Fields:
    """Return the numbers and raw values of a protobuf message's fields."""
    fields: _Fields = []
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        match tag & 7:
            case 0:
                value, at = _varint(message, at)
                fields.append((tag >> 3, value))
            case 1:
                fields.append((tag >> 3, message[at : at + 8]))
                at += 8
            case 2:
                length, at = _varint(message, at)
                fields.append((tag >> 3, message[at : at + length]))
                at += length
            case kind:
                raise ValueError(f"a compiled condition has a field of the unknown wire type {kind}")
    return fields


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def _all(fields: _Fields, number: int) -> list[Any]:
    return [value for found, value in fields if found == number]


def _one(fields: _Fields, number: int, default: Any = b"") -> Any:
    return next(iter(_all(fields, number)), default)


def _text(fields: _Fields, number: int) -> str:
    text: str = _one(fields, number).decode()
    return text


def _node(message: bytes, positions: dict[int, int]) -> Node:  # noqa: PLR0911 - a table of kinds
    offset = positions.get(_one(_fields(message), 2, 0), 0)
    for number, body in _fields(message):
        if number in (3, 4, 5, 6, 7, 8, 9):
            fields = _fields(body)

            def nodes(*numbers: int, fields: _Fields = fields) -> tuple[Node, ...]:
                return tuple(_node(part, positions) for one in numbers for part in _all(fields, one))

            match number:
                case 3:
                    return Node("const", offset, _constant(fields))
                case 4:
                    return Node("name", offset, _text(fields, 1))
                case 5:
                    return Node("select", offset, _text(fields, 2), nodes(1))
                case 6:
                    return Node("call", offset, _text(fields, 2), nodes(1, 3))
                case 7:
                    return Node("list", offset, None, nodes(1))
                case 8:
                    entries = [_fields(entry) for entry in _all(fields, 2)]
                    parts = [
                        _node(part, positions)
                        for entry in entries
                        for part in _all(entry, 3) + _all(entry, 4)
                    ]
                    return Node("struct", offset, _text(fields, 1), tuple(parts))
                case 9:
                    return Node("loop", offset, _text(fields, 1), nodes(2, 4, 5, 6, 7), _text(fields, 3))
    raise ValueError("a compiled condition holds an expression of an unknown kind")


def _constant(fields: _Fields) -> Any:
    number, raw = fields[0]
    match number:
        case 1:
            return None
        case 2:
            return bool(raw)
        case 3:
            return raw - (1 << 64) if raw >= 1 << 63 else raw
        case 5:
            return struct.unpack("<d", raw)[0]
        case 6:
            return raw.decode()
        case _:
            return raw
