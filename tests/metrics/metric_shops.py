"""Shops for the tests of metrics: purchases as plain rows, and the same as the columns that formulas take."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from rewards.metrics.orders import LeftOut, Orders, day_number
from rewards.metrics.source import Source

REAL_SHOP = Path(__file__).parents[3] / "shared" / "data" / "online_retail_2010_2011_orders.csv"
LONDON = ZoneInfo("Europe/London")
_UTC = ZoneInfo("UTC")


class Order(NamedTuple):
    """One purchase."""

    customer: int
    at: datetime
    amount: int
    refunded: int = 0


@dataclass
class ArrayStore:
    """Purchases that a test has made."""

    columns: Orders

    def orders(self) -> Orders:
        return self.columns

    def names(self, units: Sequence[int]) -> list[str]:
        return [f"c-{unit}" for unit in units]


def columns_of(rows: Iterable[Order], zone: ZoneInfo = _UTC) -> Orders:
    """Return purchases as columns, however they are sorted."""
    rows = sorted(rows, key=lambda each: (each.customer, each.at))
    return Orders(
        np.array([each.customer for each in rows], dtype=np.int32),
        np.array([day_number(each.at.astimezone(zone).date()) for each in rows], dtype=np.int32),
        np.array(
            [int(each.at.timestamp()) * 1_000_000 + each.at.microsecond for each in rows], dtype=np.int64
        ),
        np.array([each.amount for each in rows], dtype=np.int64),
        np.array([each.refunded for each in rows], dtype=np.int64),
        LeftOut(),
    )


def source_of(rows: Iterable[Order] | Orders, as_of: date, zone: ZoneInfo = _UTC, **others: Any) -> Source:
    """Return a source of these purchases, without a database."""
    columns = rows if isinstance(rows, Orders) else columns_of(rows, zone)
    return Source(ArrayStore(columns), as_of, zone, "GBP", **others)


def random_orders(
    seed: int, customers: int = 200, days: int = 400, start: date = date(2025, 1, 1), per_year: float = 6.0
) -> list[Order]:
    """Return a shop's random orders: customers come over time, buy at their own rates, and leave; some refunds."""
    rng = np.random.default_rng(seed)
    rows = []
    origin = datetime(start.year, start.month, start.day, tzinfo=UTC).timestamp()
    for customer in range(customers):
        begins, rate = rng.uniform(0, days), rng.gamma(1.0, per_year / 365)
        ends, day = begins + rng.exponential(200), begins
        while day < min(ends, days):
            amount = int(rng.integers(1, 20_000))
            refunded = int(rng.choice([0, 0, 0, 0, amount, amount // 3]))
            rows.append(
                Order(customer, datetime.fromtimestamp(int(origin + day * 86_400), UTC), amount, refunded)
            )
            day += rng.choice([0.01, 1.0], p=[0.1, 0.9]) * rng.exponential(1 / max(rate, 1e-4))
    return rows


def real_shop() -> list[Order]:
    """Return the real shop's purchases, or skip where its data is not at hand; its returns are left out."""
    if not REAL_SHOP.exists():
        pytest.skip("the real shop's orders are not in this checkout's neighbourhood")
    rows, numbers = [], {}
    with REAL_SHOP.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            amount = round(float(row["amount"]) * 100)
            if amount > 0 and row["is_return"] in ("0", ""):
                number = numbers.setdefault(row["customer_id"], len(numbers))
                at = datetime.fromisoformat(row["ordered_at"]).replace(tzinfo=LONDON)
                rows.append(Order(number, at, amount))
    return rows
