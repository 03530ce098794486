"""What the server counts about itself, for Prometheus.

With several worker processes each writes its figures to files in ``PROMETHEUS_MULTIPROC_DIR``, which
:mod:`api.serving` makes, and whichever worker is asked adds them up.
"""

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

REQUESTS = Histogram(
    "rewards_request_seconds",
    "Duration of requests, by method, route and status.",
    ("method", "route", "status"),
    buckets=_SECONDS,
)
BATCH_SIZE = Histogram(
    "rewards_batch_commands",
    "Commands that shared a transaction.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)
BATCH_SECONDS = Histogram("rewards_batch_seconds", "Duration of a batch's transaction.", buckets=_SECONDS)
WAITED = Histogram(
    "rewards_batch_wait_seconds", "How long the first command of a batch had waited.", buckets=_SECONDS
)
REFUSED = Counter("rewards_overloaded", "Requests refused because too much was waiting.")

_by_labels: dict[tuple[str, str, int], Histogram] = {}


def observe_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request."""
    labels = (method, route, status)
    series = _by_labels.get(labels)
    if series is None:
        series = _by_labels[labels] = REQUESTS.labels(method, route, str(status))
    series.observe(seconds)


def exposition() -> bytes:
    """Return all figures in Prometheus's text format, those of all worker processes added up."""
    if FOLDER_VARIABLE not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
