"""Whether the facts are what the ledger makes of them: everything is worked out once more, and compared.

Each roll-up is compared with what the table below it comes to, down to the ledger. Customers whose last commands no run
has seen yet are left out, so that a shop that is at work is not told of.
"""

from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from rewards.facts import statements as sql
from rewards.facts.refresh import list_persons
from rewards.facts.state import State, read_state
from rewards.ledger.verification import Break, Report

#: So many differences of each table are listed; all are counted.
_MOST_LISTED = 100


class Difference(NamedTuple):
    """A row that is not what it should be: in which table, whose where that is known, and in words."""

    table: str
    customer_id: str
    detail: str


class Compared(NamedTuple):
    """What a comparison found: how many rows were compared, how many differ, and the first of those."""

    rows: int
    differing: int
    differences: list[Difference]


class _Table(NamedTuple):
    name: str
    worked_out: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    #: Which stored rows are of the customers that are compared.
    stored: str


_OF_UNITS = (
    "FROM {table} AS p WHERE p.unit_no NOT IN (SELECT s.unit_no FROM customer_stats AS s"
    " JOIN unseen AS u ON u.customer_id = s.customer_id)"
)
_OF_CUSTOMERS = "FROM {table} AS p WHERE p.customer_id NOT IN (SELECT customer_id FROM unseen)"

_TABLES = (
    _Table(
        "purchases",
        sql.WORKED_OUT_PURCHASES,
        ("customer_id", "order_id"),
        ("unit_no", "ordered_at", "day", "amount_minor", "refunded_minor", "currency", "status"),
        _OF_CUSTOMERS,
    ),
    _Table(
        "survey_answers",
        sql.WORKED_OUT_ANSWERS,
        ("customer_id", "survey_id", "source"),
        ("answered_at", "answers"),
        _OF_CUSTOMERS + " AND p.source = 'activity'",
    ),
    _Table(
        "customer_stats",
        sql.WORKED_OUT_STATS,
        ("customer_id",),
        ("unit_no", *sql.FIGURES),
        _OF_CUSTOMERS,
    ),
    _Table(
        "customer_months",
        sql.WORKED_OUT_MONTHS,
        ("unit_no", "month"),
        ("cohort_month", "orders", "purchase_days", "revenue_minor", "refunded_minor"),
        _OF_UNITS,
    ),
)


def compare(conn: Connection) -> Compared:
    """Return where the stored facts are not what the ledger makes of them; nothing where they were never worked out.

    Args:
        conn: a connection with no transaction open; it is given a snapshot, and nothing is stored.
    """
    conn.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
    state = read_state(conn)
    if state is None:
        return Compared(0, 0, [])
    conn.execute(text("SET LOCAL work_mem = '128MB'"))
    conn.execute(text(sql.LIST_UNSEEN), {"horizon": state.horizon, "snapshot": state.snapshot})
    conn.execute(text(sql.TOUCH_ALL_SEEN))
    list_persons(conn)
    found = [_compare(conn, table, state) for table in _TABLES]
    missing = _persons_missing(conn)
    return Compared(
        sum(each.rows for each in found),
        sum(each.differing for each in found) + len(missing),
        [*(difference for each in found for difference in each.differences), *missing[:_MOST_LISTED]],
    )


def check_facts(conn: Connection, report: Report) -> None:
    """Add to a verification of the ledger where the facts are not what the ledger makes of them."""
    found = compare(conn)
    for each in found.differences:
        report.add(Break("facts", each.customer_id, None, each.detail))
    report.breaks_not_listed += found.differing - len(found.differences)


def _compare(conn: Connection, table: _Table, state: State) -> Compared:
    key = ", ".join(table.key)
    stored, worked_out = (_as_json(each, table.columns) for each in ("p", "q"))
    unlike = " OR ".join(f"p.{each} IS DISTINCT FROM q.{each}" for each in table.columns)
    query = f"""
        WITH q AS NOT MATERIALIZED ({table.worked_out}),
             p AS NOT MATERIALIZED (SELECT p.* {table.stored.format(table=table.name)})
        SELECT count(*) OVER () AS differing, {key}, {stored} AS stored, {worked_out} AS worked_out
        FROM p FULL JOIN q USING ({key}) WHERE {unlike}
        ORDER BY {key} LIMIT {_MOST_LISTED}"""  # noqa: S608 - the names are those above
    named: dict[str, Any] = {"zone": state.zone, "currency": state.currency}
    used = {name: value for name, value in named.items() if f":{name}" in query}
    rows = conn.execute(text(query), used).all()
    total = f"SELECT count(*) {table.stored.format(table=table.name)}"
    return Compared(
        int(conn.execute(text(total)).scalar_one()),
        rows[0].differing if rows else 0,
        [_difference(table, row) for row in rows],
    )


def _as_json(alias: str, columns: tuple[str, ...]) -> str:
    """Return the expression of a row's figures as one value, null where there is no row."""
    fields = ", ".join(f"'{each}', {alias}.{each}" for each in columns)
    return f"CASE WHEN {alias}.{columns[0]} IS NOT NULL THEN jsonb_build_object({fields}) END"


def _difference(table: _Table, row: Any) -> Difference:
    what = ", ".join(str(getattr(row, name)) for name in table.key)
    stored, worked_out = row.stored, row.worked_out
    if stored is None:
        detail = f"{table.name} has no row ({what}), the ledger makes one"
    elif worked_out is None:
        detail = f"{table.name} has a row ({what}) that the ledger does not make"
    else:
        unlike = {
            name: (stored[name], worked_out[name]) for name in stored if stored[name] != worked_out[name]
        }
        told = "; ".join(f"{name} is {a}, the ledger makes it {b}" for name, (a, b) in sorted(unlike.items()))
        detail = f"{table.name} ({what}): {told}"
    return Difference(table.name, str(getattr(row, "customer_id", "")), detail)


def _persons_missing(conn: Connection) -> list[Difference]:
    """Return who did something and has no row: whatever they bought is compared with nothing."""
    query = """
        SELECT k.customer_id FROM persons AS k
        WHERE NOT EXISTS (SELECT FROM customer_stats AS s WHERE s.customer_id = k.customer_id) ORDER BY 1"""
    return [
        Difference("customer_stats", customer_id, "customer_stats has no row of the customer")
        for customer_id in conn.execute(text(query)).scalars()
    ]
