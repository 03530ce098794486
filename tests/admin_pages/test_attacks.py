"""What others might try on the admin pages, and who is signed in but may not."""

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import httpx
import pytest
from office import PASSWORD, Browser, Office, add_admin, forms
from sqlalchemy import text

from api.app import create_app
from api.pages.admin import routers
from api.pages.admin.places import write_place
from rewards.admins.roles import Role
from rewards.core.clock import utc_now
from rewards.core.keys import create_key, list_keys
from rewards.core.settings import Settings

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def all_routes(routes: Sequence[Any]) -> Iterator[Any]:
    """Yield the routes, those of routers within routers, too."""
    for route in routes:
        if hasattr(route, "methods"):
            yield route
        else:
            yield from all_routes(route.original_router.routes)


def addresses() -> list[tuple[str, str]]:
    """Every method and address of the admin pages, with something in place of what varies."""
    return sorted(
        (method, re.sub(r"\{\w+(:path)?\}", "1", route.path))
        for router in routers
        for route in all_routes(router.routes)
        for method in route.methods
        if method in ("GET", "POST")
    )


PUBLIC = {("GET", "/admin/sign-in"), ("POST", "/admin/sign-in"), ("POST", "/admin/sign-out")}


def test_every_address_asks_who_one_is(office: Office, stranger: Browser) -> None:
    tried = [each for each in addresses() if each not in PUBLIC]
    assert len(tried) > 10
    for method, path in tried:
        if method == "GET":
            answer = stranger.get(path)
            assert answer.status_code == 303, path
            assert "/admin/sign-in" in answer.headers["location"]
        else:
            answer = stranger.client.post(path, data={"name": "x"})
            assert answer.status_code == 401, path
            assert 'name="password"' in answer.text
    assert office.audit() == []


def test_every_form_needs_the_token_of_its_session(office: Office, owner: Browser) -> None:
    with office.browser("owner") as another:
        foreign = another.token
    before = len(office.audit())
    for method, path in addresses():
        if method == "POST" and path != "/admin/sign-in":
            for token in ({}, {"csrf": ""}, {"csrf": "x" * 64}, {"csrf": foreign}, {"csrf": "\u00e9"}):
                answer = owner.client.post(
                    path, data={"name": "evil", "scope": "admin", "role": "owner", **token}
                )
                assert answer.status_code == 403, (path, token)
    assert owner.get("/admin").status_code == 200
    assert len(office.audit()) == before


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1.evil.test"},
        # A browser's own word comes before what else is said.
        {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1"},
    ],
)
def test_another_sites_form_is_refused_even_with_the_token(
    office: Office, owner: Browser, headers: dict[str, str]
) -> None:
    page = owner.get("/admin/system")
    assert owner.send(page, "/system/keys", headers, name="evil", scope="admin").status_code == 403
    assert owner.send(page, "sign-out", headers).status_code == 403
    sign_in = owner.get("/admin/sign-in")
    answer = owner.send(sign_in, "sign-in", headers, email="viewer@shop.test", password=PASSWORD)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert {entry.action for entry in office.audit()} == {"signed-in"}


OWNERS_ACTS = (
    ("/admin/system/keys", {"name": "evil", "scope": "admin"}),
    ("/admin/system/keys/{key}/revoke", {}),
    ("/admin/system/jobs/expire/run", {}),
    ("/admin/system/check", {}),
    ("/admin/admins", {"email": "evil@shop.test", "role": "owner", "name": "Evil"}),
    ("/admin/admins/{me}/role", {"role": "owner"}),
    ("/admin/admins/{owner}/role", {"role": "viewer"}),
    ("/admin/admins/{owner}/disable", {}),
    ("/admin/admins/{owner}/enable", {}),
    ("/admin/admins/{owner}/password", {}),
)


@pytest.mark.parametrize("role", ["editor", "support", "viewer"])
def test_nobody_but_an_owner_does_what_owners_do(office: Office, role: Role) -> None:
    with office.database.engine.begin() as connection:
        create_key(connection, "webshop", "storefront", utc_now())
        (key,) = list_keys(connection)
    ids = {"key": key.key_id, "me": office.admins[role].admin_id, "owner": office.admins["owner"].admin_id}
    with office.browser(role) as browser:
        for path in ("/admin", "/admin/system", "/admin/audit", "/admin/admins"):
            page = browser.get(path)
            assert page.status_code == 200
            assert {form.action.rpartition("/")[2] for form in forms(page) if form.method == "post"} == {
                "sign-out"
            }
        token = browser.token
        for path, fields in OWNERS_ACTS:
            answer = browser.client.post(path.format(**ids), data={**fields, "csrf": token})
            assert answer.status_code == 403, path
            assert f"You are signed in as {role}; this needs the role owner." in answer.text
    with office.database.engine.connect() as connection:
        (key,) = list_keys(connection)
        assert key.revoked_at is None
        roles = dict(
            connection.execute(text("SELECT email, role FROM admins WHERE disabled_at IS NULL")).all()
        )
    assert roles == {f"{each}@shop.test": each for each in office.admins}
    assert {entry.action for entry in office.audit()} == {"signed-in"}


def test_a_field_that_no_form_asks_for_does_nothing(office: Office) -> None:
    with office.browser("viewer") as browser:
        new = "a whole new one, long"
        page = browser.get("/admin/password")
        extra = {"role": "owner", "admin_id": office.admins["owner"].admin_id, "password_is_temporary": ""}
        browser.send(page, "/password", old_password=PASSWORD, new_password=new, again_password=new, **extra)
        sign_in = browser.get("/admin/sign-in")
        browser.send(sign_in, "sign-in", email="viewer@shop.test", password=new, **extra)
        assert browser.get("/admin").status_code == 200
        assert "<small>viewer</small>" in browser.get("/admin").text
    with office.database.engine.connect() as connection:
        assert connection.scalar(text("SELECT role FROM admins WHERE email = 'viewer@shop.test'")) == "viewer"
    # The owner's password is still the owner's.
    with office.browser("owner"):
        pass


def test_an_owner_who_becomes_a_viewer_is_one_at_once(office: Office, owner: Browser) -> None:
    add_admin(office.database, "owner", "other@shop.test")
    page = owner.get("/admin/system")
    with office.database.engine.begin() as connection:
        connection.execute(text("UPDATE admins SET role = 'viewer' WHERE email = 'owner@shop.test'"))
    assert owner.send(page, "/system/keys", name="webshop", scope="admin").status_code == 403


def test_who_is_disabled_is_out_at_once(office: Office) -> None:
    with office.browser("editor") as editor, office.browser("owner") as owner:
        page = owner.get("/admin/admins")
        owner.send(page, f"{office.admins['editor'].admin_id}/disable")
        assert editor.get("/admin").status_code == 303


def test_no_api_key_opens_the_pages(office: Office, stranger: Browser) -> None:
    with office.database.engine.begin() as connection:
        key = create_key(connection, "all", "admin", utc_now())
    headers = {"authorization": f"Bearer {key}"}
    assert stranger.get("/admin/admins", headers=headers).status_code == 303
    assert stranger.client.post("/admin/system/check", headers=headers).status_code == 401


def test_a_session_opens_no_api(owner: Browser) -> None:
    assert owner.get("/v1/program").status_code == 401


def test_what_others_typed_is_text_on_every_page(office: Office, owner: Browser) -> None:
    add_admin(office.database, "support", "hostile@shop.test", HOSTILE)
    page = owner.get("/admin/system")
    owner.send(page, "/system/keys", name=HOSTILE, scope="readonly")
    owner.send(owner.get("/admin/admins"), "/admins", email="x@shop.test", name=HOSTILE, role="viewer")
    refused = owner.send(page, "/system/keys", name=HOSTILE + "\x00", scope="readonly")
    with office.browser() as hostile:
        theirs = hostile.sign_in(email="hostile@shop.test")
    pages = [
        theirs,
        refused,
        *(owner.get(path) for path in ("/admin", "/admin/system", "/admin/audit", "/admin/admins")),
    ]
    pages.append(
        owner.get(
            "/admin/audit", params={"subject": HOSTILE, "who": HOSTILE, "action": HOSTILE, "since": HOSTILE}
        )
    )
    pages.append(owner.get("/admin/sign-in", params={"next": HOSTILE}))
    pages.append(owner.get(f"/admin/{HOSTILE}"))
    for answer in pages:
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
    assert escape(HOSTILE, quote=False).replace('"', "&#34;").replace("'", "&#39;") in pages[5].text


def test_no_page_is_kept_framed_or_may_do_more_than_it_needs(owner: Browser) -> None:
    for path in (
        "/admin",
        "/admin/system",
        "/admin/audit",
        "/admin/admins",
        "/admin/password",
        "/admin/sign-in",
        "/admin/no-such",
    ):
        answer = owner.get(path)
        assert answer.headers["content-type"] == "text/html; charset=utf-8", path
        assert answer.headers["cache-control"] == "private, no-store"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["x-robots-tag"] == "noindex"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith(
            "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self';"
        )
        assert "unsafe" not in policy
        html = answer.text
        assert not re.search(
            r"<script(?! src=)|<style|\sstyle=|\son[a-z]+=|javascript:", html, re.IGNORECASE
        ), path


def test_behind_tls_the_cookie_is_bound_to_it(settings: Settings, office: Office) -> None:
    from office import serving

    secure = settings.model_copy(update={"public_url": "https://rewards.shop.test"})
    with serving(secure) as base, httpx.Client(base_url=base) as client:
        page = client.get("/admin/sign-in")
        sent = {**forms(page)[0].fields, "email": "owner@shop.test", "password": PASSWORD}
        answer = client.post("/admin/sign-in", data=sent, headers={"origin": "https://rewards.shop.test"})
        (cookie,) = [each for each in answer.headers.get_list("set-cookie") if "rewards_session=" in each]
    assert cookie.startswith("__Host-rewards_session=")
    parts = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert parts == {"httponly", "samesite=lax", "path=/", "secure"}


def test_nothing_of_it_is_in_the_api_reference(settings: Settings) -> None:
    assert not any(path.startswith("/admin") for path in create_app(settings).openapi()["paths"])


def test_an_id_with_a_null_in_it_is_nobodys(owner: Browser) -> None:
    token = owner.token
    routes = [route.path for router in routers for route in all_routes(router.routes) if "{" in route.path]
    assert len(routes) > 20
    for path in {re.sub(r"\{\w+(:path)?\}", "%00", each) for each in routes}:
        assert owner.get(path).status_code in (404, 405), path
        fields = {"csrf": token, "role": "viewer", "verdict": "reject", "note": "x", "points": "1"}
        assert owner.client.post(path, data=fields).status_code in (404, 405, 422), path


@pytest.mark.parametrize("year", ["0001", "9999"])
def test_a_place_at_the_end_of_time_is_the_beginning(owner: Browser, year: str) -> None:
    place = write_place([f"{year}-06-01T00:00:00+00:00", "c", "k"])
    assert owner.get("/admin/activity", params={"after": place}).status_code == 200


def test_an_oversized_form_is_refused(owner: Browser) -> None:
    answer = owner.client.post("/admin/system/keys", data={"csrf": "x", "name": "x" * 1_100_000})
    assert answer.status_code == 413
    answer = owner.client.post(
        "/admin/system/keys", content=b"{}", headers={"content-type": "application/json"}
    )
    assert answer.status_code == 415


def test_a_fault_of_ours_is_told_on_a_page(office: Office, owner: Browser) -> None:
    with office.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE api_keys RENAME TO elsewhere"))
    answer = owner.get("/admin/system")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "Something went wrong here" in answer.text
    assert answer.headers["x-request-id"] in answer.text
    assert "api_keys" not in answer.text
    # The pages' own scripts, and the API, are told as data.
    assert (
        owner.get("/admin/system", headers={"x-requested-with": "fetch"}).json()["code"] == "internal-error"
    )
