"""The commands over HTTP: what each answers, and that a repeat answers the same."""

import httpx
import pytest
from api_shop import Shop, purchase


def test_an_award_is_booked_and_explained(shop: Shop) -> None:
    answer = shop.post("/v1/awards", purchase("c-1", "1001", 4999), key="a", scope="storefront")
    assert answer.status_code == 201, answer.text
    assert answer.headers["content-type"] == "application/json"
    award = answer.json()
    assert award["points"] == 49
    assert award["status"] == "available"
    assert award["balance"] == {"available": 49, "pending": 0, "held": 0, "deficit": 0}
    assert [each["rule_id"] for each in award["explanation"]] == ["base"]


def test_a_repeat_answers_the_same_to_the_byte_and_says_so(shop: Shop) -> None:
    first = shop.post("/v1/awards", purchase("c-1", "1"), key="k")
    again = shop.post("/v1/awards", purchase("c-1", "1"), key="k")
    assert first.content == again.content
    assert first.status_code == again.status_code == 201
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert shop.balance("c-1")["available"] == 100


def test_a_refusal_is_remembered_and_repeated_too(shop: Shop) -> None:
    shop.award("c-1", "1")
    body = {"customer_id": "c-1", "points": 101}
    first = shop.post("/v1/redemptions", body, key="r")
    shop.award("c-1", "2")
    again = shop.post("/v1/redemptions", body, key="r")
    assert first.status_code == again.status_code == 409
    assert first.content == again.content
    assert first.json()["code"] == "insufficient-points"
    assert (first.json()["available"], first.json()["requested"]) == (100, 101)
    assert first.headers["content-type"] == "application/problem+json"
    assert again.headers["idempotent-replayed"] == "true"


def test_a_key_is_not_used_for_two_requests(shop: Shop) -> None:
    shop.post("/v1/awards", purchase("c-1", "1"), key="k")
    other = shop.post("/v1/awards", purchase("c-1", "2"), key="k")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    # Keys are each customer's own.
    assert shop.post("/v1/awards", purchase("c-2", "2"), key="k").status_code == 201


def test_one_order_is_awarded_once_under_any_key(shop: Shop) -> None:
    shop.post("/v1/awards", purchase("c-1", "1"), key="a")
    again = shop.post("/v1/awards", purchase("c-1", "1"), key="b")
    assert (again.status_code, again.json()["code"]) == (409, "already-awarded")


@pytest.mark.parametrize("key", ["with space", "tab\there", "x" * 256, "ä", ""])
def test_an_idempotency_key_is_visible_ascii(shop: Shop, key: str) -> None:
    headers = {"idempotency-key": key.encode("latin-1")}
    answer = shop.post("/v1/awards", purchase("c-1", "1"), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency-key-invalid")
    assert shop.get("/v1/customers/c-1").status_code == 404


def test_a_command_needs_one_idempotency_key(shop: Shop) -> None:
    answer = shop.post("/v1/awards", purchase("c-1", "1"))
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency-key-missing")
    for path in ("/v1/redemptions", "/v1/reversals", "/v1/adjustments", "/v1/redemptions/x/void"):
        assert shop.post(path, {}).json()["code"] == "idempotency-key-missing", path


def test_an_idempotency_key_may_have_255_characters(shop: Shop) -> None:
    assert shop.post("/v1/awards", purchase("c-1", "1"), key="!" * 255).status_code == 201


def test_a_redemption_spends_points_and_can_be_reversed(shop: Shop) -> None:
    shop.award("c-1", "1")
    redeemed = shop.post("/v1/redemptions", {"customer_id": "c-1", "points": 40}, key="r")
    assert redeemed.status_code == 201
    assert redeemed.json()["status"] == "captured"
    assert (redeemed.json()["value_minor"], redeemed.json()["currency"]) == (40, "USD")
    path = f"/v1/redemptions/{redeemed.json()['redemption_id']}/reverse"
    reversed_ = shop.post(path, key="rr")
    assert (reversed_.status_code, reversed_.json()["status"]) == (200, "reversed")
    assert shop.balance("c-1")["available"] == 100
    again = shop.post(path, key="rr2")
    assert (again.status_code, again.json()["code"]) == (409, "already-reversed")


def hold(shop: Shop, points: int) -> str:
    answer = shop.post(
        "/v1/redemptions", {"customer_id": "c-1", "points": points, "hold": True}, key=f"h{points}"
    )
    assert (answer.status_code, answer.json()["status"]) == (201, "held"), answer.text
    assert answer.json()["expires_at"] is not None
    redemption_id: str = answer.json()["redemption_id"]
    return redemption_id


def test_a_hold_is_captured_in_part(shop: Shop) -> None:
    shop.award("c-1", "1")
    redemption = hold(shop, 40)
    assert shop.balance("c-1") == {"available": 60, "pending": 0, "held": 40, "deficit": 0}
    captured = shop.post(f"/v1/redemptions/{redemption}/capture", {"points": 25}, key="c")
    assert (captured.status_code, captured.json()["status"], captured.json()["points"]) == (
        200,
        "captured",
        25,
    )
    assert shop.balance("c-1") == {"available": 75, "pending": 0, "held": 0, "deficit": 0}
    assert shop.post(f"/v1/redemptions/{redemption}/void", key="v").json()["code"] == "hold-already-resolved"


@pytest.mark.parametrize("body", [None, {}, {"points": None}])
def test_a_hold_is_captured_whole_unless_told_otherwise(shop: Shop, body: object) -> None:
    shop.award("c-1", "1")
    captured = shop.post(f"/v1/redemptions/{hold(shop, 40)}/capture", body, key="c")
    assert (captured.status_code, captured.json()["points"]) == (200, 40), captured.text


def test_a_hold_is_voided(shop: Shop) -> None:
    shop.award("c-1", "1")
    voided = shop.post(f"/v1/redemptions/{hold(shop, 40)}/void", {}, key="v")
    assert (voided.status_code, voided.json()["status"]) == (200, "voided")
    assert shop.balance("c-1")["available"] == 100


@pytest.mark.parametrize("action", ["capture", "void", "reverse"])
@pytest.mark.parametrize(
    "redemption_id", ["nonsense", "rdm_Yy0x.9", "rdm_bm9ib2R5.1", "awd_Yy0x.1", "%00", "x" * 2000]
)
def test_what_is_no_redemption_is_not_found(shop: Shop, action: str, redemption_id: str) -> None:
    shop.award("c-1", "1")
    answer = shop.post(f"/v1/redemptions/{redemption_id}/{action}", key="k")
    assert (answer.status_code, answer.json()["code"]) == (404, "redemption-not-found"), answer.text


def test_a_refund_takes_back_its_part(shop: Shop) -> None:
    shop.award("c-1", "1")
    part = {"customer_id": "c-1", "order_id": "1", "refund_id": "r-1", "amount_minor": 2_500}
    answer = shop.post("/v1/reversals", part, key="r1", scope="storefront")
    assert (answer.status_code, answer.json()["points_clawed_back"]) == (201, 25), answer.text
    rest = {"customer_id": "c-1", "order_id": "1", "refund_id": "r-2", "full": True}
    assert shop.post("/v1/reversals", rest, key="r2").json()["points_clawed_back"] == 75
    assert shop.balance("c-1")["available"] == 0
    unknown = shop.post("/v1/reversals", rest | {"order_id": "nope", "refund_id": "r-3"}, key="r3")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "order-not-found")


def test_an_admin_adjusts(shop: Shop) -> None:
    body = {"customer_id": "c-1", "points": 100, "reason": "Sorry for the late parcel"}
    answer = shop.post("/v1/adjustments", body, key="a")
    assert (answer.status_code, answer.json()["points"]) == (201, 100)
    entry = shop.get("/v1/customers/c-1/entries").json()["entries"][0]
    assert entry["note"] == "Sorry for the late parcel"
    assert entry["actor"].startswith("key:")


def test_a_quote_writes_nothing(shop: Shop) -> None:
    shop.award("c-1", "1")
    quoted = shop.post("/v1/quotes", purchase("c-1", "2", 4999), scope="storefront")
    assert quoted.status_code == 200, quoted.text
    assert quoted.json()["award"]["points"] == 49
    assert "award_id" not in quoted.json()["award"]
    assert quoted.json()["redemption"]["max_points"] == 100
    assert shop.balance("c-1")["available"] == 100
    assert len(shop.get("/v1/customers/c-1/entries").json()["entries"]) == 1
    assert shop.post("/v1/quotes", purchase("stranger", "3")).status_code == 200
    assert shop.get("/v1/customers/stranger").status_code == 404


def test_a_quote_says_why_an_award_would_be_refused(shop: Shop) -> None:
    shop.award("c-1", "1")
    refused = shop.post("/v1/quotes", purchase("c-1", "1"))
    assert (refused.status_code, refused.json()["code"]) == (409, "already-awarded")
    assert refused.headers["content-type"] == "application/problem+json"


def test_requests_at_the_same_time_each_get_their_own_answer(shop: Shop) -> None:
    requests = [
        ("POST", "/v1/awards", purchase(f"c-{n % 7}", str(n), n * 100), {"key": f"k{n}"})
        for n in range(1, 120)
    ]
    answers = shop.together(*requests)
    assert [answer.json()["points"] for answer in answers] == list(range(1, 120))
    assert [answer.json()["customer_id"] for answer in answers] == [f"c-{n % 7}" for n in range(1, 120)]


def test_of_many_redemptions_of_all_points_one_succeeds(shop: Shop) -> None:
    shop.award("c-1", "1")
    requests = [
        ("POST", "/v1/redemptions", {"customer_id": "c-1", "points": 100}, {"key": f"r{n}"})
        for n in range(50)
    ]
    statuses = [answer.status_code for answer in shop.together(*requests)]
    assert sorted(statuses) == [201] + [409] * 49


def test_the_same_request_sent_twice_at_once_takes_effect_once(shop: Shop) -> None:
    request = ("POST", "/v1/awards", purchase("c-1", "1"), {"key": "k"})
    answers: list[httpx.Response] = shop.together(*[request] * 20)
    assert {answer.content for answer in answers} == {answers[0].content}
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 19
    assert shop.balance("c-1")["available"] == 100
