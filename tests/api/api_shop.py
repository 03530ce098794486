"""A caller of the API: the real application, on a real database, over ASGI or over a socket."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from anyio.from_thread import BlockingPortal, start_blocking_portal

from api.app import create_app
from api.coalescing import Limits
from rewards.core.clock import utc_now
from rewards.core.database import Database
from rewards.core.keys import Scope, create_key
from rewards.core.settings import Settings

REPOSITORY = Path(__file__).parent.parent.parent


class Shop:
    """Sends requests to an application that runs in another thread.

    Attributes:
        app: the application.
        keys: an API key of each scope.
    """

    def __init__(
        self, app: Any, client: httpx.AsyncClient, portal: BlockingPortal, keys: dict[Scope, str]
    ) -> None:
        self.app = app
        self.keys = keys
        self._client = client
        self._portal = portal

    def send(self, method: str, path: str, body: Any = None, **others: Any) -> httpx.Response:
        """Send a request; see :meth:`request` for the arguments."""
        return self._portal.call(lambda: self.request(method, path, body, **others))

    def post(self, path: str, body: Any = None, **others: Any) -> httpx.Response:
        return self.send("POST", path, body, **others)

    def get(self, path: str, **others: Any) -> httpx.Response:
        return self.send("GET", path, **others)

    def together(self, *requests: tuple[Any, ...]) -> list[httpx.Response]:
        """Send requests at the same time; each is the arguments of :meth:`request`, the last a dict of named ones."""

        async def gather() -> list[httpx.Response]:
            return await asyncio.gather(*(self.request(*request[:-1], **request[-1]) for request in requests))

        return self._portal.call(gather)

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        scope: Scope = "admin",
        headers: dict[str, str] | None = None,
        **others: Any,
    ) -> httpx.Response:
        """Send a request with the API key of ``scope``, and with an idempotency key if ``key`` is given."""
        sent = {"authorization": f"Bearer {self.keys[scope]}"}
        if key is not None:
            sent["idempotency-key"] = key
        if body is not None:
            others["json"] = body
        return await self._client.request(method, path, headers=sent | (headers or {}), **others)

    def award(self, customer_id: str, order_id: str, total_minor: int = 10_000) -> httpx.Response:
        return self.post("/v1/awards", purchase(customer_id, order_id, total_minor), key=f"order-{order_id}")

    def balance(self, customer_id: str) -> dict[str, int]:
        answer = self.get(f"/v1/customers/{customer_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, int] = answer.json()["balance"]
        return found


def purchase(customer_id: str, order_id: str, total_minor: Any = 10_000, **others: Any) -> dict[str, Any]:
    """Return the body of an award: a purchase in the starter program's currency, a point for each 100."""
    activity = {"type": "purchase", "order_id": order_id, "total_minor": total_minor, "currency": "USD"}
    return {"customer_id": customer_id, "activity": activity | others}


def make_keys(database: Database) -> dict[Scope, str]:
    scopes: list[Scope] = ["storefront", "admin", "readonly"]
    with database.engine.begin() as connection:
        return {scope: create_key(connection, f"{scope} of the tests", scope, utc_now()) for scope in scopes}


@contextmanager
def open_shop(settings: Settings, keys: dict[Scope, str], limits: Limits | None = None) -> Iterator[Shop]:
    """Start the application for a caller."""
    app = create_app(settings, limits=limits)

    @asynccontextmanager
    async def started() -> AsyncIterator[httpx.AsyncClient]:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
                yield client

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(started()) as client:
        yield Shop(app, client, portal, keys)


@dataclass
class Served:
    """A server on a socket, in processes of its own.

    Attributes:
        url: its address.
        process: the one that is in charge of the workers.
        log: the file that they log to.
    """

    url: str
    process: psutil.Process
    log: Path

    def workers(self) -> list[psutil.Process]:
        return [each for each in self.process.children() if _is_worker(each)]

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:  # it is dead, and perhaps not yet buried
        return False


@contextmanager
def serving(settings: Settings, workers: int = 1) -> Iterator[Served]:
    """Serve as ``rewards serve`` does, until the end of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "REWARDS_LOG_FORMAT": "json",
        "REWARDS_HOME": str(settings.home),
        "PYTHONPATH": str(REPOSITORY),
    }
    if settings.database_url is not None and settings.secret_key is not None:
        environment["REWARDS_DATABASE_URL"] = settings.database_url.get_secret_value()
        environment["REWARDS_SECRET_KEY"] = settings.secret_key.get_secret_value()
    command = [
        sys.executable,
        "-m",
        "rewards.cli",
        "serve",
        "--no-scheduler",
        "--port",
        str(port),
        "--workers",
        str(workers),
    ]
    log = settings.home / f"serve-{port}.log"
    with log.open("wb") as output:
        started = subprocess.Popen(command, env=environment, cwd=REPOSITORY, stdout=output, stderr=output)
    served = Served(f"http://127.0.0.1:{port}", psutil.Process(started.pid), log)
    family = []
    try:
        wait_until(lambda: is_ready(served.url), seconds=60)
        family = served.process.children(recursive=True)
        yield served
    finally:
        started.terminate()
        try:
            started.wait(30)
        finally:
            for process in [*family, served.process]:
                with suppress(psutil.Error):
                    process.kill()


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def wait_until(is_so: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
