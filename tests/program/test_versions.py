from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from threading import Barrier
from typing import Any

import pytest
from sample_programs import program
from sqlalchemy import Connection, event, text

from rewards.program.earning import earn
from rewards.program.history import ProgramHistory, ProgramVersion
from rewards.program.loading import load_text, to_yaml
from rewards.program.redemption import value_minor
from rewards.program.versions import (
    HistoryCache,
    latest_version,
    load_history,
    publish,
    publish_starter,
    starter_program,
)

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def version(number: int, effective_from: datetime) -> ProgramVersion:
    return ProgramVersion(number, program(name=f"Version {number}"), effective_from, NOW, "ann")


# Which version is in force


@pytest.mark.parametrize(
    ("effective_from", "asked", "in_force"),
    [
        ([NOW], NOW, 1),
        ([NOW], NOW - DAY, 1),  # before any: the earliest
        ([NOW, NOW + DAY], NOW + DAY / 2, 1),
        ([NOW, NOW + DAY], NOW + DAY, 2),  # from its very instant on
        ([NOW, NOW + DAY], NOW + 9 * DAY, 2),
        ([NOW, NOW], NOW, 2),  # the same instant: the later published wins
        ([NOW, NOW, NOW - DAY], NOW, 2),
        ([NOW, NOW - DAY], NOW, 1),  # backdated: only what lies before the other
        ([NOW, NOW - DAY], NOW - DAY / 2, 2),
        ([NOW, NOW - DAY], NOW - 9 * DAY, 2),
        ([NOW + DAY, NOW - DAY, NOW], NOW + 9 * DAY, 1),
        ([NOW + DAY, NOW - DAY, NOW], NOW + DAY / 2, 3),
    ],
)
def test_which_version_is_in_force(effective_from: list[datetime], asked: datetime, in_force: int) -> None:
    history = ProgramHistory(
        version(number, instant) for number, instant in enumerate(effective_from, start=1)
    )
    assert history.in_force(asked).version == in_force
    elsewhere = asked.astimezone(timezone(timedelta(hours=9)))
    assert history.in_force(elsewhere).version == in_force


def test_versions_by_number() -> None:
    history = ProgramHistory([version(2, NOW - DAY), version(1, NOW)])
    assert len(history) == 2
    assert [each.version for each in history.versions] == [1, 2]
    assert history.latest.version == 2
    assert history.by_version(1).effective_from == NOW
    with pytest.raises(LookupError, match="there is no program version 3"):
        history.by_version(3)


def test_an_empty_history_says_what_to_do() -> None:
    history = ProgramHistory([])
    with pytest.raises(LookupError, match="no program was published yet; run `rewards migrate`"):
        history.in_force(NOW)
    with pytest.raises(LookupError, match="no program was published yet"):
        _ = history.latest


# The starter program


@dataclass
class StarterFor:
    currency: str = "GBP"
    timezone: str = "UTC"


@dataclass
class Purchase:
    total_minor: int
    discount_minor: int = 0
    tax_minor: int = 0
    shipping_minor: int = 0
    type: str = "purchase"


@pytest.mark.parametrize(
    ("currency", "one_unit", "points", "worth_minor", "text"),
    [
        ("USD", 100, 1, 1, "1 point per 1.00 USD on 1.00 USD"),
        ("JPY", 1, 100, 1, "1 point per 1 JPY on 1 JPY"),  # 0.01 yen each
        ("KWD", 1000, 1, 10, "1 point per 1.000 KWD on 1.000 KWD"),
        ("CLF", 10_000, 1, 100, "1 point per 1.0000 CLF on 1.0000 CLF"),
    ],
)
def test_the_starter_gives_a_point_per_whole_unit_worth_a_hundredth_of_it(
    currency: str, one_unit: int, points: int, worth_minor: int, text: str
) -> None:
    document = starter_program(currency, "Asia/Tokyo")
    assert document.currency == currency
    assert document.timezone == "Asia/Tokyo"
    assert earn(document, Purchase(one_unit)).grants[0].text == text
    assert [
        earn(document, Purchase(total)).grants[0].points for total in (one_unit - 1, one_unit, 50 * one_unit)
    ] == [0, 1, 50]
    assert value_minor(document.redemption, points) == worth_minor
    # Nothing that can be redeemed is worth nothing.
    assert value_minor(document.redemption, document.redemption.minimum_points) >= 1
    assert value_minor(document.redemption, document.redemption.step_points) >= 1
    assert document.points.pending is None
    assert document.points.negative_balance == "allow"
    assert load_text(to_yaml(document)) == document


# In the database. A migrated one begins with the starter program as version 1.


def test_a_new_database_begins_with_the_starter(connection: Connection) -> None:
    first = load_history(connection).by_version(1)
    assert first.document == starter_program("USD", "UTC")
    assert first.document.name == "Starter program"
    assert first.effective_from == datetime(1970, 1, 1, tzinfo=UTC)
    assert load_history(connection).in_force(NOW - 9000 * DAY).version == 1


def test_the_starter_is_published_once(connection: Connection) -> None:
    again = publish_starter(connection, StarterFor("JPY"), NOW + DAY)
    assert (again.version, again.document.currency) == (1, "USD")
    assert latest_version(connection) == 1


def test_published_versions_are_read_back_as_they_were(connection: Connection) -> None:
    document = program(
        points={"pending": "P14D", "expiry": {"type": "dates", "dates": ["06-30"], "minimum_life": "P2M"}}
    )
    tokyo = timezone(timedelta(hours=9))
    published = publish(
        connection,
        document,
        effective_from=(NOW + DAY).astimezone(tokyo),
        now=NOW.astimezone(tokyo),
        actor="ann@example.com",
        note="Autumn",
    )
    assert published == ProgramVersion(2, document, NOW + DAY, NOW, "ann@example.com", "Autumn")
    history = load_history(connection)
    assert history.by_version(2) == published
    assert history.by_version(2).effective_from.tzinfo is UTC
    assert history.in_force(NOW).version == 1
    assert history.in_force(NOW + DAY).version == 2
    assert latest_version(connection) == 2


def test_a_version_is_in_force_from_now_on_unless_said_otherwise(connection: Connection) -> None:
    publish(connection, program(), now=NOW, actor="ann")
    publish(connection, program(name="Backdated"), effective_from=NOW - 100 * DAY, now=NOW, actor="ann")
    history = load_history(connection)
    assert history.by_version(2).effective_from == NOW
    assert history.by_version(2).note is None
    assert [history.in_force(NOW + days * DAY).version for days in (-101, -100, -1, 0, 1)] == [1, 3, 3, 2, 2]


def test_an_older_document_can_be_published_again(connection: Connection) -> None:
    publish(connection, program(), now=NOW, actor="ann")
    publish(connection, starter_program("USD", "UTC"), now=NOW + DAY, actor="ann", note="Back to the start")
    history = load_history(connection)
    assert history.in_force(NOW + DAY).version == 3
    assert history.by_version(3).document == history.by_version(1).document


def test_an_instant_without_an_offset_is_refused(connection: Connection) -> None:
    with pytest.raises(ValueError, match="effective_from needs an offset"):
        publish(connection, program(), effective_from=datetime(2026, 11, 1), now=NOW, actor="ann")  # noqa: DTZ001
    assert latest_version(connection) == 1


def test_every_default_is_stored(connection: Connection) -> None:
    publish(connection, program(), now=NOW, actor="ann")
    query = text("SELECT document->'refunds'->>'rounding' FROM program_versions WHERE version = 2")
    assert connection.scalar(query) == "half_up"


def statements_of(connection: Connection) -> list[str]:
    seen: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(connection, "before_cursor_execute", note)
    return seen


def test_the_cache_asks_one_small_question_until_something_changed(connection: Connection) -> None:
    cache = HistoryCache()
    first = cache.current(connection)
    seen = statements_of(connection)
    assert cache.current(connection) is first
    assert len(seen) == 1
    assert "document" not in seen[0]
    publish(connection, program(), now=NOW, actor="ann")
    second = cache.current(connection)
    assert len(second) == 2
    assert cache.current(connection) is second
    assert second.by_version(1).document is first.by_version(1).document  # parsed once


def test_publishers_at_once_get_versions_of_their_own(database: Any) -> None:
    publishers = 8
    together = Barrier(publishers)

    def publish_one(number: int) -> int:
        with database.engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            together.wait(timeout=30)
            return publish(
                connection, program(name=f"Program {number}"), now=NOW, actor=f"admin-{number}"
            ).version

    with ThreadPoolExecutor(publishers) as pool:
        versions = list(pool.map(publish_one, range(publishers)))
    assert sorted(versions) == list(range(2, publishers + 2))
    with database.engine.begin() as connection:
        history = load_history(connection)
    for number, got in enumerate(versions):
        assert history.by_version(got).document.name == f"Program {number}"


def test_another_process_sees_a_version_once_it_is_committed(database: Any) -> None:
    cache = HistoryCache()
    with database.engine.connect() as publisher, database.engine.connect() as reader:
        with reader.begin():
            assert len(cache.current(reader)) == 1
        with publisher.begin():
            publish(publisher, program(), now=NOW, actor="ann")
            with reader.begin():
                assert len(cache.current(reader)) == 1
        with reader.begin():
            assert len(cache.current(reader)) == 2


def test_a_version_that_was_rolled_back_leaves_no_gap(database: Any) -> None:
    with database.engine.connect() as connection:
        connection.begin()
        assert publish(connection, program(), now=NOW, actor="ann").version == 2
        connection.rollback()
        connection.begin()
        assert publish(connection, program(), now=NOW, actor="ann").version == 2
        connection.commit()
