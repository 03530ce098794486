import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.core.money import (
    LARGEST_AMOUNT_MINOR,
    currency_codes,
    format_minor,
    known_currency,
    minor_digits,
    parse_major,
)


@pytest.mark.parametrize(
    ("currency", "digits"),
    # RSD, LBP, IQD and AFN are where a locale's habits differ from ISO 4217.
    [
        ("GBP", 2),
        ("USD", 2),
        ("JPY", 0),
        ("KRW", 0),
        ("KWD", 3),
        ("BHD", 3),
        ("CLF", 4),
        ("RSD", 2),
        ("IQD", 3),
    ],
)
def test_decimals_are_those_of_iso_4217(currency: str, digits: int) -> None:
    assert minor_digits(currency) == digits


@pytest.mark.parametrize("code", ["", "gbp", "GB", "GBPP", "ABC", "DEM", "XAU", "XTS", "XXX", "€"])
def test_codes_without_current_money_are_not_known(code: str) -> None:
    assert not known_currency(code)
    with pytest.raises(ValueError, match="is not an ISO 4217 currency code"):
        minor_digits(code)


def test_every_known_currency_has_decimals() -> None:
    codes = currency_codes()
    assert len(codes) > 150
    assert all(known_currency(code) and 0 <= minor_digits(code) <= 4 for code in codes)


@pytest.mark.parametrize(
    ("amount_minor", "currency", "text"),
    [
        (4999, "GBP", "49.99"),
        (5, "GBP", "0.05"),
        (0, "GBP", "0.00"),
        (-5, "GBP", "-0.05"),
        (-4999, "GBP", "-49.99"),
        (4999, "JPY", "4999"),
        (-3, "JPY", "-3"),
        (4999, "KWD", "4.999"),
        (1, "CLF", "0.0001"),
        (2**53, "USD", "90071992547409.92"),
    ],
)
def test_amounts_are_written_as_plain_decimals(amount_minor: int, currency: str, text: str) -> None:
    assert format_minor(amount_minor, currency) == text


@pytest.mark.parametrize(
    ("text", "currency", "amount_minor"),
    [
        ("49.99", "GBP", 4999),
        (" 49.9 ", "GBP", 4990),
        ("49", "GBP", 4900),
        ("49.9900", "GBP", 4999),
        ("-1.05", "GBP", -105),
        ("+1.05", "GBP", 105),
        ("0.07", "GBP", 7),
        ("500", "JPY", 500),
        ("500.00", "JPY", 500),
        ("1.234", "KWD", 1234),
        ("90071992547409.92", "USD", 2**53),
    ],
)
def test_amounts_are_read_exactly(text: str, currency: str, amount_minor: int) -> None:
    assert parse_major(text, currency) == amount_minor


@pytest.mark.parametrize(
    ("text", "currency", "why"),
    [
        ("49.999", "GBP", "49.999 has more decimals than GBP has"),
        ("1.5", "JPY", "more decimals than JPY has"),
        ("90071992547409.93", "USD", "larger than an amount can be"),
        ("9" * 20, "USD", "larger than an amount can be"),
        ("9" * 5000, "USD", "is not an amount"),
        ("", "GBP", "is not an amount; write it like 49.99"),
        ("1,000.00", "GBP", "is not an amount"),
        ("1e3", "GBP", "is not an amount"),
        ("NaN", "GBP", "is not an amount"),
        ("£5", "GBP", "is not an amount"),
        (".5", "GBP", "is not an amount"),
        ("٤٩", "GBP", "is not an amount"),
        ("5", "ABC", "is not an ISO 4217 currency code"),
    ],
)
def test_what_is_not_an_exact_amount_is_refused(text: str, currency: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_major(text, currency)


@given(
    st.integers(-LARGEST_AMOUNT_MINOR, LARGEST_AMOUNT_MINOR),
    st.sampled_from(["GBP", "JPY", "KWD", "CLF"]),
)
def test_what_is_written_is_read_back(amount_minor: int, currency: str) -> None:
    assert parse_major(format_minor(amount_minor, currency), currency) == amount_minor
