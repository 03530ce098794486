"""``POST /v1/batches``: many commands in one request, each of which stands alone.

The whole body is validated in one pass. Only where that finds something wrong is it taken apart: what is wrong
is answered with its own 422, and what is left is carried out.
"""

import json
from collections.abc import Sequence
from typing import Any

from fastapi import Request, Response
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from api import documentation as docs
from api import examples, schemas
from api.bodies import BATCH_LIMIT_BYTES, explained, invalid, parse, read_json
from api.coalescing import Outcome
from api.deps import authorize, services_of
from api.errors import Problem, invalid_request, request_id_of, wrong_scope
from api.routing import JsonBytes, RawRoute
from api.schemas import AdjustOperation, Operation
from rewards.core.keys import ApiKey
from rewards.decide.submission import Submission

_BATCH = TypeAdapter(schemas.BatchBody)
_ENVELOPE = TypeAdapter(schemas.AnyBatchBody)


async def carry_out(request: Request) -> Response:
    """Carry out the operations of a batch."""
    key = await authorize(request, "storefront")
    operations = read_operations(await read_json(request, BATCH_LIMIT_BYTES))
    submissions: list[Submission] = []
    outcomes: list[Outcome | None] = []
    for operation in operations:
        problem = operation if isinstance(operation, Problem) else _out_of_scope(operation, key)
        outcomes.append(problem)
        if not isinstance(operation, Problem) and problem is None:
            submissions.append(Submission(operation.body, operation.idempotency_key, key.actor))
    if submissions:
        done = iter(await services_of(request).coalescer.submit_batch(submissions))
        outcomes = [next(done) if outcome is None else outcome for outcome in outcomes]
    settled = [outcome for outcome in outcomes if outcome is not None]
    if all(isinstance(outcome, Problem) and outcome.status == 503 for outcome in settled):
        assert isinstance(settled[0], Problem)
        raise settled[0]
    return JsonBytes(_joined(settled, request_id_of(request.scope)), 200)


def read_operations(body: bytes) -> "Sequence[Operation | Problem]":
    """Return the operations of a body, with a problem in the place of each that is not valid.

    Raises:
        Problem: the body is not JSON, or no batch.
    """
    try:
        return _BATCH.validate_json(body).operations
    except ValidationError as error:
        first = error
    try:
        envelope = _ENVELOPE.validate_json(body)
    except ValidationError as error:
        raise invalid(error, body) from None
    return _read_apart(first, envelope.operations)


def _read_apart(error: ValidationError, given: list[Any]) -> "list[Operation | Problem]":
    data = {"operations": given}
    by_index: dict[int, list[Any]] = {}
    for each in error.errors(include_url=False, include_input=False):
        by_index.setdefault(int(each["loc"][1]), []).append(each)
    problems = {index: invalid_request(explained(errors, data, skip=2)) for index, errors in by_index.items()}
    good = [operation for index, operation in enumerate(given) if index not in problems]
    valid = iter(parse(_BATCH, json.dumps({"operations": good}).encode()).operations if good else [])
    return [problems.get(index) or next(valid) for index in range(len(given))]


def _out_of_scope(operation: Operation, key: ApiKey) -> Problem | None:
    needs_admin = isinstance(operation, AdjustOperation) and not key.permits("admin")
    return wrong_scope(key.scope, "admin") if needs_admin else None


def _joined(outcomes: Sequence[Outcome], request_id: str | None) -> bytes:
    parts = []
    for outcome in outcomes:
        if isinstance(outcome, Problem):
            document = to_json(outcome.document(request_id)).decode()
            parts.append(f'{{"status":{outcome.status},"body":{document}}}')
        else:
            replayed = ',"replayed":true' if outcome.replayed else ""
            parts.append(f'{{"status":{outcome.status},"body":{outcome.body}{replayed}}}')
    return f'{{"results":[{",".join(parts)}]}}'.encode()


def routes() -> list[RawRoute]:
    """Return the one route."""
    return [
        RawRoute(
            "/v1/batches",
            carry_out,
            methods=["POST"],
            name="batch",
            operation_id="batch",
            **docs.documented(
                tag="points",
                summary="Carry out many commands",
                description=(
                    "Up to 5,000 operations, carried out in order; each stands alone and has its own answer, "
                    "under its own idempotency key. The body may have 8 MiB."
                ),
                body=schemas.BatchBody,
                body_examples={"an award and a redemption": examples.BATCH},
                answer=schemas.BatchAnswer,
                example=examples.BATCH_ANSWER,
            ),
        )
    ]
