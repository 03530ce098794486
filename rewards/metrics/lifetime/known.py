"""What is known of customers as of a day: their frequencies and the models of them, worked out once for all metrics."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from rewards.metrics.lifetime.checking import Check, check
from rewards.metrics.lifetime.frequencies import Frequencies, frequencies
from rewards.metrics.lifetime.prediction import Models, fit_models
from rewards.metrics.lifetime.search import Unidentified
from rewards.metrics.source import Source

Made = TypeVar("Made")


@dataclass(frozen=True)
class Known:
    """Customers as of the end of the day before ``until``.

    Attributes:
        until: a day number.
        customers: their frequencies.
    """

    until: int
    customers: Frequencies

    @cached_property
    def models(self) -> Models | Unidentified:
        """The models fitted to them, or why there are none."""
        return fit_models(self.customers)


#: So many days are kept: today, the one to compare with, and what somebody looked at before.
MOST_KEPT = 4


def known_at(source: Source, until: int) -> Known:
    """Return what is known of customers from the purchases before ``until``, a day number up to ``source.until``."""
    orders = source.orders
    return _kept(source, "known", until, lambda: Known(until, frequencies(orders.before(until), until)))


def checked_at(source: Source) -> Check | Unidentified:
    """Return how well the models would have predicted the last part of the history."""
    return _kept(source, "checked", source.until, lambda: check(source.orders, source.until))


def _kept(source: Source, name: str, until: int, made: Callable[[], Made]) -> Made:
    """Return what is kept beside the purchases, as their own cached properties are: it goes when they go."""
    kept: dict[int, Made] = vars(source.orders).setdefault(f"lifetime_{name}", {})
    found = kept.get(until)
    if found is None:
        found = made()
        # Requests of several threads may come here at once; none minds what another one puts in or takes out.
        for oldest in list(kept)[: max(len(kept) + 1 - MOST_KEPT, 0)]:
            kept.pop(oldest, None)
        kept[until] = found
    return found
