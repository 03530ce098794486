"""A customer's standing on the admin pages: shown, given by hand, ended."""

from datetime import timedelta
from typing import Any

import pytest
from office import Browser, Office
from sqlalchemy import text

from rewards.core.clock import utc_now
from rewards.decide.commands import Award
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.ledger.verification import verify
from rewards.program.document import ProgramDocument
from rewards.program.versions import publish, starter_program

LADDER = {
    "window": {"type": "rolling", "period": "P12M"},
    "lasts": {"type": "after", "period": "P12M"},
    "tiers": [
        {"id": "bronze", "name": "Bronze"},
        {
            "id": "silver",
            "name": "Silver <b>",
            "ways_in": [{"points": 100}],
            "earn_multiplier_pct": 150,
            "perks": [{"id": "free", "name": "Free delivery"}],
        },
        {"id": "gold", "name": "Gold", "ways_in": [{"points": 300}, {"orders": 9}]},
    ],
}


@pytest.fixture
def club(office: Office) -> Office:
    """Anna, who has earned silver."""
    document = starter_program("USD", "UTC").model_dump(mode="json", exclude_defaults=True)
    now = utc_now()
    with office.database.engine.begin() as conn:
        offered = ProgramDocument.model_validate(document | {"ladder": LADDER})
        publish(conn, offered, effective_from=now - timedelta(days=900), now=now, actor="t")
    for who, total_minor in (("anna", 15_000), ("ben", 100)):
        activity = {"type": "purchase", "order_id": "1", "total_minor": total_minor, "currency": "USD"}
        command = Award.model_validate({"customer_id": who, "activity": activity})
        assert Engine(office.database).execute([Submission(command, who, "test")], now)[0].status == 201
    return office


def tier_of(office: Office, who: str) -> Any:
    with office.database.engine.connect() as conn:
        return conn.scalar(text("SELECT tier FROM accounts WHERE customer_id = :who"), {"who": who})


def test_the_standing_is_shown_with_what_comes_next(club: Office, owner: Browser) -> None:
    page = owner.get("/admin/customers/anna").text
    for words in ("Silver &lt;b&gt;", "Free delivery", "To reach Gold", "150", "300", "How they moved"):
        assert words in page, words
    assert page.count("<progress") >= 2
    assert "given by hand" not in page


def test_the_list_shows_and_filters_tiers(club: Office, owner: Browser) -> None:
    page = owner.get("/admin/customers?tier=silver").text
    assert "anna" in page
    assert "<span>ben</span>" not in page
    assert "Silver &lt;b&gt;" in page


def test_a_standing_is_given_and_ended(club: Office, owner: Browser) -> None:
    page = owner.get("/admin/customers/ben")
    day = (utc_now() + timedelta(days=40)).date().isoformat()
    done = owner.follow(owner.send(page, "/standing", tier="gold", until=day, why="A prize"))
    assert "Standing granted." in done.text
    assert "given by hand" in done.text
    assert tier_of(club, "ben") == "gold"
    line = club.audit()[0]
    assert (line.action, line.detail["tier"], line.detail["reason"]) == (
        "customer.standing-granted",
        "gold",
        "A prize",
    )
    over = owner.follow(owner.send(done, "/standing/end", end_why="Returned it"))
    assert "has ended" in over.text
    assert "given by hand" not in over.text
    assert tier_of(club, "ben") != "gold"
    assert club.audit()[0].action == "customer.standing-ended"
    with club.database.engine.connect() as conn:
        assert verify(conn).breaks == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"tier": "platinum"},
        {"tier": ""},
        {"until": "soon"},
        {"until": "2020-01-01"},
        {"why": ""},
        {"why": "x" * 501},
    ],
)
def test_what_cannot_be_given_is_said(club: Office, owner: Browser, wrong: dict[str, str]) -> None:
    page = owner.get("/admin/customers/ben")
    answer = owner.send(page, "/standing", **({"tier": "gold", "why": "Kept words"} | wrong))
    assert (answer.status_code, 'aria-invalid="true"' in answer.text) == (422, True)
    assert "Kept words" in answer.text or "why" in wrong
    assert tier_of(club, "ben") != "gold"


def test_who_may_not_grant_is_not_asked(club: Office) -> None:
    with club.browser("viewer") as viewer:
        assert "by hand" not in viewer.get("/admin/customers/ben").text
        for action in ("standing", "standing/end"):
            body = {"csrf": viewer.token, "tier": "gold", "why": "x", "end_why": "x"}
            assert viewer.client.post(f"/admin/customers/ben/{action}", data=body).status_code == 403
