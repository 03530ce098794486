"""The stored draft: kept as it was typed, and never saved over what was not seen."""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from sample_programs import PER_POUND, program_data, rule
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from rewards.core.database import Database
from rewards.program.draft_differences import differences
from rewards.program.drafts import (
    Draft,
    DraftChanged,
    check_draft,
    check_text,
    discard_draft,
    draft_revision,
    read_draft,
    save_draft,
)

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
ABOUT: dict[str, Any] = {"based_on": 1, "now": NOW, "actor": "admin:a"}


def test_there_is_none_at_first(connection: Connection) -> None:
    assert read_draft(connection) is None
    assert draft_revision(connection) == 0


@pytest.mark.parametrize(
    "data", [program_data(), {"name": 5, "x": [None, True, 1.5]}, {}, {"name": "\x00\ud7ff\U0001f375"}, {"b": 1, "a": 2}]
)  # fmt: skip
def test_data_are_kept_as_they_were_typed(connection: Connection, data: dict[str, Any]) -> None:
    save_draft(connection, data=data, over=0, **ABOUT)
    draft = read_draft(connection)
    assert draft is not None
    assert draft.data == data
    assert list(draft.data) == list(data), "fields keep their order"
    assert (draft.text, draft.based_on, draft.revision, draft.updated_at) == (None, 1, 1, NOW)
    assert check_draft(draft, NOW).document is None or data == program_data()


def test_text_is_kept_as_it_was_typed(connection: Connection) -> None:
    for revision, typed in enumerate(("# why\nname: x\n", "", "a: [", "n: 1e999", "  \ttabs")):
        draft = save_draft(connection, text=typed, over=revision, **ABOUT)
        assert read_draft(connection) == draft
        assert (draft.text, draft.as_text) == (typed, typed)
    assert draft_revision(connection) == 5


def test_numbers_without_end_are_text_where_json_has_none(connection: Connection) -> None:
    draft = save_draft(connection, text="n: 1e999", over=0, **ABOUT)
    assert draft.data == {"n": "inf"}
    assert save_draft(connection, data=draft.data | {"m": [float("inf")]}, over=1, **ABOUT).data["m"] == [
        "inf"
    ]


def test_who_saves_over_what_they_have_not_seen_is_told(connection: Connection) -> None:
    first = save_draft(connection, data={"name": "First"}, over=0, **ABOUT)
    with pytest.raises(DraftChanged) as caught:
        save_draft(connection, data={"name": "Second"}, over=0, **ABOUT)
    assert caught.value.current == first
    with pytest.raises(DraftChanged):
        discard_draft(connection, over=0, now=NOW, actor="admin:b")
    discard_draft(connection, over=1, now=NOW, actor="admin:b")
    assert read_draft(connection) is None
    with pytest.raises(DraftChanged) as gone:
        save_draft(connection, data={"name": "Third"}, over=1, **ABOUT)
    assert gone.value.current is None
    assert save_draft(connection, data={"name": "Third"}, over=2, **ABOUT).revision == 3


def test_two_begin_a_draft_at_once_and_one_is_told(database: Database) -> None:
    done: list[Draft | None] = []
    ready = threading.Barrier(2)

    def begin(name: str) -> None:
        with database.engine.begin() as connection:
            ready.wait()
            try:
                done.append(save_draft(connection, data={"name": name}, over=0, **ABOUT))
            except DraftChanged:
                done.append(None)

    threads = [threading.Thread(target=begin, args=(name,)) for name in ("one", "other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (saved,) = [each for each in done if each is not None]
    assert len(done) == 2
    with database.engine.connect() as connection:
        assert read_draft(connection) == saved


def test_there_is_one_draft_and_it_is_text_or_data(connection: Connection) -> None:
    save_draft(connection, data={}, over=0, **ABOUT)
    with pytest.raises(ValueError, match="either text or data"):
        save_draft(connection, over=1, **ABOUT)
    with pytest.raises(IntegrityError), connection.begin_nested():
        connection.execute(text("UPDATE program_drafts SET text = 'x'"))
    with pytest.raises(IntegrityError), connection.begin_nested():
        connection.execute(text("UPDATE program_drafts SET draft_id = 2"))


def test_a_draft_is_checked_with_lines_or_with_paths(connection: Connection) -> None:
    checked = check_text("name: x\nearn: 5\n", NOW)
    assert checked.document is None
    assert {(each.path, each.line) for each in checked.errors} >= {("earn", 2), ("currency", 1)}
    broken = program_data(
        name="", earn=[PER_POUND | {"when": "order.total >"}, rule("b", "signup", type="fixed", points=0)]
    )
    draft = save_draft(connection, data=broken, over=0, **ABOUT)
    # The condition is told although the rest is not valid: whoever types it needs to know.
    assert sorted(each.path for each in check_draft(draft, NOW).errors) == [
        "earn[0].when",
        "earn[1].gives.points",
        "name",
    ]


def test_what_differs_is_told_place_by_place() -> None:
    theirs = {"name": "a", "caps": [{"per": "day"}], "points": {"pending": "P1D"}, "on": True}
    ours = {"name": "b", "caps": [{"per": "week"}], "points": {}, "on": 1, "earn": [{"id": "x"}]}
    assert differences(theirs, ours) == [
        ("name", "a", "b"),
        ("caps[0].per", "day", "week"),
        ("points.pending", "P1D", "–"),
        ("on", "true", "1"),
        ("earn", "–", "- id: x"),
    ]
    assert differences(ours, ours) == []
