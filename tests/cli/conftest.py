"""The command line as tests use it: within the process where that will do, else as a process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rewards.cli import app
from rewards.core.settings import Settings

REPOSITORY = Path(__file__).parents[2]

Run = Callable[..., Result]
Process = subprocess.Popen[str]


def make_environment(settings: Settings | None, **others: str) -> dict[str, str]:
    """The environment of a command that uses the database of ``settings``."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("REWARDS_")}
    variables["PYTHONPATH"] = str(REPOSITORY)
    if settings is not None:
        assert settings.database_url is not None
        assert settings.secret_key is not None
        variables["REWARDS_DATABASE_URL"] = settings.database_url.get_secret_value()
        variables["REWARDS_SECRET_KEY"] = settings.secret_key.get_secret_value()
    return variables | others


@pytest.fixture(autouse=True)
def _own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test see the address that `serve`, run in this very process, has left for its workers."""
    monkeypatch.delenv("REWARDS_PUBLIC_URL", raising=False)


@pytest.fixture
def environment() -> Callable[..., dict[str, str]]:
    """The function that makes a command's environment."""
    return make_environment


@pytest.fixture
def rewards(settings: Settings) -> Run:
    """Run a command on a migrated database of this test's own, and return its code and what it printed."""

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [str(each) for each in arguments], env=make_environment(settings))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Process]:
    """Start a command as a process of its own, in an empty folder."""

    def start(*arguments: object, settings: Settings | None = None, **others: str) -> Process:
        return subprocess.Popen(
            [sys.executable, "-m", "rewards.cli", *map(str, arguments)],
            cwd=tmp_path,
            env=make_environment(settings, **others),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
