"""What all pages of the program stand on: the versions, the draft that is worked on, and what is to be said of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from fastapi import Request, Response
from sqlalchemy import Connection

from api.deps import services_of
from api.pages.admin.program.parts import Part, part_of, top_parts
from api.pages.admin.render import admin_page, reading
from api.pages.admin.session import Admin
from api.pages.document_form.naming import name_of, path_in_text
from api.pages.document_form.nodes import Remark
from rewards.admins.accounts import names_of_actors
from rewards.core.clock import utc_now
from rewards.core.wording import minute
from rewards.program.drafts import (
    Checked,
    Draft,
    check_against,
    check_data,
    check_draft,
    document_data,
    draft_revision,
    read_draft,
)
from rewards.program.history import ProgramHistory, ProgramVersion

T = TypeVar("T")


class PartLink(NamedTuple):
    """A page of the draft in the list of all of them."""

    slug: str
    title: str
    errors: int
    cautions: int


class RemarkLink(NamedTuple):
    """Something to say about the draft, and where it can be mended."""

    remark: Remark
    place: str
    slug: str
    anchor: str


@dataclass(frozen=True)
class Desk:
    """The program as it is at one moment. Without a draft the newest version is what one would begin to change.

    Attributes:
        revision: the draft's, or the last one's that there was.
        names: of admins, by how versions and drafts call them.
    """

    history: ProgramHistory
    draft: Draft | None
    revision: int
    names: dict[str, str]
    now: datetime

    @property
    def newest(self) -> ProgramVersion:
        """The version published last."""
        return self.history.latest

    @property
    def in_force(self) -> ProgramVersion:
        """The version in force now."""
        return self.history.in_force(self.now)

    @property
    def based_on(self) -> ProgramVersion:
        """The version that the draft changes."""
        return self.newest if self.draft is None else self.history.by_version(self.draft.based_on)

    @property
    def scheduled(self) -> list[ProgramVersion]:
        """Versions that come into force later, the next one first, without those that never will."""
        later = [each for each in self.history.versions if each.effective_from > self.now]
        starts = sorted({each.effective_from for each in later})
        return [self.history.in_force(start) for start in starts]

    @cached_property
    def data(self) -> dict[str, Any] | None:
        """What the draft says as plain data; None where it is text that no form can show."""
        data = document_data(self.newest.document) if self.draft is None else self.draft.data
        return data if isinstance(data, dict) else None

    @property
    def currency(self) -> str:
        """The draft's currency, as it was typed."""
        return str((self.data or {}).get("currency", ""))

    @cached_property
    def checked(self) -> Checked:
        """Whether the draft can be published, and what is to be said of it."""
        if self.draft is None:
            return check_data(self.data, self.now)
        return check_against(check_draft(self.draft, self.now), self.history, self.now)

    @cached_property
    def remarks(self) -> list[Remark]:
        """The same, for forms."""
        return remarks_of(self.checked)

    @property
    def has_comments(self) -> bool:
        """Tell whether the draft is text with comments, which forms cannot keep."""
        text = self.draft.text if self.draft is not None else None
        return text is not None and any(
            line.lstrip().startswith("#") or " #" in line for line in text.splitlines()
        )

    def parts(self) -> list[PartLink]:
        """Return all pages of the draft with how much is to be said of each."""
        by_part: dict[str, list[Remark]] = {}
        for remark in self.remarks:
            slug = part_of(remark.path).slug.partition("/")[0]
            by_part.setdefault(slug, []).append(remark)
        return [
            PartLink(
                part.slug,
                part.title(self.data),
                errors=sum(each.kind == "error" for each in by_part.get(part.slug, ())),
                cautions=sum(each.kind == "caution" for each in by_part.get(part.slug, ())),
            )
            for part in top_parts()
        ]

    def linked(self, remark: Remark) -> RemarkLink:
        """Return a remark with where to mend what it is about."""
        part = part_of(remark.path)
        place = part.title(self.data)
        if part.is_item:
            place = f"{Part(str(part.path[0]), part.path[:1]).title(self.data)}: {place}"
        return RemarkLink(remark, place, part.slug, name_of(remark.path))

    def who(self, actor: str) -> str:
        """Return whom a version or draft names as its author."""
        return self.names.get(actor, actor)

    def local(self, instant: datetime) -> str:
        """Return an instant as the program's clock shows it."""
        return minute(instant, self.in_force.document.zone)


def remarks_of(checked: Checked) -> list[Remark]:
    """Return what was found as forms say it."""
    return [
        *(Remark(path_in_text(each.path), "error", _sentence(each.message)) for each in checked.errors),
        *(Remark(path_in_text(each.path), "caution", _sentence(each.message)) for each in checked.cautions),
    ]


def _sentence(message: str) -> str:
    return message[:1].upper() + message[1:]


def read_desk(conn: Connection, history: ProgramHistory) -> Desk:
    """Return the program as a connection sees it, with all that takes time to find out found out."""
    desk = Desk(
        history=history,
        draft=read_draft(conn),
        revision=draft_revision(conn),
        names=names_of_actors(conn),
        now=utc_now(),
    )
    _ = desk.remarks
    return desk


async def desk_of(request: Request, then: Callable[[Connection, Desk], T]) -> tuple[Desk, T]:
    """Return the program, and what ``then`` reads or works out of it in the same thread."""
    programs = services_of(request).programs

    def work(conn: Connection) -> tuple[Desk, T]:
        desk = read_desk(conn, programs.current(conn))
        return desk, then(conn, desk)

    return await reading(request, work)


async def the_desk(request: Request) -> Desk:
    """Return the program."""
    desk, _ = await desk_of(request, lambda _conn, _desk: None)
    return desk


def program_page(
    request: Request, admin: Admin, template: str, desk: Desk, status: int = 200, **about: Any
) -> Response:
    """Return one of the program's pages."""
    return admin_page(request, admin, f"program/{template}", status, desk=desk, **about)
