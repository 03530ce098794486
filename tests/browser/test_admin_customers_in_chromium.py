"""The admin pages about customers, referrals and activity as an admin has them: in a browser, on a phone or a desk."""

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from sqlalchemy import text

from rewards.admins.accounts import create_admin
from rewards.admins.passwords import hash_password
from rewards.core.clock import utc_now
from rewards.decide.commands import Award, Purchase
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.ledger.referrals import code_of
from rewards.profiles.profile import Profile
from rewards.profiles.storing import put_profile

from .conftest import AXE_RULES, DESK, PHONE, SMALL_PHONE, Look, Scheme, Site, widest
from .story import HOSTILE, NEW, OWING, REGULAR

pytestmark = pytest.mark.browser

EMAIL, PASSWORD = "pia@shop.test", "correct horse battery"
PATHS = {
    "list": "/admin/customers",
    "nothing found": "/admin/customers?q=zzz",
    "regular": f"/admin/customers/{REGULAR}",
    "owing": f"/admin/customers/{OWING}",
    "hostile": "/admin/customers/%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "profile": f"/admin/customers/{REGULAR}/profile",
    "erase": f"/admin/customers/{REGULAR}/erase",
    "referrals": "/admin/referrals",
    "activity": "/admin/activity",
    "refused": "/admin/activity?status=refused",
}

SignedIn = Callable[..., Page]


@pytest.fixture(scope="package")
def staffed(site: Site) -> Site:
    now = utc_now()
    with site.database.engine.begin() as conn:
        create_admin(
            conn, email=EMAIL, name="Pia", role="owner", password_hash=hash_password(PASSWORD), now=now
        )
        put_profile(
            conn, REGULAR, Profile(name="Marianne Example", email="m@example.com", birthday="05-17"), now
        )
        put_profile(conn, HOSTILE, Profile(name=HOSTILE, email="x@x", attributes={HOSTILE: HOSTILE}), now)
        code_of(conn, REGULAR, now)
        conn.execute(
            text(
                """INSERT INTO referrals (customer_id, referrer_id, code, status, reasons, fingerprints, attributed_at,
                closes_at) VALUES (:new, :regular, 'ABCDEFGHJKMN', 'flagged',
                '[{"guard": "fingerprints", "text": "the same address"}]', '{}', now(), now())"""
            ),
            {"new": NEW, "regular": REGULAR},
        )
        conn.execute(text("UPDATE accounts SET referred = true WHERE customer_id = :new"), {"new": NEW})
    # Who is adjusted is nobody whose figures other tests know.
    order = Purchase(type="purchase", order_id="W-9001", total_minor=20_00, currency="GBP")
    award = Submission(Award(customer_id="nell-1", activity=order), "nell", "tests")
    assert Engine(site.database).execute([award], now)[0].status == 201
    with site.database.engine.begin() as conn:
        put_profile(conn, "nell-1", Profile(name="Nell Adjustable"), now)
    return site


@pytest.fixture
def signed_in(staffed: Site, look: Look) -> SignedIn:
    def signed_in(
        path: str, size: tuple[int, int] = DESK, scheme: Scheme = "light", **options: object
    ) -> Page:
        page = look(f"{staffed.base}/admin/sign-in", size, scheme, **options)
        page.get_by_label("E-mail address").fill(EMAIL)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.locator("form[action$=sign-out]").wait_for(state="attached", timeout=10_000)
        page.wait_for_load_state()
        page.goto(f"{staffed.base}{path}")
        return page

    return signed_in


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_that_keeps_anybody_out(
    signed_in: SignedIn, staffed: Site, complaints: list[str], scheme: Scheme
) -> None:
    for size in (PHONE, DESK):
        page = signed_in("/admin/customers", size, scheme)
        for path in PATHS.values():
            page.goto(f"{staffed.base}{path}")
            found = Axe().run(page, options=AXE_RULES).response
            assert [
                (path, each["id"], [node["target"] for node in each["nodes"]]) for each in found["violations"]
            ] == []
    assert complaints == []


def test_never_scrolls_sideways(signed_in: SignedIn, staffed: Site) -> None:
    for size in (SMALL_PHONE, PHONE, DESK):
        page = signed_in("/admin/customers", size)
        for path in PATHS.values():
            page.goto(f"{staffed.base}{path}")
            assert widest(page) <= size[0], (path, size)


def test_what_is_hostile_runs_nowhere(signed_in: SignedIn, staffed: Site, complaints: list[str]) -> None:
    page = signed_in(PATHS["hostile"])
    said: list[str] = []
    page.on("dialog", lambda dialog: said.append(dialog.message))
    for path in ("list", "hostile", "activity"):
        page.goto(f"{staffed.base}{PATHS[path]}")
        assert page.locator("main script").count() == 0
    assert page.goto(f"{staffed.base}{PATHS['hostile']}")
    assert page.get_by_role("heading", name=HOSTILE).is_visible()
    assert (said, complaints) == ([], [])


def test_somebody_is_found_adjusted_once_and_by_keyboard(
    signed_in: SignedIn, staffed: Site, complaints: list[str]
) -> None:
    page = signed_in("/admin/customers")
    page.get_by_label("Search").fill("Adjustable")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Nell Adjustable").focus()
    page.keyboard.press("Enter")
    form = page.get_by_role("region", name="Adjust points")
    form.get_by_label("Points").fill("25")
    form.get_by_label("Reason").fill("Twice pressed")
    page.get_by_role("button", name="Adjust").dblclick()
    page.wait_for_selector("text=Adjusted by +25 points.")
    assert page.get_by_text("Twice pressed").count() == 1
    with staffed.database.engine.connect() as conn:
        booked = "SELECT count(*) FROM entries WHERE note = 'Twice pressed'"
        assert conn.scalar(text(booked)) == 1
    assert page.get_by_text("for order W-").count() == 1
    page.get_by_label("Kind").select_option("adjust")
    page.get_by_role("button", name="Show").click()
    assert page.get_by_text("Twice pressed").is_visible()
    assert page.get_by_text("for order W-").count() == 0
    assert complaints == []


def test_a_link_can_be_opened(signed_in: SignedIn, staffed: Site) -> None:
    page = signed_in(PATHS["regular"])
    page.get_by_role("button", name="Link to their page").click()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Open it in a new window").click()
    assert opened.value.get_by_role("heading", name="Your points").is_visible()


def test_an_export_is_a_download(signed_in: SignedIn, staffed: Site) -> None:
    page = signed_in(PATHS["regular"])
    with page.expect_download() as downloaded:
        page.get_by_role("link", name="Export").click()
    assert "Marianne Example" in downloaded.value.path().read_text()


def test_a_referral_is_decided(signed_in: SignedIn, staffed: Site) -> None:
    page = signed_in("/admin/referrals")
    page.get_by_label("Why").fill("One household")
    page.get_by_role("button", name="Reject").click()
    page.wait_for_selector("text=Rejected.")
    assert page.get_by_text("Nothing waits for you.").count() + page.get_by_text("no referrals").count() == 1
