"""The scheduler ends when it is told to, whatever it is doing at that moment."""

import subprocess
import sys
import threading

from sqlalchemy import text

from rewards.core.database import Database
from rewards.scheduler import Scheduler

#: Interrupts the wait at each line in turn: a handler may find the interrupted code in the middle of anything.
INTERRUPTED_EVERYWHERE = """
import os, signal, sys, threading
from rewards.scheduler import run_until_stopped

class Idle:
    def __init__(self, lines):
        self.left = lines

    def start(self):
        sys.settrace(self.trace)
        sys._getframe(1).f_trace = self.trace

    def trace(self, frame, event, arg):
        if event == "line":
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGINT)
        return self.trace

    def stop(self):
        sys.settrace(None)

for lines in range(1, 100):
    idle = Idle(lines)
    later = threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGTERM])
    later.daemon = True
    later.start()
    run_until_stopped(idle)
    later.cancel()
    if idle.left > 0:
        break
print("interrupted at", lines, "lines")
"""


def test_a_signal_ends_it_whatever_line_it_interrupts() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_EVERYWHERE], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("interrupted at ")


def test_it_stops_although_a_job_fails_meanwhile(database: Database) -> None:
    scheduler = Scheduler(database)
    with database.engine.connect() as connection:
        connection.execute(text("LOCK TABLE job_runs"))
        scheduler.start()
        stopping = threading.Thread(target=scheduler.stop, daemon=True)
        stopping.start()
        stopping.join(0.3)
        assert stopping.is_alive()
        connection.execute(text("ALTER TABLE job_runs RENAME TO job_runs_away"))
        connection.commit()
    stopping.join(20)
    assert not stopping.is_alive()
