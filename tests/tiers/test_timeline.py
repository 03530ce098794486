"""The ladders of a program's versions, one after the other, and which of them move anybody."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rewards.ledger.standing_state import Qualifying
from rewards.program.document import ProgramDocument
from rewards.program.history import ProgramHistory, ProgramVersion
from tiers.folding import Fold
from tiers.history import History
from tiers.ladder import Timeline, timeline_of
from tiers.standing import standing_at, tier_of

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BRONZE = {"id": "bronze", "name": "Bronze"}
SILVER = {"id": "silver", "name": "Silver", "ways_in": [{"spend_minor": 10_000}]}
LADDER: dict[str, Any] = {"tiers": [BRONZE, SILVER], "window": {"type": "rolling", "period": "P30D"}}
DEARER = {**LADDER, "tiers": [BRONZE, {**SILVER, "ways_in": [{"spend_minor": 20_000}]}]}
NAMED = {**LADDER, "tiers": [BRONZE, {**SILVER, "name": "Silver Plus", "earn_multiplier_pct": 150}]}


def _versions(*ladders: dict[str, Any] | None, days: tuple[int, ...] = (), **others: Any) -> ProgramHistory:
    versions = []
    for place, ladder in enumerate(ladders):
        data = {"schema_version": 1, "name": "Tea Club", "currency": "GBP", "timezone": "Europe/London"}
        document = ProgramDocument.model_validate({**data, "ladder": ladder, **others})
        at = FIRST + DAY * (days[place] if days else place)
        versions.append(ProgramVersion(place + 1, document, at, at, "test"))
    return ProgramHistory(versions)


def _stretches(programs: ProgramHistory) -> list[tuple[datetime | None, int, bool]]:
    return [
        (stretch.since, stretch.version, stretch.ladder is not None)
        for stretch in Timeline(programs).stretches
    ]


def test_versions_that_leave_the_ladder_are_one_stretch() -> None:
    assert _stretches(_versions(LADDER, LADDER, LADDER)) == [(None, 1, True)]
    assert _stretches(_versions(None, None)) == [(None, 1, False)]
    assert not Timeline(_versions(None, None)).has_ladder


def test_the_first_ladder_governs_what_was_before_it() -> None:
    timeline = Timeline(_versions(LADDER, None, DEARER))
    assert [timeline.at(FIRST + DAY * day) for day in (-1000, 0, 1, 2, 1000)] == [0, 0, 1, 2, 2]
    assert timeline.at(FIRST + DAY - timedelta(microseconds=1)) == 0
    assert timeline.has_ladder


def test_of_two_ladders_at_one_instant_the_first_never_governs() -> None:
    second = FIRST + DAY
    assert _stretches(_versions(LADDER, DEARER, None, days=(0, 1, 1))) == [
        (None, 1, True),
        (second, 3, False),
    ]
    # And where that leaves the ladder as it was, nothing begins.
    assert _stretches(_versions(LADDER, DEARER, LADDER, days=(0, 1, 1))) == [(None, 1, True)]
    assert _stretches(_versions(None, DEARER, None, days=(0, 1, 1))) == [(None, 1, False)]


def test_a_version_that_takes_effect_before_an_earlier_one_is_told_of_afterwards_too() -> None:
    """What was worked out under version 2 alone is not taken for what 3 and then 2 make of it."""
    stretches = _stretches(_versions(LADDER, DEARER, NAMED, days=(0, 5, 3)))
    assert stretches == [(None, 1, True), (FIRST + 3 * DAY, 3, True), (FIRST + 5 * DAY, 3, True)]


def test_a_timeline_is_built_once() -> None:
    programs = _versions(LADDER)
    assert timeline_of(programs) is timeline_of(programs)


def _bought(day: int, minor: int) -> Qualifying:
    at = FIRST + DAY * day + timedelta(hours=12)
    return Qualifying(at, day + 1, at, minor // 100, minor, 1, 0)


@pytest.mark.parametrize("edits", ["requalify", "raise_only"])
def test_what_is_told_of_a_tier_changes_and_nobody_moves(edits: str) -> None:
    """After 30 days nothing of the window is left, so that whoever is looked at falls."""
    timeline = Timeline(_versions(LADDER, {**NAMED, "edits": edits}, days=(0, 50)))
    history = History([_bought(0, 10_000)])
    for day, name in ((49, "Silver"), (51, "Silver Plus")):
        at = FIRST + DAY * day
        standing = standing_at(timeline, history, at)
        tier = tier_of(timeline, standing, at)
        assert (standing.tier, tier and tier.name) == ("silver", name)
    assert [move.reason for move in Fold(timeline, history).run(FIRST + 60 * DAY).moves] == [
        "joined",
        "earned",
    ]


@pytest.mark.parametrize(
    ("change", "tier"),
    [
        (DEARER, "bronze"),
        ({**DEARER, "edits": "raise_only"}, "silver"),
        ({**LADDER, "window": {"type": "rolling", "period": "P20D"}}, "bronze"),
        ({**LADDER, "lasts": {"type": "after", "period": "P1Y"}}, "silver"),
        ({**LADDER, "downgrade": {"to": "first"}}, "silver"),
        ({**LADDER, "refunds": "keep"}, "silver"),
    ],
    ids=["what it takes", "what it takes, raise only", "the window", "how long", "the way down", "refunds"],
)
def test_nobody_falls_by_a_change_of_anything_but_what_it_takes(change: dict[str, Any], tier: str) -> None:
    timeline = Timeline(_versions(LADDER, change, days=(0, 50)))
    assert standing_at(timeline, History([_bought(0, 10_000)]), FIRST + 51 * DAY).tier == tier


def test_a_standing_lasts_anew_where_the_clock_was_changed() -> None:
    lasting = {**LADDER, "lasts": {"type": "after", "period": "P60D"}}
    longer = {**LADDER, "lasts": {"type": "after", "period": "P90D"}}
    dearer = {**DEARER, "lasts": {"type": "after", "period": "P60D"}, "edits": "raise_only"}
    history = History([_bought(0, 10_000)])

    def until(change: dict[str, Any]) -> datetime | None:
        return standing_at(
            Timeline(_versions(lasting, change, days=(0, 50))), history, FIRST + 51 * DAY
        ).until

    assert until(dearer) == FIRST + 61 * DAY
    assert until(longer) == FIRST + (50 + 91) * DAY - timedelta(hours=1)  # summer has begun in London


def test_a_grace_that_runs_remembers_what_was_qualified_for_by_name() -> None:
    """A tier put below the others moves all places; who ended with enough for silver still lands in it."""
    gold = {"id": "gold", "name": "Gold", "ways_in": [{"spend_minor": 30_000}]}
    year = {
        "window": {"type": "calendar", "unit": "year"},
        "lasts": {"type": "period_end"},
        "downgrade": {"grace": "P3M"},
    }
    before = {"tiers": [BRONZE, SILVER, gold], **year}
    after = {
        "tiers": [{"id": "wood", "name": "Wood"}, {**BRONZE, "ways_in": [{"orders": 1}]}, SILVER, gold],
        **year,
    }
    timeline = Timeline(_versions(before, {**after, "edits": "raise_only"}, days=(0, 366 + 365 + 10)))
    history = History([_bought(0, 30_000), _bought(400, 15_000)])
    in_grace = standing_at(timeline, history, datetime(2028, 3, 1, tzinfo=UTC))
    assert (in_grace.tier, in_grace.grace_until) == ("gold", datetime(2028, 3, 31, 23, tzinfo=UTC))
    assert standing_at(timeline, history, datetime(2028, 5, 1, tzinfo=UTC)).tier == "silver"
