"""What a benchmark reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    """One result: so many a second, beside so many a second of the baseline.

    Attributes:
        name: what was measured.
        unit: of ``value`` and ``baseline``.
        value: median of the subject's rounds.
        baseline_name: what it was measured beside; empty where it stands alone.
        baseline: median of the baseline's rounds.
        ratio: median of the rounds' ratios, subject to baseline; None where it stands alone.
        rounds: how many.
        target: the ratio to reach; None where there is none.
        p50_ms, p99_ms: latency of the subject, where single requests were timed.
    """

    name: str
    unit: str
    value: float
    baseline_name: str = ""
    baseline: float | None = None
    ratio: float | None = None
    rounds: int = 1
    target: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None


def paired(
    name: str,
    unit: str,
    pairs: Sequence[tuple[float, float]],
    baseline_name: str,
    target: float | None = None,
) -> Figure:
    """Return the figure of rounds given as ``(subject, baseline)``."""
    return Figure(
        name=name,
        unit=unit,
        value=median(subject for subject, _ in pairs),
        baseline_name=baseline_name,
        baseline=median(baseline for _, baseline in pairs),
        ratio=median(subject / baseline for subject, baseline in pairs),
        rounds=len(pairs),
        target=target,
    )
