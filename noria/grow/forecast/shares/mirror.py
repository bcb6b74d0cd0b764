"""Draws of shares on the other side of today's, share by share: with them, today's share is the median of every entity at once.

    both = np.concatenate([draws, opposite(draws, today)])      # the median of each column is today's; every row sums to one

Noise that is symmetric in log-ratios is not symmetric in shares: several rivals that may each grow manifold outweigh their
falling, and bend the leader down. No centre mends that for all entities at once, for medians of skewed parts do not sum to one. A share
that rose by a factor falls by it here, and the other way round; what rises is then scaled so that the whole stays one.
"""

from __future__ import annotations

import numpy as np

from noria.grow.series.series import Floats

_HALVINGS = 60
_STEP = 1e-5


def opposite(shares: Floats, today: Floats) -> Floats:
    """Return shares (..., K), summing to one, each on the other side of today's (K,), all above zero."""
    away = today**2 / shares - today
    up, down = np.maximum(away, 0.0), np.maximum(-away, 0.0)
    risen = up.sum(-1, keepdims=True)  # never less than what fell (Cauchy and Schwarz)
    factor = np.divide(down.sum(-1, keepdims=True), risen, out=np.ones_like(risen), where=risen > 0)
    return np.asarray(today - down + factor * up, dtype=np.float64)


def original(shares: Floats, today: Floats) -> Floats:
    """Return the shares whose `opposite` these are, (..., K); nan where there are none."""
    away = shares - today
    fallen = np.where(away < 0, today**2 / np.maximum(shares, 1e-300), 0.0).sum(-1)
    low, high = np.zeros(fallen.shape), np.ones(fallen.shape)

    def at(factor: Floats) -> Floats:
        risen = today + np.maximum(away, 0.0) / np.maximum(factor, 1e-12)[..., None]
        return np.asarray(np.where(away < 0, today**2 / np.maximum(shares, 1e-300), today**2 / risen))

    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = at(middle).sum(-1) > 1
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    found = at(high)
    return np.where((fallen < 1)[..., None], found / found.sum(-1, keepdims=True), np.nan)


def log_shrinkage(ratios: Floats, today: Floats) -> tuple[Floats, float]:
    """Return the log-ratios (P,) whose opposite these are, and the log of how much a volume about them was drawn apart.

    The density of opposites at `ratios` is that of the originals at what is returned, times the exponential of the second.
    Nan and minus infinity where no shares have these as their opposite.
    """
    size = ratios.size
    steps = np.concatenate([np.zeros((1, size)), _STEP * np.eye(size), -_STEP * np.eye(size)])
    logs = np.concatenate([np.zeros((len(steps), 1)), ratios + steps], 1)
    parts = np.exp(logs - logs.max(1, keepdims=True))
    before = original(parts / parts.sum(1, keepdims=True), today)
    if np.isnan(before).any():
        return np.full(size, np.nan), -np.inf
    found = np.log(before[:, 1:] / before[:, :1])
    slopes = (found[1 : size + 1] - found[size + 1 :]) / (2 * _STEP)
    return found[0], float(np.linalg.slogdet(slopes)[1])
