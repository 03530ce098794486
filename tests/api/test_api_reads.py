"""What can be looked at: statements, entries, links, the program, health, figures, documents."""

import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import jsonschema_rs
import pytest
from api_shop import Shop, purchase
from sqlalchemy import text

from rewards.core.clock import utc_now
from rewards.core.database import Database


def test_a_statement_adds_up(shop: Shop) -> None:
    shop.award("c-1", "1")
    shop.post("/v1/redemptions", {"customer_id": "c-1", "points": 30, "hold": True}, key="h")
    answer = shop.get("/v1/customers/c-1", scope="readonly")
    assert answer.status_code == 200
    statement = answer.json()
    assert statement["balance"] == {"available": 70, "pending": 0, "held": 30, "deficit": 0}
    assert sum(each["points"] for each in statement["expirations"]) == 70
    assert [each["points"] for each in statement["holds"]] == [30]


def test_a_statement_of_another_instant(shop: Shop) -> None:
    before = utc_now()
    shop.award("c-1", "1")
    later = (utc_now() + timedelta(days=800)).isoformat()
    for as_of, available in [(before.isoformat(), 0), (later, 0), (utc_now().isoformat(), 100)]:
        for written in (as_of, quote(as_of)):  # a plus that nobody escaped arrives as a space
            answer = shop.get(f"/v1/customers/c-1?as_of={written}")
            assert answer.status_code == 200, answer.text
            assert answer.json()["balance"]["available"] == available, as_of


@pytest.mark.parametrize("path", ["", "/entries", "/link"])
def test_a_stranger_is_not_found(shop: Shop, path: str) -> None:
    answer = shop.send("POST" if path == "/link" else "GET", f"/v1/customers/stranger{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "customer-not-found")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "customer_id", ["GB/123", "a/entries", "50%", "é ü", "a?b#c", "..x", "%2F", "a\u2028b"]
)
def test_every_id_that_can_be_awarded_can_be_asked_for(shop: Shop, customer_id: str) -> None:
    assert shop.award(customer_id, "1").status_code == 201
    path = f"/v1/customers/{quote(customer_id, safe='')}"
    assert shop.get(path).json()["customer_id"] == customer_id
    assert len(shop.get(f"{path}/entries").json()["entries"]) == 1
    assert shop.post(f"{path}/link").status_code == 200


def test_entries_come_in_pages_the_newest_first(shop: Shop) -> None:
    for order in range(7):
        shop.award("c-1", str(order), 100 * (order + 1))
    seqs: list[int] = []
    sizes = []
    cursor = ""
    while True:
        page = shop.get(f"/v1/customers/c-1/entries?limit=3{cursor}").json()
        seqs += [entry["seq"] for entry in page["entries"]]
        sizes.append(len(page["entries"]))
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seqs == [7, 6, 5, 4, 3, 2, 1]
    assert sizes == [3, 3, 1]
    everything = shop.get("/v1/customers/c-1/entries?limit=7").json()
    assert len(everything["entries"]) == 7
    assert everything["next_cursor"] is None
    assert everything["entries"][0]["points"] == 7


def test_paging_goes_on_where_it_was_while_new_entries_come(shop: Shop) -> None:
    for order in range(4):
        shop.award("c-1", str(order))
    first = shop.get("/v1/customers/c-1/entries?limit=2").json()
    shop.award("c-1", "later")
    second = shop.get(f"/v1/customers/c-1/entries?limit=2&cursor={first['next_cursor']}").json()
    assert [entry["seq"] for entry in first["entries"] + second["entries"]] == [4, 3, 2, 1]


def test_a_link_is_signed_and_ends(shop: Shop) -> None:
    shop.award("c-1", "1")
    answer = shop.post("/v1/customers/c-1/link", scope="storefront")
    assert answer.status_code == 200
    assert "/me/" in answer.json()["url"]
    assert answer.json()["expires_at"] > utc_now().isoformat()


def test_the_program_is_published_and_shown(shop: Shop, database: Database) -> None:
    program = shop.get("/v1/program").json()
    assert (program["version"], program["published_by"]) == (1, "system")
    document = program["document"] | {"name": "Twice as much", "no_holdout": "A test"}
    document["earn"][0]["gives"]["points"] = 2
    published = shop.send("PUT", "/v1/program", {"document": document, "note": "A gift"})
    assert published.status_code == 200, published.text
    assert published.json()["version"] == 2
    assert published.json()["note"] == "A gift"
    assert published.json()["published_by"].startswith("key:")
    assert shop.get("/v1/program").json() == published.json()
    assert shop.award("c-1", "1").json()["points"] == 200


def test_a_program_of_the_future_is_not_in_force_yet(shop: Shop) -> None:
    document = shop.get("/v1/program").json()["document"]
    tomorrow = (utc_now() + timedelta(days=1)).isoformat()
    answer = shop.send("PUT", "/v1/program", {"document": document, "effective_from": tomorrow})
    assert answer.json()["version"] == 2
    assert shop.get("/v1/program").json()["version"] == 1


def test_health_is_the_process_and_readiness_all_that_it_needs(shop: Shop, database: Database) -> None:
    assert shop.get("/healthz").json() == {"status": "ok"}
    assert shop.get("/readyz").json() == {"status": "ready", "program_version": 1}
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    behind = shop.get("/readyz")
    assert (behind.status_code, behind.json()["code"]) == (503, "not-ready")
    assert "rewards migrate" in behind.json()["detail"]
    assert behind.headers["retry-after"] == "1"
    assert shop.get("/healthz").status_code == 200


def test_figures_are_counted_by_route_without_ids(shop: Shop) -> None:
    shop.award("c-secret", "1")
    shop.get("/v1/customers/c-secret")
    shop.get("/nowhere/c-secret")
    figures = shop.get("/internal/metrics").text
    assert 'rewards_request_seconds_count{method="POST",route="/v1/awards",status="201"}' in figures
    assert 'route="/v1/customers/{customer_id}"' in figures
    assert "rewards_batch_commands_bucket" in figures
    assert "secret" not in figures


def test_a_sane_request_id_is_kept(shop: Shop) -> None:
    assert shop.get("/healthz", headers={"x-request-id": "abc-123"}).headers["x-request-id"] == "abc-123"
    for given in ("a b", "x" * 129, "<script>", '"'):
        answered = shop.get("/healthz", headers={"x-request-id": given}).headers["x-request-id"]
        assert answered != given
        assert len(answered) == 16


def test_answers_are_neither_kept_nor_guessed_at_by_browsers(shop: Shop) -> None:
    data = shop.get("/v1/program").headers
    assert (data["x-content-type-options"], data["cache-control"]) == ("nosniff", "no-store")
    page = shop.get("/docs").headers
    assert page["content-type"].startswith("text/html")
    assert "default-src 'none'" in page["content-security-policy"]
    assert (page["referrer-policy"], page["x-frame-options"]) == ("no-referrer", "DENY")


def test_the_reference_shows_every_operation_and_needs_nothing_from_elsewhere(shop: Shop) -> None:
    page = shop.get("/docs").text
    document = shop.get("/openapi.json").json()
    for path, item in document["paths"].items():
        assert path in page
        for operation in item.values():
            assert f'id="{operation["operationId"]}"' in page
    for name in document["components"]["schemas"]:
        assert f'id="shape-{name}"' in page
    assert "<script" not in page
    for address in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert not address.startswith(("http", "//")), address
        if not address.startswith("#"):
            assert shop.get(f"/{address}").status_code == 200, address


def every_reference(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(every_reference(value) for key, value in node.items() if key != "example"))
    if isinstance(node, list):
        return set().union(*(every_reference(value) for value in node))
    return set()


def test_the_openapi_document_is_whole(shop: Shop) -> None:
    document = shop.get("/openapi.json").json()
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert every_reference(document) <= known
    assert "/internal/metrics" not in document["paths"]
    assert "/docs" not in document["paths"]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            good = next(
                response for status, response in operation["responses"].items() if status.startswith("2")
            )
            # JSON, or a file.
            content = good["content"].get("application/json") or next(iter(good["content"].values()))
            assert "example" in content, where
            assert content["schema"], where
            if "requestBody" in operation:
                assert operation["requestBody"]["content"]["application/json"]["examples"], where
            if path.startswith("/v1"):
                assert operation["security"], where
                assert {"401", "403", "500", "503"} <= set(operation["responses"]), where


def test_the_examples_of_the_document_are_true_to_its_schemas(shop: Shop) -> None:
    document = shop.get("/openapi.json").json()

    def check(schema: dict[str, Any], example: Any, where: str) -> None:
        whole = {**schema, "components": document["components"]}
        errors = list(jsonschema_rs.Draft202012Validator(whole).iter_errors(example))
        assert not errors, f"{where}: {errors[0].message} in {json.dumps(example)}"

    for path, item in document["paths"].items():
        for method, operation in item.items():
            where = f"{method} {path}"
            for status, response in operation["responses"].items():
                for content in response["content"].values():
                    check(content["schema"], content["example"], f"{where} {status}")
            for content in operation.get("requestBody", {}).get("content", {}).values():
                for name, example in content["examples"].items():
                    check(content["schema"], example["value"], f"{where} {name}")


def test_the_examples_work(shop: Shop) -> None:
    document = shop.get("/openapi.json").json()

    def send(path: str, name: str, at: str | None = None) -> dict[str, Any]:
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"][
            name
        ]["value"]
        body = body | ({"occurred_at": utc_now().isoformat()} if "occurred_at" in body else {})
        answer = shop.post(at or path, body, key=f"{path} {name}".replace(" ", "-"))
        assert answer.status_code in (200, 201), answer.text
        result: dict[str, Any] = answer.json()
        return result

    for name in ("a purchase", "a survey", "a signup"):
        send("/v1/awards", name)
    send("/v1/adjustments", "goodwill")
    hold = send("/v1/redemptions", "a hold")
    send("/v1/redemptions", "at once")
    send(
        "/v1/redemptions/{redemption_id}/capture",
        "in part",
        f"/v1/redemptions/{hold['redemption_id']}/capture",
    )
    send("/v1/reversals", "by line")
    send("/v1/reversals", "in full")
    program = document["paths"]["/v1/program"]["put"]["requestBody"]["content"]["application/json"][
        "examples"
    ]
    published = shop.send("PUT", "/v1/program", program["a refund window"]["value"])
    assert published.status_code == 200, published.text


def test_a_purchase_body_is_what_the_contract_shows(shop: Shop) -> None:
    items = [{"line_id": "1", "sku": "TEA", "category": "drinks", "quantity": 2, "amount_minor": 4999}]
    body = purchase(
        "c-1", "1001", 4999, discount_minor=0, tax_minor=0, shipping_minor=0, items=items,
        referral_code=None, channel="web", attributes={},
    )  # fmt: skip
    assert shop.post("/v1/awards", body, key="k").status_code == 201
