"""What facts are, said once more in plain Python and in SQL of another shape, for the tests to compare with."""

import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from metric_database import NOW, rows, submit
from sqlalchemy import Connection

from rewards.core.database import Database
from rewards.decide.commands import Award, Custom, Purchase, Record, Reverse, Tag
from rewards.facts.identities import set_identity

LONG_AGO = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass
class _Order:
    customer: str
    at: datetime
    total: int
    points: int
    refunded: int = 0


@dataclass
class Model:
    """A shop that does random things in a database, and remembers what it did."""

    database: Database
    zone: str
    seed: int
    customers: int = 25
    orders: dict[tuple[str, str], _Order] = field(default_factory=dict)
    first: dict[str, datetime] = field(default_factory=dict)
    tags: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    same_as: dict[str, str] = field(default_factory=dict)
    steps: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def live(self, steps: int) -> None:
        """Do so many random things."""
        for _ in range(steps):
            self.steps += 1
            does = [self.order] * 12 + [self.refund] * 5 + [self.visit, self.set_tags, self.merge, self.part]
            self.random.choice(does)()

    def order(self) -> None:
        """Buy something, now or long ago; some of it free, paid with points, or of history that earns nothing."""
        customer, at = self._customer(), self._instant()
        order = f"{self.random.choice(['', 'a:', 'purchase:'])}{self.steps}"
        total = self.random.choice([0, 1, 999, self.random.randrange(1, 50_000)])
        points = self.random.choice([0, 0, 0, total, total // 3])
        activity = Purchase(
            type="purchase", order_id=order, total_minor=total, points_minor=points, currency="GBP"
        )
        kind: Any = self.random.choice([Award, Award, Record])
        self._send(kind(customer_id=customer, occurred_at=at, activity=activity))
        self.orders[customer, order] = _Order(customer, at, total, points)
        self._did(customer, at)

    def refund(self) -> None:
        """Take back a part of an order, or the rest of it."""
        open_orders = [key for key, each in self.orders.items() if each.refunded < each.total]
        if not open_orders:
            return
        customer, order = self.random.choice(open_orders)
        each = self.orders[customer, order]
        left = each.total - each.refunded
        amount = self.random.choice([left, self.random.randint(1, left)])
        how = {"full": True} if amount == left else {"amount_minor": amount}
        at = min(NOW, each.at + timedelta(days=self.random.randrange(400)))
        self._send(
            Reverse(customer_id=customer, order_id=order, refund_id=f"r{self.steps}", occurred_at=at, **how)  # type: ignore[arg-type]
        )
        each.refunded += amount

    def visit(self) -> None:
        """Do something that is no purchase."""
        customer, at = self._customer(), self._instant()
        self._send(Award(customer_id=customer, occurred_at=at, activity=Custom(type="custom", name="visit")))
        self._did(customer, at)

    def set_tags(self) -> None:
        """Be a test or staff account, or none any more; tags come without a key."""
        if not self.first:
            return
        customer = self._known()
        self.tags[customer] = self.random.choice([[], [], ["test"], ["vip", "staff"], ["vip"]])
        submit(self.database, [(Tag(customer_id=customer, tags=self.tags[customer]), None)])

    def merge(self) -> None:
        """Be the same person as another one."""
        if len(self.first) < 2:
            return
        one, other = self._known(), self._known()
        other = self.same_as.get(other, other)
        if one == other:
            return
        with self.database.engine.begin() as connection:
            assert set_identity(connection, one, other, actor="test", now=NOW) == other
        for customer, same_as in list(self.same_as.items()):
            if same_as == one:
                self.same_as[customer] = other
        self.same_as[one] = other

    def part(self) -> None:
        """Stand for oneself again."""
        if self.same_as:
            one = self.random.choice(sorted(self.same_as))
            del self.same_as[one]
            with self.database.engine.begin() as connection:
                assert set_identity(connection, one, None, actor="test", now=NOW) is None

    def _send(self, command: Any) -> None:
        submit(self.database, [(command, f"k-{self.steps}")])

    def _did(self, customer: str, at: datetime) -> None:
        self.first[customer] = min(at, self.first.get(customer, at))

    def _customer(self) -> str:
        return f"c-{self.random.randrange(self.customers)}"

    def _known(self) -> str:
        return self.random.choice(sorted(self.first))

    def _instant(self) -> datetime:
        seconds = self.random.randrange(int((NOW - LONG_AGO).total_seconds()))
        # Many fall on the same days, and some on the last minute of one.
        day = LONG_AGO + timedelta(seconds=seconds)
        if self.random.random() < 0.3:
            day = datetime.combine(
                day.date(), self.random.choice([datetime.min.time(), datetime.max.time()]), UTC
            )
        return min(day, NOW)

    # What the facts must be.

    def person(self, customer: str) -> str:
        return self.same_as.get(customer, customer)

    def purchases(self) -> set[tuple[Any, ...]]:
        """Return (customer, order, person, instant, day, paid, refunded, status) of each order."""
        found = set()
        for (customer, order), each in self.orders.items():
            paid = each.total - each.points
            # Rounded down, as a whole, in proportion.
            refunded = each.refunded * paid // each.total if each.total else 0
            status = "zero" if each.total == 0 else "points-only" if paid == 0 else "purchase"
            day = each.at.astimezone(ZoneInfo(self.zone)).date()
            found.add((customer, order, self.person(customer), each.at, day, paid, refunded, status))
        return found

    def stats(self) -> dict[str, tuple[Any, ...]]:
        """Return what is to be known of each person."""
        bought = defaultdict(list)
        for _, _, person, at, day, paid, refunded, status in self.purchases():
            if status == "purchase":
                bought[person].append((at, day, paid, refunded))
        found: dict[str, tuple[Any, ...]] = {}
        for person in {self.person(customer) for customer in self.first}:
            who = [customer for customer in self.first if self.person(customer) == person]
            excluded = any({"test", "staff"} & set(self.tags[each]) for each in who)
            first_activity = min(self.first[each] for each in who)
            mine = sorted(bought[person])
            days = sorted({day for _, day, _, _ in mine})
            found[person] = (
                mine[0][0] if mine else None,
                mine[-1][0] if mine else None,
                days[0] if mine else None,
                days[-1] if mine else None,
                days[0].replace(day=1) if mine else None,
                len(mine),
                len(days),
                sum(each[2] for each in mine),
                sum(each[3] for each in mine),
                first_activity,
                excluded,
            )
        return found

    def months(self) -> set[tuple[Any, ...]]:
        """Return (person, month, cohort, orders, days, revenue, refunded) of persons who are counted."""
        stats = self.stats()
        found: dict[tuple[str, date], list[Any]] = defaultdict(list)
        for _, _, person, _, day, paid, refunded, status in self.purchases():
            if status == "purchase" and not stats[person][-1]:
                found[person, day.replace(day=1)].append((day, paid, refunded))
        return {
            (
                person,
                month,
                stats[person][4],
                len(each),
                len({day for day, _, _ in each}),
                sum(paid for _, paid, _ in each),
                sum(refunded for _, _, refunded in each),
            )
            for (person, month), each in found.items()
        }

    def check(self, connection: Connection) -> None:
        """Hold that what is stored is what must be."""
        assert stored_purchases(connection) == self.purchases()
        assert stored_stats(connection) == self.stats()
        assert stored_months(connection) == self.months()


def stored_purchases(connection: Connection) -> set[tuple[Any, ...]]:
    """Return the stored purchases, as :meth:`Model.purchases` has them."""
    found = rows(
        connection,
        """SELECT p.customer_id, order_id, s.customer_id, ordered_at, day, amount_minor, p.refunded_minor, status
           FROM purchases AS p LEFT JOIN customer_stats AS s USING (unit_no)""",
    )
    assert len(found) == len(set(found))
    return set(found)


def stored_stats(connection: Connection) -> dict[str, tuple[Any, ...]]:
    """Return the stored persons, as :meth:`Model.stats` has them."""
    found = rows(
        connection,
        """SELECT customer_id, first_at, last_at, first_day, last_day, cohort_month, orders, purchase_days,
                  revenue_minor, refunded_minor, first_activity_at, excluded FROM customer_stats""",
    )
    return {each[0]: each[1:] for each in found}


def stored_months(connection: Connection) -> set[tuple[Any, ...]]:
    """Return the stored months, as :meth:`Model.months` has them."""
    found = rows(
        connection,
        """SELECT s.customer_id, month, m.cohort_month, m.orders, m.purchase_days, m.revenue_minor, m.refunded_minor
           FROM customer_months AS m LEFT JOIN customer_stats AS s USING (unit_no)""",
    )
    assert len(found) == len(set(found))
    return set(found)
