"""The pages of segments and campaigns: how many, who, and as a file; what is hostile is shown as what it is."""

import csv
import io
from datetime import timedelta

import pytest
from office import Browser, Office

from rewards.core.clock import utc_now
from rewards.decide.commands import Award
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.jobs import run_job
from rewards.program.loading import load_text
from rewards.program.versions import publish

PROGRAM = """
schema_version: 1
name: Tea and company
currency: USD
timezone: Europe/London
segments:
- {id: quiet.ones, name: "Quiet <b>ones</b>", when: "customer.days_since_last_purchase > 60"}
- {id: none, when: "customer.purchases > 1000"}
campaigns:
- {id: win-back, name: We miss you, segment: quiet.ones, salt: a-salt-for-the-tests-1, from: 2020-01-01}
earn:
- {id: base, activity: purchase, gives: {type: per_amount, points: 1, per_minor: 100}}
"""
HOSTILE = "=cmd|' /C calc'!A0"


@pytest.fixture
def segmented(office: Office) -> Office:
    now = utc_now()
    with office.database.engine.begin() as conn:
        publish(conn, load_text(PROGRAM), now=now, effective_from=now - timedelta(days=900), actor="tests")
    customers = [HOSTILE, *(f"c-{number:03d}" for number in range(60)), "<script>alert(1)</script>"]
    for days, names in ((100, customers), (1, ["lately"])):
        commands = [
            Award.model_validate(
                {
                    "customer_id": name,
                    "occurred_at": now - timedelta(days=days),
                    "activity": {
                        "type": "purchase",
                        "order_id": "1",
                        "total_minor": 4_250,
                        "currency": "USD",
                    },
                }
            )
            for name in names
        ]
        answers = Engine(office.database).execute([Submission(each, "k", "t") for each in commands], now)
        assert all(answer.status == 201 for answer in answers)
    run_job("segments", office.database, now)
    return office


def test_the_pages_say_who_is_in_and_what_campaigns_do(segmented: Office, owner: Browser) -> None:
    page = owner.get("/admin/segments").text
    assert "Quiet &lt;b&gt;ones&lt;/b&gt;" in page
    assert "<b>ones" not in page
    assert ">62<" in page
    assert "We miss you" in page
    assert "running" in page
    first = owner.get("/admin/segments/quiet.ones").text
    assert "&lt;script&gt;alert(1)" in first
    assert "<script>alert" not in first
    assert "$42.50" in first
    assert "lately" not in first
    assert "Nobody was in it" in owner.get("/admin/segments/none").text
    assert owner.get("/admin/segments/absent").status_code == 404


def test_all_of_them_come_as_a_file_that_no_spreadsheet_runs(segmented: Office, owner: Browser) -> None:
    answer = owner.get("/admin/segments/quiet.ones/customers.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 62
    assert {row["purchases"] for row in rows} == {"1"}
    assert "'" + HOSTILE in {row["customer_id"] for row in rows}
    assert owner.get("/admin/segments/absent/customers.csv").status_code == 404


def test_strangers_see_none_of_it(office: Office, stranger: Browser) -> None:
    for path in ("/admin/segments", "/admin/segments/x", "/admin/segments/x/customers.csv"):
        assert "/admin/sign-in" in stranger.get(path).headers["location"]
