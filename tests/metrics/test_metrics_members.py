"""Members against others is wrong by construction, joining dates no better, and a split by chance right (METRICS §1.1)."""

from hashlib import sha256

import numpy as np
import pytest
from metric_shops import Order, columns_of, random_orders, real_shop

from rewards.metrics.effect import adjusted_association
from rewards.metrics.effect.joining import NEVER, occasions_of
from rewards.metrics.effect.members import Group, before_and_after, result_of, side_by_side
from rewards.metrics.intervals import newcombe, welch_of
from rewards.metrics.orders import Orders

#: How probable it is to join at a purchase, in a program that changes nothing.
JOINING = 0.3


def joined_by_buying(orders: Orders, seed: int, from_day: int) -> tuple[np.ndarray, np.ndarray]:
    """Return who joined a placebo program and when: at each purchase from a day on with the same probability."""
    rng = np.random.default_rng(seed)
    by_day = orders.days
    joins = (rng.random(len(by_day)) < JOINING) & (by_day.day >= from_day)
    first = np.full(len(by_day.starts), NEVER, dtype=np.int64)
    np.minimum.at(first, by_day.owner[joins], by_day.day[joins])
    return by_day.units[first < NEVER], first[first < NEVER]


def by_hash(orders: Orders, salt: str) -> np.ndarray:
    """Return which customers a hash puts into the program, half of them."""
    return np.array([sha256(f"{salt}:{unit}".encode()).digest()[0] < 128 for unit in orders.days.units])


def share_repeating(orders: Orders, who: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """Return how many customers of a group bought on two days or more in a window, of those who bought in it."""
    by_day = orders.days
    inside = (by_day.day >= start) & (by_day.day < end)
    days = np.bincount(by_day.owner[inside], minlength=len(by_day.starts))[who]
    return int((days >= 2).sum()), int((days >= 1).sum())


def joining_date_did(
    orders: Orders, member: np.ndarray, joined_on: np.ndarray, days: int
) -> tuple[float, float]:
    """Return the change of members around joining less that of others around dates dealt to them; and its error."""
    by_day = orders.days
    rng = np.random.default_rng(0)
    others = np.setdiff1d(by_day.units, member)
    when = rng.choice(joined_on, len(others))
    changes = []
    for units, dates in ((member, joined_on), (others, when)):
        place = np.searchsorted(by_day.units, units)
        date_of = np.full(len(by_day.starts), NEVER, dtype=np.int64)
        date_of[place] = dates
        since = by_day.day - date_of[by_day.owner]
        after = np.bincount(by_day.owner[(since >= 0) & (since < days)], minlength=len(by_day.starts))
        before = np.bincount(by_day.owner[(since >= -days) & (since < 0)], minlength=len(by_day.starts))
        changes.append((after - before)[place].astype(float))
    found = welch_of(*changes)
    assert found is not None
    return found.value, found.se


def check(orders: Orders, start: int, end: int, least_gap: float) -> None:
    """Hold that with a true effect of zero the first two comparisons are far off, and that by chance is not.

    Nor is the adjusted one here, where nothing but buying makes people join, and all buying is on record.
    """
    member, joined_on = joined_by_buying(orders, 1, start)
    members, others = side_by_side(orders, member, joined_on, start, end)
    assert members.share is not None
    assert others.share is not None
    assert members.share - others.share > least_gap
    value, se = joining_date_did(orders, member, joined_on, 60)
    assert value / se > 5
    adjusted = adjusted_association.result_of(
        occasions_of(orders, member, joined_on, start + 120, 120, 90), "bought-again"
    )
    assert adjusted.interval is not None
    assert adjusted.interval.low < 0 < adjusted.interval.high
    covered = 0
    for salt in range(20):
        chosen = by_hash(orders, f"placebo-{salt}")
        (k1, n1), (k0, n0) = (share_repeating(orders, who, start, end) for who in (chosen, ~chosen))
        interval = newcombe(k1, n1, k0, n0)
        assert interval is not None
        covered += interval.low <= 0 <= interval.high
    assert covered >= 17


def test_with_a_program_that_changes_nothing_only_chance_tells_so() -> None:
    rows = random_orders(5, 3000, 500, per_year=4.0)
    orders = columns_of(rows)
    first = int(orders.day.min())
    check(orders, first + 120, first + 485, 0.25)


def test_on_the_real_shop_too() -> None:
    orders = columns_of(real_shop())
    first = int(orders.day.min())
    check(orders, first, first + 365, 0.35)


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_those_of_a_loop(seed: int) -> None:
    rows = random_orders(seed, 120, 400)
    orders = columns_of(rows)
    first = int(orders.day.min())
    member, joined_on = joined_by_buying(orders, seed, first + 60)
    joins = dict(zip(member.tolist(), joined_on.tolist(), strict=True))
    start, end, around = first + 100, first + 380, 45

    def loop(chosen: list[int], spans: dict[int, tuple[int, int]], *, all_count: bool) -> Group:
        customers = repeaters = days = revenue = 0
        for customer in chosen:
            low, high = spans[customer]
            mine = [each for each in rows if each.customer == customer and low <= _day(each) < high]
            if mine or all_count:
                customers += 1
                repeaters += len({_day(each) for each in mine}) >= 2
                days += len({_day(each) for each in mine})
                revenue += sum(each.amount - each.refunded for each in mine)
        return Group(customers, repeaters, days, revenue)

    everybody = sorted({each.customer for each in rows})
    window = dict.fromkeys(everybody, (start, end))
    is_member = [each for each in everybody if joins.get(each, NEVER) < end]
    is_other = [each for each in everybody if each not in is_member]
    assert side_by_side(orders, member, joined_on, start, end) == (
        loop(is_member, window, all_count=False),
        loop(is_other, window, all_count=False),
    )
    whole = [
        each
        for each, day in joins.items()
        if day <= end - around and min(_day(row) for row in rows if row.customer == each) < day - around
    ]
    assert before_and_after(orders, member, joined_on, around, end) == (
        loop(whole, {each: (joins[each] - around, joins[each]) for each in whole}, all_count=True),
        loop(whole, {each: (joins[each], joins[each] + around) for each in whole}, all_count=True),
    )


def _day(order: Order) -> int:
    return order.at.date().toordinal() - 719_163


def test_the_result_is_description_and_says_so() -> None:
    found = result_of(
        (Group(200, 120, 500, 90_000), Group(300, 60, 400, 50_000)),
        (Group(80, 20, 90, 9), Group(80, 40, 150, 12)),
        {},
    )
    assert found.value == pytest.approx(0.4)
    assert (found.evidence, found.interval) == ("D", None)
    words = " ".join([*found.notes, *(table.title for table in found.tables)]).lower()
    assert "descriptive, not caused by the program" in words
    for banned in ("lift", "p-value", "p =", "significan", "effect"):
        assert banned not in words
    nobody = result_of((Group(0, 0, 0, 0), Group(300, 60, 400, 50_000)), None, {})
    assert nobody.value is None
    assert nobody.reason_if_null == "No members bought in this time."


def test_shops_without_purchases_or_occasions_come_to_nothing() -> None:
    nobody, member, joined = columns_of([]), np.array([3], dtype=np.int32), np.array([100])
    assert side_by_side(nobody, member, joined, 0, 200) == (Group(0, 0, 0, 0), Group(0, 0, 0, 0))
    assert before_and_after(nobody, member, joined, 10, 200) == (Group(0, 0, 0, 0), Group(0, 0, 0, 0))
    none = occasions_of(columns_of(random_orders(1, 30)), member, joined, 5, 10, 10)
    assert len(none.unit) == 0
    refused = adjusted_association.result_of(none, "bought-again")
    assert "There are 0 members" in str(refused.reason_if_null)
