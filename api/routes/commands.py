"""The endpoints that change points, one command each, and quotes, which only decide."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import Request, Response
from pydantic import TypeAdapter

from api import documentation as docs
from api import examples, schemas
from api.bodies import parse, read_json
from api.deps import authorize, services_of
from api.errors import idempotency_key_invalid, idempotency_key_missing, invalid_request
from api.routing import Endpoint, JsonBytes, RawRoute, json_answer
from rewards.core.clock import utc_now
from rewards.core.keys import Scope
from rewards.decide.commands import (
    Adjust,
    Award,
    Capture,
    Command,
    Redeem,
    Reverse,
    ReverseRedemption,
    Void,
)
from rewards.decide.submission import Submission
from rewards.engine import Answer

B = TypeVar("B")

_IDEMPOTENCY_KEY = re.compile(schemas.IDEMPOTENCY_KEY_PATTERN)
_REPLAYED = ((b"idempotent-replayed", b"true"),)


def idempotency_key(request: Request) -> str:
    """Return the request's idempotency key.

    Raises:
        Problem: ``idempotency-key-missing`` or ``idempotency-key-invalid``.
    """
    given = [value for name, value in request.scope["headers"] if name == b"idempotency-key"]
    if not given:
        raise idempotency_key_missing()
    text: str = given[0].decode("latin-1")
    if len(given) > 1 or _IDEMPOTENCY_KEY.fullmatch(text) is None:
        raise idempotency_key_invalid()
    return text


def answered(answer: Answer) -> Response:
    """Send the engine's words as they are."""
    return JsonBytes(answer.body.encode(), answer.status, _REPLAYED if answer.replayed else ())


def _body_is_command(adapter: TypeAdapter[Command]) -> Callable[[Request, bytes], Command]:
    return lambda _request, body: parse(adapter, body)


def _on_redemption(
    adapter: TypeAdapter[B], make: Callable[[str, B], Command]
) -> Callable[[Request, bytes], Command]:
    """A command on the redemption that the path names; the body may be left out."""
    return lambda request, body: make(request.path_params["redemption_id"], parse(adapter, body or b"{}"))


def _command(needed: Scope, read: Callable[[Request, bytes], Command]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        key = await authorize(request, needed)
        body = await read_json(request)
        idempotency = idempotency_key(request)
        submission = Submission(read(request, body), idempotency, key.actor)
        return answered(await services_of(request).coalescer.submit(submission))

    return endpoint


async def quote(request: Request) -> Response:
    """Say what an award would be, and write nothing."""
    await authorize(request, "storefront")
    command = parse(_AWARD, await read_json(request))
    explain = _why_not(request)
    services = services_of(request)
    quoted = await services.reader.quote(lambda: services.engine.quote(command, utc_now(), explain=explain))
    return json_answer(quoted)


def _why_not(request: Request) -> bool:
    given = request.query_params.get("why_not", "false") if request.scope["query_string"] else "false"
    if given not in ("true", "false"):
        raise invalid_request([("query.why_not", "must be true or false")])
    return given == "true"


# The id in a path is not validated here: whatever it is, the engine says that there is no such redemption.
def _capture(redemption_id: str, body: schemas.CaptureBody) -> Command:
    return Capture.model_construct(redemption_id=redemption_id, points=body.points)


def _void(redemption_id: str, _body: schemas.EmptyBody) -> Command:
    return Void.model_construct(redemption_id=redemption_id)


def _reverse(redemption_id: str, _body: schemas.EmptyBody) -> Command:
    return ReverseRedemption.model_construct(redemption_id=redemption_id)


_AWARD = TypeAdapter(Award)
_NOTHING = TypeAdapter(schemas.EmptyBody)
_READ_AWARD = _body_is_command(TypeAdapter(Award))
_READ_REDEEM = _body_is_command(TypeAdapter(Redeem))
_READ_REVERSE = _body_is_command(TypeAdapter(Reverse))
_READ_ADJUST = _body_is_command(TypeAdapter(Adjust))
_READ_CAPTURE = _on_redemption(TypeAdapter(schemas.CaptureBody), _capture)
_READ_VOID = _on_redemption(_NOTHING, _void)
_READ_REVERSE_REDEMPTION = _on_redemption(_NOTHING, _reverse)


#: Where a link from an answer finds what the next request needs.
_THE_CUSTOMER = ("customer_id", "$request.body#/customer_id")
_THE_REDEMPTION = ("redemption_id", "$response.body#/redemption_id")


def _post(path: str, name: str, endpoint: Endpoint, **documented: Any) -> RawRoute:
    documentation = docs.documented(tag="points", **documented)
    return RawRoute(path, endpoint, methods=["POST"], name=name, operation_id=name, **documentation)


def routes() -> list[RawRoute]:
    """Return the routes, those that are asked for most first."""
    return [*_awards_and_redemptions(), *_on_one_redemption(), *_the_rest()]


def _awards_and_redemptions() -> list[RawRoute]:
    return [
        _post(
            "/v1/awards",
            "award",
            _command("storefront", _READ_AWARD),
            summary="Award points for an activity",
            description="Credits a customer, who is created if unknown, by the rules in force when it occurred.",
            body=Award,
            body_examples={
                "a purchase": examples.PURCHASE,
                "a survey": examples.SURVEY,
                "a signup": examples.SIGNUP,
            },
            answer=schemas.AwardAnswer,
            example=examples.AWARD_ANSWER,
            leads_to={"customer": _THE_CUSTOMER, "entries": _THE_CUSTOMER, "link": _THE_CUSTOMER},
            status=201,
            idempotent=True,
            problems=[409],
        ),
        _post(
            "/v1/redemptions",
            "redeem",
            _command("storefront", _READ_REDEEM),
            summary="Redeem points, or hold them",
            description="Spends points at once; with `hold` they are set aside until captured, voided or lapsed.",
            body=Redeem,
            body_examples={"at once": examples.REDEEM, "a hold": examples.HOLD},
            answer=schemas.RedemptionAnswer,
            example=examples.REDEMPTION_ANSWER,
            leads_to=dict.fromkeys(("capture", "void", "reverse_redemption"), _THE_REDEMPTION),
            status=201,
            idempotent=True,
            problems=[404, 409],
        ),
    ]


def _on_one_redemption() -> list[RawRoute]:
    path = "/v1/redemptions/{redemption_id}"
    common: dict[str, Any] = {
        "parameters": [
            docs.parameter(
                "path", "redemption_id", {"type": "string"}, examples.HOLD_ID, "As its response had it."
            )
        ],
        "answer": schemas.RedemptionAnswer,
        "body_required": False,
        "idempotent": True,
        "problems": [404, 409],
    }
    return [
        _post(
            f"{path}/capture",
            "capture",
            _command("storefront", _READ_CAPTURE),
            summary="Spend a hold",
            description="Spends a hold, whole or in part; what is left of it is released.",
            body=schemas.CaptureBody,
            body_examples={"in part": examples.CAPTURE, "whole": {}},
            example=examples.CAPTURE_ANSWER,
            **common,
        ),
        _post(
            f"{path}/void",
            "void",
            _command("storefront", _READ_VOID),
            summary="Let a hold go",
            description="Returns a hold's points to the lots that they came from.",
            body=schemas.EmptyBody,
            body_examples={"nothing": {}},
            example=examples.VOID_ANSWER,
            **common,
        ),
        _post(
            f"{path}/reverse",
            "reverse_redemption",
            _command("storefront", _READ_REVERSE_REDEMPTION),
            summary="Take a redemption back",
            description="Returns spent points to the lots that they came from, with their old expiry.",
            body=schemas.EmptyBody,
            body_examples={"nothing": {}},
            example=examples.REVERSED_ANSWER,
            **common,
        ),
    ]


def _the_rest() -> list[RawRoute]:
    return [
        _post(
            "/v1/reversals",
            "reverse",
            _command("storefront", _READ_REVERSE),
            summary="Refund an order, in full or in part",
            description="Takes back what the order gave, in proportion, and returns points that paid for it.",
            body=Reverse,
            body_examples={"by line": examples.REVERSAL_BY_LINE, "in full": examples.REVERSAL_IN_FULL},
            answer=schemas.ReversalAnswer,
            example=examples.REVERSAL_ANSWER,
            status=201,
            idempotent=True,
            problems=[404, 409],
        ),
        _post(
            "/v1/adjustments",
            "adjust",
            _command("admin", _READ_ADJUST),
            summary="Credit or debit points by hand",
            description="Needs an admin key and a reason, which stays on record.",
            body=Adjust,
            body_examples={"goodwill": examples.ADJUSTMENT},
            answer=schemas.AdjustmentAnswer,
            example=examples.ADJUSTMENT_ANSWER,
            status=201,
            idempotent=True,
            problems=[404, 409],
        ),
        _post(
            "/v1/quotes",
            "quote",
            quote,
            summary="See what an award would be",
            description=(
                "Decides an award, and what the customer could redeem on its order, and writes nothing. With "
                "`why_not=true` it also tells which rules for such an activity would not apply, and why."
            ),
            parameters=[
                docs.parameter(
                    "query",
                    "why_not",
                    {"type": "boolean", "default": False},
                    "true",
                    "Tell which rules would not apply, and why.",
                )
            ],
            body=Award,
            body_examples={"a purchase": examples.PURCHASE},
            answer=schemas.QuoteAnswer,
            example=examples.QUOTE_ANSWER,
            problems=[409],
        ),
    ]
