"""The shapes in which the API tells metrics; money is in minor units of ``currency``, shares are from 0 to 1."""

from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Unit = Literal[
    "share", "points_pct", "minor", "count", "points", "days", "score", "ratio", "text", "date", "month"
]
Evidence = Literal["measured", "estimated", "A", "B", "C", "D"]


class _Shown(BaseModel):
    """An answer: callers must expect further members."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class DefinitionShown(_Shown):
    """What a metric means."""

    title: str
    family: str
    formula: str
    """What is divided by what, in a line."""
    numerator: str
    denominator: str
    window: str
    edges: list[str]
    """What is in and what is out, and what misleads."""
    source: str


class ParameterShown(_Shown):
    """What a metric can be asked with, beside `as_of`."""

    name: str
    kind: Literal["days", "number", "date", "choice", "text"]
    default: Any
    help: str
    choices: list[str]
    least: float | None
    most: float | None


class MetricShown(_Shown):
    """A metric."""

    name: str
    unit: Unit
    definition: DefinitionShown
    parameters: list[ParameterShown]
    has_rows: bool
    """Whether the customers or orders that it is made of can be listed."""


class MetricsAnswer(_Shown):
    """All metrics, in the order in which a report tells them."""

    metrics: list[MetricShown]


class IntervalShown(_Shown):
    """Where the true figure lies with a probability of `level`."""

    low: float
    high: float
    level: float


class ColumnShown(_Shown):
    """A column of a breakdown."""

    key: str
    heading: str
    unit: Unit


class BreakdownShown(_Shown):
    """A table beside the figure."""

    title: str
    chart: Literal["line", "survival", "bars", "heatmap", "none"]
    columns: list[ColumnShown]
    rows: list[dict[str, Any]]
    """Cells by the columns' keys."""


class MetricAnswer(_Shown):
    """What a metric comes to."""

    name: str
    as_of: date
    """The last day that counts, on the shop's calendar."""
    value: float | None
    """In `unit`; null where there is none, and then `reason_if_null` says why."""
    numerator: float | None
    denominator: float | None
    interval: IntervalShown | None
    unit: Unit
    evidence: Evidence
    """`measured` is counted, `estimated` comes from a model; comparisons are graded A to D."""
    reason_if_null: str | None
    currency: str
    definition: DefinitionShown
    parameters: dict[str, Any]
    """What it was worked out with."""
    notes: list[str]
    """What a reader must know beside the figure."""
    breakdown: dict[str, BreakdownShown]
