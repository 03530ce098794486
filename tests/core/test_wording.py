"""Numbers, money and dates as people read them."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from rewards.core import wording


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (999, "999"), (1234567, "1,234,567"), (-1234, "\N{MINUS SIGN}1,234")]
)
def test_numbers_have_thousands(value: int, text: str) -> None:
    assert wording.number(value) == text


def test_one_point_is_a_point() -> None:
    assert [plain(wording.points(value)) for value in (0, 1, 2, 1000)] == [
        "0 points",
        "1 point",
        "2 points",
        "1,000 points",
    ]


@pytest.mark.parametrize(
    ("amount_minor", "currency", "text", "brief"),
    [
        (123456, "GBP", "£1,234.56", "£1,234.56"),
        (100, "GBP", "£1.00", "£1"),
        (4999, "JPY", "¥4,999", "¥4,999"),
        (1250, "KWD", "KWD 1.250", "KWD 1.250"),
        (100, "RSD", "RSD 1.00", "RSD 1"),
        (2**53, "USD", "$90,071,992,547,409.92", "$90,071,992,547,409.92"),
        (0, "EUR", "€0.00", "€0"),
    ],
)
def test_money_has_the_decimals_of_its_currency(
    amount_minor: int, currency: str, text: str, brief: str
) -> None:
    assert plain(wording.money(amount_minor, currency)) == text
    assert plain(wording.money(amount_minor, currency, brief=True)) == brief


def test_dates_can_be_read_one_way_only() -> None:
    assert plain(wording.day(date(2026, 2, 1))) == "1 Feb 2026"
    assert plain(wording.day_and_month(date(2026, 2, 1))) == "1 Feb"
    assert wording.month(date(2026, 2, 1)) == "February 2026"


def test_an_instant_is_told_on_the_clocks_of_its_zone() -> None:
    instant = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)
    assert plain(wording.minute(instant, ZoneInfo("Europe/London"))) == "2 Jul 2026, 00:30"
