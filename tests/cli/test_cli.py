"""What holds for every command."""

import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rewards.cli import app
from rewards.core.settings import Settings

HEAVY = (
    "sqlalchemy",
    "sqlmodel",
    "pydantic",
    "psycopg",
    "alembic",
    "apscheduler",
    "structlog",
    "fastapi",
    "babel",
)


def finish(process: Any, seconds: float = 60) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def test_help_names_every_command_and_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from rewards.cli import app\n"
        "print(CliRunner().invoke(app, ['--help']).output)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert found.stdout.rstrip().endswith("[]")
    for command in (
        "demo",
        "serve",
        "worker",
        "migrate",
        "key",
        "program",
        "import",
        "jobs",
        "check",
        "bench",
    ):
        assert re.search(rf"^│ {command}\s", found.stdout, re.MULTILINE), command


def test_the_version_is_printed(start: Callable[..., Any]) -> None:
    code, out, _ = finish(start("--version"))
    assert code == 0
    assert re.fullmatch(r"\d+\.\d+\S*\n|unknown: not installed\n", out)


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("serve", "--port", "none"),
        ("serve", "--port", "70000"),
        ("key", "create", "--name", "shop"),
        ("key", "create", "--scope", "everything", "--name", "shop"),
        ("import", "orders"),
        ("import", "nonsense"),
        ("jobs", "run"),
        ("program", "show", "--version", "x"),
    ],
)
def test_bad_usage_exits_with_2(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_a_database_that_is_down_is_one_clear_line(start: Callable[..., Any]) -> None:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        port = nobody_listens.getsockname()[1]
        url = f"postgresql://shop:hunter2@127.0.0.1:{port}/shop"
        code, out, err = finish(start("check", REWARDS_DATABASE_URL=url))
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert "does not answer" in err
    assert "hunter2" not in err


def test_a_setting_that_is_wrong_is_one_clear_line(start: Callable[..., Any]) -> None:
    code, out, err = finish(start("migrate", REWARDS_CURRENCY="EURO"))
    assert (code, out) == (1, "")
    assert err.splitlines() == [err.strip()]
    assert "REWARDS_CURRENCY" in err


def test_your_own_database_is_migrated_when_you_say_so(
    environment: Callable[..., Any], empty_settings: Settings
) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, list(arguments), env=environment(empty_settings))

    for command in (("check",), ("key", "list"), ("serve", "--port", "18999"), ("program", "show")):
        refused = run(*command)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert refused.stderr == "The database is not at this version's schema: run `rewards migrate`\n"
    assert run("migrate").exit_code == 0
    assert run("migrate").stderr == "The database is up to date\n"
    assert run("check").exit_code == 0


def test_ctrl_c_ends_the_worker_with_grace(start: Callable[..., Any], settings: Settings) -> None:
    for number, expected in ((signal.SIGINT, 0), (signal.SIGTERM, 0)):
        worker = start("worker", settings=settings)
        for line in worker.stderr:
            if "scheduler started" in line:
                break
        worker.send_signal(number)
        code, _, err = finish(worker, 30)
        assert code == expected
        assert "Traceback" not in err
        assert "scheduler stopped" in err


def test_a_worker_started_by_a_server_ends_with_it(
    environment: Callable[..., Any], settings: Settings
) -> None:
    program = (
        "import subprocess, sys, time\n"
        "worker = subprocess.Popen([sys.executable, '-m', 'rewards.cli', 'worker', '--with-parent'],"
        " stdin=subprocess.PIPE, stderr=sys.stdout)\n"
        "print(worker.pid, flush=True)\n"
        "time.sleep(60)"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", program], env=environment(settings), stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    for line in server.stdout:
        if "scheduler started" in line:
            break
    server.kill()
    # The pipe ends when the last process that writes to it has.
    assert "scheduler stopped" in server.stdout.read()
    server.stdout.close()
    server.wait(10)


@pytest.mark.slow
def test_on_a_fresh_machine_any_command_brings_the_database_up(start: Callable[..., Any]) -> None:
    home = Path(tempfile.mkdtemp(prefix="rewards-home-"))
    try:
        made = start("key", "create", "--scope", "admin", "--name", "office", REWARDS_HOME=str(home))
        code, out, err = finish(made)
        assert code == 0, err
        assert re.fullmatch(r"rk_\S+\n", out)
        code, out, _ = finish(start("key", "list", REWARDS_HOME=str(home)))
        assert code == 0
        assert "office" in out
        # The last one out stops the server.
        assert not (home / "postgres" / "data" / "postmaster.pid").exists()
    finally:
        shutil.rmtree(home)
