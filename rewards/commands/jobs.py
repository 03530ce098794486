"""`rewards jobs`: scheduled work, by hand."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from rewards.commands.console import open_database, parse_instant, shown_progress, table
from rewards.core.clock import utc_now

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

    from rewards.core.database import Database

app = typer.Typer(no_args_is_help=True, help="Run and list the scheduled jobs.")

ALL = "all"


@app.command()
def run(
    name: Annotated[
        str, typer.Argument(metavar="NAME|all", help="`rewards jobs list` shows them.", show_default=False)
    ],
    now: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Do what is due at this time; the present if not given."),
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="With rollups: work out everything anew, and say what differed.")
    ] = False,
) -> None:
    """Do once what a job, or each of them, finds due."""
    from rewards.core.collector import tune_for_batches
    from rewards.jobs import JOBS, REBUILD, find_job
    from rewards.jobs import run as run_job

    tune_for_batches()
    if rebuild and name != REBUILD.name:
        raise typer.BadParameter(f"goes with the job {REBUILD.name} alone", param_hint="--rebuild")
    names = list(JOBS) if name == ALL else [find_job(name).name]
    # One for the job's lock, and a few that stay open for the threads that bring customers up to a ladder.
    with open_database(pool_size=4) as database:
        at = utc_now() if now is None else _instant(now, database)
        for each in names:
            with shown_progress() as progress:
                outcome = run_job(REBUILD if rebuild else JOBS[each], database, at, progress)
            print(f"{each}: {outcome.detail}")


@app.command("list")
def list_() -> None:
    """List the jobs, how often they run, and how they last went."""
    from rewards.jobs import JOBS, last_runs

    with open_database() as database, database.engine.connect() as connection:
        runs = last_runs(connection)
    rows = [("JOB", "EVERY", "LAST STARTED", "RESULT", "WHAT IT DOES")]
    for job in JOBS.values():
        last = runs.get(job.name)
        every = f"{job.every.total_seconds() / 60:g} min"
        rows.append(
            (job.name, every, _when(last["started_at"] if last else None), _result(last), job.summary)
        )
    print(table(rows))


def _result(last: "RowMapping | None") -> str:
    if last is None:
        return "-"
    if last["finished_at"] is None:
        return "running, or cut short"
    return ("ok: " if last["ok"] else "failed: ") + (last["detail"] or "")


def _when(instant: datetime | None) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%SZ}" if instant else "never"


def _instant(text: str, database: "Database") -> datetime:
    from rewards.program.versions import load_history

    with database.engine.connect() as connection:
        zone = load_history(connection).in_force(utc_now()).document.zone
    return parse_instant(text, zone)
