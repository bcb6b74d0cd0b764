"""Proper scores of draws against what came, and models weighed by them.

Energy score and CRPS are those of Gneiting and Raftery (2007, Strictly proper scoring rules, prediction, and estimation).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from noria.grow.forecast.names import LAST
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


BLEND = "blend"
"""The name of the mixture among models."""
_CAUTION = 2.0
"""As many forecasts' worth of belief that all models are alike."""


def stacked(scores: Floats, rounds: int = 500) -> Floats:
    """Return the weights of M models, (M,), from the log densities that they gave to what came, (N, M); N may be 0.

    They maximise the log score of the mixture (Hall and Mitchell 2007; Yao, Vehtari, Simpson and Gelman 2018, Using stacking
    to average Bayesian predictive distributions), held a little towards equal ones, since a few forecasts prove little.

    By expectation maximisation, each round of which can only improve.
    """
    models = scores.shape[1]
    weights = np.full(models, 1 / models)
    if not len(scores):
        return weights
    densities = np.exp(scores - scores.max(1, keepdims=True))
    for _ in range(rounds):
        mixture = densities * weights
        shares = mixture / mixture.sum(1, keepdims=True)
        new = (shares.sum(0) + _CAUTION / models) / (len(scores) + _CAUTION)
        moved = np.abs(new - weights).max()
        weights = new
        if moved < 1e-8:
            break
    return weights


def alike(models: Iterable[str]) -> dict[str, float]:
    """Return equal weights of the models that give a density: what the blend is before anything was learned."""
    names = [name for name in models if name != LAST]
    return dict.fromkeys(names, 1 / len(names))


def counts_of(weights: Floats, draws: int) -> list[int]:
    """Return how many of `draws` each model gives: as near to its weight as whole numbers can be."""
    ends = np.rint(np.cumsum(weights) * draws).astype(int)
    ends[-1] = draws
    return [int(count) for count in np.diff(ends, prepend=0)]
