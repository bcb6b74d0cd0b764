"""Generations of a product that replace one another: Norton-Bass, fitted to what is in use of each.

    model = fit_generations(in_use, launches=[0, 24, 60])      # in_use (periods, generations)
    model.figures(); model.expected(12)

Each generation spreads as Bass does from its launch, and draws from the one before: S_g = F_g Y_g (1 - F_g+1), with
Y_1 = m_1 and Y_g = m_g + F_g-1 Y_g-1 (Norton and Bass 1987, A diffusion theory model of adoption and substitution for successive
generations, equations 3 to 5). For given p and q this is linear in the markets m that each generation adds, which are
found by least squares without going below zero; so shares of what is in use are never negative and saturate. Intervals are
profile likelihood, all other parameters being fitted anew at each end; before its launch a generation tells nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares, nnls

from noria.core.errors import InputError
from noria.core.figure import Figure
from noria.core.messages import Message, as_is, message
from noria.grow.forecast.levels.adoption import limits
from noria.grow.forecast.levels.curves import BASS
from noria.grow.forecast.levels.problem import LeastSquares
from noria.grow.series.series import Floats

LOW, HIGH = np.log([1e-7, 1e-4]), np.log([0.5, 4.0])
"""Bounds of log p and log q, a period's."""
_STARTS = tuple((p, q) for p in (1e-4, 1e-3, 0.01, 0.03) for q in (0.03, 0.1, 0.3, 0.8))
UNTOLD = 0.5
"""Standard error of a parameter's logarithm beyond which it is not drawn: an interval of a factor of 2.3 either way."""
_NOTHING = 1e-12
"""Of all that is in use: a market as small as this is none."""
MANIFOLD = float(np.log(1e4))
"""How much more than all in use a market may be, or how much less, in logarithms, before its interval is called open."""


@dataclass(frozen=True)
class Generations:
    """A fitted model; G generations."""

    launches: Floats
    """(G,), in periods; the first value seen is at time 1."""
    rates: Floats
    """p and q of each generation, (G, 2)."""
    markets: Floats
    """What each generation adds to the market, (G,)."""
    problem: Replacement
    logs: Floats
    """The logarithms of all parameters, each once: p and q pair by pair, then the markets."""
    covariance: Floats
    """Of those logarithms, from the slopes at the best fit."""
    shared: bool
    """Whether all generations have the same p and q."""
    residual: float
    """Standard deviation of what is left over, in the values' unit."""
    scale: float
    """Of the problem: its values are those seen over this."""
    lasting: float
    """Part of what is left over that is left one period later."""
    last: float
    n: int
    """Values seen since the launches."""
    converged: bool
    names: tuple[str, ...]
    source: str = ""

    def expected(self, horizon: int) -> Floats:
        """Return what will be in use, (horizon, G)."""
        return self.at(self.last + np.arange(1.0, horizon + 1))

    def at(self, times: Floats) -> Floats:
        """Return what is in use at some times, (T, G)."""
        return in_use(self.rates, self.markets, self.launches, times)

    def intervals(self, level: float = 0.9) -> Floats:
        """Return the ends of each logarithm's profile-likelihood interval, (K, 2), infinite where the data leave it open.

        Bates and Watts 1988, as for growth curves; what is left over counts for the less the longer it lasts.
        """
        squares = float(np.sum(self.problem.deviations(self.logs[None])[0] ** 2))
        ends = limits(self.problem, self.logs, squares, level, np.zeros((2, 2)), self.lasting)
        ends[-len(self.names) :] += np.log(self.scale)
        return ends

    def notes(self) -> list[Message]:
        """Return what is to be known with the intervals: that what the curves leave over lasts, where most of it does."""
        return [message("forecast.left_over_lasts", lasting=self.lasting)] if self.lasting > 0.5 else []

    def figures(self, level: float = 0.9) -> list[Figure]:
        """Return p, q and market of every generation with intervals; an open end is none, and makes it not identified."""
        pairs = 1 if self.shared else len(self.names)

        def named(what: Message, name: str) -> Message:
            return message("forecast.of_generation", what=what, name=name)

        rates = [
            [as_is(what) if self.shared else named(as_is(what), name) for what in ("p", "q")]
            for name in self.names[:pairs]
        ]
        labels = [*itertools.chain(*rates), *(named(message("forecast.market"), name) for name in self.names)]
        values = np.append(self.rates[:pairs].ravel(), self.markets)
        found = [
            Figure(
                label,
                float(value),
                self.n,
                float(np.exp(low)),
                float(np.exp(high)) if np.isfinite(high) else None,
                source=self.source,
                level=level,
                note="" if np.isfinite(low) and np.isfinite(high) else message("forecast.not_identified"),
            )
            for label, value, (low, high) in zip(labels, values, self.intervals(level), strict=True)
        ]
        if self.shared:
            return found
        places = [place for row in range(pairs) for place in (2 * row, 2 * row + 1, 2 * pairs + row)]
        return [found[place] for place in places]


@dataclass(frozen=True)
class Replacement(LeastSquares):
    """What is in use of G generations that replace one another, at the times since their launches, as one row of n values."""

    launches: Floats
    times: Floats
    seen: npt.NDArray[np.bool_]
    """(T, G)."""
    pairs: int
    """Of p and q: one, or one a generation."""

    def deviations(self, full: Floats) -> tuple[Floats, Floats]:
        """Return what is left over, (S, n), at the logarithms of rates and markets (S, K), and its slopes (S, n, K)."""
        size, count, width = len(full), len(self.launches), full.shape[1]
        rates = full[:, : 2 * self.pairs].reshape(size, self.pairs, 2)
        markets = np.exp(full[:, 2 * self.pairs :])
        reached, slopes = [], []
        for place, launch in enumerate(self.launches):
            pair = place if self.pairs > 1 else 0
            part, slope, _ = BASS.reach(rates[:, pair], self.times - launch)
            wide = np.zeros((*part.shape, width))
            wide[..., 2 * pair : 2 * pair + 2] = slope
            reached.append(part)
            slopes.append(wide)
        potential, steep = np.zeros_like(reached[0]), np.zeros_like(slopes[0])
        values, rises = np.empty((*potential.shape, count)), np.empty((*potential.shape, count, width))
        before, before_steep = potential, steep
        for place in range(count):
            potential = markets[:, place, None] + before
            steep = before_steep.copy()
            steep[..., 2 * self.pairs + place] += markets[:, place, None]
            part, slope = reached[place], slopes[place]
            before = part * potential
            before_steep = slope * potential[..., None] + part[..., None] * steep
            values[..., place], rises[..., place, :] = before, before_steep
            if place + 1 < count:
                staying = 1 - reached[place + 1]
                values[..., place] = before * staying
                rises[..., place, :] = before_steep * staying[..., None] - before[..., None] * slopes[place + 1]
        return self.values - values[:, self.seen], -rises[:, self.seen]


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
    times = np.arange(1.0, len(table) + 1)
    # Before its launch nothing is in use of a generation whatever the parameters are: such zeros tell nothing, and count for nothing.
    seen = ~np.isnan(table) & (times[:, None] > starts)
    freedom = int(seen.sum()) - 2 * pairs - count
    if freedom < 2 or (np.nan_to_num(table).max(0) <= 0).any():
        raise InputError(
            message("grow.too_few_values"),
            found=int(seen.sum()),
            allowed=message("grow.more_some", value=2 * pairs + count + 2),
        )
    scale = float(np.nanmax(table[seen]))

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
    sizes = np.log(np.maximum(markets, _NOTHING))
    bound = np.full(count - 1, MANIFOLD)
    problem = Replacement(
        table[seen][None] / scale,
        np.concatenate([np.tile(LOW, pairs), -bound]),
        np.concatenate([np.tile(HIGH, pairs), bound]),
        np.ones((1, 1)),
        starts,
        times,
        seen,
        pairs,
    )
    logs = np.append(best.x, sizes)
    covariance = problem.spread(logs[None])[0] * sigma**2
    told = tuple(names) or tuple(f"generation {place + 1}" for place in range(count))
    return Generations(
        starts,
        rates,
        markets * scale,
        problem,
        logs,
        covariance,
        shared,
        sigma * scale,
        scale,
        lasting_of(np.where(seen, table - in_use(rates, markets * scale, starts, times), np.nan)),
        float(times[-1]),
        int(seen.sum()),
        bool(best.success),
        told,
        source,
    )


LASTING = 0.995
"""Most of a residual that is left one period later: at 1 nothing would ever come back to the curve."""


def lasting_of(left: Floats) -> float:
    """Return the part of a residual that is left one period later, of all generations together, (T, G) with nan for unknown."""
    before, after = left[:-1], left[1:]
    both = ~np.isnan(before) & ~np.isnan(after)
    size = float(np.sum(before[both] ** 2))
    return float(np.clip(np.sum(before[both] * after[both]) / size, 0.0, LASTING)) if size > 0 else 0.0


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
