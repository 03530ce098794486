"""Rules over HTTP: tags, conditions, caps, and why a rule did not apply."""

from typing import Any

import pytest
from api_shop import Shop

DOCUMENT: dict[str, Any] = {
    "schema_version": 1,
    "name": "Rules",
    "currency": "GBP",
    "timezone": "Europe/London",
    "no_holdout": "Nothing is measured in a test",
    "earn": [
        {
            "id": "base",
            "activity": "purchase",
            "gives": {"type": "per_amount", "points": 1, "per_minor": 100},
        },
        {
            "id": "vip",
            "activity": "purchase",
            "when": "'vip' in customer.tags",
            "gives": {"type": "multiplier", "multiplier_pct": 200},
            "caps": [{"per": "day", "points": 60}],
        },
        {"id": "hello", "activity": "signup", "gives": {"type": "fixed", "points": 5}, "pending": "P7D"},
        {"id": "later", "activity": "signup", "gives": {"type": "fixed", "points": 7}},
    ],
}


def purchase(order_id: str, total_minor: int = 5000) -> dict[str, Any]:
    activity = {"type": "purchase", "order_id": order_id, "total_minor": total_minor, "currency": "GBP"}
    return {"customer_id": "c-1", "activity": activity}


@pytest.fixture
def ruled(shop: Shop) -> Shop:
    published = shop.send("PUT", "/v1/program", {"document": DOCUMENT}, scope="admin")
    assert published.status_code == 200, published.text
    return shop


def award(shop: Shop, body: dict[str, Any], key: str) -> dict[str, Any]:
    answer = shop.post("/v1/awards", body, key=key)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_tags_matter_from_the_next_award_on(ruled: Shop) -> None:
    assert award(ruled, purchase("1"), "k1")["points"] == 50
    tagged = ruled.send("PUT", "/v1/customers/c-1/tags", {"tags": ["vip", "b2b", "vip"]}, scope="storefront")
    assert (tagged.status_code, tagged.json()) == (200, {"customer_id": "c-1", "tags": ["b2b", "vip"]})
    assert award(ruled, purchase("2"), "k2")["points"] == 100
    told = award(ruled, purchase("3"), "k3")
    assert told["points"] == 60
    (base, vip) = told["explanation"]
    assert (base["points"], vip["points"]) == (50, 10)
    assert vip["text"] == "2 times 50 points; 40 not given: the cap is 60 points a day, 50 used"
    assert vip["cuts"][0] == {
        "limit": "rule:vip",
        "per": "day",
        "points_limit": 60,
        "times_limit": None,
        "used_points": 50,
        "used_times": 1,
        "points": 40,
        "text": "40 not given: the cap is 60 points a day, 50 used",
    }
    assert ruled.send("PUT", "/v1/customers/c-1/tags", {"tags": []}, scope="storefront").json()["tags"] == []
    assert award(ruled, purchase("4"), "k4")["points"] == 50


def test_a_capped_days_refund_frees_the_cap(ruled: Shop) -> None:
    award(ruled, purchase("0"), "k0")
    ruled.send("PUT", "/v1/customers/c-1/tags", {"tags": ["vip"]}, scope="storefront")
    assert award(ruled, purchase("1", 6000), "k1")["points"] == 120
    assert award(ruled, purchase("2"), "k2")["points"] == 50
    refund = {"customer_id": "c-1", "order_id": "1", "refund_id": "r", "full": True}
    assert ruled.post("/v1/reversals", refund, key="k3").json()["points_clawed_back"] == 120
    assert award(ruled, purchase("3"), "k4")["points"] == 100


def test_tags_are_checked(ruled: Shop) -> None:
    unknown = ruled.send("PUT", "/v1/customers/stranger/tags", {"tags": ["vip"]}, scope="storefront")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "customer-not-found")
    award(ruled, purchase("1"), "k1")
    for tags in (["x" * 65], [""], ["a\n"], "vip", [1], [f"t{n}" for n in range(101)]):
        refused = ruled.send("PUT", "/v1/customers/c-1/tags", {"tags": tags}, scope="storefront")
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid-request")
    assert ruled.send("PUT", "/v1/customers/c-1/tags", {"tags": []}, scope="readonly").status_code == 403


def test_a_quote_says_why_a_rule_would_not_apply(ruled: Shop) -> None:
    quoted = ruled.post("/v1/quotes?why_not=true", purchase("1"))
    assert quoted.json()["award"]["points"] == 50
    (vip,) = quoted.json()["not_applied"]
    assert vip["rule_id"] == "vip"
    assert "customer.tags" in vip["text"]
    assert "not_applied" not in ruled.post("/v1/quotes", purchase("1")).json()
    refused = ruled.post("/v1/quotes?why_not=perhaps", purchase("1"))
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "query.why_not")


def test_points_that_live_differently_are_told_apart(ruled: Shop) -> None:
    told = award(ruled, {"customer_id": "c-1", "activity": {"type": "signup"}}, "k1")
    assert (told["points"], told["status"]) == (12, "available")
    assert [(lot["points"], lot["status"]) for lot in told["lots"]] == [(5, "pending"), (7, "available")]
    assert told["balance"] == {"available": 7, "pending": 5, "held": 0, "deficit": 0}


def test_publishing_warns_of_what_is_hardly_meant(ruled: Shop) -> None:
    document = DOCUMENT | {"earn": [DOCUMENT["earn"][0] | {"when": "time.hour == 25"}]}
    published = ruled.send("PUT", "/v1/program", {"document": document}, scope="admin")
    assert published.status_code == 200
    (warning,) = published.json()["warnings"]
    assert warning["path"] == "document.earn[0].when"
    document = DOCUMENT | {"earn": [DOCUMENT["earn"][0] | {"when": "time.hours == 2"}]}
    refused = ruled.send("PUT", "/v1/program", {"document": document}, scope="admin")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid-program")


def test_a_condition_with_a_control_character_is_refused(ruled: Shop) -> None:
    document = DOCUMENT | {"earn": [DOCUMENT["earn"][0] | {"when": "'a\u0000' == activity.channel"}]}
    refused = ruled.send("PUT", "/v1/program", {"document": document}, scope="admin")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid-program")
    assert "control character" in refused.json()["errors"][0]["message"]


def test_a_customer_does_not_refer_itself(ruled: Shop) -> None:
    body = {"customer_id": "z", "activity": {"type": "referral", "referred_customer_id": "z"}}
    refused = ruled.post("/v1/awards", body, key="k1")
    assert (refused.status_code, refused.json()["code"]) == (422, "self-referral")


def test_a_document_that_is_too_large_is_refused(ruled: Shop) -> None:
    document = DOCUMENT | {"name": "x" * 5 * 1024**2}
    for method, path in (("PUT", "/v1/program"), ("POST", "/v1/program/preview")):
        refused = ruled.send(method, path, {"document": document}, scope="admin")
        assert (refused.status_code, refused.json()["code"]) == (413, "body-too-large")


def test_a_preview_that_ends_before_it_begins_is_refused(ruled: Shop) -> None:
    body = {"document": DOCUMENT, "since": "2030-01-01T00:00:00Z", "until": "2020-01-01T00:00:00Z"}
    refused = ruled.post("/v1/program/preview", body, scope="admin")
    assert (refused.status_code, refused.json()["errors"][0]["message"]) == (
        422,
        "until must be later than since",
    )
