"""The formulas of the program's figures alone: breakage's ladder, roll-forward, scores, economics; against loops and libraries."""

import itertools
import warnings
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rewards.metrics.answers import Votes, votes_of
from rewards.metrics.economics import Range, cost_of, ever_redeemed, returned
from rewards.metrics.ledger_reading.clocks import Spans, begins, month_of, months_since
from rewards.metrics.ledger_reading.fates import EXPIRED, GROUPS, REDEEMED, TAKEN, Fates
from rewards.metrics.ledger_reading.flows import LINES, Flow
from rewards.metrics.ledger_reading.open_points import Cell, OpenPoints
from rewards.metrics.ledger_reading.referred import Referred
from rewards.metrics.loyalty_index import Scale, mean, read_scale
from rewards.metrics.point_ladder import Broken, broken, climb, expected, open_by_age, spread, to_be_redeemed
from rewards.metrics.referrals import tree
from rewards.metrics.result import BadParameter
from rewards.metrics.rolling import by_month, in_money, roll_forward

ZONE = ZoneInfo("Europe/London")


# Breakage.


def random_fates(seed: int, months: int = 8, most: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Points that leave at random ages, one by one; those that are still there when the months end stay."""
    rng = np.random.default_rng(seed)
    issued = rng.integers(0, most, months)
    gone = np.zeros((months, months, 3), dtype=np.int64)
    for month in range(months):
        for _ in range(issued[month]):
            age = int(rng.geometric(0.2)) - 1
            if age < months - month:
                gone[month, age, rng.choice(3, p=[0.6, 0.3, 0.1])] += 1
    return issued, gone


@pytest.mark.parametrize("seed", range(6))
def test_what_stays_open_is_kaplan_and_meiers_curve(seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lifelines import KaplanMeierFitter
    issued, gone = random_fates(seed)
    ladder = climb(issued, gone)
    ages, ended = [], []
    for month in range(len(issued)):
        for age in range(len(issued)):
            count = int(gone[month, age].sum())
            ages += [age + 1] * count
            ended += [True] * count
        left = int(issued[month] - gone[month].sum())
        # Followed through its last whole month of age, and no further.
        ages += [len(issued) - month] * left
        ended += [False] * left
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        curve = (
            KaplanMeierFitter().fit(ages, ended).survival_function_at_times(range(1, len(ladder.open) + 1))
        )
    assert ladder.open == pytest.approx(curve.to_numpy(), abs=1e-12)
    assert ladder.redeemed + ladder.expired + ladder.taken + ladder.open == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_shares_by_fate_are_aalen_and_johansens_one_age_at_a_time(seed: int) -> None:
    issued, gone = random_fates(seed, months=6)
    ladder = climb(issued, gone)
    still, shares = 1.0, [0.0, 0.0, 0.0]
    for age in range(len(ladder.open)):
        at_risk, left = 0, [0, 0, 0]
        for month in range(6):
            if month + age < 6:
                at_risk += issued[month] - gone[month, :age].sum()
                left = [left[fate] + gone[month, age, fate] for fate in range(3)]
        shares = [shares[fate] + still * left[fate] / at_risk for fate in range(3)]
        still *= 1 - sum(left) / at_risk
        assert (ladder.redeemed[age], ladder.expired[age], ladder.taken[age]) == pytest.approx(tuple(shares))
        assert ladder.open[age] == pytest.approx(still)


def test_breakage_of_months_that_are_over_is_what_expired_of_what_was_kept() -> None:
    """A hundred points a month: 10 sent back, 60 redeemed at the age of 1, the rest expires at 3."""
    gone = np.zeros((8, 8, 3), dtype=np.int64)
    for month in range(8):
        for age, fate, points in ((0, TAKEN, 10), (1, REDEEMED, 60), (3, EXPIRED, 30)):
            if month + age < 8:
                gone[month, age, fate] = points
    issued = np.full(8, 100)
    found = broken(climb(issued, gone))
    assert found == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    # Of points followed through ages 0, 1, 2 there are 90, 30 and 30; of the first, 60 will be redeemed.
    fates = in_groups(issued, gone)
    assert open_by_age(fates).tolist() == [90, 30, 30, 0, 0, 0, 0, 0]
    assert to_be_redeemed(climb(issued, gone), open_by_age(fates)) == pytest.approx((60, 60, 60))


def in_groups(issued: np.ndarray, gone: np.ndarray) -> Fates:
    """The same in each group of customers, a sixteenth of it all together."""
    return Fates(
        np.stack([issued // 1] + [np.zeros_like(issued)] * (GROUPS - 1), axis=1),
        np.stack([gone] + [np.zeros_like(gone)] * (GROUPS - 1), axis=1),
    )


def test_points_nobody_has_followed_to_their_end_make_the_range() -> None:
    """Half of each month's points are redeemed at once, and of the rest nobody knows."""
    gone = np.zeros((4, 4, 3), dtype=np.int64)
    gone[:, 0, REDEEMED] = 50
    ladder = climb(np.full(4, 100), gone)
    assert broken(ladder) == pytest.approx((0.0, 0.0, 0.5))
    assert to_be_redeemed(ladder, np.array([50, 50, 50, 50])) == pytest.approx((200, 0, 200))
    # Nothing has left, so nothing is known.
    assert broken(climb(np.full(4, 100), np.zeros((4, 4, 3), dtype=np.int64))) is None
    assert broken(climb(np.zeros(4, dtype=np.int64), np.zeros((4, 4, 3), dtype=np.int64))) is None
    # One group of customers says nothing of what chance may do.
    assert spread(in_groups(np.full(4, 100), gone)) == (0.0, 0.0, 1.0)
    assert expected(in_groups(np.full(4, 100), gone)) == (200.0, 0.0, 200.0)


def test_the_range_widens_by_what_customers_vary() -> None:
    """Over many shops of customers who each keep or lose all their points the interval holds the truth as it says."""
    rng = np.random.default_rng(11)
    held, shops = 0, 300
    for _ in range(shops):
        issued = np.zeros((4, GROUPS), dtype=np.int64)
        gone = np.zeros((4, GROUPS, 4, 3), dtype=np.int64)
        for _customer in range(160):
            month, group = rng.integers(0, 4), rng.integers(0, GROUPS)
            issued[month, group] += 100
            gone[month, group, 0, REDEEMED if rng.random() < 0.7 else EXPIRED] += 100
        found = spread(Fates(issued, gone))
        assert found is not None
        held += found.low <= 0.3 <= found.high
    # 95 % of 300 is 285; fewer than 270 or all come about less than once in a thousand.
    assert 270 <= held < shops


def test_points_that_come_back_are_open_again() -> None:
    """A redemption that was cancelled a month later: nothing is redeemed in the end."""
    gone = np.zeros((5, 5, 3), dtype=np.int64)
    gone[0, 0, REDEEMED], gone[0, 1, REDEEMED], gone[0, 3, EXPIRED] = 40, -40, 100
    ladder = climb(np.array([100, 0, 0, 0, 0]), gone)
    assert ladder.open.tolist() == pytest.approx([0.6, 1.0, 1.0, 0.0])
    assert broken(ladder) == pytest.approx((1.0, 1.0, 1.0))


# The roll-forward.


@given(
    st.lists(
        st.tuples(
            st.integers(0, 400),
            st.sampled_from([k for kinds in LINES.values() for k in kinds]),
            st.integers(-99, 99),
        ),
        max_size=40,
    ),
    st.integers(0, 400),
    st.integers(-50, 50),
    st.integers(-50, 50),
)
def test_the_roll_forward_adds_up(
    moved: list[tuple[int, str, int]], first: int, late: int, later: int
) -> None:
    """Whatever came and went, and however much of what has expired is not booked at either end."""
    origin = date(2025, 6, 10)
    days = [date.fromordinal(origin.toordinal() + day) for day, _, _ in moved]
    flows = [Flow(day, kind, "", points) for day, (_, kind, points) in zip(days, moved, strict=True)]
    since, last = date.fromordinal(origin.toordinal() + first), date.fromordinal(origin.toordinal() + 400)
    before = sum(flow.points for flow in flows if flow.day < since)
    everything = sum(flow.points for flow in flows)
    opened, closed = holding(before - late), holding(everything - later)
    rolled = roll_forward(flows, since, opened, closed)
    assert rolled.opening + sum(rolled.lines.values()) == rolled.closing == everything - later
    assert rolled.lines["issued"] == sum(f.points for f in flows if f.kind == "award" and f.day >= since)
    spans = Spans(last, ZONE, months_since(origin, last, 7))
    months = by_month(flows, spans, closed)
    assert [month for month, _ in months] == spans.months
    assert months[-1][1].closing == everything - later
    for (_, one), (_, following) in itertools.pairwise(months):
        assert one.opening + sum(one.lines.values()) == one.closing == following.opening
    money, rest = in_money(rolled, 1_000, 2_345, 0.37)
    assert 1_000 + sum(money.values()) + rest == 2_345


def holding(net: int) -> OpenPoints:
    points = OpenPoints(datetime(2026, 1, 1, tzinfo=UTC), [Cell(None, False, 0, 0, max(net, 0))])
    points.owed = max(-net, 0)
    return points


def test_spans_are_months_on_the_shops_clocks() -> None:
    spans = Spans(date(2026, 3, 30), ZONE, 3, since=date(2026, 3, 29))
    assert spans.months == [date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)]
    # Summer time begins on 29 March: its day has 23 hours.
    assert [each.isoformat() for each in spans.bounds] == [
        "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00",
        "2026-03-29T00:00:00+00:00", "2026-03-30T23:00:00+00:00",
    ]  # fmt: skip
    assert [spans.month(bucket) for bucket in range(5)] == [None, *spans.months, date(2026, 3, 1)]
    assert [spans.is_since(bucket, date(2026, 3, 29)) for bucket in range(5)] == [False] * 4 + [True]
    assert begins(date(2026, 3, 30), ZONE) == datetime(2026, 3, 29, 23, tzinfo=UTC)
    assert month_of(date(2026, 2, 28), 14) == date(2024, 12, 1)
    assert (
        months_since(None, date(2026, 1, 1), 9),
        months_since(date(2025, 12, 31), date(2026, 1, 1), 9),
    ) == (1, 2)
    assert months_since(date(1990, 1, 1), date(2026, 1, 1), 24) == 24


# What customers say.


@given(st.lists(st.integers(0, 10), min_size=1, max_size=60))
def test_the_score_is_the_mean_of_plus_and_minus_hundreds(scores: list[int]) -> None:
    votes = votes_of(np.array(scores))
    each = np.array([100 if score >= 9 else -100 if score <= 6 else 0 for score in scores])
    assert votes.score == pytest.approx(each.mean())
    error = each.std() / len(each) ** 0.5  # the formula of METRICS divides by n, not n − 1
    interval = votes.interval()
    if error < 1e-9:
        assert interval is None
    else:
        low, high = stats.norm.interval(0.95, loc=each.mean(), scale=error)
        assert interval is not None
        assert interval[:2] == pytest.approx((max(low, -100), min(high, 100)))


def test_no_answers_have_no_score() -> None:
    assert Votes(0, 0, 0).score is None
    assert Votes(0, 0, 0).interval() is None
    # A worked example: 60 promoters, 25 passives, 15 detractors.
    assert Votes(60, 25, 15).score == 45
    assert Votes(60, 25, 15).interval() == pytest.approx((30.5, 59.5, 0.95), abs=0.05)


def test_scales_run_from_worst_to_best() -> None:
    assert Scale(1, 6, "low").score(np.arange(1, 7)).tolist() == [100, 80, 60, 40, 20, 0]
    assert Scale(0, 10, "high").score(np.array([0, 5, 10])).tolist() == [0, 50, 100]
    assert read_scale("1-6-low") == Scale(1, 6, "low")
    for wrong in ("1-6", "6-1-low", "1-6-best", "a-b-low", "-1-6-low", "0-900-high"):
        with pytest.raises(BadParameter, match="1-6-low"):
            read_scale(wrong)


@given(st.lists(st.integers(0, 15), min_size=1, max_size=40))
def test_the_mean_has_students_interval(steps: list[int]) -> None:
    scores = np.array(steps) * 100 / 15
    found = mean(scores)
    assert found.value == pytest.approx(scores.mean())
    if len(scores) < 2 or len(set(steps)) == 1:
        assert found.interval is None
        return
    low, high = stats.t.interval(0.95, len(scores) - 1, loc=scores.mean(), scale=stats.sem(scores))
    assert found.interval is not None
    assert found.interval[:2] == pytest.approx((max(low, 0), min(high, 100)))


# Referrals.


def test_a_tree_counts_everybody_below_once() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)

    def brought(referrer: str, person: str, minor: int, why: str = "counts") -> Referred:
        return Referred(person, referrer, at, why, 1, minor, 0)

    edges = [
        brought("ann", "bob", 100),
        brought("ann", "cy", 50),
        brought("bob", "dot", 30),
        brought("dot", "eve", 7),
        brought("eve", "bob", 100_000, "existing"),
        brought("fay", "fay", 9, "oneself"),
    ]
    assert tree(edges) == [
        ("ann", 2, 150, 4, 187), ("bob", 1, 30, 2, 37), ("dot", 1, 7, 1, 7),
    ]  # fmt: skip
    # Odd data in which two brought each other does not go round for ever.
    assert tree([brought("ann", "bob", 1), brought("bob", "ann", 2)]) == [
        ("ann", 1, 1, 1, 1),
        ("bob", 1, 2, 1, 2),
    ] or tree([brought("ann", "bob", 1), brought("bob", "ann", 2)]) == [
        ("bob", 1, 2, 1, 2),
        ("ann", 1, 1, 1, 1),
    ]


# Economics.


def test_costs_by_hand() -> None:
    """Points worth 100.00 were issued and 30.00 of them redeemed; 60 % will be, 50 to 80 %. Goods cost 60 % of the price."""
    share = Range(0.6, 0.5, 0.8)
    assert cost_of(10_000, 3_000, share, 0.4, net=True) == pytest.approx(
        (1_800 + 3_000, 1_800 + 2_000, 1_800 + 5_000)
    )
    assert cost_of(10_000, 3_000, share, 0.4, net=False) == pytest.approx((6_000, 5_000, 8_000))
    # More than that is redeemed already.
    assert cost_of(10_000, 9_000, share, 0.4, net=False) == pytest.approx((9_000, 9_000, 9_000))


def test_the_money_is_the_same_however_totals_are_sent() -> None:
    """A customer who pays 10.00 of an order of 50.00 with points: the shop keeps 40.00 less goods for 30.00."""
    margin, kept = 0.4, 4_000 - 0.6 * 5_000
    share = Range(1.0, 1.0, 1.0)
    net = 4_000 * margin - cost_of(1_000, 1_000, share, margin, net=True).value
    gross = 5_000 * margin - cost_of(1_000, 1_000, share, margin, net=False).value
    assert net == pytest.approx(kept)
    assert gross == pytest.approx(kept)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3).map(sorted),
    st.lists(st.floats(1, 1e6), min_size=3, max_size=3).map(sorted),
)
def test_the_return_holds_every_combination(gains: list[float], costs: list[float]) -> None:
    gain, cost = Range(gains[1], gains[0], gains[2]), Range(costs[1], costs[0], costs[2])
    found = returned(gain, cost)
    assert found.low is not None
    assert found.high is not None
    for one in (*gains, (gains[0] + gains[2]) / 2):
        for other in (*costs, (costs[0] + costs[2]) / 2):
            value = (one - other) / other
            assert (
                found.low - 1e-6 * abs(found.low) - 1e-9
                <= value
                <= found.high + 1e-6 * abs(found.high) + 1e-9
            )
    assert returned(gain, cost._replace(low=0.0))[1:] == (None, None)


def test_all_points_are_taken_to_be_redeemed_where_nothing_is_known() -> None:
    assert ever_redeemed(None) == (1.0, 0.0, 1.0)
    assert ever_redeemed(Broken(0.3, 0.2, 0.6)) == pytest.approx((0.7, 0.4, 0.8))
