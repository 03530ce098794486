"""balance_at: what is credited, taken and held, and what time makes of it, at any instant."""

from datetime import UTC, datetime, timedelta
from typing import ClassVar

from rewards.ledger.balances import Balance, Credit, Hold, Taking, balance_at

DAY = timedelta(days=1)
T0 = datetime(2026, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    return T0 + number * DAY


def credit(
    seq: int, points: int, on: float = 0, *, ready: float | None = None, until: float | None = None
) -> Credit:
    available_at = day(on if ready is None else ready)
    return Credit(seq, points, day(on), available_at, None if until is None else day(until), False)


def take(points: int, lot: int, on: float, entry: int, debit: int | None = None) -> Taking:
    return Taking(day(on), entry, lot, entry if debit is None else debit, points)


def at(
    number: float,
    lots: list[Credit],
    takings: list[Taking] = [],  # noqa: B006 - never changed
    holds: list[Hold] = [],  # noqa: B006
    inactive: float | None = None,
) -> Balance:
    return balance_at(lots, takings, holds, None if inactive is None else day(inactive), day(number))


def figures(balance: Balance) -> tuple[int, int, int, int]:
    return balance.available, balance.pending, balance.held, balance.deficit


def test_nothing_is_nothing() -> None:
    assert figures(at(0, [])) == (0, 0, 0, 0)


def test_points_are_there_from_when_they_were_earned() -> None:
    lots = [credit(1, 10, on=1)]
    assert figures(at(0.999, lots)) == (0, 0, 0, 0)
    assert figures(at(1, lots)) == (10, 0, 0, 0)


def test_pending_points_become_available_at_their_instant() -> None:
    lots = [credit(1, 10, ready=3)]
    assert figures(at(2.999, lots)) == (0, 10, 0, 0)
    assert figures(at(3, lots)) == (10, 0, 0, 0)


def test_expired_points_are_gone_at_their_instant_though_nothing_is_booked() -> None:
    lots = [credit(1, 10, until=5)]
    assert figures(at(4.999, lots)) == (10, 0, 0, 0)
    assert figures(at(5, lots)) == (0, 0, 0, 0)


def test_a_booked_expiry_changes_nothing_more() -> None:
    lots, booked = [credit(1, 10, until=5)], [take(10, lot=1, on=5, entry=2)]
    assert figures(at(4, lots, booked)) == (10, 0, 0, 0)
    assert figures(at(6, lots, booked)) == (0, 0, 0, 0)


def test_lots_that_expire_on_inactivity_follow_the_deadline() -> None:
    lots = [credit(1, 10)._replace(expires_on_inactivity=True)]
    assert figures(at(8, lots, inactive=9)) == (10, 0, 0, 0)
    assert figures(at(9, lots, inactive=9)) == (0, 0, 0, 0)
    assert at(8, lots, inactive=9).expirations() == [(day(9), 10, False)]


def test_a_debit_counts_from_when_it_occurred() -> None:
    lots, spent = [credit(1, 10)], [take(4, lot=1, on=2, entry=2)]
    assert figures(at(1, lots, spent)) == (10, 0, 0, 0)
    assert figures(at(2, lots, spent)) == (6, 0, 0, 0)


class TestHolds:
    lots: ClassVar = [credit(1, 10, until=5), credit(2, 10)]
    takings: ClassVar = [take(10, lot=1, on=1, entry=3), take(2, lot=2, on=1, entry=3)]

    def test_an_open_hold_is_neither_available_nor_gone(self) -> None:
        balance = at(2, self.lots, self.takings, [Hold(3, day(4))])
        assert figures(balance) == (8, 0, 12, 0)
        assert [(hold.redemption_seq, hold.points, hold.expires_at) for hold in balance.holds] == [
            (3, 12, day(4))
        ]

    def test_a_lapsed_hold_gives_its_points_back_though_nothing_is_booked(self) -> None:
        assert figures(at(4, self.lots, self.takings, [Hold(3, day(4))])) == (20, 0, 0, 0)

    def test_points_that_come_back_to_an_expired_lot_are_gone(self) -> None:
        assert figures(at(6, self.lots, self.takings, [Hold(3, day(6))])) == (10, 0, 0, 0)

    def test_a_hold_shelters_no_points_from_an_expiry_after_it(self) -> None:
        assert figures(at(5, self.lots, self.takings, [Hold(3, day(4))])) == (10, 0, 0, 0)

    def test_before_its_release_it_was_held(self) -> None:
        released = [take(-10, lot=1, on=2, entry=4, debit=3), take(-2, lot=2, on=2, entry=4, debit=3)]
        holds = [Hold(3, day(4))]
        assert figures(at(1.5, self.lots, self.takings + released, holds)) == (8, 0, 12, 0)
        assert figures(at(2, self.lots, self.takings + released, holds)) == (20, 0, 0, 0)
        assert figures(at(6, self.lots, self.takings + released, holds)) == (10, 0, 0, 0)

    def test_what_comes_back_pays_the_debt_first(self) -> None:
        owed = [*self.takings, take(8, lot=2, on=2, entry=4), take(5, lot=0, on=2, entry=4)]
        assert figures(at(3, self.lots, owed, [Hold(3, day(4))])) == (0, 0, 12, 5)
        # All 12 points come back, and of the 10 that expire next day 5 had paid the debt.
        balance = at(4, self.lots, owed, [Hold(3, day(4))])
        assert figures(balance) == (7, 0, 0, 0)
        assert [(lot.lot_seq, lot.points) for lot in balance.lots] == [(1, 5), (2, 2)]

    def test_a_debt_is_paid_when_the_hold_lapses_not_when_somebody_looks(self) -> None:
        owed = [*self.takings, take(8, lot=2, on=2, entry=4), take(5, lot=0, on=2, entry=4)]
        assert figures(at(100, self.lots, owed, [Hold(3, day(4))])) == (2, 0, 0, 0)


class TestDebt:
    def test_is_owed_from_when_it_occurred(self) -> None:
        lots = [credit(1, 10)]
        takings = [take(10, lot=1, on=1, entry=2), take(10, lot=0, on=2, entry=3)]
        assert figures(at(1, lots, takings)) == (0, 0, 0, 0)
        assert figures(at(2, lots, takings)) == (0, 0, 0, 10)

    def test_is_paid_by_the_next_credit(self) -> None:
        lots = [credit(1, 10, on=3)]
        takings = [
            take(4, lot=0, on=2, entry=1),
            take(4, lot=1, on=3, entry=3),
            take(-4, lot=0, on=3, entry=3),
        ]
        assert figures(at(2, lots, takings)) == (0, 0, 0, 4)
        assert figures(at(3, lots, takings)) == (6, 0, 0, 0)

    def test_a_backdated_award_that_paid_it_was_whole_before_there_was_a_debt(self) -> None:
        # Entry 3 says that the award occurred on day 1, before the debt of day 2 that it came to pay.
        lots = [credit(3, 10, on=1)]
        takings = [
            take(4, lot=0, on=2, entry=2),
            take(4, lot=3, on=1, entry=3),
            take(-4, lot=0, on=1, entry=3),
        ]
        assert figures(at(1, lots, takings)) == (10, 0, 0, 0)
        assert figures(at(2, lots, takings)) == (6, 0, 0, 0)

    def test_a_backdated_refund_is_first_taken_from_what_there_was(self) -> None:
        # The refund occurred on day 1, and when it was booked only the lot of day 3 had points left.
        lots = [credit(1, 10), credit(3, 10, on=3)]
        takings = [take(10, lot=1, on=2, entry=2), take(6, lot=3, on=1, entry=4)]
        assert figures(at(1, lots, takings)) == (4, 0, 0, 0)
        assert figures(at(2, lots, takings)) == (0, 0, 0, 6)
        assert figures(at(3, lots, takings)) == (4, 0, 0, 0)


def test_expirations_add_up_in_order_of_time_with_never_last() -> None:
    lots = [
        credit(1, 1),
        credit(2, 2, until=9),
        credit(3, 4, until=5),
        credit(4, 8, ready=3, until=9),
        credit(5, 16, until=5),
    ]
    balance = at(2, lots)
    assert balance.expirations() == [
        (day(5), 20, False),
        (day(9), 2, False),
        (day(9), 8, True),
        (None, 1, False),
    ]
    assert sum(points for _, points, _ in balance.expirations()) == balance.available + balance.pending


def test_arrivals_are_what_is_pending_by_instant() -> None:
    lots = [credit(1, 1, ready=7), credit(2, 2, ready=3), credit(3, 4, ready=7), credit(4, 8)]
    assert at(1, lots).arrivals() == [(day(3), 2), (day(7), 5)]
