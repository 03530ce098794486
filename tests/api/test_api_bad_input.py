"""Bad input: each with its own clear error, and nothing changed."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from api_shop import Shop, purchase
from sqlalchemy import text

from rewards.core.clock import utc_now
from rewards.core.database import Database

FUTURE = (datetime.now(UTC) + timedelta(days=1)).isoformat()
REDEEM = {"customer_id": "c-1", "points": 10}
REVERSE = {"customer_id": "c-1", "order_id": "1", "refund_id": "r"}
ADJUST = {"customer_id": "c-1", "points": 10, "reason": "r"}


@pytest.fixture(autouse=True)
def _nothing_changes(shop: Shop, database: Database) -> Any:
    shop.award("c-1", "1")

    def stored() -> list[Any]:
        with database.engine.connect() as connection:
            return [
                list(connection.execute(text(f"SELECT * FROM {table}")))
                for table in ("accounts", "entries", "lots", "redemptions", "activities", "program_versions")
            ]

    before = stored()
    yield
    assert stored() == before


def at(instant: str) -> dict[str, Any]:
    return purchase("c-1", "2") | {"occurred_at": instant}


def with_item(**item: Any) -> dict[str, Any]:
    return purchase("c-1", "2", items=[{"line_id": "1", "amount_minor": 5} | item])


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "where"),
    [
        ("/v1/redemptions", REDEEM | {"points": -5}, 422, "invalid-request", "points"),
        ("/v1/redemptions", REDEEM | {"points": 0}, 422, "invalid-request", "points"),
        ("/v1/redemptions", REDEEM | {"points": 1.5}, 422, "invalid-request", "points"),
        ("/v1/redemptions", REDEEM | {"points": "10"}, 422, "invalid-request", "points"),
        ("/v1/redemptions", REDEEM | {"points": True}, 422, "invalid-request", "points"),
        ("/v1/redemptions", REDEEM | {"points": 2**53 + 1}, 422, "invalid-request", "points"),
        ("/v1/redemptions", REDEEM | {"points": 10**400}, 422, "invalid-request", "points"),
        ("/v1/redemptions", {"customer_id": "c-1"}, 422, "invalid-request", ""),
        ("/v1/redemptions", REDEEM | {"hold_expires_in": "PT5M"}, 422, "invalid-request", ""),
        ("/v1/redemptions", {"customer_id": "c-1", "reward_id": "mug"}, 422, "reward-not-found", None),
        ("/v1/redemptions", REDEEM | {"customer_id": "stranger"}, 404, "customer-not-found", None),
        ("/v1/awards", purchase("c-1", "2", -1), 422, "invalid-request", "activity.total_minor"),
        ("/v1/awards", purchase("c-1", "2", 49.99), 422, "invalid-request", "activity.total_minor"),
        ("/v1/awards", purchase("c-1", "2", 2**53 + 1), 422, "invalid-request", "activity.total_minor"),
        ("/v1/awards", purchase("c-1", "2", currency="XXX"), 422, "invalid-request", "activity.currency"),
        ("/v1/awards", purchase("c-1", "2", currency="usd"), 422, "invalid-request", "activity.currency"),
        ("/v1/awards", purchase("c-1", "2", currency="EUR"), 422, "currency-mismatch", None),
        ("/v1/awards", at(FUTURE), 422, "occurred-in-future", None),
        ("/v1/awards", at("2026-01-01T00:00:00"), 422, "invalid-request", "occurred_at"),
        ("/v1/awards", at("yesterday"), 422, "invalid-request", "occurred_at"),
        ("/v1/awards", at("0001-01-01T00:00:00+23:00"), 422, "invalid-request", "occurred_at"),
        ("/v1/awards", at("9999-12-31T23:59:59-23:00"), 422, "invalid-request", "occurred_at"),
        ("/v1/awards", purchase("", "2"), 422, "invalid-request", "customer_id"),
        ("/v1/awards", purchase("x" * 129, "2"), 422, "invalid-request", "customer_id"),
        ("/v1/awards", purchase("a\x00b", "2"), 422, "invalid-request", "customer_id"),
        ("/v1/awards", purchase("c-1", "2", color="red"), 422, "invalid-request", "activity.color"),
        ("/v1/awards", purchase("c-1", "2", tax_minor=20_000), 422, "invalid-request", "activity"),
        ("/v1/awards", with_item(quantity=0), 422, "invalid-request", "activity.items[0].quantity"),
        ("/v1/awards", with_item(amount_minor=None), 422, "invalid-request", "activity.items[0].amount_minor"),
        ("/v1/awards", {"customer_id": "c-1", "activity": {"type": "theft"}}, 422, "invalid-request", "activity"),
        ("/v1/awards", {"customer_id": "c-1", "activity": {}}, 422, "invalid-request", "activity"),
        ("/v1/awards", {"customer_id": "c-1"}, 422, "invalid-request", "activity"),
        ("/v1/awards", [], 422, "invalid-request", ""),
        ("/v1/quotes", purchase("c-1", "2", -1), 422, "invalid-request", "activity.total_minor"),
        ("/v1/reversals", REVERSE, 422, "invalid-request", ""),
        ("/v1/reversals", REVERSE | {"amount_minor": 0}, 422, "invalid-request", "amount_minor"),
        ("/v1/reversals", REVERSE | {"amount_minor": 10_001}, 409, "refund-exceeds-order", None),
        ("/v1/reversals", REVERSE | {"items": [{"line_id": "9"}]}, 422, "line-not-found", None),
        ("/v1/adjustments", ADJUST | {"points": 0}, 422, "invalid-request", ""),
        ("/v1/adjustments", ADJUST | {"reason": ""}, 422, "invalid-request", "reason"),
        ("/v1/adjustments", ADJUST | {"points": -101}, 409, "insufficient-points", None),
        ("/v1/redemptions/rdm_Yy0x.1/capture", {"points": 0}, 422, "invalid-request", "points"),
        ("/v1/redemptions/rdm_Yy0x.1/void", {"points": 1}, 422, "invalid-request", "points"),
    ],
)  # fmt: skip
def test_it_is_named(shop: Shop, path: str, body: Any, status: int, code: str, where: str | None) -> None:
    answer = shop.post(path, body, key="bad")
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"] == f"urn:rewards:problem:{code}"
    assert problem["title"]
    assert problem["detail"]
    if where is not None:
        assert where in [error["path"] for error in problem["errors"]], problem


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"customer_id": "c-1",}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"customer_id": "\\ud800"}',
        b"nonsense",
        b"\x00",
    ],
)
def test_malformed_json_is_said_to_be_that(shop: Shop, content: bytes) -> None:
    for path in ("/v1/awards", "/v1/batches"):
        answer = shop.post(path, key="bad", content=content, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed-json"), answer.text


def test_numbers_that_are_none_are_refused(shop: Shop) -> None:
    for number in (b"NaN", b"Infinity", b"1e999"):
        content = b'{"customer_id":"c-1","activity":{"type":"signup","attributes":{"x":%b}}}' % number
        answer = shop.post(
            "/v1/awards", key="bad", content=content, headers={"content-type": "application/json"}
        )
        assert answer.status_code in (400, 422), answer.text


@pytest.mark.parametrize(
    "given",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "json"],
)
def test_only_json_is_taken(shop: Shop, given: str) -> None:
    content = json.dumps(purchase("c-1", "2")).encode()
    for method, path in [("POST", "/v1/awards"), ("POST", "/v1/batches"), ("PUT", "/v1/program")]:
        answer = shop.send(method, path, key="bad", content=content, headers={"content-type": given})
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported-media-type"), answer.text


def test_json_may_be_said_with_a_charset(shop: Shop) -> None:
    content = json.dumps(purchase("c-1", "1")).encode()
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert (
        shop.post("/v1/awards", key="order-1", content=content, headers=headers).status_code == 201
    )  # a repeat


TWENTY_MB = 20_000_000


@pytest.mark.parametrize(
    ("path", "limit"), [("/v1/awards", 2**20), ("/v1/batches", 2**23), ("/v1/quotes", 2**20)]
)
def test_a_body_of_20_mb_is_refused_unread(shop: Shop, path: str, limit: int) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(TWENTY_MB // 100_000):
            read += 100_000
            yield b" " * 100_000

    headers = {"content-type": "application/json"}
    # Said in advance; not said; said wrong.
    for length in (str(TWENTY_MB), None, "10"):
        read = 0
        said = {"content-length": length} if length else {}
        answer = shop.post(path, key="bad", content=body(), headers=headers | said)
        assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large"), answer.text
        assert answer.json()["limit_bytes"] == limit
        assert answer.headers["connection"] == "close"
        assert read < TWENTY_MB


def test_a_program_document_with_an_unknown_field_is_refused_at_its_path(shop: Shop) -> None:
    document = shop.get("/v1/program").json()["document"]
    document["points"]["colour"] = "red"
    document["earn"][0]["gives"]["points"] = -1
    answer = shop.send("PUT", "/v1/program", {"document": document})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-program")
    paths = [error["path"] for error in answer.json()["errors"]]
    assert sorted(paths) == ["document.earn[0].gives.points", "document.points.colour"]
    for body in (
        {},
        {"document": 1},
        {"document": document, "effective_from": "soon"},
        {"document": {}, "x": 1},
    ):
        assert shop.send("PUT", "/v1/program", body).status_code == 422


@pytest.mark.parametrize(
    "query",
    [
        "as_of=yesterday",
        "as_of=2026-01-01",
        "as_of=2026-01-01T00:00:00",
        "as_of=1700000000",
        "as_of=0001-01-01T00:00:00%2B01:00",
        "as_of=",
    ],
)
def test_as_of_is_an_instant(shop: Shop, query: str) -> None:
    answer = shop.get(f"/v1/customers/c-1?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["path"] == "query.as_of"


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=many",
        "cursor=nonsense",
        "cursor=YmVmb3JlOjA",
        "cursor=YmVmb3JlOjI=",
    ],
)
def test_paging_is_bounded_and_its_cursor_our_own(shop: Shop, query: str) -> None:
    answer = shop.get(f"/v1/customers/c-1/entries?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")


def test_other_addresses_and_methods_are_problems_too(shop: Shop) -> None:
    for path in ("/", "/v1", "/v2/awards", "/v1/awards/", "/v1/customers/", "/v1/redemptions/x/explode"):
        answer = shop.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found"), path
        assert answer.headers["content-type"] == "application/problem+json"
    answer = shop.send("DELETE", "/v1/program")
    assert (answer.status_code, answer.json()["code"]) == (405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, PUT"
    assert shop.get("/v1/awards").headers["allow"] == "POST"


def test_now_is_not_the_future(shop: Shop) -> None:
    # A repeat, so that nothing changes; a clock that is a little ahead is forgiven.
    body = purchase("c-9", "9") | {"occurred_at": (utc_now() + timedelta(seconds=30)).isoformat()}
    assert shop.post("/v1/quotes", body).status_code == 200
