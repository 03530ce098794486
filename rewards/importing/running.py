"""Brings a file's orders into the ledger, in chunks, so that it can be interrupted and run again.

Each row has an idempotency key of its own, and each chunk is one transaction: what an interrupted import has
done stays done, and a second run finds it there and changes nothing. A large file is worked on by several
processes (:mod:`rewards.importing.lanes`), of which this one is the first.
"""

import csv
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from zlib import crc32

from rewards.core.database import Database
from rewards.core.errors import SetupError
from rewards.core.progress import Progress, unheard
from rewards.engine import Engine
from rewards.importing.chunks import CHUNK_ROWS, Terms, import_chunk
from rewards.importing.csvfile import Broken, CsvFile
from rewards.importing.lanes import Lane, Lanes
from rewards.importing.orders import REPORTED, Order, OrderReader, Rejection
from rewards.importing.report import ImportReport
from rewards.program.versions import load_history

__all__ = ["ImportReport", "import_orders"]

#: A smaller file, of some ten thousand rows, is imported before another process has started up.
SMALL_FILE_BYTES = 512 * 1024
MOST_PROCESSES = 4
#: Orders are dealt out in so many shares at most: small enough that all processes finish at about the same time.
MOST_SHARES = 128


def import_orders(
    path: Path,
    database: Database,
    *,
    now: datetime,
    award: bool = True,
    errors_path: Path | None = None,
    progress: Progress = unheard,
    processes: int | None = None,
) -> ImportReport:
    """Import a CSV file of orders and returns.

    Args:
        path: the file; see ``docs/guides/importing.md`` for its columns.
        database: where to.
        now: the present; orders after it are rejected.
        award: False records the orders without giving points for them.
        errors_path: gets the rejected rows and the returns that were not matched, with reasons.
        progress: told of bytes read, then of rows imported.
        processes: how many work at once, this one included; one per core, unless given, and one for a small file.

    Raises:
        SetupError: the file cannot be read, or ``errors_path`` cannot be written; nothing was changed.
        BusyError: the database does not answer; run it again and it goes on where it stopped.
    """
    file = CsvFile(path)
    with database.engine.connect() as connection:
        history = load_history(connection)
    reader = OrderReader(file, history)
    if errors_path is not None:
        write_errors(errors_path, file, ())
    terms = Terms(reader.attribute_names, award, now)
    # The others start up while this process reads.
    with Lanes(_how_many(file, processes) - 1, database.settings, terms) as lanes:
        orders, rejected = reader.read(lambda done: progress("Reading", done, file.size))
        progress("Reading", file.size, file.size)
        report = ImportReport(rows=len(rejected), rejected=rejected)
        progress("Importing", 0, len(orders))
        done = 0
        for part in _import_all(orders, Engine(database), lanes, terms):
            report.add(part)
            done += part.rows
            progress("Importing", done, len(orders))
    report.rejected.sort()
    report.notes.sort()
    if errors_path is not None:
        write_errors(errors_path, file, (*report.rejected, *report.notes))
    return report


def _how_many(file: CsvFile, processes: int | None) -> int:
    if sys.platform == "win32":  # where a process cannot be handed a pipe in this way
        return 1
    if processes is not None:
        return max(1, processes)
    if file.size < SMALL_FILE_BYTES:
        return 1
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(cores, MOST_PROCESSES)


def _import_all(
    orders: Sequence[Order], engine: Engine, lanes: Lanes, terms: Terms
) -> Iterator[ImportReport]:
    """Import orders, in this process and on the lanes, and yield what became of each chunk."""
    shares = min(MOST_SHARES, 1 + len(orders) // CHUNK_ROWS) if lanes else 1
    work = _Work(orders, shares)
    while True:
        # A lane is handed a chunk more than it works on, so that it need not wait for this process.
        for lane in lanes.ready():
            while lane.wants_more and (chunk := work.next_for(lane)):
                lane.send(chunk)
        if chunk := work.next_for(None):
            yield import_chunk(engine, chunk, terms)
            yield from lanes.receive(wait=False)
        elif lanes.are_busy:
            yield from lanes.receive(wait=True)
        else:
            return


class _Work:
    """Orders that are still to be imported, in shares by customer.

    A share is one process's from its first chunk to its last. So the orders of a customer are imported one after
    another, as a return needs it, and processes never wait for each other's locks.
    """

    def __init__(self, orders: Sequence[Order], shares: int) -> None:
        self._waiting: deque[Sequence[Order]] = deque([orders])
        self._begun: dict[Lane | None, Iterator[Sequence[Order]]] = {}
        if shares > 1:
            dealt: list[list[Order]] = [[] for _ in range(shares)]
            for order in orders:
                dealt[crc32(order.customer_id.encode()) % shares].append(order)
            self._waiting = deque(dealt)

    def next_for(self, lane: Lane | None) -> Sequence[Order]:
        """Return the next chunk for a lane, or for this process; an empty one where nothing is left for it."""
        while True:
            if chunk := next(self._begun.get(lane, iter(())), None):
                return chunk
            if not self._waiting:
                return ()
            self._begun[lane] = _chunks(self._waiting.popleft())


def _chunks(orders: Sequence[Order]) -> Iterator[Sequence[Order]]:
    for start in range(0, len(orders), CHUNK_ROWS):
        yield orders[start : start + CHUNK_ROWS]


def write_errors(path: Path, file: CsvFile, rejections: Iterable[Rejection]) -> None:
    """Write the rows that ``rejections`` name, with code and reason, as a CSV that can be imported again."""
    if path.exists() and path.samefile(file.path):
        raise SetupError(f"{path} is the file to import; give --errors another name")
    by_line = {rejection.line: rejection for rejection in rejections}
    kept = [at for at, name in enumerate(file.header) if name.lower() not in REPORTED]
    try:
        with path.open("w", encoding="utf-8", newline="") as target:
            writer = csv.writer(target)
            writer.writerow([*REPORTED, *(file.header[at] for at in kept)])
            if not by_line:
                return
            for line, record in file.records():
                if (rejection := by_line.get(line)) is not None:
                    fields = [""] * len(kept) if isinstance(record, Broken) else [record[at] for at in kept]
                    writer.writerow([*rejection, *fields])
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}") from None
