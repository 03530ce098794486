"""Adjusted association: propensities, weights and the doubly robust difference, against libraries and known truths."""

import json
import warnings

import numpy as np
import pytest
from metric_shops import columns_of, random_orders

from rewards.metrics.effect.adjusted import adjusted_difference, e_value, e_values
from rewards.metrics.effect.adjusted_association import result_of
from rewards.metrics.effect.joining import NEVER, Occasions, joined_days, occasions_of, varying
from rewards.metrics.effect.overlap import effective, overlap_of, propensity, standardised, why_not
from rewards.metrics.result import Result

NAMES = ("members", "non-members")


def choosers(
    seed: int, count: int = 1500, pull: float = 0.8, effect: float = 0.0, hidden: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what was known, who chose, and whether they bought: choosing and buying both grow with what was known."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(count), rng.normal(size=count), rng.integers(0, 2, count)])
    unseen = rng.normal(size=count)
    push = pull * x[:, 1] - 0.5 * x[:, 2] - 0.4 + hidden * unseen
    chose = rng.random(count) < 1 / (1 + np.exp(-push))
    chance = np.clip(
        0.4 + 0.12 * x[:, 1] - 0.05 * x[:, 2] + 0.12 * hidden * unseen + effect * chose, 0.02, 0.98
    )
    return x, chose, (rng.random(count) < chance).astype(float)


def occasions_from(x: np.ndarray, chose: np.ndarray, bought: np.ndarray) -> Occasions:
    return Occasions(np.arange(len(x), dtype=np.int32), chose, x, bought > 0, bought * 1000, 3)


@pytest.mark.parametrize("seed", range(5))
def test_propensities_are_those_of_statsmodels(seed: int) -> None:
    import statsmodels.api as sm

    x, chose, _ = choosers(seed)
    theirs = sm.Logit(chose.astype(float), x).fit(disp=0, tol=1e-12, method="newton").predict(x)
    assert propensity(x, chose) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_adjusted_difference_is_that_of_drdid(seed: int) -> None:
    """With nothing done before, DRDID's panel estimator is the doubly robust difference of what is done afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from drdid._estimators import drdid_panel

        x, chose, y = choosers(seed, effect=0.05)
        value, influence = drdid_panel(y, np.zeros(len(y)), chose.astype(float), covariates=x)
    overlap = overlap_of(x, chose)
    assert overlap is not None
    mine = adjusted_difference(y, chose, x, overlap)
    assert mine.value == pytest.approx(value, abs=1e-6)
    assert mine.se == pytest.approx(float(np.std(influence) / np.sqrt(len(y))), abs=1e-6)
    assert mine.chosen - mine.alike == pytest.approx(mine.value)
    assert mine.naive == pytest.approx(y[chose].mean() - y[~chose].mean())


def test_who_cannot_be_told_has_no_propensity() -> None:
    x, chose, _ = choosers(0)
    apart = np.column_stack([x, chose * 10.0 - 5])
    doubled = np.column_stack([x, x[:, 1]])
    assert propensity(apart, chose) is None
    assert propensity(doubled, chose) is None
    assert "apart wholly" in str(why_not(overlap_of(apart, chose), NAMES))


def test_differences_and_worth_of_weights_are_those_of_loops() -> None:
    x, chose, _ = choosers(3, 200)
    overlap = overlap_of(x, chose)
    assert overlap is not None
    for column in (1, 2):
        ones = [row[column] for row, is_one in zip(x, chose, strict=True) if is_one]
        others = [row[column] for row, is_one in zip(x, chose, strict=True) if not is_one]
        spread = ((np.var(ones, ddof=1) + np.var(others, ddof=1)) / 2) ** 0.5
        expected = (sum(ones) / len(ones) - sum(others) / len(others)) / spread
        assert standardised(x, chose)[column] == pytest.approx(expected)
        assert overlap.before[column - 1] == pytest.approx(expected)
    odds = [p / (1 - p) for p, is_one in zip(overlap.p, chose, strict=True) if not is_one]
    assert overlap.effective == pytest.approx(sum(odds) ** 2 / sum(each * each for each in odds))
    assert effective(np.ones(7)) == 7
    assert abs(overlap.after).max() < abs(overlap.before).max()


def test_adjustment_finds_the_truth_where_everything_was_known_and_not_where_something_was_not() -> None:
    """As with the experiment of Lalonde: without adjustment even the sign is wrong."""
    naive, adjusted, covered, hidden = [], [], 0, []
    for seed in range(60):
        x, chose, y = choosers(seed, pull=-0.8, effect=0.05)
        overlap = overlap_of(x, chose)
        assert overlap is not None
        found = adjusted_difference(y, chose, x, overlap)
        naive.append(found.naive)
        adjusted.append(found.value)
        covered += abs(found.value - 0.05) < 1.96 * found.se
        x, chose, y = choosers(seed, effect=0.0, hidden=1.0)
        overlap = overlap_of(x, chose)
        assert overlap is not None
        hidden.append(adjusted_difference(y, chose, x, overlap).value)
    assert np.mean(naive) < -0.02
    assert np.mean(adjusted) == pytest.approx(0.05, abs=0.015)
    assert covered >= 53
    assert np.mean(hidden) > 0.05


def test_e_values_are_the_published_ones() -> None:
    """VanderWeele and Ding's example: a risk ratio of 3.9 (1.8 to 8.7) has an E-value of 7.26, and 3.0 at its end."""
    assert e_value(3.9) == pytest.approx(7.26, abs=0.005)
    assert e_value(1.8) == pytest.approx(3.0, abs=0.01)
    assert e_value(1 / 3.9) == pytest.approx(e_value(3.9))
    assert e_value(1) == 1
    with pytest.raises(ValueError, match="above 0"):
        e_value(0)
    x, chose, y = choosers(1, effect=0.2)
    overlap = overlap_of(x, chose)
    assert overlap is not None
    found = adjusted_difference(y, chose, x, overlap)
    both = e_values(found, 0.1, 0.3, None)
    assert both is not None
    assert both.figure == pytest.approx(e_value(found.chosen / found.alike))
    assert both.nearest == pytest.approx(e_value((found.alike + 0.1) / found.alike))
    covering = e_values(found, -0.1, 0.3, None)
    assert covering is not None
    assert covering.nearest == 1
    in_money = e_values(found, 0.1, 0.3, 2.0)
    assert in_money is not None
    assert in_money.figure == pytest.approx(e_value(np.exp(0.91 * found.value / 2)))


def test_the_result_says_what_it_is() -> None:
    x, chose, y = choosers(2, effect=0.1)
    found = result_of(occasions_from(np.column_stack([x, x[:, 1] ** 2]), chose, y), "bought-again")
    assert found.evidence == "C"
    assert found.value is not None
    assert found.interval is not None
    assert found.interval.low < found.value < found.interval.high
    assert found.notes[0].startswith("Adjusted association:")
    assert any("E-value" in note for note in found.notes)
    assert {table.key for table in found.tables} == {"balance", "overlap"}
    assert sum(row[1] + row[2] for row in found.tables[1].rows) == len(x)
    assert json.dumps([list(table.rows) for table in found.tables], allow_nan=False)


@pytest.mark.parametrize(
    ("x_chose_y", "says"),
    [
        (choosers(1, 150), "fewer than 100 on a side"),
        (choosers(1, 4000, pull=6.0), "hardly anybody like them"),
        ((*choosers(1)[:2], np.zeros(1500)), "Only 0 of the members bought"),
    ],
)
def test_what_cannot_be_compared_is_refused(x_chose_y: tuple[np.ndarray, ...], says: str) -> None:
    x, chose, y = x_chose_y
    found: Result = result_of(occasions_from(x, chose, y), "bought-again")
    assert found.value is None
    assert found.evidence == "C"
    assert says in str(found.reason_if_null)


def test_few_alike_and_unlike_after_weighting_are_refused() -> None:
    x, chose, _ = choosers(1)
    overlap = overlap_of(x, chose)
    assert overlap is not None
    from dataclasses import replace

    assert why_not(overlap, NAMES) is None
    assert "worth 40 customers" in str(why_not(replace(overlap, effective=40.0), NAMES))
    unlike = replace(overlap, after=np.array([0.02, -0.3]))
    assert "differs by 0.30" in str(why_not(unlike, NAMES))


def test_columns_that_say_nothing_are_left_out() -> None:
    x, chose, _ = choosers(1, 100)
    known = np.column_stack([x[:, :2], np.zeros(100), x[:, 1] * 2, x[:, 2]])
    assert varying(known, chose).tolist() == [0, 1, 4]


@pytest.mark.parametrize("seed", range(6))
def test_occasions_are_those_of_a_loop(seed: int) -> None:
    rows = random_orders(seed, 150, 400)
    orders = columns_of(rows)
    rng = np.random.default_rng(seed)
    start, days, horizon = int(orders.day.min()) + 150, 60, 40
    joins = {
        customer: int(rng.choice([each.at.date().toordinal() for each in rows if each.customer == customer]))
        - 719_163
        + int(rng.integers(0, 2))
        for customer in sorted({each.customer for each in rows})
        if rng.random() < 0.5
    }
    found = occasions_of(
        orders, np.array(list(joins), dtype=np.int32), np.array(list(joins.values())), start, days, horizon
    )
    expected, later = [], 0
    for customer in sorted({each.customer for each in rows}):
        mine: dict[int, list[int]] = {}
        for each in rows:
            if each.customer == customer:
                day = mine.setdefault(each.at.date().toordinal() - 719_163, [0, 0])
                day[0] += each.amount
                day[1] += each.amount - each.refunded
        occasion = min((day for day in mine if start <= day < start + days), default=None)
        joined = joins.get(customer, NEVER)
        if occasion is None or joined < occasion:
            continue
        before = [day for day in mine if day < occasion]
        year = [day for day in before if day >= occasion - 365]
        after = [day for day in mine if occasion < day <= occasion + horizon]
        later += occasion < joined <= occasion + horizon
        known = [
            1,
            not before,
            np.log1p(len(year)),
            np.log1p(sum(mine[day][0] for day in year)),
            np.log1p(occasion - max(before)) if before else 0,
            np.log1p(occasion - min(mine)),
            np.log1p(mine[occasion][0]),
            (occasion - start) / days,
        ]
        expected.append(
            (customer, joined == occasion, known, bool(after), sum(mine[day][1] for day in after))
        )
    assert len(expected) > 20
    assert found.unit.tolist() == [each[0] for each in expected]
    assert found.joined.tolist() == [each[1] for each in expected]
    assert found.known == pytest.approx(np.array([each[2] for each in expected], dtype=float))
    assert found.bought.tolist() == [each[3] for each in expected]
    assert found.revenue.tolist() == [each[4] for each in expected]
    assert found.joined_later == later


def test_days_of_joining_go_to_who_joined() -> None:
    units = np.array([2, 5, 9], dtype=np.int32)
    found = joined_days(units, np.array([1, 5, 11], dtype=np.int32), np.array([10, 20, 30]))
    assert found.tolist() == [NEVER, 20, NEVER]
