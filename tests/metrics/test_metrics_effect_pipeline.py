"""`rewards bench coverage`, short: orders in, reports out, over programs whose truth is known."""

from datetime import timedelta

import pytest

from benchmarks.coverage import LIFT, LOOKS, OUTCOMES, Size, Tally, count_programs, count_whole
from benchmarks.placebo_shops import ENDS, STARTS, Truth, make_shop, truth_of
from rewards.core.database import Database

PROGRAMS = 12


def counted(database: Database, lift: float) -> Tally:
    size = Size(shops=1, programs=PROGRAMS, customers=1_300, whole=0)
    return count_programs(database, make_shop(7, size.customers, lift), 7, size, lift)


@pytest.mark.slow
@pytest.mark.parametrize("lift", [0.0, LIFT])
def test_intervals_from_orders_to_report_hold_the_truth(database: Database, lift: float) -> None:
    tally = counted(database, lift)
    assert tally.told_nothing == 0
    for outcome in OUTCOMES:
        assert tally.programs[outcome] == PROGRAMS
        # Fewer than 9 of 12 come about once in 400 times where each holds it 19 times in 20.
        assert tally.held[outcome] >= 9
        assert tally.peeked[outcome] <= 3
        assert tally.peeked[outcome] <= tally.peeked_fixed[outcome]
    # Who became a member did so by buying, and nothing else sets them apart.
    assert tally.gaps[0] > 0.2


@pytest.mark.slow
def test_a_program_goes_all_the_way(database: Database) -> None:
    made = make_shop(11, 900, LIFT)
    tally = count_whole(database, made, 11, LIFT)
    assert tally.programs == dict.fromkeys(OUTCOMES, 1)
    assert tally.told_nothing == 0


def test_the_truth_is_what_the_added_purchases_come_to() -> None:
    assert truth_of(make_shop(3, 400, 0.0)) == Truth(0.0, 0.0)
    made = make_shop(3, 400, 1.0)
    added = [each for each in made.orders if each.is_added]
    truth = truth_of(made)
    assert 0 < truth.repeat_rate < 1
    assert 0 < truth.revenue_minor < sum(each.amount_minor for each in added)
    assert (ENDS - STARTS) / timedelta(days=1) > LOOKS * 7
    # Without what is added it is the same shop.
    plain = [each._replace(order_id="") for each in make_shop(3, 400, 0.0).orders]
    kept = [each._replace(order_id="") for each in made.orders if not each.is_added]
    assert [each[:3] for each in plain] == [each[:3] for each in kept]
