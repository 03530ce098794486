"""What endpoints are given: the services of the process, and the key that a request came with."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, cast

from fastapi import Depends, Request
from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from api.coalescing import Coalescer
from api.errors import overloaded, unauthorized, unavailable, wrong_scope
from api.routing import header
from rewards.core.database import Database
from rewards.core.errors import BusyError, SetupError
from rewards.core.keys import ApiKey, KeyRing, Scope, parse_token, read_key
from rewards.core.settings import Settings
from rewards.engine import Engine
from rewards.program.history import ProgramHistory
from rewards.program.versions import HistoryCache

T = TypeVar("T")

#: Threads, and so connections, that serve reads and quotes in a process.
READERS = 4
_RECENT_SECONDS = 0.25
#: Reads that may wait for one of them.
_READS_WAITING = 512


class Reader:
    """Runs what reads the database in a few threads, so that the event loop never waits for it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Each question is one statement, which needs no transaction around it: two round trips less.
        self._engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="rewards-reads")
        self._waiting = 0

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Return what ``work`` returns, which is given a connection and must not keep anything of it.

        Each statement sees the present, unless ``work`` sets the connection another isolation level first.

        Raises:
            Problem: ``overloaded`` or ``unavailable``.
        """

        def connected() -> T:
            with self._engine.connect() as conn:
                return work(conn)

        return await self.run(lambda: self._twice(connected))

    async def quote(self, work: Callable[[], T]) -> T:
        """The same for work that finds its own connection, and changes nothing."""
        return await self.run(lambda: self._twice(work))

    async def run(self, work: Callable[[], T]) -> T:
        """The same for work that may change something, so it is not tried again."""
        if self._waiting >= _READS_WAITING:
            raise overloaded()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except (OperationalError, InterfaceError, PoolTimeoutError, BusyError):
            raise unavailable() from None
        finally:
            self._waiting -= 1

    def _twice(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except (OperationalError, InterfaceError):
            # The pool kept connections to a server that has gone since; it is empty now. Or nothing listens any
            # more: then the embedded server is started again.
            self._revive()
            return work()

    def _revive(self) -> None:
        try:
            self._database.revive()
        except SetupError:
            raise BusyError("the database could not be started again") from None

    def close(self) -> None:
        """Finish what was begun."""
        self._threads.shutdown(wait=True, cancel_futures=True)


class KeyChecker:
    """Finds the key that a request was sent with, mostly without asking the database."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._ring = KeyRing()
        self._reading: dict[str, asyncio.Task[ApiKey | None]] = {}

    async def check(self, authorization: str) -> ApiKey:
        """Return the key of an ``Authorization`` header.

        Raises:
            Problem: ``unauthorized``, or ``unavailable`` where it cannot be known.
        """
        kind, _, text = authorization.partition(" ")
        token = parse_token(text.strip()) if kind.lower() == "bearer" else None
        if token is None:
            detail = "Send a header Authorization: Bearer KEY. `rewards key create` makes a key."
            raise unauthorized(detail, was_given=bool(authorization))
        key, is_due = self._ring.find(token.key_id, time.monotonic())
        if is_due:
            reading = self._reading.get(token.key_id) or self._begin(token.key_id)
            if key is None:
                key = await asyncio.shield(reading)
        if key is None or not key.opens_with(token.secret):
            raise unauthorized("The key is not known here, or was revoked.", was_given=True)
        return key

    def _begin(self, key_id: str) -> "asyncio.Task[ApiKey | None]":
        task = asyncio.get_running_loop().create_task(self._read(key_id))
        self._reading[key_id] = task
        task.add_done_callback(lambda done: self._ended(key_id, done))
        return task

    def _ended(self, key_id: str, task: "asyncio.Task[ApiKey | None]") -> None:
        del self._reading[key_id]
        # A failure concerns whoever waits for the key; where nobody does, the next request reads it again.
        _ = task.cancelled() or task.exception()

    async def _read(self, key_id: str) -> ApiKey | None:
        read_at = time.monotonic()
        key = await self._reader.read(lambda conn: read_key(conn, key_id))
        return self._ring.keep(key, key_id, read_at)


class Programs(HistoryCache):
    """The program's versions as this process knows them."""

    def __init__(self) -> None:
        super().__init__()
        self._recent: tuple[float, ProgramHistory] | None = None

    def recent(self, conn: Connection) -> ProgramHistory:
        """Return the history as it was at most a quarter of a second ago, mostly without asking the database."""
        now = time.monotonic()
        recent = self._recent
        if recent is not None and now - recent[0] < _RECENT_SECONDS:
            return recent[1]
        history = self.current(conn)
        self._recent = (now, history)
        return history


@dataclass(frozen=True, slots=True)
class Services:
    """What a process serves with, made once when it starts."""

    settings: Settings
    database: Database
    engine: Engine
    coalescer: Coalescer
    reader: Reader
    keys: KeyChecker
    programs: Programs


def services_of(request: Request) -> Services:
    """Return the process's services."""
    return cast(Services, request.app.state.services)


async def authorize(request: Request, needed: Scope) -> ApiKey:
    """Return the key that a request came with, which may do what needs scope ``needed``.

    Raises:
        Problem: ``unauthorized``, ``wrong-scope`` or ``unavailable``.
    """
    key = await services_of(request).keys.check(header(request, b"authorization"))
    request.scope["rewards.key_id"] = key.key_id
    if not key.permits(needed):
        raise wrong_scope(key.scope, needed)
    return key


def requires(needed: Scope) -> Any:
    """Return a dependency: a key of that scope."""

    async def key(request: Request) -> ApiKey:
        return await authorize(request, needed)

    return Depends(key)


async def _services(request: Request) -> Services:
    # Asynchronous, so that FastAPI does not call it in a thread.
    return services_of(request)


TheServices = Annotated[Services, Depends(_services)]
Reading = Annotated[ApiKey, requires("readonly")]
AsStorefront = Annotated[ApiKey, requires("storefront")]
AsAdmin = Annotated[ApiKey, requires("admin")]
