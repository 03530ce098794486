"""The metrics' pages and the report's file in a real browser: how they look, by keyboard, and what a browser enforces."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from metric_samples import HOSTILE, sample_metrics
from playwright.sync_api import Page, expect

from rewards.core.clock import utc_now
from rewards.facts.refresh import refresh
from rewards.metrics.kept import keep
from rewards.metrics.report import make_report
from rewards.metrics.showing.report_page import report_page
from rewards.metrics.store import open_source

from .admins import signed_in
from .conftest import AXE_RULES, DESK, PHONE, SMALL_PHONE, Look, Scheme, Site, widest

pytestmark = pytest.mark.browser

PAGES = (
    "/admin/metrics",
    "/admin/metrics/matured-repeat-rate",
    "/admin/metrics/matured-repeat-rate?days=0",
    "/admin/metrics/liability?since=2026-01-01",
    "/admin/metrics/at-risk/rows",
)


@pytest.fixture(autouse=True)
def kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with sample_metrics(monkeypatch):
        refresh(site.database, utc_now())
        keep(site.database, utc_now())
        yield


@pytest.fixture
def report(site: Site, tmp_path: Path) -> str:
    """The address of the report as a file."""
    with site.database.engine.connect() as conn, conn.begin():
        page = report_page(make_report(open_source(conn, as_of=date(2026, 10, 31), now=utc_now()), utc_now()))
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    return path.as_uri()


def _unfold(page: Page) -> None:
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")


def _worst(page: Page) -> list[object]:
    found = Axe().run(page, options=AXE_RULES).response
    return [
        (each["id"], [node["target"] for node in each["nodes"]])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "dark"), (DESK, "light")])
def test_axe_finds_nothing_serious_and_nothing_scrolls_sideways(
    site: Site, look: Look, complaints: list[str], size: tuple[int, int], scheme: Scheme, report: str
) -> None:
    page = look(site.base + "/admin", size, scheme, **signed_in(site))
    for address in (*(site.base + path for path in PAGES), report):
        page.goto(address)
        _unfold(page)
        assert widest(page) <= size[0], address
        assert _worst(page) == [], address
    # The policy against foreign styles and scripts has stopped nothing, for there was nothing to stop.
    expected = (
        "Failed to load resource: the server responded with a status of 422",
        f"failed: {site.base}/static/",
    )
    assert [each for each in complaints if not each.startswith(expected)] == []


def test_fits_the_smallest_phones_and_the_largest_print(site: Site, look: Look, report: str) -> None:
    page = look(site.base + "/admin", SMALL_PHONE, **signed_in(site))
    for address in (*(site.base + path for path in PAGES), report):
        page.goto(address)
        _unfold(page)
        assert widest(page) <= SMALL_PHONE[0], address
    page.set_viewport_size({"width": 640, "height": 900})
    page.goto(site.base + "/admin/metrics")
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert widest(page) <= 640


def test_one_chart_is_seen_at_a_time_in_the_pages_colours(site: Site, look: Look) -> None:
    fills = set()
    for scheme in ("light", "dark"):
        for size, shown, hidden in ((DESK, "desk", "phone"), (PHONE, "phone", "desk")):
            page = look(site.base + "/admin/metrics", size, scheme, **signed_in(site))
            chart = page.locator(".chart").first
            expect(chart.locator(f".at-{shown}")).to_be_visible()
            expect(chart.locator(f".at-{hidden}")).to_be_hidden()
            mark = chart.locator(
                f".at-{shown} path[stroke='var(--chart-1)'], .at-{shown} path[fill='var(--chart-1)']"
            )
            fills.add(
                mark.first.evaluate("each => getComputedStyle(each).fill + getComputedStyle(each).stroke")
            )
    assert len(fills) == 2


def test_by_keyboard_from_the_dashboard_to_rows_and_back(site: Site, look: Look) -> None:
    page = look(site.base + "/admin/metrics", DESK, **signed_in(site))
    grade = page.locator(".grade summary").first
    grade.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Chance alone decided who was in which group").first).to_be_visible()
    page.locator("section[aria-labelledby='at-risk'] .leads a").first.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(site.base + "/admin/metrics/at-risk")
    expect(page.get_by_role("heading", level=1)).to_have_text("The at-risk")
    page.get_by_role("link", name="Look at them").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("row")).to_have_count(4)
    page.get_by_role("link", name="GB/123").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(site.base + "/admin/customers/GB%2F123")


def test_a_metric_is_asked_for_another_window_without_scripts(site: Site, look: Look) -> None:
    page = look(
        site.base + "/admin/metrics/matured-repeat-rate", PHONE, java_script_enabled=False, **signed_in(site)
    )
    page.get_by_text("Ask for another day or window").click()
    page.get_by_label("Days").fill("0")
    page.get_by_role("button", name="Work it out").click()
    expect(page.locator("#e-days")).to_have_text("days must be at least 1")
    expect(page.get_by_label("Days")).to_have_value("0")
    page.get_by_label("Days").fill("90")
    page.get_by_label("Of", exact=True).select_option("buyers-in-window")
    page.get_by_role("button", name="Work it out").click()
    expect(page.get_by_text("days: 90; of: buyers-in-window")).to_be_visible()


def test_what_a_shop_has_named_is_text(site: Site, look: Look, complaints: list[str], report: str) -> None:
    page = look(site.base + "/admin/metrics", DESK, **signed_in(site))
    expect(page.get_by_text(HOSTILE).first).to_be_visible()
    page.goto(report)
    expect(page.get_by_text(HOSTILE).first).to_be_visible()
    assert not [each for each in complaints if "alert" in each]


def test_the_report_prints_with_its_charts(look: Look, report: str) -> None:
    page = look(report, DESK)
    page.emulate_media(media="print")
    expect(page.locator(".chart .at-desk").first).to_be_visible()
    expect(page.locator(".toc")).to_be_hidden()
    assert len(page.pdf(format="A4")) > 20_000
