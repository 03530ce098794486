"""Brings every customer up to the ladder in force, a thousand in a transaction, while everything else goes on.

Which customers are behind, their accounts say: each names the version whose ladder its standing is of. So nothing is
lost however a process ends, and nobody is brought up twice. A customer who is served meanwhile is brought up by that
and left alone here.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, text

from rewards.applying.progress import Application, begin_application, finish_application, note_application
from rewards.core.database import Database
from rewards.core.progress import Progress
from rewards.decide.commands import Restand
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.program.versions import load_history
from tiers.ladder import Stretch, Timeline, timeline_of

ACTOR = "job:tiers"
#: So many customers are brought up in the first transaction, and in one at most.
FIRST_CUSTOMERS, CHUNK_CUSTOMERS = 100, 1_000
#: A transaction is to take so long: who is in it waits for it, and with them whoever shares their batch.
_CHUNK_SECONDS = 0.25
_PAGE_CUSTOMERS = 50_000
#: While the database works for one thread another decides; more than two only wait for each other.
_THREADS = 2


@dataclass(slots=True)
class Applied:
    """What a bulk application did.

    Attributes:
        application: as it is recorded; None where there was nothing to apply.
        customers: that were brought up, and how many moves that were, in this run.
        failed: customers that could not be; they are tried again in the next.
    """

    application: Application | None = None
    customers: int = 0
    moves: int = 0
    failed: int = 0


def apply_ladder(database: Database, now: datetime, progress: Progress) -> Applied:
    """Bring every customer up to the ladder in force at ``now``; what an earlier run has left over is done, too."""
    applied = Applied()
    with database.engine.begin() as conn:
        stretch = _to_apply(conn, now)
        behind = None if stretch is None else _Behind(*stretch)
        left = 0 if behind is None else behind.count(conn)
        if behind is None or not left:
            return applied
        application = begin_application(conn, behind.stretch, left)
    engine = Engine(database)
    pace = _Pace()
    total = max(application.total, left)
    progress("tiers", total - left, total)
    with _threads() as threads:

        def bring_up(customers: list[str]) -> tuple[int, int, int]:
            commands = [
                Submission(Restand(customer_id=customer_id), None, ACTOR, remember_refusal=False)
                for customer_id in customers
            ]
            begun = time.monotonic()
            answers = engine.execute(commands, now)
            pace.note(len(customers), time.monotonic() - begun)
            failed = sum(answer.status >= 500 for answer in answers)
            moves = sum(json.loads(answer.body)["moves"] for answer in answers if answer.status < 300)
            return len(customers), moves, failed

        for customers, moves, failed in _as_they_end(threads, bring_up, behind.chunks(database, pace)):
            applied.customers += customers
            applied.moves += moves
            applied.failed += failed
            with database.engine.begin() as conn:
                note_application(conn, application, done=total - left + applied.customers, total=total)
            progress("tiers", total - left + applied.customers, total)
    with database.engine.begin() as conn:
        still_behind = behind.count(conn)
        applied.application = (
            application if still_behind else finish_application(conn, application, behind.stretch)
        )
    return applied


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="rewards-tiers")
    try:
        yield threads
    finally:
        # Where the run is cut short, what has not begun is left for the next.
        threads.shutdown(cancel_futures=True)


def _to_apply(conn: Connection, now: datetime) -> tuple[Stretch, bool] | None:
    """Return the stretch of time whose ladder is in force, and whether another one bears its version, too."""
    timeline: Timeline = timeline_of(load_history(conn))
    if not timeline.has_ladder:
        return None
    stretch = timeline.stretches[timeline.at(now)]
    namesakes = sum(each.version == stretch.version for each in timeline.stretches)
    return stretch, namesakes > 1


class _Behind:
    """The customers whose standing is not yet of the ladder in force."""

    def __init__(self, stretch: Stretch, has_namesakes: bool) -> None:
        self.stretch = stretch
        if stretch.ladder is None:
            # The ladder was taken away: only who had a standing loses it.
            which = "ladder_version <> :version"
        elif has_namesakes and stretch.since is not None:
            # What stands second in a standing is when it was true.
            which = (
                "(ladder_version IS DISTINCT FROM :version OR CAST(standing ->> 1 AS timestamptz) < :since)"
            )
        else:
            which = "ladder_version IS DISTINCT FROM :version"
        self._count = text(f"SELECT count(*) FROM accounts WHERE {which}")  # noqa: S608 - one of three constants
        self._page = text(
            f"SELECT customer_id FROM accounts WHERE {which} AND customer_id > :after"  # noqa: S608 - the same
            " ORDER BY customer_id LIMIT :most"
        )
        self._named: dict[str, Any] = {"version": stretch.version}
        if ":since" in which:
            self._named["since"] = stretch.since

    def count(self, conn: Connection) -> int:
        """Return how many there are."""
        return int(conn.execute(self._count, self._named).scalar_one())

    def chunks(self, database: Database, pace: "_Pace") -> Iterator[list[str]]:
        """Yield them in the order of their ids, as many at once as the pace allows."""
        after = ""
        while True:
            with database.engine.connect() as conn:
                named = {**self._named, "after": after, "most": _PAGE_CUSTOMERS}
                customers = list(conn.scalars(self._page, named))
            if not customers:
                return
            start = 0
            while start < len(customers):
                end = start + pace.customers
                yield customers[start:end]
                start = end
            after = customers[-1]


class _Pace:
    """How many customers go into a transaction, by how long the last ones took."""

    def __init__(self) -> None:
        self.customers = min(FIRST_CUSTOMERS, CHUNK_CUSTOMERS)

    def note(self, customers: int, seconds: float) -> None:
        """Note how long so many took."""
        fitting = int(customers * _CHUNK_SECONDS / max(seconds, 0.001))
        # Not more than double at once: the next ones may be those with long histories.
        self.customers = max(10, min(fitting, 2 * customers, CHUNK_CUSTOMERS))


def _as_they_end(
    threads: ThreadPoolExecutor, work: Any, chunks: Iterator[list[str]]
) -> Iterator[tuple[int, int, int]]:
    """Yield what ``work`` makes of each chunk; one more than there are threads wait, so that none stands idle."""
    waiting: set[Future[tuple[int, int, int]]] = {
        threads.submit(work, chunk) for chunk in islice(chunks, _THREADS + 1)
    }
    while waiting:
        ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        waiting |= {threads.submit(work, chunk) for chunk in islice(chunks, len(ended))}
        for each in ended:
            yield each.result()
