"""Previews of who moves, kept: for pages that list them, and to compare with what a ladder then did."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, RowMapping, delete, insert, select

from rewards.applying.tables import LadderApplicationRow, MovePreviewRow, PreviewedMoveRow
from rewards.preview.moves import MovesReport
from tiers.preview import Moved

_previews = MovePreviewRow.__table__  # type: ignore[attr-defined]
_moves = PreviewedMoveRow.__table__  # type: ignore[attr-defined]
_applications = LadderApplicationRow.__table__  # type: ignore[attr-defined]

#: Older ones than the last so many are forgotten, but for those that a ladder was published with.
MOST_KEPT = 20
_COPY = "COPY previewed_moves (preview_id, customer_id, from_tier, to_tier, until) FROM STDIN"


@dataclass(frozen=True, slots=True)
class KeptMoves:
    """A preview of who moves as it is stored; ``report`` is in the API's shape."""

    preview_id: str
    digest: str
    made_at: datetime
    report: Any


def keep_moves(conn: Connection, report: MovesReport, preview_id: str | None = None) -> str:
    """Store a preview and return its id."""
    preview_id = preview_id or uuid4().hex
    _forget_old(conn)
    conn.execute(
        insert(_previews).values(
            preview_id=preview_id, digest=report.digest, made_at=report.as_of, report=report.as_json()
        )
    )
    driver: Any = conn.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
        for each in report.moved:
            copy.write_row((preview_id, *each))
    return preview_id


def _forget_old(conn: Connection) -> None:
    kept = select(_previews.c.preview_id).order_by(_previews.c.made_at.desc()).limit(MOST_KEPT - 1)
    used = select(_applications.c.preview_id).where(_applications.c.preview_id.is_not(None))
    old = list(
        conn.scalars(
            select(_previews.c.preview_id).where(
                _previews.c.preview_id.not_in(kept), _previews.c.preview_id.not_in(used)
            )
        )
    )
    if old:
        for table in (_moves, _previews):
            conn.execute(delete(table).where(table.c.preview_id.in_(old)))


def read_moves(conn: Connection, preview_id: str) -> KeptMoves | None:
    """Return a preview's figures; None where there is none such."""
    row = conn.execute(select(_previews).where(_previews.c.preview_id == preview_id)).one_or_none()
    return None if row is None else _kept(row)


def moves_with(conn: Connection, digest: str) -> KeptMoves | None:
    """Return the last preview that has a digest; None where none is kept."""
    query = select(_previews).where(_previews.c.digest == digest).order_by(_previews.c.made_at.desc())
    row = conn.execute(query.limit(1)).one_or_none()
    return None if row is None else _kept(row)


def _kept(row: Any) -> KeptMoves:
    return KeptMoves(row.preview_id, row.digest, row.made_at.astimezone(UTC), row.report)


def moves_page(
    conn: Connection,
    preview_id: str,
    *,
    most: int,
    skip: int = 0,
    step: tuple[str | None, str | None] | None = None,
) -> Sequence[RowMapping]:
    """Return some of those who move, by their ids; of one step, where ``step`` says which."""
    query = select(_moves.c["customer_id", "from_tier", "to_tier", "until"]).where(
        _moves.c.preview_id == preview_id
    )
    if step is not None:
        query = query.where(
            _moves.c.from_tier.is_not_distinct_from(step[0]), _moves.c.to_tier.is_not_distinct_from(step[1])
        )
    return conn.execute(query.order_by(_moves.c.customer_id).limit(most).offset(skip)).mappings().all()


def moves_after(conn: Connection, preview_id: str, after: str, most: int) -> Sequence[RowMapping]:
    """Return those who move and whose ids come after one."""
    query = select(_moves.c["customer_id", "from_tier", "to_tier", "until"]).where(
        _moves.c.preview_id == preview_id, _moves.c.customer_id > after
    )
    return conn.execute(query.order_by(_moves.c.customer_id).limit(most)).mappings().all()


def count_otherwise(conn: Connection, preview_id: str, moved: Sequence[Moved]) -> int:
    """Return how many customers move otherwise than a kept preview has it."""
    query = select(_moves.c["customer_id", "from_tier", "to_tier"]).where(_moves.c.preview_id == preview_id)
    before = {row.customer_id: (row.from_tier, row.to_tier) for row in conn.execute(query)}
    after = {each.customer_id: (each.from_tier, each.to_tier) for each in moved}
    return sum(before.get(each) != after.get(each) for each in before.keys() | after.keys())
