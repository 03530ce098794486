"""Metrics for the tests of what shows metrics: one of each kind of answer, none of which means anything."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

from rewards.metrics import registry
from rewards.metrics.result import (
    BadParameter,
    Column,
    Definition,
    Interval,
    Metric,
    Parameter,
    Result,
    Table,
    nothing,
)
from rewards.metrics.source import Source

HOSTILE = "<script>alert(1)</script>\"'><img src=x>"
MONTHS = [f"2026-{month:02}" for month in range(1, 11)]

LINE = Table(
    "over-time",
    "Effect over time",
    [
        Column("day", "Day", "date"),
        Column("effect", "Difference", "points_pct"),
        Column("low", "Low", "points_pct"),
        Column("high", "High", "points_pct"),
        Column("customers", "Customers", "count"),
    ],
    [
        (
            (date(2026, 1, 5) + timedelta(days=7 * week)).isoformat(),
            0.0134,
            -0.1 / (week + 1),
            0.1 / (week + 1),
            week,
        )
        for week in range(10)
    ],
    "line",
)
SURVIVAL = Table(
    "survival",
    "Not bought again",
    [
        Column("day", "Days since the first purchase", "days"),
        Column("program", "Program", "share"),
        Column("program_low", "Low", "share"),
        Column("program_high", "High", "share"),
        Column("holdout", "Held out", "share"),
    ],
    [(day, 1 - day / 400, 0.98 - day / 400, 1.0 - day / 500, 1 - day / 500) for day in range(0, 365, 5)],
    "survival",
)
HEAT = Table(
    "cohorts",
    "Share of each cohort that bought, by month",
    [
        Column("cohort", "Month of first purchase", "month"),
        Column("k", "Months since", "count"),
        Column("rate", "Share", "share"),
        Column("partial", "Month not over", "text"),
    ],
    [
        (month, k, 1.0 if not k else 0.4 / k, k == 9 - at)
        for at, month in enumerate(MONTHS)
        for k in range(10 - at)
    ],
    "heatmap",
)
TIERS = Table(
    "tiers",
    "Customers in each tier",
    [
        Column("month", "Month", "month"),
        Column("bronze", "Bronze", "count"),
        Column("silver", "Silver", "count"),
        Column("gold", HOSTILE, "count"),
    ],
    [(month, 100 + at, 50, at) for at, month in enumerate(MONTHS)],
    "bars",
)
AGE = Table(
    "age",
    "Points by age",
    [Column("age", "Age", "text"), Column("points", "Points", "points"), Column("minor", "Worth", "minor")],
    [("up to 30 days", 1200, 1200), ("31 to 90 days, which is long", 400, 400), ("older", 0, 0)],
    "bars",
)
CUSTOMERS = Table(
    "customers",
    "Customers",
    [
        Column("customer_id", "Customer", "text"),
        Column("why", "Why", "text"),
        Column("spent_minor", "Spent", "minor"),
        Column("first_day", "First purchase", "date"),
        Column("chance", "Chance", "share"),
    ],
    [
        ("c-1", "Bought every fortnight, and not for three months.", 12_345, "2026-01-05", 0.25),
        ("=1+1", None, -5, None, None),
        ("GB/123", HOSTILE, 7, "2026-02-28", 1.0),
    ],
)


def _share(source: Source, *, days: int, of: str, **span: Any) -> Result:
    if span.get("from") and span.get("to") and span["from"] >= span["to"]:
        raise BadParameter("from must be before to")
    found = {each: value.isoformat() for each, value in span.items() if value}
    return Result(
        0.3526,
        "share",
        1203,
        3412,
        Interval(0.3367, 0.3688),
        notes=["Orders are known from 2025-01-01 on."],
        tables=[HEAT, SURVIVAL],
        parameters={"days": days, "of": of, **found, "as_of": source.as_of.isoformat()},
    )


def _effect(source: Source) -> Result:
    notes = [
        "Between −0.4 and +3.1 percentage points: it cannot yet be told. About 9 weeks to go.",
        "2",
        "3",
        "4",
    ]
    return Result(
        0.0134, "points_pct", interval=Interval(-0.004, 0.031), evidence="A", notes=notes, tables=[LINE]
    )


def _money(source: Source, *, since: date | None) -> Result:
    return Result(1_048_281, "minor", tables=[AGE, TIERS], parameters={"since": since and since.isoformat()})


def _nothing(source: Source) -> Result:
    return nothing("Nobody has bought anything yet, so there is nobody who could have come back.", "share")


def _broken(source: Source) -> Result:
    if source.conn is not None:
        from sqlalchemy import text

        source.conn.execute(text("SELECT 1 / 0"))
    raise RuntimeError("a secret of the server's")


def _no_number(source: Source) -> Result:
    return Result(float("nan"), "score", interval=Interval(0.0, float("inf")))


def _association(source: Source) -> Result:
    return Result(2.5, "ratio", evidence="C", tables=[CUSTOMERS])


def _rows(source: Source, **_: Any) -> Table:
    return CUSTOMERS


def _defined(name: str, family: str, unit: Any, title: str = "") -> Definition:
    return Definition(
        name,
        title or f"The {name}",
        family,
        unit,
        "those who did ÷ those who could",
        "customers who did",
        "customers who could",
        "As long as is asked for.",
        ("It misleads where nobody looks.",),
        "A book.",
    )


METRICS = (
    Metric(
        _defined("matured-repeat-rate", "Repeat purchase", "share"),
        _share,
        (
            Parameter("days", "days", 365, "how long", least=1, most=3650),
            Parameter("of", "choice", "all", "whom", ("all", "buyers-in-window")),
            Parameter("from", "date", None, "the first day"),
            Parameter("to", "date", None, "the day after the last"),
        ),
        _rows,
        on_dashboard=True,
    ),
    Metric(_defined("cohorts", "Retention", "share", HOSTILE), _nothing, on_dashboard=True),
    Metric(
        _defined("liability", "Program", "minor"),
        _money,
        (Parameter("since", "date", None, "the first day"),),
        on_dashboard=True,
    ),
    Metric(_defined("broken", "Program", "count"), _broken, on_dashboard=True),
    Metric(_defined("no-number", "Program", "score"), _no_number),
    Metric(_defined("effect", "Effect", "points_pct"), _effect, on_dashboard=True),
    Metric(_defined("association", "Effect", "ratio"), _association, on_dashboard=True),
    Metric(
        _defined("at-risk", "Lifetime value", "share"),
        lambda source: _share(source, days=1, of="all"),
        (),
        _rows,
        True,
    ),
)


@contextmanager
def sample_metrics(monkeypatch: Any) -> Iterator[None]:
    """Let these metrics be all that there are."""
    monkeypatch.setattr(registry, "MODULES", (__name__,))
    registry.all_metrics.cache_clear()
    yield
    registry.all_metrics.cache_clear()
