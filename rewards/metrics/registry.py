"""All metrics, by name, in the order in which a report shows them.

The modules are loaded when somebody asks for a metric, so that starting up pays for none of them.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module

from rewards.metrics.result import Metric

#: Each has ``METRICS``, a tuple of :class:`rewards.metrics.result.Metric`.
MODULES: tuple[str, ...] = ()


@cache
def all_metrics() -> Mapping[str, Metric]:
    """Return every metric by name."""
    found: dict[str, Metric] = {}
    for module in MODULES:
        for metric in import_module(module).METRICS:
            if metric.name in found:
                raise ValueError(f"two metrics are named {metric.name!r}")
            found[metric.name] = metric
    return found
