"""Persistence and drift of one series: a random walk whose noise is that of now, stretched to what past forecasts needed.

    random_walk(history, 6, 2000, 0, drifting=False).interval(0.9)

Changes are of the logarithm, so nothing falls below zero (of the values themselves where some are zero). How far back the size
of changes is remembered is weighed by the density that each memory gave to the next change (variance discounting, West and
Harrison 1997, section 10.8): after a launch, the ramp is forgotten. What the interval of so many periods ahead would have
missed or wasted at earlier times of the same window stretches it, with a little belief that it was right (a weighted
conformal quantile; Tibshirani, Barber, Candès and Ramdas 2019). The median of persistence is the last value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, stdtrit

from noria.core.errors import InputError
from noria.core.messages import message
from noria.grow.series.series import Floats

MEMORIES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
"""What is left of a change's weight one change later."""
LEVEL = 0.9
"""The interval that past forecasts are held to."""
BELIEF = 10.0
"""As many past forecasts' worth of belief that the interval needs no stretching."""
LEAST, MOST = 0.5, 3.0
"""Bounds of the stretch."""
PRIOR = 3.0
"""As many changes' worth of belief in the size that the latest ones typically had; of fewer, tails would reach anywhere."""
LATEST = 8
"""Changes whose median size is what is believed before any is remembered."""
_MEDIAN_OF_SQUARE = 0.4549
"""Of a standard normal value."""
WARM = 4
"""Changes before a past forecast of the noise is held to account."""


@dataclass(frozen=True)
class Noise:
    """Size of the changes, seen from the end of a window; M memories."""

    weights: Floats
    """Of the memories, (M,)."""
    squares: Floats
    """Weighted sums of squares, (M,)."""
    counts: Floats
    """Weighted counts of changes, (M,)."""


def noise_of(changes: Floats, least: float = 0.0) -> tuple[Noise, Floats, Floats]:
    """Return the noise after all changes (n,), and variance and degrees of freedom before each of them, (n,) each."""
    n = len(changes)
    squares = np.maximum(changes**2, least)
    memories = np.array(MEMORIES)[:, None]
    ages = np.arange(n + 1)[:, None] - 1 - np.arange(n)
    fading = np.where(ages >= 0, memories[..., None] ** np.maximum(ages, 0), 0.0)
    counts = PRIOR + fading.sum(-1)
    sums = PRIOR * _begun(squares) + fading @ squares
    # Density of Student's t that each memory gave to every change after the first.
    freedom, variance = counts[:, :-1], (sums / counts)[:, :-1]
    density = (
        gammaln((freedom + 1) / 2)
        - gammaln(freedom / 2)
        - 0.5 * np.log(freedom * variance)
        - (freedom + 1) / 2 * np.log1p(squares / (freedom * variance))
    )
    gained = np.cumsum(np.concatenate([np.zeros((len(memories), 1)), density], 1)[:, : n + 1], 1)
    weights = np.exp(gained - gained.max(0))
    weights /= weights.sum(0)
    before = np.sum(weights * sums / counts, 0), np.sum(weights * counts, 0)
    return Noise(weights[:, -1], sums[:, -1], counts[:, -1]), before[0][:-1], before[1][:-1]


def _begun(squares: Floats) -> Floats:
    """Return the variance that is believed before each of n changes and after the last, (n + 1,): the typical one of the latest.

    The median stands for it, so that a few large ones are not believed twice; for want of any, before the first it is the first.
    """
    padded = np.concatenate([np.full(LATEST, np.nan), squares])
    windows = np.lib.stride_tricks.sliding_window_view(padded, LATEST)
    found = np.nanmedian(windows[1:], axis=1) / _MEDIAN_OF_SQUARE
    return np.concatenate([found[:1], found])


def stretched(moved: Floats, ahead: float) -> float:
    """Return the factor for intervals so far ahead, from past changes over what their intervals reached, (n,)."""
    # Past changes overlap: of forecasts `ahead` periods ahead, one in as many stands for itself.
    told = np.full(len(moved), 1.0 / ahead)
    probabilities = (np.arange(40) + 0.5) / 40
    believed = stdtrit(1e6, (1 + probabilities) / 2) / stdtrit(1e6, (1 + LEVEL) / 2)
    values = np.concatenate([np.abs(moved), believed])
    weights = np.concatenate([told, np.full(40, BELIEF / 40)])
    order = np.argsort(values)
    place = np.searchsorted(np.cumsum(weights[order]), LEVEL * weights.sum())
    return float(np.clip(values[order][min(int(place), len(order) - 1)], LEAST, MOST))


def stretches(seen: Floats, places: Floats, rate: float, variance: Floats, freedom: Floats, horizon: int) -> Floats:
    """Return the factor of the standard deviation 1 to `horizon` periods ahead, (horizon,), from the window's own past.

    Variance and degrees of freedom are those known before each change, (n,). Beyond what the window can tell, the last factor goes on.
    """
    reach = np.sqrt(variance) * stdtrit(freedom, (1 + LEVEL) / 2)
    found, factor = np.empty(horizon), 1.0
    for ahead in range(1, horizon + 1):
        starts = np.arange(WARM, len(seen) - ahead)
        if len(starts):
            time = places[starts + ahead] - places[starts]
            moved = (seen[starts + ahead] - seen[starts] - rate * time) / (reach[starts] * np.sqrt(time))
            factor = stretched(moved, ahead)
        found[ahead - 1] = factor
    return found


def random_walk(
    values: Floats, horizon: int, draws: int, seed: int, *, drifting: bool, step: float
) -> tuple[Floats, Floats, Floats, bool]:
    """Return draws, centres and scales (draws, horizon) of a random walk, and whether it is one of the logarithm.

    With the mean pace so far where `drifting`; noise and pace have their posterior. `step` is the smallest step in which values are
    told: a series that has not moved yet may move by half of it.

    Raises:
        InputError: fewer than four values.
    """
    random = np.random.default_rng(seed)
    places = np.flatnonzero(~np.isnan(values))
    known = values[places]
    logged = bool((known > 0).all())
    if known.size < 4:
        raise InputError(message("grow.too_few_values_3"), found=int(known.size), allowed=message("grow.more_3"))
    seen = np.log(known) if logged else known
    gaps, steps = np.diff(places).astype(float), np.diff(seen)
    rate = float(steps.sum() / gaps.sum()) if drifting else 0.0
    least = (0.5 * step / (float(np.mean(known)) if logged else 1.0)) ** 2
    noise, variance, freedom = noise_of((steps - rate * gaps) / np.sqrt(gaps), least)
    remembered = random.choice(len(noise.weights), draws, p=noise.weights)
    counts = noise.counts[remembered]
    sigma = np.sqrt(noise.squares[remembered] / random.chisquare(counts))
    pace = rate + (sigma / np.sqrt(gaps.sum()) * random.standard_normal(draws) if drifting else np.zeros(draws))
    behind = len(values) - 1 - places[-1]
    times = behind + np.arange(1.0, horizon + 1)
    factor = stretches(seen, places.astype(float), rate, variance, freedom, behind + horizon)[behind:]
    spread = np.maximum.accumulate(times * factor**2)  # a path's uncertainty never falls
    fresh = np.sqrt(np.diff(spread, prepend=0.0)) * random.standard_normal((draws, horizon))
    noisy = np.cumsum(fresh, 1) * sigma[:, None]
    if not drifting:
        noisy -= np.median(noisy, axis=0)
    centre = seen[-1] + pace[:, None] * times
    return centre + noisy, np.broadcast_to(centre, noisy.shape), sigma[:, None] * np.sqrt(spread), logged
