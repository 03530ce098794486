"""Surveys over HTTP: answers as awards, links to the page, and the page itself."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from api_shop import Shop, open_shop
from sqlalchemy import make_url

from rewards.core.clock import utc_now
from rewards.core.database import Database
from rewards.core.keys import Scope
from rewards.core.links import make_survey_link
from rewards.core.settings import Settings

FORM = "application/x-www-form-urlencoded"
OPTIONS = [{"id": "tea", "text": "Tea"}, {"id": "mate", "text": "Mate & more"}]
QUESTIONS: list[dict[str, Any]] = [
    {"id": "recommend", "type": "nps", "text": "How likely?"},
    {
        "id": "drinks",
        "type": "choice",
        "text": "What?",
        "options": OPTIONS,
        "multiple": True,
        "required": False,
    },
    {"id": "why", "type": "text", "text": "Why?", "required": False, "max_length": 50},
]


def _day(days: float) -> str:
    return (utc_now() + timedelta(days=days)).date().isoformat()


def _survey(survey_id: str, **others: Any) -> dict[str, Any]:
    return {"id": survey_id, "title": "How are we doing?", "questions": QUESTIONS, **others}


def _publish(shop: Shop, *surveys: dict[str, Any]) -> None:
    document = shop.get("/v1/program").json()["document"]
    document["name"] = "Tea club"
    document["earn"] = [{"id": "answers", "activity": "survey", "gives": {"type": "fixed", "points": 100}}]
    answer = shop.send("PUT", "/v1/program", {"document": document | {"surveys": list(surveys)}})
    assert answer.status_code == 200, answer.text


@pytest.fixture
def asking(shop: Shop) -> Iterator[Shop]:
    """A shop that asks its one customer, and has asked before and will ask again."""
    index = {"id": "index", "title": "Three questions", "template": "customer_loyalty_index"}
    _publish(shop, _survey("nps"), _survey("soon", opens=_day(3)), _survey("over", closes=_day(-3)), index)
    assert shop.post("/v1/awards", _body("elsewhere", {}), key="first").status_code == 201
    return shop


def _body(survey_id: str, answers: dict[str, Any], **others: Any) -> dict[str, Any]:
    activity = {"type": "survey", "survey_id": survey_id, "answers": answers}
    return {"customer_id": "c-1", "activity": activity, **others}


# -- answers as awards


def test_good_answers_are_awarded(asking: Shop) -> None:
    answer = asking.post("/v1/awards", _body("nps", {"recommend": 9, "drinks": ["tea"]}), key="k")
    assert (answer.status_code, answer.json()["points"]) == (201, 100)
    again = asking.post("/v1/awards", _body("nps", {"recommend": 9, "drinks": ["tea"]}), key="another")
    assert (again.status_code, again.json()["code"]) == (409, "already-awarded")


def test_answers_that_will_not_do_are_refused_each_with_what_is_wrong(asking: Shop) -> None:
    answer = asking.post("/v1/awards", _body("nps", {"recommend": 11, "drinks": ["rum"], "wy": "x"}), key="k")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "survey-answers-invalid")
    assert problem["detail"] == "recommend: Choose a number from 0 to 10, not 11. (2 more in errors)"
    assert [error["question"] for error in problem["errors"]] == ["recommend", "drinks", "wy"]
    assert problem["errors"][2]["detail"] == "The survey has no question 'wy'; did you mean 'why'?"


@pytest.mark.parametrize("survey_id", ["soon", "over"])
def test_a_survey_is_answered_while_it_is_open(asking: Shop, survey_id: str) -> None:
    answer = asking.post("/v1/awards", _body(survey_id, {"recommend": 9}), key="k")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "survey-not-open")
    assert {"opens", "closes"} <= set(problem)


def test_when_it_was_answered_counts_not_when_we_hear_of_it(shop: Shop) -> None:
    document = shop.get("/v1/program").json()["document"] | {"surveys": [_survey("over", closes=_day(-3))]}
    long_ago = (utc_now() - timedelta(days=50)).isoformat()
    published = shop.send("PUT", "/v1/program", {"document": document, "effective_from": long_ago})
    assert published.status_code == 200, published.text
    then = (utc_now() - timedelta(days=10)).isoformat()
    late = shop.post("/v1/awards", _body("over", {"recommend": 9}, occurred_at=then), key="k")
    assert late.status_code == 201, late.text


def test_a_survey_that_the_program_does_not_define_is_taken_as_it_comes(asking: Shop) -> None:
    answer = asking.post("/v1/awards", _body("from-elsewhere", {"anything": "goes"}), key="k")
    assert answer.status_code == 201


def test_a_list_that_is_no_choice_is_refused(asking: Shop) -> None:
    for bad in ([1], [["tea"]], ["x" * 65], ["x"] * 101, {"a": 1}):
        answer = asking.post("/v1/awards", _body("from-elsewhere", {"drinks": bad}), key="k")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request"), bad


# -- links


def _link(shop: Shop, survey_id: str = "nps", customer_id: str = "c-1", **others: Any) -> httpx.Response:
    path = f"/v1/customers/{quote(customer_id, safe='')}/survey-links"
    return shop.post(path, {"survey_id": survey_id, **others}, scope="storefront")


def test_a_link_is_signed_and_ends_when_asked(asking: Shop) -> None:
    answer = _link(asking, expires_in="P14D")
    assert answer.status_code == 201, answer.text
    assert "/s/" in answer.json()["url"]
    expires_at = datetime.fromisoformat(answer.json()["expires_at"])
    assert timedelta(days=13.9) < expires_at - utc_now() < timedelta(days=14.1)
    for_a_month = datetime.fromisoformat(_link(asking, "soon").json()["expires_at"])
    assert timedelta(days=29.9) < for_a_month - utc_now() < timedelta(days=30.1)


def test_there_is_no_link_for_a_stranger_or_to_no_survey(asking: Shop) -> None:
    stranger = _link(asking, customer_id="stranger")
    assert (stranger.status_code, stranger.json()["code"]) == (404, "customer-not-found")
    nothing = _link(asking, "nsp")
    assert (nothing.status_code, nothing.json()["code"]) == (404, "survey-not-found")
    assert "nps, soon, over, index" in nothing.json()["detail"]


@pytest.mark.parametrize("expires_in", ["", "P", "two weeks", "PT0S", "P2Y", 5])
def test_a_life_that_no_link_can_have_is_refused(asking: Shop, expires_in: Any) -> None:
    answer = _link(asking, expires_in=expires_in)
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "expires_in")


def test_a_key_that_only_reads_makes_no_link(asking: Shop) -> None:
    answer = asking.post("/v1/customers/c-1/survey-links", {"survey_id": "nps"}, scope="readonly")
    assert (answer.status_code, answer.json()["code"]) == (403, "wrong-scope")


# -- the page


def _page(shop: Shop, survey_id: str = "nps") -> str:
    return urlsplit(_link(shop, survey_id).json()["url"]).path


def _send(shop: Shop, page: str, **fields: Any) -> httpx.Response:
    return shop.send("POST", page, data={f"q.{name}": value for name, value in fields.items()})


def _text(answer: httpx.Response) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.text))).replace(
        "\N{NO-BREAK SPACE}", " "
    )


def _survey_entries(shop: Shop) -> int:
    return len(shop.get("/v1/customers/c-1/entries").json()["entries"]) - 1


def test_the_page_asks_and_thanks_and_says_what_was_earned(asking: Shop) -> None:
    page = _page(asking)
    asked = asking.get(page)
    assert asked.status_code == 200
    assert asked.text.count("<fieldset") == 2
    assert asked.text.count('type="radio"') == 11
    assert asked.text.count('type="checkbox"') == 2
    thanked = _send(asking, page, recommend="9", drinks=["tea", "mate"], why=" Good\r\ntea ")
    assert thanked.status_code == 200
    assert "Thank you! 100 points earned 100 points for survey" in _text(thanked)
    assert asking.balance("c-1")["available"] == 200
    assert asking.get(page).status_code == 200
    assert "You have answered this survey" in asking.get(page).text
    assert "100 points" in _text(asking.get(page))


def test_the_answers_are_kept_as_the_storefront_would_send_them(asking: Shop, database: Database) -> None:
    _send(asking, _page(asking), recommend="0", drinks=["tea", "mate"], why=" Good\r\ntea\x00 ", unknown="x")
    with database.engine.connect() as conn:
        row = conn.exec_driver_sql("SELECT body FROM activities WHERE activity_key = 'survey:nps'").one()
    assert row.body["answers"] == {"recommend": 0, "drinks": ["tea", "mate"], "why": "Good\ntea"}


def test_a_double_click_is_thanked_twice_and_awarded_once(asking: Shop) -> None:
    page = _page(asking)
    headers = {"headers": {"content-type": FORM}, "content": b"q.recommend=9"}
    both = asking.together(*[("POST", page, headers)] * 4)
    assert [answer.status_code for answer in both] == [200] * 4
    assert all("100 points earned" in _text(answer) for answer in both)
    assert _survey_entries(asking) == 1


def test_second_thoughts_change_nothing(asking: Shop) -> None:
    page = _page(asking)
    _send(asking, page, recommend="9")
    for fields in ({"recommend": "3"}, {"recommend": "99"}, {}):
        answer = _send(asking, page, **fields)
        assert answer.status_code == 409
        assert "Your first answers have reached us" in answer.text
    assert _survey_entries(asking) == 1


def test_who_answered_in_the_shop_has_answered(asking: Shop) -> None:
    page = _page(asking)
    asking.post("/v1/awards", _body("nps", {"recommend": 9}), key="k")
    assert "You have answered this survey" in asking.get(page).text
    answer = _send(asking, page, recommend="9")
    assert (answer.status_code, _survey_entries(asking)) == (409, 1)


def test_answers_that_will_not_do_come_back_with_what_is_wrong(asking: Shop) -> None:
    page = _page(asking)
    answer = _send(asking, page, recommend="11", drinks=["mate"], why="<b>" + "y" * 60)
    assert answer.status_code == 422
    assert "<title>Please check: How are we doing? – Tea club</title>" in answer.text
    assert answer.text.count("Choose a number from 0 to 10, not 11.") == 2  # above, and at the question
    assert 'href="#q.recommend:0"' in answer.text
    assert 'id="q.recommend:0"' in answer.text
    assert 'href="#q.why"' in answer.text
    assert 'aria-describedby="q.recommend:problem"' in answer.text
    assert re.search(r'value="mate" checked', answer.text)
    assert not re.search(r'value="tea" checked', answer.text)
    assert "&lt;b&gt;yyy" in answer.text
    assert _survey_entries(asking) == 0
    mended = _send(asking, page, recommend="10", drinks=["mate"])
    assert mended.status_code == 200
    assert _survey_entries(asking) == 1


@pytest.mark.parametrize("recommend", ["", " ", "ten", "1e1", "९", "-0", "9" * 500, "\x00", "🍵"])
def test_whatever_a_field_says_is_no_fault(asking: Shop, recommend: str) -> None:
    answer = _send(asking, _page(asking), recommend=recommend)
    assert answer.status_code == (200 if recommend == "-0" else 422)


@pytest.mark.parametrize(
    "content", [b"", b"&&&", b"=", b"q.recommend", b"%ff=%ff&q.recommend=%ff", b"q.recommend=1&" * 9]
)
def test_whatever_a_form_says_is_no_fault(asking: Shop, content: bytes) -> None:
    answer = asking.send("POST", _page(asking), headers={"content-type": FORM}, content=content)
    assert answer.status_code == (200 if content.endswith(b"=1&") else 422)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_what_is_no_form_is_refused(asking: Shop) -> None:
    page = _page(asking)
    assert asking.post(page, {"q.recommend": 9}).status_code == 415
    for content in (b"\xff", b"a=b&" * 10_001):
        answer = asking.send("POST", page, headers={"content-type": FORM}, content=content)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed-form")
    assert (
        asking.send("POST", page, headers={"content-type": FORM}, content=b"a" * 1_100_000).status_code == 413
    )


@pytest.mark.parametrize(
    ("survey_id", "status", "heading"),
    [("soon", 409, "This survey is not open yet"), ("over", 410, "This survey has closed")],
)
def test_a_survey_that_is_not_open_says_so(asking: Shop, survey_id: str, status: int, heading: str) -> None:
    page = _page(asking, survey_id)
    for answer in (asking.get(page), _send(asking, page, recommend="9")):
        assert answer.status_code == status
        assert heading in answer.text
    assert _survey_entries(asking) == 0


def test_a_survey_that_was_taken_down_says_so(asking: Shop) -> None:
    page = _page(asking)
    _publish(asking, _survey("another"))
    for answer in (asking.get(page), _send(asking, page, recommend="9")):
        assert (answer.status_code, "no longer runs the survey" in answer.text) == (404, True)


def test_links_of_other_kinds_and_times_open_nothing(asking: Shop, settings: Settings) -> None:
    good = _page(asking)
    to_points = urlsplit(asking.post("/v1/customers/c-1/link").json()["url"]).path
    expired = urlsplit(make_survey_link(settings, "c-1", "nps", utc_now() - timedelta(seconds=1))).path
    for page, status in [
        (good[:-1], 404),
        (good.replace("/s/", "/me/"), 404),
        (to_points.replace("/me/", "/s/"), 404),
        ("/s/" + "x" * 3_000, 404),
        (expired, 410),
    ]:
        assert asking.get(page).status_code == status
        if page.startswith("/s/"):
            assert _send(asking, page, recommend="9").status_code == status
    assert asking.get(good).status_code == 200
    assert _survey_entries(asking) == 0


def test_each_answer_is_html_that_nobody_keeps_or_frames(asking: Shop) -> None:
    page = _page(asking)
    answers = [
        asking.get(page),
        _send(asking, page),
        _send(asking, page, recommend="9"),
        asking.get(page[:-1]),
    ]
    for answer in answers:
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == "private, no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-robots-tag"] == "noindex"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self';")
        assert ("form-action 'self'" in policy) == ("<form" in answer.text)
        assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=|https?://", answer.text, re.IGNORECASE)
        assert page.rpartition("/")[2] not in answer.text
        assert "c-1" not in answer.text
    assert asking.send("HEAD", page).status_code == 200
    assert asking.send("PUT", page).headers["allow"] == "GET, HEAD, POST"


def test_the_ready_made_questions_can_be_answered(asking: Shop) -> None:
    page = _page(asking, "index")
    assert asking.get(page).text.count('type="radio"') == 18
    answer = _send(asking, page, recommend="1", buy_again="2", try_others="6")
    assert answer.status_code == 200


def test_where_the_database_is_gone_the_page_says_to_come_back(
    settings: Settings, keys: dict[Scope, str], server: Any
) -> None:
    with open_shop(settings, keys) as shop:
        _publish(shop, _survey("nps"))
        shop.post("/v1/awards", _body("elsewhere", {}), key="first")
        page = _page(shop)
        server.drop(make_url(settings.database_url.get_secret_value()).database)  # type: ignore[union-attr]
        answer = shop.get(page)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert "Please try again in a minute" in answer.text


def test_an_open_api_reader_finds_the_refusals_errors(asking: Shop) -> None:
    problem = asking.get("/openapi.json").json()["components"]["schemas"]["Problem"]
    assert "AnswerError" in json.dumps(problem["properties"]["errors"])
