"""Every error that the HTTP layer itself answers with, as RFC 9457 problem documents.

What the engine decides against a command is a :class:`rewards.core.errors.Refusal`: an answer, kept under its
idempotency key and repeated byte for byte, so it carries no request id of its own (the ``X-Request-ID`` header
has it). Everything here is about one request, and names it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Scope

PROBLEM_JSON = "application/problem+json"

RETRY_AFTER_SECONDS = 1
PREVIEW_RETRY_AFTER_SECONDS = 10


class Problem(Exception):
    """An answer that says what went wrong with a request.

    Attributes:
        status: HTTP status, 400-599.
        code: stable name of the fact, part of the public contract.
        title: the fact in a few words, the same for every occurrence.
        detail: this occurrence, in a sentence that says what to do.
        headers: what the answer's headers say beyond its type.
        extras: further members of the problem document.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **extras: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.headers = dict(headers or {})
        self.extras = extras

    def document(self, request_id: str | None = None) -> dict[str, Any]:
        """Return the problem document."""
        document = {
            "type": f"urn:rewards:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.extras,
        }
        if request_id is not None:
            document["request_id"] = request_id
        return document


class BodyTooLarge(Problem):
    """The body is larger than it may be; the rest of it is still on its way."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            413,
            "body-too-large",
            "The body is too large",
            f"This endpoint takes at most {limit_bytes} bytes ({limit_bytes // 1024**2} MiB). Send less at once.",
            # What is left of the body would be read as the next request.
            headers={"connection": "close"},
            limit_bytes=limit_bytes,
        )


class ClientGone(Exception):
    """The client hung up before its request was complete; nobody is there to answer."""


def unauthorized(detail: str, *, was_given: bool) -> Problem:
    """There is no key, or it is not a good one."""
    challenge = 'Bearer realm="rewards"' + (', error="invalid_token"' if was_given else "")
    return Problem(
        401, "unauthorized", "A valid API key is needed", detail, headers={"www-authenticate": challenge}
    )


def wrong_scope(scope: str, needed: str) -> Problem:
    """The key is good, but not for this."""
    return Problem(
        403,
        "wrong-scope",
        "The API key may not do this",
        f"The key's scope is {scope}; this needs a key of scope {needed}"
        + ("." if needed == "admin" else " or admin."),
        scope=scope,
        needed=needed,
    )


def invalid_request(errors: Iterable[tuple[str, str]]) -> Problem:
    """The request is well-formed and says what cannot be; ``errors`` are pairs of path and message."""
    listed = [{"path": path, "message": message} for path, message in errors]
    first = listed[0]
    more = f" ({len(listed) - 1} more in errors)" if len(listed) > 1 else ""
    where = f"{first['path']}: " if first["path"] else ""
    return Problem(
        422, "invalid-request", "The request is not valid", f"{where}{first['message']}{more}", errors=listed
    )


def invalid_program(errors: Iterable[tuple[str, str]]) -> Problem:
    """The program document cannot be used."""
    problem = invalid_request(errors)
    problem.code, problem.title = "invalid-program", "The program document is not valid"
    return problem


def malformed_json(reason: str) -> Problem:
    """The body is not JSON."""
    return Problem(400, "malformed-json", "The body is not JSON", reason)


def unsupported_media_type(given: str) -> Problem:
    """The body is said to be something else than JSON."""
    said = (
        f"The body is said to be {given[:100]!r}." if given else "The request does not say what its body is."
    )
    return Problem(
        415, "unsupported-media-type", "The body must be JSON", f"{said} Send Content-Type: application/json."
    )


def malformed_form() -> Problem:
    """The body is said to be a form, and is none."""
    return Problem(400, "malformed-form", "The body is not a form", "Send it as a browser does.")


def not_a_form(given: str) -> Problem:
    """The body is said to be something else than a form's fields."""
    problem = unsupported_media_type(given)
    problem.title, problem.detail = "The body must be a form", "Send application/x-www-form-urlencoded."
    return problem


def idempotency_key_missing() -> Problem:
    """A command came without the key that makes it safe to send again."""
    return Problem(
        400,
        "idempotency-key-missing",
        "An idempotency key is needed",
        "Send a header Idempotency-Key, unique for what you want done, and the same one when you try again.",
    )


def idempotency_key_invalid() -> Problem:
    """The key is not one that can be kept."""
    return Problem(
        400,
        "idempotency-key-invalid",
        "The idempotency key is not valid",
        "Send one Idempotency-Key of 1 to 255 visible ASCII characters without spaces, such as a UUID.",
    )


def overloaded() -> Problem:
    """More is waiting than can be done soon."""
    return Problem(
        503,
        "overloaded",
        "Too much is waiting",
        "The request was not carried out. Send it again in a second, with the same idempotency key.",
        headers={"retry-after": str(RETRY_AFTER_SECONDS)},
    )


def unavailable() -> Problem:
    """The database does not answer, or not in time."""
    return Problem(
        503,
        "unavailable",
        "The database does not answer",
        "Whether the request took effect is not known. Send it again in a second, with the same idempotency key.",
        headers={"retry-after": str(RETRY_AFTER_SECONDS)},
    )


def not_ready(reason: str) -> Problem:
    """The process is alive and cannot serve."""
    return Problem(
        503,
        "not-ready",
        "The server cannot serve yet",
        reason,
        headers={"retry-after": str(RETRY_AFTER_SECONDS)},
    )


def preview_running() -> Problem:
    """Another preview keeps this process busy."""
    return Problem(
        429,
        "preview-running",
        "A preview is running already",
        "A server previews one program at a time. Send it again when the other is done, in a minute at most.",
        headers={"retry-after": str(PREVIEW_RETRY_AFTER_SECONDS)},
    )


def request_timeout() -> Problem:
    """The body did not arrive in time."""
    return Problem(
        408,
        "request-timeout",
        "The body did not arrive in time",
        "Send the request again, the body at once.",
        headers={"connection": "close"},
    )


def internal_error() -> Problem:
    """We are at fault; the log says how."""
    return Problem(
        500,
        "internal-error",
        "Something went wrong here",
        "This is a fault of the server. Its log has the details under this request id. "
        "It is safe to send the request again with the same idempotency key.",
    )


def http_problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Problem:
    """Return what the framework found (no such address, wrong method) as a problem."""
    known = {
        404: ("not-found", "There is nothing at this address", "See /docs for the addresses that there are."),
        405: (
            "method-not-allowed",
            "The address does not take this method",
            "The Allow header says which it takes.",
        ),
    }
    code, title, fallback = known.get(status, (f"http-{status}", "The request was refused", detail))
    return Problem(status, code, title, fallback, headers=headers)


def request_id_of(scope: Scope) -> str | None:
    """Return the id that the middleware gave this request."""
    request_id = scope.get("rewards.request_id")
    return request_id if isinstance(request_id, str) else None


def problem_response(problem: Problem, scope: Scope) -> Response:
    """Return the answer to a request that met a problem."""
    body = to_json(problem.document(request_id_of(scope)), inf_nan_mode="null")
    return Response(body, problem.status, problem.headers, PROBLEM_JSON)
