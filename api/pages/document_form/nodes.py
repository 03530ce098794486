"""What a form is made of: inputs, groups of them, and lists, each with what is to be said of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from api.pages.document_form.naming import Path


class Remark(NamedTuple):
    """Something to say about a place in the document: ``error`` or ``caution``."""

    path: Path
    kind: str
    message: str


class Option(NamedTuple):
    """One of the values to choose from."""

    value: str
    label: str
    is_chosen: bool
    help: str = ""


@dataclass
class Node:
    """What all parts of a form have.

    Attributes:
        name: of the form field, and the element's id.
        is_new: it was only just added, so that nothing is said of what it still lacks.
    """

    name: str
    label: str
    help: str = ""
    remarks: list[Remark] = field(default_factory=list)
    is_new: bool = False

    @property
    def shape(self) -> str:
        """Which of the templates' macros shows it."""
        return type(self).__name__.lower()

    @property
    def children(self) -> Sequence["Node"]:
        """The nodes within it."""
        return ()

    @property
    def errors(self) -> list[Remark]:
        """What is wrong with it itself."""
        return [each for each in self.remarks if each.kind == "error"]


@dataclass
class Input(Node):
    """One form field.

    Attributes:
        widget: ``line``, ``area``, ``code``, ``date``, ``number``, ``flag``, ``choice``, ``several`` or ``raw``.
        posts_as: the name that it is posted under.
        unit: what a number counts, behind the field.
        was: what was chosen before of several, in its order.
    """

    widget: str = "line"
    posts_as: str = ""
    value: str = ""
    options: list[Option] = field(default_factory=list)
    unit: str = ""
    was: str = ""
    is_required: bool = False
    is_on: bool = False


@dataclass
class Group(Node):
    """A section: its fields, or a button to add it.

    Attributes:
        options: the kinds of section that could stand here; empty where there is but one.
        marker: whether its being there is posted as such.
    """

    parts: list[Node] = field(default_factory=list)
    options: list[Option] = field(default_factory=list)
    is_optional: bool = False
    is_there: bool = True
    marker: bool = False

    @property
    def children(self) -> Sequence[Node]:
        """The fields."""
        return self.parts


@dataclass
class Items(Node):
    """A list of sections, one below the other."""

    items: list[Node] = field(default_factory=list)
    singular: str = ""
    is_full: bool = False

    @property
    def children(self) -> Sequence[Node]:
        """The items."""
        return self.items


@dataclass
class Apart(Node):
    """A list whose items have pages of their own.

    Attributes:
        rows: an item's title, and all that is said of it.
    """

    rows: list["Row"] = field(default_factory=list)
    singular: str = ""
    is_full: bool = False


@dataclass
class Row:
    """One item of a list with pages of their own."""

    index: int
    title: str
    name: str
    data: Any
    errors: int = 0
    cautions: int = 0


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all within it."""
    yield node
    for child in node.children:
        yield from walk(child)
