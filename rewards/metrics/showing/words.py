"""Figures in words: one way of writing a share, an amount or an interval, for terminal, report and pages."""

import math
import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

from babel.numbers import format_decimal

from rewards.core import wording
from rewards.core.money import minor_digits
from rewards.metrics.result import Definition, Evidence, Interval, Result, Unit

#: What stands where there is no figure.
NOT_KNOWN = "–"
_MINUS = "\N{MINUS SIGN}"
_NO_BREAK = "\N{NO-BREAK SPACE}"
_LOCALE = "en"
#: Parts of a quotient that are money, told by the words that define them.
_MONEY = re.compile(r"\b(revenue|amount|spend|spent|money|margin|cost|value|minor|worth)", re.IGNORECASE)
_PEOPLE = re.compile(r"\b(customers?|buyers?|people|answers?|respondents?|accounts?|number)\b", re.IGNORECASE)


class Grade(NamedTuple):
    """What a figure rests on, for people.

    Attributes:
        label: for a badge.
        meaning: in a sentence.
        kind: of the badge: ``good``, ``warn``, ``accent`` or none.
        is_comparison: whether it grades a comparison rather than saying how a figure came about.
    """

    label: str
    meaning: str
    kind: str
    is_comparison: bool = False


GRADES: Mapping[Evidence, Grade] = {
    "measured": Grade("counted", "Counted from what is on record; nothing is assumed.", ""),
    "estimated": Grade(
        "estimated",
        "Worked out by a model from what is on record; it may be off by more than its interval.",
        "",
    ),
    "A": Grade(
        "Evidence A: randomised",
        "Chance alone decided who was in which group, so the difference is what the program did, within the interval.",
        "good",
        True,
    ),
    "B": Grade(
        "Evidence B: not chosen by customers",
        "The groups were formed by a roll-out or a threshold that customers did not choose. The difference is what the "
        "program did if the checks beside it hold.",
        "accent",
        True,
    ),
    "C": Grade(
        "Evidence C: adjusted association",
        "Customers chose for themselves, and the figures were adjusted for what was known of them before. What was not "
        "known can still explain the difference.",
        "warn",
        True,
    ),
    "D": Grade(
        "Evidence D: description only",
        "Customers chose for themselves. The difference says who they are, not what the program did.",
        "warn",
        True,
    ),
}


def figure(value: Any, unit: Unit, currency: str, *, signed: bool = False) -> str:
    """Write one value in words, :data:`NOT_KNOWN` where it is None.

    Args:
        value: in ``unit``; a month or date may be a text as JSON has it.
        unit: of the value.
        currency: of money, ISO 4217.
        signed: say ``+`` of what is more than nothing; differences in percentage points always do.
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return NOT_KNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if unit in ("text", "date", "month") or isinstance(value, str | date):
        return _named(value, unit)
    return _signs(value, _PLAIN[unit](abs(value), currency), signed=signed or unit == "points_pct")


def headline(value: Any, unit: Unit, currency: str) -> str:
    """Write a value in large type: briefly, and an amount of a thousand and more without its minor units."""
    if unit == "points_pct" and isinstance(value, int | float):
        return f"{short(value, unit, currency)}{_NO_BREAK}points"
    major = 10 ** minor_digits(currency) if unit == "minor" else 1
    if unit == "minor" and isinstance(value, int | float) and abs(value) >= 1000 * major:
        return _signs(
            value, wording.money(round(abs(value) / major) * major, currency, brief=True), signed=False
        )
    return figure(value, unit, currency)


def short(value: Any, unit: Unit, currency: str) -> str:
    """Write a value for a table's cell, whose heading says what it is."""
    if unit == "points_pct" and isinstance(value, int | float):
        return _signs(value, _decimal(abs(value) * 100, 1), signed=True)
    if unit in ("days", "points") and isinstance(value, int | float):
        return _signs(value, _count(abs(value), currency), signed=False)
    return figure(value, unit, currency)


def heading(text: str, unit: Unit) -> str:
    """Return a column's heading, which says of what :func:`short` leaves out."""
    beside = {"points_pct": "percentage points", "days": "days", "points": "points"}.get(unit, "")
    return text if not beside or beside in text.lower() else f"{text} ({beside})"


def between(interval: Interval, unit: Unit, currency: str) -> str:
    """Write an interval: ``between 35.1% and 39.8%``, ``between −0.4 and +3.1 percentage points``."""
    low, high = interval.low, interval.high
    if unit == "points_pct":
        return f"between {short(low, unit, currency)} and {figure(high, unit, currency)}"
    if unit in ("days", "points"):
        return f"between {short(low, unit, currency)} and {figure(high, unit, currency)}"
    signed = low < 0
    return f"between {figure(low, unit, currency, signed=signed)} and {figure(high, unit, currency, signed=signed)}"


def sureness(interval: Interval) -> str:
    """Say how sure an interval is: ``95% interval``."""
    return f"{_decimal(interval.level * 100, 1)}% interval"


def counted(result: Result, definition: Definition, currency: str) -> str:
    """Write what was divided by what: ``1,203 of 3,217``; "" where the value is no quotient."""
    if result.numerator is None or result.denominator is None:
        return ""
    above = _part(result.numerator, definition.numerator, currency, money=result.unit == "minor")
    below = _part(result.denominator, definition.denominator, currency, money=False)
    return f"{above} {'of' if result.unit in ('share', 'points_pct') else 'over'} {below}"


def counted_in_full(result: Result, definition: Definition, currency: str) -> str:
    """Say in a sentence what was divided by what, and what each of them counts; "" where the value is no quotient."""
    if not counted(result, definition, currency):
        return ""
    above, below = (
        _part(each, phrase, currency, money=money)
        for each, phrase, money in (
            (result.numerator or 0, definition.numerator, result.unit == "minor"),
            (result.denominator or 0, definition.denominator, False),
        )
    )
    joint = "of" if result.unit in ("share", "points_pct") else "divided by"
    return f"{_counting(above, definition.numerator)}, {joint} {_counting(below, definition.denominator)}."


def sentence(result: Result, definition: Definition, currency: str) -> str:
    """Say in a sentence what a metric comes to, its interval and counts included, or why there is no figure."""
    if result.value is None:
        return result.reason_if_null or ""
    parts = [figure(result.value, result.unit, currency)]
    if result.interval is not None:
        parts.append(f"{between(result.interval, result.unit, currency)} ({sureness(result.interval)})")
    counts = counted(result, definition, currency)
    return ", ".join(parts) + (f"; {counts}" if counts else "")


def argument(value: Any) -> str:
    """Write what a parameter was set to."""
    if value is None:
        return "not set"
    if isinstance(value, float):
        return _decimal(value, 4)
    if isinstance(value, list | tuple):
        return ", ".join(map(argument, value))
    return _named(value, "text")


def _counting(figure: str, phrase: str) -> str:
    if not phrase:
        return figure
    return f"{figure} {phrase}" if _PEOPLE.match(phrase) else f"{figure} ({phrase})"


def _part(value: float, phrase: str, currency: str, *, money: bool) -> str:
    is_money = (money or _MONEY.search(phrase) is not None) and not _PEOPLE.match(phrase)
    return figure(value, "minor" if is_money else "count", currency)


def _signs(value: float, text: str, *, signed: bool) -> str:
    is_zero = not any("1" <= each <= "9" for each in text)
    if is_zero or (value > 0 and not signed):
        return text
    return ("+" if value > 0 else _MINUS) + text


def _named(value: Any, unit: Unit) -> str:
    if isinstance(value, str) and unit in ("date", "month"):
        try:
            value = date.fromisoformat(value if len(value) > 7 else f"{value}-01")
        except ValueError:
            return str(value)
    if isinstance(value, datetime):
        value = value.date()
    if isinstance(value, date):
        return wording.month(value) if unit == "month" else wording.day(value)
    return str(value)


def _decimal(value: float, digits: int) -> str:
    """Write a number with at most so many decimals, fewer where they are zeros."""
    text: str = format_decimal(round(value, digits), format="#,##0." + "#" * digits, locale=_LOCALE)
    return text


def _percent(value: float, _: str) -> str:
    percent = value * 100
    # A share of less than a tenth of a percent would be no share at all with one decimal.
    digits = 1 if percent >= 1 or not percent else 2 if percent >= 0.1 else 3
    text = format_decimal(round(percent, digits), format="#,##0." + "0" + "#" * (digits - 1), locale=_LOCALE)
    return f"{text.removesuffix('.0') if percent in (0, 100) else text}%"


def _points_pct(value: float, _: str) -> str:
    return f"{format_decimal(round(value * 100, 1), format='#,##0.0', locale=_LOCALE)}{_NO_BREAK}percentage points"


def _money(value: float, currency: str) -> str:
    return wording.money(round(value), currency)


def _count(value: float, _: str) -> str:
    whole = round(value)
    if abs(value - whole) < 1e-9 or value >= 1000:
        return wording.number(whole)
    return _decimal(value, 1 if value >= 10 else 2)


def _points(value: float, currency: str) -> str:
    return f"{_count(value, currency)}{_NO_BREAK}{'point' if value == 1 else 'points'}"


def _days(value: float, currency: str) -> str:
    return f"{_count(value, currency)}{_NO_BREAK}{'day' if value == 1 else 'days'}"


def _score(value: float, _: str) -> str:
    return _decimal(value, 1 if value >= 10 else 2 if value >= 0.1 else 4)


_PLAIN = {
    "share": _percent,
    "points_pct": _points_pct,
    "minor": _money,
    "count": _count,
    "points": _points,
    "days": _days,
    "score": _score,
    "ratio": _score,
}
