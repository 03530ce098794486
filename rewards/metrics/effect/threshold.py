"""Just above a threshold against just below: regression discontinuity, and whether people steered to one side.

Who has 1,010 points is hardly another customer than who has 990. If a tier begins at 1,000 and nothing else does, a
jump there in what customers do afterwards is the tier's doing (Hahn, Todd & van der Klaauw, Econometrica 69, 2001).
That falls where people see the threshold and steer to it: then those just above are the keen ones, and there are more
of them than there should be (McCrary, "Manipulation of the running variable", Journal of Econometrics 142, 2008).
"""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Side(NamedTuple):
    """What a curve comes to at the threshold, from one side: with each customer's part in its error."""

    value: float
    influence: "NDArray[np.float64]"


def at_threshold(
    x: "NDArray[np.float64]", y: "NDArray[np.float64]", reach: float, degree: int, *, above: bool
) -> Side:
    """Return where a polynomial through what lies within ``reach`` on one side of 0 meets it, triangular weights.

    Args:
        x: the score less the threshold; 0 is above.
        y: what customers did.
        reach: how far from the threshold is looked.
        degree: of the polynomial.
        above: which side.
    """
    import numpy as np

    mine = ((x >= 0) if above else (x < 0)) & (np.abs(x) < reach)
    weight = 1 - np.abs(x[mine]) / reach
    powers = (x[mine, None] / reach) ** np.arange(degree + 1)
    inverse = np.linalg.pinv((powers * weight[:, None]).T @ powers)
    first = (powers * weight[:, None]) @ inverse[0]
    value = float(first @ y[mine])
    residual = y[mine] - powers @ (inverse @ (powers.T @ (weight * y[mine])))
    # HC2: what a customer bent the curve towards itself by.
    leverage = np.einsum("ij,jk,ik->i", powers, inverse, powers) * weight
    influence = np.zeros(len(x))
    influence[mine] = first * residual / np.sqrt(np.maximum(1 - leverage, 1e-9))
    return Side(value, influence)


class Jump(NamedTuple):
    """A jump at the threshold.

    Attributes:
        value: of what customers did, for those whom the threshold brought into the tier.
        se: its standard error.
        share: by how much the share in the tier jumps; 1 where the threshold decides alone.
        f: how clearly it does: (jump of the share / its error)².
        reach: how far from the threshold was looked.
        below, above: how many customers lie within it.
    """

    value: float
    se: float
    share: float
    f: float
    reach: float
    below: int
    above: int


def jump(
    x: "NDArray[np.float64]", y: "NDArray[np.float64]", is_in: "NDArray[np.bool_]", reach: float
) -> Jump | None:
    """Return the jump of ``y`` at the threshold per jump of being in the tier; None where the share does not jump.

    Local quadratics, within a reach that suits local lines: that takes out the lines' bias, and the error is that of
    the quadratics (Calonico, Cattaneo & Titiunik, "Robust nonparametric confidence intervals", Econometrica 82, 2014).
    """
    import numpy as np

    d = is_in.astype(float)
    sides = [at_threshold(x, column, reach, 2, above=above) for column in (y, d) for above in (True, False)]
    rise, share = sides[0].value - sides[1].value, sides[2].value - sides[3].value
    if abs(share) < 1e-6:
        return None
    value = rise / share
    in_y, in_d = sides[0].influence - sides[1].influence, sides[2].influence - sides[3].influence
    se = float(np.sqrt((((in_y - value * in_d) / share) ** 2).sum()))
    error = float(np.sqrt((in_d**2).sum()))
    within = np.abs(x) < reach
    return Jump(
        value,
        se,
        share,
        (share / error) ** 2 if error > 1e-9 else float("inf"),
        reach,
        int((within & (x < 0)).sum()),
        int((within & (x >= 0)).sum()),
    )


def suitable_reach(x: "NDArray[np.float64]", y: "NDArray[np.float64]") -> float:
    """Return how far from the threshold to look: Imbens & Kalyanaraman's (2012) first step, with a quartic's bend.

    The variance and the density at the threshold come from Silverman's neighbourhood of it, the bend on each side from
    a quartic through that side. Never further than the data reach on the shorter side, nor nearer than 20 customers.
    """
    import numpy as np

    n = len(x)
    near = 1.84 * x.std(ddof=1) * n ** (-1 / 5)
    close = np.abs(x) < near
    density = max(float(close.mean()) / (2 * near), 1e-12)
    noise, bend = 0.0, 0.0
    for side in (x >= 0, x < 0):
        mine = y[close & side]
        noise += float(mine.var(ddof=1)) / 2 if len(mine) > 1 else 0.0
        scale = float(np.abs(x[side]).max())
        bend += (2 * float(_quartic(x[side] / scale, y[side])[2]) / scale**2) ** 2
    most = min(float(x.max()), float(-x.min()))
    nearest = max(float(np.sort(np.abs(x[side]))[:20][-1]) for side in (x >= 0, x < 0))
    reach = 3.4375 * (2 * noise / (density * bend * n)) ** 0.2 if noise > 0 and bend > 0 else most
    return float(np.clip(reach, min(nearest * 1.01, most), most))


def _quartic(x: "NDArray[np.float64]", y: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the coefficients of the quartic through some points, from the constant up."""
    import numpy as np

    # In full, it says of scores with few different values by its rank that they fix no quartic, not by a warning.
    return np.asarray(np.polynomial.polynomial.polyfit(x, y, 4, full=True)[0], dtype=np.float64)


class Bunching(NamedTuple):
    """Whether customers pile up at one side of the threshold.

    Attributes:
        ratio: the density just above over that just below; 1 where nobody steers.
        p_value: how probable a ratio at least as far from 1 is if nobody does.
    """

    ratio: float
    p_value: float


def bunching(x: "NDArray[np.float64]") -> Bunching | None:
    """Return McCrary's test of a jump in the density of scores at the threshold; None where a side is too empty.

    Counts in bins that do not straddle the threshold, a local line through them from each side, and the logarithm of
    the ratio of where those meet it. Bins are at least as wide as the scores' own grain.

    Args:
        x: the score less the threshold; 0 is above.
    """
    import numpy as np
    from scipy.special import ndtr

    n = len(x)
    gaps = np.diff(np.unique(x))
    if n < 50 or not len(gaps):
        return None
    width = max(2 * float(x.std(ddof=1)) * n**-0.5, float(gaps.min()))
    reach = _density_reach(x, width)
    place = np.floor(x / width).astype(np.int64)
    first, last = int(np.floor(-reach / width)) - 1, int(np.floor(reach / width)) + 1
    inside = (place >= first) & (place <= last)
    counts = np.bincount(place[inside] - first, minlength=last - first + 1)
    middles = (np.arange(first, last + 1) + 0.5) * width
    heights = counts / (n * width)
    above = at_threshold(middles, heights, reach, 1, above=True).value
    below = at_threshold(middles, heights, reach, 1, above=False).value
    if min(above, below) <= 0:
        return None
    se = float(np.sqrt(24 / 5 / (n * reach) * (1 / above + 1 / below)))
    log_ratio = float(np.log(above / below))
    return Bunching(float(np.exp(log_ratio)), float(2 * ndtr(-abs(log_ratio / se))))


def _density_reach(x: "NDArray[np.float64]", width: float) -> float:
    """Return how far from the threshold the density is looked at: McCrary's rule of thumb, averaged over the sides."""
    import numpy as np

    reaches = []
    for side in (x[x >= 0], -x[x < 0]):
        end = float(np.quantile(side, 0.95)) if len(side) else 0.0
        bins = max(int(end / width), 6)
        counts, edges = np.histogram(side, bins=bins, range=(0, max(end, 6 * width)))
        heights = counts / (len(x) * (edges[1] - edges[0]))
        middles = (edges[1:] + edges[:-1]) / 2 / edges[-1]
        fit = np.polynomial.Polynomial(_quartic(middles, heights))
        noise = float(((heights - fit(middles)) ** 2).sum() / max(bins - 5, 1))
        bend = float((fit.deriv(2)(middles) ** 2).sum()) / edges[-1] ** 4
        if noise > 0 and bend > 0:
            reaches.append(min(3.348 * (noise * edges[-1] / bend) ** 0.2, float(edges[-1])))
        else:
            reaches.append(float(edges[-1]))
    return max(float(np.mean(reaches)), 3 * width)
