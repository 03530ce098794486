"""Long work that a request starts: as a command of ours in a process of its own, so that no request waits for it."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence

from pydantic import SecretStr

from rewards.core.settings import Settings


def start_command(settings: Settings, arguments: Sequence[str]) -> None:
    """Start ``rewards ARGUMENTS`` and return at once; the database will say how it went."""
    process = subprocess.Popen(  # noqa: S603 - ourselves, with arguments that the callers chose
        [sys.executable, "-m", "rewards.cli", *arguments],
        env=_environment(settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        # What it has to say of failures goes where the server's own messages go.
        stderr=None,
    )
    # Somebody has to ask how it ended, or the system keeps its remains.
    threading.Thread(target=process.wait, name="rewards-command", daemon=True).start()


def apply_soon(settings: Settings) -> None:
    """Have customers brought up to the ladder that is in force, without waiting for the scheduler's next turn."""
    start_command(settings, ["jobs", "run", "tiers"])


def _environment(settings: Settings) -> dict[str, str]:
    given = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value is not None:
            given[f"REWARDS_{name.upper()}"] = (
                value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            )
    return {**os.environ, **given}
