"""What the data leave open of a growth curve: weighted shapes on a grid around the best ones, and futures drawn from them.

The ceiling and the size of the noise are integrated out exactly. Before anything was seen, the part of the ceiling that
is reached by now may be any, none to all alike, so that a ceiling over ten times of what is there has one chance in ten
(Gott 1993, Implications of the Copernican principle for our future prospects); shapes are even over what a curve can be.
Where the data know better, this hardly matters; where they do not, it keeps a ceiling from running away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from noria.grow.series.series import Floats

from .curves import Curve, Periods
from .outlook import Outlook, natural
from .problem import LEAST, TINY, WIDE, Problem

REACH = 4.0
"""Half the grid's width, in standard deviations."""
SIZES = {2: 15, 3: 11, 4: 9}
"""Shape parameters -> points a side, where one series is looked at closely."""
FEW = {2: 9, 3: 7, 4: 5}
"""The same, where a median for each of thousands is asked."""
ROUNDS = 3
"""Times that the grid is laid anew where the weight was found."""


@dataclass(frozen=True)
class Population:
    """Where the shapes of many series lie: a normal distribution that they share."""

    mean: Floats
    """(K,)."""
    covariance: Floats
    """(K, K)."""

    def log_density(self, shapes: Floats) -> Floats:
        """Return the log density of shapes (..., K), but for a constant."""
        off = shapes - self.mean
        return np.asarray(-0.5 * np.einsum("...k,kj,...j->...", off, np.linalg.inv(self.covariance), off))


@dataclass(frozen=True)
class Nodes:
    """Weighted shapes of S series, C each; K numbers of shape."""

    problem: Problem
    curve: Curve
    periods: Periods
    shapes: Floats
    """(S, C, K)."""
    weights: Floats
    """(S, C), summing to one."""
    ceilings: Floats
    """Logs of the best ceilings, (S, C)."""
    steps: Floats
    """Edges of a grid's cell, (S, K, K), a row each."""
    evidence: Floats
    """Log of the data's density under this curve and noise, (S,)."""

    def expected(self, future: Periods) -> Floats:
        """Return the weighted median of the curve at future times, (S, H)."""
        part = future.part(self.curve, self.shapes)
        values = np.exp(self.ceilings)[..., None] * part
        return _weighted_median(values, self.weights)

    def draw(self, future: Periods, count: int, random: np.random.Generator, row: int = 0) -> Outlook:
        """Return draws of one series' future, (count, H)."""
        problem = self.problem.of(np.array([row]))
        shapes = self._shapes(problem, count, random, row)
        ceiling, squares = problem.solved(shapes)
        n = problem.values.shape[1]
        spread = np.sqrt(np.maximum(squares[0], TINY) / random.chisquare(n - 1, count))
        part = self.periods.part(self.curve, shapes)
        ahead = future.part(self.curve, shapes)
        memory = problem.noise.memory
        gaps = future.ends - self.periods.ends[-1]
        kept = memory**gaps if memory else np.zeros(len(gaps))
        if problem.noise.proportional:
            unit = problem.whiten.sum(1)
            level = ceiling[0] + spread / np.sqrt(unit @ unit) * random.standard_normal(count)
            expected = level[:, None] + np.log(np.maximum(ahead[0], LEAST))
            last = np.log(problem.values[0, -1]) - level - np.log(np.maximum(part[0, :, -1], LEAST))
        else:
            curve = part[0] @ problem.whiten.T
            size = np.sqrt(np.maximum(np.sum(curve**2, 1), TINY))
            linear = np.maximum(np.exp(ceiling[0]) + spread / size * random.standard_normal(count), 0.0)
            expected = linear[:, None] * ahead[0]
            last = problem.values[0, -1] - linear * part[0, :, -1]
        centre = expected + kept * last[:, None]
        scale = spread[:, None] * np.sqrt(1 - kept**2)
        value = centre + spread[:, None] * _memory_noise(gaps, memory, count, random)
        if problem.noise.proportional:
            return Outlook(natural(value), natural(centre), scale, np.ones(count))
        return Outlook(np.maximum(value, 0.0), centre, scale, np.zeros(count))

    def _shapes(self, problem: Problem, count: int, random: np.random.Generator, row: int) -> Floats:
        """Return shapes drawn from the posterior, (1, count, K): from the cells, then again by what each point itself is worth."""
        tries = 3 * count
        places = random.choice(self.weights.shape[1], tries, p=self.weights[row])
        jitter = random.uniform(-0.5, 0.5, (tries, self.shapes.shape[2]))
        shapes = (self.shapes[row, places] + jitter @ self.steps[row])[None]
        _, worth = _weighed(problem, shapes)
        _, middle = _weighed(problem, self.shapes[row, places][None])
        ratio = np.clip(
            worth[0] - middle[0], -700, 0
        )  # a cell's weight is that of its middle, which is nearly its best
        chances = np.exp(ratio) / np.exp(ratio).sum()
        return np.asarray(shapes[:, random.choice(tries, count, p=chances)], dtype=np.float64)


def weighted_nodes(
    problem: Problem,
    curve: Curve,
    periods: Periods,
    full: Floats,
    sizes: Mapping[int, int] = SIZES,
    population: Population | None = None,
) -> Nodes:
    """Return weighted shapes around the best parameters (S, K + 1), and where one is given, likely in the population."""
    count = problem.low.size
    n = problem.values.shape[1]
    side = np.linspace(-REACH, REACH, sizes[count])
    cells = np.stack(np.meshgrid(*[side] * count, indexing="ij"), -1).reshape(-1, count)
    _, squares = problem.solved(full[:, None, :-1])
    sigma = squares[:, 0] / max(n - count - 1, 1)
    centre, spread = full[:, :-1], problem.spread(full)[:, :-1, :-1] * sigma[:, None, None]
    for _ in range(ROUNDS):
        steps = _axes(spread, problem) * (side[1] - side[0])
        shapes = centre[:, None] + np.einsum("ck,skj->scj", cells / (side[1] - side[0]), steps)
        ceilings, log_weights = _weighed(problem, shapes)
        if population is not None:
            log_weights = log_weights + population.log_density(shapes)
        top = log_weights.max(1, keepdims=True)
        weights = np.exp(log_weights - top)
        total = weights.sum(1, keepdims=True)
        weights = weights / total
        centre = np.einsum("sc,sck->sk", weights, shapes)
        off = shapes - centre[:, None]
        # What a cell's own width adds keeps a grid that was too coarse from shrinking to a point at once.
        spread = np.einsum("sc,sck,scj->skj", weights, off, off) + np.einsum("sik,sij->skj", steps, steps) / 12
    volume = np.abs(np.linalg.det(steps))
    evidence = (
        top[:, 0] + np.log(total[:, 0]) + np.log(np.maximum(volume, TINY)) - np.log(np.prod(problem.high - problem.low))
    )
    return Nodes(problem, curve, periods, shapes, weights, ceilings, steps, evidence)


def _axes(spread: Floats, problem: Problem) -> Floats:
    """Return the standard deviations' axes, (S, K, K), a row each, none longer than takes the grid over all that is allowed."""
    values, vectors = np.linalg.eigh(spread)
    wide = np.einsum("skj,k->sj", np.abs(vectors), problem.high - problem.low) / REACH
    lengths = np.clip(np.sqrt(np.maximum(values, 0.0)), 1e-7 * wide, wide)
    return np.swapaxes(vectors * lengths[:, None], 1, 2)


def _weighed(problem: Problem, shapes: Floats) -> tuple[Floats, Floats]:
    """Return the log ceilings and the log of posterior density times the prior's constant, (S, C) each."""
    n = problem.values.shape[1]
    inside = np.all((shapes >= problem.low) & (shapes <= problem.high), -1)
    shapes = np.clip(shapes, problem.low, problem.high)
    ceilings, squares = problem.solved(shapes)
    if problem.noise.proportional:
        unit = problem.whiten.sum(1)
        size, scale = unit @ unit, np.var(np.log(problem.values), axis=1, keepdims=True)
        change = -np.log(problem.values).sum(1, keepdims=True)
        prior = np.log(problem.order) - ceilings
    else:
        reached = np.sum((problem.part(shapes) @ problem.whiten.T) ** 2, -1)
        size = np.maximum(reached, TINY)
        inside &= reached > np.exp(-2 * WIDE)  # or the ceiling would lie beyond that end, which TINY hides
        scale = np.mean(problem.values**2, axis=1, keepdims=True)
        change, prior = 0.0, np.log(problem.order) - 2 * ceilings
    floor = np.maximum(1e-10 * n * scale, TINY)
    likelihood = -(n - 1) / 2 * np.log(np.maximum(squares, floor)) - 0.5 * np.log(size)
    # A ceiling at the end of what numbers can hold stands for a curve that says nothing of the values.
    inside &= np.abs(ceilings - np.log(problem.order)) < WIDE - 1e-6
    constant = float(gammaln((n - 1) / 2)) - (n - 1) / 2 * np.log(np.pi) - np.log(2.0) + problem.log_volume + change
    return ceilings, np.where(inside, likelihood + prior + constant, -1e300)


def _memory_noise(gaps: Floats, memory: float, count: int, random: np.random.Generator) -> Floats:
    """Return noise of variance one that remembers itself, beginning at nothing, (count, H)."""
    fresh = random.standard_normal((count, len(gaps)))
    if not memory:
        return fresh
    noise = np.empty_like(fresh)
    now = np.zeros(count)
    for place, gap in enumerate(np.diff(gaps, prepend=0.0)):
        kept = memory**gap
        now = kept * now + np.sqrt(1 - kept**2) * fresh[:, place]
        noise[:, place] = now
    return noise


def _weighted_median(values: Floats, weights: Floats) -> Floats:
    """Return the medians of values (S, C, H) with weights (S, C), (S, H)."""
    order = np.argsort(values, 1)
    sorted_values = np.take_along_axis(values, order, 1)
    sums = np.cumsum(np.take_along_axis(np.broadcast_to(weights[..., None], values.shape), order, 1), 1)
    place = np.argmax(sums >= 0.5, 1)
    return np.asarray(np.take_along_axis(sorted_values, place[:, None], 1)[:, 0])


ENOUGH = 20
"""Series below which nothing is shared: so few tell too little of a spread."""
POOLING_ROUNDS = 30
_NARROWEST = 0.02
"""Standard deviation that the population is not narrower than, in the shapes' own units: nodes are no finer."""


def population_of(many: Sequence[tuple[Floats, Nodes]], size: int) -> Population:
    """Return the distribution of shapes, from groups of series (their rows among `size`, and nodes); a row may be in several groups.

    Empirical Bayes by expectation maximisation over the series' weighted nodes (Dempster, Laird and Rubin 1977): a series
    that tells its shape well moves the shared distribution, one that has not turned yet leans on it.
    """
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
    for _ in range(POOLING_ROUNDS):
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
