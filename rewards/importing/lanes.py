"""Further processes that import chunks of orders, beside the one that reads the file.

A lane is a fresh Python with a database connection of its own. Settings and orders reach it through a pipe that
only the two processes have, so that no password is in its arguments. The pipe is also what ties it to its parent:
however that one ends, even by ``kill -9``, the kernel closes the pipe and the lane ends too; PostgreSQL
takes back what it had not committed, and a second import does it.
"""

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from rewards.core.collector import tune_for_batches
from rewards.core.database import connect_database
from rewards.core.errors import BusyError, SetupError
from rewards.core.settings import Settings
from rewards.engine import Engine
from rewards.importing.chunks import Terms, import_chunk
from rewards.importing.orders import Order
from rewards.importing.report import ImportReport

# Not multiprocessing's own way to spawn, which imports the caller's main module once more: a caller may be a
# script that has no `if __name__ == "__main__"`.
_START = """
import sys
from multiprocessing.connection import Connection
pipe = Connection(int(sys.argv[1]))
sys.path[:] = pipe.recv()
from rewards.importing.lanes import work
work(pipe)
"""

#: One that the lane works on, and one that waits there.
_MOST_CHUNKS = 2


class Lane:
    """A process that imports chunks, as its parent sees it."""

    def __init__(self, settings: Settings, terms: Terms) -> None:
        self.pipe, theirs = Pipe()
        self.is_ready = False
        self.chunks = 0
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own Python, with nothing from outside
                [sys.executable, "-P", "-c", _START, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                process_group=0,  # a terminal's Ctrl-C is for the parent, which ends the lane
            )
        self._send(sys.path)
        self._send((settings, terms))

    @property
    def wants_more(self) -> bool:
        """Whether it should be sent another chunk."""
        return self.chunks < _MOST_CHUNKS

    def send(self, orders: Sequence[Order]) -> None:
        """Have a chunk imported."""
        self.chunks += 1
        self._send(orders)

    def _send(self, message: Any) -> None:
        # Where the lane is gone, its last message says why, or else the end of what it sends.
        with suppress(BrokenPipeError):
            self.pipe.send(message)

    def receive(self) -> ImportReport | None:
        """Return what became of a chunk, or None where the lane is just now ready for its first.

        Raises:
            SetupError, BusyError: what went wrong there, or that the process is gone.
        """
        try:
            message = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            raise BusyError(
                "A process of the import was ended; what was imported is kept, run it again to go on."
            ) from None
        if isinstance(message, Exception):
            raise message
        if not self.is_ready:
            self.is_ready = True
            return None
        self.chunks -= 1
        assert isinstance(message, ImportReport)
        return message

    def stop(self) -> None:
        """End the process. What it has not committed is not kept."""
        self.pipe.close()
        self._process.kill()
        self._process.wait()


class Lanes:
    """Some lanes, perhaps none, which end with the ``with`` statement. True where there are any."""

    def __init__(self, count: int, settings: Settings, terms: Terms) -> None:
        self._lanes: list[Lane] = []
        try:
            for _ in range(count):
                self._lanes.append(Lane(settings, terms))
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> "Lanes":
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the lanes."""
        self.stop()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._lanes)

    @property
    def are_busy(self) -> bool:
        """Whether a chunk is being imported."""
        return any(lane.chunks for lane in self._lanes)

    def ready(self) -> Iterator[Lane]:
        """Yield the lanes that have started up."""
        for lane in self._lanes:
            if not lane.is_ready and lane.pipe.poll():
                lane.receive()
            if lane.is_ready:
                yield lane

    def receive(self, *, wait: bool) -> Iterator[ImportReport]:
        """Yield what became of the chunks that are done by now; ``wait`` for one if need be.

        Raises:
            SetupError, BusyError: what went wrong on a lane.
        """
        by_pipe = {lane.pipe: lane for lane in self._lanes}
        for pipe in _readable(list(by_pipe), None if wait else 0):
            part = by_pipe[pipe].receive()
            if part is not None:
                yield part

    def stop(self) -> None:
        """End the lanes."""
        for lane in self._lanes:
            lane.stop()


def _readable(pipes: "list[Connection[Any, Any]]", seconds: float | None) -> "list[Connection[Any, Any]]":
    return [pipe for pipe in wait(pipes, seconds) if isinstance(pipe, Connection)]


def work(pipe: "Connection[Any, Any]") -> None:
    """Import the chunks that come through a pipe, until it ends. This is all that a lane's process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, ConnectionError):  # the parent is gone
        try:
            _work(pipe)
        except (EOFError, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent tells it
            pipe.send(_portable(error))


def _work(pipe: "Connection[Any, Any]") -> None:
    settings, terms = pipe.recv()
    database = connect_database(settings, application_name="rewards import", pool_size=1)
    try:
        engine = Engine(database)
        chunks: SimpleQueue[Sequence[Order]] = SimpleQueue()
        tune_for_batches()
        Thread(target=_listen, args=(pipe, chunks), daemon=True).start()
        pipe.send("ready")
        while True:
            pipe.send(import_chunk(engine, chunks.get(), terms))
    finally:
        database.dispose()


def _listen(pipe: "Connection[Any, Any]", chunks: "SimpleQueue[Sequence[Order]]") -> None:
    """Take chunks as they come, so that the parent need not wait for a lane; end with the parent."""
    with suppress(EOFError, OSError):
        while True:
            chunks.put(pipe.recv())
    os._exit(1)  # at once, also out of a statement that waits for a lock


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent, and that means to the parent what it would mean if it came up there."""
    if isinstance(error, SetupError | BusyError):
        return type(error)(str(error))
    if isinstance(error, SQLAlchemyError):
        said = str(getattr(error, "orig", None) or error).strip().splitlines()
        return BusyError(f"The database does not answer: {said[0] if said else type(error).__name__}")
    bug = RuntimeError(f"a process of the import failed: {type(error).__name__}: {error}")
    bug.add_note("".join(traceback.format_exception(error)))
    return bug
