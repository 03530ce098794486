"""What is worked out once from a part of the document and used for every award after."""

from collections.abc import Callable
from threading import Lock
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_MOST_KEPT = 128


class ByIdentity(Generic[P, R]):
    """Remembers ``build(*parts)`` for immutable parts, by their identity: hashing a document costs too much.

    The parts are kept alive with the result, so an identity is never reused while it is remembered. Only a
    few documents are in use at a time; past 128 all is forgotten, and built again where needed.
    """

    def __init__(self, build: Callable[P, R]) -> None:
        self._build = build
        self._kept: dict[tuple[int, ...], tuple[R, tuple[Any, ...]]] = {}
        self._lock = Lock()

    def __call__(self, *parts: P.args, **named: P.kwargs) -> R:
        """Return what was built from these very parts, building it the first time."""
        key = tuple(map(id, parts))
        kept = self._kept.get(key)
        return kept[0] if kept is not None else self._remember(key, *parts, **named)

    def _remember(self, key: tuple[int, ...], *parts: P.args, **named: P.kwargs) -> R:
        built = self._build(*parts, **named)
        with self._lock:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = (built, parts)
        return built
