"""Every example of docs/guides/program.md, run. A new kind of table fails until it is understood here."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from rewards.core.money import format_minor, parse_major
from rewards.program.document import ProgramDocument
from rewards.program.earning import earn
from rewards.program.loading import ProgramInvalid, load_text
from rewards.program.periods import available_at, expires_at, inactive_at
from rewards.program.redemption import max_points_for_order, redeemable, value_minor

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "program.md"

_BLOCK = re.compile(r"^```(?P<kind>[a-z ]+)\n(?P<code>(?:.*\n)*?)```$|(?P<table>(?:^\|.*\n)+)", re.MULTILINE)
_PURCHASE = re.compile(r"purchase of (?P<total>[\d.]+)(?: \((?P<parts>.*)\))?")


@dataclass
class Happening:
    type: str
    name: str = ""
    total_minor: int = 0
    discount_minor: int = 0
    tax_minor: int = 0
    shipping_minor: int = 0


@dataclass
class Example:
    """A program's YAML as the page shows it, and the tables that follow it."""

    shown: str
    line: int
    tables: list[tuple[tuple[str, ...], list[list[str]]]] = field(default_factory=list)
    errors: str | None = None
    is_invalid: bool = False


def examples() -> Iterator[Example]:
    page = PAGE.read_text(encoding="utf-8")
    example: Example | None = None
    for block in _BLOCK.finditer(page):
        kind = block["kind"]
        if kind is not None and kind.startswith("yaml"):
            if example:
                yield example
            line = page.count("\n", 0, block.start()) + 2
            example = Example(block["code"], line, is_invalid=kind == "yaml invalid")
        elif kind == "text":
            assert example is not None
            example.errors = block["code"]
        elif kind is None:
            assert example is not None
            cells = [
                [cell.strip() for cell in row.strip("|").split("|")] for row in block["table"].splitlines()
            ]
            example.tables.append((tuple(cells[0]), cells[2:]))
        else:
            pytest.fail(f"nobody runs blocks of {kind!r}")
    if example:
        yield example


EXAMPLES = list(examples())
WHOLE = EXAMPLES[0]


def completed(shown: str) -> str:
    """The page's example with the required fields after it, so that its own lines keep their numbers."""
    given = yaml.safe_load(shown)
    required = {
        name: value
        for name, value in yaml.safe_load(WHOLE.shown).items()
        if name in ("schema_version", "name", "currency", "timezone") and name not in given
    }
    return shown + (yaml.safe_dump(required) if required else "")


def happening(text: str, currency: str) -> Happening:
    if match := _PURCHASE.fullmatch(text):
        found = Happening("purchase", total_minor=parse_major(match["total"], currency))
        for part in (match["parts"] or "").split(", ") if match["parts"] else ():
            name, amount = part.split(" ")
            setattr(found, f"{name}_minor", parse_major(amount, currency))
        return found
    kind, _, name = text.partition(" ")
    return Happening(kind, name)


def check_earning(program: ProgramDocument, what: str, points: str, explanation: str) -> None:
    grants = earn(program, happening(what, program.currency)).grants
    assert (sum(grant.points for grant in grants), "; ".join(grant.text for grant in grants)) == (
        int(points),
        explanation,
    )


def check_times(program: ProgramDocument, earned: str, available: str, expires: str) -> None:
    at = datetime.fromisoformat(earned)
    assert available_at(program.points, at, program.zone) == datetime.fromisoformat(available)
    expected = None if expires == "never" else datetime.fromisoformat(expires)
    assert expires_at(program.points, at, program.zone) == expected


def check_inactivity(program: ProgramDocument, active: str, inactive: str) -> None:
    result = inactive_at(program.points, datetime.fromisoformat(active), program.zone)
    assert result == datetime.fromisoformat(inactive)


def check_worth(program: ProgramDocument, points: str, worth: str) -> None:
    assert redeemable(program.redemption, int(points)) == int(points)
    assert format_minor(value_minor(program.redemption, int(points)), program.currency) == worth


def check_share(program: ProgramDocument, total: str, most: str) -> None:
    assert max_points_for_order(program.redemption, parse_major(total, program.currency)) == int(most)


CHECKS: dict[tuple[str, ...], Callable[..., None]] = {
    ("what happens", "points", "explanation"): check_earning,
    ("earned at", "available at", "expires at"): check_times,
    ("last active at", "inactive at"): check_inactivity,
    ("points", "are worth"): check_worth,
    ("order of", "most points that may pay it"): check_share,
}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"line {example.line}")
def test_the_page_says_what_the_engine_does(example: Example) -> None:
    text = completed(example.shown)
    if example.is_invalid:
        with pytest.raises(ProgramInvalid) as caught:
            load_text(text, source="program.yaml")
        assert str(caught.value) + "\n" == example.errors
        return
    program = load_text(text)
    assert example.tables, "an example without a result proves nothing"
    for header, rows in example.tables:
        for row in rows:
            CHECKS[header](program, *row)


def test_the_page_shows_enough() -> None:
    assert len(EXAMPLES) >= 15
    assert sum(example.is_invalid for example in EXAMPLES) == 1
    assert {header for example in EXAMPLES for header, _ in example.tables} == set(CHECKS)
