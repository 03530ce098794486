"""Fitting BG/NBD: to the published data set of 2,357 customers and to a million, each beside `lifetimes`."""

import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure, paired
from rewards.core.errors import SetupError
from rewards.metrics.lifetime import bgnbd
from rewards.metrics.lifetime.bgnbd import BGNBD

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Customers = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]

MANY = 1_000_000
DAYS = 1_095
#: How the made-up customers buy and leave: r, alpha (days), a, b.
TRUTH = (0.8, 60.0, 0.8, 2.5)


def bench_lifetime(many: int = MANY, rounds: tuple[int, int] = (9, 3)) -> list[Figure]:
    """Fits beside those of `lifetimes`, from the same arrays; both must come to the same parameters."""
    fitter = _fitter()
    return [
        _measured("BG/NBD fitted to CDNOW, 2,357 customers", cdnow(), fitter, rounds[0]),
        _measured(f"BG/NBD fitted to {many:,} customers", made_up(many), fitter, rounds[1]),
    ]


def _measured(name: str, of: "Customers", fitter: Any, rounds: int) -> Figure:
    pairs, customers = [], len(of[0])
    for _ in range(rounds):
        theirs, their_seconds = _timed(lambda: fitter().fit(*of))
        ours, our_seconds = _timed(lambda: bgnbd.fit(*of))
        _agree(ours, theirs)
        pairs.append((customers / our_seconds, customers / their_seconds))
    return paired(name, "customers/s", pairs, "lifetimes", 1.0)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `lifetimes` overflows on its way and says so
        started = time.perf_counter()
        found = work()
        return found, time.perf_counter() - started


def _agree(ours: Any, theirs: Any) -> None:
    if not isinstance(ours, BGNBD):
        raise TypeError(f"the model was not fitted: {ours}")
    for name, value in theirs.params_.items():
        if abs(getattr(ours, str(name)) / value - 1) > 1e-3:
            raise RuntimeError(f"{name} is {getattr(ours, str(name))}, and {value} by lifetimes")


def _fitter() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from lifetimes import BetaGeoFitter
    except ImportError:
        raise SetupError("This benchmark needs lifetimes: pip install 'rewards-engine[dev]'.") from None
    return BetaGeoFitter


def cdnow() -> "Customers":
    """Return the published data: repeat purchases, recency and age in weeks."""
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lifetimes.datasets import load_cdnow_summary

        table = load_cdnow_summary()
    x, t_x, age = (np.asarray(table[name], dtype=float) for name in ("frequency", "recency", "T"))
    return x, t_x, age


def made_up(customers: int, seed: int = 1) -> "Customers":
    """Return customers of three years who live as the model says: repeat purchases, recency and age in days."""
    import numpy as np

    rng = np.random.default_rng(seed)
    r, alpha, a, b = TRUTH
    rate, leaves = rng.gamma(r, 1 / alpha, customers), rng.beta(a, b, customers)
    age = rng.integers(0, DAYS, customers).astype(float)
    x, last, now = np.zeros(customers), np.zeros(customers), np.zeros(customers)
    here = np.arange(customers)
    while len(here):
        now[here] += rng.exponential(1 / rate[here])
        here = here[now[here] < age[here]]
        # Another order on the day of the last one is no purchase of its own.
        bought = here[np.floor(now[here]) > last[here]]
        x[bought] += 1
        last[bought] = np.floor(now[bought])
        gone = bought[rng.random(len(bought)) < leaves[bought]]
        here = np.setdiff1d(here, gone, assume_unique=True)
    return x, last, age
