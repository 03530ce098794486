"""Who is who: that two of the shop's ids are one person, for metrics alone."""

from fastapi import Request, Response
from pydantic import TypeAdapter

from api import documentation as docs
from api import examples, schemas
from api.bodies import parse, read_json
from api.deps import authorize, services_of
from api.routes.customers import ABOUT_ID, CUSTOMER_ID, path_customer
from api.routing import RawRoute, json_answer
from rewards.core.clock import utc_now
from rewards.facts.identities import set_identity

_BODY = TypeAdapter(schemas.IdentityBody)


async def put(request: Request) -> Response:
    """Say whom a customer is the same person as."""
    key = await authorize(request, "admin")
    customer_id = path_customer(request)
    same_as = parse(_BODY, await read_json(request)).same_as
    services = services_of(request)

    def work() -> str | None:
        with services.database.engine.begin() as conn:
            return set_identity(conn, customer_id, same_as, actor=key.actor, now=utc_now())

    return json_answer({"customer_id": customer_id, "same_as": await services.reader.run(work)})


def routes() -> list[RawRoute]:
    """Return the one route."""
    return [
        RawRoute(
            "/v1/customers/{customer_id}/identity",
            put,
            methods=["PUT"],
            name="set_identity",
            operation_id="set_identity",
            **docs.documented(
                tag="customers",
                summary="Say that two customers are one person",
                description=(
                    "Metrics count them as one from the next minute on; no balance and no tier changes. Who was the "
                    "same as this customer goes along, and where the other is the same as a third, the third is meant: "
                    "the answer says who. With null the customer stands for itself again."
                ),
                body=schemas.IdentityBody,
                body_examples={"a guest who has an account now": examples.IDENTITY},
                answer=schemas.IdentityAnswer,
                example=examples.IDENTITY_ANSWER,
                parameters=[
                    docs.parameter("path", "customer_id", CUSTOMER_ID.json_schema(), "c-1", ABOUT_ID)
                ],
                problems=[404, 422],
            ),
        )
    ]
