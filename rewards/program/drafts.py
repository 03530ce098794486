"""The one draft of the program that all admins share: kept as it was typed, valid or not, until it is published.

A draft is either text (where it was last edited as YAML, with its comments, and perhaps no YAML at all) or data (where
forms left it). Each save has a revision; who saves over a revision that they have not seen is told instead.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from rewards.program.checking import Remark, problems_of_rules
from rewards.program.document import ProgramDocument
from rewards.program.draft_tables import ProgramDraftRow
from rewards.program.history import ProgramHistory
from rewards.program.loading import (
    ProgramError,
    ProgramInvalid,
    as_yaml,
    cautions_of,
    load_text,
    parse_document,
    path_text,
)
from rewards.program.lots import drawn_anew
from rewards.program.yaml_reading import Unreadable, read

_drafts = ProgramDraftRow.__table__  # type: ignore[attr-defined]


class DraftChanged(Exception):
    """Somebody else saved meanwhile; ``current`` is what stands there now, None where there is no draft any more."""

    def __init__(self, current: "Draft | None") -> None:
        super().__init__("the draft was changed meanwhile")
        self.current = current


@dataclass(frozen=True)
class Draft:
    """A draft as it is stored.

    Attributes:
        text: as it was typed; None where forms edited it last.
        typed_data: as forms left it; None where it is text.
        based_on: the version that it changes.
        revision: grows with each save, and when a draft is thrown away.
    """

    text: str | None
    typed_data: Any
    based_on: int
    revision: int
    updated_at: datetime
    updated_by: str

    @cached_property
    def data(self) -> Any:
        """What it says as plain data; None where it is text that cannot be read."""
        return self.typed_data if self.text is None else data_of(self.text)

    @cached_property
    def as_text(self) -> str:
        """The draft as YAML, or as whatever was typed."""
        return as_yaml(self.typed_data) if self.text is None else self.text


@dataclass(frozen=True)
class Checked:
    """What is to be said of a draft.

    Attributes:
        document: what it says, None where it cannot be published.
        errors: why it cannot be.
        cautions: what is allowed but hardly meant; nothing is said of an invalid draft.
    """

    document: ProgramDocument | None
    errors: list[ProgramError]
    cautions: list[ProgramError]


def data_of(text: str) -> Any:
    """Return what a YAML text says as plain data, None where it cannot be read."""
    try:
        return storable(read(text).data)
    except Unreadable:
        return None


def storable(data: Any) -> Any:
    """Return plain data as JSON can carry it: numbers without end become text, which is as wrong as they are."""
    if isinstance(data, float) and not math.isfinite(data):
        return str(data)
    if isinstance(data, dict):
        return {str(name): storable(value) for name, value in data.items()}
    return [storable(each) for each in data] if isinstance(data, list | tuple) else data


def document_data(document: ProgramDocument) -> dict[str, Any]:
    """Return a document as plain data without what is as by default: what a new draft begins with."""
    data: dict[str, Any] = document.model_dump(mode="json", exclude_defaults=True)
    return data


def digest_of(data: Any) -> str:
    """Return a name for what data say, the same for the same and for nothing else."""
    canonical = json.dumps(data, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def check_draft(draft: Draft, now: datetime) -> Checked:
    """Return whether a draft can be published, and what is to be said of it."""
    if draft.text is not None:
        return check_text(draft.text, now)
    return check_data(draft.typed_data, now)


def check_text(text: str, now: datetime) -> Checked:
    """Check a draft that is text; what is said of it points at lines."""
    try:
        document = load_text(text)
    except ProgramInvalid as invalid:
        return Checked(None, invalid.errors, [])
    return Checked(document, [], cautions_of(document, now, text))


def check_data(data: Any, now: datetime) -> Checked:
    """Check a draft that is data. Its rules' conditions are checked even where something else is wrong with it."""
    try:
        document = parse_document(data)
    except ProgramInvalid as invalid:
        said = {error.path for error in invalid.errors}
        more = [_error(remark) for remark in problems_of_rules(data)]
        return Checked(None, [*invalid.errors, *(each for each in more if each.path not in said)], [])
    return Checked(document, [], cautions_of(document, now))


def check_against(checked: Checked, history: ProgramHistory, now: datetime) -> Checked:
    """Add what keeps a valid draft from being published after what was: lots of a holdout that it would draw anew."""
    if checked.document is None:
        return checked
    wrong = drawn_anew(history, checked.document, now)
    return Checked(None, wrong, []) if wrong else checked


def _error(remark: Remark) -> ProgramError:
    return ProgramError(path_text(remark.path), None, None, remark.message)


def read_draft(conn: Connection, *, lock: bool = False) -> Draft | None:
    """Return the draft, None where nobody works on one."""
    draft, _ = _read(conn, lock=lock)
    return draft


def draft_revision(conn: Connection) -> int:
    """Return the revision of the draft or, where there is none, of the last that there was; 0 for none ever."""
    return _read(conn, lock=False)[1]


def _read(conn: Connection, *, lock: bool) -> tuple[Draft | None, int]:
    query = select(_drafts)
    row = conn.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        return None, 0
    if row.text is None and row.data is None:
        return None, row.revision
    draft = Draft(
        text=row.text,
        typed_data=row.data,
        based_on=row.based_on,
        revision=row.revision,
        updated_at=row.updated_at.astimezone(UTC),
        updated_by=row.updated_by,
    )
    return draft, row.revision


def save_draft(
    conn: Connection,
    *,
    text: str | None = None,
    data: Any = None,
    based_on: int,
    over: int,
    now: datetime,
    actor: str,
) -> Draft:
    """Store a draft, in the caller's transaction, and return it.

    Args:
        conn: a connection within a transaction.
        text: what was typed as YAML, or else
        data: what forms say.
        based_on: the version that it changes.
        over: the revision that it was made from, which :func:`draft_revision` told.
        now: the present.
        actor: who saves.

    Raises:
        DraftChanged: somebody else saved meanwhile.
    """
    if (text is None) == (data is None):
        raise ValueError("a draft is either text or data")
    values: dict[str, Any] = {
        "text": None if text is None else text.replace("\x00", "\ufffd"),
        "data": None if data is None else storable(data),
        "based_on": based_on,
        "revision": over + 1,
        "updated_at": now,
        "updated_by": actor,
    }
    statement = insert(_drafts).values(draft_id=1, **values)
    saved = conn.execute(
        statement.on_conflict_do_update(
            index_elements=[_drafts.c.draft_id], set_=values, where=_drafts.c.revision == over
        ).returning(_drafts.c.revision)
    ).one_or_none()
    if saved is None:
        raise DraftChanged(read_draft(conn))
    draft = read_draft(conn)
    assert draft is not None
    return draft


def discard_draft(conn: Connection, *, over: int, now: datetime, actor: str) -> None:
    """Throw the draft away, in the caller's transaction.

    Raises:
        DraftChanged: somebody else saved meanwhile.
    """
    changed = conn.execute(
        update(_drafts)
        .where(_drafts.c.revision == over)
        .values(text=None, data=None, revision=over + 1, updated_at=now, updated_by=actor)
    )
    if changed.rowcount != 1:
        raise DraftChanged(read_draft(conn))
