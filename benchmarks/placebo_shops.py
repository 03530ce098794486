"""Shops whose truth is known: what customers buy without a program, and what a program of a known strength adds.

A customer's purchases without the program do not depend on anything that is drawn later. The program adds some, after
the customer's exposure and at a share of the customer's own rate; a placebo adds none. So every customer has two lives,
and what the program changes among any of them can be counted.
"""

import csv
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CURRENCY = "GBP"
STARTS = datetime(2025, 1, 6, tzinfo=UTC)
#: Weeks in which customers come; the last of them has its 90 days only where the trial is watched for longer.
WEEKS = 44
DAYS = 90
HISTORY_DAYS = 365
#: The day after the last that is looked at: the trial's registered end.
ENDS = STARTS + timedelta(weeks=WEEKS)
NOW = ENDS + timedelta(days=2)
#: An order that is only there for a customer who takes part.
ADDED = "added-"


class Order(NamedTuple):
    """A purchase or a refund of it, in days since the start."""

    customer: int
    order_id: str
    day: float
    amount_minor: int
    refunded_minor: int
    is_added: bool


@dataclass(frozen=True)
class PlaceboShop:
    """A shop's orders: those of every life, and those that only the program brings about.

    Attributes:
        prefix: of customers' ids.
        orders: all of them, sorted by instant.
        joined: on which day customers became members, by their own choice, after a purchase; absent where they did not.
    """

    prefix: str
    orders: list[Order]
    joined: dict[int, float]

    def customer_id(self, number: int) -> str:
        """Return a customer's id."""
        return f"{self.prefix}-{number}"


def make_shop(seed: int, customers: int, lift: float) -> PlaceboShop:
    """Return a shop in which the program adds ``lift`` times as many purchases after a customer's exposure."""
    rng = np.random.default_rng(seed)
    last = WEEKS * 7.0
    # Half were there before the trial; some leave again; each buys at a rate and for amounts of their own.
    comes = np.where(
        rng.uniform(size=customers) < 0.5,
        rng.uniform(-HISTORY_DAYS, 0, customers),
        rng.uniform(0, last, customers),
    )
    leaves = np.minimum(comes + rng.exponential(400, customers), last)
    rate = rng.gamma(1.3, 0.008, customers)
    spend = rng.lognormal(7.6, 0.5, customers)
    who, day = _process(rng, rate, comes, leaves)
    who, day = np.concatenate([np.arange(customers), who]), np.concatenate([comes, day])
    exposed = np.full(customers, np.inf)
    np.minimum.at(exposed, who[day >= 0], day[day >= 0])
    more_who, more_day = _process(rng, lift * rate, np.minimum(exposed + 1e-3, leaves), leaves)
    is_added = np.concatenate([np.zeros(len(who), dtype=bool), np.ones(len(more_who), dtype=bool)])
    who, day = np.concatenate([who, more_who]), np.concatenate([day, more_day])
    amount = np.maximum(100, spend[who] * rng.lognormal(0, 0.4, len(who))).astype(int)
    refunded = np.where(rng.uniform(size=len(who)) < 0.03, amount, 0)
    prefix = f"s{seed}"
    orders = [
        Order(*row[:1], f"{ADDED if row[4] else ''}{prefix}-{number}", *row[1:])
        for number, row in enumerate(
            zip(
                who.tolist(), day.tolist(), amount.tolist(), refunded.tolist(), is_added.tolist(), strict=True
            )
        )
    ]
    return PlaceboShop(prefix, sorted(orders, key=lambda each: each.day), _joined(rng, who, day, is_added))


def _process(
    rng: np.random.Generator,
    rate: NDArray[np.float64],
    since: NDArray[np.float64],
    until: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return who buys and when, at each one's rate within each one's time."""
    span = np.maximum(until - since, 0.0)
    counts = rng.poisson(rate * span)
    who = np.repeat(np.arange(len(rate)), counts)
    return who, since[who] + rng.uniform(size=len(who)) * span[who]


def _joined(
    rng: np.random.Generator, who: NDArray[np.int64], day: NDArray[np.float64], is_added: NDArray[np.bool_]
) -> dict[int, float]:
    """Return who becomes a member: after any purchase of their own, one time in four. Nothing else sets them apart."""
    joined: dict[int, float] = {}
    wants = rng.uniform(size=len(who)) < 0.25
    for place in np.argsort(day).tolist():
        if wants[place] and not is_added[place]:
            joined.setdefault(int(who[place]), float(day[place]))
    return joined


def write_orders(shop: PlaceboShop, path: Path, held_out: set[int]) -> None:
    """Write the shop's orders as a file to import; of who is held out, only those that need no program."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["order_id", "customer_id", "ordered_at", "amount", "currency", "original_order_id"])
        for each in shop.orders:
            if each.is_added and each.customer in held_out:
                continue
            at = STARTS + timedelta(days=each.day)
            when = (shop.customer_id(each.customer), at.isoformat(timespec="microseconds"))
            rows.writerow([each.order_id, *when, f"{each.amount_minor / 100:.2f}", CURRENCY, ""])
            if each.refunded_minor:
                back = f"{-each.refunded_minor / 100:.2f}"
                rows.writerow([f"r-{each.order_id}", *when, back, CURRENCY, each.order_id])


def write_members(shop: PlaceboShop, path: Path) -> None:
    """Write who became a member when, as a file to import."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["customer_id", "joined_at"])
        for number, day in shop.joined.items():
            rows.writerow([shop.customer_id(number), (STARTS + timedelta(days=day)).isoformat()])


class Truth(NamedTuple):
    """What the program changes among all customers exposed, had all or none of them taken part: means."""

    repeat_rate: float
    revenue_minor: float


def truth_of(shop: PlaceboShop) -> Truth:
    """Count both lives of every customer: by loops, and by nothing that the engine has worked out."""
    last = (ENDS - STARTS).days
    exposed: dict[int, float] = {}
    for each in shop.orders:
        if each.day >= 0 and not each.is_added:
            exposed.setdefault(each.customer, each.day)
    without: set[int] = set()
    with_it: set[int] = set()
    revenue = 0
    for each in shop.orders:
        since = exposed.get(each.customer)
        if since is None or each.day <= since:
            continue
        wait = int(each.day // 1) - int(since // 1)
        if wait <= DAYS and each.is_added and each.day < last:
            revenue += each.amount_minor - each.refunded_minor
        if 0 < wait <= DAYS:
            with_it.add(each.customer)
            if not each.is_added:
                without.add(each.customer)
    # The repeat rate is told of those whose days have passed at the registered end.
    matured = {customer for customer, day in exposed.items() if int(day // 1) + DAYS < last}
    changed = len(matured & with_it) - len(matured & without)
    return Truth(changed / len(matured), revenue / len(exposed))
