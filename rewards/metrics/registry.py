"""All metrics, by name, in the order in which a report shows them.

The modules are loaded when somebody asks for a metric, so that starting up pays for none of them.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module

from rewards.metrics.result import Metric

#: Each has ``METRICS``, a tuple of :class:`rewards.metrics.result.Metric`.
MODULES: tuple[str, ...] = (
    "rewards.metrics.repeat",
    "rewards.metrics.second_purchase",
    "rewards.metrics.retention",
    "rewards.metrics.churn",
    "rewards.metrics.return_periods",
    "rewards.metrics.cohorts",
    "rewards.metrics.idle",
    "rewards.metrics.engagement",
    "rewards.metrics.lifetime_value",
    "rewards.metrics.predicted_value",
    "rewards.metrics.segments_by_value",
    "rewards.metrics.rfm",
    "rewards.metrics.at_risk",
    "rewards.metrics.answers",
    "rewards.metrics.loyalty_index",
    "rewards.metrics.liability",
    "rewards.metrics.redeeming",
    "rewards.metrics.breakage",
    "rewards.metrics.costs",
    "rewards.metrics.economics",
    "rewards.metrics.referrals",
    "rewards.metrics.tiers_over_time",
    "rewards.metrics.effect.randomised",
    "rewards.metrics.effect.by_arm",
    "rewards.metrics.effect.campaigns",
    "rewards.metrics.effect.rollout_effect",
    "rewards.metrics.effect.tier_threshold",
    "rewards.metrics.effect.adjusted_association",
    "rewards.metrics.effect.members",
)


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
