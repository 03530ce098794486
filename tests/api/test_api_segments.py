"""GET /v1/segments, their customers page by page, and GET /v1/campaigns."""

from datetime import timedelta

from api_shop import Shop

from rewards.core.clock import utc_now
from rewards.core.database import Database
from rewards.jobs import run_job
from rewards.program.loading import load_text
from rewards.program.versions import publish

PROGRAM = """
schema_version: 1
name: Tea and company
currency: USD
timezone: Europe/London
segments:
- {id: some, when: "customer.purchases >= 1"}
campaigns:
- {id: hello, segment: some, holdout_pct: 0, salt: a-salt-for-the-tests-1, from: 2020-01-01}
earn:
- {id: base, activity: purchase, gives: {type: per_amount, points: 1, per_minor: 100}}
"""


def test_who_is_in_a_segment_is_told_page_by_page(database: Database, shop: Shop) -> None:
    now = utc_now()
    with database.engine.begin() as conn:
        publish(conn, load_text(PROGRAM), now=now, effective_from=now - timedelta(days=9), actor="tests")
    for name in ("a", "b/c", "d"):
        assert shop.award(name, f"1-{name}", 500).status_code == 201
    told = shop.get("/v1/segments", scope="admin").json()
    assert told == {
        "segments": [{"id": "some", "name": None, "when": "customer.purchases >= 1", "customers": 0}],
        "as_of": None,
    }
    run_job("segments", database, utc_now())
    told = shop.get("/v1/segments", scope="admin").json()
    assert told["segments"][0]["customers"] == 3
    assert told["as_of"] is not None
    page = shop.get("/v1/segments/some/customers?limit=2", scope="admin").json()
    assert [each["customer_id"] for each in page["customers"]] == ["a", "b/c"]
    assert page["customers"][0]["spent_minor"] == 500
    rest = shop.get(
        "/v1/segments/some/customers", scope="admin", params={"cursor": page["next_cursor"]}
    ).json()
    assert ([each["customer_id"] for each in rest["customers"]], rest["next_cursor"]) == (["d"], None)
    [campaign] = shop.get("/v1/campaigns", scope="admin").json()["campaigns"]
    assert (campaign["status"], campaign["offered"], campaign["held_out"]) == ("running", 3, 0)
    events = shop.get("/v1/events", scope="admin").json()["events"]
    assert {each["type"] for each in events} == {"campaign.offered"}


def test_what_is_not_there_and_who_may_not_look(shop: Shop) -> None:
    assert shop.get("/v1/segments/nowhere/customers", scope="admin").json()["code"] == "not-found"
    for path in ("/v1/segments", "/v1/segments/x/customers", "/v1/campaigns"):
        assert shop.get(path, scope="storefront").json()["code"] == "wrong-scope"
