"""The dashboard's metrics, worked out when facts change and kept, so that a page of any shop only reads them.

They are of the facts' last generation, or of the one before while new ones are worked out. Each is kept as of the
last day that has ended; the headlines also with today so far. Their charts are drawn beforehand, too.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, delete, insert, select

from rewards.core.database import Database
from rewards.core.progress import Progress, unheard
from rewards.facts.state import State, read_state
from rewards.metrics.orders import LeftOut
from rewards.metrics.registry import all_metrics
from rewards.metrics.report import Entry, Shop, about, apart, work_out
from rewards.metrics.result import Metric, Result, checked
from rewards.metrics.showing.figures import packed_drawing
from rewards.metrics.showing.wire import packed, plain, unpacked
from rewards.metrics.source import Source
from rewards.metrics.store import open_source
from rewards.metrics.tables import KeptMetricRow, KeptShopRow

#: Those that are told with today so far, too, where there are such metrics.
HEADLINES = (
    "matured-repeat-rate",
    "repeat-rate",
    "retention",
    "churn-accounts",
    "lifetime-value",
    "nps",
    "redemption-rate",
    "liability",
)
#: Those whose first rows the dashboard lists; kept as a table of this key.
LISTED = ("at-risk",)
LISTED_KEY = "listed"
_MOST_LISTED = 10
#: A shop so large that its figures take a minute is not to be counted all the time: between two turns there are so many
#: times as long as the last one took.
REST = 4.0
#: A kept table has at most so many rows; the metric's own page and the downloads have all.
MOST_ROWS = 400

_logger = logging.getLogger(__name__)
_metrics = KeptMetricRow.__table__  # type: ignore[attr-defined]
_shop = KeptShopRow.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class KeptEntry:
    """A kept metric.

    Attributes:
        metric: what it is.
        result: as of the last day that has ended.
        failed: whether working it out failed.
        drawings: the charts of the result's tables, by their keys, as
            :func:`rewards.metrics.showing.figures.figure` takes them.
        today: the same with today so far; None where that is not kept.
    """

    metric: Metric
    result: Result
    failed: bool
    drawings: Mapping[str, Any]
    today: Result | None = None

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.metric.name


@dataclass(frozen=True, slots=True)
class Kept:
    """All that is kept.

    Attributes:
        shop: what it is of.
        generation: of the facts that it was worked out from.
        made_at: when.
        entries: by name, in the order in which metrics are told.
    """

    shop: Shop
    generation: int
    made_at: datetime
    entries: Mapping[str, KeptEntry]


class Keeping(NamedTuple):
    """What came of looking whether anything is to be worked out: how many metrics were, and how many failed."""

    metrics: int
    failed: Sequence[str]


def keep(database: Database, now: datetime, progress: Progress = unheard) -> Keeping:
    """Work the dashboard's metrics out anew where facts, the day or the metrics have changed since the last time.

    One process at a time, which the job that calls it sees to.
    """
    metrics = _on_dashboard()
    with database.engine.connect() as conn:
        state, last = read_state(conn), conn.execute(select(_shop)).one_or_none()
    if state is None or not _is_due(state, last, _digest(metrics), now):
        return Keeping(0, ())
    began = time.perf_counter()
    with database.engine.connect() as plain_conn:
        # One snapshot: every figure is of the same generation.
        conn = plain_conn.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with conn.begin():
            state = read_state(conn) or state
            shop, rows = _rows(conn, metrics, now, progress)
    made = {
        "shop_id": 1,
        "generation": state.generation,
        "as_of": shop.as_of,
        "metrics": _digest(metrics),
        "made_at": now,
        "seconds": time.perf_counter() - began,
        "shop": plain(asdict(shop)),
    }
    with database.engine.begin() as conn:
        for table, new in ((_metrics, rows), (_shop, [made])):
            conn.execute(delete(table))
            if new:
                conn.execute(insert(table), new)
    failed = [row["name"] for row in rows if row["failed"] and row["span"] == "closed"]
    return Keeping(sum(row["span"] == "closed" for row in rows), failed)


def read_kept(conn: Connection, names: Sequence[str] | None = None) -> Kept | None:
    """Return what is kept of these metrics, or of all; None where nothing was worked out yet."""
    row = conn.execute(select(_shop)).one_or_none()
    if row is None:
        return None
    by_span: dict[str, dict[str, Any]] = {"closed": {}, "today": {}}
    wanted = select(_metrics) if names is None else select(_metrics).where(_metrics.c.name.in_(names))
    for each in conn.execute(wanted):
        by_span[each.span][each.name] = each
    closed, today = by_span["closed"], by_span["today"]
    entries = {
        name: KeptEntry(
            metric,
            unpacked(closed[name].result),
            closed[name].failed,
            closed[name].drawings,
            # A figure that failed with today's orders is left out: that of the whole days is there.
            unpacked(today[name].result) if name in today and not today[name].failed else None,
        )
        for name, metric in all_metrics().items()
        if name in closed
    }
    return Kept(_shop_of(row.shop), row.generation, row.made_at, entries)


def _on_dashboard() -> list[Metric]:
    return [metric for metric in all_metrics().values() if metric.on_dashboard]


def _digest(metrics: Sequence[Metric]) -> str:
    """Return what tells one set of metrics from another: their names and definitions."""
    told = "\n".join(repr((metric.definition, metric.parameters)) for metric in metrics)
    return sha256(told.encode()).hexdigest()


def _is_due(state: State, last: Any, metrics: str, now: datetime) -> bool:
    if last is None:
        return True
    yesterday = now.astimezone(ZoneInfo(state.zone)).date() - timedelta(days=1)
    if (last.as_of, last.metrics) != (yesterday, metrics):
        return True
    if last.generation == state.generation:
        return False
    # The clock may have been set back; then there is no rest to wait for.
    return not timedelta(0) <= now - last.made_at < timedelta(seconds=REST * last.seconds)


def _rows(
    conn: Connection, metrics: Sequence[Metric], now: datetime, progress: Progress
) -> tuple[Shop, list[dict[str, Any]]]:
    source = open_source(conn, now=now)
    rows = []
    for done, entry in enumerate(work_out(source, metrics), 1):
        listed = _with_rows(source, entry) if entry.name in LISTED else entry
        rows.append(_row(listed, "closed", source.as_of, source.currency))
        progress("metrics", done, len(metrics))
    shop = about(source, now)
    today = open_source(conn, as_of=source.as_of + timedelta(days=1), now=now)
    headlines = [metric for metric in metrics if metric.name in HEADLINES]
    rows += [_row(entry, "today", today.as_of, today.currency) for entry in work_out(today, headlines)]
    return shop, rows


def _with_rows(source: Source, entry: Entry) -> Entry:
    """Return a metric's place with the first of its rows as one more table."""
    metric = all_metrics()[entry.name]
    if metric.rows is None or entry.result.value is None:
        return entry
    try:
        with apart(source.conn):
            table = metric.rows(source, **checked(metric.parameters, {}))
    except Exception:  # the figure is there, and is wanted
        _logger.exception("the rows of a metric failed", extra={"metric": entry.name})
        return entry
    shown = replace(table, key=LISTED_KEY, rows=table.rows[:_MOST_LISTED])
    return replace(entry, result=replace(entry.result, tables=(*entry.result.tables, shown)))


def _row(entry: Entry, span: str, as_of: date, currency: str) -> dict[str, Any]:
    result = packed(entry.result)
    drawings = {}
    if span == "closed":
        drawn = ((table.key, packed_drawing(table, currency)) for table in unpacked(result).tables)
        drawings = {key: drawing for key, drawing in drawn if drawing is not None}
    result["tables"] = [
        {**each, "rows": each["rows"][:MOST_ROWS]} for each in result["tables"] if span == "closed"
    ]
    return {
        "name": entry.name,
        "span": span,
        "as_of": as_of,
        "failed": entry.failed,
        "seconds": entry.seconds,
        "result": result,
        "drawings": drawings,
    }


def _shop_of(kept: Mapping[str, Any]) -> Shop:
    def day(name: str) -> date | None:
        return None if kept[name] is None else date.fromisoformat(kept[name])

    return Shop(
        **{
            **kept,
            "as_of": date.fromisoformat(kept["as_of"]),
            "first_day": day("first_day"),
            "history_start": day("history_start"),
            "generated_at": datetime.fromisoformat(kept["generated_at"]),
            "left_out": LeftOut(**kept["left_out"]),
        }
    )
