"""What a trial came to, as tables: the arms, the difference, every outcome, and the difference week by week."""

from collections.abc import Sequence
from typing import Any

from rewards.metrics.effect.analysis import Finding, Listed, Plan, over_time
from rewards.metrics.effect.outcomes import Outcome
from rewards.metrics.effect.trial import ARM_NAMES, HOLDOUT, PROGRAM, Followed
from rewards.metrics.intervals import normal, wilson
from rewards.metrics.orders import day_of
from rewards.metrics.result import Column, Table
from rewards.metrics.showing import words


def arms_table(found: Finding) -> Table:
    """Return what each arm came to, with its own interval."""
    import numpy as np

    sample, outcome, unit = found.sample, found.outcome, found.outcome.unit
    rows = []
    for arm in (PROGRAM, HOLDOUT):
        here = sample.arm == arm
        y, count = sample.y[here], int(here.sum())
        raw = found.estimates.raw
        level = raw.program if arm == PROGRAM else raw.holdout
        bounds = None
        if sample.below is None and unit == "share":
            bounds = wilson(float(y.sum()), count)
        elif sample.below is None:
            bounds = normal(level, float(np.std(y, ddof=1)) / count**0.5)
        low, high = (bounds.low, bounds.high) if bounds is not None else (None, None)
        rows.append((ARM_NAMES[arm], count, float(y.sum()), level, low, high))
    counted = "count" if unit == "share" and sample.below is None else unit if unit != "share" else "minor"
    columns = (
        Column("arm", "Arm", "text"),
        Column("customers", "Customers", "count"),
        Column("total", "Together", counted),
        Column("level", outcome.title.capitalize(), unit),
        Column("level_low", "from", unit),
        Column("level_high", "to", unit),
    )
    return Table("arms", "The two arms", columns, rows)


def estimates_table(found: Finding, plan: Plan) -> Table:
    """Return the difference as it is and adjusted by the past, and relative to the holdout."""
    unit = found.outcome.difference_unit
    rows: list[tuple[Any, ...]] = []
    kinds = [("raw", found.estimates.raw, found.raw_interval, 0.0)]
    if found.estimates.method != "none":
        kinds.append(("adjusted by the past", found.best, found.interval, found.estimates.removed))
    for name, estimate, interval, removed in kinds:
        relative = found.relative(estimate, plan.expected)
        lift = (None, None, None) if relative is None else (relative.value, relative.low, relative.high)
        rows.append((name, estimate.difference, interval.low, interval.high, estimate.se, *lift, removed))
    columns = (
        Column("estimate", "Estimate", "text"),
        Column("difference", "Difference", unit),
        Column("difference_low", "from", unit),
        Column("difference_high", "to", unit),
        Column("se", "Standard error", unit),
        Column("relative", "Relative", "share"),
        Column("relative_low", "from", "share"),
        Column("relative_high", "to", "share"),
        Column("removed", "Variance removed", "share"),
    )
    return Table("estimates", "The difference, raw and adjusted", columns, rows)


def outcomes_table(listed: Sequence[Listed], plan: Plan, currency: str) -> Table:
    """Return every outcome, the primary one first; the secondary ones have q-values."""
    rows: list[tuple[Any, ...]] = []
    for each in listed:
        title = each.outcome.title.capitalize()
        if isinstance(each.found, str):
            rows.append((title, each.role, None, None, None, None, None, None, None, each.found))
            continue
        best, unit = each.found.best, each.outcome.unit
        relative = each.found.relative(best, plan.expected)
        lift = (None, None, None) if relative is None else (relative.value, relative.low, relative.high)
        rows.append(
            (
                title,
                each.role,
                best.customers,
                words.figure(best.program, unit, currency),
                words.figure(best.holdout, unit, currency),
                *lift,
                each.q_value,
                words.between(each.found.interval, each.outcome.difference_unit, currency),
            )
        )
    columns = (
        Column("outcome", "Outcome", "text"),
        Column("role", "Role", "text"),
        Column("customers", "Customers", "count"),
        Column("program", "Program", "text"),
        Column("holdout", "Holdout", "text"),
        Column("relative", "Relative", "share"),
        Column("relative_low", "from", "share"),
        Column("relative_high", "to", "share"),
        Column("q_value", "q (secondary)", "score"),
        Column("says", "Difference", "text"),
    )
    return Table("outcomes", "All outcomes", columns, rows)


def over_time_table(followed: Followed, until: int, outcome: Outcome, plan: Plan) -> Table:
    """Return the difference at the end of each week, with the interval that may be looked at every time."""
    rows = [
        (day_of(look.day).isoformat(), look.difference, look.interval.low, look.interval.high, look.customers)
        for look in over_time(followed, until, outcome, plan)
    ]
    unit = outcome.difference_unit
    columns = (
        Column("day", "As of", "date"),
        Column("difference", "Difference", unit),
        Column("difference_low", "from", unit),
        Column("difference_high", "to", unit),
        Column("customers", "Customers", "count"),
    )
    title = "The difference week by week, with the interval that may be looked at every time"
    return Table("over-time", title, columns, rows, chart="line")
