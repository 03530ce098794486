"""The pages about customers: found, looked at, changed; what is hostile is shown as what it is."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
from office import Browser, Office, forms
from sqlalchemy import text

from rewards.core.clock import utc_now
from rewards.decide.commands import Adjust, Award, Redeem, Tag
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.ledger.verification import verify
from rewards.profiles.profile import Profile
from rewards.profiles.storing import put_profile

SCRIPT = '"><script>alert(1)</script>'


def did(office: Office, *commands: Any) -> None:
    keys = (
        None if isinstance(each, Tag) else f"k{number}:{each!r}"[:250] for number, each in enumerate(commands)
    )
    submissions = [Submission(each, key, "test") for each, key in zip(commands, keys, strict=True)]
    answers = Engine(office.database).execute(submissions, utc_now())
    assert all(answer.status < 300 for answer in answers), answers


def bought(who: str, order_id: str = "1", total_minor: int = 10_000) -> Award:
    activity = {"type": "purchase", "order_id": order_id, "total_minor": total_minor, "currency": "USD"}
    return Award.model_validate({"customer_id": who, "activity": activity})


def known(office: Office, who: str, **profile: Any) -> None:
    with office.database.engine.begin() as conn:
        put_profile(conn, who, Profile(**profile), utc_now())


def listed(browser: Browser, query: str = "") -> list[str]:
    page = browser.get(f"/admin/customers{query}")
    assert page.status_code == 200, page.text
    return re.findall(r'data-label="Id"><span class="mono">([^<]*)<', page.text)


def balance(office: Office, who: str) -> int:
    with office.database.engine.connect() as conn:
        found: int = conn.execute(
            text("SELECT available FROM accounts WHERE customer_id = :who"), {"who": who}
        ).scalar_one()
        return found


@pytest.fixture
def crowd(office: Office) -> Office:
    did(office, *(bought(who) for who in ("ann-1", "bob-2", "cleo-3", "100%_x", "o'hara")))
    did(office, bought("bob-2", "2", 50_000), Tag(customer_id="cleo-3", tags=["wholesale", "vip"]))
    did(office, Redeem(customer_id="ann-1", points=100))
    known(office, "ann-1", name="Ann Émile Zola", email="Ann.Z@example.com", joined_at="2020-05-05T10:00:00Z")
    known(office, "bob-2", name="Bob Abel", email="bob@example.org")
    return office


# The list.


def test_somebody_is_found_by_how_id_address_and_names_begin(crowd: Office, owner: Browser) -> None:
    assert listed(owner) == ["100%_x", "ann-1", "bob-2", "cleo-3", "o&#39;hara"]
    for search, found in (
        ("ann", ["ann-1"]),
        ("ANN.Z@", ["ann-1"]),
        ("ann emile", ["ann-1"]),
        ("zola", ["ann-1"]),
        ("Zola Ann", ["ann-1"]),
        ("abel", ["bob-2"]),
        ("bob", ["bob-2"]),
        ("example", []),
        ("ola", []),
    ):
        assert listed(owner, f"?q={quote(search)}") == found, search


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("%", ["100%_x"]),
        ("_", ["100%_x"]),
        ("100%", ["100%_x"]),
        ("100_", []),
        ("'", ["o&#39;hara"]),
        ("o'", ["o&#39;hara"]),
        ("' OR 1=1 --", []),
        ("\\", []),
        (";", []),
        ("hara", ["o&#39;hara"]),
    ],
)
def test_signs_in_a_search_are_only_signs(
    crowd: Office, owner: Browser, search: str, found: list[str]
) -> None:
    assert listed(owner, f"?q={quote(search)}") == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?tag=vip", ["cleo-3"]),
        ("?tag=vi", []),
        ("?balance=some", ["100%_x", "bob-2", "cleo-3", "o&#39;hara"]),
        ("?balance=none", ["ann-1"]),
        ("?until=2021-01-01", ["ann-1"]),
        ("?from=2020-05-05&until=2020-05-05", ["ann-1"]),
        ("?from=2020-05-06&until=2021-01-01", []),
        ("?from=yesterday", ["100%_x", "ann-1", "bob-2", "cleo-3", "o&#39;hara"]),
        ("?sort=balance&dir=down&balance=some&q=b", ["bob-2"]),
        ("?sort=name", ["ann-1", "bob-2", "100%_x", "cleo-3", "o&#39;hara"]),
        ("?sort=joined&until=2021-01-01", ["ann-1"]),
        ("?sort=customer_id;drop", ["100%_x", "ann-1", "bob-2", "cleo-3", "o&#39;hara"]),
        ("?after=rubbish", ["100%_x", "ann-1", "bob-2", "cleo-3", "o&#39;hara"]),
        ("?sort=balance&after=WyJ4IiwieSJd", None),
    ],
)
def test_filters_and_orders(crowd: Office, owner: Browser, query: str, found: list[str] | None) -> None:
    rows = listed(owner, query)
    assert found is None or rows == found


@pytest.mark.parametrize("sort", ["id", "name", "balance", "activity", "joined"])
@pytest.mark.parametrize("way", ["up", "down"])
def test_pages_show_everybody_once(office: Office, owner: Browser, sort: str, way: str) -> None:
    did(office, *(bought(f"c-{number:03}", total_minor=number % 7 * 100) for number in range(60)))
    for number in range(0, 60, 2):
        known(office, f"c-{number:03}", name=f"Name {number % 5}")
    query, seen = f"?sort={sort}&dir={way}", []
    for _ in range(3):
        page = owner.get(f"/admin/customers{query}")
        seen += re.findall(r'data-label="Id"><span class="mono">([^<]*)<', page.text)
        following = re.search(r'rel="next" href="([^"]+)"', page.text)
        query = following[1].replace("&amp;", "&") if following else ""
    assert (len(seen), len(set(seen)), query) == (60, 60, "")


# One customer.


def test_a_customer_is_shown_with_all_that_happened(crowd: Office, owner: Browser) -> None:
    page = owner.get("/admin/customers/ann-1").text
    for words in (
        "Ann Émile Zola",
        "Ann.Z@example.com",
        "Earned 100\N{NO-BREAK SPACE}points",
        "Spent 100",
        "5\N{NO-BREAK SPACE}May\N{NO-BREAK SPACE}2020",
    ):
        assert words in page, words
    only = owner.get("/admin/customers/ann-1?kind=redeem").text
    assert "Spent 100" in only
    assert "Earned 100" not in only
    assert owner.get("/admin/customers/ann-1?kind=odd&after=x").status_code == 200
    assert owner.get("/admin/customers/nobody").status_code == 404
    assert owner.get("/admin/customers/a%00b").status_code == 404


def test_a_time_line_is_turned_over(office: Office, owner: Browser) -> None:
    did(office, *(bought("ann", str(number), 100) for number in range(45)))
    seen, query = [], ""
    for _ in range(3):
        page = owner.get(f"/admin/customers/ann{query}").text
        seen += re.findall(r"Entry (\d+),", page)
        following = re.search(r'rel="next" href="([^"#]+)#timeline"', page)
        query = following[1] if following else ""
    assert [int(each) for each in seen] == list(range(45, 0, -1))
    assert query == ""


def test_what_is_hostile_is_shown_as_text(office: Office, owner: Browser) -> None:
    who = SCRIPT[:40]
    did(office, bought(who, SCRIPT), Tag(customer_id=who, tags=[SCRIPT]))
    did(office, Adjust(customer_id=who, points=5, reason=SCRIPT))
    known(office, who, name=SCRIPT, email=f"{SCRIPT.replace(' ', '')}@x", attributes={SCRIPT: SCRIPT})
    at = f"/admin/customers/{quote(who, safe='')}"
    for path in (
        "/admin/customers",
        at,
        f"{at}/profile",
        f"{at}/erase",
        "/admin/activity",
        f"/admin/customers?q={quote(SCRIPT)}&tag={quote(SCRIPT)}",
    ):
        page = owner.get(path)
        assert page.status_code == 200, path
        assert "<script>alert" not in page.text, path
        assert "&lt;script&gt;alert" in page.text, path


def test_an_id_may_have_slashes(office: Office, owner: Browser) -> None:
    did(office, bought("GB/12 3?#"))
    page = owner.get("/admin/customers")
    address = re.search(r'href="([^"]+GB[^"]+)"', page.text)
    assert address is not None
    shown = owner.client.get(f"{page.url}".rsplit("/", 1)[0] + "/" + address[1].removeprefix("../admin/"))
    assert shown.status_code == 200
    done = owner.follow(owner.send(shown, "/adjust", points="5", reason="x"))
    assert "Adjusted by +5 points." in done.text


# Points by hand.


def test_an_adjustment_is_booked_with_its_admin_and_logged(crowd: Office, owner: Browser) -> None:
    page = owner.get("/admin/customers/ann-1")
    done = owner.follow(owner.send(page, "/adjust", points="250", reason="Late parcel"))
    assert "Adjusted by +250 points." in done.text
    assert "Late parcel" in done.text
    assert 'by <span class="mono">The owner</span>' in done.text
    line = crowd.audit()[0]
    assert (line.action, line.subject, line.detail) == (
        "customer.adjusted",
        "customer:ann-1",
        {"points": 250, "reason": "Late parcel"},
    )
    with crowd.database.engine.connect() as conn:
        assert verify(conn).breaks == []
        actor = conn.scalar(text("SELECT actor FROM entries WHERE kind = 'adjust'"))
    assert actor.startswith("admin:")


def test_a_form_sent_twice_counts_once(crowd: Office, owner: Browser) -> None:
    page = owner.get("/admin/customers/ann-1")
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: owner.send(page, "/adjust", points="250", reason="x"), range(8)))
    assert {answer.status_code for answer in answers} == {303}
    assert balance(crowd, "ann-1") == 250
    assert [line.action for line in crowd.audit()].count("customer.adjusted") == 1
    other = owner.send(page, "/adjust", points="300", reason="x")
    assert (other.status_code, "sent before" in other.text) == (422, True)
    again = owner.get("/admin/customers/ann-1")
    owner.send(again, "/adjust", points="250", reason="x")
    assert balance(crowd, "ann-1") == 500


@pytest.mark.parametrize(
    "wrong",
    [
        {"points": "ten"},
        {"points": "0"},
        {"points": "1.5"},
        {"points": ""},
        {"points": "9" * 16},
        {"reason": ""},
        {"reason": "x" * 501},
        {"reason": "a\x00b"},
        {"key": "x"},
        {"key": ""},
    ],
)
def test_what_cannot_be_adjusted_is_said_and_what_was_typed_stays(
    crowd: Office, owner: Browser, wrong: dict[str, str]
) -> None:
    page = owner.get("/admin/customers/bob-2")
    answer = owner.send(page, "/adjust", **({"points": "10", "reason": "Kept words"} | wrong))
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    assert "Kept words" in answer.text or "reason" in wrong
    assert balance(crowd, "bob-2") == 600


def test_more_than_there_is_is_taken_only_where_it_is_said(crowd: Office, owner: Browser) -> None:
    page = owner.get("/admin/customers/bob-2")
    refused = owner.send(page, "/adjust", points="−700", reason="x")
    assert (refused.status_code, "Only 600 points are available" in refused.text) == (409, True)
    done = owner.follow(owner.send(refused, "/adjust", points="-700", reason="x", allow_negative="yes"))
    assert "Adjusted by −700 points." in done.text


def test_fields_that_nobody_asked_for_do_nothing(crowd: Office, owner: Browser) -> None:
    page = owner.get("/admin/customers/ann-1")
    owner.send(page, "/adjust", points="5", reason="x", customer_id="bob-2", actor="key:x", role="owner")
    assert (balance(crowd, "ann-1"), balance(crowd, "bob-2")) == (5, 600)
    profile = owner.get("/admin/customers/ann-1/profile")
    owner.send(profile, "/profile", name="New", customer_id="bob-2", erased_at="2020-01-01", attributes="x")
    assert "New" in owner.get("/admin/customers/ann-1").text
    assert "Bob Abel" in owner.get("/admin/customers/bob-2").text


# Tags, profile, link, export, erasure.


def test_tags_are_set(crowd: Office, owner: Browser) -> None:
    page = owner.get("/admin/customers/ann-1")
    owner.send(page, "/tags", tags=" vip, , wholesale ,vip")
    assert listed(owner, "?tag=wholesale") == ["ann-1", "cleo-3"]
    assert crowd.audit()[0].detail == {"tags": ["vip", "wholesale"]}
    assert owner.send(page, "/tags", tags="x" * 65).status_code == 422
    owner.send(page, "/tags", tags="")
    assert listed(owner, "?tag=wholesale") == ["cleo-3"]


def test_a_profile_is_edited_and_the_log_has_no_words_of_it(crowd: Office, owner: Browser) -> None:
    known(crowd, "ann-1", name="Ann", attributes={"shoe": "37"})
    page = owner.get("/admin/customers/ann-1/profile")
    wrong = owner.send(page, "/profile", email="nobody", birthday="31-31")
    assert (wrong.status_code, wrong.text.count('class="error"')) == (422, 2)
    owner.send(wrong, "/profile", email="new@example.com", birthday="05-17")
    shown = owner.get("/admin/customers/ann-1").text
    assert "new@example.com" in shown
    assert "17\N{NO-BREAK SPACE}May" in shown
    assert "37" in shown
    line = crowd.audit()[0]
    assert (line.action, line.detail) == (
        "customer.profile-edited",
        {"fields": ["email", "birthday"], "restored": False},
    )


def test_a_link_opens_the_customers_page(crowd: Office, owner: Browser) -> None:
    page = owner.send(owner.get("/admin/customers/bob-2"), "/link")
    address = re.search(r'readonly value="([^"]+)"', page.text)
    assert address is not None
    token = address[1].rpartition("/me/")[2]
    assert "600" in owner.get(f"/me/{token}").text
    line = crowd.audit()[0]
    assert line.action == "customer.link-made"
    assert token not in json.dumps(line.detail)


def test_an_export_is_downloaded(crowd: Office, owner: Browser) -> None:
    answer = owner.get("/admin/customers/ann-1/export")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.json()["profile"]["name"] == "Ann Émile Zola"
    assert crowd.audit()[0].action == "customer.exported"
    assert owner.get("/admin/customers/nobody/export").status_code == 404


def test_an_erasure_needs_the_id_typed_and_keeps_the_ledger_whole(crowd: Office, owner: Browser) -> None:
    link = owner.send(owner.get("/admin/customers/ann-1"), "/link").text
    token = re.search(r"/me/([^\"]+)\"", link)[1]  # type: ignore[index]
    page = owner.get("/admin/customers/ann-1/erase")
    assert owner.send(page, "/erase", confirm="ann").status_code == 422
    assert "Zola" in owner.get("/admin/customers/ann-1").text
    done = owner.follow(owner.send(page, "/erase", confirm="ann-1"))
    assert "Erased." in done.text
    assert "Zola" not in done.text
    assert listed(owner, "?q=zola") == []
    assert owner.get(f"/me/{token}").status_code == 404
    assert crowd.audit()[0].action == "customer.erased"
    assert "Zola" not in json.dumps([line.detail for line in crowd.audit()])
    with crowd.database.engine.connect() as conn:
        assert verify(conn).breaks == []
    fresh = owner.send(owner.get("/admin/customers/ann-1"), "/link").text
    if token not in fresh:  # made in another second than the erasure
        assert "/me/" in fresh
    profile = owner.get("/admin/customers/ann-1/profile")
    assert owner.send(profile, "/profile", name="Ann").status_code == 422
    owner.send(profile, "/profile", name="Ann again", restore="yes")
    assert "Ann again" in owner.get("/admin/customers/ann-1").text


@pytest.mark.parametrize(
    ("role", "action", "allowed"),
    [
        ("viewer", "adjust", False),
        ("viewer", "tags", False),
        ("viewer", "profile", False),
        ("viewer", "link", False),
        ("viewer", "erase", False),
        ("support", "adjust", True),
        ("support", "link", True),
        ("support", "erase", False),
        ("editor", "erase", False),
        ("owner", "erase", True),
    ],
)
def test_roles(crowd: Office, role: Any, action: str, allowed: bool) -> None:
    with crowd.browser(role) as browser:
        page = browser.get("/admin/customers/ann-1")
        assert page.status_code == 200
        offered = {form.action.rpartition("/")[2] for form in forms(page)}
        assert ("adjust" in offered) == (role != "viewer")
        body = {"csrf": browser.token, "points": "5", "reason": "x", "key": "0" * 36, "confirm": "ann-1"}
        answer = browser.client.post(f"/admin/customers/ann-1/{action}", data=body)
        assert (answer.status_code == 403) == (not allowed)
        if role == "viewer":
            assert browser.get("/admin/customers/ann-1/export").status_code == 403


@pytest.mark.parametrize("action", ["adjust", "tags", "profile", "link", "erase"])
def test_without_the_forms_token_nothing_happens(crowd: Office, owner: Browser, action: str) -> None:
    body = {"points": "5", "reason": "x", "key": "0" * 36, "confirm": "ann-1", "name": "Eve"}
    assert owner.client.post(f"/admin/customers/ann-1/{action}", data=body).status_code == 403
    evil = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    page = owner.get(f"/admin/customers/ann-1{'/' + action if action in ('profile', 'erase') else ''}")
    assert owner.send(page, f"/{action}", headers=evil, **body).status_code == 403
    assert balance(crowd, "ann-1") == 0
    assert "Zola" in owner.get("/admin/customers/ann-1").text


def test_who_is_signed_out_keeps_what_was_typed(crowd: Office, owner: Browser) -> None:
    page = owner.get("/admin/customers/ann-1")
    owner.client.cookies.clear()
    answer = owner.send(page, "/adjust", points="77", reason="Typed at length")
    assert answer.status_code == 401
    assert balance(crowd, "ann-1") == 0
