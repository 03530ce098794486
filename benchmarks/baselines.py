"""What the engine is held against: the same work by hand, in tables of the same shape, on the same server.

The hand-written transaction claims a key, locks the account, inserts an entry and a lot and updates the account.
It decides nothing, explains nothing and keeps no activity: it is what the database alone could do.
"""

import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from rewards.core.database import Database
from rewards.core.embedded import binary
from rewards.core.wire import BigintArray, TextArray

_TABLES = """
CREATE SCHEMA IF NOT EXISTS byhand;
CREATE TABLE IF NOT EXISTS byhand.commands (LIKE commands INCLUDING ALL);
CREATE TABLE IF NOT EXISTS byhand.accounts (LIKE accounts INCLUDING ALL) WITH (fillfactor = 70);
CREATE TABLE IF NOT EXISTS byhand.entries (LIKE entries INCLUDING ALL);
CREATE TABLE IF NOT EXISTS byhand.lots (LIKE lots INCLUDING ALL) WITH (fillfactor = 85);
"""

_TRANSACTION = r"""
\set number random(0, :customers - 1)
\set key random(1, 9000000000000000000)
BEGIN;
INSERT INTO byhand.commands (customer_id, idempotency_key, kind, input_hash, status, answer, recorded_at)
VALUES ('cust-' || CAST(:number AS text), 'k-' || CAST(:key AS text), 'award', sha256('x'), 201, '{}', now());
SELECT seq, balance FROM byhand.accounts WHERE customer_id = 'cust-' || CAST(:number AS text) FOR UPDATE \gset
INSERT INTO byhand.entries (customer_id, seq, kind, points, balance_after, occurred_at, recorded_at, cause,
    program_version, actor, idempotency_key, digest)
VALUES ('cust-' || CAST(:number AS text), CAST(:seq AS bigint) + 1, 'award', 49, CAST(:balance AS bigint) + 49,
    now(), now(), 'purchase:' || CAST(:key AS text), 1, 'storefront',
    'k-' || CAST(:key AS text), sha256('x'));
INSERT INTO byhand.lots (customer_id, lot_seq, points, remaining, available_at, expires_at)
VALUES ('cust-' || CAST(:number AS text), CAST(:seq AS bigint) + 1, 49, 49, now(), now() + interval '12 months');
UPDATE byhand.accounts SET seq = seq + 1, balance = balance + 49, available = available + 49,
    digest = sha256(digest), as_of = now() WHERE customer_id = 'cust-' || CAST(:number AS text);
COMMIT;
"""

_STATEMENT = text("""
WITH given AS (
    SELECT * FROM unnest(:customers, :keys, :points)
        AS g (customer_id, key, points)
), locked AS (
    SELECT customer_id, seq, balance, digest FROM byhand.accounts
    WHERE customer_id = ANY(:customers) ORDER BY customer_id FOR UPDATE
), claimed AS (
    INSERT INTO byhand.commands (customer_id, idempotency_key, kind, input_hash, status, answer, recorded_at)
    SELECT customer_id, key, 'award', sha256(convert_to(key, 'UTF8')), 201, '{}', now() FROM given
    ON CONFLICT DO NOTHING RETURNING customer_id, idempotency_key AS key
), decided AS (
    SELECT customer_id, key, points, seq + 1 AS seq, balance + points AS balance,
           sha256(digest || convert_to(key, 'UTF8')) AS digest
    FROM given JOIN claimed USING (customer_id, key) JOIN locked USING (customer_id)
), entered AS (
    INSERT INTO byhand.entries (customer_id, seq, kind, points, balance_after, occurred_at, recorded_at, cause,
        program_version, actor, idempotency_key, digest)
    SELECT customer_id, seq, 'award', points, balance, now(), now(), 'purchase:' || key, 1, 'storefront', key, digest
    FROM decided
), opened AS (
    INSERT INTO byhand.lots (customer_id, lot_seq, points, remaining, available_at, expires_at)
    SELECT customer_id, seq, points, points, now(), now() + interval '12 months' FROM decided
)
UPDATE byhand.accounts AS a
SET seq = d.seq, balance = d.balance, available = a.available + d.points, digest = d.digest, as_of = now()
FROM decided AS d WHERE a.customer_id = d.customer_id""")


def prepare(database: Database, customers: int) -> None:
    """Make the tables, with so many accounts in them."""
    with database.engine.begin() as conn:
        for statement in _TABLES.split(";"):
            if statement.strip():
                conn.execute(text(statement))
        conn.execute(text("TRUNCATE byhand.accounts, byhand.commands, byhand.entries, byhand.lots"))
        conn.execute(
            text(
                "INSERT INTO byhand.accounts (customer_id) "
                "SELECT 'cust-' || number FROM generate_series(0, :most) AS number"
            ),
            {"most": customers - 1},
        )
    vacuum(database, "byhand.accounts")


def vacuum(database: Database, *tables: str) -> None:
    """Let the planner know the tables, and leave nothing for autovacuum to do in the middle of a round."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        for table in tables:
            conn.execute(text(f"VACUUM ANALYZE {table}"))
        conn.execute(text("CHECKPOINT"))


def pgbench(database: Database, *, customers: int, clients: int, seconds: int) -> float:
    """Run the hand-written transaction by pgbench, prepared, and return transactions a second."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "award.sql"
        script.write_text(_TRANSACTION)
        command = [str(binary("pgbench")), "--no-vacuum", "--protocol=prepared", f"--file={script}"]
        command += [f"--define=customers={customers}", f"--client={clients}", "--jobs=2", f"--time={seconds}"]
        output = subprocess.run(
            [*command, database.libpq_url], check=True, capture_output=True, text=True, timeout=seconds + 60
        ).stdout
    line = next(line for line in output.splitlines() if line.startswith("tps ="))
    return float(line.split()[2])


def one_statement(conn: Connection, customers: list[str], keys: list[str]) -> float:
    """Do the batch by one statement and a commit; return the seconds it took."""
    given: dict[str, Any] = {
        "customers": TextArray(customers),
        "keys": TextArray(keys),
        "points": BigintArray([49] * len(keys)),
    }
    started = time.perf_counter()
    conn.execute(_STATEMENT, given)
    conn.commit()
    return time.perf_counter() - started
