"""Asking for a metric over HTTP: which one, as of when, with what; and working it out beside the other reads."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from fastapi import Request
from sqlalchemy import Connection

from api.deps import services_of
from api.errors import Problem, invalid_request
from rewards.core.clock import utc_now
from rewards.facts.state import FactsMissing, known_state
from rewards.metrics.registry import all_metrics
from rewards.metrics.result import BadParameter, Metric, Result, Table
from rewards.metrics.source import Source
from rewards.metrics.store import open_source

T = TypeVar("T")

#: So many metrics are worked out at once, that customers' pages need not wait for a thread.
_AT_ONCE = 2
_LONGEST_ARGUMENT = 400
_SINCE = ("from", "since")
_WORD = re.compile(r"[\w-]+")
#: Parameters that are not the metric's own.
AS_OF, FROM, TO = "as_of", "from", "to"


def find_metric(name: str) -> Metric:
    """Return a metric by its name.

    Raises:
        Problem: ``metric-not-found``.
    """
    metric = all_metrics().get(name)
    if metric is None:
        detail = "There is no metric of that name; GET /v1/metrics lists them."
        raise Problem(404, "metric-not-found", "There is no such metric", detail)
    return metric


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a metric, as it stands in an address.

    Attributes:
        metric: which one.
        as_of: the last day that counts, or an instant of that day; None is the last whole day.
        arguments: the others, ``from`` and ``to`` among them.
    """

    metric: Metric
    as_of: str | None
    arguments: Mapping[str, str]

    @classmethod
    def read(cls, metric: Metric, query: Mapping[str, str]) -> "Asked":
        """Read a query; what is empty is not asked for.

        Raises:
            Problem: an argument is too long, or no text.
        """
        given = {name: value.strip() for name, value in query.items() if value.strip()}
        for name, value in given.items():
            if len(value) > _LONGEST_ARGUMENT or not value.isprintable():
                raise invalid_request([(f"query.{name[:80]}", "is no value that a metric can be asked with")])
        return cls(metric, given.pop(AS_OF, None), given)

    @property
    def is_plain(self) -> bool:
        """Whether nothing but the metric is asked for."""
        return self.as_of is None and not self.arguments

    def prepared(self, conn: Connection, now: datetime) -> tuple[Source, dict[str, Any]]:
        """Return the source as of the day asked for, and the metric's arguments.

        A metric of a window takes ``from`` (its first day) and ``to`` (the day after its last). One that takes no
        ``to`` is told as of the day before it; one that takes no ``from`` but a number of days takes their difference.

        Raises:
            BadParameter: it cannot be asked like this; the message says why.
            FactsMissing: nothing was worked out yet.
        """
        zone = ZoneInfo(known_state(conn).zone)
        today = now.astimezone(zone).date()
        own = {each.name for each in self.metric.parameters}
        arguments: dict[str, Any] = dict(self.arguments)
        day = None
        if self.as_of is not None:
            day, instant = _day_of(self.as_of, zone)
            if instant is not None and "at" in own:
                arguments.setdefault("at", instant.isoformat())
        if TO in arguments and TO not in own:
            if day is not None:
                raise BadParameter("to and as_of say the same here; give one of them")
            day = _date(TO, arguments.pop(TO)) - timedelta(days=1)
        if day is not None and day > today:
            raise BadParameter(
                f"{AS_OF if self.as_of else TO} must not be later than {today}, the shop's today"
            )
        source = open_source(conn, as_of=day, now=now)
        if FROM in arguments and FROM not in own:
            self._since(arguments, own, source.as_of)
        return source, arguments

    def _since(self, arguments: dict[str, Any], own: set[str], as_of: date) -> None:
        first = _date(FROM, arguments.pop(FROM))
        if "since" in own:
            arguments.setdefault("since", first)
        elif "days" in own and "days" not in arguments:
            arguments["days"] = (as_of - first).days + 1
        else:
            raise BadParameter("from is nothing that this metric takes: it looks at all there is up to as_of")


async def measured(request: Request, asked: Asked) -> tuple[Source, Result]:
    """Work a metric out.

    Raises:
        Problem: ``invalid-request``, ``metrics-not-ready``, ``overloaded`` or ``unavailable``.
    """

    def work(source: Source, arguments: Mapping[str, Any]) -> tuple[Source, Result]:
        return source, _told(source, asked.metric(source, **arguments))

    return await measure(request, asked, work)


async def rows_of(request: Request, asked: Asked, key: str | None = None) -> tuple[Source, Table]:
    """Return the rows that a metric is made of, or the breakdown ``key``.

    Raises:
        Problem: ``rows-not-found``, and as :func:`measured`.
    """

    def work(source: Source, arguments: Mapping[str, Any]) -> tuple[Source, Table]:
        metric = asked.metric
        if key is None and metric.rows is not None:
            from rewards.metrics.result import checked

            return source, metric.rows(source, **checked(metric.parameters, arguments))
        tables = {table.key: table for table in metric(source, **arguments).tables}
        if key is None or key not in tables:
            raise _no_rows(metric, tables)
        return source, tables[key]

    return await measure(request, asked, work)


async def measure(request: Request, asked: Asked, work: Callable[[Source, Mapping[str, Any]], T]) -> T:
    """Return what ``work`` makes of the source and arguments asked for, all of it from one snapshot, in a thread.

    Raises:
        Problem: ``invalid-request``, ``metrics-not-ready``, ``overloaded`` or ``unavailable``.
    """
    now = utc_now()

    def snapshot(conn: Connection) -> T:
        conn.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        source, arguments = asked.prepared(conn, now)
        return work(source, arguments)

    try:
        async with _turns(request):
            return await services_of(request).reader.read(snapshot)
    except BadParameter as error:
        raise invalid_request([(_place(str(error), asked), str(error))]) from None
    except FactsMissing:
        raise not_ready() from None


def not_ready() -> Problem:
    """The facts that metrics are worked out from are not there yet."""
    return Problem(
        503,
        "metrics-not-ready",
        "The figures are not there yet",
        "The shop's facts are still being worked out; the job rollups does that every minute.",
        headers={"retry-after": "30"},
    )


def _turns(request: Request) -> asyncio.Semaphore:
    state = request.app.state
    if not hasattr(state, "metric_turns"):
        state.metric_turns = asyncio.Semaphore(_AT_ONCE)
    turns: asyncio.Semaphore = state.metric_turns
    return turns


def _told(source: Source, result: Result) -> Result:
    """Return a result with a word about a day that is not over."""
    from dataclasses import replace

    from rewards.metrics.report import sound

    if source.now is not None and source.as_of >= source.now.astimezone(source.zone).date():
        note = f"{source.as_of.isoformat()} is not over: its orders so far are in, so that figures of it are partial."
        result = replace(result, notes=(*result.notes, note))
    return sound(result)


def _no_rows(metric: Metric, tables: Mapping[str, Table]) -> Problem:
    has_rows = "its rows without table, and " if metric.rows is not None else ""
    there = (
        f"There is {has_rows}table=: {', '.join(tables)}." if tables else "It has none for these arguments."
    )
    return Problem(404, "rows-not-found", "There are no such rows", there, tables=list(tables))


def _day_of(text: str, zone: ZoneInfo) -> tuple[date, datetime | None]:
    """Read ``as_of``: a day, or an instant of one."""
    if len(text) <= len("2026-11-01"):
        return _date(AS_OF, text), None
    try:
        # An unescaped plus arrives as a space.
        instant = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        instant = instant if instant.tzinfo is not None else instant.replace(tzinfo=zone)
        return instant.astimezone(zone).date(), instant
    except (ValueError, OverflowError):
        raise BadParameter(f"{AS_OF} must be a date such as 2026-11-01") from None


def _date(name: str, text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise BadParameter(f"{name} must be a date such as 2026-11-01") from None
    # Far days have no place on a calendar once a window is taken off them.
    if not 1900 <= day.year <= 2200:
        raise BadParameter(f"{name} must be a date between 1900 and 2200")
    return day


def _place(message: str, asked: Asked) -> str:
    word = _WORD.match(message)
    known = {AS_OF, FROM, TO, *(each.name for each in asked.metric.parameters), *asked.arguments}
    named = word[0] if word is not None and word[0] in known else ""
    return f"query.{named}" if named else "query"
