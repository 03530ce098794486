"""PostgreSQL's binary forms, for many values at once.

A batch sends some ten thousand values. In text form each is written by us and read again by the server, which takes
both sides several times as long as the work itself; the driver's own adaptation goes value by value. So rows for COPY
and arrays for queries are packed here, directly in the form that the server keeps them in.

Formats: https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS-BINARY-FORMAT, and ``array_recv``
for arrays.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct, pack
from typing import Any

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"
TRUE, FALSE = b"\0\0\0\1\1", b"\0\0\0\1\0"

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_BIGINT = Struct(">iq")
_TWO_BIGINTS, _FOUR_BIGINTS = Struct(">iqiq"), Struct(">iqiqiqiq")
_INTEGER = Struct(">ii")
_SMALLINT = Struct(">ih")
_LENGTH = Struct(">i")
_ROW = Struct(">h")


def bigint(value: int) -> bytes:
    """Return the field of a ``bigint``."""
    return _BIGINT.pack(8, value)


def two_bigints(a: int, b: int) -> bytes:
    """Return the fields of two ``bigint`` columns side by side."""
    return _TWO_BIGINTS.pack(8, a, 8, b)


def four_bigints(a: int, b: int, c: int, d: int) -> bytes:
    """Return the fields of four ``bigint`` columns side by side."""
    return _FOUR_BIGINTS.pack(8, a, 8, b, 8, c, 8, d)


def integer(value: int) -> bytes:
    """Return the field of an ``integer``."""
    return _INTEGER.pack(4, value)


def smallint(value: int) -> bytes:
    """Return the field of a ``smallint``."""
    return _SMALLINT.pack(2, value)


def text(value: str) -> bytes:
    """Return the field of a ``text``, ``varchar`` or ``json``."""
    encoded = value.encode()
    return _LENGTH.pack(len(encoded)) + encoded


@lru_cache(maxsize=1_024)
def word(value: str) -> bytes:
    """Return the field of a text that is one of a few, such as an entry's kind."""
    return text(value)


def text_or_null(value: str | None) -> bytes:
    """Return the field of a text that may be missing."""
    return NULL if value is None else text(value)


def jsonb(value: bytes) -> bytes:
    """Return the field of a ``jsonb``, given JSON."""
    return _LENGTH.pack(len(value) + 1) + b"\1" + value


def bytea(value: bytes) -> bytes:
    """Return the field of a ``bytea``."""
    return _LENGTH.pack(len(value)) + value


@lru_cache(maxsize=16_384)
def instant(value: datetime) -> bytes:
    """Return the field of a ``timestamptz``; most of a batch's instants are the same few."""
    return _BIGINT.pack(8, (value - _EPOCH) // _MICROSECOND)


def instant_or_null(value: datetime | None) -> bytes:
    """Return the field of an instant that may be missing."""
    return NULL if value is None else instant(value)


@lru_cache(maxsize=32)
def row_head(fields: int) -> bytes:
    """Return what a row of so many fields begins with."""
    return _ROW.pack(fields)


class Array:
    """An array in binary form; the subclasses say of what."""

    __slots__ = ("data",)
    element_oid = 0
    array_oid = 0

    def __init__(self, elements: Sequence[bytes]) -> None:
        count = len(elements)
        if count:
            head = pack(">iiiii", 1, NULL in elements, self.element_oid, count, 1)
        else:
            head = pack(">iii", 0, 0, self.element_oid)
        self.data = head + b"".join(elements)


class TextArray(Array):
    """A ``text[]``."""

    __slots__ = ()
    element_oid, array_oid = 25, 1009

    def __init__(self, values: Iterable[str | None]) -> None:
        super().__init__([NULL if value is None else text(value) for value in values])


class BigintArray(Array):
    """A ``bigint[]``."""

    __slots__ = ()
    element_oid, array_oid = 20, 1016

    def __init__(self, values: Iterable[int | None]) -> None:
        super().__init__([NULL if value is None else _BIGINT.pack(8, value) for value in values])


class InstantArray(Array):
    """A ``timestamptz[]``."""

    __slots__ = ()
    element_oid, array_oid = 1184, 1185

    def __init__(self, values: Iterable[datetime | None]) -> None:
        super().__init__([NULL if value is None else instant(value) for value in values])


class ByteaArray(Array):
    """A ``bytea[]``."""

    __slots__ = ()
    element_oid, array_oid = 17, 1001

    def __init__(self, values: Collection[bytes]) -> None:
        super().__init__([bytea(value) for value in values])


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Any) -> Buffer | None:
        return bytes(obj.data)


def register_arrays() -> None:
    """Let the driver send the arrays of this module; connections made from now on do."""
    for kind in (TextArray, BigintArray, InstantArray, ByteaArray):
        dumper = type(f"{kind.__name__}Dumper", (_ArrayDumper,), {"oid": kind.array_oid})
        psycopg.adapters.register_dumper(kind, dumper)
