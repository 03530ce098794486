"""The server as `rewards serve` runs it: its log, and what happens when its processes or its database die."""

import concurrent.futures
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from api_shop import Served, make_keys, purchase, serving, wait_until
from sqlalchemy import text

from rewards.core.database import Database, connect_database, migrate
from rewards.core.embedded import embedded_server
from rewards.core.keys import Scope
from rewards.core.settings import Settings

pytestmark = pytest.mark.slow


def award(served: Served, key: str, customer_id: str, order_id: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}", "idempotency-key": f"k-{order_id}"}
    return httpx.post(
        f"{served.url}/v1/awards", json=purchase(customer_id, order_id), headers=headers, timeout=60
    )


def test_the_log_has_a_line_for_each_request_and_nobodys_data(
    settings: Settings, keys: dict[Scope, str]
) -> None:
    secret = "somebody-secret"
    key = {"authorization": f"Bearer {keys['admin']}"}
    with serving(settings) as served, httpx.Client(base_url=served.url, headers=key) as client:
        body = purchase(secret, f"order-{secret}", attributes={"email": f"{secret}@example.com"})
        sent = {"idempotency-key": f"key-{secret}"}
        assert (
            client.post("/v1/awards", json=body, headers=sent | {"x-request-id": "mine-1"}).status_code == 201
        )
        client.get(f"/v1/customers/{secret}", headers={"x-request-id": "mine-2"})
        client.get(f"/{secret}")
        client.get(f"/v1/customers/{secret}?as_of={secret}")
        client.post(
            "/v1/awards", content=f'{{"{secret}": ', headers=sent | {"content-type": "application/json"}
        )
        client.post("/v1/batches", json={"operations": [{"op": secret}]})
        client.get("/v1/program", headers={"authorization": f"Bearer rk_abc_{secret}"})
        link = client.post(f"/v1/customers/{secret}/link").json()["url"]
        token = link.rpartition("/")[2]
        assert client.get(f"/me/{token}", headers={"x-request-id": "mine-3"}).status_code == 200
        time.sleep(0.2)  # lines gather for a moment before they are written
        lines = [line for line in served.log_lines() if line["event"] == "request"]
        written = served.log.read_text(encoding="utf-8")
    by_id = {line["request_id"]: line for line in lines}
    first = by_id["mine-1"]
    assert (first["method"], first["route"], first["status"]) == ("POST", "/v1/awards", 201)
    assert first["key_id"] in keys["admin"]
    assert first["duration_ms"] > 0
    assert by_id["mine-2"]["route"] == "/v1/customers/{customer_id}"
    assert by_id["mine-3"]["route"] == "/me/{token}"
    assert secret not in written
    assert token not in written
    assert keys["admin"] not in written
    assert not any(line["route"] in ("/healthz", "/readyz") for line in lines)


def test_a_body_of_20_mb_is_refused_on_the_wire_too(settings: Settings, keys: dict[Scope, str]) -> None:
    headers = {
        "authorization": f"Bearer {keys['storefront']}",
        "idempotency-key": "k",
        "content-type": "application/json",
    }
    with serving(settings) as served:
        for _ in range(5):
            for content in (
                b" " * 20_000_000,
                iter([b" " * 1_000_000] * 20),
            ):  # said in advance, and in chunks
                answer = httpx.post(f"{served.url}/v1/awards", content=content, headers=headers, timeout=30)
                assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
        assert max(worker.memory_info().rss for worker in served.workers()) < 400 * 1024**2


def test_a_killed_worker_is_replaced(settings: Settings, keys: dict[Scope, str]) -> None:
    with serving(settings, workers=2) as served:
        victim = served.workers()[0]
        victim.kill()
        wait_until(lambda: len(served.workers()) == 2 and victim not in served.workers(), seconds=20)

        def answers() -> bool:
            try:
                return award(served, keys["storefront"], "c-1", "1").status_code == 201
            except httpx.TransportError:  # a connection that the dead one had taken
                return False

        wait_until(lambda: all(answers() for _ in range(10)), seconds=20)


def test_workers_do_not_outlive_the_one_in_charge(settings: Settings) -> None:
    with serving(settings, workers=2) as served:
        workers = served.workers()
        assert len(workers) == 2
        served.process.kill()
        _, alive = psutil.wait_procs(workers, timeout=10)
        assert not alive
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{served.url}/healthz")


def test_what_was_begun_is_finished_before_the_server_ends(
    settings: Settings, keys: dict[Scope, str], database: Database
) -> None:
    with serving(settings) as served, concurrent.futures.ThreadPoolExecutor(8) as pool:
        award(served, keys["storefront"], "c-1", "0")
        with database.engine.begin() as someone:
            someone.execute(text("SELECT 1 FROM accounts WHERE customer_id = 'c-1' FOR UPDATE"))
            sent = [pool.submit(award, served, keys["storefront"], "c-1", str(n)) for n in range(1, 9)]
            time.sleep(0.5)
            served.process.terminate()
            time.sleep(0.5)
        assert [each.result().status_code for each in sent] == [201] * 8
        served.process.wait(20)


def test_lost_connections_to_the_database_are_made_anew(
    settings: Settings, keys: dict[Scope, str], database: Database
) -> None:
    with serving(settings) as served:
        key = {"authorization": f"Bearer {keys['admin']}"}
        for round_ in range(3):
            assert award(served, keys["storefront"], "c-1", str(round_)).status_code == 201
            answer = httpx.get(f"{served.url}/v1/customers/c-1", headers=key)
            assert answer.json()["balance"]["available"] == 100 * (round_ + 1)
            with database.engine.begin() as connection:
                connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rewards api'"
                    )
                )


def test_a_killed_database_is_started_again(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", database_url=None)
    database = connect_database(settings)
    migrate(database)
    keys = make_keys(database)
    with serving(settings, workers=2) as served:
        for round_ in range(3):
            assert award(served, keys["storefront"], "c-1", f"{round_}").status_code == 201
            postmaster = embedded_server(settings.home).postmaster()
            assert postmaster is not None
            postmaster.kill()
            answer = award(served, keys["storefront"], "c-1", f"after-{round_}")
            assert answer.status_code == 201, answer.text
            reading: Any = httpx.get(
                f"{served.url}/v1/customers/c-1",
                headers={"authorization": f"Bearer {keys['admin']}"},
                timeout=60,
            )
            assert reading.status_code == 200, reading.text
            assert reading.json()["balance"]["available"] == 200 * (round_ + 1)
    database.dispose()
    embedded_server(settings.home).close()
