"""Models weighed by how they did: the mixture of forecasts that would have scored best on what came so far.

    weights = stacked(scores)        # scores (forecasts, models) of log densities -> weights that sum to one

The weights maximise the log score of the mixture (Hall and Mitchell 2007; Yao, Vehtari, Simpson and Gelman 2018, Using
stacking to average Bayesian predictive distributions), held a little towards equal ones, since a few forecasts prove little.
"""

from __future__ import annotations

import numpy as np

from noria.grow.series.series import Floats

BLEND = "blend"
"""The name of the mixture among models."""
_CAUTION = 2.0
"""As many forecasts' worth of belief that all models are alike."""


def stacked(scores: Floats, rounds: int = 500) -> Floats:
    """Return the weights of M models, (M,), from the log densities that they gave to what came, (N, M); N may be 0.

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


def counts_of(weights: Floats, draws: int) -> list[int]:
    """Return how many of `draws` each model gives: as near to its weight as whole numbers can be."""
    ends = np.rint(np.cumsum(weights) * draws).astype(int)
    ends[-1] = draws
    return [int(count) for count in np.diff(ends, prepend=0)]
