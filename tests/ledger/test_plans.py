"""The hot path's statements walk indexes: none of them reads a whole table, whatever the ledger's size."""

from types import SimpleNamespace
from typing import Any

from sqlalchemy import text

from benchmarks.stored import fill
from rewards.core.database import Database
from rewards.core.wire import BigintArray, ByteaArray, InstantArray, TextArray
from rewards.ledger import load, referrals, write

_FILLINGS = (
    "INSERT INTO consumptions SELECT customer_id, seq, seq, seq, 1 FROM entries",
    """INSERT INTO redemptions SELECT customer_id, seq, CASE WHEN seq = 10 THEN 'held' ELSE 'captured' END, 5,
        CASE WHEN seq = 10 THEN 0 ELSE 5 END, 0, seq, 5, 'GBP', seq::text, 1, NULL, now(), now() FROM entries""",
    """INSERT INTO reversals SELECT customer_id, seq::text, 'r', seq, 1, '{}', '[1]', false, 1, 0, 0, now(), now()
        FROM entries""",
    "INSERT INTO counts SELECT customer_id, 'rule:' || seq, 'life', 1, 1 FROM entries",
    """INSERT INTO referrals (customer_id, referrer_id, code, status, reasons, fingerprints, attributed_at, closes_at, due)
        SELECT customer_id, 'by-' || right(customer_id, 3), 'C', 'attributed', '[]', '{}', now(), now(),
            CASE WHEN customer_id LIKE '%77' THEN 'reward' END FROM accounts""",
    "INSERT INTO referral_codes SELECT 'CODE' || customer_id, customer_id, now() FROM accounts",
    "INSERT INTO fingerprints SELECT customer_id, 'device', md5(customer_id) FROM accounts",
    "INSERT INTO retractions SELECT customer_id, seq::text, seq, '[]', 0, 0, now(), now() FROM entries",
    "ANALYZE consumptions, redemptions, reversals, counts, referrals, referral_codes, fingerprints, retractions",
)

CUSTOMERS = [f"cust-{number}" for number in (3, 700, 4_000)]


def _statements() -> dict[str, tuple[Any, dict[str, Any]]]:
    customers, numbers = TextArray(CUSTOMERS), BigintArray([1, 2, 3])
    orders = {"customers": customers, "names": TextArray(["purchase:1"] * 3), "all_orders": customers}
    every = {"with_lots": customers, "order_customers": customers, "orders": TextArray("123")}
    instants = InstantArray([None] * 3)
    accounts: dict[str, Any] = {"customers": customers, "digest": ByteaArray([bytes(32)] * 3)}
    accounts |= dict.fromkeys(("seq", "balance", "available", "pending", "held", "deficit"), numbers)
    accounts |= dict.fromkeys(("purchases", "spent_minor"), numbers)
    known_since = (
        "as_of",
        "next_change_at",
        "last_activity_at",
        "inactive_at",
        "last_purchase_at",
        "joined_at",
    )
    accounts |= dict.fromkeys(known_since, instants)
    counts = {"customers": customers, "names": TextArray(["program"] * 3), "periods": TextArray(["life"] * 3)}
    lots = {"customers": customers} | dict.fromkeys(
        ("lot_seq", "remaining", "expired", "written_off"), numbers
    )
    redemptions: dict[str, Any] = {"customers": customers, "status": customers, "resolved_at": instants}
    changed = ("redemption_seq", "captured", "reinstated", "redeem_seq", "value_minor")
    redemptions |= dict.fromkeys(changed, numbers)
    return {
        "lock": (load._LOCK_ACCOUNTS, {"customers": customers}),
        "claimed": (load._CLAIMED, {"customers": customers, "keys": customers, "activities": customers}),
        "activities": (load._ACTIVITIES, orders),
        "reversals": (load._REVERSALS, orders),
        "redemptions": (load._REDEMPTIONS, {"numbers": numbers} | every | orders),
        "consumed": (load._CONSUMED, {"customers": customers, "debits": numbers}),
        "lots": (load._LOTS, {"customers": customers, "numbers": numbers, "with_lots": customers}),
        "counts": (load._COUNTS, counts),
        "add counts": (write._ADD_COUNTS, counts | {"points": numbers, "times": numbers}),
        "referrals": (referrals._OWN, {"customers": customers}),
        "owners of codes": (referrals._OWNERS, {"codes": customers}),
        "chain of referrals": (referrals._CHAIN, {"referrers": customers}),
        "uses of codes": (referrals._USES, {"referrers": customers}),
        "shared fingerprints": (
            referrals._SHARED,
            {"referrers": customers, "kinds": customers, "values": customers},
        ),
        "retractions": (referrals._RETRACTED, {"customers": customers, "names": customers}),
        "due referrals": (referrals._DUE, {"customers": customers}),
        "queue of referrals": (referrals._QUEUE, {"after": "", "most": 100}),
        "whom a customer brought": (referrals._SUMMARY, {"customer_id": CUSTOMERS[0]}),
        "update accounts": (write._UPDATE_ACCOUNTS, accounts),
        "update lots": (write._UPDATE_LOTS, lots),
        "update redemptions": (write._UPDATE_REDEMPTIONS, redemptions),
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
