import pytest

from rewards.program.durations import Duration, parse_duration, parse_month_day


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("P12M", Duration(months=12)),
        ("P1Y", Duration(months=12)),
        ("P1Y6M", Duration(months=18)),
        ("P2W", Duration(days=14)),
        ("P1W3D", Duration(days=10)),
        ("P14D", Duration(days=14)),
        ("PT30M", Duration(seconds=1800)),
        ("PT36H", Duration(seconds=129_600)),
        ("PT90S", Duration(seconds=90)),
        ("P1Y2M3DT4H5M6S", Duration(months=14, days=3, seconds=14_706)),
        ("P0D", Duration()),
        ("P100Y", Duration(months=1200)),
    ],
)
def test_durations_are_read(text: str, duration: Duration) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    [
        "",
        "P",
        "PT",
        "P1YT",
        "12M",
        "P12X",
        "p12m",
        "P-1D",
        "P1.5D",
        "P1D2W",
        "P1M1Y",
        "P1H",
        " P1D",
        "P1D\n",
        "P٣D",
    ],
)
def test_what_is_not_a_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an ISO 8601 duration: .* \(write for example P12M"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["P101Y", "P1201M", "P36600D", "P9999Y", "PT999999999M", "P99Y12M1D"])
def test_more_than_a_century_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="longer than 100 years"):
        parse_duration(text)


def test_only_no_time_at_all_is_false() -> None:
    assert not parse_duration("P0D")
    assert parse_duration("PT1S")


@pytest.mark.parametrize(("text", "day"), [("06-30", (6, 30)), ("12-31", (12, 31)), ("02-29", (2, 29))])
def test_days_of_the_year_are_read(text: str, day: tuple[int, int]) -> None:
    assert parse_month_day(text) == day


@pytest.mark.parametrize(
    "text", ["6-30", "13-01", "00-10", "04-31", "02-30", "01-00", "2026-06-30", "0630", "", "٠٦-٣٠"]
)
def test_what_is_not_a_day_of_the_year_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a day of the year"):
        parse_month_day(text)
