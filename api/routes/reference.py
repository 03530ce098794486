"""``/openapi.json`` and ``/docs``, the reference that is written from it.

FastAPI's own ``/docs`` loads its scripts from elsewhere; this page is plain HTML, and works where nothing else
can be reached.
"""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from fastapi import APIRouter, FastAPI, Request, Response
from pydantic_core import to_json

from api.pages.rendering import html_page
from api.routing import JsonBytes

Json = dict[str, Any]

router = APIRouter()

_METHODS = ("get", "put", "post", "delete")
#: Words of a schema that bound a value, and how they read.
_BOUNDS = {
    "format": "{}",
    "const": "always {}",
    "pattern": "matches {}",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "maxProperties": "at most {} members",
    "default": "{} unless given",
}
#: Lists of values longer than this are not written out.
_MOST_VALUES = 12


class Field(NamedTuple):
    """A member of a shape, a parameter or a header."""

    name: str
    type: str
    shapes: list[str]
    is_required: bool
    description: str


class Content(NamedTuple):
    """A body: its shape, and examples as JSON text with what they show."""

    type: str
    shapes: list[str]
    examples: list[tuple[str, str]]


class Operation(NamedTuple):
    """One method of one address."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    parameters: list[Field]
    request: Content | None
    responses: list[tuple[str, str, Content]]


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """Return the OpenAPI document."""
    return JsonBytes(_openapi_text(request.app), 200)


@router.get("/docs", include_in_schema=False)
async def reference(request: Request) -> Response:
    """Return the reference."""
    return html_page("reference.html", **reference_view(request.app.openapi()))


@lru_cache(maxsize=1)
def _openapi_text(app: FastAPI) -> bytes:
    return to_json(app.openapi())


def reference_view(document: Json) -> Json:
    """Return what the page shows of an OpenAPI document."""
    sections = []
    for tag in document["tags"]:
        found = [each for each in _operations(document) if tag["name"] in each[0]]
        sections.append((tag["name"], tag["description"], [operation for _, operation in found]))
    shapes = [
        (name, shape.get("description", ""), _fields(shape))
        for name, shape in sorted(document["components"]["schemas"].items())
    ]
    return {"info": document["info"], "sections": sections, "shapes": shapes}


def _operations(document: Json) -> Iterator[tuple[list[str], Operation]]:
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield item[method]["tags"], _operation(method.upper(), path, item[method])


def _operation(method: str, path: str, operation: Json) -> Operation:
    request = operation.get("requestBody")
    return Operation(
        operation["operationId"],
        method,
        path,
        operation["summary"],
        operation.get("description", ""),
        [
            _field(
                each["name"],
                each["schema"],
                each.get("description", ""),
                is_required=each.get("required", False),
            )
            for each in operation.get("parameters", [])
        ],
        None if request is None else _content(request),
        [
            (status, response["description"], _content(response))
            for status, response in sorted(operation["responses"].items())
        ],
    )


def _content(holder: Json) -> Content:
    content = next(iter(holder["content"].values()))
    examples = [(name, each["value"]) for name, each in content.get("examples", {}).items()]
    if "example" in content:
        examples.append(("", content["example"]))
    kind, shapes = _type(content["schema"])
    return Content(
        kind, shapes, [(name, json.dumps(value, indent=2, ensure_ascii=False)) for name, value in examples]
    )


def _fields(shape: Json) -> list[Field]:
    required = shape.get("required", [])
    return [
        _field(name, schema, schema.get("description", ""), is_required=name in required)
        for name, schema in shape.get("properties", {}).items()
    ]


def _field(name: str, schema: Json, description: str, *, is_required: bool) -> Field:
    kind, shapes = _type(schema)
    return Field(name, kind, shapes, is_required, description)


def _type(schema: Json) -> tuple[str, list[str]]:
    """Return a schema in words, and the names of the shapes that the words refer to."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return name, [name]
    variants = schema.get("anyOf") or schema.get("oneOf")
    if variants and "type" not in schema:
        parts = [_type(variant) for variant in variants]
        return " or ".join(words for words, _ in parts), [name for _, names in parts for name in names]
    words, shapes = _plain_type(schema)
    bounds = [text.format(_value(schema[word])) for word, text in _BOUNDS.items() if word in schema]
    values = schema.get("enum")
    if values:
        shown = [_value(value) for value in values[:_MOST_VALUES]] + (
            ["…"] if len(values) > _MOST_VALUES else []
        )
        bounds.append("one of " + ", ".join(shown))
    return ", ".join([words, *bounds]), shapes


def _plain_type(schema: Json) -> tuple[str, list[str]]:
    kind = schema.get("type", "anything")
    if kind == "array":
        words, shapes = _type(schema.get("items", {}))
        return f"list of {words}", shapes
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        words, shapes = _type(schema["additionalProperties"])
        return f"object of {words}", shapes
    return str(kind), []


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
