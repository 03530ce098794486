"""The effect on those who take part because they could: the complier average causal effect."""

from typing import TYPE_CHECKING, NamedTuple

from rewards.metrics.effect.estimators import difference_in_means

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Below this first-stage F the ratio is too unsteady to be shown (Staiger and Stock, 1997).
LEAST_F = 10.0


class Compliance(NamedTuple):
    """The effect among those whom the offer made take part.

    Attributes:
        effect: per customer who takes part; None where F is too low to tell.
        se: its standard error; None with it.
        program_share, holdout_share: how many of each arm take part.
        f: how clearly the offer moved who takes part; infinite where everybody complied.
        reason_if_null: why there is none.
    """

    effect: float | None
    se: float | None
    program_share: float
    holdout_share: float
    f: float
    reason_if_null: str | None = None


def complier_effect(
    y: "NDArray[np.float64]", enrolled: "NDArray[np.bool_]", arm: "NDArray[np.int8]"
) -> Compliance | None:
    """Return the intention to treat divided by how much more of the program's arm takes part than of the holdout.

    Valid where nobody of the holdout takes part who would not in the other arm, and where the offer works only through
    taking part. The error is that of the delta method: the standard error of the difference in means of
    ``y − effect·enrolled``, divided by the difference in taking part. None where an arm has fewer than two.
    """
    import numpy as np

    taking = enrolled.astype(np.float64)
    sizes = int((arm == 1).sum()), int((arm == 0).sum())
    if min(sizes) < 2:
        return None
    shares = float(taking[arm == 1].mean()), float(taking[arm == 0].mean())
    moved = shares[0] - shares[1]
    variance = sum(
        float(taking[arm == number].var(ddof=1)) / size for number, size in zip((1, 0), sizes, strict=True)
    )
    f = moved**2 / variance if variance > 0 else (float("inf") if moved else 0.0)
    if f <= LEAST_F or moved <= 0:
        reason = (
            f"{shares[0]:.1%} of the program's arm take part and {shares[1]:.1%} of the holdout: too small a "
            f"difference to say what taking part does (F is {f:.1f}, and {LEAST_F:g} is the least)."
        )
        return Compliance(None, None, *shares, f, reason)
    effect = (float(y[arm == 1].mean()) - float(y[arm == 0].mean())) / moved
    rest = difference_in_means(y - effect * taking, arm)
    se = rest.se / moved if rest is not None else 0.0
    return Compliance(effect, se, *shares, f)
