"""A route for endpoints that read the raw body and answer with ready bytes.

It stands in the application, and in its OpenAPI document, like any other, but a request goes straight to the
endpoint: FastAPI's work on dependencies and models would cost several times what the endpoint does.
"""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

#: Stands for a slash inside a segment of a path, such as the one in the customer id ``GB/123``.
SLASH = "\x1f"

Endpoint = Callable[[Request], Awaitable[Response]]


class RawRoute(APIRoute):
    """Calls ``endpoint(request)`` and sends what it returns. Exceptions go to the application's handlers."""

    def __init__(self, path: str, endpoint: Endpoint, **documented: Any) -> None:
        super().__init__(path, endpoint, **documented)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            response = await endpoint(Request(scope, receive, send))
            await response(scope, receive, send)

        self.app = app


class JsonBytes(Response):
    """JSON that is ready to be sent."""

    def __init__(self, body: bytes, status: int, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        # All that Response.__init__ would do for us, without looking for what is not there.
        self.body = body
        self.status_code = status
        self.background = None
        self.raw_headers = [
            (b"content-type", b"application/json" if status < 400 else b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            *headers,
        ]


def json_answer(answer: Any, status: int = 200) -> JsonBytes:
    """Send an answer whose shape is known to be the documented one, without building its model."""
    return JsonBytes(to_json(answer), status)


def header(request: Request, name: bytes) -> str:
    """Return a header, the last one where it was sent twice, or an empty text."""
    headers: dict[bytes, bytes] = request.scope["rewards.headers"]
    return headers.get(name, b"").decode("latin-1")


def with_slashes(segment: str) -> str:
    """Return a path parameter as the client meant it."""
    return segment.replace(SLASH, "/")


def split_before_decoding(scope: Scope) -> None:
    """Decode a path segment by segment where it has escaped slashes, so that these do not split it."""
    raw_path: bytes = scope.get("raw_path") or b""
    if b"%2f" not in raw_path.lower():
        return
    segments = raw_path.partition(b"?")[0].split(b"/")
    decoded = (unquote_to_bytes(segment).decode(errors="replace") for segment in segments)
    scope["path"] = "/".join(segment.replace(SLASH, "\x00").replace("/", SLASH) for segment in decoded)
