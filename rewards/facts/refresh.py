"""Bringing the facts up to the ledger: what commands have changed since the last run, or everything anew.

Commands say in which transaction they were written, and a run keeps the snapshot that it saw. The next one works out
anew, wholly, every customer with a command that the last one could not see: also of a transaction that began before
the last run and was committed after it. So nothing is missed, however late it commits, and a late order, a refund or
a merge needs no rule of its own. A run is one transaction; one that is cut short has changed nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from rewards.core.database import Database
from rewards.core.progress import Progress, unheard
from rewards.facts import statements as sql
from rewards.facts.exposures import refresh_exposures
from rewards.facts.state import State, read_state
from rewards.program.versions import load_history

#: More customers than these are not named to who asks for them; all are meant then.
MOST_NAMED = 50_000
_TRIES = 5
#: Somebody changed a row that a run was to change, or waited for the run while it waited for them.
_AGAIN = ("40001", "40P01")

# Locking the table begins no snapshot, as asking for an advisory lock would: who waited here sees what the run
# before has stored. Reading goes on meanwhile.
_ONE_AT_A_TIME = text("LOCK TABLE rollup_state IN EXCLUSIVE MODE")
# Sorting and joining millions of rows; a few need nothing of it.
_WITH_ROOM = text("SET LOCAL work_mem = '128MB'")
# Who has news was just written to, and lies in memory: looking them up costs less than reading everybody.
_LOOKING_UP = text("SET LOCAL random_page_cost = 1.1")

_PRESENT = text("""
SELECT pg_current_snapshot()::text AS snapshot, pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_xact,
       (SELECT oid::bigint FROM pg_database WHERE datname = current_database()) AS database_oid""")

_KEEP = text("""
INSERT INTO rollup_state AS s (state_id, horizon, snapshot, database_oid, generation, zone, currency, program_version,
                               refreshed_at, rebuilt_at)
VALUES (1, :horizon, :snapshot, :database_oid, 1, :zone, :currency, :program_version, :now, :now)
ON CONFLICT (state_id) DO UPDATE SET
    horizon = :horizon, snapshot = :snapshot, database_oid = :database_oid, generation = s.generation + :grown,
    zone = :zone, currency = :currency, program_version = :program_version, refreshed_at = :now,
    rebuilt_at = CASE WHEN :rebuilt THEN :now ELSE s.rebuilt_at END""")


class Refreshed(NamedTuple):
    """What a run did: how many customers it looked at, and the facts' generation after it.

    ``rebuilt`` says that everything was worked out anew, ``rows`` how many rows of facts are not what they were.
    """

    customers: int
    generation: int
    rebuilt: bool = False
    rows: int = 0


def refresh(database: Database, now: datetime, progress: Progress = unheard) -> Refreshed:
    """Bring the facts up to what is committed; everything, where it is not known what that has changed.

    So it is at the first time, in another database than the one they were worked out in, such as a restored one, and
    where the program's time zone or currency is another one.

    Args:
        database: whose ledger.
        now: the present: it says which program is in force.
        progress: told what is being worked out.
    """
    return _patiently(database, now, progress, everything=False)


def rebuild(database: Database, now: datetime, progress: Progress = unheard) -> Refreshed:
    """Work out everything anew, and store what differs; see :func:`refresh`."""
    return _patiently(database, now, progress, everything=True)


def _patiently(database: Database, now: datetime, progress: Progress, *, everything: bool) -> Refreshed:
    """Run, again where somebody has changed the same row meanwhile, such as an erasure an answer."""
    for tries_left in reversed(range(_TRIES)):
        try:
            with database.engine.connect() as plain:
                conn = plain.execution_options(isolation_level="REPEATABLE READ")
                with conn.begin():
                    return _run(conn, now, progress, everything=everything)
        except OperationalError as error:
            if not tries_left or getattr(error.orig, "sqlstate", None) not in _AGAIN:
                raise
    raise AssertionError("a try returns or raises")


def _run(conn: Connection, now: datetime, progress: Progress, *, everything: bool) -> Refreshed:
    conn.execute(_ONE_AT_A_TIME)
    before = read_state(conn)
    present: dict[str, Any] = dict(conn.execute(_PRESENT).mappings().one())
    programs = load_history(conn)
    document = programs.in_force(now).document
    present |= {
        "zone": document.timezone,
        "currency": document.currency,
        "program_version": programs.latest.version,
        "now": now,
    }
    if before is None or everything or _is_another(before, present):
        customers, rows = _work_out(conn, present, progress, since=None)
        is_news, rebuilt = rows > 0 or before is None, True
    else:
        customers, rows = _work_out(conn, present, progress, since=before)
        is_news, rebuilt = customers > 0 or rows > 0, False
    is_news = is_news or before is None or before.program_version != present["program_version"]
    conn.execute(_KEEP, present | {"grown": int(is_news), "rebuilt": rebuilt})
    generation = conn.execute(text("SELECT generation FROM rollup_state")).scalar_one()
    return Refreshed(customers, int(generation), rebuilt, rows)


def _is_another(before: State, present: dict[str, Any]) -> bool:
    """Tell whether what was worked out before says nothing of the present database and program."""
    is_elsewhere = before.database_oid != present["database_oid"] or before.horizon > present["next_xact"]
    return bool(is_elsewhere or (before.zone, before.currency) != (present["zone"], present["currency"]))


def _work_out(
    conn: Connection, present: dict[str, Any], progress: Progress, *, since: State | None
) -> tuple[int, int]:
    """Bring the facts up for customers with news since a state, or for all; return how many, and rows changed."""
    conn.execute(_WITH_ROOM)
    if since is not None:
        conn.execute(_LOOKING_UP)
    customers = touch(conn, since)
    new_program = since is None or since.program_version != present["program_version"]
    if not customers and not new_program:
        return 0, 0
    rows = _store(conn, present, progress, everything=since is None) if customers or since is None else 0
    progress("exposures", 0, None)
    return customers, rows + refresh_exposures(conn, None if new_program else _named(conn, customers))


def touch(conn: Connection, since: State | None) -> int:
    """Name in ``touched`` the customers that have news since a state, or all, and in ``persons`` who they are.

    The tables are temporary, and go with the transaction. Returns how many customers that are.
    """
    if since is None:
        conn.execute(text(sql.TOUCH_ALL))
    else:
        conn.execute(text(sql.TOUCH_NEWS), {"horizon": since.horizon, "snapshot": since.snapshot})
    customers = int(conn.execute(text("SELECT count(*) FROM touched")).scalar_one())
    if customers or since is None:
        list_persons(conn)
    return customers


def list_persons(conn: Connection) -> None:
    """Name in ``persons`` who the ``touched`` customers are."""
    conn.execute(text("ANALYZE touched"))
    conn.execute(text(sql.LIST_PERSONS))
    conn.execute(text("ANALYZE persons"))


def _store(conn: Connection, present: dict[str, Any], progress: Progress, *, everything: bool) -> int:
    """Store what the facts of the touched customers are, where that differs; return how many rows it did in."""
    rows = 0

    def run(told: str, *queries: str, **named: Any) -> None:
        nonlocal rows
        progress(told, 0, None)
        for query in queries:
            rows += conn.execute(text(query), named).rowcount

    forgotten: Sequence[int] = ()
    if everything:
        run("customers", sql.FORGET_ALL_PERSONS)
    else:
        forgotten = conn.execute(text(sql.FORGET_PERSONS + " RETURNING s.unit_no")).scalars().all()
        rows += len(forgotten)
    run("customers", sql.NUMBER_PERSONS)
    run("purchases", sql.STORE_PURCHASES, zone=present["zone"], currency=present["currency"])
    run("answers", sql.STORE_ANSWERS)
    if everything:
        run("purchases", sql.FORGET_PURCHASES, sql.FORGET_ANSWERS)
    run("customers", sql.STORE_ALL_STATS if everything else sql.STORE_STATS)
    conn.execute(text(sql.LIST_ALL_MONTHS if everything else sql.LIST_MONTHS))
    conn.execute(text("ANALYZE months"))
    run("months", sql.FORGET_ALL_MONTHS if everything else sql.FORGET_MONTHS, sql.STORE_MONTHS)
    if forgotten:
        run("months", sql.FORGET_MONTHS_OF, units=list(forgotten))
    return rows


def _named(conn: Connection, customers: int) -> list[str] | None:
    if customers > MOST_NAMED:
        return None
    return list(conn.execute(text("SELECT customer_id FROM touched ORDER BY 1")).scalars())
