import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection

from rewards.admins.accounts import (
    AdminAccount,
    AdminRefused,
    create_admin,
    disable_admin,
    enable_admin,
    find_admin,
    list_admins,
    names_of_actors,
    password_hash_of,
    set_name,
    set_password,
    set_role,
)
from rewards.admins.passwords import PasswordRefused, check_password, hash_password, is_outdated, is_password
from rewards.admins.roles import PERMISSIONS, ROLES, Role, allows, least_role
from rewards.core.database import Database

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def made(
    conn: Connection, email: str = "ada@shop.test", role: Role = "owner", name: str = "Ada"
) -> AdminAccount:
    return create_admin(conn, email=email, name=name, role=role, password_hash="(a hash)", now=NOW)


def test_an_account_is_found_however_its_address_is_written(connection: Connection) -> None:
    ada = made(connection, " Ada@Shop.Test ", name="  Ada \t Lovelace ")
    assert (ada.email, ada.name) == ("ada@shop.test", "Ada Lovelace")
    assert find_admin(connection, "ADA@shop.test") == ada
    assert find_admin(connection, "not an address") is None
    assert names_of_actors(connection)[ada.actor] == "Ada Lovelace"
    with pytest.raises(AdminRefused, match="already"):
        made(connection, "ADA@SHOP.TEST")


def test_who_has_no_name_is_called_as_in_the_address(connection: Connection) -> None:
    assert made(connection, "grace@shop.test", name="").name == "grace"


@pytest.mark.parametrize(
    "email", ["", "ada", "a@", "@b", "a b@c", "a@b@c", "a@b\x00.c", "a" * 65 + "@b.c", "a@" + "b" * 260]
)
def test_what_is_no_address_is_refused(connection: Connection, email: str) -> None:
    with pytest.raises(AdminRefused, match="e-mail"):
        made(connection, email)


@pytest.mark.parametrize("name", ["a" * 101, "a\x00b", "a\u202eb"])
def test_what_cannot_be_read_is_no_name(connection: Connection, name: str) -> None:
    with pytest.raises(AdminRefused, match="name"):
        made(connection, name=name)


def test_the_last_owner_stays(connection: Connection) -> None:
    ada, bob = made(connection), made(connection, "bob@shop.test", "editor")
    for change in (
        lambda: disable_admin(connection, ada.admin_id, NOW),
        lambda: set_role(connection, ada.admin_id, "editor"),
    ):
        with pytest.raises(AdminRefused, match="last owner"):
            change()
    assert set_role(connection, ada.admin_id, "owner").role == "owner"
    set_role(connection, bob.admin_id, "owner")
    assert disable_admin(connection, ada.admin_id, NOW).disabled_at == NOW
    # A disabled owner is none.
    with pytest.raises(AdminRefused, match="last owner"):
        set_role(connection, bob.admin_id, "viewer")
    assert enable_admin(connection, ada.admin_id).disabled_at is None
    assert set_role(connection, bob.admin_id, "viewer").role == "viewer"


def test_two_owners_cannot_disable_each_other_at_once(database: Database) -> None:
    with database.engine.begin() as conn:
        owners = [made(conn, f"owner-{number}@shop.test") for number in range(2)]

    def disable(account: AdminAccount) -> bool:
        try:
            with database.engine.begin() as conn:
                disable_admin(conn, account.admin_id, NOW)
        except AdminRefused:
            return False
        return True

    for _ in range(5):
        with ThreadPoolExecutor(2) as threads:
            assert sorted(threads.map(disable, owners)) == [False, True]
        with database.engine.begin() as conn:
            left = [each for each in list_admins(conn) if each.disabled_at is None]
            assert len(left) == 1
            for each in owners:
                enable_admin(conn, each.admin_id)


def test_what_concerns_nobody_is_refused(connection: Connection) -> None:
    for change in (
        lambda: set_role(connection, "nobody", "viewer"),
        lambda: disable_admin(connection, "nobody", NOW),
        lambda: enable_admin(connection, "nobody"),
        lambda: set_password(connection, "nobody", "(a hash)", NOW),
        lambda: set_name(connection, "nobody", "Nobody"),
    ):
        with pytest.raises(AdminRefused, match="no such admin"):
            change()


def test_an_unknown_role_is_refused(connection: Connection) -> None:
    with pytest.raises(AdminRefused, match="role"):
        made(connection, role="root")  # type: ignore[arg-type]


def test_who_is_disabled_has_no_password(connection: Connection) -> None:
    made(connection)
    bob = made(connection, "bob@shop.test", "viewer")
    assert password_hash_of(connection, bob.admin_id) == "(a hash)"
    disable_admin(connection, bob.admin_id, NOW)
    assert password_hash_of(connection, bob.admin_id) is None


def test_a_password_is_kept_as_an_argon2id_hash() -> None:
    stored = hash_password("correct horse battery")
    assert stored.startswith("$argon2id$")
    assert not is_outdated(stored)
    assert is_password(stored, "correct horse battery")
    assert not is_password(stored, "correct horse batterz")
    assert not is_password(None, "correct horse battery")
    assert not is_password("(a hash)", "correct horse battery")
    assert hash_password("correct horse battery") != stored
    assert is_outdated("$argon2id$v=19$m=1024,t=1,p=1$c29tZXNhbHQ$" + "A" * 43)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "at least 12"),
        ("x" * 201, "at most 200"),
        ("aaaaaaaaaaaaaa", "different"),
        ("ADA@shop.test", "e-mail"),
        (" ada@shop.test ", "e-mail"),
    ],
)
def test_a_bad_password_is_refused(password: str, why: str) -> None:
    with pytest.raises(PasswordRefused, match=why):
        check_password(password, "ada@shop.test", "Ada")


def test_each_role_may_what_the_one_below_may() -> None:
    allowed = [{each for each in PERMISSIONS if allows(role, each)} for role in ROLES]
    for above, below in itertools.pairwise(allowed):
        assert above > below
    assert allowed[0] == set(PERMISSIONS)
    assert allowed[-1] == {"view"}
    assert not allows("editor", "admins.manage")
    assert not allows("support", "program.publish")
    assert all(allows(least_role(each), each) for each in PERMISSIONS)
