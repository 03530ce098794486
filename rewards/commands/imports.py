"""`rewards import`: a shop's history from CSV files."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewards.commands.console import open_database, say, shown_progress, stopped_between_steps
from rewards.core.clock import utc_now

if TYPE_CHECKING:
    from rewards.importing.orders import Rejection
    from rewards.importing.report import ImportReport

app = typer.Typer(no_args_is_help=True, help="Bring in a shop's history from CSV files.")

#: So many rejected rows are shown; --errors writes them all.
MOST_SHOWN = 10


@app.callback()
def group() -> None:
    """Bring in a shop's history from CSV files."""


@app.command()
def orders(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A CSV file of orders and returns.", show_default=False)
    ],
    errors: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write rejected rows and unmatched returns there, with reasons."),
    ] = None,
    no_award: Annotated[
        bool, typer.Option("--no-award", help="Record the orders without giving points for them.")
    ] = False,
) -> None:
    """Import orders and returns, each once, however often the command is run.

    An interrupted import goes on where it stopped when it is run again. Rejected rows are counted and the
    others kept; the exit code is 1 where no row could be imported, or one failed for no fault of its own.
    """
    from rewards.core.collector import tune_for_batches
    from rewards.importing.running import import_orders

    tune_for_batches()
    started_at = time.monotonic()
    try:
        with (
            open_database() as database,
            shown_progress() as shown,
            stopped_between_steps(shown) as progress,
        ):
            report = import_orders(
                file, database, now=utc_now(), award=not no_award, errors_path=errors, progress=progress
            )
    except KeyboardInterrupt:
        say("Stopped. What was imported is kept; run the same command again to go on.")
        raise typer.Exit(130) from None
    _print(report, time.monotonic() - started_at, award=not no_award)
    _show_problems(report.rejected, report.rejected_by_code(), len(report.notes), errors)
    if report.failed or (report.rejected and not report.handled):
        raise typer.Exit(1)


@app.command()
def customers(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A CSV file of customers.", show_default=False)
    ],
    errors: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write rejected rows there, with reasons.")
    ] = None,
) -> None:
    """Import who customers are: e-mail, name, birthday, when they joined, and whatever else there are columns for.

    A row says of its customer what the file has columns for; the rest of a profile stays. An interrupted import goes
    on where it stopped when it is run again. Rejected rows are counted and the others kept; the exit code is 1 where
    no row could be imported.
    """
    from rewards.importing.customers import import_customers

    started_at = time.monotonic()
    try:
        with (
            open_database() as database,
            shown_progress() as shown,
            stopped_between_steps(shown) as progress,
        ):
            report = import_customers(file, database, now=utc_now(), errors_path=errors, progress=progress)
    except KeyboardInterrupt:
        say("Stopped. What was imported is kept; run the same command again to go on.")
        raise typer.Exit(130) from None
    seconds = time.monotonic() - started_at
    print(
        f"{report.rows:>10,} rows in {seconds:.1f} s ({report.rows / seconds if seconds else 0:,.0f} a second)"
    )
    print(
        f"{report.created:>10,} profiles new, {report.changed:,} changed, {report.unchanged:,} as they were"
    )
    print(f"{len(report.rejected):>10,} rows rejected")
    _show_problems(report.rejected, report.rejected_by_code(), 0, errors)
    if report.rejected and len(report.rejected) == report.rows:
        raise typer.Exit(1)


def _print(report: "ImportReport", seconds: float, *, award: bool) -> None:
    rate = report.rows / seconds if seconds else 0
    print(f"{report.rows:>10,} rows in {seconds:.1f} s ({rate:,.0f} a second)")
    given = f"awarded, {report.points:,} points" if award else "recorded without points"
    print(f"{report.awarded:>10,} orders {given}")
    returns = f"{report.returns_matched:>10,} returns matched"
    if report.returns_partly_matched:
        returns += f", {report.returns_partly_matched:,} partly matched"
    print(f"{returns}, {report.points_clawed_back:,} points taken back")
    print(f"{report.returns_unmatched:>10,} returns not matched to an earlier order")
    print(f"{report.already_there:>10,} rows already imported")
    print(f"{len(report.rejected):>10,} rows rejected")


def _show_problems(
    rejected: "list[Rejection]", by_code: list[tuple[str, int]], notes: int, errors: Path | None
) -> None:
    for code, count in by_code:
        say(f"  {count:,} × {code}")
    for rejection in rejected[:MOST_SHOWN]:
        say(f"  line {rejection.line}: {rejection.reason}")
    hidden = len(rejected) - MOST_SHOWN
    if hidden > 0:
        say(f"  … and {hidden:,} more")
    problems = len(rejected) + notes
    if problems and errors is not None:
        say(f"{errors} has these {problems:,} rows with reasons")
    elif problems:
        say("Run it again with --errors FILE to have each such row with its reason")
