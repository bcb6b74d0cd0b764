"""Shares as structural log-ratios: every isometric log-ratio has a level, noise and a damped trend of its own.

    fit_structural(market).ahead(6)

Isometric log-ratios are coordinates of a composition on an orthonormal basis (Egozcue, Pawlowsky-Glahn, Mateu-Figueras and
Barceló-Vidal 2003). Each follows a local level with a damped trend (Harvey 1989, Forecasting, Structural Time Series
Models and the Kalman Filter); the filter runs for all coordinates and a grid of variance ratios at once, the scale solved
away. `best` is the most likely of the grid; draws weigh the grid by likelihood. Noise is correlated across coordinates.
Unlike in `attraction`, one rival may drift while another only jumps about.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import logsumexp

from noria.grow.market.share import Shares
from noria.grow.series.calendars import following
from noria.grow.series.series import Floats

from .attraction import Dynamics, ShareForecast, known_ratios, shares_of

GRID: tuple[Dynamics, ...] = tuple(
    Dynamics(noise, 1.0, slope / (1 - damping**2) if slope else 0.0, slope, damping)
    for noise in (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
    for slope, damping in (
        (0.0, 1.0),
        *((slope, damping) for slope in (0.003, 0.01, 0.03, 0.1, 0.3) for damping in (0.8, 0.95)),
    )
)
"""Patterns of dynamics that a coordinate may follow, variances in units of a period's change of level."""
_DENSITY_DRAWS = 1000


@dataclass(frozen=True)
class Structural:
    """A fitted model of one market's shares; P coordinates, G patterns."""

    market: Shares
    present: tuple[int, ...]
    basis: Floats
    """Log-ratios against the base -> coordinates, (P, P)."""
    means: Floats
    """Level and slope, (G, P, 2)."""
    spreads: Floats
    """Their covariance in units of the scale, (G, 2, 2)."""
    weights: Floats
    """(G, P), summing to one over patterns."""
    scales: Floats
    """Sums of squares behind the scale, (G, P)."""
    freedom: float
    correlation: Floats
    """Between coordinates, (P, P)."""

    @property
    def best(self) -> tuple[Dynamics, ...]:
        """The most likely pattern of each coordinate."""
        return tuple(GRID[int(place)] for place in np.argmax(self.weights, 0))

    def ahead(self, horizon: int, *, draws: int = 2000, seed: int = 0) -> ShareForecast:
        """Return draws of the next `horizon` periods, each a path."""
        random = np.random.default_rng(seed)
        patterns, sigma = self._drawn(draws, random)
        size = len(self.correlation)
        root = np.linalg.cholesky(self.correlation)

        def fresh() -> Floats:
            return np.asarray(random.standard_normal((draws, size)) @ root.T) * sigma

        level, slope, damping, noise = (
            np.array([getattr(pattern, name) for pattern in GRID])[patterns]
            for name in ("level", "slope", "damping", "noise")
        )
        trending = np.array([float(pattern.slope > 0) for pattern in GRID])[patterns]
        place = np.arange(size)
        state, tilt = (self.means[patterns, place, part] for part in (0, 1))
        spread = self.spreads[patterns]
        first, second = fresh(), fresh()
        along = np.sqrt(np.maximum(spread[..., 0, 0], 0.0))
        shared = np.where(along > 0, spread[..., 0, 1] / np.maximum(along, 1e-12), 0.0)
        state = state + along * first
        tilt = tilt + shared * first + np.sqrt(np.maximum(spread[..., 1, 1] - shared**2, 0.0)) * second
        paths = np.empty((draws, horizon, size))
        for step in range(horizon):
            state = state + trending * tilt + np.sqrt(level) * fresh()
            tilt = damping * tilt + np.sqrt(slope) * fresh()
            paths[:, step] = state + np.sqrt(noise) * fresh()
        full = np.zeros((draws, horizon, len(self.market.entities)))
        full[:, :, list(self.present)] = shares_of(paths @ np.linalg.inv(self.basis))
        return ShareForecast(
            tuple(following(self.market.times, horizon)), self.market.entities, full, self.market.provenance.text()
        )

    def log_density(self, ratios: Floats, horizon: int) -> float:
        """Return the log of the density, in log-ratios, that the model gave to what came after `horizon` periods."""
        patterns, sigma = self._for_density
        middles, factors = np.empty((len(GRID), len(self.correlation))), np.empty(len(GRID))
        for place, pattern in enumerate(GRID):
            step, moves, noise = _matrices(pattern)
            mean, spread = self.means[place].T, self.spreads[place]
            for _ in range(horizon):
                mean, spread = step @ mean, step @ spread @ step.T + moves
            middles[place], factors[place] = mean[0], spread[0, 0] + noise
        deviation = sigma * np.sqrt(factors[patterns])
        away = (ratios @ self.basis - middles[patterns, np.arange(patterns.shape[1])]) / deviation
        white = np.linalg.solve(np.linalg.cholesky(self.correlation), away.T)
        each = -0.5 * np.sum(white**2, 0) - np.log(deviation).sum(1) - ratios.size / 2 * np.log(2 * np.pi)
        constant = -0.5 * np.linalg.slogdet(self.correlation)[1] + np.linalg.slogdet(self.basis)[1]
        return float(logsumexp(each) - np.log(_DENSITY_DRAWS) + constant)

    @cached_property
    def _for_density(self) -> tuple[Floats, Floats]:
        return self._drawn(_DENSITY_DRAWS, np.random.default_rng(0))

    def _drawn(self, draws: int, random: np.random.Generator) -> tuple[Floats, Floats]:
        """Return patterns as places in the grid and standard deviations, (draws, P) each."""
        size = self.weights.shape[1]
        sums = np.cumsum(self.weights, 0)
        patterns = np.stack([np.searchsorted(sums[:, k], random.random(draws) * sums[-1, k]) for k in range(size)], 1)
        patterns = np.minimum(patterns, len(GRID) - 1)
        variance = self.scales[patterns, np.arange(size)] / random.chisquare(self.freedom, (draws, 1))
        return patterns, np.sqrt(variance)


def fit_structural(market: Shares) -> Structural:
    """Return the model of a market's shares.

    Raises:
        InputError: shares that overlap, too few whole periods, or a single entity.
    """
    ratios, present, whole = known_ratios(market, market.values)
    basis = isometric(ratios.shape[1])
    return _filtered(market, present, ratios[whole[0] :] @ basis, basis)


def isometric(size: int) -> Floats:
    """Return the matrix from `size` log-ratios against a base to isometric ones, (size, size): pivot coordinates."""
    full = np.zeros((size + 1, size))
    for column in range(size):
        rest = size - column
        full[column, column] = np.sqrt(rest / (rest + 1))
        full[column + 1 :, column] = -1 / np.sqrt(rest * (rest + 1))
    return full[1:]


def _matrices(pattern: Dynamics) -> tuple[Floats, Floats, float]:
    step = np.array([[1.0, 1.0 if pattern.slope else 0.0], [0.0, pattern.damping]])
    return step, np.diag([pattern.level, pattern.slope]), pattern.noise


def _filtered(market: Shares, present: tuple[int, ...], seen: Floats, basis: Floats) -> Structural:
    steps, moves, noises = (np.array(each) for each in zip(*[_matrices(pattern) for pattern in GRID], strict=True))
    size = seen.shape[1]
    means = np.zeros((len(GRID), size, 2))
    means[:, :, 0] = seen[0]
    spreads = np.zeros((len(GRID), 2, 2))
    spreads[:, 0, 0], spreads[:, 1, 1] = noises, [pattern.drift for pattern in GRID]
    squares, sizes = np.zeros((len(GRID), size)), np.zeros(len(GRID))
    surprises, n = [], 0
    for row in seen[1:]:
        means = np.einsum("gst,gpt->gps", steps, means)
        spreads = steps @ spreads @ np.swapaxes(steps, 1, 2) + moves
        if np.isnan(row[0]):
            continue
        factor = spreads[:, 0, 0] + noises
        error = row - means[:, :, 0]
        gain = spreads[:, :, 0] / factor[:, None]
        means = means + gain[:, None, :] * error[..., None]
        spreads = spreads - gain[:, :, None] * gain[:, None, :] * factor[:, None, None]
        squares += error**2 / factor[:, None]
        sizes += np.log(factor)
        surprises.append(error / np.sqrt(factor)[:, None])
        n += 1
    # A weak prior on the scale, worth one change of the size that the coordinates share.
    known = seen[~np.isnan(seen[:, 0])]
    usual = np.mean(np.diff(known, axis=0) ** 2, axis=0)
    scales = squares + np.maximum(0.5 * usual + 0.5 * np.median(usual), 1e-8)
    freedom = n + 1.0
    likelihood = -freedom / 2 * np.log(scales) - 0.5 * sizes[:, None]
    weights = np.exp(likelihood - likelihood.max(0))
    weights = weights / weights.sum(0)
    best = np.argmax(weights, 0)
    white = np.stack(surprises)[:, best, np.arange(size)] / np.sqrt(scales[best, np.arange(size)] / freedom)
    together = white.T @ white / n
    deviations = np.sqrt(np.maximum(np.diag(together), 1e-12))
    shrunk = size / (size + n)  # few observations tell little of many correlations
    correlation = (1 - shrunk) * together / np.outer(deviations, deviations) + shrunk * np.eye(size)
    np.fill_diagonal(correlation, 1.0)
    return Structural(market, present, basis, means, spreads, weights, scales, freedom, correlation)
