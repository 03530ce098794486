"""The customer's page as a customer has it: in a browser, on a phone or a desk, by day or by night."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from .conftest import AXE_RULES, DESK, PHONE, SMALL_PHONE, Look, Scheme, Site, widest
from .story import HOSTILE, REGULAR

pytestmark = pytest.mark.browser

PAGES = ("regular", "owing", "new", "hostile", "rich", "expired", "forged", "unknown")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_shows_the_balance_and_what_becomes_of_it(
    site: Site, look: Look, complaints: list[str], tmp_path: Path, size: tuple[int, int], scheme: Scheme
) -> None:
    page = look(site.link(REGULAR), size, scheme)
    assert page.title() == "Your points – Wren & Thistle Rewards"
    assert page.get_by_role("heading", name="Your points").is_visible()
    ticket = page.get_by_role("region", name="Your points").inner_text()
    assert "3,074\npoints to spend" in ticket
    assert "worth £30.74" in ticket
    assert "On the way\n654" in ticket
    assert "Set aside\n500" in ticket
    coming = page.get_by_role("table", name="If you neither earn nor spend points from now on")
    assert coming.get_by_role("row").filter(has_text="Ready to spend").count() == 2
    assert (
        coming.get_by_role("row").filter(has_text="No longer set aside").filter(has_text="500").count() == 1
    )
    history = page.get_by_role("table", name="Your points, the latest change first")
    assert history.get_by_text("Earned 239 points for order W-29951").is_visible()
    assert history.get_by_text("Sorry that your parcel was late").is_visible()
    assert (
        page.get_by_role("region", name="How it works").get_by_text("100 points are worth £1.").is_visible()
    )
    picture = tmp_path / f"customer-page-{scheme}-{size[0]}.png"
    page.screenshot(path=picture, full_page=True)
    assert picture.stat().st_size > 10_000
    assert complaints == []


def test_is_dark_where_dark_is_preferred(site: Site, look: Look) -> None:
    def brightness(scheme: Scheme) -> int:
        page = look(site.link(REGULAR), PHONE, scheme)
        paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        return sum(int(part) for part in paper.removeprefix("rgb(").removesuffix(")").split(","))

    assert brightness("light") > 600
    assert brightness("dark") < 100


@pytest.mark.parametrize("kind", PAGES)
def test_never_scrolls_sideways(site: Site, look: Look, kind: str) -> None:
    for size in (SMALL_PHONE, PHONE, DESK):
        assert widest(look(site.pages[kind], size)) <= size[0]


@pytest.mark.parametrize("kind", ["regular", "owing", "expired"])
def test_can_be_read_at_twice_the_size(site: Site, look: Look, kind: str) -> None:
    zoomed = look(site.pages[kind], (DESK[0] // 2, DESK[1] // 2), device_scale_factor=2)
    assert widest(zoomed) <= DESK[0] // 2
    large_print = look(site.pages[kind], (640, 900))
    large_print.evaluate("document.documentElement.style.fontSize = '200%'")
    assert widest(large_print) <= 640


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["regular", "owing", "new", "expired"])
def test_axe_finds_nothing_that_keeps_anybody_out(site: Site, look: Look, kind: str, scheme: Scheme) -> None:
    for size in (PHONE, DESK) if kind == "regular" else (PHONE,):
        page = look(site.pages[kind], size, scheme)
        found = Axe().run(page, options=AXE_RULES).response
        assert [
            (each["id"], [node["target"] for node in each["nodes"]]) for each in found["violations"]
        ] == []
        # What axe cannot decide: text over the ticket's engraved arcs, and headers of groups of rows.
        undecided = {each["id"] for each in found["incomplete"]}
        assert undecided <= {"color-contrast", "th-has-data-cells"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_on_the_ticket_has_contrast_wherever_it_lies(site: Site, look: Look, scheme: Scheme) -> None:
    page = look(site.link(REGULAR), PHONE, scheme)
    style = "getComputedStyle(document.documentElement).getPropertyValue"
    paint = {
        name: page.evaluate(f"{style}('--{name}')")
        for name in ("ticket", "ticket-ink", "ticket-soft", "maize")
    }
    ground = _luminance(_mixed(paint["ticket"], "#ffffff", 0.05))
    for name in ("ticket-ink", "ticket-soft", "maize"):
        assert (_luminance(paint[name]) + 0.05) / (ground + 0.05) >= 4.5, name


def _channels(color: str) -> list[int]:
    return [int(color[start : start + 2], 16) for start in (1, 3, 5)]


def _mixed(color: str, other: str, share: float) -> str:
    mixed = (round(a + (b - a) * share) for a, b in zip(_channels(color), _channels(other), strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def _luminance(color: str) -> float:
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (channel / 255 for channel in _channels(color))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_everything_is_reached_by_keyboard_and_shows_where_it_is(site: Site, look: Look) -> None:
    page = look(site.link(REGULAR))
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert page.evaluate("document.activeElement.innerText") == "Older"
    assert float(outline.removesuffix("px")) >= 2
    page.keyboard.press("Enter")
    page.wait_for_url("**?before=*")
    assert page.get_by_text("Earned 174 points for order W-20117").is_visible()
    page.wait_for_function(
        """() => [...document.querySelectorAll("h2")].find(
            (heading) => heading.innerText == "What happened so far").getBoundingClientRect().top < innerHeight"""
    )
    page.get_by_role("link", name="Newer").press("Enter")
    page.wait_for_url("**?#history")
    assert page.get_by_text("Earned 239 points for order W-29951").is_visible()


def test_works_without_javascript(site: Site, look: Look) -> None:
    page = look(site.link(REGULAR), java_script_enabled=False)
    assert page.get_by_text("3,074").is_visible()
    page.get_by_role("link", name="Older").click()
    assert page.get_by_text("Earned 174 points for order W-20117").is_visible()
    page.get_by_role("link", name="Newer").click()
    assert page.get_by_text("Earned 239 points for order W-29951").is_visible()


def test_loads_nothing_from_elsewhere(site: Site, chrome: Browser) -> None:
    context = chrome.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site.link(REGULAR))
    context.close()
    assert len(asked) >= 2
    assert [url for url in asked if not url.startswith(site.base)] == []


def test_what_the_shop_sent_is_shown_and_never_run(site: Site, look: Look, complaints: list[str]) -> None:
    page = look(site.link(HOSTILE))
    assert page.locator("script").count() == 0
    # The order's id, the reason of the adjustment, and the customer's own id.
    assert page.get_by_text(HOSTILE).count() == 3
    assert complaints == []


@pytest.mark.parametrize(
    ("kind", "heading", "advice"),
    [
        ("expired", "This link has expired", "Ask the shop for a new link"),
        ("forged", "This link does not work", "copy all of it"),
        ("unknown", "There are no points here yet", "Come back after your first order"),
    ],
)
def test_a_link_that_leads_nowhere_says_what_to_do(
    site: Site, look: Look, kind: str, heading: str, advice: str
) -> None:
    page = look(site.pages[kind])
    assert page.get_by_role("heading", name=heading).is_visible()
    assert page.get_by_text(advice).is_visible()


def test_a_debt_is_told_kindly(site: Site, look: Look) -> None:
    page = look(site.pages["owing"])
    assert page.get_by_role("heading", name="600 points to make up").is_visible()
    assert page.get_by_text("You do not owe any money.").is_visible()
