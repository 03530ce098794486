"""Every worked program of docs/guides/rules.md, played on the engine: what the page says is what comes of it."""

import re
from itertools import pairwise
from typing import get_args

import pytest
from worked_programs import PAGE, Row, Story, WorkedProgram, completed, read_page

from rewards.core.database import Database
from rewards.ledger.verification import verify
from rewards.program.document import ProgramDocument
from rewards.program.loading import load_text
from rewards.program.rules import (
    Active,
    AtLeast,
    Budget,
    Cap,
    EarnRule,
    Fixed,
    Multiplier,
    Occurrences,
    PerAmount,
    PerUnit,
    Window,
)
from rewards.program.sections import ActivityType, Section

PROGRAMS, TABLES = read_page(PAGE.read_text(encoding="utf-8"))
STORIES = [(program, number) for program in PROGRAMS for number in range(len(program.tables))]
DOCUMENTS = [document for worked in PROGRAMS for document in worked.documents() if document is not None]
RULES = [rule for document in DOCUMENTS for rule in document.earn]
GIVES: dict[str, type[Section]] = {
    "per_amount": PerAmount,
    "fixed": Fixed,
    "per_unit": PerUnit,
    "multiplier": Multiplier,
    "at_least": AtLeast,
}
PARTS: dict[str, type[Section]] = {
    "active": Active,
    "windows": Window,
    "caps": Cap,
    "occurrences": Occurrences,
    "budget": Budget,
}


@pytest.mark.parametrize(
    ("worked", "number"), STORIES, ids=[f"line {each.line}, {each.title}" for each, _ in STORIES]
)
def test_the_page_says_what_the_engine_does(worked: WorkedProgram, number: int, database: Database) -> None:
    rows = worked.tables[number]
    told = Story(database, *worked.documents()).play(rows)
    for each, shown in zip(told, rows, strict=True):
        assert each == shown
    with database.engine.connect() as conn:
        assert verify(conn).breaks == []


def test_the_page_shows_enough() -> None:
    assert len(PROGRAMS) >= 28
    assert all(worked.tables for worked in PROGRAMS), "an example without a table proves nothing"
    assert {rule.gives.type for rule in RULES} == set(GIVES)
    # Nobody sends `referred`: it comes of a referral.
    assert {rule.activity for rule in RULES} >= set(get_args(ActivityType)) - {"referred"}
    assert {rule.stacking for rule in RULES} == {"add", "exclusive", "best"}
    assert {(cap.per, cap.then) for rule in RULES for cap in rule.caps} >= {
        ("day", "reduce"),
        ("day", "refuse"),
    }
    assert {cap.per for rule in RULES for cap in rule.caps} == {
        "award",
        "day",
        "week",
        "month",
        "year",
        "life",
    }


def _fields(section: type[Section]) -> set[str]:
    return {each.alias or name for name, each in section.model_fields.items() if name != "type"}


def _named(cell: str, among: set[str]) -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", cell)) & among


def test_the_reference_names_every_part() -> None:
    of_rules, of_gives, of_parts = ({row[0].strip("`"): row[1:] for row in table[2:]} for table in TABLES)
    assert set(of_rules) == {each.alias or name for name, each in EarnRule.model_fields.items()}
    for name, (_, default) in of_rules.items():
        assert (default == "required") == EarnRule.model_fields[name].is_required(), name
    assert set(re.findall(r"`(\w+)`", of_rules["activity"][0])) == set(get_args(ActivityType))
    assert set(of_gives) == set(GIVES)
    for name, (fields, _) in of_gives.items():
        assert set(re.findall(r"`(\w+)`", fields)) == _fields(GIVES[name]), name
    assert set(of_parts) == set(PARTS)
    for name, (fields,) in of_parts.items():
        assert _named(fields, _fields(PARTS[name])) == _fields(PARTS[name]), name


_PROGRAM = "earn: [{id: base, activity: purchase, gives: {type: per_amount, points: 1, per_minor: 100}}]"
_AT = "2026-11-20 10:00"


def _document() -> ProgramDocument:
    return load_text(completed(_PROGRAM))


@pytest.mark.parametrize(
    "row",
    [
        Row(_AT, "ordr 1 of 10.00", "10", ""),
        Row(_AT, "order 1 of 10.00 (tip 1.00)", "10", ""),
        Row(_AT, "order 1 of 10.00: TEA 10.00", "10", ""),
        Row(_AT, "refund 1 by half", "", ""),
        Row(_AT, "publish the change", "", ""),
        Row(_AT, "the same again", "", ""),
        Row("yesterday", "order 1 of 10.00", "10", ""),
        Row("1969-11-20 10:00", "order 1 of 10.00", "10", ""),
        Row("same batch", "order 1 of 10.00", "10", ""),
        Row(_AT, "Ann: order 1 of 10.00", "10", ""),
    ],
    ids=lambda row: f"{row.when} {row.what}",
)
def test_what_nobody_understands_fails(row: Row, database: Database) -> None:
    with pytest.raises(AssertionError):
        Story(database, _document(), None).play([row])


@pytest.mark.parametrize(
    "page",
    [
        f"```yaml\n{_PROGRAM}\n```\n\n| when | points |\n| --- | --- |\n| now | 1 |\n",
        f"```yaml program\n{_PROGRAM}\n```\n",
        f"```yaml\n{_PROGRAM}\n```\n```yaml changed\n{_PROGRAM}\n```\n```yaml changed\n{_PROGRAM}\n```\n",
    ],
    ids=["a table", "a block", "two changes"],
)
def test_what_nobody_reads_fails(page: str) -> None:
    with pytest.raises(AssertionError):
        read_page(page)


def test_nothing_on_the_page_is_left_out() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("\n```yaml\n") == len(PROGRAMS)
    assert page.count("\n```yaml changed\n") == sum(each.changed is not None for each in PROGRAMS)
    headers = re.findall(r"^\| when \|.*$", page, re.MULTILINE)
    assert len(headers) == len(STORIES)
    rows = re.findall(r"^\|(?! ---).*$", page, re.MULTILINE)
    assert len(rows) == sum(len(each.tables[number]) + 1 for each, number in STORIES) + sum(
        len(table) - 1 for table in TABLES
    )
    titles = [each.title for each in PROGRAMS]
    assert all(one != other for one, other in pairwise(titles)), "each program has a heading of its own"
