"""Maximum likelihood for a few positive parameters: the search, and whether what it found means anything.

Parameters are sought by their logarithms, in which they are free and a change says "by so many percent". A search
always ends somewhere. Whether the data speak for that place is another question, and its answer is in the curvature:
where the likelihood is flat, or best at the edge of what is searched, there is no estimate.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: Logarithms of parameters are sought from minus to plus this: from 1/22,000 to 22,000, with time and money scaled to
#: be about one. Whoever wants to leave this box has no finite best value.
WIDEST = 10.0
#: A parameter whose logarithm is known to no better than ± this (one standard error) is unknown for all purposes:
#: its 95 % interval spans a factor of over 300.
LARGEST_ERROR = 1.5
#: The search ends where one percent more of any parameter would change an observation's likelihood by less than 1e-11.
SETTLED = 1e-9
MOST_STEPS = 200


class Slopes(NamedTuple):
    """A log-likelihood at a point: its value, and its first and second derivatives by the parameters themselves."""

    value: float
    gradient: "Floats"
    hessian: "Floats"


@dataclass(frozen=True, slots=True)
class Unidentified:
    """There is no estimate, and why: a clause that goes on from "cannot be fitted: "."""

    reason: str


class Maximum(NamedTuple):
    """Where the likelihood is largest: the parameters, its value there, and the standard errors of their logarithms."""

    parameters: "Floats"
    value: float
    log_errors: "Floats"


def maximise(
    slopes: Callable[["Floats"], Slopes],
    start: Sequence[float],
    weight: float,
    too_small: Sequence[str],
    too_large: Sequence[str],
    flat: Sequence[str],
) -> Maximum | Unidentified:
    """Return the parameters of the largest likelihood, or why there are none.

    Newton's method on the logarithms, with a trust region: of four parameters and with exact second derivatives it is
    there in a dozen steps. (SciPy's L-BFGS-B hands its tiny matrices to the threads of BLAS, which on a busy machine
    costs more than all likelihoods together.)

    Args:
        slopes: the log-likelihood of positive parameters.
        start: positive parameters to begin with.
        weight: how many observations the likelihood is of.
        too_small, too_large: for each parameter, what it means that it runs out of the box at that end.
        flat: for each parameter, what it means that the likelihood hardly changes with it.
    """
    import numpy as np

    logs, radius = np.clip(np.log(start), -WIDEST, WIDEST), 1.0
    at = _by_logs(slopes, logs, weight)
    free = np.ones(len(logs), dtype=bool)
    for _ in range(MOST_STEPS):
        # Whoever stands at a side of the box and wants out stays there, while the others look on.
        free = ~((np.abs(logs) >= WIDEST) & (at.gradient * logs > 0))
        if np.abs(at.gradient[free]).max(initial=0.0) <= SETTLED:
            break
        while radius > 1e-9:
            step = np.zeros(len(logs))
            step[free] = _step(at.gradient[free], at.hessian[np.ix_(free, free)], radius)
            there = np.clip(logs + step, -WIDEST, WIDEST)
            then = _by_logs(slopes, there, weight)
            # Near the top the value's own rounding is larger than what there is to gain.
            if then.value >= at.value - 1e-13 * abs(at.value):
                break
            radius /= 4
        else:
            break
        logs, at, radius = there, then, min(2 * radius, 2.0)
    return _judged(at, logs, free, weight, too_small, too_large, flat)


def _by_logs(slopes: Callable[["Floats"], Slopes], logs: "Floats", weight: float) -> Slopes:
    """Return the likelihood of one observation in the mean, with its derivatives by the logarithms."""
    import numpy as np

    parameters = np.exp(logs)
    at = slopes(parameters)
    gradient = at.gradient * parameters / weight
    hessian = at.hessian * np.outer(parameters, parameters) / weight + np.diag(gradient)
    return Slopes(at.value / weight, gradient, hessian)


def _step(gradient: "Floats", hessian: "Floats", radius: float) -> "Floats":
    """Return Newton's step uphill; where the surface does not bend down, as if it bent down as much."""
    import numpy as np

    curvature, axes = np.linalg.eigh(hessian)
    step: Floats = axes @ ((axes.T @ gradient) / np.maximum(np.abs(curvature), 1e-12))
    return step * min(1.0, radius / max(float(np.abs(step).max()), 1e-300))


def _judged(
    at: Slopes,
    logs: "Floats",
    free: "NDArray[np.bool_]",
    weight: float,
    too_small: Sequence[str],
    too_large: Sequence[str],
    flat: Sequence[str],
) -> Maximum | Unidentified:
    """Return the place where the search has settled, or why it is no estimate."""
    import numpy as np

    if not free.all():
        which = int(np.flatnonzero(~free)[0])
        return Unidentified(too_small[which] if logs[which] < 0 else too_large[which])
    curvature, axes = np.linalg.eigh(-at.hessian)
    # Where rounding stopped the search far from a top, the likelihood hardly changes along some axis.
    stuck = np.abs(at.gradient).max() > 1000 * SETTLED
    if stuck or curvature[0] <= 1e-10 * max(curvature[-1], 1e-300):
        return Unidentified(flat[int(np.abs(axes[:, 0]).argmax())])
    errors = np.sqrt((axes**2 / curvature).sum(axis=1) / weight)
    if errors.max() > LARGEST_ERROR:
        return Unidentified(flat[int(errors.argmax())])
    return Maximum(np.exp(logs), at.value * weight, errors)
