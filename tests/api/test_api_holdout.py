"""The holdout over HTTP: what a storefront is told of it, exposures, publishing, and the pages."""

from datetime import timedelta
from typing import Any

import pytest
from api_shop import Shop

from rewards.core.clock import utc_now
from rewards.program.holdout import arm_of

SALT = "a-salt-of-the-tests"
HOLDOUT = {"id": "spring", "salt": SALT, "share_pct": 50, "starts_at": "2026-01-01"}


def lot(arm: str) -> str:
    return next(f"c-{number}" for number in range(1, 100) if arm_of(SALT, f"c-{number}", 50) == arm)


OUT, IN = lot("holdout"), lot("program")


def publish(shop: Shop, holdout: dict[str, Any] | None, **more: Any) -> Any:
    document = shop.get("/v1/program").json()["document"] | {"no_holdout": None, "holdout": holdout}
    return shop.send("PUT", "/v1/program", {"document": document, **more}, scope="admin")


@pytest.fixture
def held(shop: Shop) -> Shop:
    assert publish(shop, HOLDOUT, effective_from="2026-01-01T00:00:00Z").status_code == 200
    return shop


def test_an_award_a_quote_and_the_statement_say_the_same(held: Shop) -> None:
    order = {"type": "purchase", "order_id": "1", "total_minor": 4_999, "currency": "USD"}
    quoted = held.post("/v1/quotes?why_not=true", {"customer_id": OUT, "activity": order}).json()
    given = held.award(OUT, "1").json()
    assert quoted["award"]["points"] == given["points"] == 0
    assert quoted["award"]["explanation"] == given["explanation"]
    assert given["explanation"][0]["rule_id"] == "holdout"
    assert quoted["not_applied"][0]["rule_id"] == "base"
    assert held.award(IN, "2").json()["points"] > 0
    part = held.get(f"/v1/customers/{OUT}").json()
    assert part["program"] == {"status": "held-out", "experiment_id": "spring", "arm": "holdout"}
    assert (part["enrolled"], part["held_out"]) == (False, True)
    part = held.get(f"/v1/customers/{IN}").json()
    assert part["program"] == {"status": "enrolled", "experiment_id": "spring", "arm": "program"}


def test_exposures_are_logged_once_and_tell_what_to_show(held: Shop) -> None:
    def log(who: str, **more: Any) -> Any:
        return held.post("/v1/exposures", {"customer_id": who, "experiment_id": "spring", **more})

    first = log(OUT)
    assert first.status_code == 200, first.text
    assert first.json() == {
        "customer_id": OUT,
        "experiment_id": "spring",
        "arm": "holdout",
        "show": False,
        "exposed_at": None,
    }
    held.award(OUT, "1")
    held.award(IN, "2")
    earlier = (utc_now() - timedelta(hours=1)).isoformat()
    later, sooner = log(OUT).json(), log(OUT, exposed_at=earlier).json()
    assert sooner["exposed_at"] < later["exposed_at"]
    assert log(OUT).json() == sooner
    told = log(IN).json()
    assert (told["arm"], told["show"]) == ("program", True)
    assert (
        log(OUT, exposed_at=(utc_now() + timedelta(days=1)).isoformat()).json()["code"]
        == "occurred-in-future"
    )
    unknown = held.post("/v1/exposures", {"customer_id": OUT, "experiment_id": "autumn"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "experiment-not-found")
    assert "spring" in unknown.json()["detail"]
    assert held.send("POST", "/v1/exposures", {}, scope="readonly").status_code == 403
    assert held.post("/v1/exposures", {"customer_id": OUT}).json()["code"] == "invalid-request"


def test_lots_are_not_drawn_anew_over_http(held: Shop) -> None:
    refused = publish(held, HOLDOUT | {"share_pct": 20})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid-program")
    (error,) = refused.json()["errors"]
    assert error["path"] == "document.holdout.share_pct"
    assert "move customers from one arm to the other" in error["message"]
    ended = publish(held, None)
    assert ended.status_code == 200
    (warning,) = ended.json()["warnings"]
    assert (warning["path"], "measured" in warning["message"]) == ("document.holdout", True)


def test_the_customers_page_says_nothing_of_what_cannot_be_earned(held: Shop) -> None:
    held.award(OUT, "1")
    held.award(IN, "2")
    pages = {}
    for who in (OUT, IN):
        url = held.post(f"/v1/customers/{who}/link").json()["url"]
        pages[who] = held.get("/" + url.split("/", 3)[3]).text
    assert "How it works" in pages[IN]
    assert "There is nothing here at the moment" in pages[OUT]
    for word in ("point", "held out", "How it works", "Order 1"):
        assert word not in pages[OUT]
    body = {"customer_id": OUT, "points": 30, "reason": "A mistake of ours"}
    assert held.post("/v1/adjustments", body, key="a1", scope="admin").status_code == 201
    url = held.post(f"/v1/customers/{OUT}/link").json()["url"]
    page = held.get("/" + url.split("/", 3)[3]).text
    assert "A mistake of ours" in page
    for word in ("How it works", "held out", "Order 1"):
        assert word not in page
