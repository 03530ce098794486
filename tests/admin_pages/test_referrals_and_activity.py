"""The review of referrals, and what was asked of the engine lately."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from office import Browser, Office
from sqlalchemy import text

from rewards.core.clock import utc_now
from rewards.decide.commands import Adjust, Award, Redeem, Reverse
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.ledger.referrals import code_of
from rewards.ledger.verification import verify
from rewards.profiles.profile import Profile
from rewards.profiles.storing import put_profile
from rewards.program.document import ProgramDocument
from rewards.program.versions import publish, starter_program

RULES = [
    {"id": "base", "activity": "purchase", "gives": {"type": "per_amount", "points": 1, "per_minor": 100}},
    {"id": "bring", "activity": "referral", "gives": {"type": "fixed", "points": 500}},
    {"id": "come", "activity": "referred", "gives": {"type": "fixed", "points": 200}},
]


def send(office: Office, key: str, command: Any, at: datetime | None = None) -> int:
    return Engine(office.database).execute([Submission(command, key, "test")], at or utc_now())[0].status


def bought(who: str, order_id: str, total_minor: int = 5_000, **more: Any) -> Award:
    activity = {"type": "purchase", "order_id": order_id, "total_minor": total_minor, "currency": "USD"}
    return Award.model_validate({"customer_id": who, "activity": activity | more})


@pytest.fixture
def club(office: Office) -> Office:
    """Anna, and three at her address whom she is said to have brought."""
    document = starter_program("USD", "UTC").model_dump(mode="json", exclude_defaults=True)
    now = utc_now()
    with office.database.engine.begin() as conn:
        offered = ProgramDocument.model_validate(document | {"earn": RULES, "referrals": {}})
        publish(conn, offered, effective_from=now - timedelta(days=9), now=now, actor="t")
    same = {"fingerprints": {"address": "street 1"}}
    send(office, "a", bought("anna", "1", **same))
    with office.database.engine.begin() as conn:
        code = code_of(conn, "anna", now)
        put_profile(conn, "ben", Profile(name="Ben Bold"), now)
    for who in ("ben", "carl", "dora"):
        send(office, who, bought(who, "1", referral_code=code, **same))
    return office


def statuses(office: Office) -> dict[str, str]:
    with office.database.engine.connect() as conn:
        return {row[0]: row[1] for row in conn.execute(text("SELECT customer_id, status FROM referrals"))}


def test_the_queue_shows_who_and_why(club: Office, owner: Browser) -> None:
    page = owner.get("/admin/referrals").text
    assert "Ben Bold" in page
    assert page.count("the same address as the referrer") == 3
    assert "carl" not in owner.get("/admin/referrals?status=all&customer=ben").text
    assert owner.get("/admin/referrals?customer=anna&status=odd").text.count(">Decide<") == 3
    assert "Nothing waits" not in page
    assert "none of that kind" in owner.get("/admin/referrals?status=rewarded").text


def test_a_person_decides_with_a_note(club: Office, owner: Browser) -> None:
    page = owner.get("/admin/referrals")
    assert (
        "Approved."
        in owner.follow(owner.send(page, "/ben/judge", verdict="approve", note="A family of two")).text
    )
    assert "Rejected." in owner.follow(owner.send(page, "/carl/judge", verdict="reject", note="Twins?")).text
    assert (statuses(club)["carl"], statuses(club)["dora"]) == ("rejected", "flagged")
    assert statuses(club)["ben"] != "flagged"
    shown = owner.get("/admin/referrals?status=rejected").text
    assert "Twins?" in shown
    assert "The owner" in shown
    log = [(line.action, line.subject, line.detail) for line in club.audit()[:2]]
    assert log == [
        ("referral.rejected", "customer:carl", {"note": "Twins?"}),
        ("referral.approved", "customer:ben", {"note": "A family of two"}),
    ]
    with club.database.engine.connect() as conn:
        assert verify(conn).breaks == []


def test_without_a_note_or_a_verdict_nothing_is_decided(club: Office, owner: Browser) -> None:
    page = owner.get("/admin/referrals")
    for values in (
        {"verdict": "approve"},
        {"verdict": "perhaps", "note": "x"},
        {"verdict": "reject", "note": " "},
    ):
        answer = owner.send(page, "/ben/judge", **values)
        assert answer.status_code == 422
        assert 'aria-invalid="true"' in answer.text
    assert statuses(club)["ben"] == "flagged"
    gone = owner.send(page, "/ben/judge", verdict="reject", note="x" * 501)
    assert gone.status_code == 422


def test_who_may_not_decide_is_not_asked(club: Office) -> None:
    with club.browser("viewer") as viewer:
        assert "Decide" not in viewer.get("/admin/referrals").text
        body = {"csrf": viewer.token, "verdict": "approve", "note": "x"}
        assert viewer.client.post("/admin/referrals/ben/judge", data=body).status_code == 403
    with club.browser("support") as support:
        assert support.client.post("/admin/referrals/ben/judge", data=body).status_code == 403
        page = support.get("/admin/referrals")
        assert support.send(page, "/ben/judge", verdict="approve", note="x").status_code == 303
    assert statuses(club)["ben"] != "flagged"


def test_referrals_are_turned_over(club: Office, owner: Browser) -> None:
    with club.database.engine.begin() as conn:
        conn.execute(
            text(
                """INSERT INTO referrals (customer_id, referrer_id, code, status, reasons, fingerprints, attributed_at,
                closes_at) SELECT 'r-' || n, 'anna', 'C', 'attributed', '[]', '{}', now(), now()
                FROM generate_series(1, 60) AS n"""
            )
        )
    seen, query = [], "?status=attributed"
    for _ in range(3):
        page = owner.get(f"/admin/referrals{query}").text
        seen += re.findall(r"<span>(r-\d+)</span>", page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        query = following[1].replace("&amp;", "&") if following else ""
    assert (len(seen), len(set(seen)), query) == (60, 60, "")


# Activity.


def rows(browser: Browser, query: str = "") -> list[tuple[str, str]]:
    page = browser.get(f"/admin/activity{query}")
    assert page.status_code == 200
    kinds = re.findall(r'data-label="Type"><span class="badge \w*">([^<]+)<', page.text)
    who = re.findall(r'<th scope="row"><a class="customer"[^>]*><span>([^<]+)</span>', page.text)
    return list(zip(kinds, who, strict=True))


@pytest.fixture
def busy(office: Office) -> Office:
    now = utc_now()
    for number, days_ago in enumerate((400, 30, 2, 0)):
        send(office, f"b-{number}", bought(f"c-{number}", "1", 30_000), now - timedelta(days=days_ago))
    send(office, "r", Redeem(customer_id="c-3", points=50))
    send(office, "x", Redeem(customer_id="c-3", points=9_999))
    send(office, "m", Reverse(customer_id="c-3", order_id="1", refund_id="1", amount_minor=1_000))
    send(office, "g", Adjust(customer_id="c-2", points=7, reason="Sorry"))
    return office


def test_the_latest_comes_first(busy: Office, owner: Browser) -> None:
    assert rows(owner) == [
        ("adjustment", "c-2"),
        ("refund", "c-3"),
        ("redemption refused", "c-3"),
        ("redemption", "c-3"),
        ("award", "c-3"),
        ("award", "c-2"),
        ("award", "c-1"),
        ("award", "c-0"),
    ]
    page = owner.get("/admin/activity").text
    for words in ("9999 points were requested", "insufficient-points", "Sorry", "+300", "−50", "−10", "+7"):
        assert words in page, words


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?type=award", ["c-3", "c-2", "c-1", "c-0"]),
        ("?type=redemption", ["c-3", "c-3"]),
        ("?type=redemption&status=done", ["c-3"]),
        ("?type=reversal", ["c-3"]),
        ("?type=adjustment", ["c-2"]),
        ("?status=refused", ["c-3"]),
        ("?type=award&status=refused", []),
        ("?type=odd&status=odd&from=odd&after=odd", ["c-2", "c-3", "c-3", "c-3", "c-3", "c-2", "c-1", "c-0"]),
    ],
)
def test_filters(busy: Office, owner: Browser, query: str, found: list[str]) -> None:
    assert [who for _, who in rows(owner, query)] == found


def test_days_are_the_programs(busy: Office, owner: Browser) -> None:
    today = datetime.now(UTC).date()

    def day(days_ago: int) -> str:
        return (today - timedelta(days=days_ago)).isoformat()

    assert [who for _, who in rows(owner, f"?until={day(1)}")] == ["c-2", "c-1", "c-0"]
    assert [who for _, who in rows(owner, f"?from={day(35)}&until={day(20)}")] == ["c-1"]
    assert [who for _, who in rows(owner, f"?type=award&from={day(3)}")] == ["c-3", "c-2"]


def test_pages_show_everything_once_also_of_one_instant(office: Office, owner: Browser) -> None:
    now = utc_now()
    batch = [Submission(bought(f"c-{number:03}", "1"), "k", "test") for number in range(120)]
    Engine(office.database).execute(batch, now)
    send(office, "old", bought("old", "1"), now - timedelta(days=300))
    seen, query = [], ""
    for _ in range(3):
        page = owner.get(f"/admin/activity{query}")
        seen += [who for _, who in rows(owner, query)]
        following = re.search(r'rel="next" href="([^"]+)"', page.text)
        query = following[1].replace("&amp;", "&") if following else ""
    assert len(seen) == len(set(seen)) == 121
    assert (seen[-1], query) == ("old", "")
