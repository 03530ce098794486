"""Results as JSON and back: what the API answers with, the report prints, and the dashboard keeps."""

import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from rewards.metrics.result import Column, Definition, Interval, Metric, Parameter, Result, Table

Json = dict[str, Any]


def plain(value: Any) -> Any:
    """Return a value as JSON has it: numbers of numpy as Python's, dates as texts, what is no number as None."""
    # The commonest first: rows have millions of cells.
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int | float):
        whole = isinstance(value, int)
        return int(value) if whole else float(value) if math.isfinite(value) else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    return _plain_whole(value)


def _plain_whole(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if hasattr(value, "tolist"):  # numpy's, which need not be loaded to know
        return plain(value.tolist())
    return str(value)


def definition_json(definition: Definition) -> Json:
    """Return what a metric means."""
    return {
        "title": definition.title,
        "family": definition.family,
        "formula": definition.formula,
        "numerator": definition.numerator,
        "denominator": definition.denominator,
        "window": definition.window,
        "edges": list(definition.edges),
        "source": definition.source,
    }


def metric_json(metric: Metric) -> Json:
    """Return a metric for a list of metrics: what it means and what it can be asked."""
    return {
        "name": metric.name,
        "unit": metric.definition.unit,
        "definition": definition_json(metric.definition),
        "parameters": [_parameter_json(each) for each in metric.parameters],
        "has_rows": metric.rows is not None,
    }


def result_json(definition: Definition, result: Result, *, as_of: date, currency: str) -> Json:
    """Return a result as the API answers with it; tables have an object for each row."""
    return {
        "name": definition.name,
        "as_of": as_of.isoformat(),
        **_figures(result),
        "currency": currency,
        "definition": definition_json(definition),
        "parameters": plain(result.parameters),
        "notes": list(result.notes),
        "breakdown": {table.key: table_json(table) for table in result.tables},
    }


def table_json(table: Table) -> Json:
    """Return a table with an object for each row, named by the columns' keys."""
    keys = [column.key for column in table.columns]
    return {
        "title": table.title,
        "chart": table.chart,
        "columns": [column._asdict() for column in table.columns],
        "rows": [dict(zip(keys, map(plain, row), strict=True)) for row in table.rows],
    }


def packed(result: Result) -> Json:
    """Return a result so that :func:`unpacked` makes the same of it; tables have a list for each row."""
    return {
        **_figures(result),
        "parameters": plain(result.parameters),
        "notes": list(result.notes),
        "tables": [
            {
                "key": table.key,
                "title": table.title,
                "chart": table.chart,
                "columns": [list(column) for column in table.columns],
                "rows": [[plain(cell) for cell in row] for row in table.rows],
            }
            for table in result.tables
        ],
    }


def unpacked(kept: Mapping[str, Any]) -> Result:
    """Return the result that was packed; its dates are texts."""
    interval = kept["interval"]
    return Result(
        value=kept["value"],
        unit=kept["unit"],
        numerator=kept["numerator"],
        denominator=kept["denominator"],
        interval=None if interval is None else Interval(**interval),
        evidence=kept["evidence"],
        reason_if_null=kept["reason_if_null"],
        notes=kept["notes"],
        tables=[
            Table(
                each["key"],
                each["title"],
                [Column(*column) for column in each["columns"]],
                each["rows"],
                each["chart"],
            )
            for each in kept["tables"]
        ],
        parameters=kept["parameters"],
    )


def _figures(result: Result) -> Json:
    value, reason = plain(result.value), result.reason_if_null
    if value is None and reason is None:
        reason = "The figure came out as no number."
    interval = result.interval
    ends = None if interval is None else (plain(interval.low), plain(interval.high))
    return {
        "value": value,
        "numerator": plain(result.numerator),
        "denominator": plain(result.denominator),
        # An end that is no number makes it no interval.
        "interval": None
        if interval is None or ends is None or None in ends
        else {"low": ends[0], "high": ends[1], "level": float(interval.level)},
        "unit": result.unit,
        "evidence": result.evidence,
        "reason_if_null": reason,
    }


def _parameter_json(parameter: Parameter) -> Json:
    return {
        "name": parameter.name,
        "kind": parameter.kind,
        "default": plain(parameter.default),
        "help": parameter.help,
        "choices": list(parameter.choices),
        "least": parameter.least,
        "most": parameter.most,
    }
