from datetime import UTC, date, datetime
from typing import Any

import pytest
from facts_model import Model
from metric_database import NOW, Purchased, commands_of, load_shop, submit, tag
from sqlalchemy import text

from rewards.core.database import Database
from rewards.facts.refresh import refresh
from rewards.facts.state import FactsMissing
from rewards.metrics import store
from rewards.metrics.orders import LeftOut, day_number
from rewards.metrics.store import open_source


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_purchases_come_out_as_columns(database: Database) -> None:
    load_shop(
        database,
        [
            Purchased("c-2", "3", at("2026-06-01T23:30:00.000001"), 700, refunded=700),
            Purchased("c-1", "2", at("2026-05-02T10:00"), 500, refunded=200),
            Purchased("c-1", "1", at("2026-05-01T10:00"), 1_000, points=400, refunded=500),
            Purchased("c-1", "4", at("2026-05-03T10:00"), 0),
            Purchased("c-1", "5", at("2026-05-03T10:00"), 900, points=900),
            Purchased("c-3", "7", at("2026-05-03T10:00"), 900),
        ],
    )
    tag(database, "c-3", ["vip", "staff"])
    refresh(database, NOW)
    with database.engine.connect() as connection:
        source = open_source(connection, now=NOW)
        orders = source.orders
        assert source.as_of == date(2026, 10, 31)
        assert (source.currency, str(source.zone)) == ("GBP", "Europe/London")
        assert orders.unit.tolist() == [1, 1, 2]
        assert source.store.names([2, 1, 2]) == ["c-2", "c-1", "c-2"]
        # On the shop's clock, which is an hour ahead in summer.
        assert orders.day.tolist() == [day_number(date(2026, 5, d)) for d in (1, 2)] + [
            day_number(date(2026, 6, 2))
        ]
        assert orders.at.tolist() == [
            round(at(each).timestamp() * 1_000_000)
            for each in ("2026-05-01T10:00", "2026-05-02T10:00", "2026-06-01T23:30:00.000001")
        ]
        assert orders.amount.tolist() == [600, 500, 700]
        assert orders.refunded.tolist() == [300, 200, 700]
        assert orders.left_out == LeftOut(1, 1, 0, 1, refunded_whole=1)
        assert (orders.unit.dtype, orders.day.dtype, orders.at.dtype) == ("int32", "int32", "int64")
        assert open_source(connection, now=NOW).orders.unit is orders.unit  # read once a generation


def test_without_a_run_it_says_what_to_do(database: Database) -> None:
    with (
        database.engine.connect() as connection,
        pytest.raises(FactsMissing, match="rewards jobs run rollups"),
    ):
        open_source(connection, now=NOW)


def test_an_empty_shop_has_no_purchases(database: Database) -> None:
    refresh(database, NOW)
    with database.engine.connect() as connection:
        orders = open_source(connection, now=NOW).orders
        assert len(orders) == 0
        assert orders.left_out == LeftOut()
        assert connection.execute(text("SELECT generation FROM rollup_state")).scalar() == 1


@pytest.mark.parametrize("seed", [11, 12])
def test_the_columns_are_what_was_bought(
    database: Database, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """However many parts they are read in, and in the same order whenever they are."""
    zone = "America/St_Johns"
    load_shop(database, zone=zone)
    shop = Model(database, zone, seed)
    shop.live(250)
    refresh(database, NOW)
    excluded = {person for person, each in shop.stats().items() if each[-1]}
    counted = [each for each in shop.purchases() if each[-1] == "purchase" and each[2] not in excluded]
    expected = sorted(
        (person, round(at.timestamp() * 1_000_000), paid, refunded, day_number(day))
        for _, _, person, at, day, paid, refunded, _ in counted
    )
    assert excluded
    with database.engine.connect() as connection:
        source = open_source(connection, as_of=date(2026, 11, 1), now=NOW)
        orders = source.orders
        names = source.store.names(orders.unit.tolist())
        columns = (orders.at, orders.amount, orders.refunded, orders.day)
        read = list(zip(names, *(column.tolist() for column in columns), strict=True))
        assert sorted(read) == expected
        keys = list(zip(orders.unit.tolist(), *(column.tolist() for column in columns[:3]), strict=True))
        assert keys == sorted(keys)
        others = [each for each in shop.purchases() if each[2] not in excluded and each[-1] != "purchase"]
        assert orders.left_out == LeftOut(
            zero_amount=sum(each[-1] == "zero" for each in others),
            points_only=sum(each[-1] == "points-only" for each in others),
            test_or_staff=sum(each[-1] == "purchase" and each[2] in excluded for each in shop.purchases()),
            refunded_whole=sum(each[5] == each[6] for each in counted),
        )
        for size in (1, 54, 1_000):
            monkeypatch.setattr(store, "_BYTES_AT_ONCE", size)
            again = store.read_orders(connection)
            for name in ("unit", "day", "at", "amount", "refunded"):
                assert (getattr(again, name) == getattr(orders, name)).all()


def test_what_is_kept_is_read_anew_when_the_facts_change(database: Database) -> None:
    load_shop(database, [Purchased("c-1", "1", at("2026-05-01T10:00"), 1_000)])
    with database.engine.connect() as connection:
        first = open_source(connection, now=NOW)
        assert len(first.orders) == 1
        connection.rollback()
        submit(database, commands_of([Purchased("c-1", "2", at("2026-05-02T10:00"), 5)]))
        refresh(database, NOW)
        assert len(first.orders) == 1  # a source is of one state
        assert len(open_source(connection, now=NOW).orders) == 2


def test_a_refresh_while_purchases_are_read(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    load_shop(database, [Purchased("c-1", "1", at("2026-05-01T10:00"), 1_000)])
    read, reads = store.read_orders, []

    def interrupted(connection: Any) -> Any:
        found = read(connection)
        reads.append(len(found))
        if len(reads) == 1:
            submit(database, commands_of([Purchased("c-2", "2", at("2026-05-02T10:00"), 5)]))
            refresh(database, NOW)
        return found

    monkeypatch.setattr(store, "read_orders", interrupted)
    with database.engine.connect() as connection:
        assert len(open_source(connection, now=NOW).orders) == 2
    assert reads == [1, 2]
