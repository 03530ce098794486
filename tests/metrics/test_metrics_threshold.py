"""The jump at a tier's threshold, and whether customers pile up there: against statsmodels, loops and simulations."""

import json
import math
from datetime import date
from typing import Any

import numpy as np
import pytest
from metric_shops import columns_of, random_orders

from rewards.metrics.effect.recorded import Scores
from rewards.metrics.effect.threshold import at_threshold, bunching, jump, suitable_reach
from rewards.metrics.effect.tier_threshold import counts_since, outcome_of, result_of, threshold_of
from rewards.metrics.orders import day_number
from rewards.program.ladder import Ladder


def climbers(
    seed: int, count: int = 3000, effect: float = 0.1, steering: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores around 1,000 and whether customers bought afterwards, which grows with the score besides."""
    rng = np.random.default_rng(seed)
    score = np.round(rng.gamma(2, 400, count))
    keen = rng.random(count) < 0.5
    steers = keen & (score < 1000) & (score > 850) & (rng.random(count) < steering)
    score = np.where(steers, rng.integers(1000, 1040, count), score)
    chance = 0.15 + 0.0002 * np.minimum(score, 2500) + effect * (score >= 1000) + 0.15 * keen * (steering > 0)
    return score, (rng.random(count) < chance).astype(float)


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("above", [True, False])
def test_curves_are_weighted_regressions_of_statsmodels(degree: int, above: bool) -> None:
    import statsmodels.api as sm

    score, y = climbers(1)
    x, reach = score - 1000, 300.0
    mine = ((x >= 0) if above else (x < 0)) & (np.abs(x) < reach)
    powers = (x[mine, None] / reach) ** np.arange(degree + 1)
    fit = sm.WLS(y[mine], powers, weights=1 - np.abs(x[mine]) / reach).fit(cov_type="HC2")
    side = at_threshold(x, y, reach, degree, above=above)
    assert side.value == pytest.approx(fit.params[0], abs=1e-8)
    assert np.sqrt((side.influence**2).sum()) == pytest.approx(fit.bse[0], abs=1e-8)


def test_a_sharp_jump_is_found_with_an_interval_that_holds() -> None:
    covered, values = 0, []
    for seed in range(150):
        score, y = climbers(seed)
        x = score - 1000
        found = jump(x, y, x >= 0, suitable_reach(x, y))
        assert found is not None
        assert (found.share, found.f) == (pytest.approx(1), math.inf)
        covered += abs(found.value - 0.1) < 1.96 * found.se
        values.append(found.value)
    assert 0.9 <= covered / 150 <= 0.99
    assert np.mean(values) == pytest.approx(0.1, abs=0.03)


def test_a_jump_of_half_the_share_counts_twice() -> None:
    """Where standings last, some below are in the tier too; the quotient is that of two regressions."""
    rng = np.random.default_rng(4)
    score, _ = climbers(4, 6000)
    x = score - 1000
    is_in = np.where(x >= 0, rng.random(6000) < 0.9, rng.random(6000) < 0.3)
    y = rng.normal(0, 1, 6000) + 2.0 * is_in
    found = jump(x, y, is_in, 400.0)
    assert found is not None
    assert found.share == pytest.approx(0.6, abs=0.15)
    assert found.value == pytest.approx(2.0, abs=4 * found.se)
    rise = at_threshold(x, y, 400.0, 2, above=True).value - at_threshold(x, y, 400.0, 2, above=False).value
    assert found.value == pytest.approx(rise / found.share)
    nowhere = jump(x, y, np.ones(6000, dtype=bool), 400.0)
    assert nowhere is None


def test_piling_up_is_found_and_not_imagined() -> None:
    rejected = found = 0
    for seed in range(200):
        clean = bunching(climbers(seed)[0] - 1000)
        piled = bunching(climbers(seed, steering=0.6)[0] - 1000)
        assert clean is not None
        assert piled is not None
        rejected += clean.p_value < 0.05
        found += piled.p_value < 0.05
    assert rejected <= 22
    assert found >= 195


def test_the_density_is_that_of_a_loop() -> None:
    """McCrary's steps one by one: bins, a weighted line from each side, the logarithm of the ratio, its error."""
    import statsmodels.api as sm

    from rewards.metrics.effect.threshold import _density_reach

    x = climbers(9)[0] - 1000
    width = 2 * np.std(x, ddof=1) / math.sqrt(len(x))
    reach = _density_reach(x, width)
    heights = {}
    for side in (1, -1):
        middles, densities, weights = [], [], []
        edge = 0.0
        while edge < reach:
            low, high = (edge, edge + width) if side > 0 else (-edge - width, -edge)
            middle = (low + high) / 2
            if abs(middle) < reach:
                middles.append(middle)
                densities.append(sum(1 for each in x if low <= each < high) / (len(x) * width))
                weights.append(1 - abs(middle) / reach)
            edge += width
        fit = sm.WLS(densities, sm.add_constant(np.array(middles)), weights=weights).fit()
        heights[side] = fit.params[0]
    ratio = heights[1] / heights[-1]
    se = math.sqrt(24 / 5 / (len(x) * reach) * (1 / heights[1] + 1 / heights[-1]))
    found = bunching(x)
    assert found is not None
    assert found.ratio == pytest.approx(ratio, abs=1e-6)
    assert found.p_value == pytest.approx(math.erfc(abs(math.log(ratio)) / se / math.sqrt(2)), abs=1e-6)


def scores_of(score: np.ndarray) -> Scores:
    return Scores(np.arange(len(score), dtype=np.int32), score, score >= 1000)


def did_of(y: np.ndarray) -> np.ndarray:
    return np.column_stack([y, y * 2500])


def test_the_result_is_b_without_piling_up_and_d_with_it() -> None:
    score, y = climbers(3, 4000)
    clean = result_of(scores_of(score), did_of(y), 1000, "bought-again")
    assert clean.evidence == "B"
    assert clean.interval is not None
    assert clean.interval.low < 0.1 < clean.interval.high
    assert any("do not pile up" in note for note in clean.notes)
    assert json.dumps([clean.value, clean.interval, clean.tables[0].rows], allow_nan=False)
    score, y = climbers(3, 4000, effect=0.0, steering=0.6)
    piled = result_of(scores_of(score), did_of(y), 1000, "bought-again")
    assert piled.evidence == "D"
    assert piled.value is not None
    assert piled.interval is None
    words = " ".join(piled.notes)
    assert words.startswith("Downgraded from B to D: customers steer to the threshold")
    assert "lift" not in words
    assert "p =" not in words
    money = result_of(scores_of(score), did_of(y), 1000, "revenue")
    assert money.unit == "minor"


def test_thresholds_that_show_nothing_are_refused() -> None:
    score, y = climbers(5, 4000)
    rng = np.random.default_rng(0)
    whoever = Scores(np.arange(4000, dtype=np.int32), score, rng.random(4000) < 0.5)
    refused = result_of(whoever, did_of(y), 1000, "bought-again")
    assert refused.value is None
    assert "shows nothing" in str(refused.reason_if_null)
    few = result_of(scores_of(score[:120]), did_of(y[:120]), 1000, "bought-again")
    assert "fewer than 100 on a side" in str(few.reason_if_null)
    none = result_of(scores_of(score), did_of(y * 0), 1000, "bought-again")
    assert "Only 0 of the" in str(none.reason_if_null)


def ladder_of(*ways: list[dict[str, Any]], window: dict[str, Any] | None = None) -> Ladder:
    tiers = [{"id": "start", "name": "Start"}] + [
        {"id": f"tier-{at}", "name": f"Tier {at}", "ways_in": way} for at, way in enumerate(ways)
    ]
    return Ladder.model_validate({"tiers": tiers} | ({"window": window} if window else {}))


def test_the_threshold_is_that_of_the_tier() -> None:
    ladder = ladder_of([{"orders": 3}], [{"points": 500}], [{"points": 900}, {"spend_minor": 9000}])
    found = threshold_of(ladder, "")
    assert not isinstance(found, str)
    assert (found.tier, found.measure, found.least) == ("tier-1", "points", 500)
    assert found.tiers == ["tier-1", "tier-2"]
    assert "has not one threshold" in str(threshold_of(ladder, "tier-2"))
    assert "There is no tier" in str(threshold_of(ladder, "gold"))
    assert "nothing jumps anywhere" in str(threshold_of(ladder_of([{"orders": 3}]), ""))


@pytest.mark.parametrize(
    ("window", "since"),
    [
        ({"type": "lifetime"}, date(1900, 1, 1)),
        ({"type": "rolling", "period": "P12M"}, date(2025, 3, 6)),
        ({"type": "rolling", "period": "P30D"}, date(2026, 2, 4)),
        ({"type": "calendar", "unit": "quarter"}, date(2026, 1, 1)),
        ({"type": "dates", "dates": ["03-01", "09-01"]}, date(2026, 3, 1)),
        ({"type": "anniversary"}, None),
    ],
)
def test_what_counts_begins_where_the_window_does(window: dict[str, Any], since: date | None) -> None:
    ladder = ladder_of([{"points": 500}], window=window)
    assert counts_since(ladder.window, day_number(date(2026, 3, 6))) == since


def test_what_customers_did_is_that_of_a_loop() -> None:
    rows = random_orders(3, 80)
    orders = columns_of(rows)
    units = np.array(sorted(set(range(0, 90, 2))), dtype=np.int32)
    day = int(orders.day.min()) + 200
    did = outcome_of(orders, units, day, 90)
    for at, unit in enumerate(units):
        mine = [
            (each.at.date(), each.amount - each.refunded)
            for each in rows
            if each.customer == unit and day <= day_number(each.at.date()) < day + 90
        ]
        assert did[at, 0] == len({on for on, _ in mine})
        assert did[at, 1] == sum(paid for _, paid in mine)
    assert outcome_of(orders, units[:0], day, 90).shape == (0, 2)


def test_scores_with_few_values_are_no_trouble() -> None:
    """Of a shop that gives 100 points an order: nothing can be fitted through three values, and nothing breaks."""
    rng = np.random.default_rng(1)
    score = rng.choice([800.0, 900.0, 1000.0, 1100.0], 2000)
    found = result_of(scores_of(score), did_of((rng.random(2000) < 0.4).astype(float)), 1000, "bought-again")
    assert found.value is None
    coarse = np.round(rng.uniform(400, 1600, 3000) / 100) * 100
    found = result_of(scores_of(coarse), did_of((rng.random(3000) < 0.4).astype(float)), 1000, "bought-again")
    assert "only a few different amounts" in str(found.reason_if_null)
