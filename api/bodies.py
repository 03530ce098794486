"""From the bytes of a request to a validated value: bounded, read once, parsed once, refused precisely."""

import asyncio
import re
from typing import Any, TypeVar
from urllib.parse import parse_qs

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, from_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.errors import (
    BodyTooLarge,
    ClientGone,
    Problem,
    invalid_request,
    malformed_form,
    malformed_json,
    not_a_form,
    problem_response,
    request_timeout,
    unsupported_media_type,
)
from api.routing import header

T = TypeVar("T")
Place = tuple[str | int, ...]

COMMAND_LIMIT_BYTES = 1024**2
#: What a form may have: a text of the longest kind takes twelve bytes a character as browsers write it.
FORM_LIMIT_BYTES = 1024**2
BATCH_LIMIT_BYTES = 8 * 1024**2

#: Seconds that a client may take to send a body, all of it.
_PATIENCE_SECONDS = 60.0
#: How long, and how much, we go on reading what a refused client is still sending, so that it sees the answer.
_LINGER_SECONDS = 1.0
_LINGER_BYTES = 4 * 1024**2
#: More errors than this are not listed: a caller mends the first ones first.
_MOST_ERRORS = 50
#: More fields than any form of ours has.
_MOST_FIELDS = 10_000

_IN_OUR_WORDS = {
    "missing": "is required, but missing",
    "extra_forbidden": "is not known here",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "string_pattern_mismatch": "has characters that are not allowed, or the wrong form; it must match {pattern}",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "union_tag_not_found": "must be an object with {discriminator} in it",
    "union_tag_invalid": "has {discriminator} {tag!r}, but it must be one of {expected_tags}",
    "timezone_aware": "needs an offset, for example 2026-11-01T12:00:00Z",
}
_PYDANTIC_SUBJECT = re.compile(r"^(?:Value error, |Assertion failed, |(?:\w+ )?(?=should ))")


async def read_json(request: Request, limit_bytes: int = COMMAND_LIMIT_BYTES) -> bytes:
    """Return the request's body: nothing, or what is said to be JSON.

    Raises:
        Problem: 408, 413 or 415.
        ClientGone: the client hung up.
    """
    body = await _read_whole(request, limit_bytes)
    if body:
        given = header(request, b"content-type")
        if given != "application/json" and given.partition(";")[0].strip().lower() != "application/json":
            raise unsupported_media_type(given)
    return body


async def read_form(request: Request) -> dict[str, list[str]]:
    """Return the fields of a form that a browser sent, each with its values in order.

    Raises:
        Problem: 400, 408, 413 or 415.
        ClientGone: the client hung up.
    """
    body = await _read_whole(request, FORM_LIMIT_BYTES)
    given = header(request, b"content-type")
    if body and given.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise not_a_form(given)
    try:
        return parse_qs(
            body.decode("ascii"), keep_blank_values=True, errors="replace", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise malformed_form() from None


async def _read_whole(request: Request, limit_bytes: int) -> bytes:
    announced = header(request, b"content-length")
    if len(announced) > 7 and announced.isdecimal() and int(announced[:20]) > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await _read(request.receive, limit_bytes)
    except TimeoutError:
        raise request_timeout() from None


async def _read(receive: Receive, limit_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        if not message.get("more_body", False):
            return part if not parts else b"".join((*parts, part))
        parts.append(part)


class EarlyRefusal(Response):
    """An answer that goes out while the client is still sending.

    The connection cannot be closed at once: what arrives at a closed one makes the client's system throw the
    answer away unread. So the answer is sent whole, and then some of the rest is taken and dropped.
    """

    @classmethod
    def of(cls, problem: Problem, scope: Scope) -> "EarlyRefusal":
        """Make the answer to a request whose body met a problem."""
        plain = problem_response(problem, scope)
        early = cls(plain.body, plain.status_code)
        early.raw_headers = plain.raw_headers
        return early

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Answer, and linger."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                await _drop(receive)
        except TimeoutError:
            pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drop(receive: Receive) -> None:
    dropped = 0
    while dropped < _LINGER_BYTES:
        message = await receive()
        dropped += len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return


def parse(adapter: TypeAdapter[T], body: bytes) -> T:
    """Return the value that a JSON text stands for.

    Raises:
        Problem: 400 ``malformed-json`` or 422 ``invalid-request``.
    """
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        raise invalid(error, body) from None


def invalid(error: ValidationError, body: bytes) -> Problem:
    """Return the problem that a body has: not JSON at all, or not the JSON that is asked for."""
    errors = error.errors(include_url=False, include_input=False)
    if errors[0]["type"] == "json_invalid":
        return malformed_json(_why_not_json(body, errors[0]["msg"]))
    return invalid_request(explained(errors, from_json(body)))


def explained(errors: list[ErrorDetails], data: Any, skip: int = 0) -> list[tuple[str, str]]:
    """Return pairs of path and message for Pydantic's errors about ``data``.

    Args:
        errors: what Pydantic found.
        data: the decoded JSON that it found it in.
        skip: how many parts of each path lead to where the caller's own document begins.
    """
    by_path: dict[str, list[str]] = {}
    for error in errors:
        messages = by_path.setdefault(path_text(_place(error, data)[skip:]), [])
        messages.append(_message(error))
    # Where several kinds of value would do, each complains in turn about the same place.
    return [(path, ", or ".join(messages[:8])) for path, messages in by_path.items()][:_MOST_ERRORS]


def located(error: ErrorDetails) -> tuple[str, str]:
    """Return path and message for one of Pydantic's errors about a parameter."""
    return path_text(error["loc"]), _message(error)


def path_text(place: Place) -> str:
    """Write a path the way messages do: ``activity.items[0].amount_minor``."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text if len(text) <= 200 else text[:199] + "…"


def _place(error: ErrorDetails, data: Any) -> Place:
    """Take out of Pydantic's location the names of the variants that it tried; the JSON has no such level."""
    place: list[str | int] = []
    for part in error["loc"]:
        if isinstance(data, dict) and part in data:
            data = data[str(part)]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            continue
        place.append(part)
    if error["type"] == "missing":
        place.append(error["loc"][-1])
    return tuple(place)


def _message(error: ErrorDetails) -> str:
    ours = _IN_OUR_WORDS.get(error["type"])
    if ours is not None:
        return ours.format(**error.get("ctx", {}))
    return _PYDANTIC_SUBJECT.sub("", error["msg"]).replace("should ", "must ", 1)


def _why_not_json(body: bytes, message: str) -> str:
    if not body:
        return "The request has no body; send a JSON object."
    reason = message.removeprefix("Invalid JSON: ")[:200]
    return reason[:1].upper() + reason[1:] + "."
