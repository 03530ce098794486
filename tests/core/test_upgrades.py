"""A ledger that was filled under an older schema is whole under today's."""

from datetime import UTC, datetime, timedelta
from typing import Any

from alembic import command
from sqlalchemy import inspect, text

from rewards.core.database import Database, _alembic_config, connect_database, migrate
from rewards.core.settings import Settings
from rewards.decide import Submission
from rewards.decide.commands import Adjust, Award, Record, Redeem, Reverse
from rewards.engine import Engine
from rewards.ledger.verification import verify

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
#: Tables that the first ledgers had.
TABLES = (
    "program_versions",
    "accounts",
    "commands",
    "activities",
    "entries",
    "lots",
    "consumptions",
    "redemptions",
    "reversals",
)


def order(order_id: str, **more: Any) -> dict[str, Any]:
    items = [{"line_id": "a", "amount_minor": 600}, {"line_id": "b", "amount_minor": 400}]
    given = {"order_id": order_id, "total_minor": 1_000, "currency": "USD", "items": items}
    return {"type": "purchase", **given, **more}


def trade(database: Database) -> None:
    """Customers who bought, had something refunded, or did anything else, at various times."""
    commands: list[Any] = [
        Award.model_validate(
            {"customer_id": "ann", "activity": order("1"), "occurred_at": NOW - timedelta(days=9)}
        ),
        Award.model_validate(
            {"customer_id": "ann", "activity": order("2"), "occurred_at": NOW - timedelta(days=30)}
        ),
        Award.model_validate({"customer_id": "ann", "activity": {"type": "signup"}}),
        Reverse(customer_id="ann", order_id="1", refund_id="r", amount_minor=300),
        Reverse(customer_id="ann", order_id="2", refund_id="r", full=True),
        Record.model_validate({"customer_id": "bob", "activity": order("1", total_minor=0)}),
        Reverse(customer_id="bob", order_id="1", refund_id="r", full=True),
        Award.model_validate({"customer_id": "cy", "activity": {"type": "custom", "name": "app"}}),
        Adjust(customer_id="dan", points=50, reason="hello"),
        Redeem(customer_id="dan", points=20, order_id="9"),
        Reverse(customer_id="dan", order_id="9", refund_id="r", full=True),
        Award.model_validate({"customer_id": "dan", "activity": order("9", total_minor=700)}),
        Reverse.model_validate(
            {"customer_id": "dan", "order_id": "9", "refund_id": "s", "items": [{"line_id": "b"}]}
        ),
    ]
    engine = Engine(database)
    for number, each in enumerate(commands):
        answer = engine.execute([Submission(each, f"k{number}", "test")], NOW)[0]
        assert answer.status == 201, answer.body


def copy(source: Database, target: Database) -> None:
    """Copy all rows, as far as the target has columns for them."""
    inspected = inspect(target.engine)
    with source.engine.connect() as read, target.engine.begin() as write:
        for table in TABLES:
            columns = ", ".join(column["name"] for column in inspected.get_columns(table))
            rows = read.execute(text(f"SELECT CAST(row_to_json(t) AS text) FROM {table} AS t")).scalars()
            fill = text(
                f"INSERT INTO {table} ({columns}) "
                f"SELECT {columns} FROM json_populate_record(CAST(NULL AS {table}), CAST(:row AS json))"
            )
            for row in rows:
                write.execute(fill, {"row": row})


def facts(database: Database) -> list[Any]:
    query = """SELECT customer_id, purchases, spent_minor, last_purchase_at, joined_at, tags
               FROM accounts ORDER BY customer_id"""
    with database.engine.connect() as conn:
        return [tuple(row) for row in conn.execute(text(query))]


def test_a_ledger_from_before_the_rules_learns_its_customers_facts(
    database: Database, empty_settings: Settings
) -> None:
    trade(database)
    old = connect_database(empty_settings)
    with old.engine.begin() as conn:
        command.upgrade(_alembic_config(conn), "0002")
    copy(database, old)
    migrate(old, NOW)
    assert facts(old) == facts(database)
    with old.engine.connect() as conn:
        assert verify(conn).breaks == []
    old.dispose()
