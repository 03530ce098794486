"""`rewards facts`: what metrics are worked out from, and since when it is complete."""

from datetime import date
from typing import Annotated

import typer

from rewards.commands.console import open_database, table
from rewards.core.clock import utc_now
from rewards.core.errors import SetupError

app = typer.Typer(
    no_args_is_help=True, help="Show the facts that metrics rest on, and say since when they are complete."
)

ALWAYS = "always"


@app.callback()
def group() -> None:
    """Show the facts that metrics rest on, and say since when they are complete."""


@app.command()
def show() -> None:
    """Show how far the facts have come, and how many there are."""
    from rewards.facts.state import count_facts, known_state

    with open_database() as database, database.engine.connect() as connection:
        state = known_state(connection)
        counts = count_facts(connection)
    since = ALWAYS if state.history_start is None else state.history_start.isoformat()
    print(
        table(
            [
                ("generation", str(state.generation)),
                ("brought up at", f"{state.refreshed_at:%Y-%m-%d %H:%M:%SZ}"),
                ("all worked out at", f"{state.rebuilt_at:%Y-%m-%d %H:%M:%SZ}"),
                ("days are of", state.zone),
                ("money is in", state.currency),
                ("complete since", since),
                *((name, f"{count:,}") for name, count in counts.items()),
            ]
        )
    )


@app.command("complete-since")
def complete_since(
    day: Annotated[
        str,
        typer.Argument(
            metavar=f"DATE|{ALWAYS}",
            help="The first day of which every order is here, such as 2024-01-01.",
            show_default=False,
        ),
    ],
) -> None:
    """Say since when the shop's orders are complete: who was first seen before that may have bought earlier."""
    from rewards.facts.state import set_history_start

    try:
        start = None if day == ALWAYS else date.fromisoformat(day)
    except ValueError:
        raise SetupError(f"{day!r} is no date such as 2024-01-01, nor {ALWAYS!r}") from None
    if start is not None and start > utc_now().date():
        raise SetupError(f"{day} is still to come; say since when orders are complete")
    with open_database() as database, database.engine.begin() as connection:
        set_history_start(connection, start)
    print(f"orders are complete since {day}" if start else "orders are complete since the first of them")


@app.command()
def query(
    sql: Annotated[
        str,
        typer.Argument(
            metavar="SQL",
            help="DuckDB's SQL over purchases, customer_stats and customer_months.",
            show_default=False,
        ),
    ],
) -> None:
    """Answer a question over all facts with DuckDB, outside the database; needs the extra `scale`."""
    import csv
    import sys

    from rewards.facts.scale import query_facts

    with open_database() as database:
        headings, rows = query_facts(database, sql)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows(rows)
