"""Outcomes of a trial against loops over customers, written from what they are said to be."""

from dataclasses import replace
from datetime import timedelta
from math import log1p

import numpy as np
import pytest
from trials import DAY, START, Order, Person, World, columns_of, drawn_world, hours, micros, rows_of, trial_of

from rewards.metrics.effect.outcomes import MARGIN, OUTCOMES, outcomes_with
from rewards.metrics.effect.trial import Redeemed, follow
from rewards.metrics.orders import day_number

SEEDS = (1, 2, 3)
FIRST = day_number(START)
LATER = START + timedelta(days=10)


def told(world: World, name: str, closes: int, days: int) -> dict[int, float]:
    """Return each customer's outcome as the formulas have it."""
    sample = OUTCOMES[name].sample(follow(world.trial, world.orders), closes, days)
    units = world.trial.unit[sample.who].tolist()
    y = sample.y if sample.below is None else sample.y * 1e9 + sample.below
    return dict(zip(units, y.tolist(), strict=True))


def counted(world: World, name: str, closes: int, days: int) -> dict[int, float]:
    """Return the same by a loop over customers and their orders."""
    trial, orders = world.trial, rows_of(world.orders)
    end = min(closes, trial.ends_day or closes)
    found = {}
    for unit, exposed_at, exposed_day in zip(
        trial.unit.tolist(), trial.exposed_at.tolist(), trial.exposed_day.tolist(), strict=True
    ):
        mine = [row for row in orders if row[0] == unit and (trial.ends_at is None or row[2] < trial.ends_at)]
        if trial.ends_day is None or closes < trial.ends_day:
            mine = [row for row in mine if row[1] < closes]
        after = [row for row in mine if row[2] > exposed_at and row[1] <= exposed_day + days]
        waits = [row[1] - exposed_day for row in mine]
        if name == "repeat-rate":
            known = exposed_day < end if trial.is_staggered else exposed_day + days < end
            value = float(any(0 < wait <= days for wait in waits))
        elif name == "retention":
            known = exposed_day + 2 * days < end
            value = float(any(days < wait <= 2 * days for wait in waits))
        else:
            known = exposed_day < end
            value = {
                "revenue-per-customer": float(sum(row[3] - row[4] for row in after)),
                "orders-per-customer": float(len({row[1] for row in after})),
                "order-value": sum(row[3] for row in after) * 1e9 + len({row[1] for row in after}),
                "refund-rate": sum(row[4] for row in after) * 1e9 + sum(row[3] for row in after),
            }[name]
        if known:
            found[unit] = value
    return found


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", [name for name in OUTCOMES if name != "winsorised-revenue"])
def test_outcomes_are_what_they_say(name: str, seed: int) -> None:
    world = drawn_world(seed, customers=150, weeks=12)
    ends = micros(START) + 70 * DAY + 5 * 3_600_000_000
    joining = replace(world.trial, ends_at=ends, ends_day=FIRST + 70)
    for trial in (world.trial, joining, replace(joining, is_staggered=True)):
        shown = world._replace(trial=trial.until(trial.closes(FIRST + 300)))
        for closes in (FIRST + 40, FIRST + 70, FIRST + 300):
            closes = trial.closes(closes)  # noqa: PLW2901 - as the metric does
            assert told(shown, name, closes, 30) == counted(shown, name, closes, 30), (closes, trial.ends_day)


@pytest.mark.parametrize("seed", SEEDS)
def test_pasts_are_what_was_bought_in_the_year_before(seed: int) -> None:
    world = drawn_world(seed, customers=150, history_days=500)
    followed = follow(world.trial, world.orders)
    orders = rows_of(world.orders)
    for place, (unit, at, day) in enumerate(
        zip(
            world.trial.unit.tolist(),
            world.trial.exposed_at.tolist(),
            world.trial.exposed_day.tolist(),
            strict=True,
        )
    ):
        mine = [row for row in orders if row[0] == unit and row[2] < at and row[1] >= day - 365]
        assert followed.has_history[place] == bool(mine)
        assert followed.past_days[place] == pytest.approx(log1p(len({row[1] for row in mine})))
        assert followed.past_money[place] == sum(row[3] - row[4] for row in mine)


def test_winsorised_revenue_is_revenue_with_the_highest_hundredth_lowered() -> None:
    world = drawn_world(4, customers=400)
    plain, lowered = (
        told(world, name, FIRST + 200, 90) for name in ("revenue-per-customer", "winsorised-revenue")
    )
    limit = np.quantile(list(plain.values()), 0.99)
    assert lowered == {unit: min(value, limit) for unit, value in plain.items()}


def test_the_purchase_that_exposes_counts_in_no_arm() -> None:
    exposed = hours(START, 10)
    rows = [
        Order(1, exposed, 1_000),
        Order(1, hours(START, 12), 500),  # later that day: money, but no return
        Order(1, hours(START, 9), 300),  # earlier that day: the past
        Order(2, hours(START, 10), 700),
        Order(2, hours(LATER, 1), 900, 100),
        Order(3, hours(START, 2), 50),  # before it was exposed without a purchase
    ]
    trial = trial_of(
        [Person(1, 1, exposed), Person(2, 0, exposed), Person(3, 0, exposed), Person(4, 1, exposed)]
    )
    world = World(trial, columns_of(rows))
    closes = FIRST + 100
    assert told(world, "repeat-rate", closes, 90) == {1: 0.0, 2: 1.0, 3: 0.0, 4: 0.0}
    assert told(world, "revenue-per-customer", closes, 90) == {1: 500.0, 2: 800.0, 3: 0.0, 4: 0.0}
    followed = follow(trial, world.orders)
    assert followed.past_money.tolist() == [300.0, 0.0, 50.0, 0.0]


def test_margin_is_a_share_of_what_was_paid_less_what_was_redeemed() -> None:
    exposed = hours(START, 10)
    rows = [Order(1, hours(LATER, 1), 1_000, 200), Order(2, hours(LATER, 2), 500)]
    spent = [
        (1, hours(START, 9), 70),  # before the exposure
        (1, hours(LATER, 1), 100),
        (2, hours(START + timedelta(days=90), 1), 30),
        (2, hours(START + timedelta(days=91), 1), 50),  # too late
        (5, hours(LATER, 1), 40),  # not in the trial
    ]
    redeemed = Redeemed(
        np.array([each[0] for each in spent], dtype=np.int32),
        np.array([int(each[1].timestamp()) * 1_000_000 for each in spent]),
        np.array([day_number(each[1].date()) for each in spent], dtype=np.int32),
        np.array([each[2] for each in spent]),
    )
    trial = trial_of([Person(1, 1, exposed), Person(2, 0, exposed), Person(3, 0, exposed)], redeemed=redeemed)
    outcome = outcomes_with(0.4)[MARGIN]
    for closes, second in ((FIRST + 100, 0.4 * 500 - 30), (FIRST + 50, 0.4 * 500)):
        sample = outcome.sample(follow(trial, columns_of(rows)), closes, 90)
        assert sample.y.tolist() == pytest.approx([0.4 * 800 - 100, second, 0.0])
    assert MARGIN not in outcomes_with(None)


def test_nobody_counts_before_their_days_have_passed() -> None:
    people = [Person(unit, unit % 2, hours(START + timedelta(days=unit), 1)) for unit in range(100)]
    world = World(trial_of(people), columns_of([]))
    # The last day of unit 9 is START + 99; as of the end of that day it is known.
    assert sorted(told(world, "repeat-rate", FIRST + 100, 90)) == list(range(10))
    assert sorted(told(world, "retention", FIRST + 100, 45)) == list(range(10))
    assert len(told(world, "revenue-per-customer", FIRST + 50, 90)) == 50


def test_what_comes_when_the_holdout_has_joined_counts_for_nobody() -> None:
    joins = hours(LATER, 12)
    rows = [Order(1, hours(LATER, 11), 100), Order(2, hours(LATER, 13), 100), Order(2, hours(START, 5), 40)]
    trial = trial_of(
        [Person(1, 1, hours(START, 1)), Person(2, 0, hours(START, 1))],
        ends_at=int(joins.timestamp()) * 1_000_000,
        ends_day=day_number(LATER),
        is_staggered=True,
    )
    world = World(trial, columns_of(rows))
    closes = trial.closes(FIRST + 400)
    assert told(world, "repeat-rate", closes, 90) == {1: 1.0, 2: 0.0}
    assert told(world, "revenue-per-customer", closes, 90) == {1: 100.0, 2: 40.0}


def test_empty_trials_and_empty_shops_have_empty_outcomes() -> None:
    nobody, bought = trial_of([]), columns_of([Order(1, hours(START, 5), 40)])
    someone = trial_of([Person(1, 1, hours(START, 1))])
    for name in OUTCOMES:
        assert told(World(nobody, bought), name, FIRST + 400, 30) == {}
        assert told(World(someone, columns_of([])), name, FIRST + 400, 30) == {1: 0.0}
