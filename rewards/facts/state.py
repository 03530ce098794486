"""How far the facts have come, and who says that they were changed by hand."""

from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from rewards.core.errors import SetupError


class FactsMissing(SetupError):
    """Nothing was worked out yet; the message says how to have it done."""

    def __init__(self) -> None:
        super().__init__(
            "The facts have not been worked out yet: run `rewards jobs run rollups`, or wait a minute"
        )


class State(NamedTuple):
    """How far the facts have come.

    Attributes:
        horizon: commands of transactions from this one on may not be in the facts yet.
        snapshot: which of them are, as PostgreSQL writes a snapshot.
        database_oid: of which database that is true.
        generation: grows whenever what metrics may say has changed.
        zone: the shop's time zone that days were worked out in.
        currency: the program's currency that purchases are in.
        program_version: the latest version at the time.
        refreshed_at: when the last run looked.
        rebuilt_at: when all was last worked out anew.
        history_start: since when the shop's orders are complete; None is since the first of them.
    """

    horizon: int
    snapshot: str
    database_oid: int
    generation: int
    zone: str
    currency: str
    program_version: int
    refreshed_at: datetime
    rebuilt_at: datetime
    history_start: date | None


_READ = text("""
SELECT horizon, snapshot, database_oid, generation, zone, currency, program_version, refreshed_at, rebuilt_at,
       history_start
FROM rollup_state WHERE horizon IS NOT NULL""")

_MARK = text("""
INSERT INTO rollup_state AS s (state_id, generation) VALUES (1, 1)
ON CONFLICT (state_id) DO UPDATE SET generation = s.generation + 1""")

# Runs lock the table more strictly; those who hold them off do not keep each other waiting.
_HOLD = text("LOCK TABLE rollup_state IN ROW EXCLUSIVE MODE")

_SET_HISTORY_START = text("""
INSERT INTO rollup_state AS s (state_id, generation, history_start) VALUES (1, 1, :day)
ON CONFLICT (state_id) DO UPDATE SET history_start = :day, generation = s.generation + 1
WHERE s.history_start IS DISTINCT FROM :day""")


def read_state(conn: Connection) -> State | None:
    """Return how far the facts have come; None where nothing was worked out yet."""
    row = conn.execute(_READ).one_or_none()
    return None if row is None else State(*row)


def known_state(conn: Connection) -> State:
    """Return how far the facts have come.

    Raises:
        FactsMissing: nothing was worked out yet.
    """
    state = read_state(conn)
    if state is None:
        raise FactsMissing
    return state


def hold_runs(conn: Connection) -> None:
    """Wait until no run is at work, and keep the next one waiting until the end of this transaction.

    Call it first where a transaction changes rows that runs change, too: else each may wait for the other.
    """
    conn.execute(_HOLD)


def mark_changed(conn: Connection) -> None:
    """Say that facts were changed otherwise than by commands, so that what is kept of metrics is out of date.

    Call it in the transaction that changes them: it waits for a run that is at work, and runs wait for it.
    """
    conn.execute(_MARK)


def set_history_start(conn: Connection, day: date | None) -> None:
    """Say since when the shop's orders are complete; None says that all of them are there."""
    conn.execute(_SET_HISTORY_START, {"day": day})


_COUNT = text("""
SELECT (SELECT count(*) FROM customer_stats) AS customers,
       (SELECT count(*) FROM customer_stats WHERE excluded) AS "test and staff accounts",
       (SELECT count(*) FROM identities WHERE same_as IS NOT NULL) AS "merged identities",
       count(*) FILTER (WHERE status = 'purchase') AS purchases,
       count(*) FILTER (WHERE status = 'zero') AS "orders of nothing",
       count(*) FILTER (WHERE status = 'points-only') AS "orders paid with points",
       count(*) FILTER (WHERE status = 'other-currency') AS "orders in other currencies",
       (SELECT count(*) FROM survey_answers) AS "answered surveys"
FROM purchases""")


def count_facts(conn: Connection) -> dict[str, int]:
    """Return how many facts of each kind there are, under headings for people."""
    return {name: int(count) for name, count in conn.execute(_COUNT).mappings().one().items()}
