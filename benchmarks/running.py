"""Runs benchmarks by name and prints their figures."""

import json
from collections.abc import Callable
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from benchmarks import awards, coverage, deciding, ladder, lifetime, metrics, reading, stored
from benchmarks.figures import Figure
from rewards.core.errors import SetupError

BENCHMARKS: dict[str, Callable[[], list[Figure]]] = {
    "awards": awards.bench_awards,
    "batches": awards.bench_batches,
    "reads": reading.bench_reads,
    "stored": stored.bench_stored,
    "decide": deciding.bench_decide,
    "ladder": ladder.bench_ladder,
    "metrics": metrics.bench_metrics,
    "lifetime": lifetime.bench_lifetime,
    "coverage": coverage.bench_coverage,
}
#: Shorter ones of the same: with ``--quick``, and where all are run.
QUICK: dict[str, Callable[[], list[Figure]]] = {
    "metrics": metrics.bench_quickly,
    "coverage": coverage.bench_quickly,
}


def run_benchmarks(name: str | None, *, as_json: bool, quick: bool = False) -> int:
    """Run one benchmark, or all (the quick ones of those that have one), and print what came out.

    Returns:
        0; a ratio below its target is for the reader to judge, not a failure.

    Raises:
        SetupError: there is no benchmark of that name.
    """
    if name is not None and name not in BENCHMARKS:
        raise SetupError(f"There is no benchmark {name!r}; there are: {', '.join(BENCHMARKS)}.")
    figures: list[Figure] = []
    messages = Console(stderr=True)
    for each, benchmark in BENCHMARKS.items():
        if name in (None, each):
            messages.print(f"Running {each} …")
            chosen = QUICK.get(each, benchmark) if quick or name is None else benchmark
            figures += chosen()
    if as_json:
        print(json.dumps([asdict(figure) for figure in figures]))
    else:
        Console().print(_table(figures))
    return 0


def _table(figures: list[Figure]) -> Table:
    table = Table("measured", "value", "beside", "its value", "ratio", "target", "p50", "p99")
    for figure in figures:
        table.add_row(
            figure.name,
            f"{figure.value:,.0f} {figure.unit}",
            figure.baseline_name or "–",
            "–" if figure.baseline is None else f"{figure.baseline:,.0f} {figure.unit}",
            "–" if figure.ratio is None else f"{figure.ratio:.2f}",
            "–" if figure.target is None else f"{figure.target:.2f}",
            "–" if figure.p50_ms is None else f"{figure.p50_ms:.1f} ms",
            "–" if figure.p99_ms is None else f"{figure.p99_ms:.1f} ms",
        )
    return table
