"""A server with a few customers, and a browser to look at their pages with."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, Request

from rewards.core.clock import utc_now
from rewards.core.database import Database, connect_database
from rewards.core.links import make_link, make_survey_link
from rewards.core.settings import Settings
from rewards.decide.commands import LARGEST, Adjust

from .chromium import browser, chromium_path
from .serving import free_port, served
from .story import HOSTILE, NEW, OWING, REGULAR, Story
from .surveys import surveys

RICH = "rich-1"

Scheme = Literal["light", "dark"]
PHONE, SMALL_PHONE, DESK = (390, 844), (320, 568), (1280, 900)
AXE_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}

#: Opens an address in a fresh window: ``look(url, size, scheme, javascript)``.
Look = Callable[..., Page]


@dataclass(frozen=True)
class Site:
    """A running server and the addresses of its customers' pages."""

    base: str
    settings: Settings
    database: Database
    now: datetime

    def link(self, customer: str, *, days_ago: float = 0) -> str:
        return make_link(self.settings, customer, self.now - timedelta(days=days_ago))[0]

    def survey(self, survey_id: str, customer: str = NEW, *, days: float = 30) -> str:
        return make_survey_link(self.settings, customer, survey_id, self.now + timedelta(days=days))

    @property
    def pages(self) -> dict[str, str]:
        """Every kind of page that there is."""
        return {
            "regular": self.link(REGULAR),
            "owing": self.link(OWING),
            "new": self.link(NEW),
            "hostile": self.link(HOSTILE),
            "rich": self.link(RICH),
            "expired": self.link(REGULAR, days_ago=31),
            "forged": self.link(REGULAR)[:-1],
            "unknown": self.link("nobody"),
        }


@pytest.fixture(scope="package")
def site(server: Any, template: str) -> Iterator[Site]:
    name = f"{template}_{uuid.uuid4().hex[:12]}"
    server.create(name, template)
    port = free_port()
    settings = server.settings(name, public_url=f"http://127.0.0.1:{port}")
    database = connect_database(settings, application_name="test")
    now = utc_now()
    story = Story(database, now, surveys=surveys(now))
    for tell in (story.regular, story.owing, story.new, story.hostile):
        tell()
    story.send(0, Adjust(customer_id=RICH, points=LARGEST - 1, reason="As many as there can be"))
    with served(settings, port) as base:
        yield Site(base, settings, database, now)
    database.dispose()
    server.drop(name)


@pytest.fixture(scope="package")
def chrome() -> Iterator[Browser]:
    if chromium_path() is None:
        pytest.skip("there is no Chromium here: install chromium (or google-chrome) to test the pages in it")
    with browser() as launched:
        yield launched


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complained of, whatever page it was on."""
    return []


@pytest.fixture
def look(chrome: Browser, complaints: list[str]) -> Iterator[Look]:
    contexts = []

    def failed(request: Request) -> None:
        # An icon that was still on its way when the page was left is given up, and nobody misses it.
        if "/static/mark." not in request.url or request.failure != "net::ERR_ABORTED":
            complaints.append(f"failed: {request.url} ({request.failure})")

    def opened(url: str, size: tuple[int, int] = PHONE, scheme: Scheme = "light", **options: Any) -> Page:
        context = chrome.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", failed)
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()


def widest(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth"))
