"""Bootstrap intervals of any score that is a function of summed counts; paired ones for the difference of two systems.

    counts = metrics.accuracy_counts(truth, said)                     # one row a text
    interval(counts, metrics.ratio)                                   # Interval(low=0.878, high=0.907, ...)
    paired(counts, counts_of_baseline, metrics.ratio)                 # of the difference; clear of zero or not

Texts are drawn with replacement; every score is computed from the drawn texts' summed counts, so that 2,000 draws are one
matrix product (Efron and Tibshirani 1993, chapter 13: percentile intervals; chapter 16 for the paired difference).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

DRAWS = 2_000
Statistic = Callable[[np.ndarray], np.ndarray]
"""Summed counts [draws, k] -> score [draws]."""


@dataclass(frozen=True)
class Interval:
    """A score, or a difference of two, with the interval that holds it at the promised level."""

    value: float
    low: float
    high: float
    level: float = 0.95


def interval(
    counts: np.ndarray, statistic: Statistic, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """Return a score with its percentile interval.

    Args:
        counts: one row a text [texts, k].
        statistic: turns sums of rows into the score.
        level: coverage the interval promises.
        draws: how often texts are drawn anew.
        seed: seed of the draws.
    """
    counts = np.asarray(counts, dtype=np.float64)
    scores = np.concatenate([statistic(weights @ counts) for weights in _weights(len(counts), draws, seed)])
    return _percentile(float(statistic(counts.sum(axis=0)[None])[0]), scores, level)


def paired(
    left: np.ndarray, right: np.ndarray, statistic: Statistic, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """Return the difference left - right of two systems judged on the same texts, every draw taking the same ones of both.

    Args:
        left, right: counts of the two systems [texts, k], row for row of the same text.
        statistic: turns sums of rows into the score.
        level: coverage the interval promises.
        draws: how often texts are drawn anew.
        seed: seed of the draws.
    """
    left, right = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    scores = np.concatenate(
        [statistic(weights @ left) - statistic(weights @ right) for weights in _weights(len(left), draws, seed)]
    )
    value = statistic(left.sum(axis=0)[None]) - statistic(right.sum(axis=0)[None])
    return _percentile(float(value[0]), scores, level)


def sums_of_draws(counts: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Return the summed counts of every draw of texts [draws, k], from one row a text [texts, k]."""
    counts = np.asarray(counts, dtype=np.float64)
    return np.concatenate([weights @ counts for weights in _weights(len(counts), draws, seed)])


def _percentile(value: float, scores: np.ndarray, level: float) -> Interval:
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level)


def _weights(texts: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each text is drawn, [some draws, texts], at most 32 MB at a time."""
    random = np.random.default_rng(seed)
    step = max(1, 4_000_000 // max(1, texts))
    for start in range(0, draws, step):
        size = min(step, draws - start)
        picks = random.integers(0, texts, (size, texts)) + np.arange(size)[:, None] * texts
        yield np.bincount(picks.ravel(), minlength=size * texts).reshape(size, texts).astype(np.float64)
