"""Concurrent requests share transactions.

Each process has one thread that carries out commands, whatever is waiting in one transaction. An idle thread
starts at once with the first command, so a lone request waits for nobody; while it works the next ones gather,
so the busier it is, the more of them share a commit. What waits is bounded: beyond that, or when the thread
does not get on, callers are told to come back (503) rather than queued without end.

A ``/v1/batches`` request is carried out in chunks, one transaction each, which take turns with the single
commands, so that neither starves the other.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from queue import SimpleQueue
from threading import Lock, Thread

import structlog

from api import metrics
from api.errors import Problem, internal_error, overloaded, unavailable
from rewards.core.clock import utc_now
from rewards.core.errors import BusyError
from rewards.core.logs import fault
from rewards.decide.submission import Submission
from rewards.engine import Answer

log = structlog.get_logger("rewards.api")


Outcome = Answer | Problem
Execute = Callable[[Sequence[Submission], datetime], Sequence[Answer]]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much waits, for how long, and how much shares a transaction.

    Attributes:
        singles_waiting: single commands that may wait; the next one is refused.
        batches_waiting: batch requests that may wait.
        singles_together: single commands in one transaction.
        chunk: commands of a batch request in one transaction.
        wait_seconds: what has waited for so long is refused instead of begun, and nothing joins behind it.
    """

    singles_waiting: int = 4_096
    batches_waiting: int = 16
    singles_together: int = 500
    chunk: int = 1_000
    wait_seconds: float = 5.0


@dataclass(slots=True)
class _Single:
    submission: Submission
    future: "asyncio.Future[Answer]"
    since: float


@dataclass(slots=True)
class _Batch:
    submissions: Sequence[Submission]
    future: "asyncio.Future[list[Outcome]]"
    since: float
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        return len(self.outcomes) == len(self.submissions)


class Coalescer:
    """Takes commands from the event loop and hands back their answers.

    Args:
        execute: carries out commands in one transaction and returns an answer for each, in order.
        clock: tells the present to the engine, once for each transaction.
        limits: how much may wait.
    """

    def __init__(
        self, execute: Execute, *, clock: Callable[[], datetime] = utc_now, limits: Limits | None = None
    ) -> None:
        self._execute = execute
        self._clock = clock
        self._limits = limits or Limits()
        self._lock = Lock()
        self._singles: deque[_Single] = deque()
        self._batches: deque[_Batch] = deque()
        self._batch_is_next = False
        self._is_idle = False
        self._is_closing = False
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="rewards-commands", daemon=True)
        self._loop: asyncio.AbstractEventLoop

    def start(self) -> None:
        """Begin to take commands, from the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def close(self) -> None:
        """Refuse what comes from now on, finish what is waiting, and end."""
        with self._lock:
            self._is_closing = True
        self._wake.put(None)
        await asyncio.to_thread(self._thread.join)

    def submit(self, submission: Submission) -> "asyncio.Future[Answer]":
        """Queue one command; the future is its answer, or fails with a :class:`Problem`.

        Raises:
            Problem: ``overloaded``.
        """
        single = _Single(submission, self._loop.create_future(), time.monotonic())
        with self._lock:
            self._check_room(self._singles, self._limits.singles_waiting, single.since)
            self._singles.append(single)
            self._rouse()
        return single.future

    def submit_batch(self, submissions: Sequence[Submission]) -> "asyncio.Future[list[Outcome]]":
        """Queue the commands of one request; the future is an answer or a problem for each, in order.

        Raises:
            Problem: ``overloaded``.
        """
        batch = _Batch(submissions, self._loop.create_future(), time.monotonic())
        with self._lock:
            self._check_room(self._batches, self._limits.batches_waiting, batch.since)
            self._batches.append(batch)
            self._rouse()
        return batch.future

    def _check_room(self, waiting: "deque[_Single] | deque[_Batch]", most: int, now: float) -> None:
        is_stuck = bool(waiting) and now - waiting[0].since > self._limits.wait_seconds
        if len(waiting) >= most or is_stuck or self._is_closing:
            metrics.REFUSED.inc()
            raise overloaded()

    def _rouse(self) -> None:
        if self._is_idle:
            self._is_idle = False
            self._wake.put(None)

    # -- in the thread ---------------------------------------------------------------------------------

    def _work(self) -> None:
        while (work := self._next()) is not None:
            if isinstance(work, _Batch):
                self._carry_out_chunk(work)
            else:
                self._carry_out_singles(work)

    def _next(self) -> "_Batch | list[_Single] | None":
        """Wait for something to do; None when all is done and nothing more will come."""
        while True:
            with self._lock:
                if self._batches and (self._batch_is_next or not self._singles):
                    self._batch_is_next = False
                    return self._batches.popleft()
                if self._singles:
                    self._batch_is_next = True
                    count = min(len(self._singles), self._limits.singles_together)
                    return [self._singles.popleft() for _ in range(count)]
                if self._is_closing:
                    return None
                self._is_idle = True
            self._wake.get()

    def _carry_out_singles(self, waiting: list[_Single]) -> None:
        now = time.monotonic()
        metrics.WAITED.observe(now - waiting[0].since)
        # Who has waited too long, or has gone, is not served: that would delay those who can still be.
        served: list[_Single] = []
        refused: list[_Single] = []
        for single in waiting:
            is_stale = now - single.since > self._limits.wait_seconds or single.future.cancelled()
            (refused if is_stale else served).append(single)
        outcomes = self._outcomes([single.submission for single in served]) if served else []
        self._hand_back(_deliver, served, outcomes, refused)

    def _carry_out_chunk(self, batch: _Batch) -> None:
        now = time.monotonic()
        done = len(batch.outcomes)
        if done == 0:
            metrics.WAITED.observe(now - batch.since)
            if now - batch.since > self._limits.wait_seconds or batch.future.cancelled():
                self._hand_back(_fail, batch.future, overloaded())
                return
        chunk = list(islice(batch.submissions, done, done + self._limits.chunk))
        outcomes = self._outcomes(chunk)
        batch.outcomes.extend(outcomes)
        if isinstance(outcomes[0], Problem) and outcomes[0].status == 503:
            # The database is away: the rest would fare the same, each chunk after a long wait of its own.
            batch.outcomes.extend([outcomes[0]] * (len(batch.submissions) - len(batch.outcomes)))
        if batch.is_done:
            self._hand_back(_deliver_batch, batch)
            return
        with self._lock:
            self._batches.append(batch)

    def _outcomes(self, submissions: Sequence[Submission]) -> list[Outcome]:
        metrics.BATCH_SIZE.observe(len(submissions))
        started = time.monotonic()
        outcomes: list[Outcome]
        try:
            answers = self._execute(submissions, self._clock())
            outcomes = [internal_error() if each.status == 500 else each for each in answers]
        except BusyError:
            log.warning("the database was not there for a batch", commands=len(submissions))
            outcomes = [unavailable()] * len(submissions)
        except Exception as error:  # noqa: BLE001 - the thread lives on, whatever befell one batch
            log.error("a batch failed", commands=len(submissions), **fault(error))
            outcomes = [internal_error()] * len(submissions)
        metrics.BATCH_SECONDS.observe(time.monotonic() - started)
        return outcomes

    def _hand_back(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            log.warning("answers came after the server had stopped")


def _deliver(served: list[_Single], outcomes: list[Outcome], refused: list[_Single]) -> None:
    for single, outcome in zip(served, outcomes, strict=True):
        if single.future.done():
            continue
        if isinstance(outcome, Problem):
            _fail(single.future, outcome)
        else:
            single.future.set_result(outcome)
    for single in refused:
        metrics.REFUSED.inc()
        _fail(single.future, overloaded())


def _deliver_batch(batch: _Batch) -> None:
    if not batch.future.done():
        batch.future.set_result(batch.outcomes)


def _fail(future: "asyncio.Future[Answer] | asyncio.Future[list[Outcome]]", problem: Problem) -> None:
    if not future.done():
        # One exception for each: raised in two places it would collect the tracebacks of both.
        future.set_exception(
            Problem(problem.status, problem.code, problem.title, problem.detail, headers=problem.headers)
        )
