"""`POST /v1/program/preview`."""

import threading
from typing import Any

import jsonschema_rs
import pytest
from api_shop import Shop

from api.previewing import PREVIEW, PREVIEW_ANSWER, PreviewAnswer
from api.routes import preview


def document(points: int = 2) -> dict[str, Any]:
    return PREVIEW["document"] | {
        "timezone": "UTC",
        "earn": [
            {
                "id": "base",
                "activity": "purchase",
                "gives": {"type": "per_amount", "points": points, "per_minor": 100},
            }
        ],
    }


def test_a_draft_is_compared_with_what_there_is(shop: Shop) -> None:
    shop.award("c-1", "1")
    answer = shop.post("/v1/program/preview", {"document": document()})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["totals"]["issued"] == {"before": 100, "after": 200}
    assert told["customers_changed"]["up"] == [{"customer_id": "c-1", "before": 100, "after": 200}]
    PreviewAnswer.model_validate_json(answer.content)
    assert told.keys() == PreviewAnswer.model_fields.keys() == PREVIEW_ANSWER.keys()
    shape = shop.get("/openapi.json").json()
    schema = shape["components"]["schemas"]["PreviewAnswer"] | {"components": shape["components"]}
    for each in (told, PREVIEW_ANSWER):
        jsonschema_rs.validate(schema, each)
    assert shop.balance("c-1")["available"] == 100
    assert shop.get("/v1/program").json()["version"] == 1


def test_since_until_and_a_sample_may_be_given(shop: Shop) -> None:
    for customer in range(10):
        shop.award(f"c-{customer}", "1")
    since = {"document": document(), "since": "2100-01-01T00:00:00Z"}
    assert shop.post("/v1/program/preview", since).json()["totals"]["issued"] == {"before": 0, "after": 0}
    until = {"document": document(), "until": "2001-01-01T00:00:00Z"}
    assert shop.post("/v1/program/preview", until).json()["liability_points"] == {"before": 0, "after": 0}
    for sample, replayed in (("all", 10), ("auto", 10), (4, 4)):
        answer = shop.post("/v1/program/preview", {"document": document(), "sample": sample})
        assert answer.status_code == 200, answer.text
        assert answer.json()["customers"] == replayed


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        ({}, "invalid-request", "document"),
        ({"document": {}, "sample": 0}, "invalid-request", "sample"),
        ({"document": {}, "sample": "some"}, "invalid-request", "sample"),
        ({"document": {}, "since": "yesterday"}, "invalid-request", "since"),
        ({"document": document() | {"currency": "GBPP"}}, "invalid-program", "document.currency"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(shop: Shop, body: dict[str, Any], code: str, path: str) -> None:
    answer = shop.post("/v1/program/preview", body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert [each["path"] for each in answer.json()["errors"]][:1] == [path]
    # And the next one is welcome.
    assert shop.post("/v1/program/preview", {"document": document()}).status_code == 200


def test_only_an_admin_may(shop: Shop) -> None:
    for scope in ("storefront", "readonly"):
        answer = shop.post("/v1/program/preview", {"document": document()}, scope=scope)
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong-scope")


def test_one_at_a_time_while_requests_go_on(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.award("c-1", "1")
    has_begun, may_end = threading.Event(), threading.Event()
    replay = preview.replay

    def slowly(*arguments: Any, **others: Any) -> Any:
        has_begun.set()
        assert may_end.wait(20)
        return replay(*arguments, **others)

    monkeypatch.setattr(preview, "replay", slowly)
    first: list[Any] = []
    caller = threading.Thread(
        target=lambda: first.append(shop.post("/v1/program/preview", {"document": document()}))
    )
    caller.start()
    try:
        assert has_begun.wait(20)
        second = shop.post("/v1/program/preview", {"document": document()})
        assert (second.status_code, second.json()["code"]) == (429, "preview-running")
        assert int(second.headers["retry-after"]) > 0
        assert shop.award("c-1", "2").status_code == 201
    finally:
        may_end.set()
        caller.join()
    assert first[0].status_code == 200
    assert shop.post("/v1/program/preview", {"document": document()}).status_code == 200


# Who moves.


def with_ladder(points: int) -> dict[str, Any]:
    tiers = [
        {"id": "bronze", "name": "Bronze"},
        {"id": "silver", "name": "Silver", "ways_in": [{"points": points}]},
    ]
    return document(1) | {"ladder": {"tiers": tiers}}


def test_a_preview_says_who_moves_and_publishing_holds_to_it(shop: Shop) -> None:
    shop.award("c-1", "1")
    shop.award("c-2", "1")
    first = shop.send("PUT", "/v1/program", {"document": with_ladder(100)})
    assert first.status_code == 200, first.text
    answer = shop.post("/v1/program/preview", {"document": with_ladder(150)})
    assert answer.status_code == 200, answer.text
    PreviewAnswer.model_validate_json(answer.content)
    shape = shop.get("/openapi.json").json()
    schema = shape["components"]["schemas"]["PreviewAnswer"] | {"components": shape["components"]}
    jsonschema_rs.validate(schema, answer.json())
    moves = answer.json()["moves"]
    assert (moves["customers"], moves["moved"], moves["down"]) == (2, 2, 2)
    assert moves["matrix"] == [{"from": "silver", "to": "bronze", "customers": 2}]
    assert [each["customer_id"] for each in moves["list"]] == ["c-1", "c-2"]
    # By then another order has brought one of them far enough.
    shop.award("c-2", "2")
    body = {"document": with_ladder(150), "expected_moves": moves["digest"]}
    refused = shop.send("PUT", "/v1/program", body)
    assert (refused.status_code, refused.json()["code"]) == (409, "preview-outdated")
    assert refused.json()["detail"].startswith("2 customers were previewed to move, 1 would move now")
    assert shop.get("/v1/program").json()["version"] == first.json()["version"]
    published = shop.send("PUT", "/v1/program", body | {"expected_moves": refused.json()["moves"]})
    assert published.status_code == 200, published.text


def test_expected_moves_without_a_ladder_are_refused(shop: Shop) -> None:
    body = {"document": document(), "expected_moves": "0-nothing"}
    refused = shop.send("PUT", "/v1/program", body)
    assert (refused.status_code, refused.json()["code"]) == (409, "preview-outdated")
