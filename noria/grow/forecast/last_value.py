"""The plain last value: a point forecast whose interval is how far values moved from their last one before, either way.

    last_value(values, horizon=6, draws=2000, seed=0).shape      # (2000, 6, K)

A bar of its own beside persistence: nothing is fitted, so it gives no density and takes no part in log scores and blends. Each draw
goes as the series once went from some time on, recent times more often, half of them the other way round: the median is
the last value.
"""

from __future__ import annotations

import numpy as np

from noria.grow.series.series import Floats

MEMORY = 0.9
"""What is left of a time's weight one time later."""


def last_value(values: Floats, horizon: int, draws: int, seed: int, *, whole: bool = False) -> Floats:
    """Return draws (draws, horizon, K) of what comes after values (T, K), nan where missing.

    Changes are those of logarithms where all known values of a column are above zero, else of the values themselves; or with `whole`, of shares
    that sum to one, which their draws do as well.
    """
    random = np.random.default_rng(seed)
    filled = carried(values)
    logged = np.zeros(filled.shape[1], dtype=bool) if whole else filled.min(0) > 0
    scale = np.where(logged, np.log(np.where(logged, filled, 1.0)), filled)
    size = len(scale)
    starts = random.choice(size - 1, (draws + 1) // 2, p=_weights(size - 1))
    ends = np.minimum(starts[:, None] + np.arange(1, horizon + 1), size - 1)
    # What lies beyond the end of the window is taken to go on as a random walk would: with the root of time.
    grown = np.sqrt(np.arange(1, horizon + 1) / (ends - starts[:, None]))
    moved = (scale[ends] - scale[starts][:, None]) * grown[..., None]
    moved[0] = 0.0  # with its opposite the middle of all: what lies between two draws is the last value itself
    # The energy score pairs draws by place: those of one time and its opposite may not stand half of all apart.
    moved = random.permutation(np.concatenate([moved, -moved])[:draws])
    if whole:
        up = np.maximum(moved, 0.0)
        risen = up.sum(-1, keepdims=True)
        down = np.where(risen > 0, np.minimum(np.maximum(-moved, 0.0), scale[-1]), 0.0)
        share = np.divide(down.sum(-1, keepdims=True), risen, out=np.zeros_like(risen), where=risen > 0)
        return np.asarray(scale[-1] - down + up * share, dtype=np.float64)
    found = scale[-1] + moved
    return np.asarray(np.where(logged, np.exp(np.minimum(found, 300.0)), np.maximum(found, 0.0)), dtype=np.float64)


def carried(values: Floats) -> Floats:
    """Return values (T, K) with each gap filled by the last value before it, or the first one after; 0 where none is known."""
    known = ~np.isnan(values)
    rows = np.arange(len(values))[:, None]
    before = np.maximum.accumulate(np.where(known, rows, -1), axis=0)
    first = np.where(known.any(0), np.argmax(known, 0), 0)
    return np.nan_to_num(np.take_along_axis(values, np.where(before < 0, first, before), 0))


def _weights(size: int) -> Floats:
    weights = MEMORY ** np.arange(size)[::-1].astype(float)
    return np.asarray(weights / weights.sum())
