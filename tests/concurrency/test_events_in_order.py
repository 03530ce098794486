"""Who reads events on from a number must miss none, however transactions that write them overlap."""

from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any

from sqlalchemy import text

from rewards.core.database import Database
from rewards.ledger.standings import read_events, write_standings

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def event(name: str) -> dict[str, Any]:
    return {
        "event_id": name,
        "customer_id": "c",
        "type": "tier.upgraded",
        "occurred_at": NOW.isoformat(),
        "payload": {},
    }


def test_an_event_that_commits_late_has_a_later_number(database: Database) -> None:
    has_begun, is_written = Event(), Event()

    def write_second() -> None:
        with database.engine.begin() as conn:
            # It began first, and writes its events while another one does.
            conn.execute(text("SELECT pg_current_xact_id()"))
            has_begun.set()
            assert is_written.wait(10)
            write_standings(conn, [], [event("second")], [], NOW)

    thread = Thread(target=write_second)
    thread.start()
    assert has_begun.wait(10)
    seen: list[str] = []
    after = 0
    with database.engine.connect() as reader, database.engine.begin() as conn:
        write_standings(conn, [], [event("first")], [], NOW)
        is_written.set()
        # The second has to wait for the first: were it ahead, its number would be the higher of the two.
        thread.join(0.3)
        assert thread.is_alive()
        assert read_events(reader, after, 10) == []
    thread.join(10)
    with database.engine.connect() as reader:
        for _ in range(3):
            found = read_events(reader, after, 1)
            seen += [each["event_id"] for each in found]
            after = found[-1]["event_seq"] if found else after
    assert seen == ["first", "second"]
