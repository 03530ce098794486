"""Structured logs: one line for each request, none with personal data in it.

A line has no customer id, no body and no token: addresses appear as their route's template. For the same reason
a fault is logged by its kind and the places in the code that it passed, and with its message only where that
cannot quote stored or received values.
"""

import asyncio
import atexit
import logging
import sys
from threading import Lock
from traceback import extract_tb
from typing import Any, TextIO

import structlog
from pydantic_core import to_json
from structlog.typing import EventDict, Processor

from rewards.core.settings import Settings

#: For how long lines gather before they are written, in a process with an event loop. A write lets go of
#: Python's lock, and getting it back from a busy thread takes longer than everything else about a line.
_GATHER_SECONDS = 0.05

_PLACES = 12
#: Exceptions whose messages speak of code. Those of databases and parsers quote values.
_SPEAKS_OF_CODE = (AssertionError, AttributeError, ImportError, NameError, NotImplementedError, TypeError)


def configure_logging(settings: Settings) -> None:
    """Set up the process's logs, ours and those of libraries, on standard error."""
    renderer: Processor = _render_json if settings.log_format == "json" else _render_console
    stamped: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    lines = _Lines(sys.stderr)
    structlog.configure(
        processors=[*stamped, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=[*stamped, structlog.stdlib.add_logger_name, _without_traceback],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("alembic").setLevel(logging.WARNING)


class _Lines:
    """Writes what is only worth knowing a little later and together, and what is wrong at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gathered: list[str] = []
        self._is_planned = False
        self._lock = Lock()
        atexit.register(self.flush)

    def info(self, line: str) -> None:
        self._gathered.append(line)
        if self._is_planned:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a thread without one, or a program that has none
            self.flush()
            return
        self._is_planned = True
        loop.call_later(_GATHER_SECONDS, self.flush)

    def error(self, line: str) -> None:
        self._gathered.append(line)
        self.flush()

    debug = msg = info
    warning = critical = exception = fatal = error

    def flush(self) -> None:
        with self._lock:
            self._is_planned = False
            lines, self._gathered = self._gathered, []
            if lines and not self._stream.closed:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()


def fault(error: BaseException) -> dict[str, Any]:
    """Describe an exception without the values that its message may quote."""
    described: dict[str, Any] = {"error": f"{type(error).__module__}.{type(error).__qualname__}"}
    if isinstance(error, _SPEAKS_OF_CODE):
        described["message"] = str(error)[:500]
    sqlstate = getattr(getattr(error, "orig", error), "sqlstate", None)
    if sqlstate is not None:
        described["sqlstate"] = sqlstate
    frames = extract_tb(error.__traceback__)[-_PLACES:]
    described["at"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    if error.__cause__ is not None:
        described["cause"] = fault(error.__cause__)
    return described


def _without_traceback(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Describe a library's exception as we do ours."""
    error = sys.exc_info()[1]
    given = event.pop("exc_info", None)
    if isinstance(given, tuple):
        error = given[1]
    elif isinstance(given, BaseException):
        error = given
    if given and error is not None:
        event.update(fault(error))
    return event


def _render_json(_logger: Any, _method: str, event: EventDict) -> str:
    return to_json(event, fallback=repr, inf_nan_mode="null").decode()


def _render_console(_logger: Any, _method: str, event: EventDict) -> str:
    said, level, timestamp = event.pop("event", ""), event.pop("level", ""), event.pop("timestamp", "")
    values = " ".join(f"{name}={value}" for name, value in event.items())
    return f"{timestamp} {level:<7} {said}  {values}".rstrip()
