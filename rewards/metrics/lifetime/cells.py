"""Columns of figures as cells of tables: plain Python values, None for what is not known."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


def whole(values: "NDArray[Any]") -> list[int]:
    """Return figures rounded to whole numbers: counts, days and minor units."""
    import numpy as np

    cells: list[int] = np.rint(values).astype(np.int64).tolist()
    return cells


def rounded(values: "NDArray[Any]", digits: int) -> list[float]:
    """Return figures with so many digits behind the point, of which more would only look exact."""
    import numpy as np

    cells: list[float] = np.round(values, digits).tolist()
    return cells
