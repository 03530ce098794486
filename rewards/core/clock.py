"""The one place that reads the wall clock; everything else is given ``now``."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the present instant, in UTC. Only entry points (API, command line, scheduler) call this."""
    return datetime.now(UTC)
