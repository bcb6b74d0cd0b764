"""Many series of one kind: the normal distribution that their curves' shapes share, estimated from what each leaves open.

Empirical Bayes by expectation maximisation over the series' weighted nodes (Dempster, Laird and Rubin 1977): a series
that tells its shape well moves the shared distribution, one that has not turned yet leans on it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noria.grow.series.series import Floats

from .posterior import Nodes, Population

ENOUGH = 20
"""Series below which nothing is shared: so few tell too little of a spread."""
ROUNDS = 30
_NARROWEST = 0.02
"""Standard deviation that the population is not narrower than, in the shapes' own units: nodes are no finer."""


def population_of(many: Sequence[tuple[Floats, Nodes]], size: int) -> Population:
    """Return the distribution of shapes, from groups of series (their rows among `size`, and nodes); a row may be in several groups."""
    best = np.full(size, -np.inf)
    for rows, nodes in many:
        places = np.asarray(rows, dtype=int)
        best[places] = np.maximum(best[places], nodes.evidence)
    kept = [
        (nodes.shapes[chosen], nodes.weights[chosen])
        for rows, nodes in many
        if (chosen := nodes.evidence >= best[np.asarray(rows, dtype=int)]).any()
    ]
    middles = np.concatenate([np.einsum("sc,sck->sk", weights, shapes) for shapes, weights in kept])
    mean, covariance = _robust(middles)
    for _ in range(ROUNDS):
        shared = Population(mean, covariance)
        firsts, seconds = [], []
        for shapes, weights in kept:
            logs = np.log(np.maximum(weights, 1e-300)) + shared.log_density(shapes)
            chances = np.exp(logs - logs.max(1, keepdims=True))
            chances = chances / chances.sum(1, keepdims=True)
            firsts.append(np.einsum("sc,sck->sk", chances, shapes))
            seconds.append(np.einsum("sc,sck,scj->skj", chances, shapes, shapes))
        before, mean = mean, np.concatenate(firsts).mean(0)
        covariance = np.concatenate(seconds).mean(0) - np.outer(mean, mean) + _NARROWEST**2 * np.eye(len(mean))
        if np.abs(mean - before).max() < 1e-4:
            break
    return Population(mean, covariance)


def _robust(middles: Floats) -> tuple[Floats, Floats]:
    """Return where to start: the median, and the spread of the middle half."""
    low, mean, high = np.quantile(middles, [0.25, 0.5, 0.75], axis=0)
    return mean, np.diag(np.maximum((high - low) / 1.35, 10 * _NARROWEST) ** 2)
