"""What is wrong with a document, in words that say what to do next, at the path where it is wrong."""

from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from rewards.program.document import ProgramDocument

Path = tuple[str | int, ...]

_SENTENCES = {
    "missing": "is required, but missing",
    "int_type": "must be a whole number, not {value}",
    "float_type": "must be a number, not {value}",
    "bool_type": "must be true or false, not {value}",
    "string_type": "must be text, not {value}",
    "tuple_type": "must be a list, not {value}",
    "model_type": "must be a section with fields of its own, not {value}",
    "model_attributes_type": "must be a section with fields of its own, not {value}",
    "dict_type": "must be a section with fields of its own, not {value}",
    "greater_than_equal": "must be at least {ge}, not {value}",
    "less_than_equal": "must be at most {le}, not {value}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "too_long": "must have at most {max_length} items",
    "too_short": "must have at least {min_length} item",
}


def explain(error: ErrorDetails) -> tuple[Path, str]:
    """Return the path and a sentence for one of Pydantic's errors about a ``ProgramDocument``."""
    path, parent = _walk(error["loc"])
    context = error.get("ctx", {})
    match error["type"]:
        case "program":
            return (*path, *context["at"]), context["message"]
        case "extra_forbidden":
            return path, _unknown_field(str(path[-1]), parent)
        case "union_tag_not_found":
            return (*path, "type"), f"is required, but missing: one of {_tags(parent, path)}"
        case "union_tag_invalid":
            return (*path, "type"), _not_one_of(_tags(parent, path), context["tag"])
        case "literal_error":
            return path, _not_one_of(
                context["expected"].replace("'", "").replace(" or ", ", "), error["input"]
            )
        case kind:
            sentence = _SENTENCES.get(kind)
            return path, sentence.format(value=_short(error["input"]), **context) if sentence else error[
                "msg"
            ]


def _short(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…" + text[-1]


def _unknown_field(name: str, parent: Any) -> str:
    known = [field.alias or own for own, field in parent.model_fields.items()] if _is_model(parent) else []
    close = get_close_matches(name[:64], known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"unknown field{hint} (known here: {', '.join(known)})"


def _not_one_of(known: str, value: Any) -> str:
    close = get_close_matches(value[:64], known.split(", "), n=1) if isinstance(value, str) else []
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"must be {'one of ' if ',' in known else ''}{known}, not {_short(value)}{hint}"


def _tags(parent: Any, path: Path) -> str:
    return ", ".join(_by_tag(_inside(parent, path[-1])))


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _walk(loc: tuple[str | int, ...]) -> tuple[Path, Any]:
    """Return the path in the document that Pydantic's location means, and the type that holds its last part.

    Pydantic's location also names the variant that it chose by ``type``; the document has no such level.
    """
    path: list[str | int] = []
    parent: Any = None
    kind: Any = ProgramDocument
    for part in loc:
        kind = _without_wrapping(kind)
        variants = _by_tag(kind)
        if part in variants:
            kind = variants[str(part)]
            continue
        path.append(part)
        parent, kind = kind, _inside(kind, part)
    return tuple(path), parent


def _without_wrapping(kind: Any) -> Any:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, UnionType):
        others = [member for member in get_args(kind) if member is not NoneType]
        if len(others) == 1:
            return _without_wrapping(others[0])
    return kind


def _by_tag(kind: Any) -> dict[str, Any]:
    kind = _without_wrapping(kind)
    if get_origin(kind) not in (Union, UnionType):
        return {}
    models = [_without_wrapping(member) for member in get_args(kind) if member is not NoneType]
    return {
        tag: model
        for model in models
        if _is_model(model) and "type" in model.model_fields
        for annotation in (model.model_fields["type"].annotation,)
        if get_origin(annotation) is Literal
        for tag in get_args(annotation)
    }


def _inside(kind: Any, part: str | int) -> Any:
    if _is_model(kind):
        named = [field for own, field in kind.model_fields.items() if part == (field.alias or own)]
        return named[0].annotation if named else None
    if get_origin(kind) is tuple and isinstance(part, int):
        return get_args(kind)[0]
    return None
