"""Every metric of a shop as of one day. A metric that fails says so, and takes no other with it."""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection

from rewards.core.progress import Progress, unheard
from rewards.metrics.orders import LeftOut, day_of
from rewards.metrics.registry import all_metrics
from rewards.metrics.result import Definition, Metric, Result, nothing
from rewards.metrics.showing.wire import result_json
from rewards.metrics.source import Source

T = TypeVar("T")

#: The headings, from what customers do to what the program changed.
FAMILIES = ("Repeat purchase", "Retention", "Lifetime value", "What customers say", "Program", "Effect")
#: A note beside so many figures is about the shop.
_MANY = 5
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """A metric's place in a report: what it means, what it came to, and whether working it out failed."""

    definition: Definition
    result: Result
    failed: bool = False
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.definition.name


@dataclass(frozen=True, slots=True)
class Shop:
    """What a report is about.

    Attributes:
        name: the program's.
        as_of: the last day that counts, on the shop's calendar.
        zone: its time zone, by name.
        currency: of all amounts.
        generated_at: when it was made.
        customers: how many bought anything up to then.
        purchases: how many purchases there were.
        first_day: of the first of them.
        history_start: since when the shop's orders are complete, where that is said.
        left_out: orders that are no purchases.
    """

    name: str
    as_of: date
    zone: str
    currency: str
    generated_at: datetime
    customers: int
    purchases: int
    first_day: date | None
    history_start: date | None
    left_out: LeftOut


@dataclass(frozen=True, slots=True)
class Report:
    """All metrics of a shop, in the order in which they are told."""

    shop: Shop
    entries: tuple[Entry, ...]

    def families(self) -> Mapping[str, list[Entry]]:
        """Return the metrics by the heading that they stand under."""
        return by_family(self.entries, lambda entry: entry.definition.family)

    def common_notes(self) -> list[str]:
        """Return the notes that stand beside so many figures that they are better said once."""
        return common_notes(entry.result for entry in self.entries)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it; each metric as ``GET /v1/metrics/{name}`` answers with it."""
        shop = self.shop
        return {
            "program": shop.name,
            "as_of": shop.as_of.isoformat(),
            "timezone": shop.zone,
            "currency": shop.currency,
            "generated_at": shop.generated_at.astimezone(UTC)
            .isoformat(timespec="seconds")
            .replace("+00:00", "Z"),
            "customers": shop.customers,
            "purchases": shop.purchases,
            "first_day": shop.first_day and shop.first_day.isoformat(),
            "history_start": shop.history_start and shop.history_start.isoformat(),
            "left_out": {
                "zero_amount": shop.left_out.zero_amount,
                "points_only": shop.left_out.points_only,
                "other_currency": shop.left_out.other_currency,
                "test_or_staff": shop.left_out.test_or_staff,
                "refunded_whole": shop.left_out.refunded_whole,
            },
            "metrics": [
                {
                    **result_json(each.definition, each.result, as_of=shop.as_of, currency=shop.currency),
                    "failed": each.failed,
                }
                for each in self.entries
            ],
        }


def common_notes(results: Iterable[Result]) -> list[str]:
    """Return the notes that stand beside many of these figures."""
    counts = Counter(note for result in results for note in dict.fromkeys(result.notes))
    return [note for note, count in counts.most_common() if count >= _MANY]


def by_family(each_of: Iterable[T], family: Callable[[T], str]) -> Mapping[str, list[T]]:
    """Return things by the heading that they stand under, headings in the order in which a report has them."""
    found: dict[str, list[T]] = {name: [] for name in FAMILIES}
    for each in each_of:
        found.setdefault(family(each), []).append(each)
    return {name: told for name, told in found.items() if told}


def make_report(source: Source, now: datetime, progress: Progress = unheard) -> Report:
    """Work out every metric with its defaults.

    Args:
        source: the shop as of a day. Its connection, where it has one, is in a transaction that only reads.
        now: when the report is made.
        progress: told how many metrics are done.
    """
    metrics = all_metrics().values()
    entries = []
    for done, entry in enumerate(work_out(source, metrics), 1):
        entries.append(entry)
        progress("metrics", done, len(metrics))
    return Report(about(source, now), tuple(entries))


def work_out(source: Source, metrics: Iterable[Metric]) -> Iterator[Entry]:
    """Yield each metric with its defaults as of the source's day; one that fails is yielded as failed."""
    for metric in metrics:
        began = time.perf_counter()
        entry = _worked_out(source, metric)
        yield replace(entry, seconds=time.perf_counter() - began)


def about(source: Source, now: datetime) -> Shop:
    """Say what shop a source is of, and how much is known of it."""
    orders = source.orders
    programs = source.programs
    return Shop(
        name=programs.in_force(now).document.name if programs is not None else "",
        as_of=source.as_of,
        zone=source.zone.key,
        currency=source.currency,
        generated_at=now,
        customers=len(orders.starts),
        purchases=len(orders),
        first_day=day_of(int(orders.day.min())) if len(orders) else None,
        history_start=source.history_start,
        left_out=orders.left_out,
    )


def sound(result: Result) -> Result:
    """Return a result in which no figure is an infinity or no number at all: none of them is one."""
    if result.value is not None and not math.isfinite(result.value):
        return replace(result, value=None, interval=None, reason_if_null="The figure came out as no number.")
    if result.interval is not None and not all(map(math.isfinite, result.interval)):
        return replace(result, interval=None)
    return result


def _worked_out(source: Source, metric: Metric) -> Entry:
    try:
        with apart(source.conn):
            return Entry(metric.definition, sound(metric(source)))
    except Exception as error:  # whatever it is, the other metrics are still wanted
        _logger.exception("a metric failed", extra={"metric": metric.name})
        reason = f"This could not be worked out because of a fault of ours ({type(error).__name__}); the log says more."
        return Entry(metric.definition, nothing(reason, metric.definition.unit), failed=True)


@contextmanager
def apart(conn: Connection | None) -> Iterator[None]:
    """Let what fails in the database leave the transaction good for those that come after."""
    if conn is None:
        yield
        return
    with conn.begin_nested():
        yield
