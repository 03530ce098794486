"""`rewards import customers`: who customers are, from CSV."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from rewards.core.database import Database
from rewards.core.errors import SetupError
from rewards.engine import Engine
from rewards.importing.customers import import_customers
from rewards.ledger.verification import verify
from rewards.profiles.erasing import erase
from rewards.profiles.storing import read_profile
from rewards.program.versions import publish, starter_program

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(*lines: str, name: str = "customers.csv") -> Path:
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


def profile(database: Database, customer_id: str) -> dict[str, Any]:
    with database.engine.connect() as conn:
        found = read_profile(conn, customer_id)
    assert found is not None
    return found


def figures(report: Any) -> tuple[int, int, int, int, int]:
    return report.rows, report.created, report.changed, report.unchanged, len(report.rejected)


def test_a_file_is_imported_once_however_often(database: Database, write: Any) -> None:
    path = write(
        "Customer_ID,email,name,joined_at,birthday,country",
        "c-1,ada@example.com,Ada,2025-03-01,1990-05-17,GB",
        'c-2,,"Ben, the second",2025-03-01T10:00:00+02:00,05-17,',
        "c-3,,,,,",
    )
    assert figures(import_customers(path, database, now=NOW)) == (3, 3, 0, 0, 0)
    assert figures(import_customers(path, database, now=NOW)) == (3, 0, 0, 3, 0)
    assert profile(database, "c-1") == {
        "customer_id": "c-1",
        "email": "ada@example.com",
        "name": "Ada",
        "birthday": "1990-05-17",
        "joined_at": datetime(2025, 3, 1, tzinfo=UTC),
        "attributes": {"country": "GB"},
        "updated_at": NOW,
        "erased_at": None,
    }
    ben = profile(database, "c-2")
    assert (ben["name"], ben["joined_at"].hour, ben["attributes"]) == ("Ben, the second", 8, {})


def test_a_file_says_only_what_it_has_columns_for(database: Database, write: Any) -> None:
    import_customers(write("customer_id,email,name,shoe", "c-1,a@example.com,Ada,37"), database, now=NOW)
    report = import_customers(write("customer_id,email,country", "c-1,,GB"), database, now=NOW)
    assert figures(report) == (1, 0, 1, 0, 0)
    found = profile(database, "c-1")
    assert (found["email"], found["name"]) == (None, "Ada")
    assert found["attributes"] == {"shoe": "37", "country": "GB"}
    import_customers(write("customer_id,shoe", "c-1,"), database, now=NOW)
    assert profile(database, "c-1")["attributes"] == {"country": "GB"}


def test_times_without_an_offset_are_the_programs(database: Database, write: Any) -> None:
    with database.engine.begin() as conn:
        past = datetime(2000, 1, 1, tzinfo=UTC)
        publish(conn, starter_program("EUR", "Europe/Berlin"), effective_from=past, now=past, actor="t")
    import_customers(write("customer_id,joined_at", "c-1,2025-07-01 00:30"), database, now=NOW)
    assert profile(database, "c-1")["joined_at"] == datetime(2025, 6, 30, 22, 30, tzinfo=UTC)


def test_bad_rows_are_reported_and_good_ones_kept(database: Database, write: Any, tmp_path: Path) -> None:
    path = write(
        "customer_id,email,name,joined_at,birthday,note",
        "c-1,ada@example.com,Ada,,,",
        ",x@example.com,,,,",
        "c-2,nobody,,,,",
        "c-3,,,,31.12.1990,",
        "c-4,,,tomorrow,,",
        "c-5,,,2030-01-01,,",
        "c-1,,Again,,,",
        f"c-6,,,,,{'x' * 256}",
        f"c-7,,{'x' * 201},,,",
        "c-8,too,few",
        "c-9,,Last,,,",
    )
    errors = tmp_path / "errors.csv"
    report = import_customers(path, database, now=NOW, errors_path=errors)
    assert [(each.line, each.code) for each in report.rejected] == [
        (3, "invalid-customer-id"),
        (4, "invalid-email"),
        (5, "invalid-birthday"),
        (6, "invalid-time"),
        (7, "invalid-time"),
        (8, "duplicate-customer"),
        (9, "invalid-attribute"),
        (10, "invalid-name"),
        (11, "unreadable-row"),
    ]
    assert figures(report) == (11, 2, 0, 0, 9)
    assert profile(database, "c-1")["name"] == "Ada"
    # Once corrected, the errors file is imported as it is.
    corrected = errors.read_text().replace("nobody", "who@example.com")
    again = import_customers(write(*corrected.splitlines()), database, now=NOW)
    assert (again.created, profile(database, "c-2")["email"]) == (1, "who@example.com")


def test_an_old_file_brings_nobody_back(database: Database, write: Any) -> None:
    path = write("customer_id,name", "c-1,Ada", "c-2,Ben")
    import_customers(path, database, now=NOW)
    erase(database, Engine(database), "c-1", "admin:1", NOW)
    report = import_customers(path, database, now=NOW)
    assert [each.code for each in report.rejected] == ["profile-erased"]
    assert profile(database, "c-1")["name"] is None
    assert profile(database, "c-2")["name"] == "Ben"


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("id,name", "no column customer_id"),
        (",".join(["customer_id", *(f"a{number}" for number in range(51))]), "more than 50"),
        (f"customer_id,{'x' * 65}", "longer than 64"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_whole(
    database: Database, write: Any, header: str, said: str
) -> None:
    with pytest.raises(SetupError, match=said):
        import_customers(write(header), database, now=NOW)


def test_whoever_is_imported_is_a_customer(database: Database, write: Any) -> None:
    with database.engine.connect() as conn:
        known = "SELECT customer_id, member_since, balance FROM accounts ORDER BY 1"
        import_customers(write("customer_id,joined_at", "c-1,2025-03-01T00:00Z", "c-2,"), database, now=NOW)
        assert [tuple(row) for row in conn.execute(text(known))] == [
            ("c-1", datetime(2025, 3, 1, tzinfo=UTC), 0),
            ("c-2", None, 0),
        ]
        import_customers(write("customer_id,joined_at", "c-2,2024-03-01T00:00Z"), database, now=NOW)
        conn.rollback()
        assert [row.member_since and row.member_since.year for row in conn.execute(text(known))] == [
            2025,
            2024,
        ]
    with database.engine.connect() as conn:
        assert verify(conn).breaks == []


def test_more_than_a_chunk_is_imported(database: Database, write: Any) -> None:
    path = write("customer_id,name", *(f"c-{number},Name {number}" for number in range(2_500)))
    assert figures(import_customers(path, database, now=NOW)) == (2_500, 2_500, 0, 0, 0)
