"""Money as integer minor units of an ISO 4217 currency.

The number of decimals comes from the standard's own table, not from a locale's habits: CLDR, which libraries
such as Babel carry, writes Serbian dinars or Albanian lek without decimals, while shops and payment providers
count their minor units by ISO 4217.
"""

import re
from functools import cache, lru_cache

#: Amounts beyond this are refused: JSON readers keep integers exact only up to here.
LARGEST_AMOUNT_MINOR = 2**53

_DECIMAL = re.compile(r"([+-]?)([0-9]{1,20})(?:\.([0-9]{1,20}))?", re.ASCII)


@cache
def _digits_by_currency() -> dict[str, int]:
    # Imported here because reading the table costs 20 ms, which `rewards --help` need not pay.
    from iso4217 import Currency

    # Gold, drawing rights and test codes have no minor unit, so no amount can be kept in them.
    return {currency.code: currency.exponent for currency in Currency if currency.exponent is not None}


def known_currency(code: str) -> bool:
    """Say whether ``code`` is a currency of ISO 4217 in use today, in capitals, that has a minor unit."""
    return code in _digits_by_currency()


def currency_codes() -> tuple[str, ...]:
    """Return the codes of all known currencies, sorted."""
    return tuple(sorted(_digits_by_currency()))


@cache
def minor_digits(currency: str) -> int:
    """Return how many decimals the currency's major unit has: 2 for GBP, 0 for JPY, 3 for KWD.

    Raises:
        ValueError: the currency is not known.
    """
    try:
        return _digits_by_currency()[currency]
    except KeyError:
        raise ValueError(f"{currency!r} is not an ISO 4217 currency code such as 'USD'") from None


@lru_cache(maxsize=4096)
def format_minor(amount_minor: int, currency: str) -> str:
    """Write an amount as a plain decimal in major units: ``4999`` GBP is ``49.99``, ``4999`` JPY is ``4999``.

    Raises:
        ValueError: the currency is not known.
    """
    digits = minor_digits(currency)
    if not digits:
        return str(amount_minor)
    if amount_minor < 0:
        return "-" + format_minor(-amount_minor, currency)
    major, minor = divmod(amount_minor, 10**digits)
    return f"{major}.{minor:0{digits}d}"


def parse_major(text: str, currency: str) -> int:
    """Read a plain decimal in major units, such as ``49.99`` or ``-5``, as minor units, exactly.

    Raises:
        ValueError: not a plain decimal, more decimals than the currency has (zeros aside), an amount beyond
            2^53 minor units, or an unknown currency. The message says which.
    """
    digits = minor_digits(currency)
    match = _DECIMAL.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:40]!r} is not an amount; write it like {format_minor(4999, currency)}")
    sign, whole, decimals = match[1], match[2], (match[3] or "").rstrip("0")
    if len(decimals) > digits:
        raise ValueError(f"{text.strip()} has more decimals than {currency} has ({digits})")
    amount_minor = int(whole + decimals.ljust(digits, "0"))
    if amount_minor > LARGEST_AMOUNT_MINOR:
        raise ValueError(f"{text.strip()} {currency} is larger than an amount can be")
    return -amount_minor if sign == "-" else amount_minor
