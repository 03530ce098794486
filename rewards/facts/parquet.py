"""Facts and the ledger's entries as Parquet files, partitioned by month, for a warehouse or Spark.

The layout is Hive's, which DuckDB, Spark and most warehouses read: ``purchases/month=2026-05/part-0.parquet``. All
files are of one instant. Memory does not grow with the shop: rows come from the database in the order of months, and
each month's file is written as they come.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from rewards.core.database import Database
from rewards.core.errors import SetupError
from rewards.core.progress import Progress, unheard
from rewards.facts.scale import snapshot
from rewards.facts.state import State, known_state

MANIFEST = "manifest.json"
_PARTIAL = ".partial"
_MONTH = "month"


@dataclass(frozen=True, slots=True)
class _Export:
    """A table: its query, and by which of its columns months go; none for what is one file.

    ``{zone}`` in the query is the shop's time zone, as a text of SQL.
    """

    query: str
    month_of: str | None = None


EXPORTS = {
    "purchases": _Export(
        "SELECT p.customer_id, s.customer_id AS person_id, p.order_id, p.ordered_at, p.day, p.amount_minor,"
        " p.refunded_minor, p.currency, p.status, s.excluded"
        " FROM purchases AS p JOIN customer_stats AS s USING (unit_no) ORDER BY p.day",
        "day",
    ),
    "entries": _Export(
        "SELECT customer_id, seq, kind, points, balance_after, occurred_at, recorded_at, cause, program_version,"
        " CAST(occurred_at AT TIME ZONE {zone} AS date) AS day FROM entries ORDER BY day",
        "day",
    ),
    "customer_months": _Export(
        "SELECT s.customer_id AS person_id, m.month AS first_of_month, m.cohort_month, m.orders, m.purchase_days,"
        " m.revenue_minor, m.refunded_minor"
        " FROM customer_months AS m JOIN customer_stats AS s USING (unit_no) ORDER BY m.month",
        "first_of_month",
    ),
    "customer_stats": _Export(
        "SELECT customer_id AS person_id, first_at, last_at, first_day, last_day, cohort_month, orders,"
        " purchase_days, revenue_minor, refunded_minor, first_activity_at, excluded FROM customer_stats"
    ),
    "identities": _Export("SELECT customer_id, same_as FROM identities WHERE same_as IS NOT NULL"),
    "survey_answers": _Export(
        "SELECT a.customer_id, a.survey_id, a.source, a.answered_at, CAST(a.answers AS text) AS answers"
        " FROM survey_answers AS a"
    ),
}


def export_parquet(
    database: Database, directory: Path, now: datetime, progress: Progress = unheard
) -> dict[str, int]:
    """Write the tables of :data:`EXPORTS` into a directory, in place of an earlier export there.

    Args:
        database: whose facts.
        directory: is made where there is none.
        now: stands in the manifest.
        progress: told of rows written.

    Returns:
        How many rows each table has.

    Raises:
        SetupError: the extra ``scale`` is not installed, the facts were not worked out yet, or the directory holds
            something else or cannot be written to.
    """
    _check(directory)
    with database.engine.connect() as conn:
        state = known_state(conn)
    partial = directory / _PARTIAL
    try:
        with snapshot(database) as cursor:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            cursor.execute("SELECT generation FROM rollup_state")
            generation = int(cursor.fetchone()[0])
            rows = {
                name: _write(cursor, partial / name, export, state, _heard(progress, name))
                for name, export in EXPORTS.items()
            }
        manifest = {
            "exported_at": now.isoformat(),
            "generation": generation,
            "zone": state.zone,
            "currency": state.currency,
            "complete_since": None if state.history_start is None else state.history_start.isoformat(),
            "rows": rows,
        }
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        for name in (*EXPORTS, MANIFEST):
            _replace(partial / name, directory / name)
        partial.rmdir()
    except OSError as error:
        raise SetupError(f"{directory} cannot be written to: {error.strerror or error}") from None
    return rows


def _heard(progress: Progress, name: str) -> Callable[[int], None]:
    return lambda done: progress(name, done, None)


def _check(directory: Path) -> None:
    if not directory.exists():
        return
    if not directory.is_dir():
        raise SetupError(f"{directory} is not a folder")
    is_export = (directory / MANIFEST).exists() or (directory / _PARTIAL).exists()
    if not is_export and any(directory.iterdir()):
        raise SetupError(
            f"{directory} holds something else; name an empty folder, or one with an earlier export"
        )


def _replace(made: Path, place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place)
    made.rename(place)


def _write(cursor: Any, folder: Path, export: _Export, state: State, told: Callable[[int], None]) -> int:
    """Write one table and return how many rows it has."""
    import pyarrow.parquet as pq

    zone = state.zone.replace("'", "''")
    cursor.execute(export.query.replace("{zone}", f"'{zone}'"))
    reader = cursor.fetch_record_batch()
    folder.mkdir()
    rows, month, writer = 0, None, None
    try:
        for of_month, batch in _by_month(reader, export.month_of):
            if writer is None or of_month != month:
                if writer is not None:
                    writer.close()
                place = folder if of_month is None else folder / f"{_MONTH}={of_month}"
                place.mkdir(exist_ok=True)
                month, writer = (
                    of_month,
                    pq.ParquetWriter(place / "part-0.parquet", reader.schema, compression="zstd"),
                )
            writer.write_batch(batch)
            rows += batch.num_rows
            told(rows)
        if writer is None:  # a table without rows has its columns still
            writer = pq.ParquetWriter(folder / "part-0.parquet", reader.schema, compression="zstd")
    finally:
        if writer is not None:
            writer.close()
    return rows


def _by_month(reader: Any, column: str | None) -> Iterator[tuple[str | None, Any]]:
    """Yield the batches of a reader, cut where a month ends; rows come in the order of the column."""
    import numpy as np

    for batch in reader:
        if not batch.num_rows:
            continue
        if column is None:
            yield None, batch
            continue
        months = batch.column(column).to_numpy(zero_copy_only=False).astype("datetime64[M]")
        begins = np.concatenate([[0], np.flatnonzero(months[1:] != months[:-1]) + 1, [len(months)]])
        for begin, end in pairwise(begins):
            yield str(months[begin]), batch.slice(int(begin), int(end - begin))
