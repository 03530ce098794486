"""The hot path's statements walk indexes: none of them reads a whole table, whatever the ledger's size."""

from types import SimpleNamespace
from typing import Any

from sqlalchemy import text

from benchmarks.stored import fill
from rewards.core.database import Database
from rewards.ledger import load, write
from rewards.ledger.arrays import instant_array, int_array, text_array

_FILLINGS = (
    "INSERT INTO consumptions SELECT customer_id, seq, seq, seq, 1 FROM entries",
    """INSERT INTO redemptions SELECT customer_id, seq, CASE WHEN seq = 10 THEN 'held' ELSE 'captured' END, 5,
        CASE WHEN seq = 10 THEN 0 ELSE 5 END, 0, seq, 5, 'GBP', seq::text, 1, NULL, now(), now() FROM entries""",
    """INSERT INTO reversals SELECT customer_id, seq::text, 'r', seq, 1, '{}', '[1]', false, 1, 0, 0, now(), now()
        FROM entries""",
    "ANALYZE consumptions, redemptions, reversals",
)

CUSTOMERS = [f"cust-{number}" for number in (3, 700, 4_000)]


def _statements() -> dict[str, tuple[Any, dict[str, Any]]]:
    customers, none = text_array(CUSTOMERS), "{}"
    pairs = {"customers": customers, "names": text_array(["k1", "k2", "k3"])}
    numbers = {"customers": customers, "numbers": int_array([1, 2, 3])}
    orders = pairs | {"names": text_array(["purchase:1"] * 3), "all_orders": customers}
    every = {
        "with_lots": customers,
        "order_customers": customers,
        "orders": text_array("123"),
        "all_orders": customers,
    }
    instants = instant_array([None] * 3)
    columns = ("seq", "balance", "available", "pending", "held", "deficit")
    accounts = {"customers": customers, "as_of": "2026-11-01", "digest": text_array(["ab" * 32] * 3)}
    accounts |= {name: int_array([1, 2, 3]) for name in columns}
    accounts |= dict.fromkeys(("next_change_at", "last_activity_at", "inactive_at"), instants)
    lots = {"customers": customers, "lot_seq": "{1,2,3}", "remaining": "{1,2,3}", "expired": "{0,0,0}"}
    return {
        "lock": (load._LOCK_ACCOUNTS, {"customers": customers}),
        "keys": (load._KEYS, pairs),
        "known": (load._KNOWN, pairs),
        "activities": (load._ACTIVITIES, orders),
        "reversals": (load._REVERSALS, orders),
        "redemptions": (load._REDEMPTIONS, numbers | every),
        "consumed": (load._CONSUMED, {"customers": customers, "debits": "{1,2,3}"}),
        "lots": (load._LOTS, numbers | {"with_lots": customers}),
        "lots of nobody": (load._LOTS, {"customers": none, "numbers": none, "with_lots": customers}),
        "update accounts": (write._UPDATE_ACCOUNTS, accounts),
        "update lots": (write._UPDATE_LOTS, lots),
    }


def test_no_statement_of_the_hot_path_reads_a_whole_table(database: Database) -> None:
    fill(SimpleNamespace(database=database), 60_000)  # type: ignore[arg-type]
    whole = {}
    with database.engine.begin() as conn:
        for filling in _FILLINGS:
            conn.execute(text(filling))
        for name, (statement, parameters) in _statements().items():
            plan = conn.execute(text(f"EXPLAIN {statement.text}"), parameters).scalars().all()
            scans = [line.strip() for line in plan if "Seq Scan" in line]
            if scans:
                whole[name] = scans
    assert whole == {}
