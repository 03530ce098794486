"""A trial from the database: its terms from the program's versions, who was exposed from the facts.

A person's merged identities are one customer here. Who stands in one arm by one identity and in the other by another is
left out and counted; otherwise the first exposure counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from rewards.metrics.effect.trial import Primary, Redeemed, Trial
from rewards.metrics.orders import day_number
from rewards.program.experiments import HoldoutRun, holdout_runs
from rewards.program.history import ProgramHistory
from rewards.program.rules import parse_local_moment
from rewards.program.segments import Campaign

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rewards.metrics.source import Source

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = 1_000_000

# Taking part is having earned points in the trial's time. Whoever is in the holdout has by that, or by points given by
# hand, got what it was to be kept from.
_TRIAL = """
COPY (
    SELECT s.unit_no,
           CASE WHEN count(DISTINCT e.arm) > 1 THEN -1 WHEN min(e.arm) = 'program' THEN 1 ELSE 0 END,
           CAST(extract(epoch FROM min(e.exposed_at)) * 1000000 AS bigint),
           CAST(min(e.exposed_at) AT TIME ZONE %(zone)s AS date) - DATE '1970-01-01',
           array_position(%(sources)s::text[], (array_agg(e.source ORDER BY e.exposed_at))[1]),
           CAST(bool_or(EXISTS (
               SELECT FROM assignments AS a
               WHERE a.customer_id = e.customer_id AND a.experiment_id = %(experiment)s)) AS integer),
           CAST(bool_or(EXISTS (
               SELECT FROM activities AS a
               WHERE a.customer_id = e.customer_id AND a.points > 0
                 AND a.occurred_at >= e.exposed_at AND a.occurred_at < %(ends_at)s
           ) OR e.arm = 'holdout' AND EXISTS (
               SELECT FROM entries AS n
               WHERE n.customer_id = e.customer_id AND n.kind = 'adjust' AND n.points > 0
                 AND n.occurred_at >= e.exposed_at AND n.occurred_at < %(ends_at)s
           )) AS integer)
    FROM exposures AS e
    LEFT JOIN identities AS i ON i.customer_id = e.customer_id
    JOIN customer_stats AS s ON s.customer_id = coalesce(i.same_as, e.customer_id)
    WHERE e.experiment_id = %(experiment)s AND e.exposed_at < %(ends_at)s AND NOT s.excluded
    GROUP BY s.unit_no ORDER BY s.unit_no
) TO STDOUT (FORMAT BINARY)"""

_REDEEMED = text("""
SELECT s.unit_no, CAST(extract(epoch FROM r.occurred_at) * 1000000 AS bigint),
       CAST(r.occurred_at AT TIME ZONE :zone AS date) - DATE '1970-01-01',
       CAST(round(CAST(r.value_minor AS numeric) * (r.captured - r.reinstated) / r.captured) AS bigint)
FROM redemptions AS r
LEFT JOIN identities AS i ON i.customer_id = r.customer_id
JOIN customer_stats AS s ON s.customer_id = coalesce(i.same_as, r.customer_id)
WHERE r.captured > 0 AND r.currency = :currency""")
_SOURCES = text("SELECT DISTINCT source FROM exposures WHERE experiment_id = :experiment ORDER BY source")
_NEWEST = text("SELECT min(exposed_at) FROM exposures WHERE experiment_id = :experiment HAVING count(*) > 0")
_FOR_EVER = datetime(9999, 1, 1, tzinfo=UTC)


class Missing(NamedTuple):
    """Why there is no trial, in a sentence."""

    reason: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What was said of a trial beforehand. Instants are UTC.

    Attributes:
        experiment_id: its name.
        is_campaign: whether it is a campaign's holdout rather than the program's.
        starts_at: when it began.
        ends_at: from when on the holdout takes part too; None for never.
        planned_end: when its result was to be read; None where that was not said.
        share: of the holdout, between 0 and 1; None where others drew.
        primary: the outcome that it is judged by.
        is_staggered: whether the holdout joins soon.
        offer_days: for how long a campaign's offer stands.
    """

    experiment_id: str
    is_campaign: bool
    starts_at: datetime
    ends_at: datetime | None
    planned_end: datetime | None
    share: float | None
    primary: Primary
    is_staggered: bool = False
    offer_days: int | None = None


def trials_known(programs: ProgramHistory) -> list[Terms]:
    """Return the terms of every trial that was published: the program's holdouts, then campaigns, by their start."""
    return [*map(_holdout_terms, holdout_runs(programs)), *_campaign_terms(programs)]


def read_trial(
    source: "Source", experiment: str | None = None, *, with_redeemed: bool = False
) -> Trial | Missing:
    """Return a trial's customers as of the source's end: the program's holdout that began last unless one is named.

    Args:
        source: whose end decides which trial is the last.
        experiment: a holdout's or a campaign's id.
        with_redeemed: read what customers redeemed, too.
    """
    if source.conn is None or source.programs is None:
        return Missing("Who was held out is only known in the shop's database.")
    terms = _find(source, source.conn, source.programs, experiment)
    if isinstance(terms, Missing):
        return terms
    trial = read_terms(source, terms)
    return replace(trial, redeemed=_read_redeemed(source.conn, source)) if with_redeemed else trial


def _read_redeemed(conn: Connection, source: "Source") -> Redeemed:
    import numpy as np

    rows = conn.execute(_REDEEMED, {"zone": source.zone.key, "currency": source.currency}).all()
    columns = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 4).T
    return Redeemed(columns[0].astype(np.int32), columns[1], columns[2].astype(np.int32), columns[3])


def read_terms(source: "Source", terms: Terms) -> Trial:
    """Return the customers of a trial whose terms are known; the source has a database."""
    assert source.conn is not None
    return _read(source.conn, terms, source.zone)


def _find(
    source: "Source", conn: Connection, programs: ProgramHistory, experiment: str | None
) -> Terms | Missing:
    known = trials_known(programs)
    if experiment is None:
        holdouts = [each for each in known if not each.is_campaign]
        begun = [each for each in holdouts if each.starts_at < source.ends_at]
        if begun:
            return begun[-1]
        if holdouts:
            return Missing(f"The holdout {holdouts[0].experiment_id} begins after {source.as_of}.")
        return Missing(
            "The program has no holdout: without customers who are kept out by lot nobody can tell what it changed. "
            "`rewards program holdout` says how many it takes, and for how long."
        )
    found = next((each for each in known if each.experiment_id == experiment), None)
    if found is not None:
        return found
    first = conn.execute(_NEWEST, {"experiment": experiment}).scalar_one_or_none()
    if first is None:
        names = ", ".join(each.experiment_id for each in known) or "none"
        return Missing(f"There is no trial {experiment}; there are: {names}.")
    return Terms(experiment, False, first, None, None, None, "repeat-rate")


def _holdout_terms(run: HoldoutRun) -> Terms:
    terms = run.terms
    return Terms(
        terms.experiment_id,
        False,
        terms.starts_at,
        run.exposes_until,
        terms.planned_end,
        terms.share / 10_000,
        cast("Primary", terms.primary.removesuffix("-90d")),
        terms.staggered,
    )


def _campaign_terms(programs: ProgramHistory) -> list[Terms]:
    found: dict[str, Terms] = {}
    for version in programs.versions:
        for campaign in version.document.campaigns:
            found[campaign.id] = _terms_of(campaign, version.document.zone)
    return sorted(found.values(), key=lambda each: (each.starts_at, each.experiment_id))


def _terms_of(campaign: Campaign, zone: ZoneInfo) -> Terms:
    # The holdout never gets the offer, so that what is bought after the campaign counts too.
    return Terms(
        campaign.id,
        True,
        parse_local_moment(campaign.from_).replace(tzinfo=zone).astimezone(UTC),
        None,
        None,
        campaign.holdout_pct / 100,
        "repeat-rate",
        offer_days=campaign.offer_days,
    )


def _read(conn: Connection, terms: Terms, zone: ZoneInfo) -> Trial:
    import numpy as np

    named: dict[str, Any] = {"experiment": terms.experiment_id}
    sources = [str(each) for each in conn.execute(_SOURCES, named).scalars()]
    named |= {"zone": zone.key, "sources": sources, "ends_at": terms.ends_at or _FOR_EVER}
    columns = _columns(_copied(conn, _TRIAL, named))
    across = columns["arm"] < 0
    keep = np.flatnonzero(~across)
    arm = columns["arm"][keep].astype(np.int8)
    earned = columns["earned"][keep] == 1
    # An offer is taken up by buying, which is what is compared: who was offered it has taken part.
    enrolled = arm == 1 if terms.is_campaign else earned
    return Trial(
        experiment_id=terms.experiment_id,
        share=terms.share,
        unit=columns["unit"][keep].astype(np.int32),
        arm=arm,
        exposed_at=columns["exposed_at"][keep].astype(np.int64),
        exposed_day=columns["exposed_day"][keep].astype(np.int32),
        enrolled=enrolled,
        contaminated=enrolled & (arm == 0),
        logged_by=(columns["source"][keep] - 1).astype(np.int8),
        drawn=columns["assigned"][keep] == 0,
        ends_at=None if terms.ends_at is None else _micros(terms.ends_at),
        ends_day=_day(terms.ends_at, zone),
        planned_end=_day(terms.planned_end, zone),
        is_staggered=terms.is_staggered,
        primary=terms.primary,
        merged_across_arms=int(across.sum()),
        subject="offer" if terms.is_campaign else "program",
        logged_names=tuple(sources),
    )


def _micros(at: datetime) -> int:
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * _MICROSECOND + since.microseconds


def _day(at: datetime | None, zone: ZoneInfo) -> int | None:
    return None if at is None else day_number(at.astimezone(zone).date())


def _copied(conn: Connection, statement: str, values: dict[str, Any]) -> bytearray:
    driver: Any = conn.connection.driver_connection
    copied = bytearray()
    with driver.cursor() as cursor, cursor.copy(statement, values) as copy:
        for part in copy:
            copied += part
    return copied


#: In the order of the statement's columns; all are integers of four bytes but the instant.
_FIELDS: Sequence[tuple[str, str]] = (
    ("unit", ">i4"),
    ("arm", ">i4"),
    ("exposed_at", ">i8"),
    ("exposed_day", ">i4"),
    ("source", ">i4"),
    ("assigned", ">i4"),
    ("earned", ">i4"),
)


def _columns(copied: bytearray) -> "dict[str, NDArray[Any]]":
    """Return the arrays that the rows make in COPY's binary form, in which each field stands after its length."""
    import numpy as np

    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in _FIELDS:
        fields += [(f"{name}_length", ">i4"), (name, kind)]
    row = np.dtype(fields)
    head, end = 19, 2
    count = (len(copied) - head - end) // row.itemsize
    rows = np.frombuffer(copied, dtype=row, count=count, offset=head)
    return {name: rows[name].astype(kind[1:]) for name, kind in _FIELDS}
