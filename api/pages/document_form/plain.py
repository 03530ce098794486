"""Plain values as people type them: numbers, money in major units, periods in words. What is none stays as typed."""

import re
from typing import Any

from api.pages.document_form.kinds import FieldKind, NumberKind, TextKind
from rewards.core.money import format_minor, known_currency, parse_major
from rewards.program.durations import parse_duration
from rewards.program.loading import as_yaml
from rewards.program.yaml_reading import Unreadable, read

_NUMBER = re.compile(r"[+-]?\d{1,60}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,15}(?:\.\d{1,15})?", re.ASCII)
_THOUSANDS = re.compile(r"([+-]?\d{1,3}(?:,\d{3})+)(\.\d+)?", re.ASCII)
_ISO = re.compile(
    r"P(?=.)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?",
    re.ASCII,
)
_UNITS = ("year", "month", "week", "day", "hour", "minute", "second")
_LETTERS = "YMWDHMS"
_FIRST_OF_TIME = _UNITS.index("hour")
_WORDS = re.compile(r"(\d{1,10}) ?(year|month|week|day|hour|minute|second)s?", re.ASCII)


def shown(field: FieldKind, kind: TextKind | NumberKind, value: Any, currency: str) -> str:
    """Return a value as it stands in a form field.

    Args:
        field: the field that it is a value of.
        kind: the field's kind, or that of the items of its list.
        value: as plain data; it may be of a wrong type.
        currency: the document's, or whatever stands in its place.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(kind, NumberKind) and type(value) is int and field.is_money and known_currency(currency):
        return format_minor(value, currency)
    if isinstance(kind, TextKind) and kind.format == "duration" and isinstance(value, str):
        return period_in_words(value)
    if isinstance(kind, NumberKind) and isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def understood(field: FieldKind, kind: TextKind | NumberKind, typed: str, currency: str) -> Any:
    """Return the value that was typed: what was meant where that is clear, else the very text."""
    if isinstance(kind, TextKind):
        if kind.format == "duration":
            return period_from_words(typed)
        text = typed.replace("\r\n", "\n").replace("\r", "\n")
        return text.strip() if kind.is_word else text
    number = typed.strip().replace("\N{MINUS SIGN}", "-")
    if match := _THOUSANDS.fullmatch(number):
        number = match[1].replace(",", "") + (match[2] or "")
    if field.is_money and known_currency(currency):
        try:
            return parse_major(number, currency)
        except ValueError:
            return typed
    if not kind.is_whole:
        return float(number) if _DECIMAL.fullmatch(number) else typed
    return int(number) if _NUMBER.fullmatch(number) else typed


def complaint(field: FieldKind, value: Any, currency: str) -> str:
    """Return why a value that stayed as typed is none, in the words of a form; empty where the loader says it best."""
    if not isinstance(value, str):
        return ""
    if isinstance(field.kind, NumberKind):
        if not field.is_money or not known_currency(currency):
            return f"{_quoted(value)} is not a {'whole ' if field.kind.is_whole else ''}number"
        try:
            parse_major(value, currency)
        except ValueError as error:
            return str(error)
    if isinstance(field.kind, TextKind) and field.kind.format == "duration":
        try:
            parse_duration(value)
        except ValueError:
            return f"{_quoted(value)} is no period; write for example 14 days, 12 months or 30 minutes"
    return ""


def period_in_words(iso: str) -> str:
    """Return an ISO 8601 duration in words, ``14 days``, where those can be read back as the very same text."""
    match = _ISO.fullmatch(iso)
    if match is None:
        return iso
    words = " ".join(
        f"{int(count)} {unit}{'' if int(count) == 1 else 's'}"
        for count, unit in zip(match.groups(), _UNITS, strict=True)
        if count is not None
    )
    return words if period_from_words(words) == iso else iso


def period_from_words(typed: str) -> str:
    """Return the ISO 8601 duration that was meant, or what was typed where that is not known."""
    text = typed.strip()
    if _ISO.fullmatch(text.upper()):
        return text.upper()
    words = " ".join(text.lower().replace(",", " ").replace(" and ", " ").split())
    found = [(int(match[1]), _UNITS.index(match[2])) for match in _WORDS.finditer(words)]
    positions = [unit for _, unit in found]
    is_all = not _WORDS.sub("", words).strip()
    if not found or not is_all or positions != sorted(set(positions)):
        return text
    date = "".join(f"{count}{_LETTERS[unit]}" for count, unit in found if unit < _FIRST_OF_TIME)
    time = "".join(f"{count}{_LETTERS[unit]}" for count, unit in found if unit >= _FIRST_OF_TIME)
    return f"P{date}{'T' + time if time else ''}"


def raw_shown(value: Any) -> str:
    """Return any value as a piece of YAML."""
    return as_yaml(value).removesuffix("...\n").rstrip("\n")


def raw_understood(typed: str) -> Any:
    """Return the value of a piece of YAML, or the text itself where it is none."""
    try:
        return read(typed).data
    except Unreadable:
        return typed.replace("\r\n", "\n")


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")
