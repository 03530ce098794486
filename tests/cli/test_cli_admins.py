import re
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from rewards.admins.accounts import find_admin, list_admins, password_hash_of
from rewards.admins.audit import AuditFilters, audit_page
from rewards.admins.lockout import begin_attempt
from rewards.admins.passwords import is_password
from rewards.admins.sessions import begin_session, read_session
from rewards.cli import app
from rewards.core.clock import utc_now
from rewards.core.database import Database
from rewards.core.settings import Settings

PASSWORD = "correct horse battery"


@pytest.fixture
def typed(environment: Callable[..., dict[str, str]], settings: Settings) -> Callable[..., Any]:
    """Run a command with something on its standard input."""

    def run(*arguments: str, given: str = PASSWORD + "\n") -> Any:
        return CliRunner().invoke(app, arguments, input=given, env=environment(settings))

    return run


def test_an_admin_is_made_and_listed(
    typed: Callable[..., Any], rewards: Callable[..., Any], database: Database
) -> None:
    assert "There are no admins" in rewards("admin", "list").stderr
    made = typed("admin", "create", "Ada@shop.test", "--password-stdin", "--name", "Ada Lovelace")
    assert (made.exit_code, made.stdout) == (0, "")
    assert made.stderr == "ada@shop.test may sign in as owner: http://127.0.0.1:8000/admin\n"
    with database.engine.connect() as connection:
        ada = find_admin(connection, "ada@shop.test")
        assert ada is not None
        assert (ada.role, ada.password_is_temporary) == ("owner", False)
        assert is_password(password_hash_of(connection, ada.admin_id), PASSWORD)
        (line,), _ = audit_page(connection, AuditFilters())
    assert (line.who, line.action, line.admin_id) == ("(command line)", "admin.created", None)
    assert line.detail == {"email": "ada@shop.test", "role": "owner"}
    listed = rewards("admin", "list")
    assert re.search(r"^ada@shop.test\s+owner\s+active\s+never\s+Ada Lovelace$", listed.stdout, re.MULTILINE)


def test_everything_about_an_admin_can_be_changed(
    typed: Callable[..., Any], rewards: Callable[..., Any], database: Database
) -> None:
    for email, role in (("ada@shop.test", "owner"), ("bob@shop.test", "viewer")):
        assert typed("admin", "create", email, "--password-stdin", "--role", role).exit_code == 0
    with database.engine.begin() as connection:
        bob = find_admin(connection, "bob@shop.test")
        assert bob is not None
        token = begin_session(connection, bob.admin_id, utc_now())
        for _ in range(6):
            attempt = begin_attempt(connection, bob.email, "192.0.2.1", utc_now())
    assert attempt.wait is not None
    assert rewards("admin", "set-role", "BOB@shop.test", "support").exit_code == 0
    assert (
        typed(
            "admin", "set-password", "bob@shop.test", "--password-stdin", given="another long one\n"
        ).exit_code
        == 0
    )
    with database.engine.begin() as connection:
        assert is_password(password_hash_of(connection, bob.admin_id), "another long one")
        assert read_session(connection, token, utc_now()) is None
        assert begin_attempt(connection, bob.email, "192.0.2.1", utc_now()).wait is None
    assert rewards("admin", "disable", "bob@shop.test").exit_code == 0
    assert re.search(r"^bob@shop.test\s+support\s+disabled", rewards("admin", "list").stdout, re.MULTILINE)
    assert rewards("admin", "enable", "bob@shop.test").exit_code == 0
    with database.engine.connect() as connection:
        assert [each.disabled_at for each in list_admins(connection)] == [None, None]
        lines, _ = audit_page(connection, AuditFilters(subject=bob.admin_id))
    assert [line.action for line in lines] == [
        "admin.enabled",
        "admin.disabled",
        "admin.password-reset",
        "admin.role-changed",
        "admin.created",
    ]
    assert lines[3].detail == {"email": "bob@shop.test", "role": "support"}


def test_what_cannot_be_done_is_said_in_a_line(
    typed: Callable[..., Any], rewards: Callable[..., Any]
) -> None:
    assert typed("admin", "create", "ada@shop.test", "--password-stdin").exit_code == 0
    for answer, why in (
        (typed("admin", "create", "ada@shop.test", "--password-stdin"), "already"),
        (typed("admin", "create", "no address", "--password-stdin"), "e-mail address"),
        (
            typed("admin", "create", "b@shop.test", "--password-stdin", given="short\n"),
            "at least 12 characters",
        ),
        (typed("admin", "create", "b@shop.test", "--password-stdin", given=""), "at least 12 characters"),
        (typed("admin", "create", "b@shop.test", given=""), "--password-stdin"),
        (rewards("admin", "disable", "ada@shop.test"), "last owner"),
        (rewards("admin", "set-role", "ada@shop.test", "viewer"), "last owner"),
        (rewards("admin", "disable", "nobody@shop.test"), "`rewards admin list` shows them"),
        (
            typed("admin", "set-password", "nobody@shop.test", "--password-stdin"),
            "`rewards admin list` shows them",
        ),
    ):
        assert (answer.exit_code, answer.stdout) == (1, "")
        assert why in answer.stderr
        assert len(answer.stderr.splitlines()) == 1
    assert rewards("admin", "set-role", "ada@shop.test", "root").exit_code == 2


def test_the_demo_has_a_login_of_its_own_at_each_start(database: Database) -> None:
    from rewards.commands.demo import _admin_login

    passwords = []
    for _ in range(2):
        with database.engine.begin() as connection:
            email, password = _admin_login(connection)
            passwords.append(password)
            account = find_admin(connection, email)
            assert account is not None
            assert (account.role, account.password_is_temporary) == ("owner", False)
            stored = password_hash_of(connection, account.admin_id)
    assert is_password(stored, passwords[1])
    assert not is_password(stored, passwords[0])
