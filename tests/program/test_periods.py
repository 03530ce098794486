"""Instants are written with the offset that the zone's clocks show; results are compared in UTC."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rewards.program import periods
from rewards.program.durations import parse_duration
from rewards.program.points import PointsPolicy

LONDON = ZoneInfo("Europe/London")
ZONES = [
    "UTC",
    "Europe/London",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Africa/Cairo",
]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("start", "duration", "zone", "end"),
    [
        # Month ends
        ("2026-01-31T12:00:00+00:00", "P1M", "Europe/London", "2026-02-28T12:00:00+00:00"),
        ("2028-01-31T12:00:00+00:00", "P1M", "Europe/London", "2028-02-29T12:00:00+00:00"),
        ("2026-01-31T12:00:00+00:00", "P3M", "Europe/London", "2026-04-30T12:00:00+01:00"),
        ("2026-12-31T12:00:00+00:00", "P2M", "Europe/London", "2027-02-28T12:00:00+00:00"),
        ("2026-12-01T12:00:00+00:00", "P1M", "Europe/London", "2027-01-01T12:00:00+00:00"),
        ("2026-03-30T12:00:00+00:00", "P11M", "UTC", "2027-02-28T12:00:00+00:00"),
        # 29 February
        ("2028-02-29T12:00:00+00:00", "P1Y", "Europe/London", "2029-02-28T12:00:00+00:00"),
        ("2028-02-29T12:00:00+00:00", "P4Y", "Europe/London", "2032-02-29T12:00:00+00:00"),
        ("2096-02-29T12:00:00+00:00", "P4Y", "UTC", "2100-02-28T12:00:00+00:00"),
        # Months come first, then days: 31 January, 28 February, 1 March
        ("2026-01-31T12:00:00+00:00", "P1M1D", "UTC", "2026-03-01T12:00:00+00:00"),
        # The wall clock stays, whatever the offset does
        ("2026-03-28T12:00:00+00:00", "P1D", "Europe/London", "2026-03-29T12:00:00+01:00"),
        ("2026-10-24T12:00:00+01:00", "P1D", "Europe/London", "2026-10-25T12:00:00+00:00"),
        ("2026-01-15T09:00:00-05:00", "P6M", "America/New_York", "2026-07-15T09:00:00-04:00"),
        # Hours are elapsed time
        ("2026-03-28T12:00:00+00:00", "PT24H", "Europe/London", "2026-03-29T13:00:00+01:00"),
        ("2026-10-24T12:00:00+01:00", "PT24H", "Europe/London", "2026-10-25T11:00:00+00:00"),
        ("2026-03-28T12:00:00+00:00", "P1DT1H", "Europe/London", "2026-03-29T13:00:00+01:00"),
        # A time that the clocks skip moves on by what they skipped
        ("2026-03-28T01:30:00+00:00", "P1D", "Europe/London", "2026-03-29T02:30:00+01:00"),
        ("2026-02-28T01:30:00+00:00", "P1M1D", "Europe/London", "2026-03-29T02:30:00+01:00"),
        ("2026-10-03T02:15:00+10:30", "P1D", "Australia/Lord_Howe", "2026-10-04T02:45:00+11:00"),
        # A time that comes twice means the first
        ("2026-10-24T01:30:00+01:00", "P1D", "Europe/London", "2026-10-25T01:30:00+01:00"),
        # …but no time at all moves nothing, in the second hour either
        ("2026-10-25T01:30:00+00:00", "P0D", "Europe/London", "2026-10-25T01:30:00+00:00"),
        ("2026-10-25T01:30:00+00:00", "PT1H", "Europe/London", "2026-10-25T02:30:00+00:00"),
        # The zone's date counts, not that of UTC
        ("2026-01-31T23:30:00-05:00", "P1M", "America/New_York", "2026-02-28T23:30:00-05:00"),
        ("2026-02-01T04:30:00+00:00", "P1M", "America/New_York", "2026-02-28T23:30:00-05:00"),
        ("2026-02-01T04:30:00+00:00", "P1M", "UTC", "2026-03-01T04:30:00+00:00"),
        # Apia had no 30 December 2011
        ("2011-12-29T12:00:00-10:00", "P1D", "Pacific/Apia", "2011-12-31T12:00:00+14:00"),
    ],
)
def test_a_period_later(start: str, duration: str, zone: str, end: str) -> None:
    result = periods.add(at(start), parse_duration(duration), ZoneInfo(zone))
    assert result == at(end)
    assert result.tzinfo is UTC


@pytest.mark.parametrize(
    ("instant", "zone", "month", "year"),
    [
        ("2026-01-31T23:59:59+00:00", "UTC", "2026-02-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"),
        # The first instant of a month belongs to it
        ("2026-02-01T00:00:00+00:00", "UTC", "2026-03-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"),
        ("2026-12-31T23:30:00+00:00", "UTC", "2027-01-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"),
        # Already the next month, and year, in Kathmandu
        ("2026-12-31T23:30:00+00:00", "Asia/Kathmandu", "2027-02-01T00:00+05:45", "2028-01-01T00:00+05:45"),
        ("2026-03-15T12:00:00+00:00", "Europe/London", "2026-04-01T00:00:00+01:00", "2027-01-01T00:00+00:00"),
        # In Beirut 1 June 1988 began at 01:00, when the clocks changed
        ("1988-05-20T12:00:00+02:00", "Asia/Beirut", "1988-06-01T01:00:00+03:00", "1989-01-01T00:00+02:00"),
    ],
)
def test_ends_of_month_and_year(instant: str, zone: str, month: str, year: str) -> None:
    assert periods.end_of_month(at(instant), ZoneInfo(zone)) == at(month)
    assert periods.end_of_year(at(instant), ZoneInfo(zone)) == at(year)


def policy(expiry: dict[str, Any], pending: str | None = None) -> PointsPolicy:
    return PointsPolicy.model_validate({"pending": pending, "expiry": expiry})


@pytest.mark.parametrize(
    ("expiry", "earned", "expires"),
    [
        ({"type": "never"}, "2026-01-31T12:00+00:00", None),
        ({"type": "inactivity", "period": "P12M"}, "2026-01-31T12:00+00:00", None),
        (
            {"type": "after", "period": "P12M"},
            "2026-06-15T12:34:56.789+01:00",
            "2027-06-15T12:34:56.789+01:00",
        ),
        ({"type": "after", "period": "P1M"}, "2026-01-31T12:00+00:00", "2026-02-28T12:00+00:00"),
        (
            {"type": "after", "period": "P1M", "round_up_to": "month"},
            "2026-01-31T12:00+00:00",
            "2026-03-01T00:00+00:00",
        ),
        (
            {"type": "after", "period": "P12M", "round_up_to": "month"},
            "2026-05-01T00:00+01:00",
            "2027-06-01T00:00+01:00",
        ),
        (
            {"type": "after", "period": "P12M", "round_up_to": "year"},
            "2026-01-01T00:00+00:00",
            "2028-01-01T00:00+00:00",
        ),
        # Fixed dates: the end of the day, in the zone
        ({"type": "dates", "dates": ["12-31", "06-30"]}, "2026-02-01T12:00+00:00", "2026-07-01T00:00+01:00"),
        ({"type": "dates", "dates": ["06-30", "12-31"]}, "2026-07-01T00:00+01:00", "2027-01-01T00:00+00:00"),
        ({"type": "dates", "dates": ["06-30", "12-31"]}, "2026-06-30T23:59+01:00", "2026-07-01T00:00+01:00"),
        ({"type": "dates", "dates": ["03-31"]}, "2026-04-01T00:00+01:00", "2027-04-01T00:00+01:00"),
        (
            {"type": "dates", "dates": ["06-30", "12-31"], "minimum_life": "P90D"},
            "2026-04-02T12:00+01:00",
            "2027-01-01T00:00+00:00",
        ),
        (
            {"type": "dates", "dates": ["06-30", "12-31"], "minimum_life": "P90D"},
            "2026-04-01T12:00+01:00",
            "2026-07-01T00:00+01:00",
        ),
        (
            {"type": "dates", "dates": ["12-31"], "minimum_life": "P18M"},
            "2026-08-01T12:00+01:00",
            "2029-01-01T00:00+00:00",
        ),
        # 29 February is the last day of February
        ({"type": "dates", "dates": ["02-29"]}, "2027-01-15T12:00+00:00", "2027-03-01T00:00+00:00"),
        ({"type": "dates", "dates": ["02-29"]}, "2028-02-28T12:00+00:00", "2028-03-01T00:00+00:00"),
    ],
)
def test_expiry(expiry: dict[str, Any], earned: str, expires: str | None) -> None:
    result = periods.expires_at(policy(expiry), at(earned), LONDON)
    assert result == (None if expires is None else at(expires))
    assert result is None or result.tzinfo is UTC


def test_pending_points_wait_and_others_do_not() -> None:
    earned = at("2026-03-15T12:00+00:00")
    waiting = policy({"type": "never"}, "P14D")
    assert periods.available_at(waiting, earned, LONDON) == at("2026-03-29T12:00+01:00")
    assert periods.available_at(policy({"type": "never"}), earned, LONDON) == earned
    assert periods.available_at(policy({"type": "never"}, "P0D"), earned, LONDON) == earned


def test_inactivity_counts_from_the_last_activity() -> None:
    idle = policy({"type": "inactivity", "period": "P6M"})
    assert periods.inactive_at(idle, at("2026-08-31T12:00+01:00"), LONDON) == at("2027-02-28T12:00+00:00")
    assert periods.inactive_at(policy({"type": "never"}), at("2026-08-31T12:00+01:00"), LONDON) is None


def test_the_zone_of_the_instant_does_not_matter_and_the_second_of_two_equal_hours_is_told_apart() -> None:
    soon = policy({"type": "after", "period": "PT1H"})
    first = datetime(2026, 10, 25, 1, 30, tzinfo=LONDON)
    second = first.replace(fold=1)
    assert first == second  # so Python says, of one zone; the instants differ
    assert periods.expires_at(soon, first, LONDON) == at("2026-10-25T01:30:00+00:00")
    assert periods.expires_at(soon, second, LONDON) == at("2026-10-25T02:30:00+00:00")


def test_the_same_policy_answers_for_each_zone() -> None:
    yearly = policy({"type": "after", "period": "P1D", "round_up_to": "month"})
    earned = at("2026-06-10T12:00+00:00")
    assert periods.expires_at(yearly, earned, LONDON) == at("2026-07-01T00:00+01:00")
    assert periods.expires_at(yearly, earned, ZoneInfo("UTC")) == at("2026-07-01T00:00+00:00")


def test_many_policies_are_each_answered_for_themselves() -> None:
    earned = at("2026-06-10T12:00+00:00")
    for days in range(1, 400):  # more than are remembered
        lives = policy({"type": "after", "period": f"P{days}D"})
        assert periods.expires_at(lives, earned, ZoneInfo("UTC")) == earned + timedelta(days=days)


instants = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
durations = st.builds(
    "P{}Y{}M{}W{}DT{}H{}M".format,
    st.integers(0, 9),
    st.integers(0, 30),
    st.integers(0, 10),
    st.integers(0, 60),
    st.integers(0, 50),
    st.integers(0, 90),
)
zones = st.sampled_from(ZONES).map(ZoneInfo)


@given(instants, durations, zones)
def test_the_bounds_of_a_duration_hold(instant: datetime, text: str, zone: ZoneInfo) -> None:
    duration = parse_duration(text)
    taken = periods.add(instant, duration, zone) - instant
    slack = timedelta(days=1)  # Apia, which skipped a day
    assert duration.shortest() - slack <= taken <= duration.longest() + slack


@given(instants, zones)
def test_the_end_of_a_month_is_the_next_ones_first_instant(instant: datetime, zone: ZoneInfo) -> None:
    end = periods.end_of_month(instant, zone)
    wall, last, first = (moment.astimezone(zone) for moment in (instant, end - timedelta(seconds=1), end))
    assert end > instant
    assert (last.year, last.month) == (wall.year, wall.month)
    assert (first.year, first.month) == (wall.year + wall.month // 12, wall.month % 12 + 1)


@given(
    instants,
    st.sampled_from(
        ["PT1H", "PT36H", "P1D", "P14D", "P28D", "P30D", "P31D", "P1M", "P6W", "P12M", "P365D", "P366D"]
    ),
    st.one_of(
        st.fixed_dictionaries(
            {
                "type": st.just("after"),
                "period": st.sampled_from(
                    ["PT2H", "PT24H", "P1D", "P14D", "P31D", "P1M", "P2M", "P1Y", "P366D"]
                ),
                "round_up_to": st.sampled_from([None, "month", "year"]),
            }
        ),
        st.fixed_dictionaries(
            {
                "type": st.just("dates"),
                "dates": st.lists(
                    st.sampled_from(["01-01", "02-29", "06-30", "12-31"]), min_size=1, unique=True
                ),
                "minimum_life": st.sampled_from([None, "PT36H", "P14D", "P1M", "P31D", "P1Y"]),
            }
        ),
    ),
    zones,
)
def test_points_of_a_valid_policy_never_expire_before_they_are_available(
    earned: datetime, pending: str, expiry: dict[str, Any], zone: ZoneInfo
) -> None:
    try:
        points = policy(expiry, pending)
    except ValidationError:
        return
    expires = periods.expires_at(points, earned, zone)
    assert expires is not None
    assert expires > periods.available_at(points, earned, zone)
