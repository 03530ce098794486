"""Charts of tables: what is drawn, in whose colours, and that nothing that a shop has named breaks it."""

import re
from dataclasses import replace

import pytest
from metric_samples import AGE, CUSTOMERS, HEAT, HOSTILE, LINE, SURVIVAL, TIERS

from rewards.metrics.result import Column, Table
from rewards.metrics.showing.drawing import drawing_of
from rewards.metrics.showing.figures import figure, packed_drawing, table_html
from rewards.metrics.showing.series import drawn_columns, matrix_of, series_of

CHARTS = (LINE, SURVIVAL, HEAT, TIERS, AGE)


@pytest.mark.parametrize("table", CHARTS, ids=lambda table: table.key)
def test_a_chart_is_drawn_in_the_pages_colours_and_brings_no_style(table: Table) -> None:
    drawing = drawing_of(table, "GBP")
    assert drawing is not None
    for svg in (drawing.desk, drawing.phone):
        assert svg.startswith('<svg aria-hidden="true"')
        painted = set(re.findall(r'(?:fill|stroke)="([^"]*)"', svg))
        named = {f"var(--chart-{number})" for number in (1, 2, 3, 4, 5, 6, "on")}
        assert (
            painted
            <= {
                "none",
                "transparent",
                "currentColor",
                "var(--rule)",
                "var(--edge)",
                "var(--ink)",
                "var(--raised)",
            }
            | named
        )
        assert not re.search(r"<style|\sstyle=|<script|\son[a-z]+=|https?://(?!www.w3.org)", svg)
        assert "NaN" not in svg
        assert "undefined" not in svg


def test_a_band_belongs_to_the_value_before_it_and_counts_are_not_drawn_beside_shares() -> None:
    assert drawn_columns(LINE.columns) == [(1, 2, 3)]
    assert drawn_columns(SURVIVAL.columns) == [(1, 2, 3), (4, None, None)]
    assert drawn_columns(AGE.columns) == [(1, None, None)]
    series = series_of(SURVIVAL, "GBP")
    assert series.names == ["Program", "Held out"]
    assert series.has_bands
    assert series.x_is_number
    assert series_of(LINE, "GBP").crosses_zero


def test_days_and_months_stand_at_their_distance() -> None:
    series = series_of(LINE, "GBP")
    assert [series.points[at + 1]["x"] - series.points[at]["x"] for at in range(3)] == [7, 7, 7]
    assert series.places[0][1] == "5 Jan 2026"


def test_parts_of_a_whole_stand_on_one_another() -> None:
    series = series_of(TIERS, "GBP")
    assert series.is_stacked
    assert len(series.names) == 3
    assert not series_of(AGE, "GBP").is_stacked


def test_a_text_beside_a_repeated_x_names_the_series() -> None:
    columns = [
        Column("month", "Month", "month"),
        Column("tier", "Tier", "text"),
        Column("n", "Customers", "count"),
    ]
    rows = [(month, tier, 5) for month in ("2026-01", "2026-02") for tier in ("Gold", "Silver")]
    series = series_of(Table("t", "T", columns, rows, "bars"), "GBP")
    assert list(series.names) == ["Gold", "Silver"]
    assert len(series.points) == 4
    assert len(series.places) == 2


def test_a_heat_map_is_shaded_by_the_largest_cell_that_is_not_the_whole() -> None:
    cells = matrix_of(HEAT, "GBP").cells
    assert [cell["shade"] for cell in cells[:3]] == [0.9, 0.9, 0.475]
    assert cells[1]["text"] == "40"


def test_what_cannot_be_drawn_is_a_table() -> None:
    for table in (
        CUSTOMERS,
        replace(LINE, rows=[]),
        replace(LINE, rows=LINE.rows[:1]),
        replace(LINE, columns=LINE.columns[:1], rows=[row[:1] for row in LINE.rows]),
        replace(HEAT, rows=[(row[0], row[1], None, False) for row in HEAT.rows]),
    ):
        assert drawing_of(table, "GBP") is None
    assert (
        drawing_of(replace(HEAT, columns=HEAT.columns[:2], rows=[row[:2] for row in HEAT.rows]), "GBP")
        is None
    )


@pytest.mark.parametrize("chart", ["line", "survival", "bars"])
def test_gaps_are_gaps(chart: str) -> None:
    rows = [(each[0], None, None, None, 0) if at % 3 == 0 else each for at, each in enumerate(LINE.rows)]
    drawing = drawing_of(replace(LINE, rows=rows, chart=chart), "GBP")  # type: ignore[arg-type]
    assert drawing is not None
    assert "NaN" not in drawing.desk


def test_names_that_no_drawing_can_have_do_not_end_the_process() -> None:
    rows = [("a\x01\ufffe" + HOSTILE, 1, 1), ("\x00b", 2, 2)]
    shown = figure(replace(AGE, rows=rows), "GBP")
    assert "<svg" in shown
    assert "<script" not in shown
    assert "<img" not in shown


def test_a_figure_has_the_same_figures_as_a_table() -> None:
    shown = figure(TIERS, "GBP")
    assert shown.count("<svg ") == 2
    assert shown.count('role="img" aria-label="Chart: Customers in each tier"') == 2
    assert '<li class="series-2">Silver</li>' in shown
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown
    assert "January 2026" in shown
    assert '<td class="num" data-label="Silver">50</td>' in shown


def test_a_figure_that_was_drawn_before_is_the_same() -> None:
    assert figure(LINE, "GBP", drawing=packed_drawing(LINE, "GBP")) == figure(LINE, "GBP")


def test_a_heat_maps_table_is_a_matrix_that_marks_what_is_not_over() -> None:
    shown = table_html(HEAT, "GBP")
    assert "Month of first purchase by months since" in shown
    assert "* not over yet" in shown
    assert shown.count("<tr>") == 12
    assert ">40.0%<" in shown


def test_a_long_table_says_what_is_left_out_and_sentences_come_first() -> None:
    table = replace(CUSTOMERS, rows=list(CUSTOMERS.rows) * 100)
    shown = table_html(table, "GBP")
    assert "The first 100 of 300 rows" in shown
    assert shown.index(">Why<") < shown.index(">Spent<")
