"""`rewards facts`, and what of facts stands in `jobs` and `check`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from rewards.core.database import Database


@pytest.fixture
def imported(rewards: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    path = tmp_path / "orders.csv"
    path.write_text(
        "order_id,customer_id,ordered_at,amount\n1,c-1,2026-01-01T10:00:00Z,10\n2,c-1,2026-02-01T10:00:00Z,5\n",
        encoding="utf-8",
    )
    assert rewards("import", "orders", path).exit_code == 0
    return rewards


def test_facts_are_shown_once_there_are_some(imported: Callable[..., Any]) -> None:
    none_yet = imported("facts", "show")
    assert (none_yet.exit_code, none_yet.stdout) == (1, "")
    assert "run `rewards jobs run rollups`" in none_yet.stderr
    for told in ("1 customers all worked out anew, generation 1", "0 customers brought up, generation 1"):
        # What follows, if anything, is how many metrics were worked out of it.
        assert imported("jobs", "run", "rollups").stdout.strip().split(";")[0] == f"rollups: {told}"
    shown = {
        line.rsplit("  ", 1)[0].strip(): line.rsplit("  ", 1)[1]
        for line in imported("facts", "show").stdout.splitlines()
    }
    assert shown["purchases"].strip() == "2"
    assert shown["complete since"].strip() == "always"
    assert (
        imported("facts", "complete-since", "2026-01-01").stdout == "orders are complete since 2026-01-01\n"
    )
    assert "2026-01-01" in imported("facts", "show").stdout
    assert imported("facts", "complete-since", "always").exit_code == 0
    wrong = imported("facts", "complete-since", "January")
    assert (wrong.exit_code, len(wrong.stderr.splitlines())) == (1, 1)


def test_check_tells_of_facts_that_are_wrong(imported: Callable[..., Any], database: Database) -> None:
    assert imported("check").exit_code == 0
    imported("jobs", "run", "rollups")
    assert imported("check").exit_code == 0
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE purchases SET refunded_minor = 1 WHERE order_id = '2'"))
    found = imported("check", "--json")
    assert found.exit_code == 1
    breaks = json.loads(found.stdout)["breaks"]
    assert {each["invariant"] for each in breaks} == {"facts"}
    assert breaks[0]["customer_id"] == "c-1"
    again = imported("jobs", "run", "rollups", "--rebuild")
    assert again.stdout == "rollups: 1 customers all worked out anew, 1 rows differed, generation 2\n"
    assert imported("check").exit_code == 0
    assert imported("jobs", "run", "expire", "--rebuild").exit_code == 2
