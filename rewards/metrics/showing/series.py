"""What a chart of a table shows: which columns are drawn, as which series, with which band, and how axes read."""

import re
from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

from rewards.core.money import minor_digits
from rewards.metrics.orders import day_number
from rewards.metrics.result import Column, Table, Unit
from rewards.metrics.showing import words

#: Units whose parts add up, so that bars may stand on one another.
_ADD_UP: tuple[Unit, ...] = ("count", "points", "minor")
_NAMED: tuple[Unit, ...] = ("text", "date", "month")
_MOST_SERIES = 6
#: A name longer than this does not fit below a bar.
_LONG_NAME = 12
_IN_SHORT = (
    "abs({0}) >= 1e6 ? format({0} / 1e6, ',.3~r') + 'M' : "
    "abs({0}) >= 1e3 ? format({0} / 1e3, ',.3~r') + 'k' : format({0}, ',.3~r')"
)


class Series(NamedTuple):
    """Lines or bars.

    Attributes:
        names: of the series, in the order of their colours.
        points: for each place and series its ``x``, ``place``, ``series``, ``number``, ``value``, ``low``, ``high``.
        places: where on the axis the rows stand, and what is written there.
        x_title: what the axis counts, where it is a number.
        x_is_number: whether the axis writes its own numbers.
        unit: of the values.
        axis_expression: how their axis writes them, in Vega's expressions.
        has_bands: whether some point has an interval.
        is_stacked: whether the bars stand on one another.
        is_wordy: whether the places have names too long to stand beside one another.
        crosses_zero: whether what matters is on which side of nothing a value lies.
    """

    names: Sequence[str]
    points: Sequence[dict[str, Any]]
    places: Sequence[tuple[float, str]]
    x_title: str | None
    x_is_number: bool
    unit: Unit
    axis_expression: str
    has_bands: bool
    is_stacked: bool
    is_wordy: bool
    crosses_zero: bool


class Matrix(NamedTuple):
    """A heat map: the names of its rows and columns, and a cell wherever there is a value."""

    rows: Sequence[str]
    columns: Sequence[str]
    column_title: str | None
    cells: Sequence[dict[str, Any]]


class Drawn(NamedTuple):
    """A column that is drawn, and those that bound its band."""

    column: int
    low: int | None
    high: int | None


def drawn_columns(columns: Sequence[Column]) -> list[Drawn]:
    """Return which columns after the first are drawn: those of the first value's unit that are no bound of a band."""
    drawn: list[Drawn] = []
    unit: Unit | None = None
    for at, column in enumerate(columns):
        if at == 0 or column.unit in _NAMED:
            continue
        side = _side(column.key)
        if side and drawn:
            drawn[-1] = drawn[-1]._replace(**{side: at})
        elif not side and (unit is None or column.unit == unit):
            unit = column.unit
            drawn.append(Drawn(at, None, None))
    return drawn[:_MOST_SERIES]


def series_of(table: Table, currency: str) -> Series:
    """Return the series of a table. A second column of texts names the series of each row; else each is a column."""
    columns = table.columns
    drawn = drawn_columns(columns)
    # Texts beside the first column name the series, where the first column's values come more than once.
    xs = [row[0] for row in table.rows]
    named = next((at for at, each in enumerate(columns) if at and each.unit == "text"), None)
    if named is not None and len(set(map(str, xs))) == len(xs):
        named = None
    if named is not None:
        drawn = drawn[:1]
    first = columns[0]
    is_number = first.unit not in _NAMED and all(isinstance(each, int | float) for each in xs)
    places = _places(xs, first.unit, is_number, currency)
    positions = {key: place for place, key in enumerate(dict.fromkeys(map(str, xs)))}
    names = _names(table, drawn, named)
    points = [
        {**point, "x": places[positions[point["key"]]][0], "place": positions[point["key"]]}
        for point in _points(table, drawn, named, names)
    ]
    unit = columns[drawn[0].column].unit if drawn else "count"
    labels = [label for _, label in places]
    return Series(
        names=names,
        points=points,
        places=places,
        x_title=drawable(words.heading(first.heading, first.unit)) if is_number else None,
        x_is_number=is_number,
        unit=unit,
        axis_expression=axis_expression(unit, currency),
        has_bands=any(each["low"] is not None for each in points),
        is_stacked=len(names) > 1
        and unit in _ADD_UP
        and (first.unit in ("date", "month") or named is not None),
        is_wordy=first.unit == "text" and max(map(len, labels), default=0) > _LONG_NAME,
        crosses_zero=unit == "points_pct" or any((each["value"] or 0) < 0 for each in points),
    )


def matrix_of(table: Table, currency: str) -> Matrix:
    """Return a table's first three columns (row, column, value) as a heat map."""
    row_column, column_column, value_column = table.columns[:3]
    rows = _labels([row[0] for row in table.rows], row_column.unit, currency)
    columns = _labels([row[1] for row in table.rows], column_column.unit, currency)
    values = [row[2] for row in table.rows if row[2] is not None]
    # The first cell of a cohort is the whole of it, and would leave the others pale.
    parts = [each for each in values if value_column.unit != "share" or each < 1]
    largest = max(parts or values, default=0)
    cells = []
    for row in table.rows:
        if row[2] is None:
            continue
        cells.append(
            {
                "row": rows[_label(row[0], row_column.unit, currency)],
                "column": columns[_label(row[1], column_column.unit, currency)],
                "shade": round(0.05 + 0.85 * min(1.0, max(0.0, row[2] / largest)), 3)
                if largest > 0
                else 0.05,
                "text": _in_cell(row[2], value_column.unit, currency),
            }
        )
    return Matrix(list(rows), list(columns), drawable(column_column.heading), cells)


def axis_expression(unit: Unit, currency: str) -> str:
    """Return how an axis writes values of a unit."""
    if unit == "share":
        return "format(datum.value * 100, ',.3~r') + '%'"
    if unit == "points_pct":
        return "(datum.value > 0 ? '+' : '') + format(datum.value * 100, ',.3~r')"
    if unit == "minor":
        return _IN_SHORT.format(f"(datum.value / {10 ** minor_digits(currency)})")
    return _IN_SHORT.format("datum.value")


def _side(key: str) -> str:
    found = re.search(r"(?:^|_)(low|high)(?:er)?(?:$|_)", key)
    return found[1] if found else ""


def _names(table: Table, drawn: Sequence[Drawn], named: int | None) -> list[str]:
    if named is not None:
        return list(dict.fromkeys(drawable(str(row[named])) for row in table.rows))[:_MOST_SERIES]
    return [drawable(table.columns[each.column].heading) for each in drawn]


def _points(
    table: Table, drawn: Sequence[Drawn], named: int | None, names: Sequence[str]
) -> list[dict[str, Any]]:
    points = []
    for row in table.rows:
        for number, each in enumerate(drawn):
            name = drawable(str(row[named])) if named is not None else names[number]
            if name not in names:
                continue
            points.append(
                {
                    "key": str(row[0]),
                    "series": name,
                    "number": names.index(name),
                    "value": row[each.column],
                    "low": None if each.low is None else row[each.low],
                    "high": None if each.high is None else row[each.high],
                }
            )
    return points


def _places(xs: Sequence[Any], unit: Unit, is_number: bool, currency: str) -> list[tuple[float, str]]:
    places: dict[str, tuple[float, str]] = {}
    for x in xs:
        if str(x) not in places:
            at = float(x) if is_number else _position(x, unit, len(places))
            places[str(x)] = (at, _label(x, unit, currency))
    return list(places.values())


def _position(x: Any, unit: Unit, place: int) -> float:
    if unit in ("date", "month"):
        try:
            day = x if isinstance(x, date) else date.fromisoformat(str(x) if len(str(x)) > 7 else f"{x}-01")
        except ValueError:
            return float(place)
        return float(day_number(day))
    return float(place)


def _labels(values: Sequence[Any], unit: Unit, currency: str) -> dict[str, int]:
    labels = dict.fromkeys(_label(each, unit, currency) for each in values)
    return {label: at for at, label in enumerate(labels)}


def _label(value: Any, unit: Unit, currency: str) -> str:
    if unit == "month":
        text = words.figure(value, unit, currency)
        month, _, year = text.partition(" ")
        return drawable(f"{month[:3]} {year}" if year else text)
    if unit in ("days", "points") and not isinstance(value, str):
        return words.short(value, unit, currency)
    return drawable(words.figure(value, unit, currency))


def _in_cell(value: float, unit: Unit, currency: str) -> str:
    if unit == "share":
        return f"{value * 100:.0f}"
    if unit == "minor":
        value /= 10 ** minor_digits(currency)
    return f"{value / 1000:.0f}k" if abs(value) >= 10_000 else f"{value:.0f}"


def drawable(text: str) -> str:
    """Return a text that the library can draw: one that is no XML makes it end the whole process."""
    return "".join(each if each.isprintable() else " " for each in text)
