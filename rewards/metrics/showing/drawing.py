"""Charts of tables, drawn as SVG from descriptions in Vega-Lite: lines with bands, survival curves, bars, heat maps.

They are drawn in ``currentColor`` and variables of a style sheet (``--chart-1`` to ``--chart-6``, ``--chart-on`` for
what stands on a full colour, ``--rule``, ``--edge``), so that one drawing fits light, dark and paper. Drawing takes a
moment, the first time most of a second, so do it in a thread or a job. The library is loaded by whoever draws first.
"""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from rewards.metrics.result import Table
from rewards.metrics.showing.series import Matrix, Series, drawable, matrix_of, series_of

_logger = logging.getLogger(__name__)

Spec = dict[str, Any]

#: A drawing as wide as the page of a desk, and one for phones, where shrinking would make the text unreadable.
DESK = (860, 280)
PHONE = (330, 220)
COLORS = tuple(f"var(--chart-{number})" for number in range(1, 7))
_KEPT = 256
_CELL = 30
#: A heat map with more columns than this has no room for figures in its cells.
_MOST_WRITTEN = {DESK: 26, PHONE: 9}
#: How the axis writes numbers: 0, 500, 1.5k, 20k, 3M.
IN_SHORT = (
    "abs(datum.value) >= 1e6 ? format(datum.value / 1e6, ',.3~r') + 'M' : "
    "abs(datum.value) >= 1e3 ? format(datum.value / 1e3, ',.3~r') + 'k' : format(datum.value, ',~r')"
)
_OUR_OWN = re.compile(r' (?:role|aria-[a-z]+|xmlns:xlink|class)="[^"]*"')

CONFIG: Mapping[str, Any] = {
    "font": "inherit",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "gridColor": "var(--rule)",
        "domainColor": "var(--edge)",
    },
}


class Drawing(NamedTuple):
    """A chart: for desks, for phones, and the names of its colours where there are several."""

    desk: str
    phone: str
    legend: Sequence[str]


def drawing_of(table: Table, currency: str) -> Drawing | None:
    """Draw a table as it says it is best drawn; None where it has no chart, or nothing to draw.

    A table that cannot be drawn has no chart: its figures are in the table beside it.

    Args:
        table: what to draw.
        currency: of its amounts.
    """
    if table.chart == "none" or not table.rows:
        return None
    try:
        return _heat_map_of(table, currency) if table.chart == "heatmap" else _series_of(table, currency)
    except Exception:  # the library is a program of its own; nothing that it refuses is worth the page
        _logger.exception("a chart could not be drawn", extra={"table": table.key})
        return None


def _heat_map_of(table: Table, currency: str) -> Drawing | None:
    matrix = matrix_of(table, currency)
    if not matrix.cells:
        return None
    return Drawing(svg_of(_heat_map(matrix, DESK)), svg_of(_heat_map(matrix, PHONE)), ())


def _series_of(table: Table, currency: str) -> Drawing | None:
    series = series_of(table, currency)
    if not series.names or not series.points:
        return None
    if not any(point["value"] for point in series.points):
        return None  # nothing but zeros: an empty chart says no more
    if table.chart != "bars" and len(series.places) < 2:
        return None  # one point is no line: the table says it
    describe = _bars if table.chart == "bars" else _lines
    desk, phone = (svg_of(describe(series, table.chart, size)) for size in (DESK, PHONE))
    return Drawing(desk, phone, series.names if len(series.names) > 1 else ())


def svg_of(spec: Mapping[str, Any]) -> str:
    """Draw a description; the same one is drawn once. What is inside of the drawing is not for screen readers."""
    return _drawn(json.dumps(spec, ensure_ascii=True))


@lru_cache(maxsize=_KEPT)
def _drawn(spec: str) -> str:
    from vl_convert import vegalite_to_svg

    svg: str = vegalite_to_svg(spec)
    return _OUR_OWN.sub("", svg).replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def _whole(size: tuple[int, int], values: Sequence[Spec], **others: Any) -> Spec:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": size[0],
        "height": size[1],
        "autosize": {"type": "fit", "contains": "padding"},
        "background": "transparent",
        "padding": 2,
        "data": {"values": list(values)},
        "config": CONFIG,
        **others,
    }


def _lines(series: Series, kind: str, size: tuple[int, int]) -> Spec:
    step = {"interpolate": "step-after"} if kind == "survival" else {}
    x = {
        "field": "x",
        "type": "quantitative",
        "scale": {"nice": False, "zero": False},
        "axis": _x_axis(series, size),
    }
    y: Spec = {"field": "value", "type": "quantitative", "axis": _y_axis(series)}
    if kind == "survival" and series.unit == "share":
        y["scale"] = {"domain": [0, 1]}
    layers: list[Spec] = []
    if series.has_bands:
        band = {"type": "area", "opacity": 0.18, "line": False, **step}
        layers.append(
            {
                "mark": band,
                "transform": [{"filter": "isValid(datum.low) && isValid(datum.high)"}],
                "encoding": {
                    "x": x,
                    "y": {**y, "field": "low"},
                    "y2": {"field": "high"},
                    "color": _color(series),
                },
            }
        )
    if series.crosses_zero:
        layers.append(
            {
                "mark": {"type": "rule", "color": "var(--edge)", "strokeWidth": 1.5},
                "encoding": {"y": {"datum": 0}},
            }
        )
    line = {"type": "line", "strokeWidth": 2.5, **step}
    layers.append(
        {
            "mark": line,
            "transform": [{"filter": "isValid(datum.value)"}],
            "encoding": {"x": x, "y": y, "color": _color(series)},
        }
    )
    return _whole(size, series.points, layer=layers)


def _bars(series: Series, _: str, size: tuple[int, int]) -> Spec:
    if series.is_wordy:
        return _bars_across(series, size)
    x: Spec = {
        "field": "place",
        "type": "ordinal",
        "axis": _ordinal_axis([label for _, label in series.places], size[0], series.x_title),
    }
    y: Spec = {"field": "value", "type": "quantitative", "axis": _y_axis(series)}
    encoding: Spec = {"x": x, "y": y, "color": _color(series)}
    if series.is_stacked:
        encoding["order"] = {"field": "number", "type": "quantitative"}
        y["stack"] = "zero"
    elif len(series.names) > 1:
        encoding["xOffset"] = {"field": "series", "type": "nominal", "sort": list(series.names)}
        y["stack"] = None
    layers: list[Spec] = [{"mark": {"type": "bar"}, "encoding": encoding}]
    if series.has_bands and not series.is_stacked:
        ends: Spec = {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}}
        if "xOffset" in encoding:
            ends["xOffset"] = encoding["xOffset"]
        layers.append(
            {"mark": {"type": "rule", "color": "currentColor", "strokeWidth": 1.5}, "encoding": ends}
        )
    return _whole(size, series.points, layer=layers)


def _bars_across(series: Series, size: tuple[int, int]) -> Spec:
    """Bars from left to right, for rows whose names are too long to stand below one another's bars."""
    labels = [label for _, label in series.places]
    room = 110 if size == PHONE else 260
    y: Spec = {
        "field": "place",
        "type": "ordinal",
        "axis": {
            "title": None,
            "ticks": False,
            "labelPadding": 8,
            "labelLimit": room,
            "labelExpr": f"{json.dumps(labels)}[datum.value]",
        },
    }
    axis = {**_y_axis(series), "domain": False}
    x: Spec = {
        "field": "value",
        "type": "quantitative",
        "axis": axis,
        "stack": "zero" if series.is_stacked else None,
    }
    encoding: Spec = {"x": x, "y": y, "color": _color(series)}
    if len(series.names) > 1 and not series.is_stacked:
        encoding["yOffset"] = {"field": "series", "type": "nominal", "sort": list(series.names)}
    each = 20 * (1 if series.is_stacked else len(series.names)) + 10
    return _whole(
        (size[0], max(90, each * len(labels) + 50)), series.points, mark={"type": "bar"}, encoding=encoding
    )


def _heat_map(matrix: Matrix, size: tuple[int, int]) -> Spec:
    x: Spec = {
        "field": "column",
        "type": "ordinal",
        "axis": {
            **_ordinal_axis(matrix.columns, size[0], matrix.column_title),
            "orient": "top",
            "domain": False,
        },
        "scale": {"domain": list(range(len(matrix.columns)))},
    }
    y: Spec = {
        "field": "row",
        "type": "ordinal",
        "axis": {
            "title": None,
            "ticks": False,
            "domain": False,
            "labelExpr": f"{json.dumps([drawable(each) for each in matrix.rows])}[datum.value]",
        },
    }
    cell = {"type": "rect", "color": "var(--chart-1)", "stroke": "var(--raised)", "strokeWidth": 1}
    shade = {"field": "shade", "type": "quantitative", "scale": None}
    layers: list[Spec] = [{"mark": cell, "encoding": {"x": x, "y": y, "fillOpacity": shade}}]
    if len(matrix.columns) <= _MOST_WRITTEN[size]:
        ink = {"condition": {"test": "datum.shade > 0.72", "value": "var(--chart-on)"}, "value": "var(--ink)"}
        layers.append(
            {
                "mark": {"type": "text", "fontSize": 11},
                "encoding": {"x": x, "y": y, "text": {"field": "text", "type": "nominal"}, "color": ink},
            }
        )
    height = _CELL * len(matrix.rows) + (50 if matrix.column_title else 30)
    return _whole((size[0], height), matrix.cells, layer=layers)


def _color(series: Series) -> Spec:
    return {
        "field": "series",
        "type": "nominal",
        "scale": {
            "domain": list(series.names),
            "range": [COLORS[each % len(COLORS)] for each in range(len(series.names))],
        },
        "legend": None,
    }


def _x_axis(series: Series, size: tuple[int, int]) -> Spec:
    axis: Spec = {
        "title": series.x_title,
        "grid": False,
        "ticks": False,
        "labelPadding": 8,
        "labelFlush": True,
    }
    if series.x_is_number:
        return {**axis, "tickCount": 8 if size == DESK else 4, "labelExpr": IN_SHORT}
    # Days and months are numbers to the scale; the labels are those of the rows where there is room for them.
    most = max(2, size[0] // 100)
    every = -(-len(series.places) // most)
    shown = list(series.places)[::every]
    texts = {f"{x:g}": label for x, label in shown}
    return {
        **axis,
        "title": None,
        "values": [x for x, _ in shown],
        "labelExpr": f"{json.dumps(texts)}[format(datum.value, '~r')] || {json.dumps(texts)}[toString(datum.value)]",
    }


def _y_axis(series: Series) -> Spec:
    return {
        "title": None,
        "tickCount": 5,
        "domain": False,
        "ticks": False,
        "labelExpr": series.axis_expression,
    }


def _ordinal_axis(labels: Sequence[str], width: int, title: str | None) -> Spec:
    longest = max(map(len, labels), default=1)
    every = max(1, -(-len(labels) * (longest * 7 + 10) // width))
    texts = [drawable(each) for each in labels]
    return {
        "title": title,
        "labelAngle": 0,
        "ticks": False,
        "labelPadding": 8,
        "values": list(range(0, len(labels), every)),
        "labelExpr": f"{json.dumps(texts)}[datum.value]",
    }
