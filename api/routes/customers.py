"""What a customer has: the statement, the entries, and a link to the page that shows both."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BeforeValidator, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from sqlalchemy import Connection

from api import documentation as docs
from api import examples, schemas
from api.bodies import located
from api.deps import AsStorefront, Reading, Services, TheServices, authorize, services_of
from api.errors import invalid_request
from api.routing import RawRoute, json_answer, with_slashes
from rewards.core.clock import utc_now
from rewards.core.errors import CustomerNotFound
from rewards.core.links import make_link
from rewards.decide.commands import ShopId
from rewards.ledger.referrals import referral_summary
from rewards.ledger.statements import customer_statement, entries_page, rfc3339

T = TypeVar("T")

router = APIRouter()

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d(?:\.\d{1,9})?)([Zz]|[-+ ]\d\d:\d\d)", re.ASCII)


def _instant(text: Any) -> datetime:
    """Read an instant from an address, where an unescaped plus arrives as a space."""
    match = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    try:
        if match is None:
            raise ValueError
        day, time, offset = match.groups()
        return datetime.fromisoformat(f"{day}T{time}{offset.upper().replace(' ', '+')}").astimezone(UTC)
    except (ValueError, OverflowError):
        message = "must be an instant with an offset, for example 2026-11-01T12:00:00Z"
        raise PydanticCustomError("instant", message) from None


ABOUT_ID = "The shop's own id; write a slash in it as %2F."
_ABOUT_AS_OF = "The instant to look at: what was, or what will be if nothing happens until then."
CUSTOMER_ID: TypeAdapter[str] = TypeAdapter(ShopId)
_INSTANT: TypeAdapter[datetime] = TypeAdapter(Annotated[datetime, BeforeValidator(_instant)])

CustomerId = Annotated[ShopId, BeforeValidator(with_slashes), Path(description=ABOUT_ID, examples=["c-1"])]
Limit = Annotated[int, Query(ge=1, le=200, description="Entries in a page.")]
Cursor = Annotated[
    str | None, Query(max_length=64, description="`next_cursor` of the page before; the newest unless given.")
]


async def statement(request: Request) -> Response:
    """Return a customer's statement."""
    await authorize(request, "readonly")
    customer_id = path_customer(request)
    given = request.query_params.get("as_of") if request.scope["query_string"] else None
    as_of = None if given is None else _parameter(_INSTANT, "query.as_of", given)
    services = services_of(request)

    def read(conn: Connection) -> dict[str, Any] | None:
        programs, now = services.programs.recent(conn), utc_now()
        found = customer_statement(conn, programs, customer_id, as_of, now)
        if found is not None:
            has_referrals = programs.in_force(now).document.referrals is not None
            found["referrals"] = referral_summary(conn, customer_id) if has_referrals else None
        return found

    found = await services.reader.read(read)
    if found is None:
        raise _unknown(customer_id)
    return json_answer(found)


def path_customer(request: Request) -> str:
    """Return the customer that the path names.

    Raises:
        Problem: it is no id.
    """
    given = with_slashes(request.path_params["customer_id"])
    return _parameter(CUSTOMER_ID, "path.customer_id", given)


def _parameter(adapter: TypeAdapter[T], path: str, given: str) -> T:
    try:
        return adapter.validate_python(given)
    except ValidationError as error:
        raise invalid_request([(path, located(each)[1]) for each in error.errors()]) from None


def routes() -> list[RawRoute]:
    """Return the route that every page of a shop asks for."""
    instant = {"type": "string", "format": "date-time"}
    return [
        RawRoute(
            "/v1/customers/{customer_id}",
            statement,
            methods=["GET"],
            name="customer",
            operation_id="customer",
            **docs.documented(
                tag="customers",
                summary="See what a customer has",
                description="The balance, what expires when (which adds up to it), pending points and open holds.",
                answer=schemas.CustomerAnswer,
                example=examples.CUSTOMER_ANSWER,
                parameters=[
                    docs.parameter("path", "customer_id", CUSTOMER_ID.json_schema(), "c-1", ABOUT_ID),
                    docs.parameter("query", "as_of", instant, "2026-11-01T12:00:00Z", _ABOUT_AS_OF),
                ],
                problems=[404, 422],
            ),
        )
    ]


@router.get(
    "/v1/customers/{customer_id}/entries",
    operation_id="entries",
    **docs.documented(
        tag="customers",
        summary="List a customer's entries",
        description="Every movement of points, the newest first.",
        answer=schemas.EntriesAnswer,
        example=examples.ENTRIES_ANSWER,
        problems=[404, 422],
    ),
)
async def entries(
    services: TheServices, _key: Reading, customer_id: CustomerId, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """Return a page of entries."""
    before = None if cursor is None else _read_cursor(cursor)

    def read(conn: Connection) -> list[dict[str, Any]]:
        # One more than asked for tells whether there is a next page.
        found = entries_page(conn, customer_id, limit + 1, before)
        if not found:
            must_be_known(conn, services, customer_id)
        return found

    found = await services.reader.read(read)
    page = found[:limit]
    more = _write_cursor(page[-1]["seq"]) if len(found) > limit else None
    return json_answer({"entries": page, "next_cursor": more})


@router.post(
    "/v1/customers/{customer_id}/link",
    operation_id="link",
    **docs.documented(
        tag="customers",
        summary="Make a link to the customer's page",
        description="Whoever has the address sees the customer's balance and history until it expires.",
        answer=schemas.LinkAnswer,
        example=examples.LINK_ANSWER,
        problems=[404, 422],
    ),
)
async def link(services: TheServices, _key: AsStorefront, customer_id: CustomerId) -> Any:
    """Return a signed address."""
    await services.reader.read(lambda conn: must_be_known(conn, services, customer_id))
    url, expires_at = make_link(services.settings, customer_id, utc_now())
    return json_answer({"url": url, "expires_at": rfc3339(expires_at)})


def must_be_known(conn: Connection, services: Services, customer_id: str) -> None:
    """Make sure that there is such a customer.

    Raises:
        CustomerNotFound: there is none.
    """
    if customer_statement(conn, services.programs.recent(conn), customer_id, None, utc_now()) is None:
        raise _unknown(customer_id)


def _unknown(customer_id: str) -> CustomerNotFound:
    return CustomerNotFound(f"There is no customer {customer_id!r}; award something first.")


def _write_cursor(seq: int) -> str:
    return urlsafe_b64encode(b"before:%d" % seq).rstrip(b"=").decode()


def _read_cursor(text: str) -> int:
    try:
        word, _, seq = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)).partition(b":")
        before = int(seq) if word == b"before" and seq.isdigit() and len(seq) < 19 else 0
    except ValueError:
        before = 0
    if before < 1 or _write_cursor(before) != text:
        raise invalid_request([("query.cursor", "is not one that a page before gave as next_cursor")])
    return before
