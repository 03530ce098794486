"""How customers do against their own earlier pace: what is left of the chance that they buy again soon."""

from typing import TYPE_CHECKING

from rewards.metrics.lifetime.bgnbd import BGNBD
from rewards.metrics.lifetime.expecting import chance_of_purchase
from rewards.metrics.lifetime.frequencies import Frequencies

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def kept_of_own_pace(model: BGNBD, of: Frequencies, horizon: float) -> "Floats":
    """Return the chance of a purchase within ``horizon`` days as a share of what it was at the last purchase.

    What it was: at the customer's own pace as the model knew it on the day of the last purchase, were it certain that
    the customer stays, 1 − ((α+t_x)/(α+t_x+horizon))^(r+x). On that day the share is the chance to stay after that very
    purchase; it falls with every day of silence, the faster the shorter the customer's usual gaps.
    """
    now = chance_of_purchase(model, horizon, of.x, of.t_x, of.age)
    kept: Floats = now / chance_at_own_pace(model, of, horizon)
    return kept


def chance_at_own_pace(model: BGNBD, of: Frequencies, horizon: float) -> "Floats":
    """Return the chance of a purchase within ``horizon`` days at a customer's own pace; see above."""
    import numpy as np

    none = (model.r + of.x) * (np.log(model.alpha + of.t_x) - np.log(model.alpha + of.t_x + horizon))
    chance: Floats = -np.expm1(none)
    return chance
