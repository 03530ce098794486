"""All commands in any order against the model: on the decisions alone, and on the real engine and database.

REWARDS_TEST_HUNT_SECONDS=600 looks for new failures for that long, with new random choices; without it the
same examples are tried each time.
"""

import os
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from loyalty_machine import InMemory, Shop
from stored_ledger import OnDatabase, Server

HUNT_SECONDS = float(os.environ.get("REWARDS_TEST_HUNT_SECONDS", "0"))


def run(machine: Callable[[], Shop], examples: int, steps: int) -> None:
    repeatable = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        print_blob=True,
    )
    if not HUNT_SECONDS:
        run_state_machine_as_test(machine, settings=repeatable)
        return
    ends_at = time.monotonic() + HUNT_SECONDS
    while time.monotonic() < ends_at:
        hunting = settings(repeatable, derandomize=False, max_examples=100, stateful_step_count=2 * steps)
        run_state_machine_as_test(machine, settings=hunting)


@pytest.mark.slow
def test_decisions() -> None:
    run(lambda: Shop(InMemory()), examples=120, steps=100)


@pytest.mark.slow
def test_engine_and_database(server: Server, template: str) -> None:
    run(lambda: Shop(OnDatabase(server, template)), examples=8, steps=40)
