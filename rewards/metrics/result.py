"""What a metric is and what it comes to: its definition, a figure with its counts and interval, or why there is none.

No figure travels without what it takes to judge it. A rate that has nothing to divide by is no 0 % but None, with the
reason in words; a figure from a model says so; a comparison carries the grade of its evidence.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from rewards.metrics.source import Source

#: What a figure rests on. ``measured`` is counted, ``estimated`` comes from a model; comparisons are graded:
#: A randomised, B a roll-out or threshold that customers did not choose, C adjusted association, D description only.
Evidence = Literal["measured", "estimated", "A", "B", "C", "D"]

#: ``share`` is between 0 and 1 and shown in percent; ``points_pct`` is a difference of two shares, shown in percentage
#: points; ``minor`` is money in minor units of the source's currency; ``score`` is a figure on the metric's own scale.
Unit = Literal[
    "share", "points_pct", "minor", "count", "points", "days", "score", "ratio", "text", "date", "month"
]


class Interval(NamedTuple):
    """Where the true figure lies with a probability of ``level``, in the unit of the value."""

    low: float
    high: float
    level: float = 0.95


class Column(NamedTuple):
    """A column of a table: its key in JSON and CSV, its heading for people, and the unit of its cells."""

    key: str
    heading: str
    unit: Unit


@dataclass(frozen=True, slots=True)
class Table:
    """Figures beside the value: a breakdown, a curve or a matrix. A cell is a plain Python value; None is "not known".

    Attributes:
        key: its name in JSON, unique in the metric.
        title: for people.
        columns: from left to right.
        rows: each as long as ``columns``.
        chart: how it is best drawn: ``line`` and ``survival`` (first column is x; ``low`` and ``high`` columns beside a
            value are its band), ``bars``, ``heatmap`` (first three columns: row, column, value), or none.
    """

    key: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    chart: Literal["line", "survival", "bars", "heatmap", "none"] = "none"


@dataclass(frozen=True, slots=True)
class Result:
    """What a metric comes to.

    Attributes:
        value: the headline, in ``unit``; None where there is none, and then ``reason_if_null`` says why, in a sentence.
        numerator, denominator: what was divided by what, where the value is a quotient.
        interval: where the true value lies; None where no sampling is involved, or none can be given.
        evidence: what the figure rests on.
        notes: what a reader must know beside the figure, a sentence each: warnings, edges that were met.
        tables: breakdowns.
        parameters: what it was worked out with, such as ``{"days": 365}``, as plain JSON values.
    """

    value: float | int | None
    unit: Unit
    numerator: float | int | None = None
    denominator: float | int | None = None
    interval: Interval | None = None
    evidence: Evidence = "measured"
    reason_if_null: str | None = None
    notes: Sequence[str] = ()
    tables: Sequence[Table] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Hold that a figure is there or its absence is explained."""
        if (self.value is None) != (self.reason_if_null is not None):
            raise ValueError("a result has either a value or the reason why there is none")


def nothing(reason: str, unit: Unit, **others: Any) -> Result:
    """Return the result of a metric that cannot be told, with the reason as a sentence."""
    return Result(None, unit, reason_if_null=reason, **others)


@dataclass(frozen=True, slots=True)
class Definition:
    """What a metric means, in words that stand beside its figure.

    Attributes:
        name: in addresses and JSON, such as ``repeat-rate``.
        title: for people.
        family: the heading that it stands under: ``Repeat purchase``, ``Retention``, ``Lifetime value``,
            ``What customers say``, ``Program``, ``Effect``.
        unit: of the value.
        formula: what is divided by what, in a line.
        numerator, denominator: what they count, in a phrase; "" where the value is no quotient.
        window: which time it looks at, and how the parameters change that.
        edges: what is in and what is out, and what misleads; a sentence each.
        source: where the formula comes from; "" where it is a plain count.
    """

    name: str
    title: str
    family: str
    unit: Unit
    formula: str
    numerator: str = ""
    denominator: str = ""
    window: str = ""
    edges: Sequence[str] = ()
    source: str = ""


class Parameter(NamedTuple):
    """An argument that a metric takes beside ``as_of``, as a query parameter and in code."""

    name: str
    kind: Literal["days", "number", "date", "choice", "text"]
    default: Any
    help: str
    choices: Sequence[str] = ()
    least: float | None = None
    most: float | None = None


class BadParameter(ValueError):
    """A metric was asked with an argument that it cannot take; the message says what it can take."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: its definition, its parameters, and the function that works it out.

    Attributes:
        compute: takes the source and an argument for each parameter, by name, checked already.
        rows: the customers or orders that the figure is made of, as a table that can be downloaded; takes what
            ``compute`` takes. None where the figure's tables are all there is.
        on_dashboard: whether the roll-up job works it out with its defaults beforehand, for the dashboard.
    """

    definition: Definition
    compute: "Callable[..., Result]"
    parameters: Sequence[Parameter] = ()
    rows: "Callable[..., Table] | None" = None
    on_dashboard: bool = False

    @property
    def name(self) -> str:
        """Its name in addresses and JSON."""
        return self.definition.name

    def __call__(self, source: "Source", **arguments: Any) -> Result:
        """Work it out, with the defaults for what is not given.

        Raises:
            BadParameter: there is no such parameter, or it cannot take that value.
        """
        return self.compute(source, **checked(self.parameters, arguments))


def checked(parameters: Sequence[Parameter], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return an argument for each parameter: as given (texts are read), else the default.

    Raises:
        BadParameter: there is no such parameter, or it cannot take that value.
    """
    known = {each.name: each for each in parameters}
    for name in arguments:
        if name not in known:
            raise BadParameter(
                f"there is no parameter {name!r} here" + (f"; there are: {', '.join(known)}" if known else "")
            )
    return {
        each.name: _read(each, arguments[each.name]) if each.name in arguments else each.default
        for each in parameters
    }


def _read(parameter: Parameter, value: Any) -> Any:
    name = parameter.name
    if value is None:
        return None
    if parameter.kind == "choice":
        if value not in parameter.choices:
            raise BadParameter(f"{name} must be one of: {', '.join(parameter.choices)}")
        return value
    if parameter.kind == "text":
        return str(value)
    try:
        if parameter.kind == "date":
            return value if isinstance(value, date) else date.fromisoformat(str(value))
        number = int(value) if parameter.kind == "days" else float(value)
    except ValueError:
        like = {"date": "a date such as 2026-11-01", "days": "a whole number of days", "number": "a number"}
        raise BadParameter(f"{name} must be {like[parameter.kind]}") from None
    if number != number or (parameter.least is not None and number < parameter.least):  # noqa: PLR0124 - not a number
        raise BadParameter(f"{name} must be at least {parameter.least:g}")
    if parameter.most is not None and number > parameter.most:
        raise BadParameter(f"{name} must be at most {parameter.most:g}")
    return number
