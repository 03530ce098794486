"""The benchmark of decisions does the work that it says; how quick that is, only a quiet machine can tell."""

from benchmarks.deciding import bench_decide


def test_thirty_rules_are_measured_beside_one() -> None:
    rates, costs = bench_decide(rounds=1)
    assert rates.unit == "decisions/s"
    assert rates.value > 0
    assert costs.ratio is not None
    assert costs.ratio > 1
    assert costs.target == 4
