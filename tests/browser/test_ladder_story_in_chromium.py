"""One change of the ladder from end to end in a browser: edited, previewed, published, applied, seen by a customer."""

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from sqlalchemy import text

from rewards.core.clock import utc_now
from rewards.core.database import Database
from rewards.core.settings import Settings
from rewards.ledger.verification import verify
from rewards.profiles.profile import Profile
from rewards.profiles.storing import put_profile
from rewards.program.drafts import read_draft
from rewards.program.versions import load_history

from .admins import PASSWORD, add_admin, email_of, signed_in
from .conftest import AXE_RULES, DESK, PHONE, Look, Scheme, Site, widest
from .serving import free_port, served
from .story import NEW, OWING, REGULAR, Story

pytestmark = pytest.mark.browser

CLIMBER, NAME = REGULAR, "Marianne Whitlock"
HEATHER = "/admin/program/draft/ladder/tiers/2"
SPEND = "d.ladder.tiers.2.ways_in.0.spend_minor"
SCHEMES: dict[Scheme, list[str]] = {"light": AXE_RULES["runOnly"], "dark": ["color-contrast"]}


@pytest.fixture
def shop(settings: Settings, database: Database) -> Iterator[Site]:
    """A shop of its own, since its program is changed; in it one customer is just below the highest tier."""
    now = utc_now()
    port = free_port()
    story = Story(database, now)
    for tell in (story.regular, story.owing, story.new):
        tell()
    story.bought("big-spender", 40, "B-1", 150_000)
    settings = settings.model_copy(update={"public_url": f"http://127.0.0.1:{port}"})
    with database.engine.begin() as conn:
        put_profile(conn, CLIMBER, Profile(name=NAME), now)
    site = Site(settings.public_url, settings, database, now)
    add_admin(site, "owner", "Olive Owner")
    with served(settings, port):
        yield site


def fits_and_keeps_nobody_out(page: Page) -> None:
    """Look at the page on a phone and a desk, by day and by night, which differ in nothing but colours."""
    before = page.viewport_size
    assert before is not None
    for size in (PHONE, DESK):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        assert widest(page) <= size[0], page.url
        for scheme, rules in SCHEMES.items():
            page.emulate_media(color_scheme=scheme)
            found = Axe().run(page, options={"runOnly": rules}).response["violations"]
            worst = [
                (each["id"], [node["target"] for node in each["nodes"]])
                for each in found
                if each["impact"] in ("serious", "critical")
            ]
            assert worst == [], (page.url, size, scheme)
    page.set_viewport_size(before)


def tab_to(page: Page, is_there: str) -> None:
    """Press Tab until the focus is where ``is_there`` says, as somebody without a mouse would."""
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.evaluate(f"(at => {is_there})(document.activeElement)"):
            return
    raise AssertionError(f"the keyboard never reaches {is_there}")


def follow(page: Page, name: str) -> None:
    """Go where a link or button of this name leads, by keyboard."""
    tab_to(page, f"(at.innerText || '').trim() == {name!r}")
    with page.expect_navigation():
        page.keyboard.press("Enter")


def sign_in_by_keyboard(page: Page) -> None:
    # The address's field has the focus from the start.
    page.keyboard.type(email_of("owner"))
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def thresholds(site: Site) -> tuple[object, object]:
    """What the highest tier takes by the draft, as it was typed, and by the newest version."""
    with site.database.engine.connect() as conn:
        draft, document = read_draft(conn), load_history(conn).latest.document
    assert document.ladder is not None
    typed = None if draft is None else draft.data["ladder"]["tiers"][2]["ways_in"][0]["spend_minor"]
    return typed, document.ladder.tiers[2].ways_in[0].spend_minor


def test_a_threshold_is_changed_and_the_customer_sees_it(
    shop: Site, look: Look, complaints: list[str]
) -> None:
    customer = look(shop.link(CLIMBER), PHONE)
    expect(customer.get_by_role("heading", name="Your tier: Thistle")).to_be_visible()
    expect(customer.locator(".ticket")).to_contain_text("worth £30.74")
    fits_and_keeps_nobody_out(customer)

    page = look(f"{shop.base}/admin/sign-in", DESK)
    fits_and_keeps_nobody_out(page)
    page.reload()
    sign_in_by_keyboard(page)
    page.goto(shop.base + "/admin/program/draft/ladder")
    fits_and_keeps_nobody_out(page)

    # From here on without a mouse: the tier, what it takes, and Enter saves.
    follow(page, "Heather")
    assert page.url == shop.base + HEATHER
    tab_to(page, f"at.id == '{SPEND}'")
    page.keyboard.press("Control+A")
    page.keyboard.type("900")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.get_by_text("Saved in the draft.", exact=True)).to_be_visible()
    assert thresholds(shop) == (90_000, 120_000)
    fits_and_keeps_nobody_out(page)

    follow(page, "Preview")
    follow(page, "Replay the history under the draft")
    expect(page.get_by_text("1 of 4 customers would move if it were published now.")).to_be_visible(
        timeout=30_000
    )
    # The page goes on by itself, to its end.
    expect(page.locator("#progress[data-poll]")).to_have_count(0, timeout=30_000)
    matrix = page.get_by_role("table", name="Customers by the tier they are in")
    row = matrix.get_by_role("row").filter(has=page.get_by_role("rowheader", name="Thistle"))
    expect(row.get_by_role("cell")).to_have_text(["–", "–", "1"])
    fits_and_keeps_nobody_out(page)

    follow(page, "List who moves")
    moves = page.get_by_role("table", name="Customers who would move")
    expect(moves.get_by_role("row")).to_have_count(2)
    for said in (CLIMBER, NAME, "Thistle", "Heather"):
        expect(moves.get_by_role("row").last).to_contain_text(said)
    fits_and_keeps_nobody_out(page)

    customer.reload()
    expect(customer.get_by_role("heading", name="Your tier: Thistle")).to_be_visible()

    follow(page, "Publish")
    expect(page.get_by_text("1 of 4 customers would move, 1 up and 0 down.")).to_be_visible()
    fits_and_keeps_nobody_out(page)
    tab_to(page, "at.name == 'note'")
    page.keyboard.type("Heather from 900 pounds on")
    follow(page, "Publish version 3")
    expect(page.get_by_text("Version 3 is published, in force now.")).to_be_visible()
    # The page says by itself how far it is; a process of its own does the work.
    applied = page.locator("#applying")
    expect(applied).to_contain_text("1 came into another tier.", timeout=30_000)
    expect(applied).to_contain_text("Each moved as was previewed.")
    fits_and_keeps_nobody_out(page)
    assert thresholds(shop) == (None, 90_000)

    customer.reload()
    expect(customer.get_by_role("heading", name="Your tier: Heather")).to_be_visible()
    expect(customer.get_by_text("First look")).to_be_visible()
    expect(customer.locator(".ticket")).to_contain_text("worth £33.81")
    fits_and_keeps_nobody_out(customer)
    page.goto(f"{shop.base}/admin/customers/{CLIMBER}")
    expect(page.get_by_role("heading", name="Standing: Heather")).to_be_visible()
    fits_and_keeps_nobody_out(page)
    with shop.database.engine.connect() as conn:
        assert verify(conn).ok
        accounts = conn.execute(text("SELECT customer_id, tier FROM accounts"))
        tiers = {row.customer_id: row.tier for row in accounts}
    assert tiers == {CLIMBER: "heather", "big-spender": "heather", OWING: "wren", NEW: "wren"}
    assert complaints == []


def test_support_sees_it_all_and_publishes_nothing(shop: Site, look: Look) -> None:
    owner = look(shop.base + HEATHER, DESK, **signed_in(shop, "owner"))
    owner.locator(f"[id='{SPEND}']").fill("900")
    owner.get_by_role("button", name="Save in the draft").click()
    expect(owner.get_by_text("Saved in the draft.", exact=True)).to_be_visible()

    page = look(shop.base + "/admin/program/publish", DESK, **signed_in(shop, "support"))
    expect(page.get_by_text("Your role may look, but not publish.")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Publish"))).to_have_count(0)
    page.goto(shop.base + "/admin/program/draft/preview")
    expect(page.get_by_role("button", name=re.compile("Replay"))).to_have_count(0)
    # Neither by a form of their own making, which has all that the button's form has.
    statuses = page.evaluate(
        """async () => {
            const csrf = document.querySelector("[name=csrf]").value;
            const send = async (path, more) => (await fetch(path, {
                method: "POST", redirect: "manual", body: new URLSearchParams({ csrf, ...more }),
            })).status;
            return [
                await send("/admin/program/publish", { note: "Mine", when: "now", _revision: "1" }),
                await send("/admin/program/draft/preview", {}),
                await send("/admin/program/draft/ladder/tiers/2", { do: "save" }),
            ];
        }"""
    )
    assert statuses == [403, 403, 403]
    assert thresholds(shop) == (90_000, 120_000)


def test_a_session_that_ends_while_the_ladder_is_edited_loses_nothing(shop: Site, look: Look) -> None:
    page = look(shop.base + HEATHER, PHONE, **signed_in(shop, "owner"))
    with shop.database.engine.begin() as conn:
        conn.execute(text("UPDATE admin_sessions SET seen_at = seen_at - interval '30 days'"))
    field = page.locator(f"[id='{SPEND}']")
    field.fill("950")
    status = page.locator(".bar .status")
    expect(status).to_contain_text("You are signed out. What you typed is still here.")
    assert thresholds(shop) == (None, 120_000)
    # Pressing the button all the same leads through the sign-in, and what was typed comes along.
    page.get_by_role("button", name="Save in the draft").click()
    expect(page.locator(".flash")).to_contain_text("What you sent is kept")
    sign_in_by_keyboard(page)
    fits_and_keeps_nobody_out(page)
    page.get_by_role("button", name="Send it").click()
    expect(page.get_by_text("Saved in the draft.", exact=True)).to_be_visible()
    expect(page.locator(f"[id='{SPEND}']")).to_have_value("950.00")
    assert thresholds(shop) == (95_000, 120_000)
