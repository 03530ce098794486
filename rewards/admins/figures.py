"""What the overview of the admin pages tells: how the program stands, and what waits for somebody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select, text

from rewards.jobs import JOBS, Job, last_runs, running_jobs
from rewards.ledger.referral_tables import ReferralRow
from rewards.ledger.tables import AccountRow

WEEKS = 26
#: A job whose last turn is so many turns ago is nobody's any more: no scheduler runs.
_TURNS_MISSED = 3

_accounts = AccountRow.__table__  # type: ignore[attr-defined]
_referrals = ReferralRow.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Week:
    """Points that came and went in a week, which begins on a Monday of the program's time zone."""

    monday: date
    awarded: int
    redeemed: int


@dataclass(frozen=True, slots=True)
class Figures:
    """How the program stands.

    Attributes:
        at: when that was so.
        customers: how many there are.
        outstanding: points of all customers, those on hold included, less what some owe.
        in_tiers: how many customers are in each tier, as it was last booked; None is in none.
        by_tier: of the points, those of the customers in each tier.
        pending: of those, points that are still to become available.
        awards, redemptions: how many there were in the last seven days.
        weeks: oldest first, the present one last.
    """

    at: datetime
    customers: int
    outstanding: int
    in_tiers: Mapping[str | None, int]
    by_tier: Mapping[str | None, int]
    pending: int
    awards: int
    redemptions: int
    weeks: Sequence[Week]


def read_figures(conn: Connection, zone: ZoneInfo, now: datetime) -> Figures:
    """Work the figures out. It reads half a year of entries: keep the answer for a while."""
    tiers = conn.execute(
        select(
            _accounts.c.tier,
            func.count(),
            func.sum(_accounts.c.balance + _accounts.c.held),
            func.sum(_accounts.c.pending),
        ).group_by(_accounts.c.tier)
    ).all()
    recent = {"since": now - timedelta(days=7), "until": now}
    awards, redemptions = conn.execute(_RECENT, recent).one()
    return Figures(
        at=now,
        customers=sum(count for _, count, _, _ in tiers),
        outstanding=sum(int(points) for _, _, points, _ in tiers),
        in_tiers={tier: count for tier, count, _, _ in tiers},
        by_tier={tier: int(points) for tier, _, points, _ in tiers},
        pending=sum(int(pending) for _, _, _, pending in tiers),
        awards=awards,
        redemptions=redemptions,
        weeks=_weeks(conn, zone, now),
    )


#: By when things occurred, as the shop says. A hold is spent until it is released.
_RECENT = text("""
SELECT count(*) FILTER (WHERE kind = 'award'), count(*) FILTER (WHERE kind IN ('redeem', 'hold'))
FROM entries WHERE occurred_at >= :since AND occurred_at <= :until AND kind IN ('award', 'redeem', 'hold')
""")
_BY_WEEK = text("""
SELECT CAST(date_trunc('week', occurred_at AT TIME ZONE :zone) AS date) AS monday,
       CAST(coalesce(sum(points) FILTER (WHERE kind = 'award'), 0) AS bigint) AS awarded,
       CAST(coalesce(-sum(points) FILTER (WHERE kind <> 'award'), 0) AS bigint) AS redeemed
FROM entries
WHERE occurred_at >= :since AND occurred_at <= :until AND kind IN ('award', 'redeem', 'hold', 'release', 'reinstate')
GROUP BY 1
""")


def _weeks(conn: Connection, zone: ZoneInfo, now: datetime) -> list[Week]:
    today = now.astimezone(zone).date()
    this_monday = today - timedelta(days=today.weekday())
    mondays = [this_monday - timedelta(weeks=back) for back in reversed(range(WEEKS))]
    since = datetime.combine(mondays[0], datetime.min.time(), zone)
    rows = conn.execute(_BY_WEEK, {"zone": zone.key, "since": since, "until": now})
    by_week = {row.monday: row for row in rows}
    return [
        Week(monday, by_week[monday].awarded, by_week[monday].redeemed)
        if monday in by_week
        else Week(monday, 0, 0)
        for monday in mondays
    ]


def referrals_to_judge(conn: Connection) -> int:
    """Return how many referrals wait for somebody's judgement."""
    flagged = select(func.count()).select_from(_referrals).where(_referrals.c.status == "flagged")
    return int(conn.execute(flagged).scalar_one())


@dataclass(frozen=True, slots=True)
class JobState:
    """A job and how it last went."""

    job: Job
    started_at: datetime | None
    finished_at: datetime | None
    ok: bool | None
    detail: str
    next_at: datetime
    is_running: bool

    @property
    def was_cut_short(self) -> bool:
        """Whether its last run neither ended nor goes on: the process was killed."""
        return self.started_at is not None and self.finished_at is None and not self.is_running

    def is_late(self, now: datetime) -> bool:
        """Say whether its turns are taken by nobody."""
        return self.started_at is None or now - self.started_at > _TURNS_MISSED * self.job.every


def job_states(conn: Connection, now: datetime, jobs: Mapping[str, Job] = JOBS) -> list[JobState]:
    """Return every job with its last run and its next turn."""
    # In this order: what ends in between is told as ended.
    running, runs = running_jobs(conn), last_runs(conn)
    states = []
    for job in jobs.values():
        last = runs.get(job.name)
        states.append(
            JobState(
                job=job,
                started_at=last["started_at"] if last else None,
                finished_at=last["finished_at"] if last else None,
                ok=last["ok"] if last else None,
                detail=(last["detail"] or "") if last else "",
                next_at=job.due_at(now) + job.every,
                is_running=job.name in running and (last is None or last["finished_at"] is None),
            )
        )
    return states
