"""The admin pages of the shell in a real browser: how they look, by keyboard, and what a browser enforces."""

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from sqlalchemy import text

from rewards.admins.audit import record
from rewards.core.clock import utc_now

from .admins import HOSTILE_NAME, PASSWORD, add_admin, email_of, signed_in
from .conftest import AXE_RULES, DESK, PHONE, SMALL_PHONE, Look, Scheme, Site, widest

pytestmark = pytest.mark.browser

PAGES = ("/admin", "/admin/system", "/admin/audit", "/admin/admins", "/admin/password", "/admin/no-such-page")


@pytest.fixture(autouse=True)
def some_history(site: Site) -> None:
    """A line of the log with a long subject, and one that somebody hostile wrote."""
    add_admin(site, "owner")
    add_admin(site, "support", HOSTILE_NAME)
    with site.database.engine.begin() as connection:
        if connection.scalar(text("SELECT count(*) FROM audit_log WHERE action = 'customer.adjusted'")) == 0:
            for subject in ("customer:" + "x" * 128, f"customer:{HOSTILE_NAME}"):
                detail = {"points": -5, "reason": HOSTILE_NAME}
                record(
                    connection,
                    admin=None,
                    action="customer.adjusted",
                    subject=subject,
                    detail=detail,
                    now=utc_now(),
                )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK])
def test_axe_finds_nothing_serious_and_nothing_scrolls_sideways(
    site: Site, look: Look, complaints: list[str], scheme: Scheme, size: tuple[int, int], tmp_path: Path
) -> None:
    page = look(site.base + "/admin/sign-in", size, scheme, **signed_in(site))
    for path in ("/admin/sign-in", *PAGES):
        page.goto(site.base + path)
        for more in page.locator("details.more, details.confirm").all():
            more.evaluate("each => { each.open = true; }")
        assert widest(page) <= size[0], path
        found = Axe().run(page, options=AXE_RULES).response
        worst = [
            (each["id"], [node["target"] for node in each["nodes"]])
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
        ]
        assert worst == [], path
        picture = tmp_path / "page.png"
        page.screenshot(path=picture, full_page=True)
        assert picture.stat().st_size > 10_000
    # A picture that was still on its way when the page was left is given up.
    expected = (
        "Failed to load resource: the server responded with a status of 404",
        f"failed: {site.base}/static/",
    )
    assert [each for each in complaints if not each.startswith(expected)] == []


def test_fits_the_smallest_phones_and_the_largest_print(site: Site, look: Look) -> None:
    page = look(site.base + "/admin", SMALL_PHONE, **signed_in(site))
    for path in PAGES:
        page.goto(site.base + path)
        assert widest(page) <= SMALL_PHONE[0], path
    page.set_viewport_size({"width": 640, "height": 900})
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert widest(page) <= 640


def test_is_dark_where_dark_is_preferred(site: Site, look: Look) -> None:
    def brightness(scheme: Scheme, what: str) -> int:
        page = look(site.base + "/admin", DESK, scheme, **signed_in(site))
        color = page.evaluate(f"getComputedStyle(document.querySelector('{what}')).backgroundColor")
        return sum(int(part) for part in re.findall(r"\d+", color)[:3])

    for what in ("html", ".card", ".stat"):
        assert brightness("light", what) > 600, what
        assert brightness("dark", what) < 120, what


def _sign_in_by_keyboard(page: Page) -> None:
    page.keyboard.type(email_of("owner"))
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")


def test_signs_in_and_goes_about_by_keyboard(site: Site, look: Look, complaints: list[str]) -> None:
    page = look(site.base + "/admin/audit", DESK)
    expect(page).to_have_title("Sign in – Rewards admin")
    # The address's field has the focus from the start.
    _sign_in_by_keyboard(page)
    expect(page).to_have_url(site.base + "/admin/audit")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.goto(site.base + "/admin")
    seen = []
    for _ in range(16):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.textContent.trim()"))
    assert seen[1:][:1] == ["Rewards"]
    for name in ("Overview", "Customers", "System", "Audit log", "Admins", "Change password", "Sign out"):
        assert name in seen
    page.locator("text=Sign out").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".flash")).to_have_text("You are signed out.")
    assert complaints == []


def test_the_menu_of_a_phone_opens_and_closes(site: Site, look: Look) -> None:
    page = look(site.base + "/admin", PHONE, **signed_in(site))
    link = page.get_by_role("link", name="Audit log")
    expect(link).to_be_hidden()
    page.locator(".menu > summary").focus()
    page.keyboard.press("Enter")
    expect(link).to_be_visible()
    page.keyboard.press("Escape")
    expect(link).to_be_hidden()
    expect(page.locator(".menu > summary")).to_be_focused()
    page.keyboard.press("Enter")
    link.click()
    expect(page).to_have_url(site.base + "/admin/audit")


def test_works_without_scripts(site: Site, look: Look) -> None:
    for size in (PHONE, DESK):
        page = look(site.base + "/admin", size, java_script_enabled=False, **signed_in(site))
        if size == PHONE:
            page.locator(".menu > summary").click()
        page.get_by_role("link", name="System").first.click()
        page.locator("summary", has_text="Make a key").click()
        page.get_by_label("Who will use it").fill(f"webshop {size[0]}")
        page.get_by_role("button", name="Make the key").click()
        expect(page.locator(".secret")).to_contain_text("rk_")


def test_the_check_says_how_far_it_is_by_itself(site: Site, look: Look, complaints: list[str]) -> None:
    page = look(site.base + "/admin/system", DESK, **signed_in(site))
    page.get_by_role("button", name="Check the ledger").click()
    expect(page.locator(".flash")).to_have_text("The check has begun. You can leave this page.")
    # The page was not loaded again: this mark would be gone.
    page.evaluate("window.stillHere = true")
    expect(page.locator("#check")).to_contain_text("every invariant holds", timeout=60_000)
    assert page.evaluate("window.stillHere") is True
    assert complaints == []


def test_a_form_is_sent_once_however_often_one_clicks(site: Site, look: Look) -> None:
    page = look(site.base + "/admin/system", DESK, **signed_in(site))
    page.locator("summary", has_text="Make a key").click()
    page.get_by_label("Who will use it").fill("double click")
    page.get_by_role("button", name="Make the key").dblclick()
    expect(page.locator(".secret")).to_contain_text("rk_")
    with site.database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM api_keys WHERE name = 'double click'")) == 1


def test_what_was_typed_survives_the_end_of_the_session(site: Site, look: Look) -> None:
    page = look(site.base + "/admin/system", PHONE, **signed_in(site))
    page.locator("summary", has_text="Make a key").click()
    page.get_by_label("Who will use it").fill("typed before")
    with site.database.engine.begin() as connection:
        connection.execute(text("UPDATE admin_sessions SET began_at = began_at - interval '13 h'"))
    page.get_by_role("button", name="Make the key").click()
    expect(page.locator(".flash")).to_contain_text("What you sent is kept")
    _sign_in_by_keyboard(page)
    expect(page.locator("h1")).to_have_text("Send it once more")
    assert widest(page) <= PHONE[0]
    expect(page.get_by_label("name")).to_have_value("typed before")
    page.get_by_role("button", name="Send it").click()
    expect(page.locator(".secret")).to_contain_text("rk_")
    expect(page.locator("th", has_text="typed before")).to_be_visible()


def test_another_site_cannot_send_our_forms(site: Site, look: Look) -> None:
    # The browser itself: it sends no cookie along, and says where the form comes from.
    page = look(site.base + "/admin", DESK, **signed_in(site))
    token = page.locator("input[name=csrf]").first.get_attribute("value")
    evil = f"""<form method=post action="{site.base}/admin/system/keys"><input name=csrf value="{token}">
        <input name=name value=evil><input name=scope value=admin></form><script>document.forms[0].submit()</script>"""
    page.route("http://evil.test/", lambda route: route.fulfill(content_type="text/html", body=evil))
    with page.expect_response(site.base + "/admin/system/keys") as sent:
        page.goto("http://evil.test/", wait_until="commit")
    assert sent.value.status == 403
    with site.database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM api_keys WHERE name = 'evil'")) == 0


def test_a_name_is_never_a_script(site: Site, look: Look, complaints: list[str]) -> None:
    dialogs: list[str] = []
    page = look(site.base + "/admin/admins", DESK, **signed_in(site, "support"))
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    expect(page.locator(".who")).to_contain_text("<script>alert(1)</script>")
    for path in PAGES[:-1]:
        page.goto(site.base + path)
    expect(page.locator("img[src=x]")).to_have_count(0)
    assert dialogs == []
    assert complaints == []
