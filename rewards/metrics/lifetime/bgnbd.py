"""BG/NBD: how many purchases customers will still make, from how often, how lately and since when they bought.

The model: while a customer is active, purchases come at random at the customer's own rate λ; after each purchase the
customer is gone for good with the customer's own probability p. Rates are spread over customers as Gamma(r, α), the
probabilities as Beta(a, b). Source: Fader, Hardie and Lee, "Counting Your Customers the Easy Way", Marketing Science
24 (2), 2005; equation numbers are theirs.

Everywhere ``x`` is the number of repeat purchases, ``t_x`` the time from the first purchase to the last, and ``age``
(their T) the time from the first purchase to now, all in one unit of time, and arrays of one length.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rewards.metrics.lifetime.search import Slopes, Unidentified, maximise
from rewards.metrics.lifetime.sums import coded, dot, sums

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


#: With ten times as many customers, the search begins where a fit of about so many of them ends.
ROUGH = 10_000
#: Why there is no estimate, as clauses.
_RATES = "the purchases do not show how customers differ in how often they buy"
_STAY = "the purchases show nobody who stopped buying, so that how customers leave cannot be learnt"
_LEAVING = (
    "the purchases do not show how customers leave: very different chances of leaving fit about equally well, "
    "as happens where hardly anybody has been silent for long, or the history is short"
)


@dataclass(frozen=True, slots=True)
class BGNBD:
    """A fitted model.

    Attributes:
        r, alpha: of the rates; ``alpha`` is a time, in the unit that the model was fitted with.
        a, b: of the probability to be gone after a purchase.
        log_likelihood: of all customers.
        log_errors: standard errors of the logarithms of r, alpha, a and b.
    """

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float = 0.0
    log_errors: tuple[float, ...] = ()


class Patterns(NamedTuple):
    """Customers by what the likelihood sees of them: each distinct (x, t_x, age) once, with how many they are.

    What depends on ``x`` alone, on ``t_x`` alone or on ``age`` alone is worked out once for each of its values: they
    are few, also where a million customers are not. ``at_…`` say which value belongs to a pattern with x > 0.
    """

    xs: "Floats"
    customers_of_x: "Floats"
    ages: "Floats"
    recencies: "Floats"
    customers_of_age: "Floats"
    purchases_of_age: "Floats"
    at_x: "NDArray[np.intp]"
    at_age: "NDArray[np.intp]"
    at_recency: "NDArray[np.intp]"
    weight: "Floats"


def patterns(
    x: "ArrayLike", t_x: "ArrayLike", age: "ArrayLike", weights: "ArrayLike | None" = None
) -> Patterns:
    """Return customers by distinct (x, t_x, age).

    Args:
        x, t_x, age: of each customer (or pattern).
        weights: how many customers each of them stands for; one where None.
    """
    import numpy as np

    xs, at_x = coded(np.asarray(x, dtype=float))
    recencies, at_recency = coded(np.asarray(t_x, dtype=float))
    ages, at_age = coded(np.asarray(age, dtype=float))
    weight = np.ones(len(at_x)) if weights is None else np.asarray(weights, dtype=float)
    purchases_of_age = sums(at_age, weight * xs[at_x], len(ages))
    customers_of_x = sums(at_x, weight, len(xs))
    customers_of_age = sums(at_age, weight, len(ages))
    repeats = np.flatnonzero(xs[at_x] > 0)
    code = (at_x[repeats] * len(recencies) + at_recency[repeats]) * len(ages) + at_age[repeats]
    distinct, where = np.unique(code, return_inverse=True)
    rest, of_age = np.divmod(distinct, max(len(ages), 1))
    of_x, of_recency = np.divmod(rest, max(len(recencies), 1))
    return Patterns(
        xs,
        customers_of_x,
        ages,
        recencies,
        customers_of_age,
        purchases_of_age,
        of_x,
        of_age,
        of_recency,
        sums(where, weight[repeats], len(distinct)),
    )


def log_likelihood(of: Patterns, parameters: "Floats") -> Slopes:
    """Return the log-likelihood of all customers (equation 6), its gradient and its hessian.

    Of one customer it is ln Γ(r+x)/Γ(r) + r ln α + ln B(a, b+x)/B(a, b) − (r+x) ln(α+T), and for x > 0 the softplus
    ln(1 + e^δ), δ = ln(a/(b+x−1)) + (r+x)·(ln(α+T) − ln(α+t_x)): e^δ are the odds to be gone.

    Args:
        of: the customers.
        parameters: r, alpha, a, b, all above 0.

    Returns:
        value; gradient of shape (4,); hessian of shape (4, 4).
    """
    import numpy as np
    from scipy.special import digamma, expit, gammaln

    r, alpha, a, b = (float(each) for each in parameters)
    xs, n = of.xs, of.customers_of_x
    total = n.sum()
    log_age, log_recency = np.log(alpha + of.ages), np.log(alpha + of.recencies)
    powers = r * of.customers_of_age + of.purchases_of_age
    x, w = xs[of.at_x], of.weight
    apart = log_age[of.at_age] - log_recency[of.at_recency]
    # x = 0 has no odds to be gone; it never occurs in ``at_x``.
    odds_of_x = np.log(a) - np.log(b + np.maximum(xs, 1) - 1)
    delta = odds_of_x[of.at_x] + (r + x) * apart
    value = (
        n
        @ (gammaln(r + xs) - gammaln(r) + gammaln(a + b) - gammaln(a + b + xs) + gammaln(b + xs) - gammaln(b))
        + total * r * np.log(alpha)
        - powers @ log_age
        + dot(w, np.logaddexp(0.0, delta))
    )
    inverse = 1 / (alpha + of.ages)
    gone = w * expit(delta)
    by_alpha = (r + x) * (inverse[of.at_age] - (1 / (alpha + of.recencies))[of.at_recency])
    by_b = -1 / (b + x - 1)
    together = digamma(a + b) - digamma(a + b + xs)
    gradient = np.array(
        [
            n @ (digamma(r + xs) - digamma(r))
            + total * np.log(alpha)
            - of.customers_of_age @ log_age
            + dot(gone, apart),
            total * r / alpha - powers @ inverse + dot(gone, by_alpha),
            n @ together + gone.sum() / a,
            n @ (together + digamma(b + xs) - digamma(b)) + dot(gone, by_b),
        ]
    )
    return Slopes(float(value), gradient, _hessian(of, parameters, gone, delta))


def _hessian(of: Patterns, parameters: "Floats", gone: "Floats", delta: "Floats") -> "Floats":
    """Return the second derivatives of the log-likelihood.

    The softplus gives σ(1−σ) ∇δ ∇δᵀ + σ ∇²δ of each pattern; the rest depends on x or age alone.
    """
    import numpy as np
    from scipy.special import expit, polygamma

    r, alpha, a, b = (float(each) for each in parameters)
    xs, n, x = of.xs, of.customers_of_x, of.xs[of.at_x]
    of_age, of_recency = 1 / (alpha + of.ages), 1 / (alpha + of.recencies)
    apart = np.log(alpha + of.ages)[of.at_age] - np.log(alpha + of.recencies)[of.at_recency]
    inverses = of_age[of.at_age] - of_recency[of.at_recency]
    slope = (apart, (r + x) * inverses, np.full(len(x), 1 / a), -1 / (b + x - 1))
    hessian: Floats = np.zeros((4, 4))
    weight = gone * expit(-delta)
    for row in range(4):
        weighed = slope[row] * weight
        for column in range(row, 4):
            hessian[row, column] = hessian[column, row] = dot(weighed, slope[column])
    total, powers = n.sum(), r * of.customers_of_age + of.purchases_of_age
    mixed = total / alpha - of.customers_of_age @ of_age + dot(gone, inverses)
    together = n @ (polygamma(1, a + b) - polygamma(1, a + b + xs))
    squares = of_age[of.at_age] ** 2 - of_recency[of.at_recency] ** 2
    hessian[0, 0] += n @ (polygamma(1, r + xs) - polygamma(1, r))
    hessian[0, 1] += mixed
    hessian[1, 0] += mixed
    hessian[1, 1] += -total * r / alpha**2 + powers @ of_age**2 - dot(gone, (r + x) * squares)
    hessian[2, 2] += together - gone.sum() / a**2
    hessian[2, 3] += together
    hessian[3, 2] += together
    hessian[3, 3] += together + n @ (polygamma(1, b + xs) - polygamma(1, b)) + dot(gone, slope[3] ** 2)
    return hessian


def fit(
    x: "ArrayLike", t_x: "ArrayLike", age: "ArrayLike", weights: "ArrayLike | None" = None
) -> BGNBD | Unidentified:
    """Return the model of the largest likelihood, or why the customers do not tell one.

    Args:
        x, t_x, age: of each customer; see the module.
        weights: how many customers each stands for; one where None.
    """
    import numpy as np

    of = patterns(x, t_x, age, weights)
    customers, repeaters = of.customers_of_x.sum(), of.weight.sum()
    if not customers:
        return Unidentified("nobody has bought anything yet")
    if not repeaters:
        return Unidentified("nobody has bought a second time yet, so there is no rate of buying to learn")
    if not (of.recencies > 0).any():
        return Unidentified("no repeat purchase is any time after the first one")
    # With the mean age as the unit of time, all four parameters are near one for most shops.
    scale = float(of.customers_of_age @ of.ages / customers)
    scaled = of._replace(ages=of.ages / scale, recencies=of.recencies / scale)
    rate = float(of.customers_of_x @ of.xs / customers)
    found = maximise(
        lambda parameters: log_likelihood(scaled, parameters),
        _rough(x, t_x, age, weights, scale) or (0.5, 0.5 / rate, 0.7, 2.5),
        float(customers),
        too_small=(_RATES, _RATES, _STAY, _LEAVING),
        too_large=(_RATES, _RATES, _LEAVING, _LEAVING),
        flat=(_RATES, _RATES, _LEAVING, _LEAVING),
    )
    if isinstance(found, Unidentified):
        return found
    r, alpha, a, b = (float(each) for each in found.parameters)
    # Densities of times change with the unit of time: one factor for each repeat purchase.
    value = found.value - float(of.customers_of_x @ of.xs) * float(np.log(scale))
    return BGNBD(r, alpha * scale, a, b, value, tuple(float(each) for each in found.log_errors))


def _rough(
    x: "ArrayLike", t_x: "ArrayLike", age: "ArrayLike", weights: "ArrayLike | None", scale: float
) -> tuple[float, float, float, float] | None:
    """Return where to begin: the fit of every so-many-th customer where there are very many, which is soon had."""
    import numpy as np

    x = np.asarray(x)
    if len(x) < 10 * ROUGH:
        return None
    each = slice(None, None, len(x) // ROUGH)
    some = None if weights is None else np.asarray(weights)[each]
    rough = fit(x[each], np.asarray(t_x)[each], np.asarray(age)[each], some)
    if isinstance(rough, Unidentified):
        return None
    return rough.r, rough.alpha / scale, rough.a, rough.b
