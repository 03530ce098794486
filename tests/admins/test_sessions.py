from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text

from rewards.admins.accounts import AdminAccount, create_admin, disable_admin, set_password, set_role
from rewards.admins.lockout import (
    FIRST_WAIT,
    FREE_BY_ADDRESS,
    FREE_BY_EMAIL,
    LONGEST_WAIT,
    begin_attempt,
    forgive,
)
from rewards.admins.sessions import AT_MOST, IDLE, begin_session, end_session, read_session
from rewards.core.database import Database

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def ada(connection: Connection) -> AdminAccount:
    create_admin(
        connection, email="owner@shop.test", name="", role="owner", password_hash="(a hash)", now=NOW
    )
    return create_admin(
        connection, email="ada@shop.test", name="Ada", role="editor", password_hash="(a hash)", now=NOW
    )


def test_a_session_is_opened_by_its_secret_alone(connection: Connection, ada: AdminAccount) -> None:
    token = begin_session(connection, ada.admin_id, NOW)
    session = read_session(connection, token, NOW)
    assert session is not None
    assert session.account == ada
    for wrong in ("", token[:-1], token + "x", token.swapcase(), "x" * 5000, "\x00"):
        assert read_session(connection, wrong, NOW) is None
    stored = connection.scalar(text("SELECT token_hash FROM admin_sessions"))
    assert token.encode() not in bytes(stored)  # type: ignore[arg-type]
    assert begin_session(connection, ada.admin_id, NOW) != token


def test_a_session_ends_when_nobody_uses_it(connection: Connection, ada: AdminAccount) -> None:
    token = begin_session(connection, ada.admin_id, NOW)
    assert read_session(connection, token, NOW + IDLE - SECOND) is not None
    # That was a use.
    assert read_session(connection, token, NOW + IDLE + IDLE / 2) is not None
    assert read_session(connection, token, NOW + IDLE + IDLE / 2 + IDLE) is None


def test_a_session_ends_however_it_is_used(connection: Connection, ada: AdminAccount) -> None:
    token, at = begin_session(connection, ada.admin_id, NOW), NOW
    while at + IDLE / 2 < NOW + AT_MOST:
        at += IDLE / 2
        assert read_session(connection, token, at - SECOND) is not None
    assert read_session(connection, token, NOW + AT_MOST) is None


def test_ended_sessions_are_not_kept(connection: Connection, ada: AdminAccount) -> None:
    begin_session(connection, ada.admin_id, NOW)
    begin_session(connection, ada.admin_id, NOW + IDLE + SECOND)
    assert connection.scalar(text("SELECT count(*) FROM admin_sessions")) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda conn, admin_id: disable_admin(conn, admin_id, NOW),
        lambda conn, admin_id: set_password(conn, admin_id, "(another)", NOW),
    ],
)
def test_every_session_ends_with_what_concerns_it(
    connection: Connection, ada: AdminAccount, change: Callable[[Connection, str], object]
) -> None:
    tokens = [begin_session(connection, ada.admin_id, NOW) for _ in range(3)]
    change(connection, ada.admin_id)
    assert [read_session(connection, token, NOW) for token in tokens] == [None] * 3


def test_a_session_has_the_role_of_this_moment(connection: Connection, ada: AdminAccount) -> None:
    token = begin_session(connection, ada.admin_id, NOW)
    set_role(connection, ada.admin_id, "viewer")
    session = read_session(connection, token, NOW)
    assert session is not None
    assert session.account.role == "viewer"
    assert end_session(connection, token)
    assert not end_session(connection, token)
    assert read_session(connection, token, NOW) is None


# Lock-out


def attempts(
    conn: Connection, times: int, email: str = "ada@shop.test", address: str = "192.0.2.1"
) -> list[bool]:
    return [begin_attempt(conn, email, address, NOW).wait is None for _ in range(times)]


def test_a_few_failures_are_free_and_then_one_waits(connection: Connection) -> None:
    assert attempts(connection, FREE_BY_EMAIL + 2) == [True] * FREE_BY_EMAIL + [False] * 2
    waiting = begin_attempt(connection, "ada@shop.test", "198.51.100.7", NOW)
    assert waiting.wait == FIRST_WAIT
    # Nobody else waits for it.
    assert begin_attempt(connection, "bob@shop.test", "192.0.2.1", NOW).wait is None


def test_the_wait_grows_up_to_the_longest(connection: Connection) -> None:
    attempts(connection, FREE_BY_EMAIL)
    at, waits = NOW, []
    for number in range(8):
        wait = begin_attempt(connection, "ada@shop.test", f"192.0.2.{number}", at).wait
        assert wait is not None
        waits.append(wait)
        at += wait
        assert begin_attempt(connection, "ada@shop.test", f"192.0.2.{number}", at).wait is None
    assert waits == [min(FIRST_WAIT * 2**each, LONGEST_WAIT) for each in range(8)]
    assert waits[-1] == LONGEST_WAIT


def test_a_quiet_while_begins_anew(connection: Connection) -> None:
    attempts(connection, FREE_BY_EMAIL)
    later = NOW + FIRST_WAIT + timedelta(minutes=15)
    assert [
        begin_attempt(connection, "ada@shop.test", "a", later).wait is None for _ in range(FREE_BY_EMAIL + 1)
    ] == [True] * FREE_BY_EMAIL + [False]


def test_many_addresses_of_mail_from_one_of_the_network_wait_too(connection: Connection) -> None:
    tried = [
        begin_attempt(connection, f"{each}@shop.test", "192.0.2.1", NOW).wait
        for each in range(FREE_BY_ADDRESS + 1)
    ]
    assert [wait is None for wait in tried] == [True] * FREE_BY_ADDRESS + [False]


def test_success_is_forgiven_but_no_licence_to_guess(connection: Connection) -> None:
    for number in range(FREE_BY_ADDRESS - 1):
        begin_attempt(connection, f"{number}@shop.test", "192.0.2.1", NOW)
        begin_attempt(connection, "mine@shop.test", "192.0.2.1", NOW)
        forgive(connection, "mine@shop.test", "192.0.2.1")
    assert begin_attempt(connection, "another@shop.test", "192.0.2.1", NOW).wait is None
    assert begin_attempt(connection, "one-more@shop.test", "192.0.2.1", NOW).wait is not None


def test_what_was_typed_is_not_kept(connection: Connection) -> None:
    begin_attempt(connection, "my secret password", "192.0.2.1", NOW)
    rows = connection.execute(text("SELECT * FROM admin_attempts")).all()
    assert len(rows) == 2
    assert "secret" not in repr(rows)
    assert "192.0.2.1" not in repr(rows)


def test_a_crowd_at_the_same_moment_is_counted(database: Database) -> None:
    def attempt(_: int) -> bool:
        with database.engine.begin() as conn:
            return begin_attempt(conn, "ada@shop.test", "192.0.2.1", NOW).wait is None

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(attempt, range(60))) == FREE_BY_EMAIL
