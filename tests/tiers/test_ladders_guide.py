"""Every worked ladder of docs/guides/ladders.md, played: what the page says is what comes of it."""

import re
from typing import get_args

import pytest
from ladder_shop import PlayedOnEngine
from worked_ladders import PAGE, PlayedPurely, WorkedLadder, completed, read_page

from rewards.core.database import Database
from rewards.ledger.verification import verify
from rewards.program.conditions.variables import LADDER_VARIABLES
from rewards.program.ladder import (
    AnniversaryPeriods,
    CalendarPeriods,
    Downgrade,
    ForEver,
    Ladder,
    LastsPeriod,
    LastsToPeriodEnd,
    Lifetime,
    ProgramDates,
    Rolling,
    Tier,
    WayIn,
    WhileQualified,
)
from rewards.program.loading import load_text
from rewards.program.sections import Section

LADDERS, TABLES, SHOWN = read_page(PAGE.read_text(encoding="utf-8"))
STORIES = [(worked, number) for worked in LADDERS for number in range(len(worked.stories))]
IN_FORCE = [
    document.ladder
    for worked in LADDERS
    for document in worked.documents()
    if document is not None and document.ladder is not None
]
WINDOWS: dict[str, type[Section]] = {
    "lifetime": Lifetime,
    "rolling": Rolling,
    "calendar": CalendarPeriods,
    "anniversary": AnniversaryPeriods,
    "dates": ProgramDates,
}
LASTS: dict[str, type[Section]] = {
    "for_ever": ForEver,
    "while_qualified": WhileQualified,
    "after": LastsPeriod,
    "period_end": LastsToPeriodEnd,
}
played = pytest.mark.parametrize(
    ("worked", "number"),
    STORIES,
    ids=[f"line {each.line}, {each.title}, {number}" for each, number in STORIES],
)


@played
def test_the_page_says_what_the_ladder_does(worked: WorkedLadder, number: int) -> None:
    assert PlayedPurely(*worked.documents()).play(worked.stories[number]) == []


@played
def test_the_page_says_what_the_engine_does(worked: WorkedLadder, number: int, database: Database) -> None:
    assert PlayedOnEngine(database, *worked.documents()).play(worked.stories[number]) == []
    with database.engine.connect() as conn:
        assert verify(conn).breaks == []


def test_the_page_shows_enough() -> None:
    assert len(LADDERS) >= 30
    assert all(worked.stories for worked in LADDERS), "a ladder without a story proves nothing"
    assert all(story.expected for worked in LADDERS for story in worked.stories)
    for shown in SHOWN:
        load_text(completed(shown))
    assert {ladder.window.type for ladder in IN_FORCE} == set(WINDOWS)
    assert {ladder.lasts.type for ladder in IN_FORCE} == set(LASTS)
    assert {ladder.downgrade.to for ladder in IN_FORCE} == set(
        get_args(Downgrade.model_fields["to"].annotation)
    )
    for name in ("upgrade", "counts_from", "refunds", "edits"):
        choices = set(get_args(Ladder.model_fields[name].annotation))
        assert {getattr(ladder, name) for ladder in IN_FORCE} == choices, name
    ways = [way for ladder in IN_FORCE for tier in ladder.tiers for way in tier.ways_in]
    for name in WayIn.model_fields:
        assert any(getattr(way, name) is not None for way in ways), name


def test_the_reference_names_every_part() -> None:
    of_ladder, of_tiers, of_ways, of_windows, of_lasts, of_downgrade = (
        {row[0].strip("`"): row[1:] for row in table[2:]} for table in TABLES
    )
    for section, rows in ((Ladder, of_ladder), (Tier, of_tiers)):
        assert set(rows) == set(section.model_fields)
        for name, (_, default) in rows.items():
            assert (default == "required") == section.model_fields[name].is_required(), name
    assert set(of_downgrade) == set(Downgrade.model_fields)
    assert set(of_ways) == set(WayIn.model_fields) - {"window"}
    for types, rows in ((WINDOWS, of_windows), (LASTS, of_lasts)):
        assert set(rows) == set(types)
        for name, (fields, _) in rows.items():
            named = set(re.findall(r"`([a-z_]+)`", fields.partition(":")[0]))
            assert named == set(types[name].model_fields) - {"type"}, name


def test_the_page_names_what_conditions_may_ask() -> None:
    (said,) = re.findall(
        r"^A condition may ask for (.*?)\. What", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert re.findall(r"`([a-z_.]+)`", said) == list(LADDER_VARIABLES)


def test_nothing_on_the_page_is_left_out() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("\n```yaml\n") == len(LADDERS)
    assert page.count("\n```yaml changed\n") == sum(each.changed is not None for each in LADDERS)
    assert len(re.findall(r"^\| when \|", page, re.MULTILINE)) == len(STORIES)
    assert len(re.findall(r"^\| day \|", page, re.MULTILINE)) == len(STORIES)
    rows = re.findall(r"^\| (?!---|by day|!\[).*$", page, re.MULTILINE)
    told = [worked.stories[number] for worked, number in STORIES]
    of_moves = sum(len(story.moves) + 1 for story in told if story.moves is not None)
    of_stories = sum(len(story.happenings) + len(story.expected) + 2 for story in told)
    assert len(rows) == of_stories + of_moves + sum(len(table) - 1 for table in TABLES)
    titles = [each.title for each in LADDERS]
    assert len(set(titles)) == len(titles), "each ladder has a heading of its own"


_LADDER = "ladder: {tiers: [{id: bronze, name: Bronze}]}"
_EVENTS = "| when | what |\n| --- | --- |\n| 2026-01-10 12:00 | {} |\n\n"
_STANDINGS = "| day | tier | since | last day | why |\n| --- | --- | --- | --- | --- |\n| {} |\n"
_JOINED = "2026-01-10 | bronze | 2026-01-10 | | joined"


@pytest.mark.parametrize(
    ("happening", "standing"),
    [
        ("by 1 of 10.00", _JOINED),
        ("buy 1 of 10.00 or so", _JOINED),
        ("refund 2 in full", _JOINED),
        ("publish the change", _JOINED),
        ("buy 1 of 10.00", "2026-01-09 | bronze | 2026-01-10 | | joined"),
        ("buy 1 of 10.00", "2026-01-10 | silver | 2026-01-10 | | joined"),
        ("buy 1 of 10.00", "2026-01-10 | bronze | 2026-01-09 | | joined"),
        ("buy 1 of 10.00", "2026-01-10 | bronze | 2026-01-10 | 2026-12-31 | joined"),
        ("buy 1 of 10.00", "2026-01-10 | bronze | 2026-01-10 | | earned"),
        ("buy 1 of 10.00", "2026-01-10 | bronze | 2026-01-10 | | joined, in grace"),
    ],
)
def test_what_is_wrong_fails(happening: str, standing: str) -> None:
    page = f"# A ladder\n```yaml\n{_LADDER}\n```\n{_EVENTS.format(happening)}{_STANDINGS.format(standing)}"
    (worked,), _, _ = read_page(page)
    with pytest.raises((AssertionError, KeyError)):
        assert PlayedPurely(*worked.documents()).play(worked.stories[0]) == []


def test_what_holds_is_looked_at_every_day() -> None:
    page = (
        "# A ladder\n```yaml\nladder:\n  window: {type: rolling, period: P10D}\n  lasts: {type: while_qualified}\n"
        "  tiers: [{id: bronze, name: Bronze}, {id: silver, name: Silver, ways_in: [{orders: 1}]}]\n```\n"
        + _EVENTS.format("buy 1 of 10.00")
        + _STANDINGS.format("2026-01-10 | silver | 2026-01-10 | | earned")
        + "| 2026-01-22 | bronze | 2026-01-20 | | ended |\n"
    )
    (worked,), _, _ = read_page(page)
    assert PlayedPurely(*worked.documents()).play(worked.stories[0]) == [
        f"2026-01-{day} 23:59: the page says ('silver', '2026-01-10', '', 'earned'), "
        "it is ('bronze', '2026-01-20', '', 'ended')"
        for day in (20, 21)
    ]
