"""A small HTTP load generator: keep-alive connections, requests made beforehand, latencies kept.

It is raw on purpose. The client shares two cores with what it measures, and a full HTTP client would cost more
than the server.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import cast


@dataclass(slots=True)
class Load:
    """What came back in how long."""

    seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    last_body: bytes = b""

    @property
    def done(self) -> int:
        """Answers of any status."""
        return sum(self.statuses.values())

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.done / self.seconds

    def percentile_ms(self, percent: int) -> float:
        """Return a percentile of the latency, in milliseconds."""
        return quantiles(self.latencies, n=100)[percent - 1] * 1000

    def must_be(self, *statuses: int) -> "Load":
        """Return the load.

        Raises:
            RuntimeError: an answer had another status.
        """
        others = {status: count for status, count in self.statuses.items() if status not in statuses}
        if others:
            raise RuntimeError(f"unexpected answers {others}, the last: {self.last_body[:500]!r}")
        return self


def request(method: str, path: str, key: str, body: bytes = b"", idempotency_key: str | None = None) -> bytes:
    """Return the bytes of a request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    if idempotency_key is not None:
        head += f"Idempotency-Key: {idempotency_key}\r\n"
    return head.encode() + b"\r\n" + body


def send_all(port: int, requests: Sequence[bytes], connections: int, seconds: float = 600.0) -> Load:
    """Send ``requests`` over so many connections, each waiting for its answer before the next, and time them.

    Stops early after ``seconds``, with what was answered by then.
    """
    import uvloop

    return uvloop.run(_send_all(port, iter(requests), connections, seconds))


async def _send_all(port: int, requests: Iterator[bytes], connections: int, seconds: float) -> Load:
    load = Load()
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(lambda: _Client(requests, load), "127.0.0.1", port)
        clients.append(client)
    started = time.perf_counter()
    until = started + seconds
    for client in clients:
        client.start(until)
    await asyncio.gather(*(client.ended for client in clients))
    load.seconds = time.perf_counter() - started
    return load


class _Client(asyncio.Protocol):
    """One connection: sends the next request as soon as the answer to the last is whole."""

    def __init__(self, requests: Iterator[bytes], load: Load) -> None:
        self._requests = requests
        self._load = load
        self._buffer = b""
        self._sent_at = 0.0
        self._until = 0.0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(exc or ConnectionError("the server closed the connection"))

    def start(self, until: float) -> None:
        self._until = until
        self._send_next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self._buffer[:head_end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(self._buffer) < head_end + 4 + length:
            return
        load = self._load
        load.latencies.append(time.perf_counter() - self._sent_at)
        status = int(head[9:12])
        load.statuses[status] = load.statuses.get(status, 0) + 1
        load.last_body = self._buffer[head_end + 4 :]
        self._buffer = b""
        self._send_next()

    def _send_next(self) -> None:
        now = time.perf_counter()
        following = next(self._requests, None) if now < self._until else None
        if following is None:
            self.ended.set_result(None)
            self._transport.close()
            return
        self._sent_at = now
        self._transport.write(following)
