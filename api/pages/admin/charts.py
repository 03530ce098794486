"""Bars beside one another, drawn on the server as SVG from a description in Vega-Lite, with their figures in a table.

What draws them, and every other kind of chart, is :mod:`rewards.metrics.showing.drawing`. Drawing takes a moment, the
first time most of a second, so call it from a thread; what was drawn is kept.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from rewards.core import wording
from rewards.metrics.showing.drawing import COLORS, CONFIG, IN_SHORT, svg_of
from rewards.metrics.showing.series import drawable

#: A drawing as wide as the page of a desk, and one for phones, where shrinking would make the text unreadable.
_DESK = (860, 240)
_PHONE = (330, 200)


class Bar(NamedTuple):
    """What stands at one place of the axis: its name there, its name in the table, and a value for each series."""

    label: str
    name: str
    values: Sequence[int]


def bar_chart(rows: Sequence[Bar], title: str, *, series: Sequence[str], heading: str = "") -> Markup:
    """Return a figure: bars side by side for each row, a legend, and the same figures as a table that opens.

    Args:
        rows: from left to right.
        title: what is shown, in a few words; what a screen reader reads in place of the drawing.
        series: the name of each of the values that a row has.
        heading: what the rows are, such as ``Week from``: the head of the table's first column.
    """
    data = tuple((drawable(row.label), tuple(row.values)) for row in rows)
    drawings = Markup("").join(
        Markup('<div class="at-{}" role="img" aria-label="{}">{}</div>').format(
            place, title, _drawn(data, tuple(series), size)
        )
        for place, size in (("desk", _DESK), ("phone", _PHONE))
    )
    legend = Markup("").join(
        Markup('<li class="series-{}">{}</li>').format(number, name)
        for number, name in enumerate(series, start=1)
    )
    parts = '<figure class="chart"><figcaption>{}<ul class="legend">{}</ul></figcaption>{}{}</figure>'
    return Markup(parts).format(title, legend, drawings, _table(rows, title, series, heading))  # noqa: S704 - ours


def _table(rows: Sequence[Bar], title: str, series: Sequence[str], heading: str) -> Markup:
    head = "".join(f'<th scope="col" class="num">{escape(name)}</th>' for name in series)
    body = "".join(
        f'<tr><th scope="row">{escape(row.name)}</th>'
        + "".join(
            f'<td class="num" data-label="{escape(name)}">{wording.number(value)}</td>'
            for name, value in zip(series, row.values, strict=True)
        )
        + "</tr>"
        for row in reversed(rows)
    )
    table = (
        f'<details class="more"><summary>The figures as a table</summary><div class="scroll"><table class="list">'
        f'<caption class="visually-hidden">{escape(title)}</caption><thead><tr>'
        f'<th scope="col">{escape(heading)}</th>{head}</tr></thead><tbody>{body}</tbody></table></div></details>'
    )
    return Markup(table)  # noqa: S704 - every value in it is escaped


def _drawn(
    rows: tuple[tuple[str, tuple[int, ...]], ...], series: tuple[str, ...], size: tuple[int, int]
) -> Markup:
    return Markup(svg_of(_described(rows, series, size)))  # noqa: S704 - the library escapes texts, and they are ours


def _described(
    rows: tuple[tuple[str, tuple[int, ...]], ...], series: tuple[str, ...], size: tuple[int, int]
) -> Mapping[str, Any]:
    """Return the chart's description, a Vega-Lite document."""
    labels = [label for label, _ in rows]
    # A label for each row where there is room, else for every so many.
    every = max(1, -(-len(rows) * 46 // size[0]))
    beside = {"field": "series", "type": "nominal", "sort": list(series)}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": size[0],
        "height": size[1],
        "background": "transparent",
        "data": {
            "values": [
                {"place": place, "series": name, "value": value}
                for place, (_, row) in enumerate(rows)
                for name, value in zip(series, row, strict=True)
            ]
        },
        "mark": {"type": "bar"},
        "encoding": {
            "x": {
                "field": "place",
                "type": "ordinal",
                "axis": {
                    "title": None,
                    "labelAngle": 0,
                    "ticks": False,
                    "labelPadding": 8,
                    "values": list(range(0, len(rows), every)),
                    "labelExpr": f"{json.dumps(labels)}[datum.value]",
                },
            },
            "xOffset": beside,
            "y": {
                "field": "value",
                "type": "quantitative",
                "axis": {
                    "title": None,
                    "tickCount": 4,
                    "domain": False,
                    "ticks": False,
                    "labelExpr": IN_SHORT,
                },
            },
            "color": {
                **beside,
                "scale": {"domain": list(series), "range": list(COLORS[: len(series)])},
                "legend": None,
            },
        },
        "config": CONFIG,
    }
