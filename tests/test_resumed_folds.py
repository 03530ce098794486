"""A standing on record goes on as the whole history does, whatever happens to the ladder after it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rewards.ledger.standing_state import Qualifying
from rewards.program.document import ProgramDocument
from rewards.program.history import ProgramHistory, ProgramVersion
from tiers.folding import Fold
from tiers.history import History
from tiers.ladder import Timeline
from tiers.resuming import resumed

START = datetime(2024, 1, 15, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)

windows = st.sampled_from(
    [
        {"type": "lifetime"},
        {"type": "rolling", "period": "P90D"},
        {"type": "rolling", "period": "P12M"},
        {"type": "calendar", "unit": "quarter"},
        {"type": "calendar", "unit": "year"},
        {"type": "anniversary"},
        {"type": "dates", "dates": ["03-01", "09-15"]},
    ]
)
downgrades = st.sampled_from(
    [
        {"to": "none"},
        {"to": "first"},
        {"to": "one_lower", "grace": "P1M"},
        {"to": "qualified"},
        {"to": "qualified", "grace": "P20D", "round_up_to": "month"},
    ]
)


@st.composite
def ladders(draw: Any) -> dict[str, Any] | None:
    if draw(st.integers(0, 9)) == 0:
        return None
    window = draw(windows)
    lasts = [
        {"type": "for_ever"},
        {"type": "after", "period": "P6M"},
        {"type": "after", "period": "P3M", "round_up_to": "month"},
        {"type": "while_qualified"},
    ]
    if window["type"] in ("calendar", "anniversary", "dates"):
        lasts += [{"type": "period_end"}, {"type": "period_end", "more_periods": 1}]
    ladder: dict[str, Any] = {
        "window": window,
        "lasts": draw(st.sampled_from(lasts)),
        "downgrade": draw(downgrades),
        "edits": draw(st.sampled_from(["requalify", "raise_only"])),
        "refunds": draw(st.sampled_from(["lower", "keep"])),
        "tiers": [{"id": "a", "name": "A"}, *_higher(draw)],
    }
    if ladder["lasts"]["type"] == "period_end":
        ladder["upgrade"] = draw(st.sampled_from(["at_once", "period_end"]))
    if ladder["lasts"]["type"] == "while_qualified" and ladder["downgrade"]["to"] == "one_lower":
        ladder["downgrade"] = {"to": "one_lower", "grace": "P1M"}
    if draw(st.booleans()):
        ladder["tiers"][0]["ways_in"] = [{"points": 10}]
    return ladder


def _higher(draw: Any) -> list[dict[str, Any]]:
    tiers = []
    least = 0
    for tier_id in draw(st.lists(st.sampled_from("bcde"), unique=True, max_size=4).map(sorted)):
        least += draw(st.integers(20, 150))
        ways: list[dict[str, Any]] = [{"points": least}]
        if draw(st.booleans()):
            ways.append({"orders": draw(st.integers(2, 8)), "window": draw(windows)})
        tiers.append(
            {"id": tier_id, "name": tier_id, "ways_in": ways, "never_downgrade": draw(st.integers(0, 7)) == 0}
        )
    return tiers


def document(ladder: dict[str, Any] | None) -> ProgramDocument:
    rule = {
        "id": "base",
        "activity": "purchase",
        "gives": {"type": "per_amount", "points": 1, "per_minor": 100},
    }
    given_: dict[str, Any] = {
        "schema_version": 1,
        "name": "T",
        "currency": "GBP",
        "timezone": "Europe/London",
        "earn": [rule],
    }
    return ProgramDocument.model_validate(given_ | ({} if ladder is None else {"ladder": ladder}))


@st.composite
def histories(draw: Any) -> list[Qualifying]:
    days = draw(st.lists(st.integers(0, 900), min_size=1, max_size=9).map(sorted))
    events: list[Qualifying] = []
    for day in days:
        at = START + day * DAY + timedelta(minutes=draw(st.integers(0, 1_400)))
        points = draw(st.integers(0, 120))
        events.append(Qualifying(at, len(events) + 1, at, points, points * 100, 1, 0))
        if draw(st.integers(0, 5)) == 0:
            back = at + draw(st.integers(0, 60)) * DAY
            events.append(
                Qualifying(back, len(events) + 1, at, -points, -points * 100, -1, 0, is_return=True)
            )
    events.sort(key=lambda event: (event.at, event.seq))
    return events


@given(
    ladders=st.lists(ladders(), min_size=1, max_size=3),
    starts=st.lists(st.integers(30, 1_000), min_size=3, max_size=3).map(sorted),
    events=histories(),
    stands_on=st.integers(0, 1_000),
    ahead=st.integers(0, 500),
)
def test_going_on_from_a_standing_is_reading_all_again(
    ladders: list[Any], starts: list[int], events: list[Qualifying], stands_on: int, ahead: int
) -> None:
    at = [START - 100 * DAY, *(START + day * DAY + timedelta(hours=5) for day in starts)]
    versions = [
        ProgramVersion(number + 1, document(ladder), at[number], at[number], "t")
        for number, ladder in enumerate(ladders)
    ]
    timeline = Timeline(ProgramHistory(versions))
    # All that happened is on record when the standing is: who was served later has a later standing.
    on_record = max(START + stands_on * DAY, events[-1].at)
    until = on_record + ahead * DAY
    standing = Fold(timeline, History(events)).run(on_record).standing()
    whole = Fold(timeline, History(events)).run(until)
    further = resumed(timeline, History(events), standing).run(until)
    assert further.standing() == whole.standing()
    assert [move for move in further.moves if move.at > on_record] == [
        move for move in whole.moves if move.at > on_record
    ]
    assert further.tier == whole.tier
    assert further.since == whole.since


@given(ladder=ladders(), draft=ladders(), events=histories(), ahead=st.integers(0, 200))
def test_a_ladder_published_now_is_gone_on_with_from_standings_of_before(
    ladder: Any, draft: Any, events: list[Qualifying], ahead: int
) -> None:
    first = ProgramVersion(1, document(ladder), START - 100 * DAY, START, "t")
    standing = Fold(Timeline(ProgramHistory([first])), History(events)).run(events[-1].at).standing()
    now = events[-1].at + ahead * DAY + timedelta(minutes=1)
    timeline = Timeline(ProgramHistory([first, ProgramVersion(2, document(draft), now, now, "t")]))
    whole = Fold(timeline, History(events)).run(now)
    further = resumed(timeline, History(events), standing).run(now)
    assert further.standing() == whole.standing()
    assert [each for each in further.moves if each.at == now] == [
        each for each in whole.moves if each.at == now
    ]
