"""`rewards report`: tables, JSON, one HTML file, and what it refuses."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from metric_samples import sample_metrics

Run = Callable[..., Any]


@pytest.fixture
def samples(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with sample_metrics(monkeypatch):
        yield


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    rows = (
        f"{number},c-{number % 7},2026-01-{1 + number % 28:02d}T10:00Z,{number + 1}.00\n"
        for number in range(40)
    )
    path.write_text("order_id,customer_id,ordered_at,amount\n" + "".join(rows), encoding="utf-8")
    return path


def test_it_tells_of_what_was_imported_a_moment_ago(rewards: Run, orders: Path) -> None:
    assert rewards("import", "orders", orders).exit_code == 0
    done = rewards("report", "--json", "--as-of", "2026-02-01")
    told = json.loads(done.stdout)
    assert (told["customers"], told["purchases"], told["as_of"]) == (7, 40, "2026-02-01")
    assert [each["name"] for each in told["metrics"] if each["failed"]] == []
    assert done.exit_code == 0
    for each in told["metrics"]:
        assert (each["value"] is None) == (each["reason_if_null"] is not None), each["name"]
        assert each["definition"]["formula"]


def test_every_metric_can_be_told_of_a_shop_without_orders(rewards: Run) -> None:
    done = rewards("report", "--json")
    assert done.exit_code == 0, done.stderr
    for each in json.loads(done.stdout)["metrics"]:
        assert each["value"] is not None or each["reason_if_null"].strip().endswith((".", "?")), each["name"]


@pytest.mark.usefixtures("samples")
def test_on_a_terminal_it_is_tables_and_what_failed_is_told(rewards: Run) -> None:
    done = rewards("report")
    assert done.exit_code == 1
    assert "1 of 8 metrics failed: broken" in done.stderr
    assert "35.3%" in done.stdout
    assert "Nobody has bought" in done.stdout
    assert "It misleads" in rewards("report", "--full").stdout


@pytest.mark.usefixtures("samples")
def test_as_html_it_is_one_file(rewards: Run, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    done = rewards("report", "--html", path)
    assert done.stdout == ""
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "8 metrics" in done.stderr
    assert rewards("report", "--html", "-").stdout.rstrip().endswith("</html>")


def test_it_refuses_what_it_cannot_do(rewards: Run, tmp_path: Path) -> None:
    done = rewards("report", "--as-of", "yesterday")
    assert done.exit_code == 2
    assert "is not a date" in done.stderr
    assert rewards("report", "--json", "--html", "x.html").exit_code == 2
    done = rewards("report", "--as-of", "2100-01-01")
    assert done.exit_code == 1
    assert "has not ended" in done.stderr or "later than" in done.stderr
    done = rewards("report", "--html", tmp_path)
    assert done.exit_code == 1
    assert "cannot be written" in done.stderr
