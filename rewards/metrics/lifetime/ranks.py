"""Ranks in which equals are equal."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def positions(values: "NDArray[Any]") -> "NDArray[np.int64]":
    """Return how many values are smaller than each: the rank from 0 on, equals sharing the least of theirs."""
    import numpy as np

    distinct, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    before = np.concatenate([[0], np.cumsum(counts)[:-1]]) if len(distinct) else np.zeros(0)
    found: NDArray[np.int64] = before.astype(np.int64)[at]
    return found
