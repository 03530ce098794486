"""Segments and campaigns: conditions with names, rules for who meets them, and offers made by lot."""

import json
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text
from tiers_shop import DAY, NOW, PROGRAM, Shop

from rewards.core.database import Database
from rewards.decide.commands import Tag
from rewards.decide.submission import Submission
from rewards.jobs import run_job
from rewards.ledger.verification import verify
from rewards.preview.running import replay
from rewards.program.holdout import arm_of
from rewards.program.loading import ProgramInvalid, load_text
from rewards.program.versions import load_history
from rewards.segments import campaigns as campaigns_module
from rewards.segments.membership import all_members, read_members, segments_told

SALT = "a-salt-for-the-tests-1"
SEGMENTS = """
segments:
- {id: dormant, name: Not seen for a while, when: "customer.days_since_last_purchase > 60"}
- {id: big, when: "customer.spent_minor >= 20000"}
"""
WIN_BACK = (
    SEGMENTS
    + f"""
campaigns:
- {{id: win-back, segment: dormant, holdout_pct: 50, salt: {SALT}, from: 2026-10-01, until: 2026-12-01,
   offer_days: 10, text: Fifty points with your next order}}
"""
)
BONUS = """
- {id: bonus, activity: purchase, campaign: win-back, gives: {type: fixed, points: 50}}
- {id: big, activity: purchase, segments: [big], gives: {type: fixed, points: 7}}
"""


def rows(database: Database, statement: str, **given: Any) -> list[tuple[Any, ...]]:
    with database.engine.connect() as conn:
        return [tuple(row) for row in conn.execute(text(statement), given)]


def points(shop: Shop, customer_id: str, pounds: int, at: datetime) -> int:
    """What an order gives now."""
    return int(
        json.loads(shop.engine.execute([shop.submission(customer_id, pounds, at)], at)[0].body)["points"]
    )


def told(database: Database, now: datetime) -> str:
    return run_job("segments", database, now).detail


def test_the_job_sorts_customers_by_what_time_has_made_of_them(database: Database) -> None:
    shop = Shop(database, SEGMENTS)
    for name, pounds, days in (("ann", 150, 90), ("bob", 250, 10), ("cy", 250, 70), ("dee", 10, 1)):
        shop.buy(name, pounds, NOW - days * DAY)
    assert told(database, NOW).startswith("4 customers looked at, 4 came into a segment, 0 left one")
    members = "SELECT segment_id, customer_id FROM segment_members ORDER BY 1, 2"
    assert rows(database, members) == [
        ("big", "bob"), ("big", "cy"), ("dormant", "ann"), ("dormant", "cy"),
    ]  # fmt: skip
    # Nothing happens but time, and an order that ends a silence.
    shop.buy("ann", 5, NOW + DAY)
    assert "1 came into a segment, 1 left one" in told(database, NOW + 55 * DAY)
    assert rows(database, "SELECT customer_id FROM segment_members WHERE segment_id = 'dormant' ORDER BY 1") == [
        ("bob",), ("cy",),
    ]  # fmt: skip
    with database.engine.connect() as conn:
        one = shop.document_in_force(NOW)
        assert {each["id"]: each["customers"] for each in segments_told(conn, one)["segments"]} == {
            "dormant": 2, "big": 2,
        }  # fmt: skip
        assert [each["customer_id"] for each in read_members(conn, "big", "", 1)] == ["bob"]
        assert [each["customer_id"] for each in all_members(conn, "big", 1)] == ["bob", "cy"]
    # A segment that the program no longer has is empty.
    shop.publish("", NOW + 60 * DAY)
    told(database, NOW + 60 * DAY)
    assert rows(database, members) == []


def test_a_rule_for_a_segment_is_for_those_who_are_in_it_before_the_activity(database: Database) -> None:
    shop = Shop(database, WIN_BACK, BONUS)
    assert points(shop, "ann", 200, NOW) == 200
    assert points(shop, "ann", 10, NOW + DAY) == 17
    assert points(shop, "bob", 199, NOW + DAY) == 199
    shop.check()


def test_an_offer_is_made_by_lot_told_once_and_ends(database: Database) -> None:
    shop = Shop(database, WIN_BACK, BONUS)
    names = [f"c-{number}" for number in range(40)]
    for name in names:
        shop.buy(name, 10, NOW - 100 * DAY)
    lucky = [name for name in names if arm_of(SALT, name, 50) == "program"]
    assert 8 < len(lucky) < 32
    assert told(database, NOW).endswith(f"40 drawn, {len(lucky)} offered, 0 offers ended")
    # Both arms are exposed at one moment, and each arm is the lot's.
    exposed = rows(
        database,
        "SELECT customer_id, arm, exposed_at, source FROM exposures WHERE experiment_id = 'win-back'",
    )
    assert {(who, arm, at) for who, arm, at, _ in exposed} == {
        (name, "program" if name in lucky else "holdout", NOW) for name in names
    }
    assert {source for *_, source in exposed} == {"campaign"}
    events = rows(
        database, "SELECT customer_id, payload FROM outbox WHERE type = 'campaign.offered' ORDER BY 1"
    )
    assert [who for who, _ in events] == sorted(lucky)
    assert events[0][1]["campaign_id"] == "win-back"
    assert events[0][1]["text"] == "Fifty points with your next order"
    # Again: nobody is drawn or told twice, also where the run was cut short before it was noted.
    assert told(database, NOW + DAY).endswith("0 drawn, 0 offered, 0 offers ended")
    with database.engine.begin() as conn:
        conn.execute(text("UPDATE campaign_customers SET state = 'drawn' WHERE arm = 'program'"))
    assert told(database, NOW + DAY).endswith(f"0 drawn, {len(lucky)} offered, 0 offers ended")
    assert len(rows(database, "SELECT 1 FROM outbox WHERE type = 'campaign.offered'")) == len(lucky)
    # The bonus is for those who have the offer, for as long as they do, whatever tags the shop sets meanwhile.
    unlucky = next(name for name in names if name not in lucky)
    tag = Tag(customer_id=lucky[0], tags=["vip", "campaign:other"])
    shop.engine.execute([Submission(tag, None, "tests")], NOW + 2 * DAY)
    assert rows(database, "SELECT tags FROM accounts WHERE customer_id = :who", who=lucky[0]) == [
        (["campaign:win-back", "vip"],)
    ]
    assert points(shop, lucky[0], 10, NOW + 2 * DAY) == 60
    assert points(shop, unlucky, 10, NOW + 2 * DAY) == 10
    assert told(database, NOW + 10 * DAY).endswith(f"0 drawn, 0 offered, {len(lucky)} offers ended")
    assert points(shop, lucky[0], 10, NOW + 11 * DAY) == 10
    assert rows(database, "SELECT tags FROM accounts WHERE customer_id = :who", who=lucky[0]) == [(["vip"],)]
    with database.engine.connect() as conn:
        [shown] = campaigns_module.campaigns_told(conn, shop.document_in_force(NOW), NOW)["campaigns"]
    assert (shown["status"], shown["offered"], shown["held_out"]) == ("running", len(lucky), 40 - len(lucky))
    shop.check()


def test_nobody_is_drawn_before_or_after_a_campaign_or_held_out_of_the_program(database: Database) -> None:
    holdout = "holdout: {id: program, salt: another-salt-of-tests, share_pct: 50, starts_at: 2025-01-01, eligible: all}"
    shop = Shop(database, WIN_BACK + holdout, BONUS)
    names = [f"c-{number}" for number in range(40)]
    for name in names:
        shop.buy(name, 10, NOW - 100 * DAY)
    assert told(database, NOW - 35 * DAY).endswith("0 drawn, 0 offered, 0 offers ended")
    assert told(database, NOW + 40 * DAY).endswith("0 drawn, 0 offered, 0 offers ended")
    told(database, NOW)
    drawn = {who for (who,) in rows(database, "SELECT customer_id FROM campaign_customers")}
    assert drawn == {name for name in names if arm_of("another-salt-of-tests", name, 50) == "program"}


@pytest.mark.parametrize(
    ("sections", "rules", "said"),
    [
        ("", "- {id: r, activity: purchase, segments: [vip], gives: {type: fixed, points: 1}}",
         "rule 'r' is for segment 'vip', which is not there"),
        (SEGMENTS, "- {id: r, activity: purchase, segments: [dormnt], gives: {type: fixed, points: 1}}",
         "did you mean 'dormant'?"),
        (SEGMENTS, "- {id: r, activity: purchase, campaign: x, gives: {type: fixed, points: 1}}",
         "rule 'r' is for campaign 'x', which is not there"),
        ("segments: [{id: a, when: 'order.total_minor > 5'}]", "", "order.total_minor"),
        ("segments: [{id: a, when: 'customer.purchases'}]", "", "true or false"),
        ("segments: [{id: a, when: 'true'}, {id: a, when: 'true'}]", "", "another segment has the id 'a'"),
        (WIN_BACK.replace("segment: dormant", "segment: nobody"), "", "there is no segment 'nobody'"),
        (WIN_BACK.replace("until: 2026-12-01", "until: 2026-10-01"), "", "ends before it begins"),
        (WIN_BACK.replace(SALT, "short"), "", "salt"),
    ],
)  # fmt: skip
def test_a_document_that_cannot_mean_what_it_says_is_refused(sections: str, rules: str, said: str) -> None:
    with pytest.raises(ProgramInvalid) as refused:
        load_text(PROGRAM.replace("RULES", rules) + sections)
    assert said in str(refused.value)


def test_a_campaign_whose_lots_would_be_drawn_anew_cannot_be_published(database: Database) -> None:
    shop = Shop(database, WIN_BACK, BONUS)
    for change in (
        ("holdout_pct: 50", "holdout_pct: 40"),
        (SALT, SALT + "-2"),
        ("segment: dormant", "segment: big"),
    ):
        with pytest.raises(ProgramInvalid, match="win-back"):
            shop.publish(WIN_BACK.replace(*change), NOW, BONUS)
    reused = WIN_BACK.replace("id: win-back", "id: other")
    with pytest.raises(ProgramInvalid, match="salt"):
        shop.publish(reused, NOW, BONUS.replace("win-back", "other"))
    shop.publish(WIN_BACK.replace("offer_days: 10", "offer_days: 20"), NOW, BONUS)
    with database.engine.connect() as conn:
        assert verify(conn).ok


def test_a_replay_offers_what_a_campaign_offered_when_it_did(database: Database) -> None:
    shop = Shop(database, WIN_BACK, BONUS)
    for number in range(10):
        shop.buy(f"c-{number}", 10, NOW - 100 * DAY)
    told(database, NOW)
    for number in range(10):
        shop.buy(f"c-{number}", 10, NOW + DAY)
    told(database, NOW + 10 * DAY)
    for number in range(10):
        shop.buy(f"c-{number}", 10, NOW + 11 * DAY)
    later = NOW + 20 * DAY
    with database.engine.connect() as conn:
        latest = load_history(conn).latest
    with database.engine.connect() as conn:
        report = replay(conn, latest.document, as_of=later, since=latest.effective_from)
    assert report.changed == 0
    bonus = [each.points for each in report.issued if each.rule_id == "bonus"]
    assert [(each.before, each.after) for each in bonus] == [(bonus[0].before, bonus[0].before)]
    assert bonus[0].before > 0
