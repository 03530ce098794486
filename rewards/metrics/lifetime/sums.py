"""Columns by group: which values there are, and sums for each."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def sums(group: "NDArray[Any]", values: "NDArray[Any] | None", groups: int) -> "Floats":
    """Return the sum of ``values`` in each of ``groups`` groups, numbered from 0; how many there are where None."""
    import numpy as np

    return np.asarray(np.bincount(group, values, groups), dtype=np.float64)


def dot(one: "Floats", other: "Floats") -> float:
    """Return the sum of the products.

    ``@`` gives long columns to the threads of BLAS, which wait for each other: where the machine has other work, this
    was seen to take fifteen times as long as one thread alone.
    """
    import numpy as np

    return float(np.einsum("i,i->", one, other))


def coded(values: "NDArray[Any]") -> "tuple[NDArray[Any], NDArray[np.intp]]":
    """Return the distinct values in ascending order, and for each value its place among them.

    It is ``numpy.unique``, but for whole numbers that are not far apart, such as days, it looks them up instead of
    sorting them.
    """
    import numpy as np

    if len(values) and values.min() >= 0 and values.max() <= 4 * len(values) + 1_000:
        numbers = values.astype(np.intp)
        if np.array_equal(numbers, values):
            present = np.zeros(int(numbers.max()) + 1, dtype=bool)
            present[numbers] = True
            distinct = np.flatnonzero(present)
            return distinct.astype(values.dtype), (np.cumsum(present) - 1)[numbers]
    found, at = np.unique(values, return_inverse=True)
    return found, at
