"""`rewards export`: facts for other systems."""

from pathlib import Path
from typing import Annotated

import typer

from rewards.commands.console import open_database, shown_progress
from rewards.core.clock import utc_now

app = typer.Typer(no_args_is_help=True, help="Write facts for other systems.")


@app.callback()
def group() -> None:
    """Write facts for other systems."""


@app.command()
def parquet(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="An empty folder, or one with an earlier export.", show_default=False
        ),
    ],
) -> None:
    """Write purchases, the ledger's entries and the roll-ups as Parquet files, partitioned by month."""
    from rewards.facts.parquet import export_parquet

    with open_database() as database, shown_progress() as progress:
        rows = export_parquet(database, directory, utc_now(), progress)
    for name, count in rows.items():
        print(f"{count:>12,} {name}")
