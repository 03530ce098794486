"""Profiles over HTTP: put, read, exported, erased; and what that does to the customer's page."""

import json
from typing import Any

import pytest
from api_shop import Shop, purchase
from pydantic import TypeAdapter
from sqlalchemy import text

from api import examples, schemas
from rewards.core.database import Database
from rewards.ledger.verification import verify

ADA: dict[str, Any] = {
    "email": "ada@example.com",
    "name": "Ada",
    "birthday": "1990-05-17",
    "joined_at": "2025-03-14T09:26:53Z",
    "attributes": {"country": "GB", "shoe": 37},
}


def put(shop: Shop, who: str, body: Any, **others: Any) -> Any:
    return shop.send("PUT", f"/v1/customers/{who}/profile", body, scope="storefront", **others)


def test_a_profile_is_put_and_read(shop: Shop) -> None:
    answer = put(shop, "ada", ADA)
    assert answer.status_code == 200, answer.text
    schemas.ProfileAnswer.model_validate(answer.json())
    assert {name: answer.json()[name] for name in ADA} == ADA
    assert shop.get("/v1/customers/ada/profile", scope="storefront").json() == answer.json()
    assert put(shop, "ada", ADA).json() == answer.json()
    assert put(shop, "ada", {"name": "Ada L."}).json()["email"] is None
    assert put(shop, "GB%2F1", {"name": "Slash"}).json()["customer_id"] == "GB/1"


def test_who_may_see_and_change_people(shop: Shop) -> None:
    put(shop, "ada", ADA)
    at = "/v1/customers/ada"
    assert shop.get(f"{at}/profile", scope="readonly").status_code == 403
    assert shop.get(f"{at}/export", scope="storefront").status_code == 403
    assert shop.send("DELETE", f"{at}/profile", scope="storefront").status_code == 403
    assert shop.send("PUT", f"{at}/profile", ADA, scope="readonly").status_code == 403
    assert shop.get(f"{at}/profile", headers={"authorization": "Bearer x"}).status_code == 401


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"email": "x"}, "email"),
        ({"birthday": "1999-02-29"}, "birthday"),
        ({"joined_at": "2025-03-14"}, "joined_at"),
        ({"nickname": "A"}, "nickname"),
        ({"erased_at": None}, "erased_at"),
        ({"attributes": {"a": {}}}, "attributes.a"),
        ({"name": 5}, "name"),
    ],
)
def test_what_cannot_be_is_named(shop: Shop, body: Any, path: str) -> None:
    answer = put(shop, "ada", body)
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, path)
    assert answer.headers["content-type"] == "application/problem+json"


def test_what_is_not_there(shop: Shop) -> None:
    for path, method, code in (
        ("profile", "GET", "profile-not-found"),
        ("profile", "DELETE", "customer-not-found"),
        ("export", "GET", "customer-not-found"),
    ):
        answer = shop.send(method, f"/v1/customers/nobody/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, code)
    wrong = shop.send("POST", "/v1/customers/nobody/profile", {})
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "DELETE, GET, PUT")


def test_everything_is_exported(shop: Shop) -> None:
    put(shop, "ada", ADA)
    shop.post(
        "/v1/awards",
        purchase("ada", "1", items=[{"line_id": "1", "amount_minor": 1, "attributes": {"for": "Bob"}}]),
        key="1",
    )
    survey = {"type": "survey", "survey_id": "s", "answers": {"why": "words"}, "comment": "more words"}
    shop.post("/v1/awards", {"customer_id": "ada", "activity": survey}, key="2")
    answer = shop.get("/v1/customers/ada/export")
    found = answer.json()
    schemas.ExportAnswer.model_validate(found)
    assert answer.headers["cache-control"] == "private, no-store"
    assert found["profile"]["name"] == "Ada"
    assert found["statement"]["balance"]["available"] == 100
    assert [entry["cause"] for entry in found["entries"]] == ["purchase:1", "survey:s"]
    assert found["survey_answers"][0]["comment"] == "more words"
    put(shop, "bob", {"name": "Bob"})
    only = shop.get("/v1/customers/bob/export").json()
    assert (only["statement"]["balance"]["available"], only["entries"]) == (0, [])


def test_an_erasure_keeps_the_ledger_and_ends_old_links(shop: Shop, database: Database) -> None:
    put(shop, "ada", ADA)
    shop.award("ada", "1")
    shop.send("PUT", "/v1/customers/ada/tags", {"tags": ["vip"]})
    link = shop.post("/v1/customers/ada/link", scope="storefront").json()["url"]
    path = "/me/" + link.rpartition("/me/")[2]
    assert shop.get(path).status_code == 200
    before = shop.get("/v1/customers/ada/entries").json()
    erased = shop.send("DELETE", "/v1/customers/ada/profile")
    assert erased.status_code == 200, erased.text
    schemas.ErasedAnswer.model_validate(erased.json())
    assert shop.get(path).status_code == 404
    assert shop.get("/v1/customers/ada/entries").json() == before
    assert shop.balance("ada")["available"] == 100
    found = shop.get("/v1/customers/ada/profile").json()
    assert (found["name"], found["attributes"], bool(found["erased_at"])) == (None, {}, True)
    assert shop.get("/v1/customers/ada/export").json()["tags"] == []
    refund = {"customer_id": "ada", "order_id": "1", "refund_id": "r", "full": True}
    assert shop.post("/v1/reversals", refund, key="r").status_code == 201
    with database.engine.connect() as conn:
        assert verify(conn).breaks == []
        assert conn.scalar(text("SELECT actor FROM erasures")).startswith("key:")


def test_who_was_erased_comes_back_only_where_it_is_said(shop: Shop) -> None:
    put(shop, "ada", ADA)
    shop.send("DELETE", "/v1/customers/ada/profile")
    refused = put(shop, "ada", ADA)
    assert (refused.status_code, refused.json()["code"]) == (409, "profile-erased")
    back = put(shop, "ada", ADA | {"restore_erased": True}).json()
    assert (back["name"], back["erased_at"]) == ("Ada", None)


def test_a_link_made_after_an_erasure_works(shop: Shop, database: Database) -> None:
    shop.award("ada", "1")
    shop.send("DELETE", "/v1/customers/ada/profile")
    with database.engine.begin() as conn:
        # As if the erasure had been yesterday.
        conn.execute(text("UPDATE profiles SET links_void_until = links_void_until - interval '1 day'"))
    link = shop.post("/v1/customers/ada/link", scope="storefront").json()["url"]
    assert shop.get("/me/" + link.rpartition("/me/")[2]).status_code == 200


def test_the_examples_are_of_the_documented_shapes() -> None:
    for model, example in (
        (schemas.ProfileAnswer, examples.PROFILE_ANSWER),
        (schemas.ErasedAnswer, examples.ERASED_ANSWER),
        (schemas.ExportAnswer, examples.EXPORT_ANSWER),
    ):
        TypeAdapter(model).validate_python(example, strict=False)
    TypeAdapter(schemas.ProfileBody).validate_json(json.dumps(examples.PROFILE))
