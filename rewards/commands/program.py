"""`rewards program`: the program document and its versions."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewards.commands.console import open_database, parse_instant, say, shown_progress, table
from rewards.commands.holdout import holdout
from rewards.commands.preview import preview
from rewards.core.clock import utc_now
from rewards.core.errors import SetupError

if TYPE_CHECKING:
    from rewards.applying.publishing import Expected
    from rewards.core.database import Database
    from rewards.core.progress import Progress
    from rewards.program.document import ProgramDocument

app = typer.Typer(no_args_is_help=True, help="Show, check and publish the program.")

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="A program as YAML or JSON.", show_default=False)
]


@app.command()
def show(
    version: Annotated[
        int | None, typer.Option(help="A version's number; the one in force if not given.")
    ] = None,
) -> None:
    """Print a published program as YAML, every default written out."""
    from rewards.program.loading import to_yaml
    from rewards.program.versions import load_history

    with open_database() as database, database.engine.connect() as connection:
        history = load_history(connection)
    try:
        found = history.in_force(utc_now()) if version is None else history.by_version(version)
    except LookupError as error:
        raise SetupError(f"{str(error).capitalize()}; `rewards program history` lists them") from None
    say(f"Version {found.version}, effective from {found.effective_from.isoformat()}")
    print(to_yaml(found.document), end="")


@app.command()
def validate(file: FileArgument) -> None:
    """Check a program without publishing it; every error is named with its line."""
    document = _load(file)
    _say_cautions(file, document)
    say(f"{file} is valid: {document.name}, {len(document.earn)} earn rules, in {document.currency}")


app.command()(preview)
app.command()(holdout)


@app.command()
def publish(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A program as YAML or JSON.", show_default=False)
    ] = None,
    again: Annotated[
        int | None,
        typer.Option(metavar="VERSION", help="Publish an old version once more, instead of a file."),
    ] = None,
    effective_from: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="From when activities are scored by it; now if not given."),
    ] = None,
    note: Annotated[str | None, typer.Option(help="Why, for the history.")] = None,
    expect_moves: Annotated[
        str | None,
        typer.Option(
            metavar="DIGEST", help="Publish only if the same customers move tier as when previewed."
        ),
    ] = None,
) -> None:
    """Publish a program as the next version. Versions are never edited, and awards keep theirs."""
    from rewards.applying.publishing import brings_ladder, publish_expected
    from rewards.program.differences import history_differences
    from rewards.program.versions import load_history
    from rewards.program.versions import publish as append

    if (file is None) == (again is None):
        raise typer.BadParameter("give either a file or --again VERSION")
    document = _load(file) if file is not None else _published(again or 0)
    if file is not None:
        _say_cautions(file, document)
    starts_at = None if effective_from is None else parse_instant(effective_from, document.zone)
    now = utc_now()
    with open_database() as database:
        expected = None
        if expect_moves is not None:
            with shown_progress() as progress:
                expected = _expected(database, document, expect_moves, now, starts_at, progress)
        with database.engine.begin() as connection:
            before = load_history(connection).latest
            if expected is None:
                published = append(
                    connection, document, effective_from=starts_at, now=now, actor="cli", note=note
                )
            else:
                published = publish_expected(connection, document, expected, actor="cli", note=note)
            is_to_apply = brings_ladder(connection, published)
    changes = history_differences(before.document, document)
    for change in changes or ["nothing changed"]:
        say(f"  {change}")
    say(f"Published as version {published.version}, effective from {published.effective_from.isoformat()}")
    if is_to_apply:
        say("Customers are brought up to its ladder by the scheduler, or at once by `rewards jobs run tiers`")


def _expected(
    database: "Database",
    document: "ProgramDocument",
    digest: str,
    now: datetime,
    effective_from: datetime | None,
    progress: "Progress",
) -> "Expected":
    from rewards.applying.publishing import as_expected
    from rewards.core.errors import PreviewOutdated

    try:
        return as_expected(
            database, document, digest=digest, now=now, effective_from=effective_from, progress=progress
        )
    except PreviewOutdated as outdated:
        raise SetupError(outdated.detail) from None


@app.command()
def history(
    *,
    changes: Annotated[
        bool, typer.Option("--changes", help="Say what each version changed from the one before.")
    ] = False,
) -> None:
    """List all published versions; * marks the one in force."""
    from rewards.program.differences import history_differences
    from rewards.program.versions import load_history

    with open_database() as database, database.engine.connect() as connection:
        versions = load_history(connection)
    in_force = versions.in_force(utc_now()).version
    rows = [("", "VERSION", "EFFECTIVE FROM", "PUBLISHED", "BY", "NAME", "NOTE")]
    rows += [
        (
            "*" if each.version == in_force else "",
            str(each.version),
            f"{each.effective_from:%Y-%m-%d %H:%M:%SZ}",
            f"{each.published_at:%Y-%m-%d %H:%M:%SZ}",
            each.published_by,
            each.document.name,
            " ".join((each.note or "").split()),
        )
        for each in versions.versions
    ]
    listed = table(rows).splitlines()
    print(listed[0])
    before = None
    for line, each in zip(listed[1:], versions.versions, strict=True):
        print(line)
        if changes and before is not None:
            for change in history_differences(before, each.document) or ["nothing changed"]:
                print(f"    {change}")
        before = each.document


@app.command()
def schema() -> None:
    """Print the JSON Schema of the program document, for editors and other programs."""
    import json

    from rewards.program.loading import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _published(version: int) -> "ProgramDocument":
    from rewards.program.versions import load_history

    with open_database() as database, database.engine.connect() as connection:
        try:
            return load_history(connection).by_version(version).document
        except LookupError as error:
            raise SetupError(f"{str(error).capitalize()}; `rewards program history` lists them") from None


def _say_cautions(file: Path, document: "ProgramDocument") -> None:
    from rewards.program.loading import cautions_of

    for caution in cautions_of(document, utc_now(), file.read_bytes(), str(file)):
        say(f"warning: {caution}")


def _load(file: Path) -> "ProgramDocument":
    from rewards.program.loading import load_file

    return load_file(file)
