"""ATT(g,t), its averages, bands, deals and tests of trends, against csdid, loops and simulations with known truth."""

import warnings
from typing import Any

import numpy as np
import pytest

from rewards.metrics.effect.pretrends import sensitivity, trends_before, wald
from rewards.metrics.effect.shuffling import deals_of, shuffle
from rewards.metrics.effect.staggered import (
    NEVER,
    Panel,
    by_event_time,
    by_group,
    by_period,
    degrees_of,
    group_time,
    overall,
    simultaneous,
    weights_of_overall,
)
from rewards.metrics.intervals import student

GROUPS = np.array([3, 3, 4, 4, 4, 6, 6, 6, NEVER, NEVER, NEVER, 7, 7, 5])
PERIODS = 9


def customers_of(seed: int, groups: np.ndarray = GROUPS) -> tuple[np.ndarray, np.ndarray]:
    """Return each customer's store, and what each did in each period, with an effect and shocks of stores."""
    rng = np.random.default_rng(seed)
    store = np.repeat(np.arange(len(groups)), rng.integers(5, 40, len(groups)))
    time = np.arange(PERIODS)
    shock = rng.normal(0, 0.3, (len(groups), PERIODS))
    effect = 0.5 * (time[None, :] >= groups[:, None])
    did = rng.normal(0, 1, (len(store), PERIODS)) + rng.normal(0, 1, len(store))[:, None] + 0.1 * time
    return store, did + (shock + effect)[store]


def panel_from(store: np.ndarray, did: np.ndarray, groups: np.ndarray = GROUPS) -> Panel:
    total = np.zeros((len(groups), did.shape[1]))
    np.add.at(total, store, did)
    return Panel(np.bincount(store).astype(float), total, groups.astype(np.int64))


def csdid_of(store: np.ndarray, did: np.ndarray, anticipation: int, base: str) -> Any:
    """Return csdid's fit of the same customers, clustered by store; it warns and prints a lot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas as pd
        from csdid.att_gt import ATTgt

        count = len(store)
        frame = pd.DataFrame(
            {
                "id": np.repeat(np.arange(count), PERIODS),
                "t": np.tile(np.arange(PERIODS), count) + 1,
                "y": did.ravel(),
                "g": np.repeat(np.where(GROUPS == NEVER, 0, GROUPS + 1)[store], PERIODS),
                "store": np.repeat(store, PERIODS),
            }
        )
        return ATTgt(
            yname="y", tname="t", idname="id", gname="g", data=frame,
            control_group="notyettreated", clustervar="store", anticipation=anticipation,
        ).fit(est_method="reg", base_period=base, bstrap=False)  # fmt: skip


@pytest.mark.parametrize("base", ["varying", "universal"])
@pytest.mark.parametrize("anticipation", [0, 1, 2])
def test_group_time_effects_and_their_averages_are_those_of_csdid(anticipation: int, base: Any) -> None:
    store, did = customers_of(anticipation)
    fit = csdid_of(store, did, anticipation, base)
    panel = panel_from(store, did)
    cells = group_time(panel, anticipation, base, is_corrected=False)
    mine = {(cell.group + 1, cell.period + 1): cell.estimate for cell in cells}
    seen = 0
    for group, period, value, se in zip(
        *(fit.results[key] for key in ("group", "year", "att", "se")), strict=True
    ):
        if np.isnan(se):  # The base period itself, where there is nothing to estimate.
            assert (group, period) not in mine
            continue
        seen += 1
        assert mine[group, period].value == pytest.approx(value, abs=1e-6)
        assert mine[group, period].se == pytest.approx(se, abs=1e-6)
    assert seen == len(mine) > 30
    for kind in ("simple", "dynamic", "group", "calendar"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = fit.aggte(typec=kind, bstrap=False, cband=False).atte
        whole = overall(panel, cells, kind)  # type: ignore[arg-type]
        assert whole is not None
        assert whole.estimate.value == pytest.approx(theirs["overall_att"], abs=1e-6)
        assert whole.estimate.se == pytest.approx(np.ravel(theirs["overall_se"])[0], abs=1e-6)
        parts = {"dynamic": by_event_time, "group": by_group, "calendar": by_period}.get(kind)
        if parts is None:
            continue
        found = parts(panel, cells)
        shift = 0 if kind == "dynamic" else 1
        for at, value, se in zip(theirs["egt"], theirs["att_egt"], np.ravel(theirs["se_egt"]), strict=True):
            if not np.isnan(se):
                assert found[int(at) - shift].estimate.value == pytest.approx(value, abs=1e-6)
                assert found[int(at) - shift].estimate.se == pytest.approx(se, abs=1e-6)


def test_the_wald_statistic_is_that_of_csdid() -> None:
    groups = np.array([4] * 8 + [6] * 8 + [NEVER] * 8)
    store, did = customers_of(5, groups)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas as pd
        from csdid.att_gt import ATTgt

        frame = pd.DataFrame(
            {
                "id": np.repeat(np.arange(len(store)), PERIODS),
                "t": np.tile(np.arange(PERIODS), len(store)) + 1,
                "y": did.ravel(),
                "g": np.repeat(np.where(groups == NEVER, 0, groups + 1)[store], PERIODS),
                "store": np.repeat(store, PERIODS),
            }
        )
        fit = ATTgt(
            yname="y", tname="t", idname="id", gname="g", data=frame,
            control_group="notyettreated", clustervar="store", anticipation=0,
        ).fit(est_method="reg", base_period="varying", bstrap=False)  # fmt: skip
    cells = group_time(panel_from(store, did, groups), 0, "varying", is_corrected=False)
    before = [cell.estimate for cell in cells if cell.period < cell.group]
    assert fit.MP["Wpval"] is not None
    from scipy.stats import chi2

    statistic = wald(before)
    assert statistic is not None
    assert 1 - chi2.cdf(statistic, len(before)) == pytest.approx(fit.MP["Wpval"], abs=1e-5)


def test_group_time_effects_are_those_of_a_loop_over_customers() -> None:
    """From the paper's words: the change of who began in g, less the change of who had not begun by t."""
    store, did = customers_of(11)
    group = GROUPS[store]
    for cell in group_time(panel_from(store, did), 1):
        treated, controls = [], []
        for customer in range(len(store)):
            change = did[customer, cell.period] - did[customer, cell.group - 2]
            if group[customer] == cell.group:
                treated.append(change)
            elif group[customer] > max(cell.period, cell.group - 2) + 1:
                controls.append(change)
        assert cell.estimate.value == pytest.approx(np.mean(treated) - np.mean(controls), abs=1e-9)


def test_weights_give_the_overall_effect() -> None:
    panel = panel_from(*customers_of(3))
    for anticipation in (0, 1, 2):
        weights, whole = (
            weights_of_overall(panel, anticipation),
            overall(panel, group_time(panel, anticipation)),
        )
        assert weights is not None
        assert whole is not None
        assert (weights * panel.total).sum() == pytest.approx(whole.estimate.value, abs=1e-12)
        before = weights_of_overall(panel, anticipation, "before")
        drifting = Panel(panel.size, panel.size[:, None] * np.arange(PERIODS)[None, :] * 1.0, panel.group)
        assert before is not None
        assert (before * drifting.total).sum() == pytest.approx(
            0, abs=1e-9
        )  # what all share is no difference


def random_panel(
    rng: np.random.Generator, groups: np.ndarray, effect: float = 0.2, drift: float = 0.0
) -> Panel:
    """Return stores with shocks, the same effect everywhere, and a drift of those where it begins."""
    size = rng.integers(100, 400, len(groups)).astype(float)
    time = np.arange(10)
    began = groups[:, None] < NEVER
    mean = 1 + 0.05 * time + rng.normal(0, 0.1, (len(groups), 10)) + rng.normal(0, 0.3, (len(groups), 1))
    mean = mean + effect * (time[None, :] >= groups[:, None]) + drift * began * time
    return Panel(size, mean * size[:, None], groups.astype(np.int64))


def test_two_way_fixed_effects_would_be_wrong_where_this_is_right() -> None:
    """Effects that grow with time: what the regression makes of them has not even to be among them."""
    import statsmodels.api as sm

    groups = np.array([2] * 10 + [6] * 10)
    time = np.arange(10)
    since = np.clip(time[None, :] - groups[:, None] + 1, 0, None)
    size = np.full(20, 100.0)
    panel = Panel(size, since * size[:, None] * 1.0, groups)
    rows = [
        [*np.eye(20)[store], *np.eye(10)[period][1:], float(since[store, period] > 0)]
        for store in range(20)
        for period in range(10)
    ]
    twfe = sm.OLS(since.ravel().astype(float), np.array(rows)).fit().params[-1]
    whole = overall(panel, group_time(panel, 0))
    assert whole is not None
    # Of the first group four periods can be told: 1, 2, 3 and 4 after as many periods.
    assert whole.estimate.value == pytest.approx(2.5)
    assert twfe < 1.0


def test_intervals_bands_and_tests_hold_their_level() -> None:
    """Twenty-four stores, two hundred shops: coverage and rejections within what chance allows of 95 % and 5 %."""
    rng = np.random.default_rng(7)
    covered = rejected = banded = found = 0
    shops = 200
    for _ in range(shops):
        groups = np.array([4, 5, 6, 8, NEVER, NEVER] * 4)
        rng.shuffle(groups)
        panel = random_panel(rng, groups)
        cells = group_time(panel, 1)
        whole, events = overall(panel, cells), by_event_time(panel, cells)
        assert whole is not None
        degrees = float(degrees_of(whole.estimate.influence[None, :], panel.group)[0])
        interval = student(whole.estimate.value, whole.estimate.se, degrees)
        covered += interval.low <= 0.2 <= interval.high
        figures = [events[since] for since in sorted(events)]
        truth = np.array([0.2 * (since >= 0) for since in sorted(events)])
        band = simultaneous([each.estimate for each in figures], panel.group, draws=499)
        banded += bool((np.abs([each.estimate.value for each in figures] - truth) <= band.halves).all())
        before = trends_before(events, len(groups), 1)
        assert before is not None
        assert before.tested == 3
        rejected += before.p_value < 0.05
        drifting = random_panel(rng, groups, drift=0.15)
        trend = trends_before(by_event_time(drifting, group_time(drifting, 1)), len(groups), 1)
        assert trend is not None
        found += trend.p_value < 0.05
    assert 0.92 <= covered / shops <= 0.99
    assert banded / shops >= 0.9
    assert rejected / shops <= 0.1
    assert found / shops >= 0.8


def test_the_band_is_the_same_for_the_same_data() -> None:
    panel = panel_from(*customers_of(4))
    figures = [each.estimate for each in by_event_time(panel, group_time(panel, 1)).values()]
    first, again = (simultaneous(figures, panel.group) for _ in range(2))
    assert first.critical == again.critical > 1.96


def test_dealing_the_dates_is_exact_with_few_stores() -> None:
    """All deals, by a loop over permutations; and the level over many shops of six stores."""
    from itertools import permutations

    groups = np.array([4, 4, 6, NEVER, NEVER, NEVER])
    rng = np.random.default_rng(2)
    panel = random_panel(rng, groups)
    dealt = shuffle(panel, 1)
    assert dealt is not None
    assert dealt.deals == deals_of(panel) == 60
    values = []
    for order in permutations(range(6)):
        other = panel.shuffled(np.array(order))
        whole = overall(other, group_time(other, 1))
        assert whole is not None
        values.append(whole.estimate.value)
    assert len(values) == 720
    assert dealt.p_value == pytest.approx(np.mean(np.abs(values) >= abs(dealt.value) - 1e-12))
    covered = rejected = 0
    for _ in range(150):
        placebo = shuffle(random_panel(rng, groups, effect=0.0), 1)
        true = shuffle(random_panel(rng, groups, effect=0.2), 1)
        assert placebo is not None
        assert true is not None
        assert true.low is not None
        assert true.high is not None
        rejected += placebo.p_value <= 0.05
        covered += true.low <= 0.2 <= true.high
    assert rejected / 150 <= 0.08
    assert covered / 150 >= 0.9


def test_too_few_ways_to_deal_give_no_interval() -> None:
    panel = random_panel(np.random.default_rng(1), np.array([4, NEVER, NEVER, NEVER]))
    dealt = shuffle(panel, 1)
    assert dealt is not None
    assert (dealt.deals, dealt.low, dealt.high) == (4, None, None)


def test_m_is_one_where_the_effect_is_a_trend_that_went_on() -> None:
    """Where early stores drifted all along as fast as later on, nothing else is needed to explain the figure."""
    groups = np.array([5] * 12 + [NEVER] * 12)
    size = np.full(24, 100.0)
    drift = 0.1 * np.arange(10)[None, :] * (groups < NEVER)[:, None]
    panel = Panel(size, drift * size[:, None], groups)
    cells = group_time(panel, 1)
    whole = overall(panel, cells)
    assert whole is not None
    how = sensitivity(whole, cells, by_event_time(panel, cells), panel.group, 1)
    assert how is not None
    # Each change before is 0.1, and the figure is made of `reach` of them.
    assert whole.estimate.value == pytest.approx(0.1 * how.reach)
    assert how.breakdown() in (0.99, 1.0)
    low, high = how.interval(0.5)
    assert (low, high) == pytest.approx((0.05 * how.reach, 0.15 * how.reach))


def test_the_interval_at_m_covers_the_truth_under_violations_that_large() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(100):
        groups = np.array([4, 5, 7] * 6 + [NEVER] * 12)
        panel = random_panel(rng, groups, effect=0.2, drift=0.05)
        cells = group_time(panel, 1)
        whole = overall(panel, cells)
        assert whole is not None
        how = sensitivity(whole, cells, by_event_time(panel, cells), panel.group, 1)
        assert how is not None
        low, high = how.interval(1.0)
        covered += low <= 0.2 <= high
        assert how.interval(0.0)[0] >= low
    assert covered >= 95
