"""Referrals over HTTP: codes, what an award says, the review, and what a customer has brought."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from api_shop import Shop, purchase
from pydantic import TypeAdapter

from api import schemas
from rewards.core.database import Database
from rewards.ledger.verification import verify

RULES = [
    {"id": "base", "activity": "purchase", "gives": {"type": "per_amount", "points": 1, "per_minor": 100}},
    {"id": "bring", "activity": "referral", "gives": {"type": "fixed", "points": 500}},
    {"id": "come", "activity": "referred", "gives": {"type": "fixed", "points": 200}},
]


def publish(shop: Shop, **referrals: Any) -> Any:
    document = shop.get("/v1/program").json()["document"] | {"earn": RULES, "referrals": referrals}
    return shop.send("PUT", "/v1/program", {"document": document})


@pytest.fixture
def club(shop: Shop, database: Database) -> Iterator[Shop]:
    """A shop with referrals and one customer, anna."""
    assert publish(shop).status_code == 200
    assert shop.award("anna", "a-1", 100).status_code == 201
    yield shop
    with database.engine.connect() as conn:
        assert verify(conn).breaks == []


def code_of(shop: Shop, customer_id: str) -> str:
    answer = shop.post(f"/v1/customers/{customer_id}/referral-code", scope="storefront")
    assert answer.status_code == 200, answer.text
    code: str = answer.json()["code"]
    return code


def come(shop: Shop, who: str, code: str, total_minor: int = 5_000, **more: Any) -> Any:
    body = purchase(who, f"{who}-1", total_minor, referral_code=code, **more)
    answer = shop.post("/v1/awards", body, key=f"{who}-1", scope="storefront")
    assert answer.status_code == 201, answer.text
    schemas.AwardAnswer.model_validate(answer.json())
    return answer.json()["referral"]


def has(shop: Shop, who: str, at: datetime | None = None) -> tuple[int, int]:
    query = "" if at is None else f"?as_of={at.strftime('%Y-%m-%dT%H:%M:%SZ')}"
    balance = shop.get(f"/v1/customers/{who}{query}").json()["balance"]
    return balance["available"], balance["pending"]


def test_from_the_code_to_points_that_can_be_spent(club: Shop) -> None:
    code = code_of(club, "anna")
    assert code_of(club, "anna") == code
    assert come(club, "ben", code.lower()) == {
        "status": "qualified",
        "reason": "The order qualifies; both are rewarded after its refund window.",
    }
    assert (has(club, "anna"), has(club, "ben")) == ((1, 500), (50, 200))
    referral = club.get("/v1/referrals").json()["referrals"][0]
    window_ends = datetime.fromisoformat(referral["ordered_at"]) + timedelta(days=14, seconds=1)
    assert (has(club, "anna", window_ends), has(club, "ben", window_ends)) == ((501, 0), (250, 0))
    told = club.get("/v1/customers/anna").json()
    schemas.CustomerAnswer.model_validate(told)
    assert told["referrals"] == {"code": code, "referred": 1, "rewarded": 1, "revenue_minor": 5_000}
    assert "anna" not in club.get("/v1/customers/ben").text + club.get("/v1/customers/ben/entries").text


def test_a_refund_takes_both_back(club: Shop) -> None:
    come(club, "ben", code_of(club, "anna"))
    refund = {"customer_id": "ben", "order_id": "ben-1", "refund_id": "r", "full": True}
    assert club.post("/v1/reversals", refund, key="r").status_code == 201
    assert (has(club, "anna"), has(club, "ben")) == ((1, 0), (0, 0))
    assert club.get("/v1/customers/anna").json()["referrals"]["revenue_minor"] == 0
    assert club.get("/v1/referrals?status=reversed").json()["referrals"][0]["undone_at"]


def test_a_loop_oneself_the_existing_and_guesses_are_refused_and_the_awards_stand(club: Shop) -> None:
    for who in ("ben", "carl"):
        club.post("/v1/awards", {"customer_id": who, "activity": {"type": "signup"}}, key=f"{who}-0")
    codes = {who: code_of(club, who) for who in ("anna", "ben", "carl")}
    assert come(club, "carl", codes["ben"])["status"] == "qualified"
    assert come(club, "ben", codes["carl"])["status"] == "loop"
    assert come(club, "anna", codes["ben"])["status"] == "existing-customer"
    club.post("/v1/awards", {"customer_id": "dora", "activity": {"type": "signup"}}, key="d0")
    assert come(club, "dora", code_of(club, "dora"))["status"] == "self-referral"
    said = [come(club, f"guess{number}", f"{number:012}")["status"] for number in range(5)]
    assert said == ["unknown-code"] * 5
    assert [each["status"] for each in club.get("/v1/referrals").json()["referrals"]] == ["rewarded"]


def test_the_review(club: Shop) -> None:
    code = code_of(club, "anna")
    fingerprints = {"address": "street 1"}
    club.post("/v1/awards", purchase("anna", "a-2", fingerprints=fingerprints), key="a-2")
    for who in ("ben", "cleo"):
        assert come(club, who, code, fingerprints=fingerprints)["status"] == "flagged"
    page = club.get("/v1/referrals?status=flagged&limit=1").json()
    schemas.ReferralsAnswer.model_validate(page)
    assert page["referrals"][0]["referred_customer_id"] == "cleo"
    assert page["referrals"][0]["reasons"] == [
        {"guard": "fingerprints", "text": "the same address as the referrer's"}
    ]
    rest = club.get(f"/v1/referrals?status=flagged&limit=1&cursor={page['next_cursor']}").json()
    assert (rest["referrals"][0]["referred_customer_id"], rest["next_cursor"]) == ("ben", None)
    note = {"note": "one household"}
    assert club.post("/v1/referrals/ben/approve", note, scope="storefront").status_code == 403
    approved = club.post("/v1/referrals/ben/approve", note)
    assert (approved.status_code, approved.json()["note"]) == (200, "one household")
    schemas.ReferralShown.model_validate(approved.json())
    rejected = club.post("/v1/referrals/cleo/reject", note).json()
    assert (rejected["status"], rejected["decided_by"][:4]) == ("rejected", "key:")
    assert (has(club, "anna"), has(club, "ben"), has(club, "cleo")) == ((101, 500), (50, 200), (50, 0))
    assert club.get("/v1/referrals?status=flagged").json()["referrals"] == []


def test_what_is_not_there(club: Shop) -> None:
    for path, code in (
        ("/v1/customers/nobody/referral-code", "customer-not-found"),
        ("/v1/referrals/nobody/approve", "referral-not-found"),
        ("/v1/referrals/anna/reject", "referral-not-found"),
    ):
        answer = club.post(path, {"note": "x"})
        assert (answer.status_code, answer.json()["code"]) == (404, code)
    assert club.post("/v1/referrals/anna/reject", {"note": ""}).status_code == 422
    for query in ("status=odd", "cursor=x", "limit=0", "cursor=WzEsMl0", "cursor=é"):
        assert club.get(f"/v1/referrals?{query}").status_code == 422, query
    assert club.get("/v1/referrals", scope="storefront").status_code == 403


def test_fingerprints_are_bounded(club: Shop) -> None:
    for given in ({"address": "x" * 129}, {"phone": "1"}, {"device": ""}):
        body = purchase("ben", "1", fingerprints=given)
        assert club.post("/v1/awards", body, key="k").status_code == 422, given


def test_without_referrals_in_the_program_a_code_is_just_kept(shop: Shop) -> None:
    shop.award("anna", "1")
    code = code_of(shop, "anna")
    answer = shop.post("/v1/awards", purchase("ben", "1", referral_code=code), key="k").json()
    assert "referral" not in answer
    assert shop.get("/v1/customers/anna").json()["referrals"] is None


def test_a_program_that_gives_nothing_for_referrals_is_refused(shop: Shop) -> None:
    document = shop.get("/v1/program").json()["document"] | {"referrals": {}}
    answer = shop.send("PUT", "/v1/program", {"document": document})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-program")
    assert answer.json()["errors"][0]["path"] == "document.referrals"
    rules = [rule | {"expiry": {"type": "after", "period": "P7D"}} for rule in RULES]
    answer = shop.send("PUT", "/v1/program", {"document": document | {"earn": rules}})
    assert answer.json()["errors"][0]["path"] == "document.referrals.pending"


def test_the_examples_are_of_the_documented_shapes() -> None:
    from api import examples

    for model, example in (
        (schemas.ReferralShown, examples.REFERRAL),
        (schemas.ReferralsAnswer, examples.REFERRALS_ANSWER),
        (schemas.ReferralCodeAnswer, examples.REFERRAL_CODE_ANSWER),
        (schemas.ReferralNote, examples.REFERRAL_NOTE),
    ):
        TypeAdapter(model).validate_python(example, strict=False)
