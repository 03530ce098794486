"""What a fitted BG/NBD model expects of customers whose purchases so far are known.

``x``, ``t_x`` and ``age`` are arrays of one length as in :mod:`rewards.metrics.lifetime.bgnbd`, and times are in the
unit that the model was fitted with.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rewards.metrics.lifetime.bgnbd import BGNBD
from rewards.metrics.lifetime.sums import coded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def chance_active(model: BGNBD, x: "Floats", t_x: "Floats", age: "Floats") -> "Floats":
    """Return the probability that each customer has not left for good.

    It is 1 for everybody who bought once, by the model's construction (one can only leave after a *repeat* purchase),
    so it is a factor in what follows and no measure of who is at risk. Source: brucehardie.com/notes/021.
    """
    import numpy as np
    from scipy.special import expit

    odds = np.log(model.a / (model.b + np.maximum(x, 1) - 1)) + (model.r + x) * (
        np.log(model.alpha + age) - np.log(model.alpha + t_x)
    )
    active: Floats = np.where(x > 0, expit(-odds), 1.0)
    return active


def chance_of_purchase(model: BGNBD, horizon: float, x: "Floats", t_x: "Floats", age: "Floats") -> "Floats":
    """Return the probability of at least one purchase within ``horizon`` from now.

    Somebody active buys at a rate that is Gamma(r+x, α+T) by now, so buys nothing in a time t with probability
    ((α+T)/(α+T+t))^(r+x).
    """
    import numpy as np

    none = np.exp((model.r + x) * (np.log(model.alpha + age) - np.log(model.alpha + age + horizon)))
    chance: Floats = chance_active(model, x, t_x, age) * (1 - none)
    return chance


def expected_purchases(
    model: BGNBD,
    horizons: Sequence[float],
    x: "Floats",
    t_x: "Floats",
    age: "Floats",
    combined: "Floats | None" = None,
) -> "Floats":
    """Return how many purchases are expected within each of ``horizons`` from now (equation 10).

    Args:
        model, x, t_x, age: see the module.
        horizons: times from now.
        combined: weights of the horizons, of shape (sums, horizons), where sums over them are wanted instead.

    Returns:
        An array of shape (horizons, customers), or (sums, customers).
    """
    import numpy as np

    # Given that a customer is active, only x and the age matter: far fewer pairs of them than customers.
    xs, at_x = coded(np.asarray(x, dtype=float))
    ages, at_age = coded(np.asarray(age, dtype=float))
    pairs, where = coded(at_x * max(len(ages), 1) + at_age)
    of_x, of_age = np.divmod(pairs, max(len(ages), 1))
    each = np.stack([expected_if_active(model, horizon, xs[of_x], ages[of_age]) for horizon in horizons])
    if combined is not None:
        each = np.einsum("sh,hp->sp", combined, each)
    return np.asarray(each[:, where] * chance_active(model, x, t_x, age))


def expected_if_active(model: BGNBD, horizon: float, x: "Floats", age: "Floats") -> "Floats":
    """Return how many purchases are expected within ``horizon`` of customers who are active now.

    (a+b+x−1)/(a−1) · (1 − (1−z)^(a−1) · ₂F₁(a+b−1−r, a−1; a+b+x−1; z)) with z = t/(α+T+t): equation 10 after Euler's
    transformation, which neither overflows nor loses digits where x is large.
    """
    import numpy as np
    from scipy.special import hyp2f1

    if abs(model.a - 1) < 1e-5:
        # At a = 1 the formula is 0/0, the expectation is smooth: between two neighbours it is a straight line.
        above, below = 1 + 2e-5, 1 - 2e-5
        weight = (model.a - below) / (above - below)
        nearby: Floats = weight * expected_if_active(replace(model, a=above), horizon, x, age)
        nearby += (1 - weight) * expected_if_active(replace(model, a=below), horizon, x, age)
        return nearby
    r, a, b = model.r, model.a, model.b
    third = a + b + x - 1
    third = np.where(np.abs(third) < 1e-9, 1e-9, third)  # where a + b = 1 and x = 0: 0/0 again
    z = horizon / (model.alpha + age + horizon)
    rest = (1 - z) ** (a - 1) * hyp2f1(a + b - 1 - r, a - 1, third, z)
    expected: Floats = third / (a - 1) * (1 - rest)
    return expected


def expected_of_new(model: BGNBD, horizon: "Floats") -> "Floats":
    """Return how many repeat purchases are expected within ``horizon`` of a first purchase (equation 9)."""
    import numpy as np

    nothing = np.zeros(1)
    return np.concatenate(
        [expected_if_active(model, each, nothing, nothing) for each in np.atleast_1d(horizon)]
    )
