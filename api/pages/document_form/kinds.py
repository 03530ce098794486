"""What kinds of value the program document is made of, read off its Pydantic models.

A field that joins the document has its place in the forms by that alone. What these kinds cannot describe is edited
as a piece of YAML, so there is nothing that a form cannot hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from inspect import cleandoc
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from rewards.program.document import ProgramDocument


@dataclass(frozen=True)
class TextKind:
    """A line of text. ``format`` is the JSON Schema's: ``duration``, ``date``, ``cel``, or empty."""

    format: str = ""
    longest: int | None = None
    examples: tuple[str, ...] = ()
    #: Texts that a pattern describes have neither commas nor blanks in them, so that several fit on a line.
    is_word: bool = False


@dataclass(frozen=True)
class NumberKind:
    """A number; a whole one, where ``is_whole``."""

    least: int | None = None
    most: int | None = None
    is_whole: bool = True


@dataclass(frozen=True)
class FlagKind:
    """Yes or no."""


@dataclass(frozen=True)
class ChoiceKind:
    """One of a few values."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class SeveralKind:
    """Any number of plain values."""

    item: "TextKind | NumberKind | ChoiceKind"


class SectionKind:
    """A section with fields of its own; read when it is asked for, so that sections may hold one another."""

    def __init__(self, model: type[BaseModel], tag: str | None = None) -> None:
        self.model = model
        #: Its value of ``type``, where it is one of several that could stand there.
        self.tag = tag

    @property
    def help(self) -> str:
        """What the section is, in a sentence or two."""
        return " ".join(cleandoc(self.model.__doc__ or "").split("\n\n")[0].split())

    @cached_property
    def fields(self) -> tuple["FieldKind", ...]:
        """Its fields in their order; not ``type``, which is chosen."""
        return tuple(
            _field(self.model, name, info)
            for name, info in self.model.model_fields.items()
            if self.tag is None or name != "type"
        )

    @property
    def names(self) -> list[str]:
        """The names of all its fields in their order, ``type`` among them."""
        return [info.alias or name for name, info in self.model.model_fields.items()]

    def field(self, name: str) -> "FieldKind | None":
        """Return a field by its name in the document, None where there is none."""
        return next((field for field in self.fields if field.name == name), None)


@dataclass(frozen=True)
class OneOfKind:
    """One of several sections, told apart by ``type``."""

    variants: Mapping[str, SectionKind]


@dataclass(frozen=True)
class ListKind:
    """A list of sections."""

    item: "SectionKind | OneOfKind"
    most: int | None = None


@dataclass(frozen=True)
class RawKind:
    """Something else, which is edited as YAML."""


Kind = (
    TextKind | NumberKind | FlagKind | ChoiceKind | SeveralKind | SectionKind | OneOfKind | ListKind | RawKind
)
PlainKind = TextKind | NumberKind | ChoiceKind


class _Absent:
    """No value at all, which is not null."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()


@dataclass(frozen=True)
class FieldKind:
    """A field of a section.

    Attributes:
        name: as the document writes it.
        owner: the section's model, by whose name labels may be looked up.
        default: what it is where it is left out, as plain data; ``ABSENT`` where it cannot be.
        is_nullable: whether null is a value of it.
    """

    name: str
    owner: str
    kind: Kind
    help: str
    default: Any
    is_nullable: bool

    @property
    def is_required(self) -> bool:
        """Tell whether it must be given."""
        return self.default is ABSENT

    @property
    def is_money(self) -> bool:
        """Tell whether it is an amount, which people write in major units."""
        return isinstance(self.kind, NumberKind) and self.name.endswith("_minor")


@cache
def document_kind() -> SectionKind:
    """Return the kind of the whole document."""
    return section_kind(ProgramDocument)


@cache
def section_kind(model: type[BaseModel], tag: str | None = None) -> SectionKind:
    """Return the kind of a model's sections."""
    return SectionKind(model, tag)


def _field(model: type[BaseModel], name: str, info: FieldInfo) -> FieldKind:
    own = tuple(each for each in info.metadata)
    annotation = Annotated[(info.annotation, *own)] if own else info.annotation
    kind, is_nullable = _kind(annotation, info.discriminator)
    default: Any = ABSENT
    if not info.is_required():
        value = info.get_default(call_default_factory=True, validated_data={})
        default = _as_data(value)
    help_text = " ".join((info.description or "").split())
    return FieldKind(info.alias or name, model.__name__, kind, help_text, default, is_nullable)


def _as_data(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    return to_jsonable_python(value)


def _kind(annotation: Any, discriminator: Any = None) -> tuple[Kind, bool]:
    """Return an annotation's kind, and whether null is a value of it."""
    bare, metadata = _unwrapped(annotation)
    discriminator = discriminator or next(
        (each.discriminator for each in metadata if isinstance(each, FieldInfo) and each.discriminator), None
    )
    members = get_args(bare) if get_origin(bare) in (Union, UnionType) else (bare,)
    others = [member for member in members if member is not NoneType]
    if len(others) < len(members) and len(others) == 1:
        return _kind(others[0], discriminator)[0], True
    return _not_null(bare, annotation, others, discriminator), len(others) < len(members)


def _unwrapped(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(annotation) is Annotated:
        bare, *metadata = get_args(annotation)
        return bare, tuple(metadata)
    return annotation, ()


def _not_null(bare: Any, annotation: Any, members: list[Any], discriminator: Any) -> Kind:
    kind: Kind = RawKind()
    if len(members) > 1:
        variants = _variants(members) if discriminator == "type" else None
        kind = kind if variants is None else OneOfKind(variants)
    elif isinstance(bare, type) and issubclass(bare, BaseModel):
        kind = section_kind(bare)
    elif get_origin(bare) is tuple:
        kind = _list(bare, annotation)
    elif bare is bool:
        kind = FlagKind()
    elif get_origin(bare) is Literal:
        kind = ChoiceKind(get_args(bare))
    elif bare in (str, int, float):
        kind = _plain(annotation)
    return kind


def _variants(members: list[Any]) -> dict[str, SectionKind] | None:
    variants = {}
    for member in members:
        model = _unwrapped(member)[0]
        field = getattr(model, "model_fields", {}).get("type")
        if field is None or get_origin(field.annotation) is not Literal:
            return None
        for tag in get_args(field.annotation):
            variants[str(tag)] = section_kind(model, str(tag))
    return variants


def _list(bare: Any, annotation: Any) -> Kind:
    arguments = get_args(bare)
    if len(arguments) != 2 or arguments[1] is not Ellipsis:
        return RawKind()
    item, is_nullable = _kind(arguments[0])
    if is_nullable:
        return RawKind()
    if isinstance(item, SectionKind | OneOfKind):
        most = (getattr(each, "max_length", None) for each in _unwrapped(annotation)[1])
        return ListKind(item, next((each for each in most if each is not None), None))
    return SeveralKind(item) if isinstance(item, PlainKind) else RawKind()


def _plain(annotation: Any) -> Kind:
    schema = TypeAdapter(annotation).json_schema()
    if schema.get("type") in ("integer", "number"):
        is_whole = schema["type"] == "integer"
        return NumberKind(schema.get("minimum"), schema.get("maximum"), is_whole)
    return TextKind(
        format=schema.get("format", ""),
        longest=schema.get("maxLength"),
        examples=tuple(schema.get("examples", ())),
        is_word="pattern" in schema or bool(schema.get("examples")),
    )
