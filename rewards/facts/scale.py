"""Big scans outside the database: its rows as Arrow through ADBC, and DuckDB over them; the optional extra ``scale``.

A question about millions of rows that no roll-up answers keeps PostgreSQL busy for long; DuckDB works on columns in
memory, on all cores, and asks the database once for each table.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rewards.core.database import Database
from rewards.core.errors import SetupError

if TYPE_CHECKING:
    import duckdb

#: What can be asked of, as it stands in the database; test and staff accounts are left out of all of them.
VIEWS = {
    "purchases": (
        "SELECT p.customer_id, p.unit_no, p.order_id, p.ordered_at, p.day, p.amount_minor, p.refunded_minor"
        " FROM purchases AS p WHERE p.status = 'purchase' AND NOT EXISTS"
        " (SELECT FROM customer_stats AS s WHERE s.unit_no = p.unit_no AND s.excluded)"
    ),
    "customer_stats": (
        "SELECT customer_id, unit_no, first_at, last_at, first_day, last_day, cohort_month, orders, purchase_days,"
        " revenue_minor, refunded_minor, first_activity_at FROM customer_stats WHERE NOT excluded"
    ),
    "customer_months": (
        "SELECT unit_no, month, cohort_month, orders, purchase_days, revenue_minor, refunded_minor"
        " FROM customer_months"
    ),
}


def need_extra() -> None:
    """Make sure that the extra is installed.

    Raises:
        SetupError: it is not.
    """
    try:
        import adbc_driver_postgresql
        import duckdb
        import pyarrow  # noqa: F401 - whether they are there
    except ModuleNotFoundError as error:
        raise SetupError(
            f"This needs the extra `scale`, of which {error.name} is missing: pip install 'rewards-engine[scale]'"
        ) from None
    del adbc_driver_postgresql, duckdb


@contextmanager
def snapshot(database: Database) -> Iterator[Any]:
    """Yield an ADBC cursor in a transaction that only reads, and sees one and the same state until its end.

    Raises:
        SetupError: the extra is not installed.
    """
    need_extra()
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(database.libpq_url) as connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield cursor


@contextmanager
def open_duckdb(
    database: Database, tables: Sequence[str] = tuple(VIEWS)
) -> "Iterator[duckdb.DuckDBPyConnection]":
    """Yield a DuckDB in memory that has the facts of :data:`VIEWS`, all as of one instant.

    Raises:
        SetupError: the extra is not installed.
    """
    with snapshot(database) as cursor:
        import duckdb

        with duckdb.connect() as duck:
            for table in tables:
                cursor.execute(VIEWS[table])
                duck.register(f"read_{table}", cursor.fetch_record_batch())
                duck.execute(f"CREATE TABLE {table} AS FROM read_{table}")  # the names are those above
                duck.unregister(f"read_{table}")
            yield duck


def query_facts(database: Database, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the headings and rows of a query in DuckDB's SQL over :data:`VIEWS`.

    Raises:
        SetupError: the extra is not installed, or DuckDB cannot take the query.
    """
    needed = [table for table in VIEWS if table in query]
    with open_duckdb(database, needed) as duck:
        import duckdb

        try:
            # The query is the operator's own; still it has no business with files or the network.
            duck.execute("SET enable_external_access = false")
            result = duck.execute(query)
            return [each[0] for each in result.description or ()], result.fetchall()
        except duckdb.Error as error:
            raise SetupError(f"DuckDB cannot answer that: {str(error).splitlines()[0]}") from None
