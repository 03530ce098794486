import re
import uuid
from datetime import timedelta
from urllib.parse import urljoin, urlsplit

import httpx
from office import PASSWORD, Browser, Office, add_admin, forms, serving
from sqlalchemy import text

from rewards.admins.lockout import FREE_BY_ADDRESS, begin_attempt
from rewards.admins.passwords import hash_password
from rewards.admins.sessions import IDLE
from rewards.core.clock import utc_now
from rewards.core.database import Database
from rewards.core.settings import Settings


def expire_sessions(office: Office) -> None:
    with office.database.engine.begin() as connection:
        ago = IDLE + timedelta(seconds=1)
        connection.execute(text("UPDATE admin_sessions SET seen_at = seen_at - :ago"), {"ago": ago})


def test_signs_in_looks_around_and_signs_out(office: Office, stranger: Browser) -> None:
    asked = stranger.get("/admin")
    assert (asked.status_code, asked.headers["location"]) == (303, "./admin/sign-in")
    page = stranger.sign_in("owner")
    assert (page.status_code, page.url.path) == (200, "/admin")
    assert "The owner" in page.text
    old = stranger.cookie
    out = stranger.follow(stranger.send(page, "sign-out"))
    assert "You are signed out." in out.text
    # Said once.
    assert "You are signed out." not in stranger.get("/admin/sign-in").text
    assert stranger.cookie is None
    assert stranger.get("/admin").status_code == 303
    # The secret is good for nothing any more, wherever it may still be.
    assert stranger.get("/admin", headers={"cookie": f"rewards_session={old}"}).status_code == 303
    assert [entry.action for entry in office.audit()] == ["signed-out", "signed-in"]


def test_whatever_is_wrong_the_answer_is_the_same(stranger: Browser) -> None:
    page = stranger.get("/admin/sign-in")
    for email in ("owner@shop.test", "nobody@shop.test", "", "not an address", "a" * 5000, "\x00"):
        answer = stranger.send(page, "sign-in", email=email, password="a wrong password")
        assert answer.status_code == 422
        assert "The e-mail address or the password is not right." in answer.text
        assert stranger.cookie is None
        assert "a wrong password" not in answer.text


def test_an_address_that_nobody_has_costs_the_same_work(stranger: Browser, office: Office) -> None:
    page = stranger.get("/admin/sign-in")

    def fastest(email: str) -> float:
        times = [
            stranger.send(page, "sign-in", email=email, password="wrong wrong wrong").elapsed
            for _ in range(4)
        ]
        return min(times).total_seconds()

    stranger.sign_in("owner")
    known, unknown = fastest("viewer@shop.test"), fastest("nobody@shop.test")
    # Hashing takes most of it; without it an answer takes a tenth.
    assert 0.5 < known / unknown < 2


def test_who_is_disabled_is_answered_like_a_stranger(stranger: Browser, office: Office) -> None:
    with office.browser("owner") as owner:
        page = owner.get("/admin/admins")
        viewer = office.admins["viewer"].admin_id
        owner.send(page, f"{viewer}/disable")
    answer = stranger.sign_in("viewer")
    assert answer.status_code == 422
    assert "is not right" in answer.text


def test_leads_to_the_page_that_was_asked_for(stranger: Browser) -> None:
    asked = stranger.get("/admin/audit?action=signed-in&who=")
    form = stranger.follow(asked)
    assert form.url.path == "/admin/sign-in"
    answer = stranger.send(form, "sign-in", email="viewer@shop.test", password=PASSWORD)
    assert urljoin(str(answer.url), answer.headers["location"]).endswith("/admin/audit?action=signed-in&who=")
    assert stranger.follow(answer).status_code == 200


TARGETS = (
    "https://evil.test/",
    "//evil.test/admin",
    "/\\evil.test",
    "/admin//evil.test",
    "/admin/../../evil",
    "/admin/%2e%2e/%2e%2e/evil",
    "/admin/.%2e/x",
    "/admin\r\nlocation: https://evil.test",
    "/administrator",
    "javascript:alert(1)",
    "/admin#@evil.test",
    "/\tadmin",
    "admin",
    "/admin/" + "x" * 3000,
)


def test_never_leads_to_another_site(stranger: Browser) -> None:
    for target in TARGETS:
        page = stranger.get("/admin/sign-in", params={"next": target})
        assert forms(page)[0].fields["next"] == ["/admin"], target
        answer = stranger.send(page, "sign-in", email="owner@shop.test", password=PASSWORD, next=target)
        assert answer.status_code == 303
        led_to = urlsplit(urljoin(str(answer.url), answer.headers["location"]))
        assert (led_to.netloc, led_to.path) == (answer.url.netloc.decode(), "/admin"), target


def test_too_many_failures_have_to_wait(stranger: Browser, office: Office) -> None:
    page = stranger.get("/admin/sign-in")
    for _ in range(5):
        assert (
            stranger.send(page, "sign-in", email="owner@shop.test", password="guess guess").status_code == 422
        )
    # The right password is not looked at either, nor does an unknown address tell anything.
    slowed = stranger.send(page, "sign-in", email="Owner@Shop.test", password=PASSWORD)
    assert slowed.status_code == 429
    assert 0 < int(slowed.headers["retry-after"]) <= 31
    assert "Too many attempts. Try again in" in slowed.text
    assert stranger.cookie is None
    assert [entry.action for entry in office.audit()] == ["sign-in.slowed"]
    assert office.audit()[0].subject == f"admin:{office.admins['owner'].admin_id}"
    # Others get in.
    assert stranger.sign_in("viewer").status_code == 200
    with office.database.engine.begin() as connection:
        connection.execute(text("UPDATE admin_attempts SET locked_until = locked_until - interval '31 s'"))
    assert stranger.sign_in("owner").status_code == 200


def test_what_a_client_says_of_its_address_is_not_believed(office: Office, stranger: Browser) -> None:
    _fail_often_from(office.database, "127.0.0.1")
    assert _stranger_from(stranger, "192.0.2.1") == 429


def test_the_address_that_our_own_proxy_tells_counts(settings: Settings, database: Database) -> None:
    behind = settings.model_copy(update={"proxies": 1})
    _fail_often_from(database, "198.51.100.1")
    _fail_often_from(database, "192.0.2.1")
    with serving(behind) as base, httpx.Client(base_url=base) as client:
        # The client's own lies stand before what the proxy adds.
        assert _stranger_from(Browser(client), "192.0.2.7, 198.51.100.1") == 429
        assert _stranger_from(Browser(client), "192.0.2.1, 203.0.113.9") == 422


def _fail_often_from(database: Database, address: str) -> None:
    with database.engine.begin() as connection:
        for _ in range(FREE_BY_ADDRESS):
            begin_attempt(connection, f"{uuid.uuid4()}@shop.test", address, utc_now())


def _stranger_from(browser: Browser, address: str) -> int:
    page = browser.get("/admin/sign-in")
    return browser.send(
        page,
        "sign-in",
        {"x-forwarded-for": address},
        email=f"{uuid.uuid4()}@shop.test",
        password="guess guess",
    ).status_code


def test_a_session_is_never_one_that_the_browser_brought(stranger: Browser, office: Office) -> None:
    planted = "planted-by-somebody-who-waits-for-a-sign-in"
    stranger.client.cookies.set("rewards_session", planted, domain="127.0.0.1", path="/")
    page = stranger.sign_in("owner")
    assert page.status_code == 200
    cookies = [cookie.value for cookie in stranger.client.cookies.jar if cookie.name == "rewards_session"]
    assert planted not in cookies
    with office.browser() as other:
        other.client.cookies.set("rewards_session", planted, domain="127.0.0.1", path="/")
        assert other.get("/admin").status_code == 303


def test_signing_in_again_ends_the_session_before(office: Office, owner: Browser) -> None:
    before = owner.cookie
    owner.sign_in("viewer")
    assert owner.cookie not in (before, None)
    with office.browser() as other:
        assert other.get("/admin", headers={"cookie": f"rewards_session={before}"}).status_code == 303


def test_the_cookie_is_for_requests_alone(stranger: Browser) -> None:
    page = stranger.get("/admin/sign-in")
    answer = stranger.send(page, "sign-in", email="owner@shop.test", password=PASSWORD)
    (cookie,) = [
        each for each in answer.headers.get_list("set-cookie") if each.startswith("rewards_session=")
    ]
    parts = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert parts == {"httponly", "samesite=lax", "path=/"}


def test_an_expired_session_keeps_what_was_typed(office: Office, owner: Browser) -> None:
    page = owner.get("/admin/system")
    expire_sessions(office)
    typed = 'The "webshop" <b>&'
    asked = owner.send(page, "/system/keys", name=typed, scope="readonly")
    assert asked.status_code == 401
    assert "What you sent is kept" in asked.text
    assert office.audit(action="key.created") == []
    again = owner.send(asked, "sign-in", email="owner@shop.test", password=PASSWORD)
    assert again.status_code == 200
    assert "Send it once more" in again.text
    (resumed,) = [form for form in forms(again) if form.action.endswith("/system/keys")]
    assert resumed.fields["name"] == [typed]
    assert resumed.fields["scope"] == ["readonly"]
    # Nothing happens before the second click; then all of it does, with a token of the new session.
    assert office.audit(action="key.created") == []
    done = owner.send(again, "/system/keys")
    assert done.status_code == 200
    assert office.audit(action="key.created")[0].detail == {"name": typed, "scope": "readonly"}


def test_a_kept_form_needs_the_role_of_who_sends_it(office: Office, owner: Browser) -> None:
    page = owner.get("/admin/system")
    expire_sessions(office)
    asked = owner.send(page, "/system/keys", name="webshop", scope="admin")
    again = owner.send(asked, "sign-in", email="viewer@shop.test", password=PASSWORD)
    assert owner.send(again, "/system/keys").status_code == 403
    assert office.audit(action="key.created") == []


def test_passwords_are_not_kept(office: Office, owner: Browser) -> None:
    page = owner.get("/admin/password")
    expire_sessions(office)
    asked = owner.send(
        page,
        "/password",
        old_password=PASSWORD,
        new_password="another long one",
        again_password="another long one",
    )
    again = owner.send(asked, "sign-in", email="owner@shop.test", password=PASSWORD)
    assert "another long one" not in again.text
    assert PASSWORD not in again.text


def test_another_site_cannot_have_a_form_kept(office: Office, stranger: Browser) -> None:
    sent = {"name": "evil", "scope": "admin"}
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.test"}, {"origin": "null"}):
        answer = stranger.client.post("/admin/system/keys", data=sent, headers=headers)
        assert answer.status_code == 403
        assert "evil" not in answer.text


def test_a_kept_form_is_one_that_we_kept(stranger: Browser) -> None:
    page = stranger.get("/admin/sign-in")
    answer = stranger.send(
        page,
        "sign-in",
        email="owner@shop.test",
        password=PASSWORD,
        kept='["/admin/system/keys",[["name","evil"]]]',
    )
    assert answer.status_code == 303


def test_a_form_may_be_long(office: Office, owner: Browser) -> None:
    page = owner.get("/admin/system")
    expire_sessions(office)
    document = "\n".join(f"- id: rule-{number}  # Grüße" for number in range(3000))
    asked = owner.send(page, "/system/keys", name=document, scope="readonly")
    again = owner.send(asked, "sign-in", email="owner@shop.test", password=PASSWORD)
    (resumed,) = [form for form in forms(again) if form.action.endswith("/system/keys")]
    assert resumed.fields["name"] == [document]


def test_a_script_is_told_and_not_led_away(stranger: Browser) -> None:
    for headers in ({"x-requested-with": "fetch"}, {"sec-fetch-dest": "empty"}):
        for answer in (
            stranger.get("/admin", headers=headers),
            stranger.client.post("/admin/system/check", headers=headers),
        ):
            assert answer.status_code == 401
            assert answer.json()["code"] == "signed-out"


def test_changes_the_own_password(office: Office, owner: Browser) -> None:
    with office.browser("owner") as elsewhere:
        page = owner.get("/admin/password")
        new = "a whole new one, long"
        fields = {"old_password": PASSWORD, "new_password": new, "again_password": new}
        for wrong, complaint in (
            ({"old_password": "not mine at all"}, "not your password"),
            ({"new_password": "short", "again_password": "short"}, "at least 12"),
            ({"again_password": "another new one"}, "not the same"),
            ({"new_password": PASSWORD, "again_password": PASSWORD}, "the password you have"),
        ):
            answer = owner.send(page, "/password", **{**fields, **wrong})
            assert answer.status_code == 422
            assert complaint in answer.text
        before = owner.cookie
        assert "Your password is changed" in owner.follow(owner.send(page, "/password", **fields)).text
        assert owner.cookie != before
        # Elsewhere one is signed out.
        assert elsewhere.get("/admin").status_code == 303
        assert elsewhere.sign_in("owner").status_code == 422
        assert elsewhere.sign_in("owner", new).status_code == 200
    assert "password.changed" in {entry.action for entry in office.audit()}


def test_the_own_password_is_not_to_be_guessed(office: Office, owner: Browser) -> None:
    page = owner.get("/admin/password")
    fields = {"new_password": "a whole new one, long", "again_password": "a whole new one, long"}
    for _ in range(5):
        owner.send(page, "/password", old_password="guess guess", **fields)
    answer = owner.send(page, "/password", old_password=PASSWORD, **fields)
    assert answer.status_code == 422
    assert "Too many attempts" in answer.text


def test_an_old_hash_is_made_anew(office: Office, stranger: Browser) -> None:
    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    with office.database.engine.begin() as connection:
        connection.execute(
            text("UPDATE admins SET password_hash = :weak WHERE role = 'viewer'"), {"weak": weak}
        )
    assert stranger.sign_in("viewer").status_code == 200
    with office.database.engine.connect() as connection:
        kept = connection.scalar(text("SELECT password_hash FROM admins WHERE role = 'viewer'"))
    assert kept is not None
    assert kept.split("$")[3] == hash_password("x" * 12).split("$")[3]


def test_works_under_a_prefix_that_only_the_proxy_knows(office: Office, owner: Browser) -> None:
    for path in ("/admin", "/admin/system", "/admin/audit", "/admin/sign-in"):
        page = owner.get(path)
        for address in re.findall(r'(?:href|src|action)="([^"]+)"', page.text):
            assert not address.startswith("/"), (path, address)
            base = urljoin("https://shop.test/rewards" + path, address)
            assert base.startswith(
                ("https://shop.test/rewards/admin", "https://shop.test/rewards/static/")
            ), address


def test_who_has_a_temporary_password_chooses_one_first(office: Office, stranger: Browser) -> None:
    add_admin(office.database, "owner", "new@shop.test")
    with office.database.engine.begin() as connection:
        connection.execute(
            text("UPDATE admins SET password_is_temporary = true WHERE email = 'new@shop.test'")
        )
    page = stranger.sign_in(email="new@shop.test")
    assert page.url.path == "/admin/password"
    assert "Choose a password of your own first." in page.text
    assert stranger.get("/admin/audit").status_code == 303
    refused = stranger.send(page, "sign-out").status_code
    assert refused == 303
    page = stranger.sign_in(email="new@shop.test")
    new = "a whole new one, long"
    done = stranger.follow(
        stranger.send(page, "/password", old_password=PASSWORD, new_password=new, again_password=new)
    )
    assert (done.status_code, done.url.path) == (200, "/admin")


def test_who_is_signed_out_already_may_sign_out(office: Office, owner: Browser) -> None:
    page = owner.get("/admin")
    expire_sessions(office)
    out = owner.follow(owner.send(page, "sign-out"))
    assert "You are signed out." in out.text
    assert "is kept" not in out.text
    assert owner.cookie is None
