"""What admins send: the fields of a form, and how a list is to be sorted, filtered and turned over."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import urlencode

from fastapi import Request

T = TypeVar("T")

#: A page number beyond this is nobody's wish; the database would count to it all the same.
_LAST_PAGE = 10_000
_LONGEST_QUERY = 200


class Form:
    """The fields of a form, as typed. Nothing in it is checked; a name that nobody asks for does nothing."""

    def __init__(self, fields: Mapping[str, Sequence[str]] | None = None) -> None:
        self._fields = {name: list(values) for name, values in (fields or {}).items()}

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> "Form":
        """Make a form of pairs of name and value."""
        form = cls()
        for name, value in pairs:
            form._fields.setdefault(name, []).append(value)
        return form

    def text(self, name: str, default: str = "") -> str:
        """Return a field without the blanks around it, the last one where it was sent twice."""
        values = self._fields.get(name)
        return values[-1].strip() if values else default

    def raw(self, name: str, default: str = "") -> str:
        """Return a field exactly as sent: a password, or a document."""
        values = self._fields.get(name)
        return values[-1] if values else default

    def all(self, name: str) -> list[str]:
        """Return all values of a field, in order."""
        return list(self._fields.get(name, ()))

    def checked(self, name: str) -> bool:
        """Say whether a box was ticked."""
        return bool(self._fields.get(name))

    def without(self, names: Set[str]) -> "Form":
        """Return the same form without some fields."""
        return Form({name: values for name, values in self._fields.items() if name not in names})

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Yield all pairs of name and value."""
        for name, values in self._fields.items():
            for value in values:
                yield name, value

    def as_dict(self) -> dict[str, list[str]]:
        """Return all fields, each with its values in order."""
        return {name: list(values) for name, values in self._fields.items()}

    def __contains__(self, name: str) -> bool:
        return name in self._fields


@dataclass(frozen=True, slots=True)
class Listing:
    """How a list is wanted, read from an address that may say anything.

    Attributes:
        sort: one of the sorts that the list knows.
        descending: the other way around.
        page: from 1.
        size: rows on a page.
        filters: the filters that the list knows, each with its text; empty is: any.
        has_more: whether another page follows; set by :meth:`window`.
    """

    sort: str
    descending: bool
    page: int
    size: int
    filters: Mapping[str, str]
    default: tuple[str, bool]
    has_more: bool = False

    @classmethod
    def read(
        cls,
        request: Request,
        *,
        sorts: Iterable[str],
        default: str,
        descending: bool = False,
        filters: Iterable[str] = (),
        size: int = 25,
    ) -> "Listing":
        """Read what an address wants of a list.

        Args:
            request: the request for the list's page.
            sorts: what it can be sorted by; the names are looked up, never put into SQL.
            default: the sort unless another is asked for.
            descending: whether that goes downwards.
            filters: names of the parameters that filter.
            size: rows on a page.
        """
        asked = request.query_params
        sort = asked.get("sort", "")
        is_known = sort in set(sorts)
        page = asked.get("page", "")
        number = int(page) if page.isascii() and page.isdecimal() and len(page) <= 6 else 1
        return cls(
            sort=sort if is_known else default,
            descending=asked.get("dir") == "down" if is_known else descending,
            page=min(max(number, 1), _LAST_PAGE),
            size=size,
            filters={name: _plain(asked.get(name, "")) for name in filters},
            default=(default, descending),
        )

    def __getitem__(self, name: str) -> str:
        """Return a filter's text."""
        return self.filters[name]

    @property
    def offset(self) -> int:
        """Rows before this page."""
        return (self.page - 1) * self.size

    @property
    def limit(self) -> int:
        """Rows to read: one more than are shown, which tells whether another page follows."""
        return self.size + 1

    @property
    def is_filtered(self) -> bool:
        """Whether some rows may be left out."""
        return any(self.filters.values())

    def window(self, rows: Sequence[T]) -> tuple[list[T], "Listing"]:
        """Return of the rows read those to show, and the listing that knows whether another page follows."""
        return list(rows[: self.size]), replace(self, has_more=len(rows) > self.size)

    def query(self, **changes: object) -> str:
        """Return the query of an address that wants the same but for ``changes``: ``?sort=email&page=2``."""
        wanted: dict[str, object] = {**self.filters, "page": 1}
        if (self.sort, self.descending) != self.default:
            wanted |= {"sort": self.sort, "dir": "down" if self.descending else "up"}
        wanted |= changes
        if wanted.get("page") == 1:
            del wanted["page"]
        return "?" + urlencode({name: value for name, value in wanted.items() if value not in ("", None)})

    def sorted_by(self, column: str) -> str:
        """Return the query that sorts by a column, the other way around where it is sorted by it already."""
        down = not self.descending if column == self.sort else False
        return self.query(sort=column, dir="down" if down else "up", page=1)


def _plain(text: str) -> str:
    return "".join(each for each in text.strip()[:_LONGEST_QUERY] if each.isprintable())
