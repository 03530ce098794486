"""Finding customers and commands among many: the statements walk indexes, and pages come quickly."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text

from rewards.core.database import Database, connect_database
from rewards.ledger import recent
from rewards.ledger.recent import Place, Sought, recent_commands
from rewards.profiles import celebrations
from rewards.profiles.finding import KNOWN_TAGS, SORTS, Wanted, find_customers, known_tags, statement_for

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
CUSTOMERS = 100_000

_FILLINGS = (
    """INSERT INTO accounts (customer_id, balance, available, joined_at, tags)
        SELECT 'c-' || n, n % 1000, n % 1000, timestamptz '2020-01-01Z' + n * interval '30 minutes',
            CASE WHEN n % 5000 = 0 THEN '{rare}' ELSE '{}' END::text[]
        FROM generate_series(1, :customers) AS n""",
    """INSERT INTO profiles (customer_id, name, email, email_key, name_key, surname_key, birthday, updated_at)
        SELECT 'c-' || n, 'First' || n || ' Last' || n, 'p' || n || '@example.com', 'p' || n || '@example.com',
            'first' || n || ' last' || n, 'last' || n || ' first' || n,
            to_char(date '1980-01-01' + n % 9000, 'YYYY-MM-DD'), now()
        FROM generate_series(1, :customers) AS n""",
    """INSERT INTO commands (customer_id, idempotency_key, kind, input_hash, status, answer, recorded_at)
        SELECT 'c-' || n, 'k', CASE WHEN n % 1000 = 0 THEN 'adjust' ELSE 'award' END, '', CASE WHEN n % 999 = 0 THEN
            409 ELSE 201 END, '{}', timestamptz '2026-11-01 12:00Z' - (:customers - n) * interval '1 minute'
        FROM generate_series(1, :customers) AS n""",
)


@pytest.fixture(scope="module")
def many(server: object, template: str) -> Iterator[Database]:
    name = f"{template}_finding"
    server.create(name, template)  # type: ignore[attr-defined]
    database = connect_database(server.settings(name), application_name="test")  # type: ignore[attr-defined]
    with database.engine.begin() as conn:
        for filling in _FILLINGS:
            conn.execute(text(filling), {"customers": CUSTOMERS})
    with database.engine.connect() as conn:
        conn.execution_options(isolation_level="AUTOCOMMIT")
        conn.execute(text("VACUUM ANALYZE accounts, profiles, commands, activities"))
    yield database
    database.dispose()
    server.drop(name)  # type: ignore[attr-defined]


def plan(conn: Connection, statement: str, parameters: dict[str, object]) -> str:
    return "\n".join(conn.execute(text(f"EXPLAIN {statement}"), parameters).scalars())


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        Wanted(after=("c-500", "c-500")),
        Wanted(descending=True, after=("c-500", "c-500")),
        Wanted(search="c-4711"),
        Wanted(search="p4711@"),
        Wanted(search="Last4711"),
        Wanted(search="first4711 last", sort="balance", descending=True),
        Wanted(tag="rare", sort="activity"),
        Wanted(search="c-4711", joined_from=NOW - timedelta(days=9), has_balance=True),
    ],
    ids=str,
)
def test_the_list_and_searches_read_no_whole_table(many: Database, wanted: Wanted) -> None:
    with many.engine.connect() as conn:
        assert "Seq Scan" not in plan(conn, *statement_for(wanted, 26))


def test_tags_to_choose_from_are_found_without_looking_at_everybody(many: Database) -> None:
    with many.engine.connect() as conn:
        assert known_tags(conn, 10) == ["rare"]
        assert "Seq Scan" not in plan(conn, KNOWN_TAGS, {"tagged": 2_000, "most": 10})


def test_a_search_finds_its_own_among_many(many: Database) -> None:
    with many.engine.connect() as conn:
        for search in ("c-4711", "P4711@", "LAST4711 ", "first4711 last4711"):
            found = {each.customer_id for each in find_customers(conn, Wanted(search=search), 26)}
            assert "c-4711" in found
            assert all(each.startswith("c-4711") for each in found)
        assert len(find_customers(conn, Wanted(tag="rare"), 50)) == 20


@pytest.mark.parametrize("sort", SORTS)
def test_every_order_answers_while_somebody_waits(many: Database, sort: str) -> None:
    with many.engine.connect() as conn:
        began = time.monotonic()
        first = find_customers(conn, Wanted(sort=sort, descending=True), 26)
        find_customers(conn, Wanted(sort=sort, descending=True, after=first[-1].place), 26)
        # Some tenths of a second; a machine that does much else is slower.
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "sought",
    [
        Sought(refused=True),
        Sought(group="adjustment"),
        Sought(group="redemption", refused=False),
        Sought(group="adjustment", before=Place(NOW - timedelta(days=20), "c-1", "k")),
    ],
    ids=str,
)
def test_what_is_rare_has_an_index(many: Database, sought: Sought) -> None:
    with many.engine.connect() as conn:
        told = plan(conn, *recent.statement_for(sought, None, 51))
        assert "Seq Scan" not in told
        assert "ix_commands_" in told


def test_a_span_of_time_is_found_in_all_awards(many: Database) -> None:
    with many.engine.connect() as conn:
        told = plan(conn, *recent.statement_for(Sought(), NOW - timedelta(minutes=10), 51))
        assert "ix_commands_recorded_at" in told
        rows = recent_commands(conn, Sought(), 51, NOW)
        assert [row.customer_id for row in rows] == [f"c-{number}" for number in range(100_000, 99_949, -1)]
        older = recent_commands(conn, Sought(before=rows[49].place), 51, NOW)
        assert older[0].place == rows[50].place


def test_birthdays_are_found_by_their_day(many: Database) -> None:
    with many.engine.connect() as conn:
        about = {
            "names": ["11-01"],
            "year": "2026",
            "begins_at": NOW,
            "ends_at": NOW,
            "after": "",
            "most": 1000,
        }
        told = plan(conn, celebrations._BIRTHDAYS.text, about)
        assert "ix_profiles_day_of_birth" in told
        assert "Seq Scan on accounts" not in told
