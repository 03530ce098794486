"""Profiles: who a customer is, all that is known of one, and taking it away again."""

from typing import Any

from fastapi import Request, Response
from pydantic import TypeAdapter
from sqlalchemy import Connection

from api import documentation as docs
from api import examples, schemas
from api.bodies import parse, read_json
from api.deps import Services, authorize, services_of
from api.routes.customers import ABOUT_ID, CUSTOMER_ID, path_customer
from api.routing import Endpoint, RawRoute, json_answer
from rewards.core.clock import utc_now
from rewards.core.errors import CustomerNotFound, ProfileErased, ProfileNotFound
from rewards.profiles.enrolling import enroll
from rewards.profiles.erasing import Erased, erase
from rewards.profiles.exporting import export_customer
from rewards.profiles.profile import Profile
from rewards.profiles.storing import put_profile, read_profile

_BODY = TypeAdapter(schemas.ProfileBody)


async def show(request: Request) -> Response:
    """Return a customer's profile."""
    # Personal data, so a key that may only look at figures is not enough.
    await authorize(request, "storefront")
    customer_id = path_customer(request)
    found = await services_of(request).reader.read(lambda conn: read_profile(conn, customer_id))
    if found is None:
        raise ProfileNotFound(f"There is no profile of {customer_id!r}; put one first.")
    return json_answer(found)


async def put(request: Request) -> Response:
    """Put a customer's profile in place of the one that is there."""
    key = await authorize(request, "storefront")
    customer_id = path_customer(request)
    body = parse(_BODY, await read_json(request))
    profile = Profile.model_validate(body.model_dump(exclude={"restore_erased"}))
    return json_answer(
        await save(services_of(request), customer_id, profile, key.actor, restores_erased=body.restore_erased)
    )


async def save(
    services: Services, customer_id: str, profile: Profile, actor: str, *, restores_erased: bool
) -> dict[str, Any]:
    """Put a profile, enroll its customer, and return the profile as it is then.

    Raises:
        ProfileErased: the customer was erased, and ``restores_erased`` is false.
    """

    def work() -> dict[str, Any] | None:
        now = utc_now()
        with services.database.engine.begin() as conn:
            outcome = put_profile(conn, customer_id, profile, now, restores_erased=restores_erased)
            if outcome == "erased":
                return None
            found = read_profile(conn, customer_id)
        enroll(services.database, services.engine, [customer_id], actor, now)
        return found

    found = await services.reader.run(work)
    if found is None:
        raise ProfileErased(
            f"What was known of {customer_id!r} was erased; send restore_erased: true if the person came back."
        )
    return found


async def remove(request: Request) -> Response:
    """Erase what is personal of a customer."""
    key = await authorize(request, "admin")
    customer_id = path_customer(request)
    erased = await erase_customer(services_of(request), customer_id, key.actor)
    return json_answer(
        {
            "customer_id": customer_id,
            "erased_at": erased.erased_at,
            "profile": erased.profile,
            "fingerprints": erased.fingerprints,
            "activities": erased.activities,
        }
    )


async def erase_customer(services: Services, customer_id: str, actor: str) -> Erased:
    """Erase what is personal of a customer, in a thread that may wait for the database."""
    return await services.reader.run(
        lambda: erase(services.database, services.engine, customer_id, actor, utc_now())
    )


async def export(request: Request) -> Response:
    """Return everything that is known of a customer."""
    await authorize(request, "admin")
    customer_id = path_customer(request)
    answer = json_answer(await exported(services_of(request), customer_id))
    answer.raw_headers.append((b"cache-control", b"private, no-store"))
    return answer


async def exported(services: Services, customer_id: str) -> dict[str, Any]:
    """Return everything that is known of a customer, as of one instant.

    Raises:
        CustomerNotFound: nothing is.
    """

    def read(conn: Connection) -> dict[str, Any] | None:
        conn.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        return export_customer(conn, services.programs.recent(conn), customer_id, utc_now())

    found = await services.reader.read(read)
    if found is None:
        raise CustomerNotFound(f"There is no customer {customer_id!r}; nothing is known of one.")
    return found


def _route(word: str, method: str, endpoint: Endpoint, name: str, **documented: Any) -> RawRoute:
    return RawRoute(
        f"/v1/customers/{{customer_id}}/{word}",
        endpoint,
        methods=[method],
        name=name,
        operation_id=name,
        **docs.documented(
            tag="customers",
            parameters=[docs.parameter("path", "customer_id", CUSTOMER_ID.json_schema(), "c-1", ABOUT_ID)],
            **documented,
        ),
    )


def routes() -> list[RawRoute]:
    """Return the routes of profiles."""
    return [
        _route(
            "profile",
            "GET",
            show,
            "profile",
            summary="See who a customer is",
            description="Personal data: needs a storefront or an admin key.",
            answer=schemas.ProfileAnswer,
            example=examples.PROFILE_ANSWER,
            problems=[404, 422],
        ),
        _route(
            "profile",
            "PUT",
            put,
            "put_profile",
            summary="Say who a customer is",
            description=(
                "Replaces the profile that is there. An unknown customer is created, with no points. It is kept apart "
                "from the ledger, so that it can be erased."
            ),
            body=schemas.ProfileBody,
            body_examples={
                "all of it": examples.PROFILE,
                "a birthday without its year": {"birthday": "05-17"},
            },
            answer=schemas.ProfileAnswer,
            example=examples.PROFILE_ANSWER,
            problems=[409],
        ),
        _route(
            "profile",
            "DELETE",
            remove,
            "erase_customer",
            summary="Erase what is personal of a customer",
            description=(
                "The profile, tags, fingerprints, code for friends and links to the page go, and so does what the "
                "customer wrote. Points, orders' ids and amounts stay, so that the ledger stays whole. It cannot be "
                "undone. Needs an admin key."
            ),
            answer=schemas.ErasedAnswer,
            example=examples.ERASED_ANSWER,
            problems=[404, 422],
        ),
        _route(
            "export",
            "GET",
            export,
            "export_customer",
            summary="Get everything that is known of a customer",
            description="For whoever asks what is kept about them. Needs an admin key.",
            answer=schemas.ExportAnswer,
            example=examples.EXPORT_ANSWER,
            problems=[404, 422],
        ),
    ]
