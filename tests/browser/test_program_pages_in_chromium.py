"""The program's pages as an editor has them: in a browser, by keyboard alone, on a phone or a desk, by day or by night."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from sqlalchemy import text

from rewards.core.database import Database
from rewards.core.settings import Settings

from .conftest import AXE_RULES, DESK, PHONE, Look, Scheme, widest
from .serving import free_port, served

sys.path.append(str(Path(__file__).parents[1] / "admin_pages"))
from office import PASSWORD, Office, email_of, staff
from program_office import DRAFT, draft, draft_data, newest, publish_program

pytestmark = pytest.mark.browser

PAGES = {
    "overview": "/admin/program",
    "basics": f"{DRAFT}/basics",
    "earn": f"{DRAFT}/earn",
    "rule": f"{DRAFT}/earn/0",
    "points": f"{DRAFT}/points",
    "redemption": f"{DRAFT}/redemption",
    "caps": f"{DRAFT}/caps",
    "surveys": f"{DRAFT}/surveys",
    "survey": f"{DRAFT}/surveys/0",
    "referrals": f"{DRAFT}/referrals",
    "ladder": f"{DRAFT}/ladder",
    "tier": f"{DRAFT}/ladder/tiers/1",
    "yaml": f"{DRAFT}/yaml",
    "preview": f"{DRAFT}/preview",
    "publish": "/admin/program/publish",
    "versions": "/admin/program/versions",
    "version": "/admin/program/versions/2",
}


@dataclass(frozen=True)
class Desk:
    """A running server with an admin of each role, and a way to open its pages as one of them."""

    office: Office
    look: Look

    def page(
        self, role: Any = "editor", size: tuple[int, int] = DESK, scheme: Scheme = "light", **options: Any
    ) -> Page:
        page = self.look(f"{self.office.base}/admin/sign-in", size, scheme, **options)
        sign_in(page, role)
        return page

    def go(self, page: Page, address: str) -> Page:
        page.goto(self.office.base + address)
        return page


def sign_in(page: Page, role: Any = "editor") -> None:
    page.get_by_label("E-mail address").fill(email_of(role))
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin")


@pytest.fixture
def desk(settings: Settings, database: Database, look: Look) -> Iterator[Desk]:
    with served(settings, free_port()) as base:
        office = Office(base, settings, database, staff(database))
        publish_program(office)
        yield Desk(office, look)


def spoil(desk: Desk) -> None:
    """Make a draft with something of everything: a conflict to see, errors and cautions."""
    page = desk.go(desk.page(), f"{DRAFT}/earn/0")
    page.locator("[id='d.earn.0.gives.per_minor']").fill("much")
    page.locator("[id='d.earn.0.when']").fill("order.")
    page.get_by_role("button", name="Save in the draft").click()


def of_pages(complaints: list[str]) -> list[str]:
    """All but of the icon, which a browser may still be fetching when the page is left."""
    return [each for each in complaints if "/static/mark." not in each]


def status(page: Page) -> Any:
    return page.locator(".bar .status")


def tab_to(page: Page, is_there: str) -> None:
    """Press Tab until the focus is where ``is_there`` says, as somebody without a mouse would."""
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.evaluate(f"(at => {is_there})(document.activeElement)"):
            return
    raise AssertionError(f"the keyboard never reaches {is_there}")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_axe_finds_nothing_and_nothing_scrolls_sideways(
    desk: Desk, size: tuple[int, int], scheme: Scheme, tmp_path: Path
) -> None:
    spoil(desk)
    page = desk.page("editor", size, scheme)
    for name, address in PAGES.items():
        desk.go(page, address)
        expect(page.get_by_role("heading", level=1)).to_have_count(1)
        found = Axe().run(page, options=AXE_RULES).response["violations"]
        assert [(name, each["id"], [node["target"] for node in each["nodes"]]) for each in found] == []
        assert widest(page) <= size[0], name
        page.screenshot(path=tmp_path / f"{name}.png", full_page=True)


def test_a_rule_is_edited_and_published_by_keyboard_alone(desk: Desk, complaints: list[str]) -> None:
    page = desk.go(desk.page(), f"{DRAFT}/earn")
    tab_to(page, "at.innerText == 'base'")
    page.keyboard.press("Enter")
    page.wait_for_url("**/earn/0")
    tab_to(page, "at.id == 'd.earn.0.gives.points'")
    page.keyboard.press("Control+A")
    page.keyboard.type("2")
    # Enter saves, whatever other buttons there are.
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved in the draft.", exact=True)).to_be_visible()
    assert draft_data(desk.office)["earn"][0]["gives"]["points"] == 2
    tab_to(page, "at.innerText == 'Publish'")
    page.keyboard.press("Enter")
    page.wait_for_url("**/publish")
    tab_to(page, "at.name == 'note'")
    page.keyboard.type("Double points")
    tab_to(page, "at.innerText.startsWith('Publish version')")
    page.keyboard.press("Enter")
    page.wait_for_url("**/versions/3")
    expect(page.get_by_text("Version 3 is published, in force now.")).to_be_visible()
    assert newest(desk.office).earn[0].gives.points == 2  # type: ignore[union-attr]
    assert of_pages(complaints) == []


def test_a_rule_is_added_by_keyboard_alone(desk: Desk, complaints: list[str]) -> None:
    page = desk.go(desk.page(), f"{DRAFT}/earn")
    tab_to(page, "at.innerText == 'Add rule'")
    page.keyboard.press("Enter")
    page.wait_for_url("**/earn/3?new=*")
    tab_to(page, "at.id == 'd.earn.3.id'")
    page.keyboard.type("review")
    tab_to(page, "at.id == 'd.earn.3.activity'")
    page.keyboard.type("rev")
    tab_to(page, "at.id == 'd.earn.3.gives.type'")
    page.keyboard.type("Fixed")
    # The fields of the chosen kind come by themselves, and the focus stays.
    points = page.locator("[id='d.earn.3.gives.points']")
    expect(points).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "d.earn.3.gives.type"
    tab_to(page, "at.id == 'd.earn.3.gives.points'")
    page.keyboard.type("25")
    expect(status(page)).to_have_text("Saved in the draft; nothing to mend here.")
    assert draft_data(desk.office)["earn"][3] == {
        "id": "review",
        "activity": "review",
        "gives": {"type": "fixed", "points": 25},
    }
    assert of_pages(complaints) == []


def test_typing_is_checked_and_saved(desk: Desk, complaints: list[str]) -> None:
    page = desk.go(desk.page(), f"{DRAFT}/earn/0")
    field = page.locator("[id='d.earn.0.gives.per_minor']")
    field.fill("a lot")
    problem = page.get_by_text("'a lot' is not an amount; write it like 49.99")
    expect(problem).to_be_visible()
    assert field.get_attribute("aria-invalid") == "true"
    expect(status(page)).to_have_text("Saved in the draft; 1 to mend here.")
    assert draft_data(desk.office)["earn"][0]["gives"]["per_minor"] == "a lot"
    field.fill("5")
    expect(problem).to_have_count(0)
    assert field.get_attribute("aria-invalid") is None
    condition = page.locator("[id='d.earn.0.when']")
    condition.fill("order.total > 5")
    expect(page.locator("[data-at='d.earn.0.when'] .error")).to_contain_text("order.total")
    condition.fill("")
    expect(status(page)).to_have_text("Saved in the draft; nothing to mend here.")
    assert draft_data(desk.office)["earn"][0]["gives"]["per_minor"] == 500
    assert of_pages(complaints) == []


def test_yaml_is_checked_while_it_is_typed(desk: Desk, complaints: list[str]) -> None:
    page = desk.go(desk.page(), f"{DRAFT}/yaml")
    area = page.get_by_label("The document")
    typed = area.input_value().replace("points: 50", "points: fifty")
    area.fill(typed)
    line = typed.splitlines().index(next(each for each in typed.splitlines() if "fifty" in each)) + 1
    link = page.get_by_role("link", name=f"Line {line}")
    expect(link).to_be_visible()
    link.press("Enter")
    chosen = page.evaluate(
        "(at => at.value.slice(at.selectionStart, at.selectionEnd))(document.activeElement)"
    )
    assert chosen.strip() == "points: fifty"
    area.fill(typed.replace("fifty", "51"))
    expect(page.get_by_text("Nothing: it can be published as it is.")).to_be_visible()
    assert draft_data(desk.office)["earn"][1]["gives"]["points"] == 51
    assert of_pages(complaints) == []


def expire(desk: Desk) -> None:
    with desk.office.database.engine.begin() as connection:
        connection.execute(text("UPDATE admin_sessions SET seen_at = seen_at - interval '30 days'"))


def test_an_expired_session_loses_nothing_while_typing(desk: Desk) -> None:
    page = desk.go(desk.page(), f"{DRAFT}/earn/0")
    expire(desk)
    field = page.locator("[id='d.earn.0.name']")
    field.fill("Typed all the while")
    expect(status(page)).to_contain_text("You are signed out. What you typed is still here.")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Sign in in another tab").click()
    sign_in(opened.value)
    opened.value.close()
    page.bring_to_front()
    field.press("End")
    field.press_sequentially("!")
    expect(status(page)).to_have_text("Saved in the draft; nothing to mend here.")
    assert draft_data(desk.office)["earn"][0]["name"] == "Typed all the while!"


def test_an_expired_session_loses_nothing_without_scripts(desk: Desk) -> None:
    page = desk.go(desk.page(java_script_enabled=False), f"{DRAFT}/earn/0")
    expire(desk)
    page.locator("[id='d.earn.0.name']").fill("Typed all the while")
    page.get_by_role("button", name="Save in the draft").click()
    page.get_by_label("E-mail address").fill(email_of("editor"))
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Send it").click()
    expect(page.get_by_text("Saved in the draft.")).to_be_visible()
    assert draft_data(desk.office)["earn"][0]["name"] == "Typed all the while"


def test_two_edit_at_once_and_the_second_is_shown_both(desk: Desk) -> None:
    one, other = desk.page("editor"), desk.page("owner")
    for page in (one, other):
        desk.go(page, f"{DRAFT}/earn/0")
    one.locator("[id='d.earn.0.name']").fill("Theirs")
    expect(status(one)).to_contain_text("Saved")
    other.locator("[id='d.earn.0.name']").fill("Mine")
    expect(status(other)).to_contain_text(
        "The editor changed this page meanwhile. What you type is not saved."
    )
    other.get_by_role("button", name="Save in the draft").click()
    expect(other.get_by_role("heading", name="The editor changed this meanwhile")).to_be_visible()
    row = other.get_by_role("row").filter(has_text="name")
    expect(row).to_contain_text("Theirs")
    expect(row).to_contain_text("Mine")
    assert draft_data(desk.office)["earn"][0]["name"] == "Theirs"
    other.get_by_role("button", name="Save in the draft").click()
    expect(other.get_by_text("Saved in the draft.", exact=True)).to_be_visible()
    assert draft_data(desk.office)["earn"][0]["name"] == "Mine"


def test_support_looks_but_cannot_publish(desk: Desk) -> None:
    spoil(desk)
    page = desk.page("support")
    for address in PAGES.values():
        desk.go(page, address)
        for name in (
            "Save in the draft",
            "Publish version",
            "Add rule",
            "Put it in the draft",
            "Throw it away",
        ):
            expect(page.get_by_role("button", name=name)).to_have_count(0)
    desk.go(page, f"{DRAFT}/earn/0")
    assert page.locator("[id='d.earn.0.id']").is_disabled()
    answer = page.evaluate(
        """async () => {
            const body = new URLSearchParams({ csrf: document.querySelector("[name=csrf]").value, note: "x" });
            return (await fetch("/admin/program/publish", { method: "POST", body })).status;
        }"""
    )
    assert answer == 403
    assert newest(desk.office).earn[0].gives.points == 1  # type: ignore[union-attr]


def test_it_all_works_without_scripts(desk: Desk) -> None:
    page = desk.go(desk.page(java_script_enabled=False), f"{DRAFT}/earn")
    page.get_by_role("button", name="Add rule").click()
    page.locator("[id='d.earn.3.id']").fill("review")
    page.locator("[id='d.earn.3.activity']").select_option("review")
    page.locator("[id='d.earn.3.gives.type']").select_option("fixed")
    page.get_by_role("button", name="Use this kind of what it gives").click()
    page.locator("[id='d.earn.3.gives.points']").fill("0")
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_text("Must be at least 1, not 0")).to_be_visible()
    page.locator("[id='d.earn.3.gives.points']").fill("25")
    page.get_by_role("button", name="Save in the draft").click()
    page.get_by_role("link", name="Earn rules").first.click()
    page.get_by_role("button", name="Move review up").click()
    assert [each["id"] for each in draft_data(desk.office)["earn"]] == [
        "base",
        "welcome",
        "review",
        "answers",
    ]


def test_saving_while_it_is_being_saved_is_no_conflict_with_oneself(desk: Desk) -> None:
    page = desk.go(desk.page(), f"{DRAFT}/earn/0")

    def slowly(route: Any) -> None:
        page.wait_for_timeout(800)
        route.continue_()

    page.route("**/draft/check", slowly)
    page.locator("[id='d.earn.0.name']").fill("Mine")
    expect(status(page)).to_have_text("Saving…")
    page.locator("[id='d.earn.0.name']").press_sequentially(" alone")
    page.get_by_role("button", name="Save in the draft").click()
    expect(page.locator(".flash")).to_be_visible()
    assert page.get_by_role("heading", name="changed this meanwhile").count() == 0
    assert draft_data(desk.office)["earn"][0]["name"] == "Mine alone"


def test_leaving_with_something_unsaved_is_asked_about(desk: Desk) -> None:
    page = desk.go(desk.page(), f"{DRAFT}/earn/0")
    asked: list[str] = []
    answer: Callable[[Any], None] = lambda dialog: (asked.append(dialog.type), dialog.accept())  # type: ignore[func-returns-value] # noqa: E731
    page.on("dialog", answer)
    page.route("**/draft/check", lambda route: route.abort())
    page.locator("[id='d.earn.0.name']").press_sequentially("x")
    desk.go(page, "/admin/program")
    assert asked == ["beforeunload"]
    assert draft(desk.office) is None
