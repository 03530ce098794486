"""How long work says how far it is, without knowing who listens."""

from collections.abc import Callable

#: Called with what is being done, how much of it is done, and how much there is (None: not known).
Progress = Callable[[str, int, int | None], None]


def unheard(stage: str, done: int, total: int | None) -> None:
    """Take no notice."""
