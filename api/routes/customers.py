"""What a customer has: the statement, the entries, and a link to the page that shows both."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError
from sqlalchemy import Connection

from api import documentation as docs
from api import examples, schemas
from api.deps import AsStorefront, Reading, Services, TheServices
from api.errors import invalid_request
from api.routing import json_answer, with_slashes
from rewards.core.clock import utc_now
from rewards.core.errors import CustomerNotFound
from rewards.core.links import make_link
from rewards.decide.commands import ShopId
from rewards.ledger.statements import customer_statement, entries_page, rfc3339

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


CustomerId = Annotated[
    ShopId,
    BeforeValidator(with_slashes),
    Path(description="The shop's own id; write a slash in it as %2F.", examples=["c-1"]),
]
AsOf = Annotated[
    datetime | None,
    BeforeValidator(_instant),
    Query(
        description="The instant to look at: what was, or what will be if nothing happens until then.",
        examples=["2026-11-01T12:00:00Z"],
    ),
]
Limit = Annotated[int, Query(ge=1, le=200, description="Entries in a page.")]
Cursor = Annotated[
    str | None, Query(max_length=64, description="`next_cursor` of the page before; the newest unless given.")
]


@router.get(
    "/v1/customers/{customer_id}",
    operation_id="customer",
    **docs.documented(
        tag="customers",
        summary="See what a customer has",
        description="The balance, what expires when (it adds up to the balance), pending points and open holds.",
        answer=schemas.CustomerAnswer,
        example=examples.CUSTOMER_ANSWER,
        problems=[404, 422],
    ),
)
async def customer(services: TheServices, _key: Reading, customer_id: CustomerId, as_of: AsOf = None) -> Any:
    """Return a customer's statement."""

    def read(conn: Connection) -> dict[str, Any] | None:
        return customer_statement(conn, services.programs.current(conn), customer_id, as_of, utc_now())

    statement = await services.reader.read(read)
    if statement is None:
        raise _unknown(customer_id)
    return json_answer(statement)


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
            _must_be_known(conn, services, customer_id)
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
    await services.reader.read(lambda conn: _must_be_known(conn, services, customer_id))
    url, expires_at = make_link(services.settings, customer_id, utc_now())
    return json_answer({"url": url, "expires_at": rfc3339(expires_at)})


def _must_be_known(conn: Connection, services: Services, customer_id: str) -> None:
    if customer_statement(conn, services.programs.current(conn), customer_id, None, utc_now()) is None:
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
