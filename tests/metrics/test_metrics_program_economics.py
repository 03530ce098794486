"""The return on rewards out of a database: a trial through the engine, against plain loops over what it wrote."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest
from metric_database import ACTOR, NOW, Purchased, commands_of, load_shop, rows, source_at, submit
from sqlalchemy import Connection

from rewards.core.database import Database
from rewards.decide.commands import Redeem
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.facts.refresh import refresh
from rewards.metrics.economics import METRICS
from rewards.metrics.effect.randomised import effect
from rewards.metrics.effect.trial import ARM_NAMES, PROGRAM
from rewards.metrics.registry import all_metrics
from rewards.metrics.result import BadParameter
from rewards.program.holdout import arm_of
from rewards.program.loading import load_text
from rewards.program.versions import publish

SALT = "only-this-test-knows-it"
STARTS = datetime(2026, 1, 1, tzinfo=UTC)
AS_OF = date(2026, 10, 1)
DOCUMENT = f"""
schema_version: 1
name: Test
currency: GBP
timezone: UTC
earn:
- {{id: base, activity: purchase, gives: {{type: per_amount, points: 10, per_minor: 100}}}}
points: {{expiry: {{type: after, period: P3M}}}}
redemption: {{points: 1, value_minor: 1, minimum_points: 1, step_points: 1}}
holdout: {{id: start, salt: {SALT}, share_pct: 50, starts_at: "2026-01-01", primary: revenue-per-customer}}
"""


@pytest.fixture
def tried(database: Database) -> Iterator[Connection]:
    """Customers of the program buy more; some of them spend their points, which time takes from the others."""
    random = Random(3)
    with database.engine.begin() as conn:
        publish(
            conn,
            load_text(DOCUMENT),
            effective_from=STARTS - timedelta(days=9),
            now=STARTS - timedelta(days=9),
            actor=ACTOR,
        )
    orders = []
    for number in range(360):
        customer = f"c-{number}"
        more = arm_of(SALT, customer, 50) == "program"
        day = random.uniform(1, 240)
        for _ in range(random.choice([1, 2, 3]) + more):
            at = STARTS + timedelta(days=day)
            orders.append(
                Purchased(
                    customer,
                    f"o-{len(orders)}",
                    at,
                    random.randint(1_000, 6_000),
                    random.choice([0, 0, 0, 900]),
                )
            )
            day += random.uniform(1, 40)
    engine = Engine(database)
    for month in range(10):
        now = STARTS + timedelta(days=31 * (month + 1))
        recent = [each for each in orders if now - timedelta(days=31) <= each.at < now]
        submit(database, commands_of(recent), now)
        spending = [
            Submission(
                Redeem(customer_id=each.customer, points=150),
                f"spend-{each.order}",
                ACTOR,
                remember_refusal=False,
            )
            for each in recent
            if random.random() < 0.4
        ]
        engine.execute(spending, now)
    refresh(database, NOW)
    with database.engine.connect() as conn:
        yield conn


@pytest.mark.slow
def test_the_return_is_margin_less_cost_over_cost(tried: Connection) -> None:
    source = source_at(tried, AS_OF)
    result = METRICS[0](source, margin=0.4, totals="gross")
    measured = effect(source, outcome="revenue-per-customer")
    assert measured.value is not None
    assert measured.interval is not None
    arms = next(each for each in measured.tables if each.key == "arms").rows
    customers = next(row[1] for row in arms if row[0] == ARM_NAMES[PROGRAM])
    added = measured.value * customers
    # What they were given, entry by entry.
    exposed = dict(rows(tried, "SELECT customer_id, exposed_at FROM exposures WHERE arm = 'program'"))
    issued = redeemed = 0
    for who, kind, points, at in rows(tried, "SELECT customer_id, kind, points, occurred_at FROM entries"):
        # Of some the days are not over yet.
        if who in exposed and exposed[who] <= at < min(exposed[who] + timedelta(days=90), source.ends_at):
            issued += points if kind in ("award", "clawback") else 0
            redeemed -= points if kind in ("redeem", "reinstate") else 0
    assert issued > redeemed > 0
    assert len(exposed) == customers
    broken = all_metrics()["breakage"](source)
    assert broken.value is not None
    assert broken.interval is not None
    shares = (1 - broken.value, 1 - broken.interval.high, 1 - broken.interval.low)
    cost, least, most = (redeemed + max(share * issued - redeemed, 0) for share in shares)
    table = {row[0]: row[1:] for row in result.tables[0].rows}
    assert table["Rewards: redeemed, and expected to be"] == (round(cost), round(least), round(most))
    assert result.value == pytest.approx((0.4 * added - cost) / cost)
    gains = [0.4 * customers * end for end in measured.interval[:2]]
    ends = [(gain - each) / each for gain in gains for each in (least, most)]
    assert result.interval is not None
    assert result.interval[:2] == pytest.approx((min(ends), max(ends)))
    assert result.evidence == "A"
    assert table["Revenue that the program added"][0] == round(added)
    assert table["Left"][0] == round(0.4 * added - cost)
    # Where orders are told without what points paid, that is missing from revenue already.
    net = METRICS[0](source, margin=0.4)
    assert net.tables[0].rows[2][1] == round(cost - 0.4 * redeemed)
    assert "margin=0.4" in str(METRICS[0](source).reason_if_null)
    with pytest.raises(BadParameter, match="margin must be at most 1"):
        METRICS[0](source, margin=40)


def test_without_a_trial_there_is_no_return(database: Database) -> None:
    load_shop(database, [Purchased("ann", "o-1", NOW - timedelta(days=40), 1_000)])
    with database.engine.connect() as conn:
        found = METRICS[0](source_at(conn), margin=0.4)
    assert found.value is None
    assert "no holdout" in str(found.reason_if_null)
