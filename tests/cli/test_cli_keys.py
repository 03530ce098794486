import re
from collections.abc import Callable
from typing import Any

from rewards.core.database import Database
from rewards.core.keys import list_keys, parse_token


def test_a_key_is_printed_alone_and_once(rewards: Callable[..., Any], database: Database) -> None:
    made = rewards("key", "create", "--scope", "storefront", "--name", "webshop")
    assert made.exit_code == 0
    assert re.fullmatch(r"rk_\w+_\S+\n", made.stdout)
    token = parse_token(made.stdout.strip())
    assert token is not None
    assert token.secret not in made.stderr
    with database.engine.connect() as connection:
        (key,) = list_keys(connection)
    assert (key.name, key.scope, key.revoked_at) == ("webshop", "storefront", None)
    assert key.opens_with(token.secret)

    listed = rewards("key", "list")
    assert listed.exit_code == 0
    assert re.search(rf"^{token.key_id}\s+storefront\s+\S+ \S+\s+-\s+webshop$", listed.stdout, re.MULTILINE)
    assert token.secret not in listed.output


def test_a_revoked_key_stays_revoked(rewards: Callable[..., Any], database: Database) -> None:
    key = rewards("key", "create", "--scope", "admin", "--name", "office").stdout.strip()
    token = parse_token(key)
    assert token is not None
    assert rewards("key", "revoke", token.key_id).exit_code == 0
    # A whole key will do, as it may be all that is left of it.
    assert rewards("key", "revoke", key).exit_code == 0
    with database.engine.connect() as connection:
        assert list_keys(connection)[0].revoked_at is not None


def test_what_cannot_be_done_is_said_in_a_line(rewards: Callable[..., Any]) -> None:
    missing = rewards("key", "revoke", "nobody")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert missing.stderr == "There is no key nobody; `rewards key list` shows them\n"
    unnamed = rewards("key", "create", "--scope", "admin", "--name", " ")
    assert (unnamed.exit_code, unnamed.stdout) == (1, "")
    assert "needs a name" in unnamed.stderr
    assert rewards("key", "list").stderr.startswith("There are no keys")
