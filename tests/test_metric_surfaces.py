"""What shows metrics and the metrics that there are fit each other."""

import re
import subprocess
import sys

import pytest

from api.measuring import AS_OF
from api.pages.admin.metrics.view import PARTS
from rewards.metrics import kept
from rewards.metrics.registry import all_metrics
from rewards.metrics.report import FAMILIES
from rewards.metrics.result import Metric
from rewards.metrics.showing import report_page

METRICS = all_metrics()


def test_the_dashboard_shows_metrics_that_there_are_and_that_are_kept() -> None:
    shown = (
        {part.metric for part in PARTS} | set(report_page.HEADLINES) | set(kept.HEADLINES) | set(kept.LISTED)
    )
    assert shown <= set(METRICS)
    assert [name for name in sorted(shown) if not METRICS[name].on_dashboard] == []
    assert set(kept.HEADLINES) <= set(report_page.HEADLINES)
    assert all(METRICS[name].rows is not None for name in kept.LISTED)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_metric_can_be_told_and_asked(metric: Metric) -> None:
    definition = metric.definition
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", metric.name)
    assert len(metric.name) <= 64
    assert definition.family in FAMILIES
    assert definition.title
    assert definition.formula
    assert all(edge.endswith((".", "?", ")")) for edge in definition.edges)
    names = [each.name for each in metric.parameters]
    assert len(names) == len(set(names))
    # These two are the address's own.
    assert {AS_OF, "table"}.isdisjoint(names)
    assert all(each.help for each in metric.parameters)


def test_knowing_the_metrics_loads_nothing_heavy() -> None:
    heavy = ("numpy", "scipy", "duckdb", "pyarrow", "adbc_driver_postgresql", "vl_convert")
    code = (
        "import sys, api.app, rewards.cli, rewards.jobs; from rewards.metrics.registry import all_metrics; all_metrics();"
        f"print([each for each in {heavy} if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
