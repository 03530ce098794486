"""The OpenAPI document against the server: requests made up from it, good and bad, are answered as it says."""

import subprocess
import sys
from pathlib import Path

import pytest
from api_shop import serving

from rewards.core.clock import utc_now
from rewards.core.database import Database
from rewards.core.keys import Scope
from rewards.core.settings import Settings
from rewards.facts.refresh import refresh

pytestmark = pytest.mark.slow

CONFIG = """
# Good data may still be refused for what a schema cannot say: another currency than the program's, an instant in
# the future, tax beyond the total. (What is accepted, the other tests tell.)
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "422"]

# A bad operation of a batch is answered with its own 422, within a 200.
[[operations]]
include-path = "/v1/batches"
checks.negative_data_rejection.enabled = false
"""


@pytest.mark.parametrize("scope", ["admin", "readonly"])
def test_the_server_does_what_its_document_says(
    settings: Settings, database: Database, keys: dict[Scope, str], tmp_path: Path, scope: Scope
) -> None:
    refresh(database, utc_now())  # without facts there are no metrics to be asked for
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG, encoding="utf-8")
    with serving(settings) as served:
        finished = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
                *("run", f"{served.url}/openapi.json", "--header", f"Authorization: Bearer {keys[scope]}"),
                *("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "10"),
                *("--generation-deterministic", "--warnings", "off", "--no-color"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        faults = [line for line in served.log_lines() if line["level"] == "error"]
    assert finished.returncode == 0, finished.stdout[-8_000:] + finished.stderr[-2_000:]
    assert not faults
