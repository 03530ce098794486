"""The customers: found by id, e-mail address or name, filtered and sorted."""

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from api.deps import services_of
from api.pages.admin.forms import Listing
from api.pages.admin.places import day_begins, read_place, write_place
from api.pages.admin.render import admin_page, reading
from api.pages.admin.session import signed_in
from rewards.core import wording
from rewards.core.clock import utc_now
from rewards.profiles.finding import SORTS, FoundCustomer, Wanted, find_customers, known_tags, readable_place
from rewards.program.document import ProgramDocument

PAGE_SIZE = 25
_BALANCES = {"some": True, "none": False}
_FILTERS = ("q", "tag", "tier", "balance", "from", "until")
#: So many tags are offered to filter by.
_MOST_TAGS = 100

router = APIRouter()


@router.api_route("/admin/customers", methods=["GET", "HEAD"], include_in_schema=False)
async def customers(request: Request) -> Response:
    """Show a page of the list."""
    admin = await signed_in(request)
    listing = Listing.read(request, sorts=SORTS, default="id", filters=_FILTERS, size=PAGE_SIZE)
    place = read_place(request.query_params.get("after", ""))
    after = readable_place(listing.sort, place) if place is not None else None

    def read(conn: Connection) -> tuple[ProgramDocument, list[FoundCustomer], list[str]]:
        document = services_of(request).programs.recent(conn).in_force(utc_now()).document
        found = find_customers(conn, _wanted(listing, document, after), PAGE_SIZE + 1)
        return document, found, known_tags(conn, _MOST_TAGS)

    document, found, tags = await reading(request, read)
    shown = found[:PAGE_SIZE]
    ladder = document.ladder
    tiers = [(tier.id, tier.name) for tier in ladder.tiers] if ladder is not None else []
    return admin_page(
        request,
        admin,
        "customers.html",
        listing=listing,
        customers=shown,
        more=write_place(shown[-1].place) if len(found) > PAGE_SIZE else "",
        is_first=after is None,
        tags=tags,
        tag_options=[(tag, tag) for tag in tags],
        tiers=tiers,
        tier_names=dict(tiers),
        day=lambda instant: wording.day(instant.astimezone(document.zone).date()),
    )


def _wanted(listing: Listing, document: ProgramDocument, after: tuple[str, str] | None) -> Wanted:
    return Wanted(
        search=listing["q"],
        tag=listing["tag"],
        tier=listing["tier"],
        has_balance=_BALANCES.get(listing["balance"]),
        joined_from=day_begins(listing["from"], document.zone),
        joined_before=day_begins(listing["until"], document.zone, days_later=1),
        sort=listing.sort,
        descending=listing.descending,
        after=after,
    )
