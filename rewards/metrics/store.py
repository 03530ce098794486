"""Purchases from the facts in the database, as the columns that the formulas take, and a shop's source as of a day.

The columns are read by COPY in its binary form, in which each row is as long as the next: their bytes are the arrays.
A process keeps those of the facts' last generation, so that a page's many metrics read them once.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from rewards.facts.state import State, known_state
from rewards.metrics.orders import LeftOut, Orders
from rewards.metrics.source import Source
from rewards.program.versions import load_history

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Of no order is the id read: purchases of one instant that differ in nothing else are the same to every formula.
_PURCHASES = """
COPY (SELECT unit_no, day, ordered_at, amount_minor, refunded_minor FROM purchases WHERE status = 'purchase')
TO STDOUT (FORMAT BINARY)"""
_TYPES = {"unit": "i4", "day": "i4", "at": "i8", "amount": "i8", "refunded": "i8"}
_HEAD_BYTES, _BYTES_AT_ONCE = 19, 16 * 1024 * 1024
#: From 1970 to 2000, when days and instants begin in PostgreSQL's binary form.
_DAYS, _MICROSECONDS = 10_957, 10_957 * 86_400_000_000

_EXCLUDED = text("SELECT unit_no FROM customer_stats WHERE excluded")

# Of test and staff accounts only purchases are told, which would have counted.
_LEFT_OUT = text("""
SELECT count(*) FILTER (WHERE p.status = 'zero') AS zero_amount,
       count(*) FILTER (WHERE p.status = 'points-only') AS points_only,
       count(*) FILTER (WHERE p.status = 'other-currency') AS other_currency,
       (SELECT coalesce(sum(orders), 0) FROM customer_stats WHERE excluded)::bigint AS test_or_staff
FROM purchases AS p
WHERE p.status <> 'purchase'
  AND NOT EXISTS (SELECT FROM customer_stats AS s WHERE s.excluded AND s.unit_no = p.unit_no)""")

_NAMES = text("SELECT unit_no, customer_id FROM customer_stats WHERE unit_no = ANY(:units)")

#: Two databases at most have their purchases in memory: the one served, and perhaps another in tests.
_MOST_KEPT = 2
#: A refresh that is stored while purchases are read has them read again.
_TRIES = 5
_kept: dict[tuple[str, int], tuple[int, Orders]] = {}
_keeping = Lock()


class DatabaseStore:
    """Purchases and names from the facts in a database."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    def orders(self) -> Orders:
        """Return all purchases as of the facts' last generation.

        Raises:
            FactsMissing: the facts were not worked out yet.
        """
        state = known_state(self._conn)
        for _ in range(_TRIES):
            where = (str(self._conn.engine.url), state.database_oid)
            with _keeping:
                found = _kept.get(where)
            if found is not None and found[0] == state.generation:
                return found[1]
            orders = read_orders(self._conn)
            after = known_state(self._conn)
            if after.generation == state.generation:
                _keep(where, state, orders)
                break
            state = after
        return orders

    def names(self, units: Sequence[int]) -> list[str]:
        """Return the customer id of each of these numbers; merged identities have the id of who they are."""
        wanted = [int(unit) for unit in units]
        names = {row.unit_no: row.customer_id for row in self._conn.execute(_NAMES, {"units": wanted})}
        # Who was merged into another since the purchases were read has no number any more.
        return [names.get(unit, f"unit {unit}") for unit in wanted]


def open_source(conn: Connection, *, as_of: date | None = None, now: datetime) -> Source:
    """Return the shop's facts as of the end of a day; of the last one that has ended, unless told otherwise.

    Raises:
        FactsMissing: the facts were not worked out yet.
    """
    state = known_state(conn)
    zone = ZoneInfo(state.zone)
    return Source(
        store=DatabaseStore(conn),
        as_of=as_of or now.astimezone(zone).date() - timedelta(days=1),
        zone=zone,
        currency=state.currency,
        history_start=state.history_start,
        conn=conn,
        programs=load_history(conn),
        now=now,
    )


def read_orders(conn: Connection) -> Orders:
    """Read all purchases from the facts, sorted as :class:`Orders` says."""
    import numpy as np

    columns = _columns(conn)
    excluded = np.array(conn.execute(_EXCLUDED).scalars().all(), dtype=np.int32)
    if len(excluded):
        keep = np.flatnonzero(~np.isin(columns["unit"], excluded))
        columns = {name: column[keep] for name, column in columns.items()}
    order = _order(columns)
    for name in columns:
        columns[name] = columns[name][order]
    whole = int(np.count_nonzero(columns["refunded"] >= columns["amount"]))
    counted = conn.execute(_LEFT_OUT).mappings().one()
    return Orders(**columns, left_out=LeftOut(**counted, refunded_whole=whole))


def _order(columns: "dict[str, NDArray[Any]]") -> "NDArray[np.int64]":
    """Return what brings purchases into the order of customers, then of instants, then of what they came to."""
    import numpy as np

    unit, at = columns["unit"], columns["at"]
    order = np.lexsort((at, unit))
    same = (unit[order[1:]] == unit[order[:-1]]) & (at[order[1:]] == at[order[:-1]])
    places = np.flatnonzero(np.append(same, False) | np.append(False, same))
    if len(places):  # purchases of one instant are few, and lie side by side
        tied = order[places]
        keys = (columns["refunded"][tied], columns["amount"][tied], at[tied], unit[tied])
        order[places] = tied[np.lexsort(keys)]
    return order


def _columns(conn: Connection) -> "dict[str, NDArray[Any]]":
    """Return the arrays that rows of two integers and three bigints make in COPY's binary form."""
    import numpy as np

    # Before each row is the number of its fields, before each field its length.
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in _TYPES.items():
        fields += [(f"length of {name}", ">i4"), (name, f">{kind}")]
    row = np.dtype(fields)
    parts: dict[str, list[NDArray[Any]]] = {name: [np.zeros(0, dtype=kind)] for name, kind in _TYPES.items()}
    for some in _copied(conn, row.itemsize):
        rows = np.frombuffer(some, dtype=row, count=len(some) // row.itemsize)
        for name, kind in _TYPES.items():
            parts[name].append(rows[name].astype(kind))
    columns = {name: np.concatenate(parts.pop(name)) for name in _TYPES}
    columns["day"] += _DAYS
    columns["at"] += _MICROSECONDS
    return columns


def _copied(conn: Connection, row_bytes: int) -> Iterator[bytearray]:
    """Yield the rows in COPY's binary form, many at once but never all: that would be twice the memory."""
    driver: Any = conn.connection.driver_connection
    some = bytearray()
    with driver.cursor() as cursor, cursor.copy(_PURCHASES) as copy:
        parts = iter(copy)
        some += next(parts)
        del some[:_HEAD_BYTES]
        for part in parts:
            some += part
            if len(some) >= _BYTES_AT_ONCE:
                end = len(some) - len(some) % row_bytes
                yield some[:end]
                some = some[end:]
    yield some


def forget() -> None:
    """Let go of the purchases that this process keeps."""
    with _keeping:
        _kept.clear()


def _keep(where: tuple[str, int], state: State, orders: Orders) -> None:
    with _keeping:
        _kept.pop(where, None)
        while len(_kept) >= _MOST_KEPT:
            del _kept[next(iter(_kept))]
        _kept[where] = (state.generation, orders)
