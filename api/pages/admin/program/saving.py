"""Saving what was typed on a page into the draft, without overwriting what somebody else saved there meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from api.pages.admin.program.desk import Desk
from api.pages.admin.program.parts import Part
from api.pages.admin.session import Admin
from api.pages.document_form.editing import EditRefused, apply
from api.pages.document_form.kinds import ABSENT
from api.pages.document_form.naming import Path, look_up, name_of, path_of
from api.pages.document_form.reading import Posted
from rewards.admins.audit import record
from rewards.program.draft_differences import differences
from rewards.program.drafts import Draft, digest_of, save_draft

#: Of what is saved while somebody types, one line an hour's quarter is enough for the audit log.
_ONE_SITTING = timedelta(minutes=15)
SUBJECT = "program:draft"


class Unreadable(Exception):
    """The draft is text that no form can show, so no form can be saved into it."""


@dataclass(frozen=True)
class Saved:
    """What became of what was typed.

    Attributes:
        desk: the program with the draft as it is now.
        part: the page's part; it may have moved meanwhile.
        was_changed: whether anything was stored.
        is_kept: whether what was typed is what is stored; the desk has it in either case.
        focus: where to look next.
        is_new: whether that was only just added.
    """

    desk: Desk
    part: Part
    was_changed: bool
    focus: Path
    is_new: bool = False
    is_kept: bool = True


@dataclass(frozen=True)
class Conflict:
    """Somebody else saved the same part meanwhile, so nothing was stored.

    Attributes:
        desk: the program with their draft.
        data: their document with this part as it was typed.
        differences: what they saved and what was typed, by place.
    """

    desk: Desk
    part: Part
    data: dict[str, Any]
    differences: Sequence[tuple[str, str, str]]


def save_part(
    conn: Connection, desk: Desk, part: Part, posted: Posted, *, admin: Admin, by_hand: bool
) -> Saved | Conflict:
    """Store what was posted of a part, and carry out the button that was pressed, in the caller's transaction.

    Args:
        conn: a connection on which the draft's row is locked.
        desk: the program as it is there.
        part: the page's part of the document.
        posted: the form.
        admin: who sent it.
        by_hand: whether a button was pressed; otherwise it is saved while somebody types.

    Raises:
        Unreadable: no form can be saved into the draft.
        EditRefused: the button's place is not there.
        DraftChanged: somebody else begins a draft at this very moment.
    """
    if desk.data is None:
        raise Unreadable
    was, currency = _last(posted, "_was"), _last(posted, "_currency")
    value = part.typed(posted, desk.data, currency)
    here = _found_again(part, desk.data, was)
    action = _last(posted, "do") if by_hand else ""
    if here is None and ":" not in action and _says_the_same(part, desk.data, value):
        # Both typed the same, or one sent the same twice.
        here = part
    if here is None:
        return _conflict(desk, part, value)
    data = here.placed(desk.data, value)
    focus, is_new = here.path, False
    if ":" in action:
        data, focus, is_new = apply(data, _moved(action, part, here))
    if digest_of(data) == digest_of(desk.data):
        return Saved(desk, here, was_changed=False, focus=focus, is_new=is_new)
    if desk.has_comments and not by_hand:
        # Forms cannot keep the comments of a text, so they go only when somebody says so.
        typed = Draft(None, data, desk.based_on.version, desk.revision, desk.now, admin.actor)
        return Saved(replace(desk, draft=typed), here, was_changed=False, focus=focus, is_kept=False)
    draft = store(conn, desk, admin, data=data)
    if by_hand or _is_first_of_sitting(desk, admin, desk.now):
        detail = {"part": here.slug, **({"button": action} if ":" in action else {})}
        record(conn, admin=admin, action="draft.edited", subject=SUBJECT, detail=detail, now=desk.now)
    return Saved(
        replace(desk, draft=draft, revision=draft.revision),
        here,
        was_changed=True,
        focus=focus,
        is_new=is_new,
    )


def store(
    conn: Connection,
    desk: Desk,
    admin: Admin,
    *,
    data: Any = None,
    text: str | None = None,
    based_on: int | None = None,
) -> Draft:
    """Store a draft over the one on the desk.

    Raises:
        DraftChanged: it is no longer the one on the desk.
    """
    return save_draft(
        conn,
        data=data,
        text=text,
        based_on=desk.based_on.version if based_on is None else based_on,
        over=desk.revision,
        now=desk.now,
        actor=admin.actor,
    )


def is_first_of_sitting(desk: Desk, admin: Admin) -> bool:
    """Tell whether an edit while typing is worth a line in the audit log."""
    return _is_first_of_sitting(desk, admin, desk.now)


def _is_first_of_sitting(desk: Desk, admin: Admin, now: datetime) -> bool:
    draft = desk.draft
    return draft is None or draft.updated_by != admin.actor or now - draft.updated_at > _ONE_SITTING


def _last(posted: Posted, name: str) -> str:
    values = posted.get(name)
    return values[-1] if values else ""


def _found_again(part: Part, data: dict[str, Any], was: str) -> Part | None:
    """Return where what a page showed stands by now; None where it is no longer as it was shown."""
    if part.digest(data) == was:
        return part
    items = look_up(data, part.list_path) if part.is_item else None
    if not isinstance(items, list):
        return None
    found = [
        each
        for each in (_item(part.list_path, index) for index in range(len(items)))
        if each.digest(data) == was
    ]
    return found[0] if len(found) == 1 else None


def _says_the_same(part: Part, data: dict[str, Any], value: Any) -> bool:
    return part.exists(data) and digest_of(part.placed(data, value)) == digest_of(data)


def _item(list_path: Path, index: int) -> Part:
    path = (*list_path, index)
    return Part("/".join(map(str, path)), path)


def _moved(action: str, part: Part, here: Part) -> str:
    """Return a button's action with the place at which its item stands by now."""
    verb, _, name = action.partition(":")
    try:
        path = path_of(name)
    except ValueError as error:
        raise EditRefused(str(error)) from None
    if part.is_item and path[: len(part.path)] == part.path:
        path = (*here.path, *path[len(part.path) :])
    return f"{verb}:{name_of(path)}"


def _conflict(desk: Desk, part: Part, value: Any) -> Conflict:
    assert desk.data is not None
    theirs = look_up(desk.data, part.path) if part.path else _plain_values(desk.data)
    if part.is_item and not part.exists(desk.data):
        # It was taken out; sent again it is put in at the end.
        items = look_up(desk.data, part.list_path)
        part = _item(part.list_path, len(items) if isinstance(items, list) else 0)
    ours = None if value is ABSENT else value
    return Conflict(desk, part, part.placed(desk.data, value), differences(theirs, ours))


def _plain_values(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if not isinstance(value, dict | list)}
