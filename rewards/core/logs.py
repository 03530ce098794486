"""Structured logs: one line for each request, none with personal data in it.

A line has no customer id, no body and no token: addresses appear as their route's template. For the same reason
a fault is logged by its kind and the places in the code that it passed, and with its message only where that
cannot quote stored or received values.
"""

import logging
import sys
from traceback import extract_tb
from typing import Any

import structlog
from pydantic_core import to_json
from structlog.typing import EventDict, Processor

from rewards.core.settings import Settings

_PLACES = 12
#: Exceptions whose messages speak of code. Those of databases and parsers quote values.
_SPEAKS_OF_CODE = (AssertionError, AttributeError, ImportError, NameError, NotImplementedError, TypeError)


def configure_logging(settings: Settings) -> None:
    """Set up the process's logs, ours and those of libraries, on standard error."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Processor
    if settings.log_format == "json":
        renderer = _render_json
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name, _without_traceback],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)


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
