"""Exposures: a storefront says that a customer meets the program's holdout, and is told whether to show the program."""

from typing import Any

from fastapi import Request, Response
from pydantic import TypeAdapter
from sqlalchemy import Connection

from api import documentation as docs
from api import examples, schemas
from api.bodies import parse, read_json
from api.deps import authorize, services_of
from api.routing import RawRoute, json_answer
from rewards.core.clock import utc_now
from rewards.core.errors import ExperimentNotFound
from rewards.decide.award import past_instant
from rewards.facts.exposures import log_exposure
from rewards.ledger.statements import rfc3339
from rewards.program.experiments import holdout_run, holdout_runs

_EXPOSURE = TypeAdapter(schemas.ExposureBody)


async def log(request: Request) -> Response:
    """Log an exposure."""
    await authorize(request, "storefront")
    body = parse(_EXPOSURE, await read_json(request))
    services = services_of(request)
    now = utc_now()
    at = past_instant(body.exposed_at, now)

    def write() -> dict[str, Any]:
        with services.database.engine.begin() as conn:
            return _logged(conn)

    def _logged(conn: Connection) -> dict[str, Any]:
        programs = services.programs.current(conn)
        run = holdout_run(programs, body.experiment_id)
        if run is None:
            known = ", ".join(each.terms.experiment_id for each in holdout_runs(programs)) or "none"
            raise ExperimentNotFound(
                f"The program never had a holdout {body.experiment_id!r} (it had: {known})."
            )
        found = log_exposure(conn, run, body.customer_id, at, now)
        return {
            "customer_id": body.customer_id,
            "experiment_id": body.experiment_id,
            "arm": found.arm,
            "show": found.show,
            "exposed_at": None if found.exposed_at is None else rfc3339(found.exposed_at),
        }

    return json_answer(await services.reader.run(write))


def routes() -> list[RawRoute]:
    """Return the route that reads a raw body."""
    return [
        RawRoute(
            "/v1/exposures",
            log,
            methods=["POST"],
            name="log_exposure",
            operation_id="log_exposure",
            **docs.documented(
                tag="customers",
                summary="Log that a customer meets the holdout",
                description=(
                    "Send it where the program would first be seen, for whoever is there, and show the program only "
                    "where `show` is true. Without it a customer's first activity is the exposure; of both the "
                    "earlier one counts. Sending it again changes nothing."
                ),
                body=schemas.ExposureBody,
                body_examples={"now": examples.EXPOSURE},
                answer=schemas.ExposureAnswer,
                example=examples.EXPOSURE_ANSWER,
                problems=[404],
            ),
        )
    ]
