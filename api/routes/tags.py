"""A customer's tags: what the shop says of it, for the conditions of rules."""

from fastapi import Request, Response
from pydantic import TypeAdapter

from api import documentation as docs
from api import examples, schemas
from api.bodies import parse, read_json
from api.deps import authorize, services_of
from api.routes.commands import answered
from api.routes.customers import ABOUT_ID, CUSTOMER_ID, path_customer
from api.routing import RawRoute
from rewards.decide.commands import Tag
from rewards.decide.submission import Submission

_BODY = TypeAdapter(schemas.TagsBody)


async def set_tags(request: Request) -> Response:
    """Give a customer these tags, instead of those it has."""
    key = await authorize(request, "storefront")
    body = parse(_BODY, await read_json(request))
    command = Tag(customer_id=path_customer(request), tags=body.tags)
    # The same tags twice are the same tags, so no key is needed.
    return answered(await services_of(request).coalescer.submit(Submission(command, None, key.actor)))


def routes() -> list[RawRoute]:
    """Return the one route."""
    return [
        RawRoute(
            "/v1/customers/{customer_id}/tags",
            set_tags,
            methods=["PUT"],
            name="set_tags",
            operation_id="set_tags",
            **docs.documented(
                tag="customers",
                summary="Set a customer's tags",
                description=(
                    "The tags that conditions of rules see as `customer.tags`, from the next award on. They replace "
                    "those that the customer has."
                ),
                body=schemas.TagsBody,
                body_examples={"a wholesaler": examples.TAGS},
                answer=schemas.TagsAnswer,
                example=examples.TAGS_ANSWER,
                parameters=[
                    docs.parameter("path", "customer_id", CUSTOMER_ID.json_schema(), "c-1", ABOUT_ID)
                ],
                problems=[404],
            ),
        )
    ]
