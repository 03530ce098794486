"""What every request is wrapped in: an id, headers of caution, one line in the log, and a net for faults."""

import re
import time
from random import getrandbits
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import metrics
from api.errors import ClientGone, internal_error, problem_response
from api.routing import split_before_decoding
from rewards.core.logs import fault

log = structlog.get_logger("rewards.request")

_SANE_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
#: Methods that have a label of their own in the figures; others are anyone's invention.
_METHODS = frozenset({"GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH"})
#: Asked for every few seconds by machines; in the log only when they fail.
_QUIET = frozenset({"/healthz", "/readyz", "/internal/metrics"})

_ALWAYS = ((b"x-content-type-options", b"nosniff"),)
#: What the API says is for the caller alone, and stale at once.
_FOR_DATA = (*_ALWAYS, (b"cache-control", b"no-store"))
_MAY_USE = (
    b"default-src 'none'",
    b"style-src 'self'",
    b"img-src 'self' data:",
    b"form-action 'self'",
    b"base-uri 'none'",
    b"frame-ancestors 'none'",
)
#: A page may use its own styles and pictures and nothing else; its address, which may be a secret, goes nowhere.
_FOR_PAGES = (
    *_ALWAYS,
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"; ".join(_MAY_USE)),
    (b"x-robots-tag", b"noindex"),
)


class RequestFrame:
    """ASGI middleware, the outermost of ours."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        scope["rewards.headers"] = headers = dict(scope["headers"])
        request_id = _request_id(headers)
        scope["rewards.request_id"] = request_id
        split_before_decoding(scope)
        status = 0

        async def framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _frame(message, request_id)
            await send(message)

        try:
            await self._app(scope, receive, framed)
        except ClientGone:
            status = status or 499
        except Exception as error:
            log.error("request failed", request_id=request_id, **fault(error))
            if status:
                raise
            await _told(scope)(scope, receive, framed)
        finally:
            _record(scope, request_id, status, time.perf_counter() - started)


def _told(scope: Scope) -> ASGIApp:
    """Return the answer to a request that met a fault of ours: a page where a person looks at it."""
    page = getattr(scope["app"].state, "fault_page", None)
    answer: ASGIApp | None = page(scope) if page is not None else None
    return answer or problem_response(internal_error(), scope)


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id")
    if given is not None and _SANE_ID.fullmatch(given):
        return given.decode("ascii")
    return f"{getrandbits(64):016x}"


def _frame(message: Message, request_id: str) -> None:
    headers: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
    given = dict(headers)
    is_page = given.get(b"content-type", b"").startswith(b"text/html")
    headers.extend(pair for pair in (_FOR_PAGES if is_page else _FOR_DATA) if pair[0] not in given)
    headers.append((b"x-request-id", request_id.encode()))
    message["headers"] = headers


def _record(scope: Scope, request_id: str, status: int, seconds: float) -> None:
    route = scope.get("route")
    # An address as such is never logged: it may have a customer's id or a page's token in it.
    template: str = getattr(route, "path", "(none)")
    method = scope["method"] if scope["method"] in _METHODS else "(other)"
    metrics.observe_request(method, template, status, seconds)
    if template in _QUIET and status < 500:
        return
    line: dict[str, Any] = {
        "request_id": request_id,
        "method": method,
        "route": template,
        "status": status,
        "duration_ms": round(seconds * 1000, 2),
    }
    key_id = scope.get("rewards.key_id")
    if key_id is not None:
        line["key_id"] = key_id
    log.info("request", **line)
