"""Who is who, over HTTP."""

from typing import Any

import pytest
from api_shop import Shop
from sqlalchemy import text

from api import schemas
from rewards.core.database import Database


def put(shop: Shop, who: str, same_as: Any, **others: Any) -> Any:
    return shop.send("PUT", f"/v1/customers/{who}/identity", {"same_as": same_as}, **others)


@pytest.fixture
def three(shop: Shop) -> Shop:
    for number in (1, 2, 3):
        assert shop.award(f"c-{number}", f"{number}").status_code == 201
    return shop


def test_two_customers_are_one_person(three: Shop, database: Database) -> None:
    answer = put(three, "c-2", "c-1")
    assert answer.status_code == 200, answer.text
    schemas.IdentityAnswer.model_validate(answer.json())
    assert answer.json() == {"customer_id": "c-2", "same_as": "c-1"}
    # Through to who is meant.
    assert put(three, "c-3", "c-2").json() == {"customer_id": "c-3", "same_as": "c-1"}
    assert put(three, "c-2", None).json() == {"customer_id": "c-2", "same_as": None}
    with database.engine.connect() as connection:
        stored = connection.execute(
            text("SELECT customer_id, same_as, actor FROM identities ORDER BY 1")
        ).all()
    assert [tuple(each)[:2] for each in stored] == [("c-1", None), ("c-2", None), ("c-3", "c-1")]
    assert all(each.actor.startswith("key:") for each in stored)


def test_what_cannot_be(three: Shop) -> None:
    put(three, "c-2", "c-1")
    for who, same_as, status, code in (
        ("c-1", "c-2", 422, "identity-loop"),
        ("c-1", "c-1", 422, "identity-loop"),
        ("c-1", "nobody", 404, "customer-not-found"),
        ("nobody", "c-1", 404, "customer-not-found"),
        ("c-1", 5, 422, "invalid-request"),
    ):
        answer = put(three, who, same_as)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert three.send("PUT", "/v1/customers/c-1/identity", {}).status_code == 422
    assert put(three, "c-3", "c-1", scope="storefront").status_code == 403
