"""Generations of a product that replace one another: Norton-Bass, fitted to what is in use of each.

    model = fit_generations(in_use, launches=[0, 24, 60])      # in_use (periods, generations)
    model.figures(); model.expected(12)

Each generation spreads as Bass does from its launch, and draws from the one before: S_g = F_g Y_g (1 - F_g+1), with
Y_1 = m_1 and Y_g = m_g + F_g-1 Y_g-1 (Norton and Bass 1987, A diffusion theory model of adoption and substitution for successive
generations, equations 3 to 5). For given p and q this is linear in the markets m that each generation adds, which are
found by least squares without going below zero; so shares of what is in use are never negative and saturate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares, nnls
from scipy.stats import t as t_distribution

from noria.core.errors import InputError
from noria.core.figure import Figure
from noria.core.messages import as_is, message
from noria.grow.forecast.levels.curves import BASS
from noria.grow.series.series import Floats

LOW, HIGH = np.log([1e-7, 1e-4]), np.log([0.5, 4.0])
"""Bounds of log p and log q, a period's."""
_STARTS = tuple((p, q) for p in (1e-4, 1e-3, 0.01, 0.03) for q in (0.03, 0.1, 0.3, 0.8))
UNTOLD = 0.5
"""Standard error of a parameter's logarithm above which it is called not identified: an interval of a factor of 2.3 either way."""


@dataclass(frozen=True)
class Generations:
    """A fitted model; G generations."""

    launches: Floats
    """(G,), in periods; the first value seen is at time 1."""
    rates: Floats
    """p and q of each generation, (G, 2)."""
    markets: Floats
    """What each generation adds to the market, (G,)."""
    errors: Floats
    """Standard errors of the logarithms of p, q and market, (G, 3); those of shared rates repeat."""
    covariance: Floats
    """Of those logarithms, each once: p and q pair by pair, then the markets."""
    shared: bool
    """Whether all generations have the same p and q."""
    residual: float
    """Standard deviation of what is left over, in the values' unit."""
    last: float
    n: int
    freedom: int
    converged: bool
    names: tuple[str, ...]
    source: str = ""

    def expected(self, horizon: int) -> Floats:
        """Return what will be in use, (horizon, G)."""
        return self.at(self.last + np.arange(1.0, horizon + 1))

    def at(self, times: Floats) -> Floats:
        """Return what is in use at some times, (T, G)."""
        return in_use(self.rates, self.markets, self.launches, times)

    def figures(self, level: float = 0.9) -> list[Figure]:
        """Return p, q and market of every generation with intervals (normal in the logarithm, Student's t)."""
        half = float(t_distribution.ppf((1 + level) / 2, max(self.freedom, 1)))
        found = []
        for place, name in enumerate(self.names):
            for column, what in enumerate(("p", "q", "market")):
                if self.shared and place and column < 2:
                    continue
                value = float(np.append(self.rates[place], self.markets[place])[column])
                error = float(self.errors[place, column])
                known = value > 0 and np.isfinite(error) and error <= UNTOLD
                told = message("forecast.market") if what == "market" else as_is(what)
                label = told if self.shared and column < 2 else message("forecast.of_generation", what=told, name=name)
                low, high = (value * np.exp(-half * error), value * np.exp(half * error)) if known else (None, None)
                found.append(
                    Figure(
                        label,
                        value,
                        self.n,
                        None if low is None else float(low),
                        None if high is None else float(high),
                        source=self.source,
                        level=level,
                        note="" if known else message("forecast.not_identified"),
                    )
                )
        return found


def in_use(rates: Floats, markets: Floats, launches: Floats, times: Floats) -> Floats:
    """Return what is in use of each generation, (..., T, G), for p and q (..., G, 2), markets (..., G) and launches (G,)."""
    return np.asarray(np.einsum("...tgk,...k->...tg", _design(np.log(rates), launches, times), markets))


def fit_generations(
    values: Floats | Sequence[Sequence[float]],
    launches: Sequence[float],
    *,
    shared: bool = True,
    names: Sequence[str] = (),
    source: str = "",
) -> Generations:
    """Return Norton-Bass fitted by least squares to what was in use of each generation.

    Args:
        values: (periods, generations) in order of launch; nan where unknown, 0 before a launch.
        launches: each generation's launch in periods, the first value being at time 1; may be before it.
        shared: one p and q for all generations, as Norton and Bass have it, or one pair each.
        names: of the generations.
        source: of the values.

    Raises:
        InputError: launches that do not rise or do not match, negative values, or too few of them.
    """
    table, starts = _checked(values, launches)
    count = table.shape[1]
    pairs = 1 if shared else count
    seen = ~np.isnan(table)
    freedom = int(seen.sum()) - 2 * pairs - count
    if freedom < 2 or (np.nan_to_num(table).max(0) <= 0).any():
        raise InputError(
            message("grow.too_few_values"),
            found=int(seen.sum()),
            allowed=message("grow.more_some", value=2 * pairs + count + 2),
        )
    times = np.arange(1.0, len(table) + 1)
    scale = float(np.nanmax(table))

    def solved(logs: Floats) -> tuple[Floats, Floats]:
        rates = np.broadcast_to(logs.reshape(pairs, 2), (count, 2))
        design = _design(rates, starts, times)[seen]
        markets, _ = nnls(design, table[seen] / scale)
        return markets, design @ markets - table[seen] / scale

    bounds = (np.tile(LOW, pairs), np.tile(HIGH, pairs))
    begun = sorted(
        (np.tile(np.log(pair), pairs) for pair in _STARTS), key=lambda logs: float(np.sum(solved(logs)[1] ** 2))
    )
    tried = [least_squares(lambda logs: solved(logs)[1], start, bounds=bounds, x_scale=1.0) for start in begun[:3]]
    best = min(tried, key=lambda one: float(one.cost))
    markets, left = solved(best.x)
    sigma = float(np.sqrt(left @ left / freedom))
    rates = np.exp(np.broadcast_to(best.x.reshape(pairs, 2), (count, 2)))
    covariance, errors = _spread(
        best.x,
        markets,
        lambda logs, sizes: _design(np.broadcast_to(logs.reshape(pairs, 2), (count, 2)), starts, times)[seen] @ sizes,
        sigma,
    )
    spread = np.column_stack([np.broadcast_to(errors[: 2 * pairs].reshape(pairs, 2), (count, 2)), errors[2 * pairs :]])
    told = tuple(names) or tuple(f"generation {place + 1}" for place in range(count))
    return Generations(
        starts,
        rates,
        markets * scale,
        spread,
        covariance,
        shared,
        sigma * scale,
        float(times[-1]),
        int(seen.sum()),
        freedom,
        bool(best.success),
        told,
        source,
    )


def _checked(values: Floats | Sequence[Sequence[float]], launches: Sequence[float]) -> tuple[Floats, Floats]:
    table = np.asarray(values, dtype=np.float64)
    starts = np.asarray(launches, dtype=np.float64)
    if table.ndim != 2 or starts.shape != table.shape[1:] or (np.diff(starts) <= 0).any():
        raise InputError(
            message("grow.generations_need"),
            found=starts.tolist(),
            allowed=message("grow.launches", shape=table.shape[-1]),
        )
    if np.nanmin(table, initial=0.0) < 0:
        raise InputError(message("grow.what_use"), found=float(np.nanmin(table)))
    return table, starts


def _design(logs: Floats, launches: Floats, times: Floats) -> Floats:
    """Return what one unit of each generation's market gives each generation in use, (..., T, G, G)."""
    count = len(launches)
    reached = np.stack([BASS.part(logs[..., place, :], times - launches[place]) for place in range(count)], -1)
    leaving = np.concatenate([1 - reached[..., 1:], np.ones_like(reached[..., :1])], -1)
    design = np.zeros((*reached.shape, count))
    for source in range(count):
        moved = np.ones_like(reached[..., 0])
        for place in range(source, count):
            design[..., place, source] = reached[..., place] * leaving[..., place] * moved
            moved = moved * reached[..., place]
    return design


def _spread(logs: Floats, markets: Floats, model: object, sigma: float) -> tuple[Floats, Floats]:
    """Return covariance and standard errors of all logarithms from the slopes at the best fit; infinite where a market is nothing."""
    assert callable(model)
    full = np.append(logs, np.log(np.maximum(markets, 1e-12)))
    pairs = len(logs)
    slopes = []
    for place in range(len(full)):
        step = np.zeros(len(full))
        step[place] = 1e-5
        up, down = full + step, full - step
        slopes.append((model(up[:pairs], np.exp(up[pairs:])) - model(down[:pairs], np.exp(down[pairs:]))) / 2e-5)
    table = np.stack(slopes, 1)
    information = table.T @ table
    # A direction that nothing is known of gets a wide spread, not none, as a pseudo-inverse would give it.
    covariance = np.linalg.inv(information + 1e-13 * np.diag(information).max() * np.eye(len(full))) * sigma**2
    flat = np.sum(table**2, 0) < 1e-16
    return covariance, np.where(flat, np.inf, np.sqrt(np.maximum(np.diag(covariance), 0.0)))
