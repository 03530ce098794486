"""A table as a figure of a page: its chart, a legend, and the same figures as a table beside it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rewards.metrics.result import Column, Table, Unit
from rewards.metrics.showing import words
from rewards.metrics.showing.drawing import Drawing, drawing_of
from rewards.metrics.showing.markup import Html, element, join

#: A table with more rows than this is folded where a chart shows the same.
MOST_OPEN_ROWS = 6
#: A page shows so many rows; the download has them all.
MOST_ROWS = 100
#: A text longer than this is a sentence.
_LONG = 28
_WORDS = "words"
_NAMED: tuple[Unit, ...] = ("text", "date", "month")

#: Writes a cell that is more than its text, such as a customer's id that leads to a page; None for any other.
Cell = Callable[[Column, Any], Html | None]


def no_cell(_: Column, __: Any) -> None:
    """Leave every cell as it is."""


def packed_drawing(table: Table, currency: str) -> Mapping[str, Any] | None:
    """Draw a table and return what :func:`figure` takes in place of drawing it itself, as plain JSON values."""
    drawing = drawing_of(table, currency)
    return None if drawing is None else {**drawing._asdict(), "legend": list(drawing.legend)}


def figure(
    table: Table,
    currency: str,
    *,
    drawing: Mapping[str, Any] | None = None,
    cell: Cell = no_cell,
    most_open: int = MOST_OPEN_ROWS,
) -> Html:
    """Return a table's chart with the table beside it, or the table alone where it has no chart.

    Args:
        table: what to show.
        currency: of its amounts.
        drawing: its chart, where it was drawn before.
        cell: writes cells that are more than text.
        most_open: a table with more rows than this is folded, where a chart shows the same.
    """
    drawn = drawing_of(table, currency) if drawing is None else Drawing(**drawing)
    shown = table_html(table, currency, cell=cell, visible_caption=drawn is None)
    if drawn is None:
        return element("div", shown, class_="figures")
    legend = element(
        "ul",
        *(element("li", name, class_=f"series-{at}") for at, name in enumerate(drawn.legend, 1)),
        class_="legend",
    )
    charts = (
        element("div", Html(svg), class_=f"at-{place}", role="img", aria_label=f"Chart: {table.title}")
        for place, svg in (("desk", drawn.desk), ("phone", drawn.phone))
    )
    folded = element(
        "details",
        element("summary", "The figures as a table", hidden_text(f": {table.title}")),
        shown,
        class_="more",
        open=len(table.rows) <= most_open,
    )
    caption = element("figcaption", table.title, legend if drawn.legend else None)
    return element("figure", caption, *charts, folded, class_="chart")


def hidden_text(said: str) -> Html:
    """Return text for readers of screens only."""
    return element("span", said, class_="visually-hidden")


def table_html(
    table: Table,
    currency: str,
    *,
    cell: Cell = no_cell,
    visible_caption: bool = False,
    most: int = MOST_ROWS,
) -> Html:
    """Return a table; a heat map's cells stand as its rows and columns say."""
    if not table.rows:
        return element("p", f"{table.title}: there is nothing to list.", class_="empty")
    caption = element("caption", table.title, class_=None if visible_caption else "visually-hidden")
    if table.chart == "heatmap" and len(table.columns) >= 3:
        whole = _matrix(table, currency, caption)
    else:
        whole = _list(table, currency, caption, cell, most)
    left = len(table.rows) - most
    more = f"The first {most:,} of {len(table.rows):,} rows; the download has them all." if left > 0 else None
    scroll = element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=table.title)
    return join([scroll, element("p", more, class_="help") if more and table.chart != "heatmap" else None])


def _list(table: Table, currency: str, caption: Html, cell: Cell, most: int) -> Html:
    rows = table.rows[:most]
    kinds = [_kind(column, [row[at] for row in rows]) for at, column in enumerate(table.columns)]
    # Sentences stand beside the name that they are about, where nobody has to scroll for them.
    places = sorted(range(len(kinds)), key=lambda at: (at > 0, kinds[at] != _WORDS, at))
    heads = [words.heading(column.heading, column.unit) for column in table.columns]
    head = (
        element("th", heads[at], scope="col", class_=None if at == 0 else kinds[at] or None) for at in places
    )
    body = (element("tr", *_row(table, row, places, kinds, heads, currency, cell)) for row in rows)
    return element(
        "table",
        caption,
        element("thead", element("tr", *head)),
        element("tbody", *body),
        class_="list figures-list",
    )


def _row(
    table: Table,
    row: Sequence[Any],
    places: Sequence[int],
    kinds: Sequence[str],
    heads: Sequence[str],
    currency: str,
    cell: Cell,
) -> Iterator[Html]:
    for at in places:
        shown = _cell(table.columns[at], row[at], currency, cell)
        if at == 0:
            yield element("th", shown, scope="row")
        else:
            yield element("td", shown, class_=kinds[at] or None, data_label=heads[at])


def _kind(column: Column, values: Sequence[Any]) -> str:
    """Return the class of a column's cells: numbers stand flush right, and sentences need room."""
    if column.unit not in _NAMED:
        return "num"
    return _WORDS if any(isinstance(each, str) and len(each) > _LONG for each in values) else ""


def _cell(column: Column, value: Any, currency: str, cell: Cell) -> object:
    special = cell(column, value)
    return words.short(value, column.unit, currency) if special is None else special


def _matrix(table: Table, currency: str, caption: Html) -> Html:
    row_column, column_column, value_column = table.columns[:3]
    columns: dict[str, None] = {}
    rows: dict[str, dict[str, str]] = {}
    flag = next((at for at, column in enumerate(table.columns) if column.key == "partial"), None)
    has_partial = False
    for row in table.rows:
        place = words.short(row[1], column_column.unit, currency)
        columns[place] = None
        name = words.short(row[0], row_column.unit, currency)
        is_partial = flag is not None and bool(row[flag])
        has_partial |= is_partial
        shown = words.short(row[2], value_column.unit, currency)
        rows.setdefault(name, {})[place] = f"{shown}*" if is_partial else shown
    first = f"{row_column.heading} by {_lower(column_column.heading)}"
    head = element(
        "tr",
        element("th", first, scope="col"),
        *(element("th", each, scope="col", class_="num") for each in columns),
    )
    body = (
        element("tr", element("th", name, scope="row"), *_matrix_row(cells, columns))
        for name, cells in rows.items()
    )
    foot = (
        element("tr", element("td", "* not over yet", colspan=str(len(columns) + 1))) if has_partial else None
    )
    return element(
        "table",
        caption,
        element("thead", head),
        element("tbody", *body),
        None if foot is None else element("tfoot", foot),
        class_="list matrix",
    )


def _matrix_row(cells: Mapping[str, str], columns: Mapping[str, None]) -> Sequence[Html]:
    return [
        element("td", cells.get(each, ""), class_="num", data_label=each if each in cells else None)
        for each in columns
    ]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
