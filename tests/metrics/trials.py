"""Trials for the tests of effects: customers drawn into arms, and what they bought before and after."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from metric_shops import Order, columns_of, source_of

from rewards.metrics.effect.trial import Trial
from rewards.metrics.orders import Orders, day_number
from rewards.metrics.source import Source

START = date(2025, 3, 1)
DAY = 86_400_000_000


class Person(NamedTuple):
    """Somebody exposed, for tests that spell a trial out."""

    unit: int
    arm: int
    exposed_at: datetime
    enrolled: bool = True
    contaminated: bool = False
    logged_by: int = 0
    drawn: bool = True


def trial_of(people: list[Person], **others: Any) -> Trial:
    """Return the trial of these people, in UTC."""
    people = sorted(people)
    given: dict[str, Any] = {"experiment_id": "t", "share": 0.5} | others
    return Trial(
        unit=np.array([each.unit for each in people], dtype=np.int32),
        arm=np.array([each.arm for each in people], dtype=np.int8),
        exposed_at=np.array(
            [int(each.exposed_at.timestamp()) * 1_000_000 for each in people], dtype=np.int64
        ),
        exposed_day=np.array([day_number(each.exposed_at.date()) for each in people], dtype=np.int32),
        enrolled=np.array([each.enrolled for each in people], dtype=bool),
        contaminated=np.array([each.contaminated for each in people], dtype=bool),
        logged_by=np.array([each.logged_by for each in people], dtype=np.int8),
        drawn=np.array([each.drawn for each in people], dtype=bool),
        **given,
    )


def micros(day: date) -> int:
    return day_number(day) * DAY


def source_with(orders: Orders | list[Order], as_of: date) -> Source:
    return source_of(orders, as_of)


class World(NamedTuple):
    """A drawn shop: a trial and all purchases of its customers."""

    trial: Trial
    orders: Orders


def drawn_world(
    seed: int,
    customers: int = 1_500,
    *,
    share: float = 0.5,
    lift: float = 0.0,
    weeks: int = 30,
    history_days: int = 200,
    **others: Any,
) -> World:
    """Return a shop in which the program makes customers buy ``lift`` more often after their exposure.

    Each has a rate of their own, so that the past tells of the future; some are new. They are exposed by a purchase, at
    any time within the weeks, and their purchases are drawn apart for each arm: a program with no lift changes nothing.
    """
    rng = np.random.default_rng(seed)
    start = day_number(START)
    exposed = np.sort(start + rng.uniform(0, weeks * 7, customers))
    arm = (rng.uniform(size=customers) >= share).astype(np.int8)
    rate = rng.gamma(1.2, 0.01, customers)
    is_new = rng.uniform(size=customers) < 0.4
    before = np.where(is_new, 0, rng.poisson(rate * history_days))
    horizon = 200.0
    after = rng.poisson(rate * (1 + lift * arm) * horizon)
    unit = np.arange(customers)
    units = np.concatenate([unit, np.repeat(unit, before), np.repeat(unit, after)])
    times = np.concatenate(
        [
            exposed,
            np.repeat(exposed, before) - rng.uniform(0.01, history_days, before.sum()),
            np.repeat(exposed, after) + rng.uniform(0.01, horizon, after.sum()),
        ]
    )
    at = (times * DAY).astype(np.int64)
    spend = np.repeat([1.0], len(units)) * rng.lognormal(7.5, 0.6, customers)[units]
    amount = np.maximum(1, (spend * rng.lognormal(0, 0.4, len(units))).astype(np.int64))
    refunded = np.where(rng.uniform(size=len(units)) < 0.05, amount, 0)
    order = np.lexsort((at, units))
    orders = Orders(
        units[order].astype(np.int32),
        (at[order] // DAY).astype(np.int32),
        at[order],
        amount[order],
        refunded[order],
    )
    exposed_at = (exposed * DAY).astype(np.int64)
    trial = Trial(
        **{
            "experiment_id": "drawn",
            "share": share,
            "unit": unit.astype(np.int32),
            "arm": arm,
            "exposed_at": exposed_at,
            "exposed_day": (exposed_at // DAY).astype(np.int32),
            "enrolled": arm == 1,
            "contaminated": np.zeros(customers, dtype=bool),
            "logged_by": np.zeros(customers, dtype=np.int8),
            "drawn": np.ones(customers, dtype=bool),
        }
        | others
    )
    return World(trial, orders)


def rows_of(orders: Orders) -> list[tuple[int, int, int, int, int]]:
    """Return purchases as rows of unit, day, instant, amount, refunded, for loops written in words."""
    columns = (orders.unit, orders.day, orders.at, orders.amount, orders.refunded)
    return list(zip(*(each.tolist() for each in columns), strict=True))


def hours(day: date, after: float) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=after)


__all__ = ["DAY", "START", "Order", "Person", "World", "columns_of", "drawn_world", "hours", "micros", "rows_of", "source_with", "trial_of"]  # fmt: skip
