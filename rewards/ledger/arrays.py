"""PostgreSQL array literals from many values.

The driver adapts a list element by element; a batch has a dozen arrays of a thousand elements, and writing
their text form directly costs a small part of that.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache


def text_array(values: Iterable[str]) -> str:
    """Return the literal of a ``text[]``, every element quoted."""
    elements = ['"' + (_escaped(value) if '"' in value or "\\" in value else value) + '"' for value in values]
    return "{" + ",".join(elements) + "}"


def int_array(values: Iterable[int]) -> str:
    """Return the literal of a ``bigint[]``."""
    return "{" + ",".join(map(str, values)) + "}"


def instant_array(values: Iterable[datetime | None]) -> str:
    """Return the literal of a ``timestamptz[]``; None is NULL."""
    return "{" + ",".join(["NULL" if value is None else f'"{instant(value)}"' for value in values]) + "}"


@lru_cache(maxsize=16_384)
def instant(value: datetime) -> str:
    """Return an instant as PostgreSQL reads it; most of a batch's instants are the same few."""
    return str(value)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
