"""`rewards report`: every metric, with its definition, counts and interval."""

import json
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewards.commands.console import open_database, say, shown_progress
from rewards.core.clock import utc_now
from rewards.core.errors import SetupError

if TYPE_CHECKING:
    from rewards.core.progress import Progress
    from rewards.metrics.report import Report

_STDOUT = "-"
EARLIEST_YEAR = 1900


def report(
    as_of: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="The last day that counts; the last whole day if not given."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the report as one HTML file; - for standard output."),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Print what each metric means at length, and short breakdowns.")
    ] = False,
) -> None:
    """Work out every metric of the shop, each with its counts, its interval, or why there is no figure."""
    if as_json and html is not None:
        raise typer.BadParameter("--json and --html are two ways of saying the same; ask for one")
    day = None if as_of is None else _day(as_of)
    with shown_progress() as progress:
        made = _made(day, progress)
    if as_json:
        print(json.dumps(made.as_json(), ensure_ascii=False, allow_nan=False))
    elif html is not None:
        _write_page(made, html)
    else:
        from rewards.commands.report_tables import print_report

        print_report(made, full=full)
    failed = [entry.name for entry in made.entries if entry.failed]
    if failed:
        say(f"{len(failed)} of {len(made.entries)} metrics failed: {', '.join(failed)}")
        raise typer.Exit(1)


def _made(day: date | None, progress: "Progress") -> "Report":
    from rewards.facts.refresh import refresh
    from rewards.metrics.report import make_report
    from rewards.metrics.store import open_source

    now = utc_now()
    with open_database() as database:
        # Where no worker runs, nobody else brings the facts up to what was imported a moment ago.
        refresh(database, now, progress)
        with database.engine.connect() as plain:
            # One snapshot: every figure is of the same moment.
            conn = plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with conn.begin():
                source = open_source(conn, as_of=day, now=now)
                today = now.astimezone(source.zone).date()
                if source.as_of > today:
                    raise SetupError(f"{source.as_of} is later than {today}, the shop's today")
                return make_report(source, now, progress)


def _write_page(made: "Report", html: Path) -> None:
    from rewards.metrics.showing.report_page import report_page

    page = report_page(made)
    if str(html) == _STDOUT:
        sys.stdout.write(page)
        return
    try:
        html.write_text(page, encoding="utf-8")
    except OSError as error:
        raise SetupError(f"{html} cannot be written: {error.strerror}") from None
    say(f"{html}: {len(made.entries)} metrics, {len(page) / 1e6:.1f} MB")


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date; write it like 2026-11-01") from None
    if day.year < EARLIEST_YEAR:
        raise typer.BadParameter(f"{text} is before {EARLIEST_YEAR}, and no shop's orders are")
    return day
