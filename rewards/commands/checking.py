"""`rewards check` and `rewards bench`: is it right, and is it fast."""

import json
import os
from importlib import import_module
from typing import Annotated

import typer

from rewards.commands.console import open_database, say, shown_progress
from rewards.core.errors import SetupError

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def check(
    as_json: JsonOption = False,
    number: Annotated[int | None, typer.Option("--record", hidden=True)] = None,
) -> None:
    """Verify every invariant of the ledger on the stored data, and the facts; exit code 0 only where all hold."""
    from rewards.facts.comparing import check_facts
    from rewards.ledger.verification import verify

    if number is not None:
        _check_for_the_pages(number)
        return
    with open_database() as database, shown_progress() as progress:
        with database.engine.connect() as connection:
            report = verify(connection, lambda done, total: progress("Checking", done, total))
        with database.engine.connect() as connection:
            check_facts(connection, report)
    if as_json:
        print(json.dumps(report.as_json(), ensure_ascii=False))
    else:
        for each in report.breaks:
            print(
                f"{each.invariant}: customer {each.customer_id or '(all)'}, entry {each.seq}: {each.detail}"
            )
        verdict = "every invariant holds" if report.ok else f"{len(report.breaks):,} breaks"
        say(f"{report.customers:,} customers, {report.entries:,} entries: {verdict}")
    if not report.ok:
        raise typer.Exit(1)


def _check_for_the_pages(number: int) -> None:
    """Do a check that an admin asked for, and keep what it finds in the database."""
    from rewards.admins.checks import run_check

    if hasattr(os, "nice"):  # not on Windows
        os.nice(10)  # the requests come first
    with open_database() as database:
        report = run_check(database, number)
    if report is not None and not report.ok:
        raise typer.Exit(1)


def bench(
    name: Annotated[
        str | None, typer.Argument(help="Which benchmark; all of them if not given.", show_default=False)
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The shorter run of one that takes long.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the benchmarks, each as a ratio against a baseline that is run beside it."""
    try:
        benchmarks = import_module("benchmarks")
    except ModuleNotFoundError as error:
        if error.name != "benchmarks":
            raise
        raise SetupError("The benchmarks come with the source code: run this in a clone of it") from None
    raise typer.Exit(benchmarks.run_benchmarks(name, as_json=as_json, quick=quick))
