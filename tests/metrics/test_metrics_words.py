"""Figures in words."""

from datetime import date

import pytest

from rewards.metrics.result import Definition, Interval, Result, Unit, nothing
from rewards.metrics.showing import words

N = "\N{NO-BREAK SPACE}"
DEFINITION = Definition(
    "rate", "Rate", "Retention", "share", "a ÷ b", "customers who bought twice", "customers who bought"
)


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.3526, "share", "35.3%"),
        (0.0, "share", "0%"),
        (1, "share", "100%"),
        (1.195, "share", "119.5%"),
        (0.0004, "share", "0.04%"),
        (-0.12, "share", "−12.0%"),
        (0.0134, "points_pct", f"+1.3{N}percentage points"),
        (-0.004, "points_pct", f"−0.4{N}percentage points"),
        (-0.00001, "points_pct", f"0.0{N}percentage points"),
        (1234567, "minor", "£12,345.67"),
        (-1250.4, "minor", "−£12.50"),
        (1234, "count", "1,234"),
        (12.25, "count", "12.2"),
        (1.5, "count", "1.5"),
        (1, "points", f"1{N}point"),
        (1234, "points", f"1,234{N}points"),
        (104, "days", f"104{N}days"),
        (1, "days", f"1{N}day"),
        (34.26, "score", "34.3"),
        (0.243, "ratio", "0.24"),
        ("2011-03", "month", "March 2011"),
        ("2011-03-09", "date", f"9{N}Mar{N}2011"),
        (date(2011, 3, 9), "date", f"9{N}Mar{N}2011"),
        ("no date", "date", "no date"),
        ("dormant", "text", "dormant"),
        (True, "text", "yes"),
        (None, "share", "–"),
        (float("nan"), "share", "–"),
        (float("inf"), "minor", "–"),
    ],
)
def test_a_value_is_written_as_its_unit_is(value: object, unit: Unit, said: str) -> None:
    assert words.figure(value, unit, "GBP") == said


def test_a_currency_without_decimals_has_none() -> None:
    assert words.figure(1234, "minor", "JPY") == "¥1,234"
    assert words.headline(1_048_281, "minor", "GBP") == "£10,483"
    assert words.headline(-1_048_281, "minor", "GBP") == "−£10,483"
    assert words.headline(99_999, "minor", "GBP") == "£999.99"
    assert words.headline(0.5, "share", "GBP") == "50.0%"


@pytest.mark.parametrize(
    ("interval", "unit", "said"),
    [
        (Interval(-0.004, 0.031), "points_pct", f"between −0.4 and +3.1{N}percentage points"),
        (Interval(0.3367, 0.3688), "share", "between 33.7% and 36.9%"),
        (Interval(-1250, 99), "minor", "between −£12.50 and +£0.99"),
        (Interval(98, 109), "days", f"between 98 and 109{N}days"),
    ],
)
def test_an_interval_says_both_ends(interval: Interval, unit: Unit, said: str) -> None:
    assert words.between(interval, unit, "GBP") == said


def test_counts_say_what_they_count() -> None:
    result = Result(0.5, "share", 1000, 2000, Interval(0.4, 0.6))
    assert words.counted(result, DEFINITION, "GBP") == "1,000 of 2,000"
    assert (
        words.counted_in_full(result, DEFINITION, "GBP")
        == "1,000 customers who bought twice, of 2,000 customers who bought."
    )
    revenue = Definition("churn", "Churn", "Retention", "share", "a ÷ b", "revenue lost", "revenue before")
    assert words.counted(result, revenue, "GBP") == "£10.00 of £20.00"
    assert words.sentence(result, DEFINITION, "GBP") == (
        "50.0%, between 40.0% and 60.0% (95% interval); 1,000 of 2,000"
    )
    assert words.sentence(nothing("Nobody bought.", "share"), DEFINITION, "GBP") == "Nobody bought."
    assert words.counted_in_full(Result(5, "count"), DEFINITION, "GBP") == ""


def test_a_heading_says_the_unit_that_cells_leave_out() -> None:
    assert words.short(0.0134, "points_pct", "GBP") == "+1.3"
    assert words.heading("Difference", "points_pct") == "Difference (percentage points)"
    assert words.heading("Within days", "days") == "Within days"
    assert words.short(12, "days", "GBP") == "12"


def test_every_grade_has_a_meaning_and_only_comparisons_are_graded() -> None:
    assert [name for name, grade in words.GRADES.items() if grade.is_comparison] == ["A", "B", "C", "D"]
    assert all(grade.meaning.endswith(".") for grade in words.GRADES.values())
    # What is only described is no lift.
    assert "lift" not in words.GRADES["D"].meaning
