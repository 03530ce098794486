"""Days, and how long what was done on them counts."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from rewards.program.ladder import (
    AnniversaryPeriods,
    CalendarPeriods,
    Ladder,
    Lifetime,
    ProgramDates,
    Rolling,
)
from tiers.ladder import CompiledLadder
from tiers.windows import compile_window, days_of, end_of

LONDON = ZoneInfo("Europe/London")


def _day(text: str) -> int:
    return date.fromisoformat(text).toordinal()


def _text(day: int | None) -> str | None:
    return None if day is None else date.fromordinal(day).isoformat()


@pytest.mark.parametrize(
    ("period", "done", "counts_until"),
    [
        ("P12M", "2026-03-05", "2027-03-04"),
        ("P1Y", "2024-02-28", "2025-02-27"),
        ("P12M", "2024-02-29", "2025-02-27"),
        ("P12M", "2023-02-28", "2024-02-27"),
        ("P1M", "2026-01-31", "2026-02-27"),
        ("P1M", "2026-02-28", "2026-03-27"),
        ("P30D", "2026-03-05", "2026-04-03"),
        ("P2W", "2026-12-25", "2027-01-07"),
        ("P1D", "2026-03-05", "2026-03-05"),
        ("P1M1D", "2026-01-31", "2026-02-28"),
    ],
)
def test_a_rolling_window_lets_go_at_the_beginning_of_a_day(
    period: str, done: str, counts_until: str
) -> None:
    drop, periods = compile_window(Rolling(type="rolling", period=period))
    assert drop is not None
    assert periods is None
    assert _text(drop(_day(done)) - 1) == counts_until


def test_a_lifetime_lets_nothing_go() -> None:
    assert compile_window(Lifetime(type="lifetime")) == (None, None)


@pytest.mark.parametrize(
    ("unit", "day", "first", "last"),
    [
        ("year", "2026-01-01", "2026-01-01", "2026-12-31"),
        ("year", "2024-12-31", "2024-01-01", "2024-12-31"),
        ("quarter", "2026-03-31", "2026-01-01", "2026-03-31"),
        ("quarter", "2026-12-01", "2026-10-01", "2026-12-31"),
        ("month", "2024-02-29", "2024-02-01", "2024-02-29"),
        ("month", "2026-12-31", "2026-12-01", "2026-12-31"),
    ],
)
def test_calendar_periods(unit: str, day: str, first: str, last: str) -> None:
    drop, periods = compile_window(CalendarPeriods.model_validate({"type": "calendar", "unit": unit}))
    assert drop is None
    assert periods is not None
    start, end = periods(_day(day), 0)
    assert (_text(start), _text(end - 1)) == (first, last)


@pytest.mark.parametrize(
    ("joined", "day", "first", "last"),
    [
        ("2026-05-10", "2026-05-10", "2026-05-10", "2027-05-09"),
        ("2026-05-10", "2027-05-09", "2026-05-10", "2027-05-09"),
        ("2026-05-10", "2027-05-10", "2027-05-10", "2028-05-09"),
        ("2024-02-29", "2025-02-27", "2024-02-29", "2025-02-27"),
        ("2024-02-29", "2025-02-28", "2025-02-28", "2026-02-27"),
        ("2024-02-29", "2028-02-28", "2027-02-28", "2028-02-28"),
        ("2024-02-29", "2028-02-29", "2028-02-29", "2029-02-27"),
        # Before joining it is the first year already, and nothing counts to it yet.
        ("2026-05-10", "2025-01-01", "2026-05-10", "2027-05-09"),
        ("2026-05-10", "2026-05-09", "2026-05-10", "2027-05-09"),
    ],
)
def test_membership_years(joined: str, day: str, first: str, last: str) -> None:
    _, periods = compile_window(AnniversaryPeriods(type="anniversary"))
    assert periods is not None
    start, end = periods(_day(day), _day(joined))
    assert (_text(start), _text(end - 1)) == (first, last)


@pytest.mark.parametrize(
    ("dates", "day", "first", "last"),
    [
        (("04-01", "10-01"), "2026-03-31", "2025-10-01", "2026-03-31"),
        (("04-01", "10-01"), "2026-04-01", "2026-04-01", "2026-09-30"),
        (("10-01", "04-01"), "2026-12-31", "2026-10-01", "2027-03-31"),
        (("07-01",), "2026-06-30", "2025-07-01", "2026-06-30"),
        (("02-29",), "2025-02-28", "2025-02-28", "2026-02-27"),
        (("02-29",), "2024-02-28", "2023-02-28", "2024-02-28"),
        # In a year without 29 February both are one day.
        (("02-28", "02-29"), "2025-02-28", "2025-02-28", "2026-02-27"),
        (("02-28", "02-29"), "2024-02-28", "2024-02-28", "2024-02-28"),
    ],
)
def test_periods_between_dates(dates: tuple[str, ...], day: str, first: str, last: str) -> None:
    _, periods = compile_window(ProgramDates(type="dates", dates=dates))
    assert periods is not None
    start, end = periods(_day(day), 0)
    assert (_text(start), _text(end - 1)) == (first, last)


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        ("Europe/London", "2026-01-15", "2026-01-15T00:00"),
        ("Europe/London", "2026-07-15", "2026-07-14T23:00"),
        # The clocks go from 24:00 to 01:00, so that the day has no midnight.
        ("America/Santiago", "2026-09-06", "2026-09-06T04:00"),
        # The clocks go from 24:00 back to 23:00: the day before has 25 hours.
        ("America/Santiago", "2026-04-05", "2026-04-05T04:00"),
        # From 01:00 back to midnight: the day begins with the first of two midnights.
        ("America/Havana", "2026-11-01", "2026-11-01T04:00"),
        ("Pacific/Kiritimati", "2026-01-01", "2025-12-31T10:00"),
    ],
)
def test_a_day_begins_with_its_first_moment(zone: str, day: str, begins: str) -> None:
    days = days_of(ZoneInfo(zone))
    at = days.begins(_day(day))
    assert at == datetime.fromisoformat(begins).replace(tzinfo=UTC)
    assert days.of(at) == _day(day)
    assert days.of(at - timedelta(microseconds=1)) == _day(day) - 1


@pytest.mark.parametrize(
    ("unit", "day", "last"),
    [
        ("month", "2026-02-28", "2026-02-28"),
        ("month", "2024-02-28", "2024-02-29"),
        ("year", "2026-03-05", "2026-12-31"),
    ],
)
def test_ends_of_months_and_years(unit: str, day: str, last: str) -> None:
    assert _text(end_of(unit, _day(day)) - 1) == last


def _ladder(**parts: object) -> CompiledLadder:
    tiers = [
        {"id": "bronze", "name": "Bronze"},
        {"id": "silver", "name": "Silver", "ways_in": [{"orders": 1}]},
    ]
    return CompiledLadder(Ladder.model_validate({"tiers": tiers, **parts}), LONDON)


@pytest.mark.parametrize(
    ("lasts", "window", "reached", "last", "renewed"),
    [
        ({"type": "for_ever"}, "lifetime", "2026-03-05", None, None),
        ({"type": "while_qualified"}, "lifetime", "2026-03-05", None, None),
        ({"type": "after", "period": "P12M"}, "lifetime", "2026-03-05", "2027-03-05", "2028-03-05"),
        ({"type": "after", "period": "P12M"}, "lifetime", "2024-02-29", "2025-02-28", "2026-02-28"),
        ({"type": "after", "period": "P90D"}, "lifetime", "2026-01-01", "2026-04-01", "2026-06-30"),
        (
            {"type": "after", "period": "P12M", "round_up_to": "month"},
            "lifetime",
            "2026-03-05",
            "2027-03-31",
            "2028-03-31",
        ),
        (
            {"type": "after", "period": "P12M", "round_up_to": "year"},
            "lifetime",
            "2026-03-05",
            "2027-12-31",
            "2028-12-31",
        ),
        ({"type": "period_end"}, "calendar", "2026-03-05", "2026-12-31", "2027-12-31"),
        ({"type": "period_end", "more_periods": 2}, "calendar", "2026-03-05", "2028-12-31", "2029-12-31"),
        ({"type": "period_end"}, "anniversary", "2026-03-05", "2026-05-09", "2027-05-09"),
    ],
)
def test_how_long_a_standing_lasts(
    lasts: dict[str, object], window: str, reached: str, last: str | None, renewed: str | None
) -> None:
    ladder, joined = _ladder(lasts=lasts, window={"type": window}), _day("2020-05-10")
    ends = ladder.reached(_day(reached), joined)
    assert _text(None if ends is None else ends - 1) == last
    if ends is not None:
        again = ladder.renewed(ends, joined)
        assert _text(None if again is None else again - 1) == renewed
    never = _ladder(lasts=lasts, window={"type": window}, downgrade={"to": "none"})
    assert never.reached(_day(reached), joined) is None


@pytest.mark.parametrize(
    ("grace", "rounded", "ended", "last"),
    [
        ("P1M", None, "2027-03-05", "2027-04-05"),
        ("P1M", "month", "2027-03-05", "2027-04-30"),
        ("P1M", "month", "2026-12-31", "2027-01-31"),
        ("P0D", "month", "2027-03-05", "2027-03-31"),
        ("P0D", "month", "2027-03-31", "2027-04-30"),
        ("P1M", None, "2027-01-30", "2027-02-27"),
        ("P10D", None, "2027-03-05", "2027-03-15"),
    ],
)
def test_how_long_a_grace_is(grace: str, rounded: str | None, ended: str, last: str) -> None:
    """``ended`` is the last day of the standing."""
    ladder = _ladder(downgrade={"grace": grace, "round_up_to": rounded})
    assert _text(ladder.grace_ends(_day(ended) + 1) - 1) == last
