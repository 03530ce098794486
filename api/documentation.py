"""The OpenAPI document: what FastAPI cannot see of endpoints that read raw bodies is written down here."""

from collections.abc import Iterable, Mapping
from inspect import getdoc
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api import errors, schemas, standing_schemas
from api.errors import PROBLEM_JSON, Problem
from api.previewing import PreviewBody
from rewards.core.errors import InsufficientPoints, Refusal
from rewards.core.money import currency_codes
from rewards.decide.commands import Adjust, Award, Redeem, RefundedLine, Reverse
from rewards.metrics.showing.parquet import MISSING as PARQUET_MISSING

Json = dict[str, Any]

_REF = "#/components/schemas/"
_SECURITY: list[dict[str, list[str]]] = [{"key": []}]
_DESCRIPTION = """\
Award points for what customers do, let them redeem, and take back what refunds undo.

Send `Authorization: Bearer KEY`; `rewards key create` makes a key. A **storefront** key awards, redeems, reverses,
quotes and reads; an **admin** key may do everything; a **readonly** key may only GET.

A POST that can change points needs an `Idempotency-Key`: repeat a request with the same key as often as you need, it
takes effect once, and the first answer comes back with `Idempotent-Replayed: true`. Money is integer minor units,
points are integers, instants are RFC 3339 with an offset. Errors are `application/problem+json` with a stable `code`.
"""
_TAGS = [
    {"name": "points", "description": "Change points, one command at a time or many."},
    {"name": "customers", "description": "What a customer has."},
    {"name": "referrals", "description": "Who was brought by whom, and whether that counts."},
    {"name": "segments", "description": "Customers by condition, and who was offered what."},
    {"name": "program", "description": "The rules."},
    {"name": "metrics", "description": "What customers do, what the program costs, and what it changes."},
    {"name": "events", "description": "What others are to be told."},
    {"name": "health", "description": "For load balancers and supervisors."},
]

_PROBLEMS: Mapping[int, tuple[str, Problem | Refusal]] = {
    400: ("Not JSON, or no good idempotency key", errors.idempotency_key_missing()),
    401: ("No key, or not a valid one", errors.unauthorized("The key is not known here.", was_given=True)),
    403: ("The key's scope does not allow this", errors.wrong_scope("readonly", "storefront")),
    404: ("There is no such customer, order, redemption, survey or referral", errors.http_problem(404, "")),
    409: (
        "It does not fit what is on record; nothing changed",
        InsufficientPoints("5000 points were requested and 49 are available.", available=49, requested=5000),
    ),
    413: ("The body is too large", errors.BodyTooLarge(1024**2)),
    415: ("The body is not said to be JSON", errors.unsupported_media_type("text/plain")),
    422: (
        "The request says what cannot be, or the program does not allow it; nothing changed",
        errors.invalid_request([("activity.total_minor", "must be a whole number")]),
    ),
    429: ("Another preview is running", errors.preview_running()),
    500: ("A fault of the server", errors.internal_error()),
    501: (
        "This server lacks what that needs",
        Problem(501, "parquet-missing", "This server writes no Parquet", PARQUET_MISSING),
    ),
    503: ("Too much is waiting, or the database is away: try again", errors.overloaded()),
}

_REQUEST_ID: Json = {
    "X-Request-ID": {"description": "Yours, if you sent a sane one.", "schema": {"type": "string"}}
}
_REPLAYED: Json = {
    "Idempotent-Replayed": {
        "description": "Present on a repeat: this is the first answer.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
_IDEMPOTENCY_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "Unique for what you want done; the same one when you try again.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": 255,
        "pattern": schemas.IDEMPOTENCY_KEY_PATTERN,
    },
    "example": "order-1001",
}


def documented(
    *,
    answer: type[BaseModel],
    example: Json,
    summary: str,
    tag: str,
    status: int = 200,
    body: type[BaseModel] | None = None,
    body_examples: Mapping[str, Json] | None = None,
    body_required: bool = True,
    idempotent: bool = False,
    problems: Iterable[int] = (),
    parameters: Iterable[Json] = (),
    leads_to: Mapping[str, tuple[str, str]] | None = None,
    description: str | None = None,
    public: bool = False,
) -> Json:
    """Return the arguments with which FastAPI documents an endpoint.

    Args:
        answer: the shape of its answer, with ``status``, for which ``example`` stands.
        example: an answer.
        summary: what it does, in a few words.
        tag: the section that it stands in.
        status: of its answer.
        body: the shape of its request.
        body_examples: requests, by what they show.
        body_required: whether the body may be left out.
        idempotent: whether it needs an idempotency key.
        problems: statuses of the problems it may answer with, beyond those of every endpoint with a key.
        parameters: those that its signature does not tell; see :func:`parameter`.
        leads_to: operations that its answer leads to: for each the parameter, and where in this exchange its value
            is, as an OpenAPI runtime expression.
        description: more than the summary says.
        public: whether it needs no key.
    """
    common = (500,) if public else (401, 403, 500, 503)
    extra: Json = {} if public else {"security": _SECURITY}
    if parameters or idempotent:
        extra["parameters"] = [*parameters, *([_IDEMPOTENCY_KEY] if idempotent else [])]
    if body is not None:
        by_name = {name: {"value": value} for name, value in (body_examples or {}).items()}
        content = {"application/json": {"schema": {"$ref": _REF + body.__name__}, "examples": by_name}}
        extra["requestBody"] = {"required": body_required, "content": content}
        common = (400, 413, 415, 422, *common)
    return {
        "response_model": answer,
        "status_code": status,
        "summary": summary,
        "description": description,
        "response_description": getdoc(answer),
        "tags": [tag],
        "openapi_extra": extra,
        "responses": {
            status: {
                "headers": {**_REQUEST_ID, **(_REPLAYED if idempotent else {})},
                "content": {"application/json": {"example": example}},
                "links": {
                    operation: {"operationId": operation, "parameters": {name: found_in}}
                    for operation, (name, found_in) in (leads_to or {}).items()
                },
            },
            **{code: _problem(code) for code in sorted({*common, *problems})},
        },
    }


def parameter(place: str, name: str, schema: Json, example: str, description: str) -> Json:
    """Describe a parameter in an address: in its path, where it is required, or in its query."""
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": description,
        "schema": schema,
        "example": example,
    }


def install(app: FastAPI) -> None:
    """Make ``app.openapi()`` return the whole document."""

    def openapi() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _problem(status: int) -> Json:
    description, example = _PROBLEMS[status]
    document = example.document("5c1d8f0e6a7b4932") if isinstance(example, Problem) else example.problem()
    headers: Json = dict(_REQUEST_ID)
    if status in (429, 503):
        headers["Retry-After"] = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
    if status == 401:
        headers["WWW-Authenticate"] = {"schema": {"type": "string"}}
    content = {PROBLEM_JSON: {"schema": {"$ref": _REF + "Problem"}, "example": document}}
    return {"description": description, "headers": headers, "content": content}


def _document(app: FastAPI) -> Json:
    document = get_openapi(
        title=app.title, version=app.version, description=_DESCRIPTION, tags=_TAGS, routes=app.routes
    )
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIRoute) and route.include_in_schema:
            _restore_examples(document["paths"][route.path_format], route)
    components = document.setdefault("components", {})
    shapes = components.setdefault("schemas", {})
    shapes.update(_request_shapes())
    shapes["Problem"] = _shape(schemas.ProblemDocument, shapes)
    components["securitySchemes"] = {
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key, `rk_…`; see `rewards key create`.",
        }
    }
    return document


def _restore_examples(operations: Json, route: RouteContext) -> None:
    """Put examples back as they were: FastAPI leaves out what is null in them, as if it were not there."""
    for method in route.methods or ():
        operation = operations[method.lower()]
        for status, response in route.responses.items():
            for media_type, content in response["content"].items():
                operation["responses"][str(status)]["content"][media_type]["example"] = content["example"]
        request = (route.openapi_extra or {}).get("requestBody")
        if request is not None:
            operation["requestBody"] = request


def _shape(model: type[BaseModel], shapes: Json) -> Json:
    shape = model.model_json_schema(ref_template=_REF + "{model}")
    shapes.update(shape.pop("$defs", {}))
    return shape


def _request_shapes() -> Json:
    models: list[type[BaseModel]] = [
        Award,
        Redeem,
        Reverse,
        Adjust,
        schemas.CaptureBody,
        schemas.EmptyBody,
        schemas.SurveyLinkBody,
        schemas.TagsBody,
        schemas.IdentityBody,
        schemas.ProfileBody,
        standing_schemas.GrantBody,
        standing_schemas.EndGrantBody,
        schemas.ReferralNote,
        schemas.ExposureBody,
        schemas.BatchBody,
        schemas.PublishBody,
        PreviewBody,
    ]
    _, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template=_REF + "{model}"
    )
    shapes: Json = definitions["$defs"]
    for model, rule in _RULES.items():
        shapes[model.__name__].update(rule)
    shapes["Purchase"]["properties"]["currency"]["enum"] = list(currency_codes())
    return shapes


def _given(name: str, **schema: Any) -> Json:
    """A member that is there and not null."""
    return {"required": [name], "properties": {name: schema}}


#: What validators check across members, said in JSON Schema.
_RULES: dict[type[BaseModel], Json] = {
    Redeem: {
        "oneOf": [_given("points", type="integer"), _given("reward_id", type="string")],
        "anyOf": [{"properties": {"hold_expires_in": {"type": "null"}}}, _given("hold", const=True)],
    },
    Reverse: {
        "oneOf": [
            _given("amount_minor", type="integer"),
            _given("items", type="array"),
            _given("full", const=True),
        ]
    },
    RefundedLine: {
        "anyOf": [
            {"properties": {"quantity": {"type": "null"}}},
            {"properties": {"amount_minor": {"type": "null"}}},
        ]
    },
    Adjust: {"not": {"properties": {"points": {"const": 0}}}},
}
