"""Many series against one growth curve at once: residuals, the ceiling solved away, and damped Gauss-Newton.

The ceiling enters linearly (even noise) or as a constant in logarithms (proportional noise), so for given shapes its best value is
known in closed form (variable projection, Golub and Pereyra 1973). For a grid of shapes that all series share, the
sums of squares of all of them are one product of matrices; Gauss-Newton steps then polish the best shapes of all series
together (Levenberg 1944; Marquardt 1963).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np
import numpy.typing as npt

from noria.core.messages import Message, message
from noria.grow.series.series import Floats

from .curves import Curve, Periods

Part = Callable[[Floats], Floats]
"""Shapes (..., K) -> part of the ceiling that each value should be, (..., n)."""
Parts = Callable[[Floats], tuple[Floats, Floats]]
"""The same, and its slopes (..., n, K)."""
TINY = 1e-300
LEAST = 1e-40
"""Part of a ceiling below which no curve goes where logarithms are taken: slopes stay numbers."""
FAR = 30.0
"""Bound of an effect of a covariate."""
WIDE = 50.0
"""How far the log of a ceiling may lie from that of what was seen: so far that only numbers' own range forbids more."""


@dataclass(frozen=True)
class Noise:
    """How values scatter about the curve."""

    proportional: bool = False
    """Evenly in logarithms (values stay positive), or evenly as they are."""
    memory: float = 0.0
    """What is left of a deviation one period later."""

    def text(self) -> Message:
        """Return it in words."""
        size = message("forecast.noise.proportional") if self.proportional else message("forecast.noise.even")
        return message("forecast.noise.remembered", size=size, memory=self.memory) if self.memory else size


@dataclass(frozen=True)
class LeastSquares(ABC):
    """S series of n values and what is left over of them at some parameters, K + 1 of them, the last one a log size."""

    values: Floats
    """(S, n), none missing."""
    low: Floats
    """Bounds of the parameters but the last, (K,)."""
    high: Floats
    order: Floats
    """Each series' order of size, (S, 1): the last parameter is looked for around its log."""

    @abstractmethod
    def deviations(self, full: Floats) -> tuple[Floats, Floats]:
        """Return independent deviations (S, n) at parameters (S, K + 1), and their slopes (S, n, K + 1)."""

    def of(self, rows: npt.ArrayLike) -> Self:
        """Return the problem of some rows, which may repeat."""
        places = np.asarray(rows, dtype=int)
        return replace(self, values=self.values[places], order=self.order[places])

    def polish(self, full: Floats, fixed: Floats | None = None, rounds: int = 100) -> tuple[Floats, Floats, Floats]:
        """Return better parameters (S, K + 1), their sums of squares and whether they stand still, (S,) each.

        Args:
            full: where to start: shapes and log ceiling.
            fixed: 1 where a parameter must stay, (S, K + 1).
            rounds: most steps.
        """
        free = np.ones_like(full) if fixed is None else 1 - fixed
        order = np.log(self.order)
        low = np.column_stack([np.tile(self.low, (len(full), 1)), order - WIDE])
        high = np.column_stack([np.tile(self.high, (len(full), 1)), order + WIDE])
        full, damping = full.copy(), np.full(len(full), 1e-3)
        away, slopes = self.deviations(full)
        squares = np.sum(away**2, 1)
        still = np.zeros(len(full), dtype=bool)
        going = np.arange(len(full), dtype=np.intp)
        for _ in range(rounds):
            part = self.of(going)
            step = _step(away[going], slopes[going], free[going], damping[going], full[going], low[going], high[going])
            tried = np.clip(full[going] + step, low[going], high[going])
            their_away, their_slopes = part.deviations(tried)
            with np.errstate(over="ignore", invalid="ignore"):
                theirs = np.sum(their_away**2, 1)
            good = theirs <= squares[going]
            small = np.abs(step).max(1) < 1e-9
            # A better step so small, or no better step to be had however short, is where the search ends.
            level = np.abs(squares[going] - theirs) <= 1e-13 * squares[going]
            ended = level | small | (~good & (damping[going] > 1e8))
            better = going[good]
            full[better], squares[better] = tried[good], theirs[good]
            away[better], slopes[better] = their_away[good], their_slopes[good]
            damping[going] = np.where(good, damping[going] / 7, damping[going] * 5)
            still[going[ended]] = True
            going = going[~ended]
            if not going.size:
                break
        return full, squares, still

    def spread(self, full: Floats) -> Floats:
        """Return the covariance of the parameters in units of the deviations' variance, (S, K + 1, K + 1)."""
        _, slopes = self.deviations(full)
        information = np.einsum("snk,snl->skl", slopes, slopes)
        # A direction that nothing is known of gets a wide spread, not none, as a pseudo-inverse would give it.
        top = np.maximum(np.einsum("skk->sk", information).max(1), TINY)
        return np.asarray(np.linalg.inv(information + (1e-13 * top)[:, None, None] * np.eye(full.shape[1])))


@dataclass(frozen=True)
class Problem(LeastSquares):
    """S series of n values seen at the same times, one curve, one kind of noise: shapes (S, K), then the log ceiling.

    Values are above zero where noise is proportional.
    """

    part: Part
    parts: Parts
    whiten: Floats
    """(n, n): turns deviations into independent ones of one variance."""
    noise: Noise

    @property
    def log_volume(self) -> float:
        """Log of the density's scale between deviations and independent ones."""
        return float(np.log(np.diag(self.whiten)).sum())

    def solved(self, shapes: Floats) -> tuple[Floats, Floats]:
        """Return the log of the best ceiling and the sum of squares for shapes (S, ..., K): (S, ...) each."""
        part = self.part(shapes)
        values = self.values.reshape(len(self.values), *[1] * (part.ndim - 2), -1)
        if self.noise.proportional:
            away = (np.log(values) - np.log(np.maximum(part, LEAST))) @ self.whiten.T
            unit = self.whiten.sum(1)
            ceiling = np.clip(away @ unit / (unit @ unit), *self._ceilings(part.ndim - 1))
            return ceiling, np.sum((away - ceiling[..., None] * unit) ** 2, -1)
        seen, curve = values @ self.whiten.T, part @ self.whiten.T
        size = np.maximum(np.sum(curve**2, -1), TINY)
        level = np.log(np.maximum(np.sum(seen * curve, -1) / size, TINY))
        level = np.clip(level, *self._ceilings(part.ndim - 1))
        return level, np.sum((seen - np.exp(level)[..., None] * curve) ** 2, -1)

    def _ceilings(self, axes: int) -> tuple[Floats, Floats]:
        """Return the bounds of the log ceiling, for arrays of so many axes."""
        order = np.log(self.order).reshape(-1, *[1] * (axes - 1))
        return order - WIDE, order + WIDE

    def scan(self, shapes: Floats) -> Floats:
        """Return the sums of squares of all series for a grid of shapes (G, K) that they share, (S, G)."""
        part = self.part(shapes)
        if self.noise.proportional:
            unit = self.whiten.sum(1)
            unit = unit / np.sqrt(unit @ unit)
            seen, curve = np.log(self.values) @ self.whiten.T, np.log(np.maximum(part, LEAST)) @ self.whiten.T
            seen, curve = seen - np.outer(seen @ unit, unit), curve - np.outer(curve @ unit, unit)
            found = np.sum(seen**2, 1)[:, None] + np.sum(curve**2, 1) - 2 * seen @ curve.T
        else:
            seen, curve = self.values @ self.whiten.T, part @ self.whiten.T
            size = np.maximum(np.sum(curve**2, 1), TINY)
            found = np.sum(seen**2, 1)[:, None] - np.maximum(seen @ curve.T, 0.0) ** 2 / size
        return np.asarray(np.maximum(found, 0.0), dtype=np.float64)

    def deviations(self, full: Floats) -> tuple[Floats, Floats]:
        """Return independent deviations (S, n) at shapes and log ceiling (S, K + 1), and their slopes (S, n, K + 1)."""
        part, slopes = self.parts(full[:, :-1])
        if self.noise.proportional:
            part = np.maximum(part, LEAST)
            away = np.log(self.values) - full[:, -1:] - np.log(part)
            steep = np.concatenate([slopes / part[..., None], np.ones((*part.shape, 1))], -1)
        else:
            ceiling = np.exp(full[:, -1:])
            away = self.values - ceiling * part
            steep = ceiling[..., None] * np.concatenate([slopes, part[..., None]], -1)
        return away @ self.whiten.T, -np.einsum("nm,smk->snk", self.whiten, steep)


def problem_of(curve: Curve, periods: Periods, values: Floats, noise: Noise) -> Problem:
    """Return the problem of series (S, n) without missing values."""
    gaps = np.diff(periods.ends)
    whiten = np.eye(len(values[0]))
    if noise.memory:
        kept = noise.memory**gaps
        root = np.sqrt(1 - kept**2)
        for row, (left, scale) in enumerate(zip(kept, root, strict=True), 1):
            whiten[row, row], whiten[row, row - 1] = 1 / scale, -left / scale
    first, last = float(periods.ends[0]) - periods.flow, float(periods.ends[-1])
    bounds = curve.box(first, last)
    corners = np.array([[a, b] for a in bounds[0] for b in bounds[1]])
    shapes = curve.placed(corners)
    effects = np.full(periods.effects, FAR)
    low, high = np.append(shapes.min(0), -effects), np.append(shapes.max(0), effects)
    order = np.sum(np.abs(values), 1, keepdims=True) if periods.flow else np.abs(values[:, -1:])
    part, parts = partial(periods.part, curve), partial(periods.parts, curve)
    return Problem(values, low, high, np.maximum(order, TINY), part, parts, whiten, noise)


def started(problem: Problem, curve: Curve, periods: Periods, size: int = 36) -> Floats:
    """Return where to start, (S, K + 1): the best of a grid of shapes over all that the curve can be."""
    first, last = float(periods.ends[0]) - periods.flow, float(periods.ends[-1])
    axes = [np.linspace(low, high, size) for low, high in curve.box(first, last)]
    grid = curve.placed(np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2))
    grid = np.concatenate([grid, np.zeros((len(grid), periods.effects))], 1)
    best = grid[np.argmin(problem.scan(grid), 1)]
    ceiling, _ = problem.solved(best)
    return np.column_stack([best, ceiling])


def _step(
    away: Floats, slopes: Floats, free: Floats, damping: Floats, full: Floats, low: Floats, high: Floats
) -> Floats:
    """Return damped Gauss-Newton steps; what is fixed, or would leave through a bound, stays."""
    gradient = np.einsum("snk,sn->sk", slopes, away) * free
    held = ((full <= low) & (gradient > 0)) | ((full >= high) & (gradient < 0))
    free = free * ~held
    slopes = slopes * free[:, None]
    curved = np.einsum("snk,snl->skl", slopes, slopes)
    diagonal = np.einsum("skk->sk", curved)
    # Marquardt's scale, with a floor so that a flat direction is damped as well.
    scale = damping[:, None] * np.maximum(diagonal, 1e-10 * diagonal.max(1, keepdims=True)) + (1 - free) + TINY
    curved = curved + scale[..., None] * np.eye(full.shape[1])
    return np.asarray(np.clip(_solved(curved, -gradient * free), -2.0, 2.0))


def _solved(matrices: Floats, right: Floats) -> Floats:
    """Return what solves each system of a batch; the shortest of all that do where the matrix has no inverse.

    A damping that many good steps made small leaves two parameters that move the curve alike with one direction between them.
    """
    try:
        return np.asarray(np.linalg.solve(matrices, right[..., None])[..., 0])
    except np.linalg.LinAlgError:
        found = np.full_like(right, np.nan)
        for place in np.flatnonzero(np.isfinite(matrices).all((1, 2))):
            found[place] = np.linalg.pinv(matrices[place], hermitian=True) @ right[place]
        return found
