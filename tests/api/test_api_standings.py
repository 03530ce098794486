"""Standings over HTTP: what an award and a customer's statement say, grants by hand, moves, and events."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from api_shop import Shop
from sqlalchemy import text

from api import schemas, standing_schemas
from rewards.core.clock import utc_now
from rewards.core.database import Database
from rewards.ledger.verification import verify

LADDER = {
    "window": {"type": "rolling", "period": "P12M"},
    "lasts": {"type": "after", "period": "P12M"},
    "tiers": [
        {"id": "bronze", "name": "Bronze"},
        {
            "id": "silver",
            "name": "Silver",
            "ways_in": [{"points": 100}, {"orders": 5}],
            "perks": [
                {"id": "delivery", "name": "Free delivery"},
                {"id": "old", "name": "Long gone", "active": {"until": "2020-01-01"}},
            ],
        },
        {"id": "gold", "name": "Gold", "ways_in": [{"points": 300}, {"referrals": 1}], "needs": "all"},
    ],
}


@pytest.fixture
def club(shop: Shop, database: Database) -> Iterator[Shop]:
    """A shop with a ladder and one customer, ann, who spent 90."""
    document = shop.get("/v1/program").json()["document"] | {"ladder": LADDER}
    assert shop.send("PUT", "/v1/program", {"document": document}).status_code == 200
    assert shop.award("ann", "a-1", 90_00).status_code == 201
    yield shop
    with database.engine.connect() as conn:
        assert verify(conn).breaks == []


def statement(shop: Shop, who: str = "ann", query: str = "") -> Any:
    answer = shop.get(f"/v1/customers/{who}{query}")
    assert answer.status_code == 200, answer.text
    schemas.CustomerAnswer.model_validate(answer.json())
    return answer.json()


def test_an_award_and_the_statement_say_where_the_customer_stands(club: Shop) -> None:
    told = club.award("ann", "a-2", 20_00).json()
    schemas.AwardAnswer.model_validate(told)
    assert told["tier"]["id"] == "silver"
    assert told["tier"]["next"] == {"id": "gold", "name": "Gold", "remaining": 1, "unit": "referrals"}
    found = statement(club)
    assert found["tier"] == told["tier"]
    standing = found["standing"]
    assert (standing["tier"], standing["reason"], standing["is_granted"]) == ("silver", "earned", False)
    assert [perk["id"] for perk in standing["perks"]] == ["delivery"]
    assert standing["to_keep"]["by"] == standing["until"]
    # Nothing that counts today counts at the end of a standing of a year.
    assert [way["remaining"] for way in standing["to_keep"]["ways"]] == [100, 5]
    assert [(goal["tier"], goal["needs"]) for goal in standing["to_reach"]] == [("gold", "all")]
    assert [(way["measure"], way["have"], way["remaining"]) for way in standing["to_reach"][0]["ways"]] == [
        ("points", 110, 190),
        ("referrals", 0, 1),
    ]


def test_the_past_and_the_future_can_be_asked_for(club: Shop) -> None:
    before = utc_now()
    club.award("ann", "a-2", 20_00)
    past = statement(club, query=f"?as_of={before.strftime('%Y-%m-%dT%H:%M:%S.%fZ')}")
    assert past["standing"]["tier"] == "bronze"
    later = before + timedelta(days=500)
    future = statement(club, query=f"?as_of={later.strftime('%Y-%m-%dT%H:%M:%SZ')}")
    assert (future["standing"]["tier"], future["standing"]["reason"]) == ("bronze", "ended")


def test_a_quote_says_the_tier_that_it_would_lead_to_and_writes_nothing(club: Shop) -> None:
    body = {
        "customer_id": "ann",
        "activity": {"type": "purchase", "order_id": "q", "total_minor": 20_00, "currency": "USD"},
    }
    assert club.post("/v1/quotes", body).json()["award"]["tier"]["id"] == "silver"
    assert statement(club)["tier"]["id"] == "bronze"


def test_a_standing_is_given_by_hand_and_ended(club: Shop, database: Database) -> None:
    until = (utc_now() + timedelta(days=30)).strftime("%Y-%m-%dT00:00:00Z")
    body = {"tier": "gold", "until": until, "reason": "Matched from another program"}
    given = club.send("PUT", "/v1/customers/ann/standing", body)
    assert given.status_code == 200, given.text
    standing_schemas.GrantAnswer.model_validate(given.json())
    assert (given.json()["tier"]["id"], given.json()["until"]) == ("gold", until)
    assert statement(club)["standing"]["is_granted"] is True
    ended = club.send("DELETE", "/v1/customers/ann/standing", {"reason": "By mistake"})
    assert ended.json()["tier"]["id"] == "bronze"
    moves = club.get("/v1/customers/ann/moves?limit=2").json()
    standing_schemas.MovesAnswer.model_validate(moves)
    assert [(move["to_tier"], move["reason"]) for move in moves["moves"]] == [
        ("bronze", "grant-ended"),
        ("gold", "granted"),
    ]
    older = club.get(f"/v1/customers/ann/moves?cursor={moves['next_cursor']}").json()
    assert [move["reason"] for move in older["moves"]] == ["joined"]
    assert older["next_cursor"] is None
    with database.engine.connect() as conn:
        actor = conn.scalar(text("SELECT actor FROM standing_grants"))
    assert actor.startswith("key:")


@pytest.mark.parametrize(
    ("who", "body", "scope", "status", "code"),
    [
        ("ann", {"tier": "platinum", "reason": "x"}, "admin", 422, "no-such-tier"),
        (
            "ann",
            {"tier": "gold", "until": "2020-01-01T00:00:00Z", "reason": "x"},
            "admin",
            422,
            "no-such-tier",
        ),
        ("ann", {"tier": "gold", "reason": ""}, "admin", 422, "invalid-request"),
        ("ann", {"tier": "gold", "reason": "x", "role": "owner"}, "admin", 422, "invalid-request"),
        ("nobody", {"tier": "gold", "reason": "x"}, "admin", 404, "customer-not-found"),
        ("ann", {"tier": "gold", "reason": "x"}, "storefront", 403, "wrong-scope"),
    ],
)
def test_what_cannot_be_granted_is_refused(
    club: Shop, who: str, body: Any, scope: Any, status: int, code: str
) -> None:
    answer = club.send("PUT", f"/v1/customers/{who}/standing", body, scope=scope)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_events_are_read_on_from_where_one_was(club: Shop) -> None:
    first = club.get("/v1/events").json()
    assert first == {"events": [], "next_cursor": "0"}
    club.award("ann", "a-2", 20_00)
    second = club.get(f"/v1/events?after={first['next_cursor']}").json()
    standing_schemas.EventsAnswer.model_validate(second)
    (event,) = second["events"]
    assert (event["type"], event["customer_id"]) == ("tier.upgraded", "ann")
    assert (event["payload"]["from"]["id"], event["payload"]["to"]["id"]) == ("bronze", "silver")
    third = club.get(f"/v1/events?after={second['next_cursor']}").json()
    assert third == {"events": [], "next_cursor": second["next_cursor"]}
    assert club.get("/v1/events?after=x").status_code == 422
    assert club.get("/v1/events", scope="storefront").status_code == 403


def test_nobody_sends_a_welcome(club: Shop) -> None:
    body = {"customer_id": "ann", "activity": {"type": "tier", "name": "gold", "number": 1}}
    assert club.post("/v1/awards", body, key="w").status_code == 422
