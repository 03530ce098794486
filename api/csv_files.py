"""CSV files for people: whatever a spreadsheet does with them, no cell is read as a formula."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

#: A cell that begins with one of these is a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as lines of a CSV file; instants are written in UTC, None is an empty cell."""
    file = io.StringIO()
    # Quoted, because some spreadsheets part cells at semicolons, too, and what follows one could be a formula.
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows([_cell(each) for each in row] for row in rows)
    return file.getvalue()


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return "'" + value if isinstance(value, str) and value.startswith(_FORMULA) else value
