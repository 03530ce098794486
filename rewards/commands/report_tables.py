"""The report on a terminal: a table a family, what must be known beside the figures, and the short breakdowns."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rewards.core import wording
from rewards.metrics.showing import words

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table as RichTable

    from rewards.metrics.report import Entry, Report, Shop
    from rewards.metrics.result import Definition, Table

#: A breakdown with more rows or columns is for the HTML report and for spreadsheets.
_MOST_ROWS = 14
_MOST_COLUMNS = 7
#: Where nobody looks at a terminal, lines are as long as this.
_WIDTH = 120
_KINDS = {"good": "green", "warn": "yellow", "accent": "cyan", "": "dim"}


def print_report(report: "Report", *, full: bool = False) -> None:
    """Print it on standard output, in colours where that is a terminal.

    Args:
        report: what to print.
        full: whether to say at length what each metric means, and to print short breakdowns.
    """
    from rich.console import Console

    # Text that a shop has chosen is no markup.
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console = Console(width=_WIDTH, markup=False, highlight=False, emoji=False, color_system=None)
    common = report.common_notes()
    _head(console, report.shop, common)
    for family, entries in report.families().items():
        console.print()
        console.print(_family(family, entries, report.shop.currency))
        for entry in entries:
            for part in _beside(entry, report.shop.currency, common, full=full):
                console.print(part)
    console.print()
    _grades(console, report)


def _head(console: "Console", shop: "Shop", common: Sequence[str]) -> None:
    from rich.text import Text

    console.print(
        Text(f"{shop.name or 'Report'}, as of {wording.day(shop.as_of)} ({shop.zone})", style="bold")
    )
    told = f"{wording.number(shop.purchases)} purchases of {wording.number(shop.customers)} customers"
    if shop.first_day:
        told += f" since {wording.day(shop.first_day)}"
    console.print(f"{told}. Amounts are in {shop.currency}.")
    if common:
        for note in common:
            console.print(note, style="yellow")
    elif _left_out(shop):
        console.print(_left_out(shop), style="dim")


def _left_out(shop: "Shop") -> str:
    from rewards.metrics.showing.report_page import left_out_words

    return left_out_words(shop.left_out)


def _family(family: str, entries: Sequence["Entry"], currency: str) -> "RichTable":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table(
        title=Text(family, style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        expand=False,
    )
    shown.add_column("Metric, and what is divided by what", ratio=7, min_width=24)
    shown.add_column("Figure", justify="right", no_wrap=True)
    shown.add_column("Interval, counts, or why there is none", ratio=8, min_width=30)
    shown.add_column("Rests on", ratio=3)
    for entry in entries:
        result, grade = entry.result, words.GRADES[entry.result.evidence]
        style = "red" if entry.failed else "dim" if result.value is None else ""
        shown.add_row(
            Text.assemble(entry.definition.title, ("\n" + entry.definition.formula, "dim")),
            Text(
                words.figure(result.value, result.unit, currency).replace(
                    " percentage", "\N{NO-BREAK SPACE}pct."
                ),
                style="bold",
            ),
            Text(_told(entry, currency), style=style),
            Text(
                "failed" if entry.failed else "" if result.value is None else grade.label,
                style=_KINDS[grade.kind],
            ),
        )
    return shown


def _told(entry: "Entry", currency: str) -> str:
    result = entry.result
    if result.value is None:
        return result.reason_if_null or ""
    parts = []
    if result.interval is not None:
        parts.append(words.between(result.interval, result.unit, currency))
    parts.append(words.counted(result, entry.definition, currency))
    return "; ".join(part for part in parts if part)


def _beside(
    entry: "Entry", currency: str, common: Sequence[str], *, full: bool
) -> "Iterator[RenderableType]":
    """Yield what stands below a family's table about one metric: notes, its definition, short breakdowns."""
    from rich.padding import Padding
    from rich.text import Text

    title = entry.definition.title
    for note in (each for each in entry.result.notes if each not in common):
        yield Padding(Text(f"{title}: {note}", style="yellow"), (0, 0, 0, 2))
    if not full:
        return
    yield Padding(Text(_defined(entry.definition), style="dim"), (0, 0, 1, 2))
    for table in entry.result.tables:
        if (
            0 < len(table.rows) <= _MOST_ROWS
            and len(table.columns) <= _MOST_COLUMNS
            and table.chart != "heatmap"
        ):
            yield Padding(_breakdown(title, table, currency), (1, 0, 0, 2))


def _breakdown(title: str, table: "Table", currency: str) -> "RichTable":
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(
        title=Text(f"{title}: {table.title}"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for column in table.columns:
        is_name = column.unit in ("text", "date", "month")
        shown.add_column(
            Text(words.heading(column.heading, column.unit)), justify="left" if is_name else "right"
        )
    for row in table.rows:
        shown.add_row(
            *(
                Text(words.short(value, column.unit, currency))
                for column, value in zip(table.columns, row, strict=True)
            )
        )
    return shown


def _defined(definition: "Definition") -> str:
    lines = [f"{definition.title} ({definition.name}) = {definition.formula}"]
    lines += [
        f"{name}: {said}" for name, said in (("Time", definition.window), ("From", definition.source)) if said
    ]
    return "\n".join([*lines, *(f"- {edge}" for edge in definition.edges)])


def _grades(console: "Console", report: "Report") -> None:
    from rich.text import Text

    used = {entry.result.evidence for entry in report.entries if entry.result.value is not None}
    for evidence, grade in words.GRADES.items():
        if evidence in used:
            line = Text.assemble((grade.label, _KINDS[grade.kind] or ""), f": {grade.meaning}")
            console.print(line)
