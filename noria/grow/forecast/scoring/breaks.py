"""Breaks that the data tell: a jump, a shift of the level, or a change of pace or noise, with a stated rate of false alarms.

    breaks_of(np.log(values)[:, None], alarm=0.05)        # [Break(row=28, column=0, kind="level", p=0.004)]

A series of T values is taken as a level that walks and is seen with noise (an ARIMA(0, 1, 1), by conditional least squares); what is
left is tested three ways, each at a third of the rate, and that divided by the columns:

- jump: the largest residual over the median absolute one, held to what residuals of Student's t with 5 degrees of freedom show;
- level: the likelihood ratio of one lasting shift against none (as Chen and Liu 1993, Joint estimation of model parameters and outlier
  effects), the memory estimated under each;
- regime: the likelihood ratio of one mean and variance against two, at the best place (as Inclán and Tiao 1994 for variances).

The last two are held to the same statistic of the residuals in random order (999 times): their rate of false alarms holds for noise of any
shape. A break that is found cuts the series, and each side is searched anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from noria.grow.series.series import Floats

ALARM = 0.05
"""Part of series without a break in which one may be found."""
SHORTEST = 10
"""Changes below which a stretch is not searched."""
_EDGE = 5
"""Changes on either side of a change of regime, at least."""
_LONGEST = 200
_PERMUTATIONS = 999
_FREEDOM = 5
_MEMORIES = (-0.98, -0.9, -0.8, -0.7, -0.6, -0.5, -0.35, -0.2, 0.0, 0.2, 0.5)
_DEPTH = 2

Kind = Literal["jump", "level", "regime", "marked"]


@dataclass(frozen=True)
class Break:
    """A break between a row and the one before."""

    row: int
    column: int
    kind: Kind
    p: float
    """Part of series without a break that would show as much; 0 for one that was marked by hand."""


def breaks_of(values: Floats, *, alarm: float = ALARM, seed: int = 0) -> list[Break]:
    """Return the breaks of each column of values (T, K), nan where missing, in order of time."""
    columns = values.shape[1]
    found: list[Break] = []
    for column in range(columns):
        rows = np.flatnonzero(~np.isnan(values[:, column]))[-_LONGEST:]
        random = np.random.default_rng(seed + column)
        places = _searched(values[rows, column], alarm / max(columns, 1), random, _DEPTH)
        found += [Break(int(rows[place]), column, kind, p) for place, kind, p in places]
    return sorted(found, key=lambda each: (each.row, each.column))


def _searched(values: Floats, alarm: float, random: np.random.Generator, depth: int) -> list[tuple[int, Kind, float]]:
    """Return places of breaks among values, kinds and p-values."""
    changes = np.diff(values)
    if len(changes) < SHORTEST or not np.ptp(changes) > 0 or not depth:
        return []
    place, kind, p = min(_tested(changes, random), key=lambda each: each[2])
    if p > alarm / 3:
        return []
    before = _searched(values[: place + 1], alarm, random, depth - 1)
    after = [
        (place + 1 + at, kind_after, q)
        for at, kind_after, q in _searched(values[place + 1 :], alarm, random, depth - 1)
    ]
    return [*before, (place + 1, kind, p), *after]


def _tested(changes: Floats, random: np.random.Generator) -> list[tuple[int, Kind, float]]:
    """Return the likeliest place of each kind of break among changes, and its p-value."""
    memory, residuals = _whitened(changes)
    n = len(residuals)
    away = np.abs(residuals - np.median(residuals))
    size = float(np.median(away))
    jump = int(np.argmax(away))
    told = float(np.mean(_largest(n) >= away[jump] / size)) if size > 0 else 1.0
    tests: list[tuple[int, Kind, float]] = [(jump, "jump", told)]
    orders = random.permuted(np.tile(residuals, (_PERMUTATIONS + 1, 1)), axis=1)
    orders[0] = residuals
    if n >= 2 * _EDGE + 2:
        shifts, place = _shifts(np.concatenate([changes[None], _moving(orders[1:], memory)]))
        tests.append((place, "level", _rank(shifts)))
        ratios = _ratios(orders)
        tests.append((_EDGE + int(np.argmax(ratios[0])), "regime", _rank(ratios.max(1))))
    return tests


def _rank(statistics: Floats) -> float:
    return float(np.mean(statistics >= statistics[0] - 1e-12))


def _ratios(orders: Floats) -> Floats:
    """Return twice the log likelihood ratio of two means and variances against one, for every place (R, n - 2 _EDGE)."""
    n = orders.shape[1]
    first = np.arange(_EDGE, n - _EDGE)
    sums, squares = np.cumsum(orders, 1), np.cumsum(orders**2, 1)

    def variance(count: Floats, total: Floats, square: Floats) -> Floats:
        return np.asarray(np.log(np.maximum(square / count - (total / count) ** 2, 1e-300)))

    before = variance(first.astype(float), sums[:, first - 1], squares[:, first - 1])
    after = variance(
        (n - first).astype(float), sums[:, -1:] - sums[:, first - 1], squares[:, -1:] - squares[:, first - 1]
    )
    whole = variance(np.array([float(n)]), sums[:, -1:], squares[:, -1:])
    return np.asarray(n * whole - first * before - (n - first) * after, dtype=np.float64)


def _whitened(changes: Floats) -> tuple[float, Floats]:
    """Return the moving average's memory that leaves the least of changes (n,), and what it leaves."""
    left = np.stack([whiten @ changes for whiten, _ in _filters(len(changes))])
    best = int(np.argmin(np.sum(left**2, 1)))
    return float(_MEMORIES[best]), left[best]


def _moving(residuals: Floats, memory: float) -> Floats:
    """Return the changes (R, n) that residuals make."""
    before = np.concatenate([np.zeros((len(residuals), 1)), residuals[:, :-1]], 1)
    return np.asarray(residuals + memory * before)


def _shifts(changes: Floats) -> tuple[Floats, int]:
    """Return twice the log likelihood ratio of one lasting shift against none of changes (R, n), and the first one's best place."""
    n = changes.shape[1]
    without, with_shift, places = [], [], []
    for whiten, shifts in _filters(n):
        left = changes @ whiten.T
        squares = np.sum(left**2, 1)
        gained = (left @ shifts) ** 2
        without.append(squares)
        with_shift.append(squares - gained.max(1))
        places.append(_EDGE + int(np.argmax(gained[0])))
    least = np.min(with_shift, 0)
    best = int(np.argmin([each[0] for each in with_shift]))
    return n * np.log(np.maximum(np.min(without, 0), 1e-300) / np.maximum(least, 1e-300)), places[best]


@lru_cache(maxsize=8)
def _filters(n: int) -> tuple[tuple[Floats, Floats], ...]:
    """Return for every memory what whitens n changes, (n, n), and what a shift of one at each place leaves, of length one."""
    found = []
    for memory in _MEMORIES:
        lags = np.arange(n)[:, None] - np.arange(n)
        whiten = np.tril((-memory) ** np.maximum(lags, 0))
        # A noisy first value and a steady pace are no shifts.
        known, _ = np.linalg.qr(np.stack([whiten[:, 0], whiten.sum(1)], 1))
        whiten = whiten - known @ (known.T @ whiten)
        shifts = whiten[:, _EDGE : n - _EDGE]
        found.append((whiten, shifts / np.maximum(np.sqrt(np.sum(shifts**2, 0)), 1e-12)))
    return tuple(found)


@lru_cache(maxsize=64)
def _largest(n: int) -> Floats:
    """Return draws of the largest of n residuals over their median size, where they are heavy-tailed and nothing broke."""
    drawn = np.random.default_rng(n).standard_t(_FREEDOM, (4000, n))
    away = np.abs(drawn - np.median(drawn, 1, keepdims=True))
    return np.asarray(away.max(1) / np.median(away, 1))
