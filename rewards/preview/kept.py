"""Previews that go on in the background: what was asked for, how far it is, and what it found, for every process."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, delete, insert, select, update

from rewards.program.draft_tables import ProgramPreviewRow

_previews = ProgramPreviewRow.__table__  # type: ignore[attr-defined]

#: A process that was not heard of for so long is no more.
SILENCE = timedelta(seconds=60)
#: Older ones than the last so many are forgotten.
MOST_KEPT = 20


@dataclass(frozen=True, slots=True)
class KeptPreview:
    """A preview as it is stored.

    Attributes:
        state: ``running``, ``done``, ``failed`` or ``stopped``.
        revision: the draft's that it is of.
        done: customers replayed so far.
        total: customers to replay; None before that is known.
        report: the figures so far, in the API's shape; None before there are any.
    """

    preview_id: str
    state: str
    revision: int
    document: Any
    done: int
    total: int | None
    report: Any
    failure: str | None
    started_at: datetime
    started_by: str
    seen_at: datetime

    @property
    def is_running(self) -> bool:
        """Tell whether it goes on."""
        return self.state == "running"


def begin_preview(conn: Connection, document: Any, *, revision: int, now: datetime, actor: str) -> str:
    """Store that a preview begins, and return its id."""
    preview_id = uuid4().hex
    conn.execute(
        insert(_previews).values(
            preview_id=preview_id,
            state="running",
            revision=revision,
            document=document,
            done=0,
            started_at=now,
            started_by=actor,
            seen_at=now,
        )
    )
    kept = select(_previews.c.preview_id).order_by(_previews.c.started_at.desc()).limit(MOST_KEPT)
    conn.execute(delete(_previews).where(_previews.c.preview_id.not_in(kept)))
    return preview_id


def note_progress(
    conn: Connection, preview_id: str, now: datetime, *, done: int, total: int | None, report: Any = None
) -> bool:
    """Store how far a preview is; tell whether it is still wanted."""
    values: dict[str, Any] = {"done": done, "total": total, "seen_at": now}
    if report is not None:
        values["report"] = report
    return _change(conn, preview_id, values)


def end_preview(
    conn: Connection, preview_id: str, now: datetime, *, report: Any = None, failure: str | None = None
) -> None:
    """Store what a preview came to."""
    values: dict[str, Any] = {
        "state": "done" if failure is None else "failed",
        "seen_at": now,
        "failure": failure,
    }
    if report is not None:
        values["report"] = report
    _change(conn, preview_id, values)


def stop_preview(conn: Connection, preview_id: str, now: datetime) -> None:
    """Store that a preview is no longer wanted; what it found so far stays."""
    _change(conn, preview_id, {"state": "stopped", "seen_at": now})


def _change(conn: Connection, preview_id: str, values: dict[str, Any]) -> bool:
    running = (_previews.c.preview_id == preview_id) & (_previews.c.state == "running")
    return bool(conn.execute(update(_previews).where(running).values(**values)).rowcount)


def read_preview(conn: Connection, preview_id: str, now: datetime) -> KeptPreview | None:
    """Return a preview, None where there is none such."""
    row = conn.execute(select(_previews).where(_previews.c.preview_id == preview_id)).one_or_none()
    return None if row is None else _preview(row, now)


def recent_previews(conn: Connection, now: datetime) -> Sequence[KeptPreview]:
    """Return the previews that are kept, newest first."""
    return [
        _preview(row, now) for row in conn.execute(select(_previews).order_by(_previews.c.started_at.desc()))
    ]


def _preview(row: Any, now: datetime) -> KeptPreview:
    found = KeptPreview(**{name: getattr(row, name) for name in KeptPreview.__slots__})
    values = {name: getattr(found, name) for name in KeptPreview.__slots__}
    values["started_at"] = found.started_at.astimezone(UTC)
    values["seen_at"] = found.seen_at.astimezone(UTC)
    if found.is_running and now - values["seen_at"] > SILENCE:
        values["state"], values["failure"] = "failed", "The server that replayed was stopped meanwhile."
    return KeptPreview(**values)
