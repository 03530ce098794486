"""Birthdays and anniversaries, by the job, on the program's clocks."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from rewards.core.database import Database
from rewards.decide.commands import Award
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.jobs import run_job
from rewards.ledger.verification import verify
from rewards.profiles.profile import Profile
from rewards.profiles.storing import put_profiles
from rewards.program.document import ProgramDocument
from rewards.program.versions import publish, starter_program

RULES = [
    {"id": "hello", "activity": "signup", "gives": {"type": "fixed", "points": 1}},
    {"id": "cake", "activity": "birthday", "gives": {"type": "fixed", "points": 50}},
    {"id": "another-year", "activity": "anniversary", "gives": {"type": "fixed", "points": 75}},
]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def offer(database: Database, rules: list[Any], effective_from: datetime, zone: str = "UTC") -> None:
    document = starter_program("USD", zone).model_dump(mode="json", exclude_defaults=True) | {"earn": rules}
    with database.engine.begin() as conn:
        publish(
            conn,
            ProgramDocument.model_validate(document),
            effective_from=effective_from,
            now=effective_from,
            actor="test",
        )


@pytest.fixture
def shop(database: Database) -> Database:
    offer(database, RULES, at("2000-01-01T00:00Z"))
    return database


def know(database: Database, **birthdays: str) -> None:
    with database.engine.begin() as conn:
        given = {
            who: {"birthday": Profile(birthday=birthday).birthday} for who, birthday in birthdays.items()
        }
        put_profiles(conn, given, at("2000-01-01T00:00Z"))


def join(database: Database, who: str, when: datetime) -> None:
    command = Award.model_validate({"customer_id": who, "occurred_at": when, "activity": {"type": "signup"}})
    assert Engine(database).execute([Submission(command, "joined", "test")], when)[0].status == 201


def run(database: Database, now: str) -> str:
    return run_job("celebrations", database, at(now)).detail


def celebrated(database: Database) -> list[tuple[str, str]]:
    with database.engine.connect() as conn:
        assert verify(conn).breaks == []
        query = (
            "SELECT customer_id, activity_key FROM activities WHERE activity_key <> 'signup' ORDER BY 1, 2"
        )
        return [(row[0], row[1]) for row in conn.execute(text(query))]


def test_on_the_day_once_whatever_the_year_of_birth(shop: Database) -> None:
    know(shop, ada="1990-05-17", ben="05-17", cleo="05-18")
    assert run(shop, "2026-05-16T23:59Z") == "0 birthdays and 0 anniversaries, 0 points"
    assert run(shop, "2026-05-17T00:00Z") == "2 birthdays and 0 anniversaries, 100 points"
    assert run(shop, "2026-05-17T13:00Z") == "0 birthdays and 0 anniversaries, 0 points"
    assert celebrated(shop) == [("ada", "birthday:2026"), ("ben", "birthday:2026")]
    run(shop, "2027-05-18T09:00Z")
    assert ("ada", "birthday:2027") in celebrated(shop)


def test_what_the_shop_sent_itself_is_not_sent_again(shop: Database) -> None:
    know(shop, ada="05-17")
    own = Award.model_validate({"customer_id": "ada", "activity": {"type": "birthday", "year": 2026}})
    Engine(shop).execute([Submission(own, "own", "test")], at("2026-05-17T08:00Z"))
    assert run(shop, "2026-05-17T09:00Z") == "0 birthdays and 0 anniversaries, 0 points"


@pytest.mark.parametrize(
    ("day", "count"), [("2026-05-17", 1), ("2026-05-24", 1), ("2026-05-25", 0), ("2026-05-16", 0)]
)
def test_what_was_missed_is_made_up_for_within_seven_days(shop: Database, day: str, count: int) -> None:
    know(shop, ada="05-17")
    assert run(shop, f"{day}T12:00Z").startswith(f"{count} birthdays")


def test_a_birthday_before_new_year_is_made_up_for_as_last_years(shop: Database) -> None:
    know(shop, ada="12-30")
    join(shop, "ada", at("2020-06-01T10:00Z"))
    run(shop, "2027-01-02T00:10Z")
    assert celebrated(shop) == [("ada", "birthday:2026")]
    run(shop, "2027-12-30T00:10Z")
    assert celebrated(shop) == [("ada", "birthday:2026"), ("ada", "birthday:2027")]


@pytest.mark.parametrize(
    ("now", "count"),
    [
        ("2027-02-27T12:00Z", 0),
        ("2027-02-28T12:00Z", 1),
        ("2028-02-28T12:00Z", 0),
        ("2028-02-29T12:00Z", 1),
    ],
)
def test_the_29th_of_february_is_the_28th_in_common_years(shop: Database, now: str, count: int) -> None:
    know(shop, ada="1992-02-29")
    join(shop, "leap", at("2024-02-29T10:00Z"))
    assert run(shop, now).startswith(f"{count} birthdays and {count} anniversaries")
    if count:
        # Not once more on the day after.
        later = at(now) + timedelta(days=1)
        assert run(shop, later.isoformat()).startswith("0 birthdays and 0 anniversaries")


def test_the_day_is_the_programs(database: Database) -> None:
    offer(database, RULES, at("2000-01-01T00:00Z"), "Pacific/Auckland")
    know(database, ada="05-17")
    # At noon of the 16th in UTC it is midnight there, in winter.
    assert run(database, "2026-05-16T11:59Z").startswith("0")
    assert run(database, "2026-05-16T12:00Z").startswith("1")
    join(database, "ben", at("2025-08-01T23:00Z"))  # the 2nd of August there
    assert run(database, "2026-08-01T11:59Z").startswith("0 birthdays and 0")
    assert run(database, "2026-08-01T12:00Z").startswith("0 birthdays and 1")


def test_an_anniversary_is_never_the_day_of_joining(shop: Database) -> None:
    join(shop, "ada", at("2025-08-01T10:00Z"))
    assert run(shop, "2025-08-01T12:00Z").startswith("0 birthdays and 0")
    assert run(shop, "2025-08-05T12:00Z").startswith("0 birthdays and 0")
    run(shop, "2026-08-01T00:00Z")
    assert celebrated(shop) == [("ada", "anniversary:2026")]


def test_nobody_has_a_birthday_before_joining(shop: Database) -> None:
    know(shop, ada="08-01", ben="08-03")
    join(shop, "ada", at("2026-08-02T10:00Z"))
    join(shop, "ben", at("2026-08-03T15:00Z"))
    run(shop, "2026-08-03T16:00Z")
    assert celebrated(shop) == [("ben", "birthday:2026")]
    with shop.engine.connect() as conn:
        when = conn.scalar(text("SELECT occurred_at FROM activities WHERE activity_key = 'birthday:2026'"))
    assert when == at("2026-08-03T15:00Z")


def test_nothing_is_sent_without_a_rule_in_force_on_the_day(database: Database) -> None:
    offer(database, RULES[:1], at("2000-01-01T00:00Z"))
    offer(database, RULES[:2], at("2026-05-16T00:00Z"))
    know(database, ada="05-15", ben="05-16")
    join(database, "cleo", at("2020-05-16T10:00Z"))
    run(database, "2026-05-17T00:00Z")
    assert celebrated(database) == [("ben", "birthday:2026")]


def test_more_than_fit_a_page_are_all_celebrated(shop: Database) -> None:
    know(shop, **{f"c{number:04}": "05-17" for number in range(2_100)})
    seen: list[int] = []
    outcome = run_job("celebrations", shop, at("2026-05-17T00:00Z"), lambda *told: seen.append(told[1]))
    assert (outcome.count, seen) == (2_100, [1_000, 2_000, 2_100])


def test_a_clock_that_springs_skips_no_day(database: Database) -> None:
    offer(database, RULES, at("2000-01-01T00:00Z"), "Europe/London")
    # The day when clocks go forward has 23 hours.
    know(database, ada="03-29")
    assert date(2026, 3, 29).weekday() == 6
    assert run(database, "2026-03-29T23:30Z").startswith("1")
