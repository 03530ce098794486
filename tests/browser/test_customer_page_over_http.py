"""The customer's page as it goes over the wire: status, headers, and what must not be in it."""

import re
from html import escape
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from sqlalchemy import make_url

from rewards.core.clock import utc_now
from rewards.core.links import make_link
from rewards.core.settings import Settings

from .conftest import Site
from .serving import free_port, served
from .story import HOSTILE, REGULAR

KINDS = {
    "regular": 200,
    "owing": 200,
    "new": 200,
    "hostile": 200,
    "rich": 200,
    "expired": 410,
    "forged": 404,
    "unknown": 404,
}


@pytest.mark.parametrize(("kind", "status"), KINDS.items())
def test_every_page_is_html_that_nobody_keeps_or_frames(site: Site, kind: str, status: int) -> None:
    answer = httpx.get(site.pages[kind])
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self';")
    assert "unsafe" not in policy
    assert answer.text.startswith('<!doctype html>\n<html lang="en">')


@pytest.mark.parametrize("kind", KINDS)
def test_no_page_needs_what_its_policy_forbids(site: Site, kind: str) -> None:
    html = httpx.get(site.pages[kind]).text
    assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=|javascript:|https?://", html, re.IGNORECASE)


def test_a_page_holds_no_token(site: Site) -> None:
    url = site.link(REGULAR)
    assert url.rpartition("/")[2] not in httpx.get(url).text


def test_what_the_shop_sent_is_escaped(site: Site) -> None:
    html = httpx.get(site.link(HOSTILE)).text
    assert "<script" not in html
    assert html.count(escape(HOSTILE).replace("&quot;", "&#34;")) == 3


def test_the_style_and_the_icon_are_kept_for_ever_under_their_hash(site: Site) -> None:
    url = site.link(REGULAR)
    html = httpx.get(url).text
    for path in re.findall(r'href="(\.\./static/[^"]+)"', html):
        answer = httpx.get(urljoin(url, path))
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        again = httpx.get(urljoin(url, path), headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304
        assert re.fullmatch(r"\.\./static/[a-z]+\.[0-9a-f]{12}\.(css|svg)", path)
    for name in ("pages.css", "pages.000000000000.css", "..%2fapp.py", "customer.html"):
        assert httpx.get(f"{site.base}/static/{name}").status_code == 404


def test_pages_of_the_history_follow_each_other_without_gaps(site: Site) -> None:
    sentences: list[str] = []
    url: str | None = site.link(REGULAR)
    while url:
        html = httpx.get(url).text
        sentences += re.findall(r"<td>([^<]+)<", html.partition('id="history"')[2])
        older = re.search(r'rel="next" href="([^"]+)"', html)
        url = urljoin(url, older[1].partition("#")[0]) if older else None
    with site.database.engine.connect() as conn:
        count = conn.exec_driver_sql(
            "SELECT count(*) FROM entries WHERE customer_id = %s", (REGULAR,)
        ).scalar_one()
    assert len(sentences) == count > 20


@pytest.mark.parametrize("before", ["", "0", "1", "-1", "x", "9" * 40, "99999999999999999999", "%00", "²"])
def test_a_made_up_page_of_the_history_is_no_fault(site: Site, before: str) -> None:
    assert httpx.get(f"{site.link(REGULAR)}?before={before}").status_code == 200


def test_the_head_of_a_page_can_be_asked_for(site: Site) -> None:
    answer = httpx.head(site.link(REGULAR))
    assert answer.status_code == 200
    assert answer.text == ""


def test_no_log_has_a_token_or_a_customer(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    urls = [site.pages[kind] for kind in KINDS]
    for url in urls:
        httpx.get(url)
    logged = "".join(capfd.readouterr())
    assert "/me/{token}" in logged
    for url in urls:
        assert url.rpartition("/")[2] not in logged
    assert REGULAR not in logged


def test_where_the_database_is_gone_the_page_says_to_come_back(settings: Settings, server: Any) -> None:
    url, _ = make_link(settings, REGULAR, utc_now())
    with served(settings, free_port()) as base:
        page = base + urlsplit(url).path
        assert httpx.get(page).status_code == 404
        server.drop(make_url(settings.database_url.get_secret_value()).database)  # type: ignore[union-attr]
        answer = httpx.get(page, timeout=30)
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert int(answer.headers["retry-after"]) >= 1
    assert "Please try again in a minute" in answer.text
