"""Jobs: work that is due by time, done once however many processes look after it.

Time itself changes what customers can spend; the jobs book it, so that the entries say so. They submit
``Settle`` commands to the engine, and settling is idempotent: a job that was cut short is simply run again.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol
from zlib import crc32

from sqlalchemy import Connection, RowMapping, Select, func, select, text, tuple_
from sqlalchemy.exc import SQLAlchemyError

from rewards.applying.bulk import apply_ladder
from rewards.core.database import Database
from rewards.core.errors import SetupError
from rewards.core.progress import Progress, unheard
from rewards.decide.commands import Settle
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.facts.refresh import rebuild, refresh
from rewards.ledger.referral_tables import ReferralRow
from rewards.ledger.referrals import queued
from rewards.ledger.tables import AccountRow, JobRunRow, RedemptionRow
from rewards.metrics.kept import keep
from rewards.profiles.celebrations import celebrate
from rewards.segments.running import run_segments

#: So many customers are settled in one transaction.
CHUNK_CUSTOMERS = 1_000
#: So many are looked up at once. At a month's end all may be due at one instant, which the index cannot tell
#: apart: each look-up then sorts all that are left, so there are to be few.
PAGE_CUSTOMERS = 50_000

#: First half of each job's advisory lock ("JOBS" in ASCII); the second half is made from the job's name.
_LOCK_SPACE = 0x4A4F4253
_NEVER_SCHEDULED = datetime(1970, 1, 1, tzinfo=UTC)

_accounts = AccountRow.__table__  # type: ignore[attr-defined]
_redemptions = RedemptionRow.__table__  # type: ignore[attr-defined]
_referral_rows = ReferralRow.__table__  # type: ignore[attr-defined]
_job_runs = JobRunRow.__table__  # type: ignore[attr-defined]


class JobFailed(SetupError):
    """A job did what it could and left something undone; the message says what."""


class Work(Protocol):
    """What a job does."""

    def __call__(self, database: Database, now: datetime, progress: Progress) -> "Done":
        """Do everything that is due at ``now``."""


@dataclass(frozen=True, slots=True)
class Done:
    """How much a job found to do, and what that came to, in one line."""

    count: int
    detail: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job, and how often the scheduler runs it; ``every`` divides a day."""

    name: str
    summary: str
    every: timedelta
    work: Work

    def due_at(self, now: datetime) -> datetime:
        """Return the last instant up to ``now`` at which the job was due."""
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight + (now - midnight) // self.every * self.every


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went, and in ``detail`` one line about it; ``count`` is how much there was to do."""

    status: Literal["done", "already-running", "not-due"]
    detail: str
    count: int = 0


def run_job(
    name: str,
    database: Database,
    now: datetime,
    progress: Progress = unheard,
    *,
    due_at: datetime | None = None,
) -> Outcome:
    """Do what one of :data:`JOBS` finds due at ``now``, unless another process is doing it; see :func:`run`.

    Raises:
        SetupError: there is no such job.
    """
    return run(find_job(name), database, now, progress, due_at=due_at)


def run(
    job: Job,
    database: Database,
    now: datetime,
    progress: Progress = unheard,
    *,
    due_at: datetime | None = None,
) -> Outcome:
    """Do what a job finds due at ``now``, unless another process is doing it.

    Args:
        job: what to run.
        database: where.
        now: up to when; what lies later is left alone.
        progress: told how many customers are done.
        due_at: the turn that the scheduler is taking: it is taken once across all processes. None where a
            person runs the job: the scheduler's turns are then as they were.
    """
    name = job.name
    with _lock(job, database) as connection:
        if connection is None:
            return Outcome("already-running", "already running in another process")
        if due_at is not None and _was_taken(connection, name, due_at):
            return Outcome("not-due", f"has run for {due_at.isoformat()}")
        _begin(connection, name, due_at)
        try:
            done = job.work(database, now, progress)
        except BaseException as error:
            detail = str(error) if isinstance(error, JobFailed) else type(error).__name__
            _finish_if_possible(connection, name, detail)
            raise
        _finish(connection, name, ok=True, detail=done.detail)
        return Outcome("done", done.detail, done.count)


def find_job(name: str) -> Job:
    """Return a job by its name.

    Raises:
        SetupError: there is no such job.
    """
    try:
        return JOBS[name]
    except KeyError:
        raise SetupError(f"There is no job {name!r}; there are: {', '.join(JOBS)}") from None


def last_runs(connection: Connection) -> dict[str, RowMapping]:
    """Return the ``job_runs`` row of each job that ever ran, by name."""
    return {row["name"]: row for row in connection.execute(select(_job_runs)).mappings()}


def running_jobs(connection: Connection) -> set[str]:
    """Return the names of the jobs that some process is at work on at this moment: it holds their locks."""
    held = connection.execute(
        text(
            "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = :space"
            " AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ),
        {"space": _LOCK_SPACE},
    )
    # The server lists the second half of a lock as an unsigned number.
    numbers = {int(number) for number in held.scalars()}
    return {name for name in JOBS if _lock_number(name) % 2**32 in numbers}


def _lock_number(name: str) -> int:
    return crc32(name.encode()) - 2**31


@contextmanager
def _lock(job: Job, database: Database) -> Iterator[Connection | None]:
    """Hold the job's lock for as long as the session lives; yield None where another session holds it.

    The connection commits each statement, so that it never keeps a transaction open while the job works.
    """
    keys = {"space": _LOCK_SPACE, "job": _lock_number(job.name)}
    with database.engine.connect() as plain:
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        if not connection.scalar(text("SELECT pg_try_advisory_lock(:space, :job)"), keys):
            yield None
            return
        try:
            yield connection
        finally:
            # Where the session is lost, the lock went with it.
            with suppress(SQLAlchemyError):
                connection.execute(text("SELECT pg_advisory_unlock(:space, :job)"), keys)


def _was_taken(connection: Connection, name: str, due_at: datetime) -> bool:
    found = connection.execute(
        select(_job_runs.c.due_at, _job_runs.c.ok).where(_job_runs.c.name == name)
    ).one_or_none()
    return found is not None and found.due_at >= due_at and found.ok is True


def _begin(connection: Connection, name: str, due_at: datetime | None) -> None:
    # What a person runs is not the scheduler's turn, so it leaves due_at alone.
    connection.execute(
        text(
            "INSERT INTO job_runs (name, due_at, started_at) VALUES (:name, :first_due_at, clock_timestamp())"
            " ON CONFLICT (name) DO UPDATE SET due_at = coalesce(:due_at, job_runs.due_at),"
            " started_at = clock_timestamp(), finished_at = NULL, ok = NULL, detail = NULL"
        ),
        {"name": name, "first_due_at": due_at or _NEVER_SCHEDULED, "due_at": due_at},
    )


def _finish(connection: Connection, name: str, *, ok: bool, detail: str) -> None:
    connection.execute(
        text(
            "UPDATE job_runs SET finished_at = clock_timestamp(), ok = :ok, detail = :detail"
            " WHERE name = :name"
        ),
        {"name": name, "ok": ok, "detail": detail[:500]},
    )


def _finish_if_possible(connection: Connection, name: str, detail: str) -> None:
    # Where that cannot be noted, the row still says that the run began and did not finish, which is so.
    with suppress(SQLAlchemyError):
        _finish(connection, name, ok=False, detail=detail)


def _expire(database: Database, now: datetime, progress: Progress) -> Done:
    due_at, customer_id = _accounts.c.next_change_at, _accounts.c.customer_id
    settled = _settle(database, select(due_at, customer_id).where(due_at <= now), "expire", now, progress)
    return Done(settled.customers, f"{settled.customers} customers settled, {settled.expired} points expired")


def _release_holds(database: Database, now: datetime, progress: Progress) -> Done:
    due_at, customer_id = _redemptions.c.hold_expires_at, _redemptions.c.customer_id
    due = select(due_at, customer_id).where(_redemptions.c.status == "held", due_at <= now)
    settled = _settle(database, due, "release-holds", now, progress)
    return Done(
        settled.customers, f"{settled.customers} customers settled, {settled.released} points released"
    )


@dataclass(slots=True)
class _Settled:
    customers: int = 0
    expired: int = 0
    released: int = 0


def _settle(
    database: Database, due: Select[datetime, str], name: str, now: datetime, progress: Progress
) -> _Settled:
    """Settle every customer that ``due``, a selection of (instant, customer), names.

    Raises:
        JobFailed: the engine could not settle some of them; the others are settled.
    """
    engine, settled, failed = Engine(database), _Settled(), 0
    for customers in _chunks(database, due):
        commands = [
            Submission(Settle(customer_id=customer_id), None, actor=f"job:{name}", remember_refusal=False)
            for customer_id in customers
        ]
        for answer in engine.execute(commands, now):
            if answer.status >= 500:
                failed += 1
                continue
            body = json.loads(answer.body)
            settled.expired += body.get("points_expired", 0)
            settled.released += body.get("points_released", 0)
        settled.customers += len(customers)
        progress(name, settled.customers, None)
    if failed:
        raise JobFailed(f"{failed} of {settled.customers} customers could not be settled; the log says why")
    return settled


def _chunks(database: Database, due: Select[datetime, str]) -> Iterator[list[str]]:
    """Yield the customers of ``due`` a thousand at a time, earliest instant first."""
    instant, customer_id = due.selected_columns.values()
    ordered = due.order_by(instant, customer_id).limit(PAGE_CUSTOMERS)
    page = ordered
    while True:
        with database.engine.connect() as connection:
            rows = connection.execute(page).all()
        if not rows:
            return
        customers = list(dict.fromkeys(row[1] for row in rows))
        for start in range(0, len(customers), CHUNK_CUSTOMERS):
            yield customers[start : start + CHUNK_CUSTOMERS]
        # Settled customers leave the selection; going on from the last row ends this even if one did not.
        page = ordered.where(tuple_(instant, customer_id) > tuple_(rows[-1][0], rows[-1][1]))


def _referrals(database: Database, now: datetime, progress: Progress) -> Done:
    """Send what referrals have still to bring about, and let those expire whose window has passed."""
    engine, sent, after = Engine(database), 0, ""
    while True:
        with database.engine.connect() as connection:
            customers = queued(connection, after, CHUNK_CUSTOMERS)
        if not customers:
            break
        sent += engine.follow_up(customers, now)
        after = customers[-1]
        progress("referrals", sent, None)
    closes_at, customer_id = _referral_rows.c.closes_at, _referral_rows.c.customer_id
    ended = select(closes_at, customer_id).where(
        _referral_rows.c.status.in_(("attributed", "approved")), closes_at <= now
    )
    expired = _settle(database, ended, "referrals", now, progress).customers
    with database.engine.connect() as connection:
        left = len(queued(connection, "", CHUNK_CUSTOMERS))
    if left:
        raise JobFailed(f"{left} referrals could not be followed up; the log says why")
    return Done(sent + expired, f"{sent} referrals followed up, {expired} expired")


def _tiers(database: Database, now: datetime, progress: Progress) -> Done:
    """Bring all up to the ladder in force, book what time has made of standings, and send welcomes that are due."""
    applied = apply_ladder(database, now, progress)
    due_at, customer_id = _accounts.c.standing_due_at, _accounts.c.customer_id
    due = select(due_at, customer_id).where(due_at <= now)
    # Settling sends the welcomes that are due right after; what fails is due still.
    settled = _settle(database, due, "tiers", now, progress).customers
    failed = applied.failed + _send_welcomes(database, now)
    if failed:
        raise JobFailed(f"{failed} customers could not be brought up or welcomed; the log says why")
    detail = f"{settled} customers settled"
    if applied.application is not None:
        detail = f"{detail}; version {applied.application.version}: {applied.application.told}"
    return Done(applied.customers + settled, detail)


def _send_welcomes(database: Database, now: datetime) -> int:
    """Send the welcomes that settling could not send; return for how many customers they are due still."""
    engine = Engine(database)
    # A welcome to give or to take back stands with the standing, and is due since that is as it is.
    due = select(_accounts.c.standing_due_at, _accounts.c.customer_id).where(
        _accounts.c.standing_due_at <= now,
        text("json_array_length(standing -> 15) + json_array_length(standing -> 16) > 0"),
    )
    for customers in _chunks(database, due):
        engine.welcome(customers, now)
    with database.engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(due.subquery())).scalar_one())


def _celebrations(database: Database, now: datetime, progress: Progress) -> Done:
    """Send the birthdays and anniversaries of the day, and of the last days where they were missed."""
    done = celebrate(database, now, progress)
    if done.failed:
        raise JobFailed(f"{done.failed} customers could not be celebrated; the log says why")
    detail = f"{done.birthdays} birthdays and {done.anniversaries} anniversaries, {done.points} points"
    return Done(done.birthdays + done.anniversaries, detail)


def _segments(database: Database, now: datetime, progress: Progress) -> Done:
    """Sort customers into segments, and make and end the offers of campaigns."""
    outcome = run_segments(database, now, progress)
    if outcome.ran.failed:
        raise JobFailed(f"{outcome.ran.failed} offers could not be made or ended; the log says why")
    return Done(outcome.counted.customers, outcome.told)


def _rollups(database: Database, now: datetime, progress: Progress) -> Done:
    """Bring the facts that metrics are worked out from up to what commands have changed, and then the dashboard."""
    done = refresh(database, now, progress)
    how = "all worked out anew" if done.rebuilt else "brought up"
    detail = f"{done.customers} customers {how}, generation {done.generation}"
    kept = keep(database, now, progress)
    if kept.metrics:
        detail += f"; {kept.metrics} metrics worked out"
    if kept.failed:
        # The others are there, and the dashboard says which are not: nothing is left to be done again.
        detail += f", of which failed: {', '.join(kept.failed)}"
    return Done(done.customers, detail)


def _rebuild(database: Database, now: datetime, progress: Progress) -> Done:
    done = rebuild(database, now, progress)
    detail = f"{done.customers} customers all worked out anew, {done.rows} rows differed"
    return Done(done.customers, f"{detail}, generation {done.generation}")


#: The job ``rollups`` where a person asks for everything to be worked out anew.
REBUILD = Job("rollups", "work out all facts that metrics rest on anew", timedelta(minutes=1), _rebuild)

JOBS: Mapping[str, Job] = {
    job.name: job
    for job in (
        Job(
            "release-holds",
            "give back the points of holds that have lapsed",
            timedelta(minutes=1),
            _release_holds,
        ),
        Job("expire", "book points that have expired or become available", timedelta(minutes=5), _expire),
        Job("referrals", "reward referrals, and take rewards back", timedelta(minutes=1), _referrals),
        Job("tiers", "bring standings up to the ladder and to the day", timedelta(minutes=5), _tiers),
        Job("rollups", "bring the facts that metrics rest on up to date", timedelta(minutes=1), _rollups),
        Job("celebrations", "give points for birthdays and anniversaries", timedelta(hours=1), _celebrations),
        Job(
            "segments",
            "sort customers into segments, and make campaigns' offers",
            timedelta(hours=1),
            _segments,
        ),
    )
}
