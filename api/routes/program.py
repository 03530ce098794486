"""The program: the version in force, and publishing the next one."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter

from api import documentation as docs
from api import examples, schemas
from api.background import apply_soon
from api.bodies import parse, read_json
from api.deps import Reading, Services, TheServices, authorize, services_of
from api.errors import Problem, invalid_program
from api.routing import RawRoute, json_answer
from rewards.applying.publishing import as_expected, brings_ladder, publish_expected
from rewards.core.clock import utc_now
from rewards.core.errors import PreviewOutdated
from rewards.ledger.statements import rfc3339
from rewards.program.document import ProgramDocument
from rewards.program.history import ProgramVersion
from rewards.program.loading import ProgramError, ProgramInvalid, cautions_of, parse_document
from rewards.program.versions import NotNewest, publish

router = APIRouter()

_PUBLISH = TypeAdapter(schemas.PublishBody)


@router.get(
    "/v1/program",
    operation_id="program",
    **docs.documented(
        tag="program",
        summary="See the program in force",
        answer=schemas.ProgramAnswer,
        example=examples.PROGRAM_ANSWER,
    ),
)
async def program(services: TheServices, _key: Reading) -> Any:
    """Return the version that governs what happens now."""
    history = await services.reader.read(services.programs.current)
    return json_answer(_shown(history.in_force(utc_now())))


async def publish_program(request: Request) -> Response:
    """Publish a document as the next version."""
    key = await authorize(request, "admin")
    body = parse(_PUBLISH, await read_json(request))
    services = services_of(request)

    def append() -> tuple[ProgramVersion, list[ProgramError]]:
        document = parse_document(body.document)
        now = utc_now()
        version = _publish(services, body, document, key.actor, now)
        return version, cautions_of(document, now)

    try:
        version, cautions = await services.reader.run(append)
    except ProgramInvalid as invalid:
        raise program_problem(invalid) from None
    shown = _shown(version)
    if cautions:
        shown["warnings"] = [{"path": f"document.{each.path}", "message": each.message} for each in cautions]
    return json_answer(shown)


def _publish(
    services: Services, body: schemas.PublishBody, document: ProgramDocument, actor: str, now: datetime
) -> ProgramVersion:
    if body.expected_moves is None:
        with services.database.engine.begin() as conn:
            version = publish(
                conn, document, effective_from=body.effective_from, now=now, actor=actor, note=body.note
            )
            is_to_apply = brings_ladder(conn, version)
    else:
        expected = as_expected(
            services.database,
            document,
            digest=body.expected_moves,
            now=now,
            effective_from=body.effective_from,
        )
        try:
            with services.database.engine.begin() as conn:
                version = publish_expected(conn, document, expected, actor=actor, note=body.note)
                is_to_apply = brings_ladder(conn, version)
        except NotNewest:
            raise PreviewOutdated(
                "Another version was published at this very moment. Preview it once more."
            ) from None
    if is_to_apply and version.effective_from <= now:
        apply_soon(services.settings)
    return version


def program_problem(invalid: ProgramInvalid) -> Problem:
    """Return the problem of a document that cannot be used."""
    return invalid_program(
        (f"document.{error.path}" if error.path else "document", error.message) for error in invalid.errors
    )


def _shown(version: ProgramVersion) -> dict[str, Any]:
    return {
        "version": version.version,
        "effective_from": rfc3339(version.effective_from),
        "published_at": rfc3339(version.published_at),
        "published_by": version.published_by,
        "note": version.note,
        "document": version.document.model_dump(mode="json"),
    }


def routes() -> list[RawRoute]:
    """Return the route that FastAPI's own reading of bodies would not do for."""
    return [
        RawRoute(
            "/v1/program",
            publish_program,
            methods=["PUT"],
            name="publish_program",
            operation_id="publish_program",
            **docs.documented(
                tag="program",
                summary="Publish a program",
                description="Appends a version; what was awarded keeps its own. Where it brings another ladder, "
                "customers are brought up to it in the background. Needs an admin key.",
                body=schemas.PublishBody,
                body_examples={"a refund window": examples.PUBLISH},
                answer=schemas.ProgramAnswer,
                example=examples.PROGRAM_ANSWER,
                problems=[409],
            ),
        )
    ]
