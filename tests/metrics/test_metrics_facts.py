import csv
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from facts_model import Model, stored_months, stored_purchases, stored_stats
from metric_database import (
    ACTOR,
    NOW,
    Purchased,
    answered,
    commands_of,
    load_shop,
    rows,
    submit,
    tag,
)
from metric_shops import REAL_SHOP
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from rewards.core.database import Database
from rewards.core.errors import CustomerNotFound, IdentityLoop
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.facts.comparing import compare
from rewards.facts.identities import read_identity, set_identity
from rewards.facts.refresh import rebuild, refresh
from rewards.facts.state import hold_runs, mark_changed, read_state, set_history_start
from rewards.importing.running import import_orders
from rewards.jobs import run_job
from rewards.profiles.erasing import erase
from rewards.profiles.exporting import export_customer
from rewards.program.surveys import SurveyDefinition
from rewards.program.versions import load_history, publish, starter_program

TABLES = ("purchases", "survey_answers", "customer_stats", "customer_months")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def everything(database: Database) -> Any:
    with database.engine.connect() as connection:
        return {table: sorted(map(repr, rows(connection, f"SELECT * FROM {table}"))) for table in TABLES}


def generation(database: Database) -> int:
    with database.engine.connect() as connection:
        state = read_state(connection)
        assert state is not None
        return state.generation


def differences(database: Database) -> list[str]:
    with database.engine.connect() as connection:
        found = compare(connection)
        assert found.differing == len(found.differences)
        return [each.detail for each in found.differences]


def merge(database: Database, one: str, other: str | None) -> None:
    with database.engine.begin() as connection:
        set_identity(connection, one, other, actor=ACTOR, now=NOW)


@pytest.mark.parametrize(
    ("seed", "zone"),
    [
        (1, "UTC"),
        (2, "Europe/London"),
        (3, "Pacific/Auckland"),
        (4, "America/Los_Angeles"),
        (5, "Asia/Kathmandu"),
    ],
)
def test_whatever_a_shop_does_the_facts_follow(database: Database, seed: int, zone: str) -> None:
    load_shop(database, zone=zone)
    shop = Model(database, zone, seed)
    for steps in (40, 1, 7, 60, 3, 100):
        shop.live(steps)
        done = refresh(database, NOW)
        assert not done.rebuilt
        with database.engine.connect() as connection:
            shop.check(connection)
    assert differences(database) == []
    before = everything(database)
    again = rebuild(database, NOW)
    assert (again.rebuilt, again.rows) == (True, 0)
    assert everything(database) == before
    with database.engine.begin() as connection:
        for table in (*TABLES, "rollup_state"):
            connection.execute(text(f"DELETE FROM {table}"))
    assert refresh(database, NOW).rebuilt
    with database.engine.connect() as connection:
        shop.check(connection)


def test_plain_sql_says_the_same_of_the_ledger(database: Database) -> None:
    """Other SQL, straight from the ledger: no other table of facts, and each figure by itself."""
    load_shop(database, zone="America/New_York")
    Model(database, "America/New_York", 6).live(250)
    refresh(database, NOW)
    orders = """
        SELECT a.customer_id AS who, a.occurred_at AS at,
               (a.occurred_at AT TIME ZONE 'America/New_York')::date AS day,
               (a.body->>'total_minor')::numeric AS total,
               (a.body->>'total_minor')::numeric - coalesce(a.body->>'points_minor', '0')::numeric AS paid,
               (SELECT coalesce(sum(r.amount_minor), 0) FROM reversals r
                WHERE r.customer_id = a.customer_id AND r.order_id = a.body->>'order_id') AS back
        FROM activities a WHERE a.body->>'type' = 'purchase'"""
    person = "coalesce((SELECT same_as FROM identities i WHERE i.customer_id = o.who), o.who)"
    with database.engine.connect() as connection:
        expected = rows(
            connection,
            f"""SELECT {person}, count(*), count(DISTINCT day), min(at), max(day), sum(paid)::bigint,
                       sum(floor(back * paid / total))::bigint
                FROM ({orders}) AS o WHERE paid > 0 GROUP BY 1 ORDER BY 1""",
        )
        stored = rows(
            connection,
            """SELECT customer_id, orders, purchase_days, first_at, last_day, revenue_minor, refunded_minor
               FROM customer_stats WHERE orders > 0 ORDER BY 1""",
        )
    assert stored == expected
    assert len(stored) > 10


def test_nothing_new_changes_nothing(database: Database) -> None:
    load_shop(database, [Purchased("c-1", "1", at("2026-05-01T10:00"), 1_000)])
    before, first = everything(database), generation(database)
    assert first == 1
    done = refresh(database, NOW + timedelta(minutes=1))
    assert (done.customers, done.generation, done.rebuilt, done.rows) == (0, 1, False, 0)
    assert everything(database) == before
    # A command that changes no purchase may still change what is owed, so it counts as news.
    submit(database, commands_of([Purchased("c-1", "2", at("2026-05-01T10:00"), 0)]))
    assert refresh(database, NOW).generation == 2


def test_units_keep_their_numbers(database: Database) -> None:
    load_shop(
        database,
        [Purchased(f"c-{number}", f"{number}", at("2026-05-01T10:00"), 1_000) for number in range(4)],
    )

    def numbers() -> dict[str, int]:
        with database.engine.connect() as connection:
            return dict(rows(connection, "SELECT customer_id, unit_no FROM customer_stats"))  # type: ignore[arg-type]

    before = numbers()
    submit(
        database, commands_of([Purchased("c-0", "x", at("2026-06-01T10:00"), 5), Purchased("a", "y", NOW, 5)])
    )
    refresh(database, NOW)
    after = numbers()
    assert {name: after[name] for name in before} == before
    rebuild(database, NOW)
    assert numbers() == after
    merge(database, "c-1", "c-2")
    refresh(database, NOW)
    assert numbers() == {name: number for name, number in after.items() if name != "c-1"}


def test_identities_are_one_level_and_can_be_parted(database: Database) -> None:
    load_shop(
        database,
        [
            Purchased(f"c-{number}", f"{number}", at(f"2026-05-0{number}T10:00"), number)
            for number in range(1, 6)
        ],
    )

    def persons() -> dict[str, int]:
        refresh(database, NOW)
        assert differences(database) == []
        with database.engine.connect() as connection:
            return dict(rows(connection, "SELECT customer_id, revenue_minor FROM customer_stats"))  # type: ignore[arg-type]

    merge(database, "c-2", "c-1")
    merge(database, "c-3", "c-2")  # who is c-1
    assert persons() == {"c-1": 6, "c-4": 4, "c-5": 5}
    merge(database, "c-1", "c-5")  # and takes the others along
    assert persons() == {"c-4": 4, "c-5": 11}
    with database.engine.connect() as connection:
        assert read_identity(connection, "c-3") == "c-5"
        assert read_identity(connection, "c-4") is None
    merge(database, "c-1", None)
    assert persons() == {"c-1": 1, "c-4": 4, "c-5": 10}
    merge(database, "c-2", "c-4")
    assert persons() == {"c-1": 1, "c-4": 6, "c-5": 8}
    with pytest.raises(IdentityLoop, match="cannot be the same as itself"):
        merge(database, "c-4", "c-2")
    with pytest.raises(IdentityLoop):
        merge(database, "c-4", "c-4")
    with pytest.raises(CustomerNotFound, match="no customer 'nobody'"):
        merge(database, "c-4", "nobody")
    first = generation(database)
    merge(database, "c-2", "c-4")  # as it is
    refresh(database, NOW)
    assert generation(database) == first


def test_a_merge_and_an_order_by_either_of_them_at_once(database: Database) -> None:
    load_shop(
        database, [Purchased(f"c-{number}", f"{number}", at("2026-05-01T10:00"), 100) for number in (1, 2)]
    )
    merge(database, "c-2", "c-1")
    submit(database, commands_of([Purchased("c-2", "late", at("2020-01-31T23:59:59"), 7)]))
    refresh(database, NOW)
    with database.engine.connect() as connection:
        assert rows(
            connection,
            "SELECT customer_id, orders, purchase_days, revenue_minor, cohort_month::text FROM customer_stats",
        ) == [("c-1", 3, 2, 207, "2020-01-01")]
        months = (
            "SELECT month::text, cohort_month::text, orders, purchase_days FROM customer_months ORDER BY 1"
        )
        # The late order moves the whole history into another cohort.
        assert rows(connection, months) == [
            ("2020-01-01", "2020-01-01", 1, 1),
            ("2026-05-01", "2020-01-01", 2, 1),
        ]


def test_test_and_staff_accounts_are_marked_and_have_no_months(database: Database) -> None:
    load_shop(
        database, [Purchased(f"c-{number}", f"{number}", at("2026-05-01T10:00"), 100) for number in range(3)]
    )
    tag(database, "c-1", ["vip", "test"])

    def excluded() -> tuple[list[Any], int]:
        refresh(database, NOW)
        with database.engine.connect() as connection:
            who = rows(connection, "SELECT customer_id FROM customer_stats WHERE excluded ORDER BY 1")
            months = rows(connection, "SELECT count(*) FROM customer_months")
            return [each for (each,) in who], months[0][0]

    assert excluded() == (["c-1"], 2)
    tag(database, "c-1", ["vip"])  # without a key, so no command tells of it
    assert excluded() == ([], 3)
    tag(database, "c-1", ["test"])
    assert excluded() == (["c-1"], 2)
    merge(database, "c-1", "c-0")  # one of a person's accounts is enough
    assert excluded() == (["c-0"], 1)
    merge(database, "c-1", None)
    tag(database, "c-1", ["tests"])
    assert excluded() == ([], 3)


def test_a_new_time_zone_or_currency_has_all_worked_out_anew(database: Database) -> None:
    load_shop(database, [Purchased("c-1", "1", at("2026-05-31T23:30"), 100)], zone="UTC")

    def day() -> tuple[Any, ...]:
        with database.engine.connect() as connection:
            return rows(connection, "SELECT day::text, status FROM purchases")[0]

    assert day() == ("2026-05-31", "purchase")
    with database.engine.begin() as connection:
        publish(connection, starter_program("GBP", "Asia/Tokyo"), effective_from=NOW, now=NOW, actor=ACTOR)
    assert refresh(database, NOW - timedelta(days=1)).rebuilt is False  # not in force yet
    assert refresh(database, NOW).rebuilt
    assert day() == ("2026-06-01", "purchase")
    later = NOW + timedelta(days=1)
    with database.engine.begin() as connection:
        publish(connection, starter_program("EUR", "Asia/Tokyo"), effective_from=later, now=NOW, actor=ACTOR)
    refresh(database, later)
    assert day() == ("2026-06-01", "other-currency")
    assert differences(database) == []


def test_every_time_zone_that_a_program_may_name_is_known_to_the_server(connection: Connection) -> None:
    from rewards.program.document import _zone_names

    known = {name for (name,) in rows(connection, "SELECT name FROM pg_timezone_names")}
    instant = at("2026-07-01T12:00")
    unknown = []
    for name in sorted(_zone_names() - known):
        try:
            with connection.begin_nested():
                connection.execute(
                    text("SELECT CAST(:at AS timestamptz) AT TIME ZONE :zone"), {"at": instant, "zone": name}
                )
        except DBAPIError:
            unknown.append(name)
    assert unknown == []


def test_another_database_has_all_worked_out_anew(database: Database) -> None:
    """What stands in a copy or a restored backup was worked out where transactions had other numbers."""
    load_shop(database, [Purchased("c-1", "1", at("2026-05-01T10:00"), 100)])
    for change in ("database_oid = database_oid + 1", "horizon = horizon + 1000000"):
        with database.engine.begin() as connection:
            connection.execute(text(f"UPDATE rollup_state SET {change}"))
            connection.execute(text("DELETE FROM purchases"))
        done = refresh(database, NOW)
        assert (done.rebuilt, done.rows) == (True, 1)
        assert not refresh(database, NOW).rebuilt
    # Commands of the other cluster, whose numbers this one has not reached yet, are no news for ever.
    submit(database, commands_of([Purchased("c-1", "2", at("2026-05-02T10:00"), 100)]))
    with database.engine.begin() as connection:
        connection.execute(text("GRANT UPDATE ON commands TO CURRENT_USER"))
        connection.execute(text("ALTER TABLE commands DISABLE TRIGGER USER"))
        connection.execute(text("UPDATE commands SET xact = xact + 1000000"))
    rebuild(database, NOW)
    assert refresh(database, NOW).customers == 0


def test_what_was_changed_by_hand_is_found_and_put_right(database: Database) -> None:
    load_shop(
        database,
        [
            Purchased("c-1", "1", at("2026-05-01T10:00"), 100),
            Purchased("c-1", "2", at("2026-06-01T10:00"), 100),
            Purchased("c-2", "3", at("2026-05-01T10:00"), 100),
        ],
    )
    right = everything(database)
    assert differences(database) == []
    for change, said in (
        (
            "UPDATE purchases SET amount_minor = 99 WHERE order_id = '1'",
            ["amount_minor is 99, the ledger makes it 100"],
        ),
        ("DELETE FROM purchases WHERE order_id = '3'", ["has no row (c-2, 3)"]),
        (
            """INSERT INTO purchases SELECT customer_id, 'x', unit_no, ordered_at, day, 5, 0, 'GBP', 'purchase'
               FROM purchases WHERE order_id = '1'""",
            ["has a row (c-1, x) that the ledger does not make"],
        ),
        ("UPDATE customer_stats SET purchase_days = 9 WHERE customer_id = 'c-2'", ["purchase_days is 9"]),
        (
            "UPDATE customer_months SET cohort_month = '2020-01-01' WHERE month = '2026-06-01'",
            ["cohort_month is"],
        ),
        (
            "INSERT INTO customer_months VALUES (77, '2026-01-01', '2026-01-01', 1, 1, 1, 1)",
            ["has a row (77"],
        ),
        (
            "INSERT INTO survey_answers VALUES ('c-1', 'nps', 'activity', now(), '{}')",
            ["survey_answers has a row (c-1, nps, activity)"],
        ),
        ("INSERT INTO customer_stats (customer_id) VALUES ('ghost')", ["has a row (ghost)"]),
        ("DELETE FROM customer_months WHERE month = '2026-06-01'", ["has no row"]),
    ):
        with database.engine.begin() as connection:
            connection.execute(text(change))
        found = differences(database)
        for each in said:
            assert any(each in detail for detail in found), (change, found)
        before = generation(database)
        assert rebuild(database, NOW).rows >= 1
        assert generation(database) == before + 1
        assert everything(database) == right, change
        assert differences(database) == []
    with database.engine.begin() as connection:
        connection.execute(text("DELETE FROM customer_stats WHERE customer_id = 'c-2'"))
    assert any("no row of the customer" in each for each in differences(database))
    rebuild(database, NOW)
    assert differences(database) == []


def test_a_shop_at_work_is_not_reported(database: Database) -> None:
    load_shop(database, [Purchased("c-1", "1", at("2026-05-01T10:00"), 100)])
    submit(database, commands_of([Purchased("c-1", "2", NOW, 1), Purchased("c-9", "3", NOW, 1)]))
    merge(database, "c-9", "c-1")
    assert differences(database) == []
    refresh(database, NOW)
    assert differences(database) == []


def test_answers_follow_and_imported_ones_are_left_alone(database: Database) -> None:
    document = starter_program("GBP", "UTC").model_copy(
        update={
            "surveys": (
                SurveyDefinition.model_validate(
                    {
                        "id": "nps",
                        "title": "How are we?",
                        "questions": ({"id": "recommend", "type": "nps", "text": "How likely?"},),
                    }
                ),
            )
        }
    )
    with database.engine.begin() as connection:
        publish(connection, document, effective_from=at("1990-01-01T00:00"), now=NOW, actor=ACTOR)
        connection.execute(
            text("INSERT INTO survey_answers VALUES ('c-1', 'nps', 'import', :at, '{\"recommend\": 1}')"),
            {"at": at("2025-01-01T00:00")},
        )
    submit(database, [answered("c-1", "nps", at("2026-05-01T10:00"), {"recommend": 9})])
    refresh(database, NOW)
    expected = [
        ("c-1", "nps", "activity", at("2026-05-01T10:00"), {"recommend": 9}),
        ("c-1", "nps", "import", at("2025-01-01T00:00"), {"recommend": 1}),
    ]
    query = "SELECT customer_id, survey_id, source, answered_at, answers FROM survey_answers ORDER BY source"
    with database.engine.connect() as connection:
        assert rows(connection, query) == expected
    assert rebuild(database, NOW).rows == 0
    assert differences(database) == []


def test_a_transaction_that_commits_late_is_not_missed(database: Database) -> None:
    """It began before others that were long in the facts, and a run has looked in between."""
    load_shop(
        database, [Purchased(f"c-{number}", f"{number}", at("2026-05-01T10:00"), 100) for number in (1, 9)]
    )
    engine = Engine(database)
    late = [
        Submission(command, key, ACTOR)
        for command, key in commands_of(
            [Purchased("c-1", "late-1", NOW, 5), Purchased("c-9", "late-9", NOW, 5)]
        )
    ]
    with database.engine.connect() as blocker:
        transaction = blocker.begin()
        blocker.execute(text("SELECT FROM accounts WHERE customer_id = 'c-9' FOR UPDATE"))
        blocker.execute(text("SELECT pg_current_xact_id()"))
        thread = threading.Thread(target=engine.execute, args=(late, NOW))
        thread.start()
        _wait_until_blocked(database)
        for number in range(3):
            submit(database, commands_of([Purchased("c-5", f"quick-{number}", NOW, 5)]))
            assert refresh(database, NOW).customers == 1
        assert refresh(database, NOW).customers == 0
        transaction.rollback()
        thread.join()
    assert refresh(database, NOW).customers == 2
    with database.engine.connect() as connection:
        assert len(stored_purchases(connection)) == 7
    assert differences(database) == []
    assert refresh(database, NOW).customers == 0


def _wait_until_blocked(database: Database) -> None:
    with database.engine.connect() as plain:
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        for _ in range(200):
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            if rows(connection, waiting)[0][0]:
                return
            time.sleep(0.02)
    raise AssertionError("nothing waits")


def test_a_run_that_is_killed_has_changed_nothing(database: Database) -> None:
    load_shop(database, [Purchased("c-1", "1", at("2026-05-01T10:00"), 100)])
    before = everything(database)
    submit(database, commands_of([Purchased("c-1", "2", NOW, 100), Purchased("c-2", "3", NOW, 100)]))
    for stage in ("customers", "purchases", "months", "exposures"):

        def kill(told: str, done: int, total: int | None, stage: str = stage) -> None:
            if told == stage:
                with psycopg.connect(database.libpq_url, autocommit=True) as other:
                    other.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_class ON pg_class.oid = relation"
                        " WHERE relname = 'rollup_state' AND mode = 'ExclusiveLock' AND granted"
                    )

        with pytest.raises(OperationalError):
            refresh(database, NOW, kill)
        assert everything(database) == before
    assert refresh(database, NOW).customers == 2
    with database.engine.connect() as connection:
        assert len(stored_purchases(connection)) == 3
    assert differences(database) == []


def test_two_runs_at_once_wait_for_each_other(database: Database) -> None:
    load_shop(database)
    submit(database, commands_of([Purchased("c-1", "1", NOW, 100)]))
    outcomes = []
    began = threading.Barrier(4)

    def run() -> None:
        began.wait()
        outcomes.append(refresh(database, NOW).customers)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [0, 0, 0, 1]


@pytest.mark.slow
def test_writers_and_runs_together(database: Database) -> None:
    load_shop(database)
    ends_at = time.monotonic() + 4
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            made = 0
            while time.monotonic() < ends_at:
                # Batches of several customers that others write to, too, so that they wait and commit out of order.
                orders = [
                    Purchased(
                        f"c-{(made * 7 + each * number) % 40}", f"{number}-{made}-{each}", NOW, 100 + each
                    )
                    for each in range(5)
                ]
                submit(database, commands_of(orders))
                made += 1
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    runs = 0
    while any(thread.is_alive() for thread in threads):
        assert refresh(database, NOW).rebuilt is False
        runs += 1
        if runs % 5 == 0:
            assert differences(database) == []
    assert not failures
    refresh(database, NOW)
    assert runs > 3
    assert differences(database) == []
    assert rebuild(database, NOW).rows == 0
    with database.engine.connect() as connection:
        assert rows(connection, "SELECT count(*) FROM purchases") == rows(
            connection, "SELECT count(*) FROM activities"
        )


def test_the_job_brings_them_up(database: Database) -> None:
    load_shop(database)
    submit(database, commands_of([Purchased("c-1", "1", NOW, 100)]))
    outcome = run_job("rollups", database, NOW)
    assert (outcome.status, outcome.count) == ("done", 1)
    assert outcome.detail.startswith("1 customers brought up, generation 2")


def test_facts_that_are_changed_otherwise_say_so(database: Database) -> None:
    with database.engine.begin() as connection:
        mark_changed(connection)
        assert read_state(connection) is None
    assert refresh(database, NOW).generation == 2
    with database.engine.begin() as connection:
        set_history_start(connection, at("2024-01-01T00:00").date())
    with database.engine.connect() as connection:
        state = read_state(connection)
        assert state is not None
        assert (state.generation, str(state.history_start)) == (3, "2024-01-01")
    refresh(database, NOW)
    rebuild(database, NOW)
    with database.engine.begin() as connection:
        set_history_start(connection, at("2024-01-01T00:00").date())
    assert generation(database) == 3


def test_the_models_queries_see_something(database: Database) -> None:
    """So that the comparison above compares."""
    load_shop(database)
    shop = Model(database, "UTC", 1)
    shop.live(200)
    refresh(database, NOW)
    with database.engine.connect() as connection:
        assert {each[-1] for each in stored_purchases(connection)} == {"purchase", "zero", "points-only"}
        assert any(each[-1] for each in stored_stats(connection).values())
        assert len(stored_months(connection)) > 20
    assert shop.same_as


def test_what_is_erased_goes_from_the_facts_too(database: Database) -> None:
    document = starter_program("GBP", "UTC").model_copy(
        update={
            "surveys": (
                SurveyDefinition.model_validate(
                    {
                        "id": "why",
                        "title": "Why?",
                        "questions": (
                            {"id": "recommend", "type": "nps", "text": "How likely?"},
                            {"id": "words", "type": "text", "text": "Why?"},
                        ),
                    }
                ),
            )
        }
    )
    with database.engine.begin() as connection:
        publish(connection, document, effective_from=at("1990-01-01T00:00"), now=NOW, actor=ACTOR)
    submit(database, [answered("c-1", "why", at("2026-05-01T10:00"), {"recommend": 9, "words": "I am Ada"})])
    refresh(database, NOW)
    with database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO survey_answers VALUES ('c-1', 'old', 'import', :at, '{\"words\": \"Ada\", \"grade\": 3}')"
            ),
            {"at": at("2025-01-01T00:00")},
        )
        exported = export_customer(connection, load_history(connection), "c-1", NOW)
        assert exported is not None
        assert [each["answers"]["words"] for each in exported["survey_answers"]] == ["I am Ada", "Ada"]
        assert exported["same_person_as"] is None
    erase(database, Engine(database), "c-1", ACTOR, NOW)
    query = "SELECT survey_id, answers FROM survey_answers ORDER BY survey_id"
    left = [("old", {"words": "*", "grade": 3}), ("why", {"recommend": 9, "words": "*"})]
    with database.engine.connect() as connection:
        assert rows(connection, query) == left
        # What a run that was at work stores of the words after all, the next one takes away.
    with database.engine.begin() as connection:
        connection.execute(
            text("UPDATE survey_answers SET answers = '{\"words\": \"Ada\"}' WHERE survey_id = 'why'")
        )
    assert refresh(database, NOW).customers == 1
    with database.engine.connect() as connection:
        assert rows(connection, query) == left
    assert differences(database) == []


def test_an_erasure_while_a_run_is_at_work(database: Database) -> None:
    """The run finds that the row it would change was changed, and begins again."""
    load_shop(database, [Purchased("c-1", "1", at("2026-05-01T10:00"), 100)])
    submit(database, commands_of([Purchased("c-1", "2", NOW, 1)]))
    told = []

    def change(stage: str, done: int, total: int | None) -> None:
        told.append(stage)
        if told == ["customers"]:
            with database.engine.begin() as connection:
                connection.execute(text("UPDATE customer_stats SET revenue_minor = 0"))

    assert refresh(database, NOW, change).customers == 1
    assert told.count("exposures") == 1
    assert told.count("customers") > 2
    assert differences(database) == []


GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "facts.md").read_text(encoding="utf-8")


def test_the_guides_example_is_so(database: Database) -> None:
    def minor(text: str) -> int:
        return round(float(text) * 100) if text else 0

    lines = [
        [cell.strip(" `") for cell in line.split("|")[1:-1]]
        for line in GUIDE.splitlines()
        if line.startswith("| ")
    ]
    orders = [line for line in lines if len(line) == 5 and line[0].isdigit()]
    assert len(orders) == 3
    load_shop(
        database,
        [
            Purchased(customer, order, at(when), minor(paid), refunded=minor(refunded))
            for order, customer, when, paid, refunded in orders
        ],
    )

    def told(state: str) -> dict[str, Any]:
        expected = {
            line[0].split("`")[0]: (int(line[1]), int(line[2]), minor(line[3]), minor(line[4]), line[5])
            for line in lines
            if line[0].endswith(state)
        }
        assert expected
        return expected

    def stored() -> dict[str, Any]:
        query = """SELECT customer_id, orders, purchase_days, revenue_minor, refunded_minor, first_day::text
                   FROM customer_stats"""
        with database.engine.connect() as connection:
            return {each[0]: each[1:] for each in rows(connection, query)}

    assert stored() == told(", before")
    merge(database, "guest-17", "c-1")
    refresh(database, NOW)
    assert stored() == told(", after")
    # And the figures of the list above it.
    submit(database, commands_of([Purchased("c-5", "p", NOW, 4_999, points=2_000, refunded=2_500)]))
    refresh(database, NOW)
    assert stored()["c-5"][2:4] == (2_999, 1_499)
    query = GUIDE.split("```sql")[1].split("```")[0]
    with database.engine.connect() as connection:
        assert [(str(month), buyers) for _, month, buyers, _ in rows(connection, query)] == [
            ("2026-05-01", 1),
            ("2026-06-01", 1),
            ("2026-11-01", 1),
        ]


@pytest.mark.slow
def test_the_real_shop(database: Database, tmp_path: Path) -> None:
    """Imported as a shop would, beside what stands in its file."""
    if not REAL_SHOP.exists():
        pytest.skip("the real shop's orders are not in this checkout's neighbourhood")
    load_shop(database)
    with REAL_SHOP.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    report = import_orders(REAL_SHOP, database, now=NOW, award=False, processes=1)
    assert refresh(database, NOW).rebuilt is False
    expected: dict[str, list[Any]] = {}
    rejected = {rejection.line for rejection in report.rejected}
    for number, line in enumerate(lines, 2):
        amount = round(float(line["amount"]) * 100)
        if amount > 0 and line["is_return"] in ("0", "") and number not in rejected:
            expected.setdefault(line["customer_id"], []).append((line["ordered_at"][:10], amount))
    with database.engine.connect() as connection:
        stored = {
            each[0]: each[1:]
            for each in rows(
                connection,
                """SELECT customer_id, orders, purchase_days, revenue_minor, first_day::text, last_day::text
               FROM customer_stats WHERE orders > 0""",
            )
        }
        assert stored == {
            customer: (
                len(bought),
                len({day for day, _ in bought}),
                sum(amount for _, amount in bought),
                min(day for day, _ in bought),
                max(day for day, _ in bought),
            )
            for customer, bought in expected.items()
        }
        assert len(stored) > 4_000
        ((refunded, reversed_),) = rows(
            connection,
            "SELECT (SELECT sum(refunded_minor) FROM customer_stats)::bigint, (SELECT sum(amount_minor) FROM reversals)::bigint",
        )
        assert refunded == reversed_ > 0
    assert differences(database) == []


def test_runs_are_held_off_while_facts_are_imported(database: Database) -> None:
    load_shop(database, [Purchased("c-1", "1", at("2026-05-01T10:00"), 100)])
    done = []
    with database.engine.connect() as connection:
        transaction = connection.begin()
        hold_runs(connection)
        with database.engine.begin() as other:
            hold_runs(other)  # who imports does not wait for who imports
        thread = threading.Thread(target=lambda: done.append(refresh(database, NOW)))
        thread.start()
        _wait_until_blocked(database)
        mark_changed(connection)
        transaction.commit()
        thread.join()
    assert [(each.customers, each.generation) for each in done] == [(0, 2)]
