"""What pages say of a standing, in words."""

from datetime import UTC, datetime, timedelta
from typing import Any

from api.pages.standing_view import StandingShown, standing_shown
from rewards.ledger.standing_state import Qualifying
from rewards.program.history import ProgramHistory, ProgramVersion
from rewards.program.loading import load_text
from tiers.history import History
from tiers.ladder import timeline_of
from tiers.progress import outlook

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
PROGRAM = """
schema_version: 1
name: Tea
currency: GBP
timezone: Europe/London
ladder:
  window: {type: rolling, period: P12M}
  lasts: {type: after, period: P12M}
  tiers:
  - {id: bronze, name: Bronze}
  - id: silver
    name: Silver
    ways_in: [{spend_minor: 10000}, {orders: 5}]
    earn_multiplier_pct: 150
    redemption_value_pct: 120
    perks: [{id: ship, name: Free delivery, active: {until: 2026-12-24T18:00}}]
  - {id: gold, name: Gold, needs: all, ways_in: [{points: 500}, {when: customer.days_since_joined >= 30}]}
"""


def shown(at: datetime, *orders: tuple[datetime, int]) -> StandingShown:
    version = ProgramVersion(1, load_text(PROGRAM), BEGUN, BEGUN, "tests")
    events = [
        Qualifying(day, seq, day, minor // 100, minor, 1, 0) for seq, (day, minor) in enumerate(orders, 1)
    ]
    found = outlook(timeline_of(ProgramHistory([version])), History(events), at)
    assert found is not None
    return standing_shown(found, "GBP")


def texts(goal: Any) -> list[str]:
    return [way.text.replace("\N{NO-BREAK SPACE}", " ") for way in goal.ways]


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_what_there_is_to_reach() -> None:
    page = shown(datetime(2026, 3, 2, tzinfo=UTC), (datetime(2026, 3, 1, 12, tzinfo=UTC), 60_00))
    assert (page.name, page.until_text, page.keep, page.raised) == ("Bronze", "", None, [])
    assert plain(page.since_text) == "1 Mar 2026"
    silver, gold = page.reach
    assert (silver.heading, silver.joined_by) == ("To reach Silver", "one of")
    assert texts(silver) == [
        "£60.00 of £100.00 spent: £40.00 to go",
        "1 of 5 orders: 4 to go",
    ]
    assert plain(silver.ways[0].lapses) == "some of it counts only until 28 Feb 2027"
    assert (gold.joined_by, texts(gold)[1]) == ("all of", "a condition of the program")


def test_what_there_is_to_keep() -> None:
    first = datetime(2026, 3, 1, 12, tzinfo=UTC)
    page = shown(first + timedelta(days=30), (first, 100_00))
    assert (page.name, plain(page.until_text), page.reason) == ("Silver", "1 Mar 2027", "by what was earned")
    assert page.raised == ["1.5 times the usual points on orders", "Points pay 20% more"]
    assert [(perk.name, perk.until) for perk in page.perks] == [("Free delivery", "until 2026-12-24, 18:00")]
    assert page.keep is not None
    assert plain(page.keep.heading) == "To stay Silver after 1 Mar 2027"
    assert texts(page.keep)[0] == "£0.00 of £100.00 spent: £100.00 to go"
    enough = shown(first + timedelta(days=60), (first, 100_00), (first + timedelta(days=50), 100_00))
    assert enough.keep is not None
    assert enough.keep.is_met
    assert plain(enough.keep.heading) == "Already enough to stay Silver after 1 Mar 2027"
