"""Proper scores of draws against what came, and the mean of scores that overlap in time.

Energy score and CRPS are those of Gneiting and Raftery (2007, Strictly proper scoring rules, prediction, and estimation).
"""

from __future__ import annotations

import numpy as np

from noria.grow.series.series import Floats


def energy_score(draws: Floats, actual: Floats) -> float:
    """Return the energy score of draws (D, K) for what came (K,); lower is better (equation 22)."""
    half = draws.shape[0] // 2
    near = np.linalg.norm(draws - actual, axis=1).mean()
    apart = np.linalg.norm(draws[:half] - draws[half : 2 * half], axis=1).mean()
    return float(near - apart / 2)


def crps(draws: Floats, actual: float) -> float:
    """Return the continuous ranked probability score of draws (D,) for what came (equation 21)."""
    ordered = np.sort(draws)
    size = ordered.size
    spread = float(np.sum((2 * np.arange(1, size + 1) - size - 1) * ordered)) / size**2
    return float(np.mean(np.abs(ordered - actual))) - spread


def mean_interval(values: Floats, lags: int, level: float = 0.95) -> tuple[float, float]:
    """Return a mean and half its interval; forecasts that overlap share errors (Newey and West 1987)."""
    from scipy.stats import t

    size = values.size
    if size < 2:
        return float(values.mean()), float("inf")
    off = values - values.mean()
    variance = plain = float(off @ off) / (size - 1)
    for lag in range(1, min(lags, size - 1) + 1):
        variance += 2 * (1 - lag / (lags + 1)) * float(off[lag:] @ off[:-lag]) / (size - 1)
    return float(values.mean()), float(t.ppf((1 + level) / 2, size - 1)) * float(np.sqrt(max(variance, plain) / size))
