"""Tempered sequential Monte Carlo: draws from a prior are led to the posterior, a little of the likelihood at a time.

Del Moral, Doucet and Jasra (2006), Sequential Monte Carlo samplers, J. R. Statist. Soc. B 68. The steps of temperature choose
themselves so that the effective number of particles stays at a fixed part; between them every particle moves by Metropolis steps, one
channel at a time and all together, with the spread that the particles have. Knows nothing of what a channel is: a block of numbers,
standard normal before, whose parts of the outcome add up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from noria.core.progress import Bar

Floats = npt.NDArray[np.float64]
_KEPT = 0.6
"""Effective part of the particles after a step of temperature."""
_SWEEPS = 3
"""Rounds of moves at each temperature; twice as many at the last."""
_ACCEPTED = 0.3
"""Part of the moves to be accepted; steps grow and shrink towards it."""


@dataclass(frozen=True)
class Target:
    """A posterior whose channels' parts add up; T rows, N particles."""

    outcome: Floats
    """What the parts are to explain, (T, 1)."""
    part: Callable[[Floats, int], Floats]
    """A channel's numbers, (N, P), and its index -> its part of the outcome, (T, N)."""
    log_likelihood: Callable[[Floats], Floats]
    """What the parts leave of the outcome, (T, N) -> (N,)."""


@dataclass(frozen=True)
class Tempered:
    """Draws from the posterior."""

    particles: Floats
    """(N, C, P)."""
    fits: Floats
    """Log-likelihood of each, (N,)."""
    log_evidence: float


class _State:
    """Particles with their parts and what these leave, kept in step."""

    def __init__(self, target: Target, z: Floats) -> None:
        self.target, self.z = target, z
        self.parts = [target.part(z[:, channel], channel) for channel in range(z.shape[1])]
        self.left = target.outcome - sum(self.parts)
        self.fits = target.log_likelihood(self.left)

    def take(self, rows: npt.NDArray[np.int64]) -> None:
        """Keep these particles, some of them several times."""
        self.z, self.left, self.fits = self.z[rows], self.left[:, rows], self.fits[rows]
        self.parts = [part[:, rows] for part in self.parts]

    def move(self, channels: list[int], temperature: float, scale: float, random: np.random.Generator) -> float:
        """Move these channels' numbers by one Metropolis step; return the part of particles that moved."""
        now = self.z[:, channels].reshape(len(self.z), -1)
        spread = np.cov(now.T) + 1e-10 * np.eye(now.shape[1])
        step = scale * 2.38 / np.sqrt(now.shape[1]) * np.linalg.cholesky(spread)
        new = now + random.standard_normal(now.shape) @ step.T
        shaped = new.reshape(len(new), len(channels), -1)
        parts = [self.target.part(shaped[:, place], channel) for place, channel in enumerate(channels)]
        left = self.left + sum(self.parts[channel] - part for channel, part in zip(channels, parts, strict=True))
        fits = self.target.log_likelihood(left)
        change = temperature * (fits - self.fits) - ((new**2).sum(1) - (now**2).sum(1)) / 2
        taken = np.log(random.random(len(now))) < change
        self.z[np.ix_(taken, channels)] = shaped[taken]
        self.left[:, taken], self.fits[taken] = left[:, taken], fits[taken]
        for channel, part in zip(channels, parts, strict=True):
            self.parts[channel][:, taken] = part[:, taken]
        return float(taken.mean())


def temper(
    target: Target,
    *,
    channels: int,
    dimensions: int,
    particles: int,
    random: np.random.Generator,
    bar: Bar | None = None,
) -> Tempered:
    """Return draws from the posterior of `channels` blocks of `dimensions` numbers that are standard normal before.

    Args:
        target: outcome, parts and likelihood.
        channels: blocks of numbers.
        dimensions: numbers in a block.
        particles: draws.
        random: where chance comes from.
        bar: hears how much of the evidence has been taken in: one in all.
    """
    state = _State(target, random.standard_normal((particles, channels, dimensions)))
    moves = [[channel] for channel in range(channels)] + ([list(range(channels))] if channels > 1 else [])
    scales = np.ones(len(moves))
    temperature, evidence = 0.0, 0.0
    while temperature < 1.0:
        last = temperature
        temperature = _next(state.fits, last)
        weights = (temperature - last) * state.fits
        top = float(weights.max())
        weights = np.exp(weights - top)
        evidence += top + float(np.log(weights.mean()))
        state.take(_systematic(weights / weights.sum(), random))
        for _ in range(_SWEEPS * (2 if temperature == 1.0 else 1)):
            for place, block in enumerate(moves):
                accepted = state.move(block, temperature, float(scales[place]), random)
                scales[place] = np.clip(scales[place] * np.exp(accepted - _ACCEPTED), 0.05, 2.0)
        if bar is not None:
            bar.advance(temperature - last)
    return Tempered(state.z, state.fits, evidence)


def _next(fits: Floats, temperature: float) -> float:
    """Return the highest temperature up to 1 that leaves the wished part of the particles effective."""

    def effective(to: float) -> float:
        weights = np.exp((to - temperature) * (fits - fits.max()))
        return float(weights.sum() ** 2 / (weights**2).sum() / fits.size)

    if effective(1.0) >= _KEPT:
        return 1.0
    low, high = temperature, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if effective(middle) >= _KEPT else (low, middle)
    return max(low, temperature + 1e-9)


def _systematic(weights: Floats, random: np.random.Generator) -> npt.NDArray[np.int64]:
    places = (random.random() + np.arange(weights.size)) / weights.size
    return np.minimum(np.searchsorted(np.cumsum(weights), places), weights.size - 1).astype(np.int64)
