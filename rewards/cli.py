"""The command line: `rewards`.

Each command imports what it needs when it runs, so that `rewards --help` answers at once.
"""

from typing import Annotated

import typer

from rewards.commands import (
    admins,
    checking,
    demo,
    exporting,
    facts,
    imports,
    jobs,
    keys,
    program,
    report,
    serving,
)
from rewards.commands.console import CommandLine

app = typer.Typer(
    cls=CommandLine,
    name="rewards",
    no_args_is_help=True,
    # A bug's traceback is Python's own: complete, and nobody's data in it.
    pretty_exceptions_enable=False,
    help="A self-hosted loyalty rewards engine. Start with: rewards demo",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(version("rewards-engine"))
        except PackageNotFoundError:
            print("unknown: not installed")
        raise typer.Exit


@app.callback()
def rewards(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """A self-hosted loyalty rewards engine. Start with: rewards demo"""


app.command()(demo.demo)
app.command()(serving.serve)
app.command()(serving.worker)
app.command()(serving.migrate)
app.add_typer(keys.app, name="key")
app.add_typer(admins.app, name="admin")
app.add_typer(program.app, name="program")
app.add_typer(imports.app, name="import")
app.add_typer(exporting.app, name="export")
app.add_typer(facts.app, name="facts")
app.add_typer(jobs.app, name="jobs")
app.command()(report.report)
app.command()(checking.check)
app.command()(checking.bench)


def main() -> None:
    """Run the command that the arguments name, and exit with its code."""
    app(prog_name="rewards")


if __name__ == "__main__":
    main()
