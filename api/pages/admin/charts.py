"""Charts, drawn on the server as SVG from a description in Vega-Lite, each with its figures in a table.

They are drawn in ``currentColor`` and the style sheet's variables, so that one drawing fits light and dark. Drawing
takes a moment, the first time most of a second, so call it from a thread; what was drawn is kept. The library is
loaded by whoever draws first: a server that shows no chart never loads them.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from rewards.core import wording

#: A drawing as wide as the page of a desk, and one for phones, where shrinking would make the text unreadable.
_DESK = (860, 240)
_PHONE = (330, 200)
_COLORS = ("var(--chart-1)", "var(--chart-2)", "var(--chart-3)", "var(--chart-4)")
_KEPT = 64
#: How the axis writes numbers: 0, 500, 1.5k, 20k, 3M.
_IN_SHORT = (
    "abs(datum.value) >= 1e6 ? format(datum.value / 1e6, ',.3~r') + 'M' : "
    "abs(datum.value) >= 1e3 ? format(datum.value / 1e3, ',.3~r') + 'k' : format(datum.value, ',')"
)
_OUR_OWN = re.compile(r' (?:role|aria-[a-z]+|xmlns:xlink|class)="[^"]*"')


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
    data = tuple((_drawable(row.label), tuple(row.values)) for row in rows)
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


def _drawable(text: str) -> str:
    """Return a text that the library can draw: one that is no XML makes it end the whole process."""
    return "".join(each if each.isprintable() else " " for each in text)


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


@lru_cache(maxsize=_KEPT)
def _drawn(
    rows: tuple[tuple[str, tuple[int, ...]], ...], series: tuple[str, ...], size: tuple[int, int]
) -> Markup:
    from vl_convert import vegalite_to_svg

    svg: str = vegalite_to_svg(json.dumps(_described(rows, series, size)))
    # The drawing stands for its title; what is inside of it is nothing to be read out.
    svg = _OUR_OWN.sub("", svg).replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
    return Markup(svg)  # noqa: S704 - the library escapes texts, and they are ours


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
                    "labelExpr": _IN_SHORT,
                },
            },
            "color": {
                **beside,
                "scale": {"domain": list(series), "range": list(_COLORS[: len(series)])},
                "legend": None,
            },
        },
        "config": {
            "font": "inherit",
            "view": {"stroke": None},
            "axis": {
                "labelColor": "currentColor",
                "labelFontSize": 12,
                "gridColor": "var(--rule)",
                "domainColor": "var(--edge)",
            },
        },
    }
