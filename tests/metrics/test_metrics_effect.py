"""The metric of a trial: verdicts in words that follow from the interval, checks, and refusals with their reasons."""

import json
import warnings
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from trials import START, World, drawn_world, rows_of, source_with, trial_of

from rewards.metrics.effect.always_valid import customers_needed
from rewards.metrics.effect.analysis import Finding, Plan, analyse
from rewards.metrics.effect.by_arm import survival_of, waits_of
from rewards.metrics.effect.outcomes import OUTCOMES
from rewards.metrics.effect.randomised import METRICS, effect, effect_of
from rewards.metrics.effect.trial import follow
from rewards.metrics.effect.verdict import weeks_to_go
from rewards.metrics.orders import day_number
from rewards.metrics.result import Result, Table

PLAN = Plan(days=30)
AS_OF = START + timedelta(days=300)


def told(world: World, as_of: date = AS_OF, outcome: str | None = None, plan: Plan = PLAN) -> Result:
    return effect_of(world.trial, source_with(world.orders, as_of), outcome, plan)


def with_trial(world: World, **others: Any) -> World:
    return World(replace(world.trial, **others), world.orders)


def table(result: Result, key: str) -> Table:
    return next(each for each in result.tables if each.key == key)


def check(result: Result, title: str) -> tuple[Any, ...]:
    return next(tuple(row) for row in table(result, "checks").rows if row[0] == title)


def plain(result: Result) -> str:
    """Return all cells as JSON, which has neither NaN nor infinity."""
    cells = [[list(row) for row in each.rows] for each in result.tables]
    return json.dumps([result.value, result.interval, list(result.notes), cells], allow_nan=False)


def test_a_trial_without_an_effect_cannot_tell_and_says_how_long_it_takes() -> None:
    result = told(drawn_world(1), AS_OF - timedelta(days=100))
    assert result.evidence == "A"
    assert result.interval is not None
    assert result.interval.low < 0 < result.interval.high
    verdict = result.notes[0]
    assert "Repeat rate, program minus holdout: between −" in verdict
    assert "percentage points; cannot yet tell" in verdict
    assert "to go until a lift of 10% would show" in verdict or "more than 3 years" in verdict
    assert any("as often as you like" in note for note in result.notes)
    plain(result)


def test_an_effect_is_said_to_be_one_and_a_harm_a_harm() -> None:
    better = told(drawn_world(2, 5_000, lift=0.6))
    assert better.interval is not None
    assert better.interval.low > 0
    assert better.notes[0].endswith("the program raised it.")
    assert better.notes[1].startswith("Relative to the holdout's ")
    worse = told(drawn_world(2, 5_000, lift=-0.5))
    assert worse.notes[0].endswith("the program lowered it.")


def test_weeks_to_go_are_counted_by_who_is_exposed_already_and_who_will_come() -> None:
    world = drawn_world(15, 3_000)
    until = day_number(START) + 150
    seen = world._replace(trial=world.trial.until(until))
    followed = follow(seen.trial, seen.orders)
    repeat = OUTCOMES["repeat-rate"]
    for smallest in (0.16, 0.12, 0.05):
        plan = Plan(days=90, smallest=smallest)
        found = analyse(followed, until, repeat, plan)
        assert isinstance(found, Finding)
        needed = customers_needed(found.best, smallest * found.best.holdout)
        assert needed is not None
        to_go = weeks_to_go(followed, found, until, plan)
        assert to_go is not None
        days = sorted(seen.trial.exposed_day.tolist())
        if needed <= found.best.customers:
            expected = 0
        elif needed <= len(days):
            # Day by day, until enough have had their 90 days.
            day = until
            while sum(each + 90 < day for each in days) < needed:
                day += 1
            expected = max(1, round((day - until) / 7))
        else:
            recent = sum(each >= until - 56 for each in days) / 56
            expected = round((90 + (needed - len(days)) / recent) / 7)
        assert to_go.weeks == expected
    nobody = replace(seen.trial, exposed_day=seen.trial.exposed_day - 100)
    later = follow(nobody, seen.orders)
    found = analyse(later, until, repeat, Plan(smallest=0.05))
    assert isinstance(found, Finding)
    assert weeks_to_go(later, found, until, Plan(smallest=0.05)) is None


def test_the_registered_end_is_one_look_and_later_purchases_do_not_change_it() -> None:
    world = drawn_world(3)
    end = day_number(START) + 150
    ended = with_trial(world, planned_end=end)
    at_end = told(ended, START + timedelta(days=149))
    later = told(ended, AS_OF)
    assert (at_end.value, at_end.interval) == (later.value, later.interval)
    assert plain(at_end) == plain(later)
    assert any("one look at the end that was registered" in note for note in later.notes)
    assert "the trial is over and could not tell an effect from none. More than +" in later.notes[0]
    running = told(world, START + timedelta(days=149))
    assert running.value == at_end.value
    assert running.interval is not None
    assert at_end.interval is not None
    assert running.interval.high - running.interval.low > at_end.interval.high - at_end.interval.low
    before = told(ended, START + timedelta(days=100))
    assert "about 7 weeks to go until the registered end on 29 Jul 2025" in before.notes[0].replace(
        "\xa0", " "
    )


def test_the_curve_over_time_has_a_look_a_week_and_ends_with_the_headline() -> None:
    world = drawn_world(4)
    as_of = START + timedelta(days=180)
    result = told(world, as_of)
    looks = table(result, "over-time")
    days = [date.fromisoformat(row[0]) for row in looks.rows]
    assert days[-1] == as_of
    assert {(after - before).days for before, after in pairwise(days)} == {7}
    assert result.interval is not None
    assert tuple(looks.rows[-1][1:4]) == (result.value, result.interval.low, result.interval.high)
    assert looks.rows[0][3] - looks.rows[0][2] > looks.rows[-1][3] - looks.rows[-1][2]


def test_a_sample_ratio_mismatch_takes_the_figure_away() -> None:
    world = drawn_world(5)
    # A filter after the draw: half of the holdout's customers are not logged.
    rng = np.random.default_rng(5)
    keep = np.flatnonzero((world.trial.arm == 1) | (rng.uniform(size=len(world.trial)) < 0.5))
    columns = ("unit", "arm", "exposed_at", "exposed_day", "enrolled", "contaminated", "logged_by", "drawn")
    lossy = with_trial(world, **{name: getattr(world.trial, name)[keep] for name in columns})
    result = told(lossy)
    assert result.value is None
    assert result.reason_if_null is not None
    assert "no accident" in result.reason_if_null
    assert check(result, "Sizes of the arms")[1] == "stops"
    # Where others drew, nobody knows what the sizes should be.
    assigned = with_trial(lossy, drawn=np.zeros(len(lossy.trial), dtype=bool))
    result = told(assigned)
    assert result.value is not None
    assert any("assigned from outside" in note for note in result.notes)


def test_an_arm_of_forty_customers_has_no_figure() -> None:
    world = drawn_world(6, 1_000, share=0.04)
    result = told(world)
    assert result.value is None
    assert "each arm needs 100" in str(result.reason_if_null)


def test_few_events_have_no_figure() -> None:
    world = drawn_world(6, 400)
    result = told(world, plan=Plan(days=1))
    assert result.value is None
    assert "10 in each arm are the least" in str(result.reason_if_null)


def test_no_figure_within_the_first_four_weeks() -> None:
    world = drawn_world(7, weeks=2)
    result = told(world, START + timedelta(days=26), "orders-per-customer")
    assert result.value is None
    assert "figures are shown after 28" in str(result.reason_if_null)
    assert told(world, START + timedelta(days=28), "orders-per-customer").value is not None


def test_nobody_exposed_yet_is_a_reason() -> None:
    world = drawn_world(7)
    result = told(world, START - timedelta(days=3))
    assert result.value is None
    assert result.reason_if_null == "Nobody was exposed to the trial until now."
    empty = effect_of(trial_of([]), source_with(world.orders, AS_OF), None, PLAN)
    assert empty.reason_if_null == "Nobody was exposed to the trial until now."
    merged = replace(trial_of([]), merged_across_arms=1_250)
    across = effect_of(merged, source_with(world.orders, AS_OF), None, PLAN)
    assert across.reason_if_null == "All 1,250 who were exposed turned out to be in both arms."


def test_an_assignment_by_what_customers_did_before_is_found_out() -> None:
    world = drawn_world(8)
    often = np.bincount(world.orders.unit, minlength=len(world.trial)) + world.trial.unit % 2 / 2
    chosen = (often > np.median(often)).astype(np.int8)
    result = told(with_trial(world, arm=chosen, share=float(1 - chosen.mean())))
    assert check(result, "The arms before the trial")[1] == "warns"
    assert any("likely not random" in note for note in result.notes)


def test_points_in_the_holdout_are_told() -> None:
    world = drawn_world(9)
    spoilt = (world.trial.arm == 0) & (world.trial.unit % 10 == 0)
    result = told(with_trial(world, contaminated=spoilt, enrolled=(world.trial.arm == 1) | spoilt))
    assert any("got points all the same" in note for note in result.notes)
    assert any("of the program's arm took part" in note for note in result.notes)


def test_nothing_is_said_of_the_ordinary_points_of_who_was_made_no_offer() -> None:
    world = drawn_world(9)
    result = told(with_trial(world, subject="offer", enrolled=world.trial.arm == 1))
    assert not any("No customer of the holdout got points" in row[2] for row in table(result, "checks").rows)
    assert check(result, "Holdout customers with the offer")[1] == "passed"


def test_who_does_not_take_part_makes_the_effect_on_the_others_larger() -> None:
    world = drawn_world(10, 4_000, lift=0.5)
    rng = np.random.default_rng(1)
    some = (world.trial.arm == 1) & (rng.uniform(size=len(world.trial)) < 0.5)
    result = told(with_trial(world, enrolled=some))
    note = next(note for note in result.notes if "took part because they could" in note)
    assert "50% of the program's arm took part and 0% of the holdout" in note
    assert not any("took part because" in note for note in told(world).notes)


def test_exposures_logged_otherwise_in_one_arm_are_told() -> None:
    world = drawn_world(11)
    ways = ("first activity", "storefront")
    alike = with_trial(world, logged_by=(world.trial.unit % 3 == 0).astype(np.int8), logged_names=ways)
    assert check(told(alike), "Exposures logged alike")[1] == "passed"
    uneven = with_trial(world, logged_by=world.trial.arm, logged_names=ways)
    assert check(told(uneven), "Exposures logged alike")[1] == "warns"


def test_outcomes_stand_beside_the_primary_one_with_their_q_values() -> None:
    result = told(drawn_world(12, 3_000, lift=0.4))
    listed = table(result, "outcomes")
    keys = [column.key for column in listed.columns]
    rows = [dict(zip(keys, row, strict=True)) for row in listed.rows]
    assert len(rows) == len(OUTCOMES)
    assert rows[0]["role"] == "primary"
    assert {row["role"] for row in rows} == {"primary", "secondary", "guardrail"}
    assert all((row["q_value"] is not None) == (row["role"] == "secondary") for row in rows)
    other = told(drawn_world(12, 3_000, lift=0.4), outcome="orders-per-customer")
    assert any("set up to be judged by the repeat rate" in note for note in other.notes)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_each_outcome_can_be_asked_for(outcome: str) -> None:
    result = told(drawn_world(13), outcome=outcome)
    assert result.value is not None
    assert result.unit == OUTCOMES[outcome].difference_unit
    arms = table(result, "arms").rows
    assert [row[0] for row in arms] == ["program", "holdout"]
    estimates = table(result, "estimates").rows
    assert estimates[0][0] == "raw"
    assert estimates[0][1] == pytest.approx(arms[0][3] - arms[1][3])
    assert estimates[-1][1] == result.value
    plain(result)


def test_survival_by_arm_compares_the_waits() -> None:
    world = drawn_world(14, 4_000, lift=0.6)
    result = survival_of(world.trial, source_with(world.orders, AS_OF), 60)
    assert result.interval is not None
    assert result.interval.high < 0  # they come back sooner
    assert "less on average" in result.notes[0]
    curve = table(result, "survival")
    assert curve.rows[0][1] == 1.0
    assert all(later[1] <= sooner[1] for sooner, later in pairwise(curve.rows))
    plain(result)
    ended = with_trial(world, planned_end=day_number(AS_OF) + 1)
    final = survival_of(ended.trial, source_with(world.orders, AS_OF), 60)
    assert final.value == result.value
    assert final.interval is not None
    assert final.interval.high - final.interval.low < result.interval.high - result.interval.low
    assert any("Log-rank test" in note for note in final.notes)
    small = drawn_world(6, 1_000, share=0.04)
    assert survival_of(small.trial, source_with(small.orders, AS_OF), 60).value is None


def test_waits_and_their_tests_are_those_of_lifelines() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lifelines.statistics import logrank_test
    world = drawn_world(16, 600)
    closes = day_number(AS_OF) - 150
    trial = world.trial.until(closes)
    waits, again = waits_of(follow(trial, world.orders), closes)
    bought = rows_of(world.orders)
    for place, (unit, exposed) in enumerate(
        zip(trial.unit.tolist(), trial.exposed_day.tolist(), strict=True)
    ):
        days = [row[1] for row in bought if row[0] == unit and exposed < row[1] < closes]
        assert waits[place] == (min(days) if days else closes - 1) - exposed
        assert again[place] == bool(days)
    ended = World(replace(world.trial, planned_end=closes), world.orders)
    result = survival_of(ended.trial, source_with(world.orders, AS_OF), 60)
    inside = trial.arm == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = logrank_test(waits[inside], waits[~inside], again[inside], again[~inside]).p_value
    assert f"Log-rank test of the two curves: p {theirs:.2g}." in result.notes


def test_without_a_database_nobody_knows_who_was_held_out() -> None:
    result = effect(source_with(drawn_world(1).orders, AS_OF))
    assert result.value is None
    assert result.reason_if_null == "Who was held out is only known in the shop's database."
    (metric,) = METRICS
    assert metric(source_with(drawn_world(1).orders, AS_OF), outcome="revenue-per-customer").unit == "minor"
