"""Gamma–Gamma: what a customer spends with a purchase, from what the purchases so far came to.

The model: a customer's amounts vary as Gamma(p, ν) around the customer's own mean, and ν varies over customers as
Gamma(q, v); how much somebody spends has nothing to do with how often. Source: Fader, Hardie and Lee, "RFM and CLV",
Journal of Marketing Research 42, 2005, and Fader and Hardie's note 025 (brucehardie.com/notes/025).

``x`` is the number of a customer's purchases that are looked at, ``mean`` their mean amount: arrays of one length,
both above 0.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rewards.metrics.lifetime.search import Slopes, Unidentified, maximise
from rewards.metrics.lifetime.sums import coded, dot, sums

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


#: Why there is no estimate, as clauses.
_OWN = "the amounts do not show how much a customer's purchases vary; more repeat purchases are needed"
_ALWAYS = "each customer always spends the same, as far as the amounts show"
_OTHERS = "the amounts do not show how customers differ in what they spend; more repeat purchases are needed"
_NO_MEAN = "amounts differ so much between customers that the model gives them no mean"


@dataclass(frozen=True, slots=True)
class GammaGamma:
    """A fitted model.

    Attributes:
        p, q: shapes, without unit; q is above 1, else amounts had no mean.
        v: an amount, in the unit that the model was fitted with.
        log_likelihood: of all customers.
        log_errors: standard errors of the logarithms of p, q and v.
    """

    p: float
    q: float
    v: float
    log_likelihood: float = 0.0
    log_errors: tuple[float, ...] = ()

    @property
    def mean(self) -> float:
        """The mean amount of a purchase over all customers: p·v/(q−1)."""
        return self.p * self.v / (self.q - 1)

    def expected(self, x: "ArrayLike", mean: "ArrayLike") -> "Floats":
        """Return the expected amount of each customer's next purchases (equation 5 of note 025).

        It lies between the mean of all customers and the customer's own, nearer to the latter the more purchases
        there are. Where ``x`` is 0 it is the mean of all, whatever ``mean`` says.
        """
        import numpy as np

        x = np.asarray(x, dtype=float)
        own = self.p * x / (self.p * x + self.q - 1)
        expected: Floats = self.mean + own * np.where(x > 0, np.asarray(mean, dtype=float) - self.mean, 0.0)
        return expected


def log_likelihood(
    x: "Floats",
    mean: "Floats",
    parameters: "Floats",
) -> Slopes:
    """Return the log-likelihood of the customers' mean amounts (equation 1a of note 025) and its derivatives.

    Args:
        x, mean: of each customer, both above 0.
        parameters: p, q, v, all above 0.

    Returns:
        value; gradient of shape (3,); hessian of shape (3, 3).
    """
    return _likelihood(_summed(x, mean), parameters)


@dataclass(frozen=True, slots=True)
class _Summed:
    """What of the likelihood does not change with the parameters, or depends on the few values of ``x`` alone."""

    x: "Floats"
    amount: "Floats"
    xs: "Floats"
    customers_of_x: "Floats"
    logs_of_x: "Floats"
    log_means: float


def _summed(x: "Floats", mean: "Floats") -> _Summed:
    import numpy as np

    xs, at = coded(x)
    logs = np.log(mean)
    of_x = sums(at, logs + np.log(x), len(xs))
    return _Summed(x, x * mean, xs, sums(at, None, len(xs)), of_x, float(logs.sum()))


def _likelihood(of: _Summed, parameters: "Floats") -> Slopes:
    import numpy as np
    from scipy.special import digamma, gammaln, polygamma

    p, q, v = (float(each) for each in parameters)
    xs, n = of.xs, of.customers_of_x
    total, shape = n.sum(), p * xs + q
    spread = of.amount + v
    logs, inverse = np.log(spread), 1 / spread
    by_x, by_one = dot(of.x, logs), logs.sum()
    value = (
        n @ (gammaln(shape) - gammaln(p * xs))
        + total * (q * np.log(v) - gammaln(q))
        + p * (xs @ of.logs_of_x)
        - of.log_means
        - p * by_x
        - q * by_one
    )
    weighted = dot(of.x, inverse)
    gradient = np.array(
        [
            (n * xs) @ (digamma(shape) - digamma(p * xs)) + xs @ of.logs_of_x - by_x,
            n @ digamma(shape) + total * (np.log(v) - digamma(q)) - by_one,
            total * q / v - p * weighted - q * inverse.sum(),
        ]
    )
    bent = polygamma(1, shape)
    pp, pq = (n * xs**2) @ (bent - polygamma(1, p * xs)), (n * xs) @ bent
    qq, qv = n @ bent - total * polygamma(1, q), total / v - inverse.sum()
    vv = -total * q / v**2 + dot(p * of.x + q, inverse**2)
    hessian = np.array([[pp, pq, -weighted], [pq, qq, qv], [-weighted, qv, vv]])
    return Slopes(float(value), gradient, hessian)


def fit(x: "ArrayLike", mean: "ArrayLike") -> GammaGamma | Unidentified:
    """Return the model of the largest likelihood, or why the amounts do not tell one.

    Args:
        x, mean: of each customer; those without purchases or with a mean of 0 or less are left out.
    """
    import numpy as np

    x, mean = np.asarray(x, dtype=float), np.asarray(mean, dtype=float)
    keep = (x > 0) & (mean > 0)
    x, mean = x[keep], mean[keep]
    if not len(x):
        return Unidentified("nobody has a repeat purchase with an amount above zero")
    if np.ptp(mean) <= 1e-12 * mean.max():
        return Unidentified("all customers spend the same amount, so that there is no spread to learn")
    # Money in units of the typical amount, so that v is near one for most shops and currencies.
    scale = float(np.exp(np.log(mean).mean()))
    of = _summed(x, mean / scale)
    found = maximise(
        lambda parameters: _likelihood(of, parameters),
        (2.0, 2.0, 1.0),
        float(len(x)),
        too_small=(_OWN, _NO_MEAN, _OTHERS),
        too_large=(_ALWAYS, _OTHERS, _OTHERS),
        flat=(_OWN, _OTHERS, _OTHERS),
    )
    if isinstance(found, Unidentified):
        return found
    p, q, v = (float(each) for each in found.parameters)
    if q <= 1:
        return Unidentified(_NO_MEAN)
    value = found.value - len(x) * float(np.log(scale))
    return GammaGamma(p, q, v * scale, value, tuple(float(each) for each in found.log_errors))
