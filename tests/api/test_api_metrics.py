"""Metrics over HTTP: their shape, how days and windows are asked for, rows as files, and what is refused."""

import csv
import io
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from api_shop import Shop
from metric_samples import sample_metrics

from api.metric_schemas import MetricAnswer, MetricsAnswer
from rewards.core.clock import utc_now
from rewards.core.database import Database
from rewards.facts.refresh import refresh


@pytest.fixture(autouse=True)
def samples(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with sample_metrics(monkeypatch):
        yield


@pytest.fixture
def facts(database: Database) -> None:
    refresh(database, utc_now())


RATE = "/v1/metrics/matured-repeat-rate"


def _problem(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def test_the_metrics_are_listed_with_what_they_mean(shop: Shop) -> None:
    for scope in ("readonly", "storefront", "admin"):
        answer = shop.get("/v1/metrics", scope=scope)
        assert answer.status_code == 200
    told = MetricsAnswer.model_validate(answer.json()).metrics
    assert told[0].name == "matured-repeat-rate"
    assert told[0].definition.formula == "those who did ÷ those who could"
    assert [each.name for each in told[0].parameters] == ["days", "of", "from", "to"]
    assert (told[0].has_rows, told[1].has_rows) == (True, False)


@pytest.mark.usefixtures("facts")
def test_a_metric_has_the_contracts_shape(shop: Shop) -> None:
    answer = shop.get(RATE, scope="readonly")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    MetricAnswer.model_validate(told)
    assert {"name", "value", "numerator", "denominator", "interval", "unit", "evidence", "definition",
            "reason_if_null", "breakdown"} <= set(told)  # fmt: skip
    assert (told["value"], told["unit"], told["evidence"]) == (0.3526, "share", "measured")
    assert told["interval"] == {"low": 0.3367, "high": 0.3688, "level": 0.95}
    assert told["currency"] == "USD"
    assert told["as_of"] == (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
    assert told["breakdown"]["cohorts"]["rows"][0] == {
        "cohort": "2026-01", "k": 0, "rate": 1.0, "partial": False
    }  # fmt: skip


@pytest.mark.usefixtures("facts")
def test_no_figure_has_a_reason(shop: Shop) -> None:
    told = shop.get("/v1/metrics/cohorts").json()
    assert told["value"] is None
    assert told["reason_if_null"].startswith("Nobody has bought anything yet")
    assert shop.get("/v1/metrics/no-number").json()["reason_if_null"] == "The figure came out as no number."


@pytest.mark.usefixtures("facts")
def test_a_metric_is_asked_for_a_day_and_with_arguments(shop: Shop) -> None:
    told = shop.get(RATE, params={"as_of": "2025-06-30", "days": "90", "of": "buyers-in-window"}).json()
    assert told["as_of"] == "2025-06-30"
    assert told["parameters"] == {"days": 90, "of": "buyers-in-window", "as_of": "2025-06-30"}
    # An instant stands for the day that it is in.
    assert shop.get(RATE, params={"as_of": "2025-06-30T23:30:00Z"}).json()["as_of"] == "2025-06-30"
    # What is left empty is not asked for.
    assert shop.get(RATE, params={"days": "", "as_of": " "}).json()["parameters"]["days"] == 365


@pytest.mark.usefixtures("facts")
def test_from_and_to_mean_what_the_metric_can_take(shop: Shop) -> None:
    window = {"from": "2025-01-01", "to": "2025-04-01"}
    told = shop.get(RATE, params=window).json()
    assert told["parameters"] == {"days": 365, "of": "all", **window, "as_of": told["as_of"]}
    # Without a window of its own, "to" is the day after the one that figures are as of, and "from" is "since".
    told = shop.get("/v1/metrics/liability", params=window).json()
    assert (told["as_of"], told["parameters"]) == ("2025-03-31", {"since": "2025-01-01"})
    assert _problem(shop.get("/v1/metrics/liability", params={**window, "as_of": "2025-03-31"})) == (
        422, "invalid-request"
    )  # fmt: skip
    answer = shop.get("/v1/metrics/effect", params={"from": "2025-01-01"})
    assert "takes" in answer.json()["errors"][0]["message"]


@pytest.mark.usefixtures("facts")
def test_today_is_told_as_partial_and_tomorrow_is_refused(shop: Shop) -> None:
    today = datetime.now(UTC).date()
    notes = shop.get(RATE, params={"as_of": today.isoformat()}).json()["notes"]
    assert notes[-1] == f"{today} is not over: its orders so far are in, so that figures of it are partial."
    answer = shop.get(RATE, params={"as_of": (today + timedelta(days=2)).isoformat()})
    assert _problem(answer) == (422, "invalid-request")
    assert answer.json()["errors"][0]["path"] == "query.as_of"


@pytest.mark.usefixtures("facts")
@pytest.mark.parametrize(
    ("query", "path", "message"),
    [
        ({"days": "0"}, "query.days", "days must be at least 1"),
        ({"days": "soon"}, "query.days", "days must be a whole number of days"),
        ({"of": "them"}, "query.of", "of must be one of: all, buyers-in-window"),
        ({"as_of": "yesterday"}, "query.as_of", "as_of must be a date such as 2026-11-01"),
        ({"as_of": "0001-01-01"}, "query.as_of", "as_of must be a date between 1900 and 2200"),
        ({"as_of": "2025-06-30T25:00"}, "query.as_of", "as_of must be a date such as 2026-11-01"),
        ({"from": "2025-02-30"}, "query.from", "from must be a date such as 2026-11-01"),
        ({"from": "2025-02-02", "to": "2025-02-02"}, "query.from", "from must be before to"),
        ({"window": "90"}, "query", "there is no parameter 'window' here; there are: days, of, from, to"),
        ({"days": "9" * 401}, "query.days", "is no value that a metric can be asked with"),
        ({"of": "a\x00b"}, "query.of", "is no value that a metric can be asked with"),
    ],
)
def test_what_cannot_be_asked_is_said(shop: Shop, query: dict[str, str], path: str, message: str) -> None:
    answer = shop.get(RATE, params=query)
    assert _problem(answer) == (422, "invalid-request")
    assert answer.json()["errors"] == [{"path": path, "message": message}]


def test_before_there_are_facts_it_says_so(shop: Shop) -> None:
    answer = shop.get(RATE)
    assert _problem(answer) == (503, "metrics-not-ready")
    assert answer.headers["retry-after"] == "30"


@pytest.mark.usefixtures("facts")
def test_a_metric_needs_a_key_and_a_name_that_is_one(shop: Shop) -> None:
    assert shop.get(RATE, headers={"authorization": ""}).status_code == 401
    for name in ("unknown", "%2F", "effect%2Frows.csv", "x" * 64):
        assert _problem(shop.get(f"/v1/metrics/{name}")) == (404, "metric-not-found")
    assert _problem(shop.get("/v1/metrics/broken")) == (500, "internal-error")


@pytest.mark.usefixtures("facts")
def test_rows_come_as_csv_in_which_nothing_is_a_formula(shop: Shop) -> None:
    answer = shop.get(f"{RATE}/rows.csv", scope="readonly")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "matured-repeat-rate-customers.csv" in answer.headers["content-disposition"]
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == ["customer_id", "why", "spent_minor", "first_day", "chance"]
    assert rows[1] == [
        "c-1",
        "Bought every fortnight, and not for three months.",
        "12345",
        "2026-01-05",
        "0.25",
    ]
    assert rows[2] == ["'=1+1", "", "-5", "", ""]


@pytest.mark.usefixtures("facts")
def test_a_breakdown_comes_as_a_file_too(shop: Shop) -> None:
    rows = list(csv.reader(io.StringIO(shop.get(f"{RATE}/rows.csv", params={"table": "survival"}).text)))
    assert rows[0] == ["day", "program", "program_low", "program_high", "holdout"]
    answer = shop.get("/v1/metrics/liability/rows.csv")
    assert _problem(answer) == (404, "rows-not-found")
    assert answer.json()["tables"] == ["age", "tiers"]
    assert _problem(shop.get(f"{RATE}/rows.csv", params={"table": "nothing"})) == (404, "rows-not-found")
    assert _problem(shop.get(f"{RATE}/rows.csv", params={"days": "0"})) == (422, "invalid-request")


@pytest.mark.usefixtures("facts")
def test_rows_come_as_parquet_just_as_they_are(shop: Shop) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    answer = shop.get(f"{RATE}/rows.parquet")
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    found = pq.read_table(io.BytesIO(answer.content)).to_pydict()
    assert found["customer_id"] == ["c-1", "=1+1", "GB/123"]
    assert found["spent_minor"] == [12345, -5, 7]
    assert found["first_day"] == [date(2026, 1, 5), None, date(2026, 2, 28)]
    assert found["chance"] == [0.25, None, 1.0]


@pytest.mark.usefixtures("facts")
def test_without_the_extra_parquet_says_what_to_do(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = shop.get(f"{RATE}/rows.parquet")
    assert _problem(answer) == (501, "parquet-missing")
    assert "rewards-engine[scale]" in answer.json()["detail"]
