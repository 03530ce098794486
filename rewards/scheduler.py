"""Runs the jobs on time, in a process of its own; several such processes share the work without doubling it.

Each job has turns at fixed instants (every five minutes, say). A turn is taken under the job's lock and noted
in ``job_runs``, so it is taken once whichever process comes first. What was missed while nothing ran is done
in one turn at the start: a job does all that is due, however long it has been.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from socket import socket, socketpair
from types import FrameType

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from sqlalchemy.exc import SQLAlchemyError

from rewards.core.clock import utc_now
from rewards.core.database import Database
from rewards.core.errors import BusyError, SetupError
from rewards.jobs import JOBS, run_job

#: How soon a turn that failed is tried again; the next one comes anyway.
RETRY_AFTER = timedelta(seconds=15)

logging.getLogger("apscheduler").setLevel(logging.WARNING)
log = structlog.get_logger("rewards.scheduler")


class Scheduler:
    """Runs all jobs until it is stopped.

    Args:
        database: where the jobs work; an embedded one is started again where it went down.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._executor = ThreadPoolExecutor(len(JOBS))
        self._scheduler = BackgroundScheduler(
            timezone="UTC",
            executors={"default": self._executor},
            # However late: one run makes up for all that were missed.
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )

    def start(self) -> None:
        """Begin in the background, with a turn of every job at once."""
        for name, job in JOBS.items():
            self._scheduler.add_job(
                self.take_turn,
                CronTrigger(**_cron_fields(job.every), timezone="UTC"),
                args=[name],
                id=name,
                next_run_time=utc_now(),
            )
        self._scheduler.start()
        log.info("scheduler started", jobs=list(JOBS))

    def stop(self) -> None:
        """Let the running jobs finish, and end."""
        # APScheduler would wait with its locks held, which a failing job needs to ask for another try.
        self._scheduler.shutdown(wait=False)
        self._executor.shutdown(wait=True)
        log.info("scheduler stopped")

    def take_turn(self, name: str) -> None:
        """Run a job for its present turn, unless another process has; never raises what may pass."""
        now = utc_now()
        try:
            outcome = run_job(name, self._database, now, due_at=JOBS[name].due_at(now))
        except (SQLAlchemyError, BusyError, SetupError) as error:
            reason = str(error).partition("\n")[0]
            log.warning("job failed", job=name, reason=reason, retry_s=RETRY_AFTER.seconds)
            self._try_again(name, now)
        else:
            if outcome.count:
                log.info("job done", job=name, detail=outcome.detail)

    def _try_again(self, name: str, now: datetime) -> None:
        try:
            self._database.revive()
        except SetupError as error:
            log.warning("database is down", reason=str(error))
        self._scheduler.add_job(
            self.take_turn,
            DateTrigger(now + RETRY_AFTER),
            args=[name],
            id=f"{name}:retry",
            replace_existing=True,
        )


def _cron_fields(every: timedelta) -> dict[str, str]:
    minutes = int(every.total_seconds() // 60)
    if minutes < 60:
        return {"minute": f"*/{minutes}"}
    return {"hour": f"*/{minutes // 60}", "minute": "0"}


def run_until_stopped(scheduler: Scheduler, *, with_parent: bool = False) -> None:
    """Run until SIGINT or SIGTERM, or ``with_parent`` until whoever holds the other end of stdin is gone."""
    with _woken_by_signals() as (bed, alarm):
        scheduler.start()
        if with_parent:
            threading.Thread(target=_ring_at_end_of_input, args=(alarm,), daemon=True).start()
        bed.recv(1)
        scheduler.stop()


def _ring_at_end_of_input(alarm: socket) -> None:
    # However the parent ends, even killed, its end of the pipe closes.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    alarm.send(b"!")


@contextmanager
def _woken_by_signals() -> Iterator[tuple[socket, socket]]:
    """Yield a socket to wait on, and its other end, into which a byte goes when the process is told to stop.

    The interpreter writes the byte the moment the signal comes. A handler in Python would run too late where the
    signal comes just before a wait, and could lock up where it finds the interrupted code in a lock.
    """
    bed, alarm = socketpair()
    alarm.setblocking(False)
    before = {number: signal.signal(number, _do_nothing) for number in (signal.SIGINT, signal.SIGTERM)}
    fd_before = signal.set_wakeup_fd(alarm.fileno(), warn_on_full_buffer=False)
    try:
        yield bed, alarm
    finally:
        signal.set_wakeup_fd(fd_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        bed.close()
        alarm.close()


def _do_nothing(number: int, frame: FrameType | None) -> None:
    pass
