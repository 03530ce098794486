"""A table as a Parquet file, exactly as it is: shares from 0 to 1, money in minor units."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rewards.metrics.result import Column, Table
from rewards.metrics.showing.wire import plain

if TYPE_CHECKING:
    import pyarrow as pa

#: What to do where the library is not there.
MISSING = (
    "Parquet needs the optional extra: install it on the server with "
    "`pip install 'rewards-engine[scale]'`, or ask for CSV."
)


class ParquetMissing(RuntimeError):
    """The libraries that write Parquet are not installed; the message says how to have them."""


def parquet_of(table: Table) -> bytes:
    """Return a table as a Parquet file whose columns are named by their keys.

    Raises:
        ParquetMissing: the ``scale`` extra is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise ParquetMissing(MISSING) from None
    columns = [_array(column, [row[at] for row in table.rows], pa) for at, column in enumerate(table.columns)]
    file = io.BytesIO()
    pq.write_table(pa.table(columns, names=[column.key for column in table.columns]), file)
    return file.getvalue()


def _array(column: Column, values: Sequence[Any], pa: Any) -> "pa.Array":
    values = [plain(each) for each in values]
    if column.unit == "date":
        return pa.array(values, pa.string()).cast(pa.date32())
    known = [each for each in values if each is not None]
    if any(isinstance(each, str) for each in known) or column.unit in ("text", "month"):
        return pa.array([None if each is None else str(each) for each in values], pa.string())
    if all(isinstance(each, bool) for each in known) and known:
        return pa.array(values, pa.bool_())
    whole = column.unit in ("count", "points", "minor") and all(isinstance(each, int) for each in known)
    return pa.array(values, pa.int64() if whole else pa.float64())
