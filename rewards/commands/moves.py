"""Who would move tier, as `rewards program preview` prints it."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rewards.commands.console import table
from rewards.core.money import format_minor

if TYPE_CHECKING:
    from rewards.preview.moves import MovesReport

#: So many of those who move are printed; ``--moves FILE`` writes all.
MOST_PRINTED = 10
_NO_TIER = "–"


def described(report: "MovesReport | None") -> str:
    """Return who would move as text; nothing where there is no ladder."""
    if report is None:
        return ""
    moved = len(report.moved)
    told = (
        f"{moved:,} of {report.customers:,} customers would move tier if it were published now: "
        f"{report.up:,} up, {report.down:,} down"
        if moved
        else f"None of {report.customers:,} customers would move tier if it were published now"
    )
    parts = [f"{told} ({report.seconds:.1f} s)", _matrix(report), _figures(report), _list(report)]
    parts.append(f"To publish only what was previewed: --expect-moves {report.digest}")
    return "\n\n".join(part for part in parts if part)


def _matrix(report: "MovesReport") -> str:
    """Return customers by the tier they come from, down, and the one they go to, across."""
    tiers: list[str | None] = [tier for tier, _ in report.tiers]
    if any(None in step for step in report.matrix):
        tiers.insert(0, None)
    names: dict[str | None, str] = {None: _NO_TIER, **dict(report.tiers)}
    rows = [("FROM \\ TO", *(names[tier] for tier in tiers))]
    for came_from in tiers:
        counts = [report.matrix.get((came_from, goes_to), 0) for goes_to in tiers]
        if any(counts):
            rows.append((names[came_from], *(f"{count:,}" if count else "" for count in counts)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return table(
        [
            (row[0], *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)))
            for row in rows
        ]
    )


def _figures(report: "MovesReport") -> str:
    value, year = report.value_minor, report.year_points
    before = f"{format_minor(value.before, report.currency_before)} {report.currency_before}"
    after = f"{format_minor(value.after, report.currency)} {report.currency}"
    return (
        f"The {report.outstanding_points:,} points that customers have are worth {before} now, {after} then.\n"
        f"On the purchases of the last 365 days tiers give {year.before:,} points on top now, {year.after:,} then."
    )


def _list(report: "MovesReport") -> str:
    if not report.moved:
        return ""
    names: dict[str | None, str] = {None: _NO_TIER, **dict(report.tiers)}
    rows = [("CUSTOMER", "FROM", "TO", "UNTIL")]
    rows += [
        (
            each.customer_id,
            names[each.from_tier],
            names[each.to_tier],
            "" if each.until is None else f"{each.until:%Y-%m-%d}",
        )
        for each in report.moved[:MOST_PRINTED]
    ]
    more = len(report.moved) - MOST_PRINTED
    rest = f"\nand {more:,} more; --moves FILE writes all" if more > 0 else ""
    return table(rows) + rest


def write_moves(report: "MovesReport | None", path: Path) -> None:
    """Write all who would move to a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("customer_id", "from", "to", "until"))
        writer.writerows(_rows(report))


def _rows(report: "MovesReport | None") -> Iterator[tuple[str, str, str, str]]:
    for each in report.moved if report is not None else ():
        until = "" if each.until is None else each.until.isoformat()
        yield each.customer_id, each.from_tier or "", each.to_tier or "", until
