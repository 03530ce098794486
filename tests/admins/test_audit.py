from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from rewards.admins.accounts import AdminAccount, create_admin
from rewards.admins.audit import AuditFilters, all_entries, audit_page, known_actions, known_people, record

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def ada(connection: Connection) -> AdminAccount:
    return create_admin(
        connection, email="ada@shop.test", name="Ada", role="owner", password_hash="(a hash)", now=NOW
    )


def test_lines_are_turned_over_newest_first(connection: Connection, ada: AdminAccount) -> None:
    for number in range(25):
        record(connection, admin=ada, action="thing.done", subject=f"thing:{number}", now=NOW)
    seen, before = [], None
    while True:
        entries, before = audit_page(connection, AuditFilters(), before, 10)
        seen += [entry.subject for entry in entries]
        if before is None:
            break
        # What is appended meanwhile moves nothing.
        record(connection, admin=ada, action="thing.done", subject="thing:late", now=NOW)
    assert seen == [f"thing:{number}" for number in reversed(range(25))]
    assert [entry.subject for entry in all_entries(connection, AuditFilters(subject="7"))] == ["thing:7"]


def test_lines_are_filtered(connection: Connection, ada: AdminAccount) -> None:
    record(connection, admin=ada, action="key.revoked", subject="key:1", now=NOW)
    record(connection, admin=None, action="sign-in.slowed", now=NOW + timedelta(days=1))
    record(
        connection,
        admin=ada,
        action="customer.adjusted",
        subject="customer:a%b",
        detail={"points": 5},
        now=NOW + timedelta(days=2),
    )

    def actions(**filters: object) -> list[str]:
        return [entry.action for entry in audit_page(connection, AuditFilters(**filters))[0]]  # type: ignore[arg-type]

    assert actions() == ["customer.adjusted", "sign-in.slowed", "key.revoked"]
    assert actions(who="ada@shop.test") == ["customer.adjusted", "key.revoked"]
    assert actions(who="(nobody)", action="sign-in.slowed") == ["sign-in.slowed"]
    assert actions(subject="customer:a%b") == actions(subject="a%b") == ["customer.adjusted"]
    assert actions(subject="%") == actions(subject="_b") == []
    assert actions(since=NOW + timedelta(days=1)) == ["customer.adjusted", "sign-in.slowed"]
    assert actions(since=NOW + timedelta(days=1), until=NOW + timedelta(days=2)) == ["sign-in.slowed"]
    assert known_actions(connection) == ["customer.adjusted", "key.revoked", "sign-in.slowed"]
    assert known_people(connection) == ["(nobody)", "ada@shop.test"]
    assert audit_page(connection, AuditFilters(action="customer.adjusted"))[0][0].detail == {"points": 5}


@pytest.mark.parametrize(
    "change", ["UPDATE audit_log SET who = 'nobody'", "DELETE FROM audit_log", "TRUNCATE audit_log"]
)
@pytest.mark.parametrize("by_everything", [False, True])
def test_a_line_is_never_changed(
    connection: Connection, ada: AdminAccount, change: str, by_everything: bool
) -> None:
    record(connection, admin=ada, action="thing.done", now=NOW)
    if by_everything:
        connection.execute(text("GRANT ALL ON audit_log TO CURRENT_USER"))
    with pytest.raises(
        (DBAPIError, IntegrityError), match="append-only" if by_everything else "permission denied"
    ):
        connection.execute(text(change))
