"""For who runs the server: is it alive, can it serve, what does it count."""

from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from api import documentation as docs
from api import metrics, schemas
from api.deps import TheServices
from api.errors import Problem, not_ready
from api.routing import json_answer
from rewards.core.database import pending_migrations
from rewards.core.errors import SetupError
from rewards.program.versions import latest_version

router = APIRouter()


@router.get(
    "/healthz",
    operation_id="healthz",
    **docs.documented(
        tag="health",
        summary="Is the process alive?",
        answer=schemas.Health,
        example={"status": "ok"},
        public=True,
    ),
)
async def healthz() -> Any:
    """Answer, which is all that is asked."""
    return json_answer({"status": "ok"})


@router.get(
    "/readyz",
    operation_id="readyz",
    **docs.documented(
        tag="health",
        summary="Can it serve?",
        description="The database answers, its schema is this version's, and a program is published.",
        answer=schemas.Readiness,
        example={"status": "ready", "program_version": 1},
        problems=[503],
        public=True,
    ),
)
async def readyz(services: TheServices) -> Any:
    """Look at all that serving needs."""

    def version(conn: Connection) -> int:
        # On a connection of its own, so the server must have a second one to give: it will soon be asked for it.
        if pending_migrations(services.database):
            raise not_ready("The schema is not at this version's head: run `rewards migrate`.")
        return latest_version(conn)

    try:
        number = await services.reader.read(version)
    except SetupError as error:
        raise not_ready(f"{error}.") from None
    except Problem as problem:
        if problem.code == "unavailable":
            raise not_ready("The database does not answer.") from None
        raise
    if number == 0:
        raise not_ready("No program is published: run `rewards migrate`, or publish one.")
    return json_answer({"status": "ready", "program_version": number})


@router.get("/internal/metrics", include_in_schema=False)
async def prometheus() -> Response:
    """Return the figures for Prometheus."""
    return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)
