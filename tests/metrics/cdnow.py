"""CDNOW: the purchases of the first quarter of 1997's new customers, as `lifetimes` brings them along, and its fitters.

2,357 customers until the end of June 1998: what the published figures of BG/NBD and Gamma–Gamma were worked out from.
`lifetimes` is noisy (old ways of pandas and setuptools), which is no concern of these tests.
"""

import importlib.util
import warnings
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from metric_shops import Order

#: The published models are fitted to the first 39 weeks.
CALIBRATION_ENDS = datetime(1997, 10, 1, tzinfo=UTC).date()


@cache
def cdnow_orders() -> list[Order]:
    """Return the purchases; the few that cost nothing are in, as they are in the published data."""
    spec = importlib.util.find_spec("lifetimes")
    assert spec is not None
    assert spec.origin is not None
    rows = []
    for line in (Path(spec.origin).parent / "datasets" / "CDNOW_sample.txt").read_text().splitlines():
        _, customer, day, _, dollars = line.split()
        at = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
        rows.append(Order(int(customer), at, round(float(dollars) * 100)))
    return rows


def cdnow_summary() -> tuple[Any, Any, Any]:
    """Return frequency, recency and T in weeks, as the published BG/NBD was fitted to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lifetimes.datasets import load_cdnow_summary

        table = load_cdnow_summary()
    return tuple(np.asarray(table[name], dtype=float) for name in ("frequency", "recency", "T"))  # type: ignore[return-value]


def cdnow_spend() -> tuple[Any, Any]:
    """Return frequency and mean spend of repeaters, rounded to cents as `lifetimes` has them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lifetimes.datasets import load_cdnow_summary_data_with_monetary_value

        table = load_cdnow_summary_data_with_monetary_value()
    table = table[table.frequency > 0]
    return np.asarray(table.frequency, dtype=float), np.asarray(table.monetary_value, dtype=float)


def beta_geo(*fitted_to: Any) -> Any:
    """Return `lifetimes`' BG/NBD, fitted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lifetimes import BetaGeoFitter

        return BetaGeoFitter().fit(*fitted_to)


def gamma_gamma(*fitted_to: Any) -> Any:
    """Return `lifetimes`' Gamma–Gamma, fitted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lifetimes import GammaGammaFitter

        return GammaGammaFitter().fit(*fitted_to)


def bought_like(
    seed: int, customers: int, parameters: tuple[float, float, float, float], days: int = 730
) -> tuple[Any, Any, Any]:
    """Return x, t_x and age, whole days, of customers who live by BG/NBD's own words; a plain loop."""
    r, alpha, a, b = parameters
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(customers):
        rate, leaves, age = rng.gamma(r, 1 / alpha), rng.beta(a, b), int(rng.integers(0, days))
        x, last, now = 0, 0, rng.exponential(1 / rate)
        while now < age:
            if int(now) > last:
                x, last = x + 1, int(now)
                if rng.random() < leaves:
                    break
            now += rng.exponential(1 / rate)
        rows.append((x, last, age))
    return tuple(np.array(column, dtype=float) for column in zip(*rows, strict=True))  # type: ignore[return-value]
