"""How ``rewards serve`` runs the application: worker processes under one that replaces those that die.

The server is granian (docs/decisions/0006-server.md).
"""

import multiprocessing
import os
import signal
import time
from tempfile import TemporaryDirectory
from threading import Thread

from fastapi import FastAPI
from pydantic import SecretStr

from rewards.core.logs import configure_logging
from rewards.core.settings import Settings, load_settings

#: Connections that the system keeps for a worker that is busy, and that a worker serves at once. More than may
#: wait for the ledger, so that it is our own answer (503, come back in a second) that callers see.
_CONNECTIONS = 8_192
#: Seconds that a stopping worker has to finish what it took on.
_STOP_SECONDS = 15

#: The server's own messages go where ours go.
_SERVER_LOGS = {
    "formatters": {},
    "handlers": {},
    "loggers": {
        "_granian": {"handlers": [], "level": "INFO", "propagate": True},
        "granian.access": {"handlers": [], "propagate": False},
    },
}


def serve(settings: Settings, host: str, port: int, workers: int) -> None:
    """Serve until SIGINT or SIGTERM, then finish what was begun.

    A worker that dies is replaced; one that dies again at once ends the whole, with exit code 1.

    Args:
        settings: where everything is. The workers are given them through this process's environment.
        host: address to listen on.
        port: port to listen on.
        workers: processes that answer requests.
    """
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, Loops

    configure_logging(settings)
    _export(settings)
    # A forked worker would share locks, threads and connections with this process in whatever state they are.
    multiprocessing.set_start_method("spawn", force=True)
    with TemporaryDirectory(prefix="rewards-figures-") as figures:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = figures
        server = Granian(
            "api.serving:worker_app",
            address=host,
            port=port,
            interface=Interfaces.ASGI,
            workers=workers,
            loop=Loops.auto,
            http=HTTPModes.http1,
            websockets=False,
            backlog=_CONNECTIONS,
            backpressure=_CONNECTIONS,
            respawn_failed_workers=True,
            workers_kill_timeout=_STOP_SECONDS,
            log_dictconfig=_SERVER_LOGS,
        )
        server.serve(target_loader=worker_app, wrap_loader=False)


def worker_app() -> FastAPI:
    """Return a worker process's application."""
    from api.app import create_app

    settings = load_settings()
    configure_logging(settings)
    Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    return create_app(settings)


def _end_with_parent() -> None:
    """End this worker when the process that would replace it is gone, killed perhaps.

    Left alone it would go on listening on the port, unseen, beside the workers of the next start.
    """
    parent = multiprocessing.parent_process()
    if parent is None:  # not a worker: someone has imported the application
        return
    parent.join()
    for _ in range(_STOP_SECONDS):  # more than once: a worker that is just starting misses the first
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)


def _export(settings: Settings) -> None:
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if value is not None:
            text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            os.environ[f"REWARDS_{name.upper()}"] = text
