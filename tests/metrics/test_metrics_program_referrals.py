"""Referral revenue out of a database, against plain Python over what went in."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from metric_database import NOW, Purchased, load_shop, source_at, tag
from sqlalchemy import text

from rewards.core.database import Database
from rewards.facts.identities import set_identity
from rewards.facts.refresh import refresh
from rewards.metrics.ledger_reading.referred import REASONS
from rewards.metrics.referrals import METRICS
from rewards.metrics.result import Result

LONDON = ZoneInfo("Europe/London")
AS_OF = date(2026, 10, 24)
STATUSES = [
    "attributed",
    "approved",
    "qualified",
    "rewarded",
    "rewarded",
    "flagged",
    "rejected",
    "expired",
    "reversed",
]


class Brought(NamedTuple):
    customer: str
    referrer: str
    status: str
    at: datetime


def brought_to(database: Database, referrals: list[Brought]) -> None:
    with database.engine.begin() as conn:
        for each in referrals:
            conn.execute(
                text(
                    "INSERT INTO referrals (customer_id, referrer_id, code, status, reasons, fingerprints, attributed_at,"
                    " closes_at) VALUES (:customer, :referrer, 'CODE', :status, '[]', '{}', :at, :at)"
                ),
                each._asdict(),
            )


def table(result: Result, key: str) -> list[Any]:
    return [list(row) for row in next(each for each in result.tables if each.key == key).rows]


def started(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), LONDON).astimezone(UTC)


class Told(NamedTuple):
    why: Counter[str]
    minor: int
    orders: int
    refunded: int
    by_referrer: dict[str, tuple[int, int]]
    by_month: Counter[str]


def told_by_hand(
    orders: list[Purchased],
    referrals: list[Brought],
    same: dict[str, str],
    staff: set[str],
    since: datetime,
    until: datetime,
    *,
    first_only: bool,
) -> Told:
    why: Counter[str] = Counter()
    total = count = refunded = 0
    by_referrer: dict[str, tuple[int, int]] = {}
    by_month: Counter[str] = Counter()
    seen: set[str] = set()
    rank = {"oneself": 1, "rejected": 1, "flagged": 1, "expired": 1, "reversed": 1}
    reasons = {"rejected", "flagged", "expired", "reversed"}
    for each in sorted(referrals, key=lambda r: (r.status in reasons, r.at, r.customer)):
        if each.at >= until or {each.customer, each.referrer} & staff:
            continue
        person, referrer = same.get(each.customer, each.customer), same.get(each.referrer, each.referrer)
        bought = sorted(
            (o for o in orders if same.get(o.customer, o.customer) == person and o.at < until),
            key=lambda o: (o.at, o.order),
        )
        after = [o for o in bought if o.at >= each.at]
        if person == referrer:
            reason = "oneself"
        elif each.status in reasons:
            reason = each.status
        elif any(o.at < each.at for o in bought):
            reason = "existing"
        elif person in seen:
            reason = "another"
        elif not after:
            reason = "no-order"
        elif after[0].refunded >= after[0].total:
            reason = "refunded"
        else:
            reason = "counts"
        if reason not in rank:
            seen.add(person)
        why[reason] += 1
        if reason != "counts":
            continue
        mine = after[:1] if first_only else [o for o in after if o.at < each.at + timedelta(days=365)]
        mine = [o for o in mine if o.at >= since]
        total += sum(o.total for o in mine)
        refunded += sum(o.refunded for o in mine)
        count += len(mine)
        people, minor = by_referrer.get(referrer, (0, 0))
        by_referrer[referrer] = (people + 1, minor + sum(o.total for o in mine))
        for o in mine:
            by_month[o.at.astimezone(LONDON).strftime("%Y-%m")] += o.total
    return Told(why, total, count, refunded, by_referrer, by_month)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_revenue_is_that_of_the_referrals_that_count(database: Database, seed: int) -> None:
    random = Random(seed)
    customers = [f"c-{number:02}" for number in range(45)]
    ends = started(date(2026, 10, 25))

    def moment() -> datetime:
        edges = [ends, ends - timedelta(microseconds=1), started(date(2025, 10, 25))]
        return random.choice([*edges, *(ends - timedelta(days=random.uniform(0, 700)) for _ in range(15))])

    referrals = []
    for number, customer in enumerate(customers[5:], 5):
        at = moment()
        referrals.append(Brought(customer, random.choice(customers[:number]), random.choice(STATUSES), at))
    at_of = {each.customer: each.at for each in referrals}
    orders = []
    for customer in customers:
        begins = at_of.get(customer, ends - timedelta(days=700))
        for number in range(random.choice([0, 1, 2, 3])):
            # The order with the code is at the very instant of the referral; a few were there before.
            days = random.choice([0, 0, random.uniform(0, 500), 365, -3])
            total = random.choice([999, 2_500, 10_000])
            refund = random.choice([0, 0, 0, total, total // 2])
            at = begins + timedelta(days=days)
            if at < NOW:
                orders.append(Purchased(customer, f"o-{customer}-{number}", at, total, refund))
    load_shop(database, orders)
    brought_to(database, referrals)
    same = {"c-10": "c-02", "c-11": "c-12", "c-13": "c-14"}
    same = {one: other for one, other in same.items() if {one, other} <= {o.customer for o in orders}}
    with database.engine.begin() as conn:
        for customer, other in same.items():
            set_identity(conn, customer, other, actor="test", now=NOW)
    tagged = next(each.customer for each in orders if each.customer not in {*same, *same.values()})
    tag(database, tagged, ["test"])
    refresh(database, NOW)
    with database.engine.connect() as conn:
        source = source_at(conn, AS_OF)
        for attributed in ("365-days", "first-order"):
            for days in (365, 60):
                since = started(AS_OF - timedelta(days=days - 1))
                result = METRICS[0](source, days=days, attributed=attributed)
                expected = told_by_hand(
                    orders, referrals, same, {tagged}, since, ends, first_only=attributed == "first-order"
                )
                check(result, expected)
                assert expected.why["counts"] >= 3 or days < 365
                assert METRICS[0].rows is not None
                listed = METRICS[0].rows(source, window="days", days=days, attributed=attributed).rows
                assert {row[0]: (row[1], row[2]) for row in listed} == expected.by_referrer


def check(result: Result, expected: Told) -> None:
    assert result.value == expected.minor
    counts = {words: count for words, count in table(result, "referrals") if count}
    assert counts == {("Count" if why == "counts" else REASONS[why]): n for why, n in expected.why.items()}
    ((_, orders, minor, refunded, _),) = table(result, "summary")
    assert (orders, minor, refunded) == (expected.orders, expected.minor, expected.refunded)
    assert {month: minor for month, minor, _ in table(result, "by-month") if minor} == dict(expected.by_month)
    assert "gross" in result.notes[0]


def test_without_referrals_there_is_a_reason(database: Database) -> None:
    load_shop(database, [Purchased("ann", "o-1", NOW - timedelta(days=40), 1_000)])
    with database.engine.connect() as conn:
        found = METRICS[0](source_at(conn, AS_OF))
    assert (found.value, found.reason_if_null) == (
        None, "No customer was referred by another by 2026-10-24."
    )  # fmt: skip
