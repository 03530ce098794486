"""How far customers are brought up to a ladder, and whether they moved as was previewed: for pages and commands."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert, select, text, update

from rewards.applying.tables import LadderApplicationRow
from tiers.ladder import Stretch

_applications = LadderApplicationRow.__table__  # type: ignore[attr-defined]
_EVER_SINCE = datetime(1970, 1, 1, tzinfo=UTC)
#: So many customers who moved otherwise than previewed are named.
MOST_EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class Application:
    """A bulk application of a ladder as it is stored.

    Attributes:
        version: of the program that brought the ladder.
        effective_from: when it came into force, or will.
        preview_id: the preview that it was published with.
        total: customers to bring up.
        done: how many have been.
        moved: who came into another tier by it; known when it is finished.
        otherwise: how many of them moved otherwise than previewed; None where nothing was previewed.
        examples: the first of those, each with ``customer_id``, ``previewed`` and ``moved``, and these with ``from``
            and ``to``, or None.
    """

    version: int
    effective_from: datetime
    preview_id: str | None
    total: int
    done: int
    moved: int
    started_at: datetime | None
    finished_at: datetime | None
    otherwise: int | None
    examples: Any

    @property
    def state(self) -> str:
        """Whether it is ``waiting``, ``running`` (or cut short) or ``done``."""
        if self.finished_at is not None:
            return "done"
        return "waiting" if self.started_at is None else "running"

    @property
    def told(self) -> str:
        """Say in a sentence how it stands."""
        if self.state == "waiting":
            return "Customers are brought up to the ladder when it is in force."
        if self.state == "running":
            return f"{self.done:,} of {self.total:,} customers are brought up to the ladder."
        text_ = f"All customers are brought up to the ladder; {self.moved:,} came into another tier."
        if self.otherwise is None:
            return text_
        if not self.otherwise:
            return f"{text_} Each moved as was previewed."
        verb = "customer moved" if self.otherwise == 1 else "customers moved"
        because = "because something happened to them meanwhile"
        return f"{text_} {self.otherwise:,} {verb} otherwise than previewed, {because}."

    def as_json(self) -> dict[str, Any]:
        """Return it in the API's shape."""
        return {
            "version": self.version,
            "effective_from": self.effective_from,
            "state": self.state,
            "customers": self.total,
            "done": self.done,
            "moved": self.moved,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "otherwise_than_previewed": self.otherwise,
            "examples": self.examples or [],
        }


def expect_application(conn: Connection, version: int, effective_from: datetime, preview_id: str) -> None:
    """Store that a version was published with a preview of who moves."""
    conn.execute(
        insert(_applications).values(version=version, effective_from=effective_from, preview_id=preview_id)
    )


def begin_application(conn: Connection, stretch: Stretch, left: int) -> Application:
    """Store that an application begins, or goes on, with so many customers left; return it."""
    row = conn.execute(
        text("""
        INSERT INTO ladder_applications AS a (version, effective_from, total, started_at)
        VALUES (:version, :effective_from, :left, clock_timestamp())
        ON CONFLICT (version, effective_from) DO UPDATE
        SET total = greatest(a.total, a.done + :left), started_at = coalesce(a.started_at, clock_timestamp()),
            finished_at = NULL
        RETURNING *"""),
        {"version": stretch.version, "effective_from": stretch.since or _EVER_SINCE, "left": left},
    ).one()
    return _application(row)


def note_application(conn: Connection, application: Application, *, done: int, total: int) -> None:
    """Store how far it is."""
    conn.execute(update(_applications).where(*_is(application)).values(done=done, total=total))


# Who moved by the ladder itself: what happened to a customer later is another move. A step by way of the first tier,
# which nobody skips, is no move of its own.
_MOVED_AT_ONCE = """
SELECT customer_id, (array_agg(from_tier ORDER BY move_seq))[1] AS from_tier,
       (array_agg(to_tier ORDER BY move_seq DESC))[1] AS to_tier
FROM moves WHERE at = :effective_from AND reason = 'program' AND program_version = :version GROUP BY customer_id"""
# A ladder that is in force since before it was published: all that came of it up to then, and what it corrects.
_MOVED_SINCE = """
SELECT customer_id, (array_agg(from_tier ORDER BY move_seq))[1] AS from_tier,
       (array_agg(to_tier ORDER BY move_seq DESC))[1] AS to_tier
FROM moves
WHERE recorded_at >= :published_at AND (at <= :published_at OR reason IN ('program', 'corrected'))
GROUP BY customer_id"""
_COMPARED = """
WITH moved AS ({moved}), compared AS (
    SELECT coalesce(p.customer_id, m.customer_id) AS customer_id,
           p.customer_id IS NOT NULL AS is_previewed, p.from_tier AS previewed_from, p.to_tier AS previewed_to,
           m.customer_id IS NOT NULL AS has_moved, m.from_tier, m.to_tier
    FROM (SELECT * FROM previewed_moves WHERE preview_id = :preview_id) AS p
    FULL JOIN (SELECT * FROM moved WHERE from_tier IS DISTINCT FROM to_tier) AS m USING (customer_id))
SELECT *, count(*) OVER () AS otherwise FROM compared
WHERE NOT (is_previewed AND has_moved
           AND previewed_from IS NOT DISTINCT FROM from_tier AND previewed_to IS NOT DISTINCT FROM to_tier)
ORDER BY customer_id LIMIT :most"""


def finish_application(conn: Connection, application: Application, stretch: Stretch) -> Application:
    """Store that all customers are brought up, and how they moved; return it as it is then."""
    published_at = conn.execute(
        text("SELECT published_at FROM program_versions WHERE version = :version"),
        {"version": application.version},
    ).scalar_one()
    is_late = stretch.since is None or stretch.since < published_at
    named = {
        "effective_from": application.effective_from,
        "version": application.version,
        "published_at": published_at,
    }
    moved = _MOVED_SINCE if is_late else _MOVED_AT_ONCE
    count = conn.execute(
        text(f"SELECT count(*) FROM ({moved}) AS m WHERE from_tier IS DISTINCT FROM to_tier"),  # noqa: S608 - ours
        named,
    ).scalar_one()
    values: dict[str, Any] = {"moved": count, "done": application.total}
    if application.preview_id is not None:
        differences = conn.execute(
            text(_COMPARED.format(moved=moved)),
            {**named, "preview_id": application.preview_id, "most": MOST_EXAMPLES},
        ).all()
        values["otherwise"] = differences[0].otherwise if differences else 0
        values["examples"] = [_difference(each) for each in differences]
    row = conn.execute(
        update(_applications)
        .where(*_is(application))
        .values(finished_at=text("clock_timestamp()"), **values)
        .returning(_applications)
    ).one()
    return _application(row)


def read_application(conn: Connection, version: int) -> Application | None:
    """Return the application of a version's ladder; None where there is none, as where it moves nobody."""
    query = select(_applications).where(_applications.c.version == version)
    row = conn.execute(query.order_by(_applications.c.effective_from.desc()).limit(1)).one_or_none()
    return None if row is None else _application(row)


def latest_application(conn: Connection) -> Application | None:
    """Return the application that began last, or waits; None where there was none."""
    columns = _applications.c
    query = select(_applications).order_by(columns.started_at.desc().nulls_first(), columns.version.desc())
    row = conn.execute(query.limit(1)).one_or_none()
    return None if row is None else _application(row)


def _difference(row: Any) -> dict[str, Any]:
    previewed = {"from": row.previewed_from, "to": row.previewed_to} if row.is_previewed else None
    moved = {"from": row.from_tier, "to": row.to_tier} if row.has_moved else None
    return {"customer_id": row.customer_id, "previewed": previewed, "moved": moved}


def _is(application: Application) -> tuple[Any, Any]:
    columns = _applications.c
    return columns.version == application.version, columns.effective_from == application.effective_from


def _application(row: Any) -> Application:
    values = {name: getattr(row, name) for name in Application.__slots__}
    for name in ("effective_from", "started_at", "finished_at"):
        if values[name] is not None:
            values[name] = values[name].astimezone(UTC)
    return Application(**values)
