"""One customer: who it is, what it has, how that came about, and what of it can be changed."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, text

from api.deps import services_of
from api.errors import http_problem
from api.pages.admin.forms import Form, Listing
from api.pages.admin.render import admin_page, reading
from api.pages.admin.session import Admin, signed_in
from api.pages.customer_view import CustomerView, customer_view, last_day
from api.routing import with_slashes
from rewards.admins.accounts import names_of_actors
from rewards.core import wording
from rewards.core.clock import utc_now
from rewards.decide.commands import ShopId
from rewards.ledger.history import HistoryLine, history_view
from rewards.ledger.referral_state import Referral
from rewards.ledger.referrals import OWN_COLUMNS, referral_summary
from rewards.ledger.standings import read_moves, read_outlook
from rewards.ledger.statements import read_balance
from rewards.ledger.tables import ENTRY_KINDS
from rewards.profiles.storing import read_profile
from rewards.program.document import ProgramDocument
from rewards.program.history import ProgramHistory
from rewards.program.holdout import ENROLLED, Participation

PAGE_SIZE = 20
_MOST_MOVES = 20
_MOST_NUMBER = 19
_ID: TypeAdapter[str] = TypeAdapter(ShopId)

KIND_NAMES = {
    "award": "earned",
    "clawback": "taken back",
    "redeem": "spent",
    "reinstate": "came back",
    "hold": "set aside",
    "release": "released",
    "adjust": "adjusted",
    "expire": "expired",
    "unexpire": "expiry undone",
}
assert set(KIND_NAMES) == set(ENTRY_KINDS)

router = APIRouter()


@dataclass(frozen=True, slots=True)
class CustomerFacts:
    """All that the page shows of a customer.

    Attributes:
        profile: as the API shows it; of nothing but None where there is none.
        account: the row of ``accounts``; None for who has a profile only.
        view: the balance and what becomes of it, as the customer's own page has it; None without an account.
        lines: a page of the time line.
        more: the number that the next page of it goes on before; None where it ends.
        brought: what the customer's code brought.
        referral: how the customer was brought; None where it came by itself.
        actors: names of admins who made entries.
        is_granted: whether the standing was given by hand.
        part: whether the customer takes part in the program, or is held out of it.
        moves: the latest moves on the ladder.
    """

    customer_id: str
    profile: dict[str, Any]
    account: Any
    view: CustomerView | None
    lines: list[HistoryLine]
    more: int | None
    document: ProgramDocument
    brought: dict[str, Any]
    referral: Referral | None
    actors: dict[str, str]
    is_granted: bool
    part: Participation
    moves: list[dict[str, Any]]
    now: datetime

    @property
    def title(self) -> str:
        """How the page calls the customer."""
        return self.profile["name"] or self.customer_id

    @property
    def is_erased(self) -> bool:
        """Whether what was personal is gone."""
        return self.profile["erased_at"] is not None

    def day(self, instant: datetime) -> str:
        """Write the day of an instant on the program's clocks."""
        return wording.day(instant.astimezone(self.document.zone).date())

    def last_day(self, expires_at: datetime) -> str:
        """Write the last day on which points that expire then can be spent."""
        return wording.day(last_day(expires_at, self.document.zone))

    def minute(self, instant: datetime) -> str:
        """Write an instant on the program's clocks."""
        return wording.minute(instant, self.document.zone)

    def money(self, amount_minor: int) -> str:
        """Write an amount in the program's currency."""
        sign = "\N{MINUS SIGN}" if amount_minor < 0 else ""
        return sign + wording.money(abs(amount_minor), self.document.currency)

    def birthday(self) -> str | None:
        """Write the day of birth, with its year where that is known."""
        text = self.profile["birthday"]
        if text is None:
            return None
        day = date.fromisoformat(text if len(text) > 5 else f"2000-{text}")
        return wording.day(day) if len(text) > 5 else wording.day_and_month(day)

    @property
    def tiers(self) -> list[tuple[str, str]]:
        """The tiers of the program in force, each with its name."""
        ladder = self.document.ladder
        return [] if ladder is None else [(tier.id, tier.name) for tier in ladder.tiers]

    def tier_name(self, tier: str | None) -> str:
        """Return what a tier is called; one of an earlier version by its id."""
        return "no tier" if tier is None else dict(self.tiers).get(tier, tier)

    def actor(self, actor: str) -> str:
        """Say who made an entry."""
        return self.actors.get(actor, actor)


_NO_PROFILE = dict.fromkeys(("email", "name", "birthday", "joined_at", "attributes", "erased_at"))
_ACCOUNT = text("SELECT * FROM accounts WHERE customer_id = :customer_id")
_OWN_REFERRAL = text(f"SELECT {OWN_COLUMNS} FROM referrals AS r WHERE r.customer_id = :customer_id")  # noqa: S608 - constants


def customer_of(segment: str) -> str:
    """Return the customer that a segment of an address names.

    Raises:
        Problem: 404, where nobody can be called that.
    """
    try:
        return _ID.validate_python(with_slashes(segment))
    except ValidationError:
        raise http_problem(404, "", {}) from None


@router.api_route("/admin/customers/{customer_id}", methods=["GET", "HEAD"], include_in_schema=False)
async def customer(request: Request, customer_id: str) -> Response:
    """Show a customer."""
    admin = await signed_in(request)
    return await customer_page(request, admin, customer_of(customer_id))


async def customer_page(
    request: Request,
    admin: Admin,
    customer_id: str,
    status: int = 200,
    *,
    form: Form | None = None,
    errors: dict[str, str] | None = None,
    link_made: tuple[str, datetime] | None = None,
) -> Response:
    """Return the page of a customer, with a form as it was typed and what is wrong with it.

    Raises:
        Problem: 404, where nothing is known of such a customer.
    """
    listing = Listing.read(request, sorts=(), default="", filters=("kind",), size=PAGE_SIZE)
    kind = listing["kind"] if listing["kind"] in ENTRY_KINDS else ""
    before = _number(request.query_params.get("after", ""))
    now = utc_now()
    facts = await reading(
        request,
        lambda conn: _facts(conn, services_of(request).programs.recent(conn), customer_id, kind, before, now),
    )
    if facts is None:
        raise http_problem(404, "", {})
    return admin_page(
        request,
        admin,
        "customer.html",
        status,
        facts=facts,
        listing=listing,
        is_first=before is None,
        kinds=[("", "all"), *KIND_NAMES.items()],
        kind_names=KIND_NAMES,
        form=form or Form(),
        errors=errors or {},
        link_made=link_made,
        # The same key however often the form is sent, so that it counts once; another for each look at the page.
        adjust_key=str(uuid4()),
    )


def _facts(
    conn: Connection,
    programs: ProgramHistory,
    customer_id: str,
    kind: str,
    before: int | None,
    now: datetime,
) -> CustomerFacts | None:
    whose = {"customer_id": customer_id}
    profile = read_profile(conn, customer_id)
    account = conn.execute(_ACCOUNT, whose).one_or_none()
    if profile is None and account is None:
        return None
    document = programs.in_force(now).document
    found = read_balance(conn, customer_id, None, now)
    lines = history_view(conn, customer_id, PAGE_SIZE + 1, before, programs, (kind,) if kind else ())
    view, outlook = None, None
    if found is not None:
        outlook = read_outlook(conn, programs, customer_id, now)
        view = customer_view(
            customer_id,
            found.balance,
            document,
            [],
            entries=found.entries,
            page_size=PAGE_SIZE,
            standing=outlook,
        )
    referral = conn.execute(_OWN_REFERRAL, whose).one_or_none()
    return CustomerFacts(
        customer_id=customer_id,
        profile=profile or _NO_PROFILE,
        account=account,
        view=view,
        lines=lines[:PAGE_SIZE],
        more=lines[PAGE_SIZE - 1].seq if len(lines) > PAGE_SIZE else None,
        document=document,
        brought=referral_summary(conn, customer_id),
        referral=None if referral is None else Referral(*referral),
        actors=names_of_actors(conn),
        is_granted=outlook is not None and outlook.standing.is_granted,
        part=ENROLLED if found is None else found.participation(programs, customer_id),
        moves=read_moves(conn, customer_id, _MOST_MOVES),
        now=now,
    )


def _number(text: str) -> int | None:
    """Read the number of an entry; None, the latest page, for whatever is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < _MOST_NUMBER else None
