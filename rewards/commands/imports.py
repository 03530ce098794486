"""`rewards import`: a shop's history from CSV files."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewards.commands.console import open_database, say, shown_progress, stopped_between_steps
from rewards.core.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from rewards.core.database import Database
    from rewards.core.progress import Progress
    from rewards.importing.columns import FactsReport
    from rewards.importing.orders import Rejection
    from rewards.importing.report import ImportReport

app = typer.Typer(no_args_is_help=True, help="Bring in a shop's history from CSV files.")

ErrorsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write rejected rows there, with reasons.")
]

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


@app.command()
def surveys(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A CSV file of answers to surveys.", show_default=False)
    ],
    errors: ErrorsOption = None,
    no_award: Annotated[
        bool, typer.Option("--no-award", help="Record the answers without giving points for them.")
    ] = False,
) -> None:
    """Import what customers answered: survey_id, customer_id, answered_at, and a column for each question.

    Answers to the program's own surveys earn what its rules give; those to any other are kept for metrics alone. An
    interrupted import goes on where it stopped when it is run again. Rejected rows are counted and the others kept.
    """
    from rewards.importing.surveys import import_surveys

    def work(database: "Database", progress: "Progress") -> "FactsReport":
        return import_surveys(
            file, database, now=utc_now(), award=not no_award, errors_path=errors, progress=progress
        )

    _import_facts(work, errors, "answers")


@app.command()
def assignments(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A CSV file of customers' arms.", show_default=False)
    ],
    experiment: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Of rows that name no experiment; the program's holdout if not given."
        ),
    ] = None,
    errors: ErrorsOption = None,
) -> None:
    """Import arms that others have drawn: customer_id, arm (program or holdout), optional experiment_id, assigned_at.

    They go before the lot of the program's holdout. Who has met one arm stays in it: a row with the other is rejected.
    """
    from rewards.importing.assignments import import_assignments

    def work(database: "Database", progress: "Progress") -> "FactsReport":
        return import_assignments(
            file,
            database,
            now=utc_now(),
            experiment_id=experiment,
            errors_path=errors,
            progress=progress,
        )

    _import_facts(work, errors, "assignments")


@app.command()
def members(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file of members.", show_default=False)],
    errors: ErrorsOption = None,
) -> None:
    """Import since when customers are members: customer_id, joined_at.

    Do so before a holdout begins: who was a member before it is no new customer, and takes no part in the draw.
    """
    from rewards.importing.members import import_members

    def work(database: "Database", progress: "Progress") -> "FactsReport":
        return import_members(file, database, now=utc_now(), errors_path=errors, progress=progress)

    _import_facts(work, errors, "members")


def _import_facts(
    work: "Callable[[Database, Progress], FactsReport]", errors: Path | None, what: str
) -> None:
    """Run an import and tell what became of its rows."""
    started_at = time.monotonic()
    try:
        with (
            open_database() as database,
            shown_progress() as shown,
            stopped_between_steps(shown) as progress,
        ):
            report = work(database, progress)
    except KeyboardInterrupt:
        say("Stopped. What was imported is kept; run the same command again to go on.")
        raise typer.Exit(130) from None
    seconds = time.monotonic() - started_at
    rate = report.rows / seconds if seconds else 0
    print(f"{report.rows:>10,} rows in {seconds:.1f} s ({rate:,.0f} a second)")
    points = f", {report.points:,} points" if report.points else ""
    print(f"{report.imported:>10,} {what} imported{points}")
    print(f"{report.already_there:>10,} rows already there")
    print(f"{len(report.rejected):>10,} rows rejected")
    _show_problems(report.rejected, report.rejected_by_code(), 0, errors)
    if report.failed:
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
