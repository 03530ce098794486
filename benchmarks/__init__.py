"""Benchmarks, run by ``rewards bench``: each figure stands beside a baseline that was run in the same minutes.

Single times say little on a machine whose speed drifts, so each benchmark runs its baseline and its subject in
turn and reports the median of the ratios, pair by pair.
"""

from benchmarks.running import run_benchmarks

__all__ = ["run_benchmarks"]
