"""The metrics of purchases from the real engine and its facts: orders late, refunded, merged, of staff, in another zone."""

import random
from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from metric_database import Purchased, commands_of, load_shop, source_at, submit, tag
from metric_shops import Order, columns_of, random_orders, source_of

from rewards.core.database import Database
from rewards.facts.identities import set_identity
from rewards.facts.refresh import refresh
from rewards.metrics import churn, cohorts, idle, repeat, retention, return_periods, second_purchase
from rewards.metrics.orders import LeftOut

AUCKLAND = ZoneInfo("Pacific/Auckland")
NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
AS_OF = date(2026, 3, 31)


def test_what_the_engine_recorded_gives_what_the_same_purchases_as_arrays_give(database: Database) -> None:
    shop = random_orders(21, customers=70, days=450)
    sent = [
        Purchased(f"c-{each.customer}", f"o-{number}", each.at, each.amount, each.refunded)
        for number, each in enumerate(shop)
    ]
    random.Random(1).shuffle(sent)
    early, late = sent[: len(sent) // 2], sent[len(sent) // 2 :]
    load_shop(database, early, zone="Pacific/Auckland")
    submit(database, commands_of(late), NOW)
    tag(database, "c-7", ["staff"])
    merges = {5: 6, 20: 21}
    with database.engine.begin() as connection:
        for customer, same_as in merges.items():
            set_identity(connection, f"c-{customer}", f"c-{same_as}", actor="test", now=NOW)
    refresh(database, NOW)
    rows = [
        each._replace(customer=merges.get(each.customer, each.customer))
        for each in shop
        if each.customer != 7
    ]
    mine = columns_of([Order(*each) for each in rows], AUCKLAND)
    with database.engine.connect() as connection:
        recorded = source_at(connection, AS_OF, NOW)
        assert recorded.zone == AUCKLAND
        arrays = source_of(replace(mine, left_out=recorded.orders.left_out), AS_OF, AUCKLAND)
        assert recorded.orders.left_out != LeftOut()
        for module in (repeat, second_purchase, retention, churn, return_periods, cohorts, idle):
            for metric in module.METRICS:
                assert metric(recorded) == metric(arrays), metric.name
                assert metric.rows is not None
                asked = {each.name: each.default for each in metric.parameters}
                told, expected = metric.rows(recorded, **asked), metric.rows(arrays, **asked)
                assert sorted(told.rows) == sorted(expected.rows), metric.name
