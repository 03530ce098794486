"""`POST /v1/batches`: in order, each for itself."""

from typing import Any

import pytest
from api_shop import Shop, purchase


def award(customer_id: str, order_id: str, total_minor: Any = 10_000) -> dict[str, Any]:
    return op("award", f"order-{order_id}", purchase(customer_id, order_id, total_minor))


def op(name: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"op": name, "idempotency_key": key, "body": body}


def carry_out(shop: Shop, *operations: Any, **others: Any) -> list[dict[str, Any]]:
    answer = shop.post("/v1/batches", {"operations": operations}, **others)
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    assert len(results) == len(operations)
    return results


def test_every_kind_of_operation_is_carried_out_in_order(shop: Shop) -> None:
    first = carry_out(
        shop,
        award("c-1", "1"),
        op("redeem", "h1", {"customer_id": "c-1", "points": 30, "hold": True}),
        op("redeem", "h2", {"customer_id": "c-1", "points": 20, "hold": True}),
        op("redeem", "r", {"customer_id": "c-1", "points": 10}),
        op("adjust", "a", {"customer_id": "c-1", "points": 5, "reason": "a gift"}),
    )
    assert [each["status"] for each in first] == [201] * 5
    one, two, redeemed = (each["body"]["redemption_id"] for each in first[1:4])
    second = carry_out(
        shop,
        op("capture", "c", {"redemption_id": one, "points": 25}),
        op("void", "v", {"redemption_id": two}),
        op("reverse", "rr", {"redemption_id": redeemed}),
        op("reverse", "ro", {"customer_id": "c-1", "order_id": "1", "refund_id": "x", "amount_minor": 1_000}),
    )
    assert [each["status"] for each in second] == [200, 200, 200, 201]
    assert [each["body"].get("status") for each in second[:3]] == ["captured", "voided", "reversed"]
    assert shop.balance("c-1") == {"available": 100 + 5 - 25 - 10, "pending": 0, "held": 0, "deficit": 0}


def test_one_bad_operation_leaves_the_others_alone(shop: Shop) -> None:
    results = carry_out(
        shop,
        award("c-1", "1"),
        award("c-1", "2", 1.5),
        op("redeem", "r", {"customer_id": "c-1", "points": 5_000}),
        op("fly", "x", {}),
        "not even an object",
        op("award", "has space", purchase("c-1", "3")),
        op("award", "k", purchase("c-1", "3") | {"surprise": 1}),
        award("c-1", "4"),
        op("capture", "c", {"redemption_id": "nonsense"}),
    )
    assert [each["status"] for each in results] == [201, 422, 409, 422, 422, 422, 422, 201, 404]
    assert results[1]["body"]["code"] == "invalid-request"
    assert results[1]["body"]["errors"] == [
        {"path": "body.activity.total_minor", "message": "must be a whole number"}
    ]
    assert results[2]["body"]["code"] == "insufficient-points"
    assert [error["path"] for error in results[5]["body"]["errors"]] == ["idempotency_key"]
    assert [error["path"] for error in results[6]["body"]["errors"]] == ["body.surprise"]
    assert shop.balance("c-1")["available"] == 200


def test_a_repeat_says_which_answers_are_repeated(shop: Shop) -> None:
    first = carry_out(shop, award("c-1", "1"), award("c-2", "2"))
    second = carry_out(shop, award("c-1", "1"), award("c-3", "3"))
    assert "replayed" not in first[0]
    assert second[0] == first[0] | {"replayed": True}
    assert "replayed" not in second[1]


def test_adjusting_in_a_batch_needs_an_admin_key_for_that_operation(shop: Shop) -> None:
    adjust = op("adjust", "a", {"customer_id": "c-1", "points": 5, "reason": "a gift"})
    results = carry_out(shop, award("c-1", "1"), adjust, award("c-1", "2"), scope="storefront")
    assert [each["status"] for each in results] == [201, 403, 201]
    assert results[1]["body"]["code"] == "wrong-scope"
    assert shop.balance("c-1")["available"] == 200


def test_a_large_batch_is_carried_out_in_chunks(shop: Shop) -> None:
    operations = [award(f"c-{n % 500}", str(n)) for n in range(2_500)]
    operations[1_700] = op("redeem", "r", {"customer_id": "c-0", "points": 400})
    results = carry_out(shop, *operations)
    assert {each["status"] for each in results} == {201}
    assert "redemption_id" in results[1_700]["body"]
    assert [each["body"]["customer_id"] for each in results] == [
        "c-0" if n == 1_700 else f"c-{n % 500}" for n in range(2_500)
    ]
    assert shop.balance("c-0")["available"] == 100  # five orders, and 400 points spent
    assert shop.balance("c-200")["available"] == 400  # four: the fifth was replaced


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "operations"),
        ({"operations": []}, "operations"),
        ({"operations": {}}, "operations"),
        ({"operations": [], "more": 1}, "more"),
        ([], ""),
        ({"operations": [1] * 5_001}, "operations"),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(shop: Shop, body: Any, path: str) -> None:
    answer = shop.post("/v1/batches", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert path in [error["path"] for error in answer.json()["errors"]]


def test_a_batch_of_nothing_but_bad_operations_is_answered(shop: Shop) -> None:
    results = carry_out(shop, 1, {"op": "award"}, award("", "1"))
    assert [each["status"] for each in results] == [422, 422, 422]
    assert {each["body"]["request_id"] for each in results} != {None}


def test_an_operation_that_is_nearly_an_instant_or_a_float_survives_its_neighbours_faults(shop: Shop) -> None:
    # The good ones are read a second time here; nothing of them may be lost on the way.
    good = award("c-1", "1")
    good["body"]["occurred_at"] = "2026-01-31T23:59:59.123456+05:30"
    good["body"]["activity"]["attributes"] = {"weight": 0.1, "big": 2**53, "name": "é\u2028", "flag": None}
    results = carry_out(shop, good, {"op": "nonsense"})
    assert [each["status"] for each in results] == [201, 422]
    assert carry_out(shop, good)[0]["replayed"] is True
