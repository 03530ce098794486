"""Numbers, money and dates as people read them, in English: ``1,234 points``, ``£12.50``, ``22 Nov 2026``."""

from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal, get_currency_symbol

from rewards.core.money import format_minor, minor_digits

_LOCALE = "en"
_NO_BREAK = "\N{NO-BREAK SPACE}"


def number(value: int) -> str:
    """Write a whole number with thousands separators; a negative one with a minus sign, not a hyphen."""
    text = format_decimal(abs(value), locale=_LOCALE)
    return f"\N{MINUS SIGN}{text}" if value < 0 else text


def points(value: int) -> str:
    """Write a number of points: ``1 point``, ``1,234 points``."""
    return f"{number(value)}{_NO_BREAK}{'point' if abs(value) == 1 else 'points'}"


def money(amount_minor: int, currency: str, *, brief: bool = False) -> str:
    """Write an amount, none of them negative: ``£12.50``, ``¥4,999``, ``KWD 1.250``.

    Args:
        amount_minor: integer minor units.
        currency: ISO 4217 code. Its decimals are those of ISO 4217, whatever the locale is used to.
        brief: leave decimals out where they are all zeros: ``£1``.
    """
    digits = minor_digits(currency)
    is_whole = brief and amount_minor % 10**digits == 0
    pattern = "#,##0" + ("" if is_whole or not digits else "." + "0" * digits)
    amount = format_decimal(Decimal(format_minor(amount_minor, currency)), format=pattern, locale=_LOCALE)
    symbol = get_currency_symbol(currency, locale=_LOCALE)
    return f"{symbol}{_NO_BREAK if symbol[-1].isalpha() else ''}{amount}"


def day(value: date) -> str:
    """Write a date: ``22 Nov 2026``. No line is broken inside it."""
    return format_date(value, "d MMM y", locale=_LOCALE).replace(" ", _NO_BREAK)


def day_and_month(value: date) -> str:
    """Write a date whose year is told elsewhere: ``22 Nov``."""
    return format_date(value, "d MMM", locale=_LOCALE).replace(" ", _NO_BREAK)


def month(value: date) -> str:
    """Write the month of a date: ``November 2026``."""
    return format_date(value, "MMMM y", locale=_LOCALE)


def minute(instant: datetime, zone: ZoneInfo) -> str:
    """Write an instant on the clocks of ``zone``: ``22 Nov 2026, 14:05``."""
    return format_datetime(instant, "d MMM y, HH:mm", tzinfo=zone, locale=_LOCALE).replace(" ", _NO_BREAK)
