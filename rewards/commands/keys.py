"""`rewards key`: API keys."""

from enum import StrEnum
from typing import Annotated

import typer

from rewards.commands.console import open_database, say, table
from rewards.core.clock import utc_now
from rewards.core.errors import SetupError

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")


class Scope(StrEnum):
    """What a key may do."""

    storefront = "storefront"
    admin = "admin"
    readonly = "readonly"


@app.command()
def create(
    scope: Annotated[
        Scope, typer.Option(help="storefront: award and redeem; admin: everything; readonly: look.")
    ],
    name: Annotated[str, typer.Option(help="Who will use it, such as webshop.")],
) -> None:
    """Make a key and print it, alone, on stdout. It is shown this once: only a hash is kept."""
    from rewards.core.keys import create_key, parse_token

    with open_database() as database:
        try:
            with database.engine.begin() as connection:
                key = create_key(connection, name, scope.value, utc_now())
        except ValueError as error:
            raise SetupError(str(error)) from None
    print(key)
    token = parse_token(key)
    assert token is not None
    say(f"This is the only time the key is shown. Revoke it with: rewards key revoke {token.key_id}")


@app.command("list")
def list_() -> None:
    """List all keys, revoked ones too."""
    from rewards.core.keys import list_keys

    with open_database() as database, database.engine.connect() as connection:
        keys = list_keys(connection)
    if not keys:
        say("There are no keys; make one with: rewards key create --scope storefront --name NAME")
        return
    rows = [("KEY ID", "SCOPE", "CREATED", "REVOKED", "NAME")]
    rows += [
        (
            key.key_id,
            key.scope,
            f"{key.created_at:%Y-%m-%d %H:%MZ}",
            f"{key.revoked_at:%Y-%m-%d %H:%MZ}" if key.revoked_at else "-",
            key.name,
        )
        for key in keys
    ]
    print(table(rows))


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="As `rewards key list` shows it.")]) -> None:
    """Revoke a key for ever; servers stop accepting it within a quarter of a second."""
    from rewards.core.keys import parse_token, revoke_key

    # Whoever has only the key itself can revoke it too: its id is in it.
    token = parse_token(key_id)
    with open_database() as database, database.engine.begin() as connection:
        found = revoke_key(connection, token.key_id if token else key_id, utc_now())
    if not found:
        raise SetupError(
            f"There is no key {key_id[:40]}; `rewards key list` shows them"
            if not token
            else "There is no such key; `rewards key list` shows them"
        )
    say("Revoked.")
