"""Signals and held-out users -> their weights, by which what a user liked next stands first, and the probability that it is taken.

    join = fit_join([Window(signals, cases, now)])

Weights: the conditional logit of what was liked among all that could have been (McFadden 1974), each user counting alike; all
others are drawn, with their odds, from a sample besides those that rank high. It is convex, and drawn towards weights that stand without
data, so that ten users do no harm. Probability: a logistic in the score, on the same draw with its odds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from noria.infer.signals import ALIKE, SIGNALS, Join, Signals, length_of, relative

from .behaviour import Case

HIGH, DRAWN = 60, 120
"""Items of a user that the weights are fitted on: those that rank highest beforehand, and others drawn."""
LEAST = 20
"""Held-out users from which a probability is told."""
STRENGTH = 1.0
"""How many users' evidence the weights without data count as."""
_FIRST = {
    "closed": 1.0,
    "neighbours": 0.3,
    "next": 0.2,
    "factors": 0.3,
    "text": 0.2,
    "recent_text": 0.1,
    "popular": 0.2,
    "trend": 0.1,
}
_FIRST_COLD = {"text": 0.3, "factors": 0.2}
_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Window:
    """What was known at a moment, and who liked what afterwards."""

    signals: Signals
    cases: Sequence[Case]
    now: float
    """The moment, Unix seconds."""


@dataclass(frozen=True)
class Draw:
    """Items of held-out users. C items of all users together, F features."""

    features: np.ndarray
    """float32 [C, F]"""
    odds: np.ndarray
    """How many items each stands for, float32 [C]."""
    liked: np.ndarray
    """bool [C]"""
    starts: np.ndarray
    """Where each user's begin, int64 [users]."""
    lengths: np.ndarray
    """`length_of` the user of each, float32 [C]."""


def without_data() -> Join:
    """Return the weights that stand where there is nothing to fit them on."""
    weights = np.zeros((len(SIGNALS), 3), np.float32)
    for place, name in enumerate(SIGNALS):
        weights[place, 0], weights[place, 2] = _FIRST.get(name, 0.0), _FIRST_COLD.get(name, 0.0)
    return Join(weights, 0.0, np.array([0.5, 0.5, 0.0, 0.0], np.float32))


def fit_join(windows: Sequence[Window], seed: int = 0) -> Join:
    """Return weights fitted on held-out users; those without data where nobody is.

    Args:
        windows: moments, with the signals of what came before and users of the time after, the last one first.
        seed: of the draw.
    """
    join = replace(without_data(), empty=_fit_empty(windows[0]))
    draws = [drawn(one, join, seed) for one in windows if any(len(case.history.places) for case in one.cases)]
    if not draws:
        return join
    draw = _joined(draws)
    first = np.append(join.weights.ravel(), join.cold).astype(np.float64)
    # A signal speaks for an item or not at all; how that changes with length and newness is free.
    bounds = [(0.0 if place % 3 == 0 else None, None) for place in range(len(first) - 1)] + [(None, None)]
    found = minimize(
        _loss, first, (draw, first), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 100}
    ).x
    join = replace(join, weights=found[:-1].reshape(-1, 3).astype(np.float32), cold=float(found[-1]))
    slope, constant, by_length = _logistic(draw, draw.features @ found.astype(np.float32))
    return replace(join, slope=slope, intercepts=(constant, by_length))


def drawn(window: Window, join: Join, seed: int) -> Draw:
    """Return the items that the weights are fitted on, of the users of a window who have a history."""
    signals, now = window.signals, window.now
    cases = [case for case in window.cases if len(case.history.places)]
    random, cold = np.random.default_rng(seed), signals.cold
    features, odds, liked, sizes, lengths = [], [], [], [], []
    step = max(1, _AT_ONCE // len(signals))
    for start in range(0, len(cases), step):
        some = cases[start : start + step]
        raw = signals.of([case.history for case in some], now)
        spans = [length_of(case.history) for case in some]
        scores = join.scores(raw, spans, cold)
        each = {name: relative(raw[name]) for name in SIGNALS}
        for row, case in enumerate(some):
            places, weights = _candidates(scores[row], case, random)
            columns = np.stack([each[name][row if len(each[name]) > 1 else 0, places] for name in SIGNALS], axis=1)
            features.append(_features(columns, spans[row], cold[places]))
            odds.append(weights)
            liked.append(np.isin(places, case.truth))
            sizes.append(len(places))
            lengths.append(np.full(len(places), spans[row], np.float32))
    starts = np.cumsum([0, *sizes[:-1]])
    return Draw(np.concatenate(features), np.concatenate(odds), np.concatenate(liked), starts, np.concatenate(lengths))


def _joined(draws: Sequence[Draw]) -> Draw:
    """Return the items of several windows as of one."""
    before = np.cumsum([0, *(len(one.odds) for one in draws[:-1])])
    starts = np.concatenate([one.starts + past for one, past in zip(draws, before, strict=True)])
    rest = ([getattr(one, name) for one in draws] for name in ("features", "odds", "liked", "lengths"))
    features, odds, liked, lengths = (np.concatenate(arrays) for arrays in rest)
    return Draw(features, odds, liked, starts, lengths)


def _features(columns: np.ndarray, length: float, cold: np.ndarray) -> np.ndarray:
    """Return what `Join.weights` and `Join.cold` are multiplied by, float32 [C, 3 signals + 1], from the signals [C, signals]."""
    each = np.stack([columns, columns * np.float32(length), columns * cold[:, None]], axis=2)
    return np.concatenate([each.reshape(len(columns), 3 * columns.shape[1]), cold[:, None]], axis=1, dtype=np.float32)


def _candidates(scores: np.ndarray, case: Case, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return places of items that a user could have liked, what was liked among them, and how many items each stands for."""
    free = np.ones(len(scores), bool)
    free[case.seen] = free[case.truth] = False
    others = np.flatnonzero(free)
    if len(others) <= HIGH + DRAWN:
        high, low = others, others[:0]
    else:
        order = np.argpartition(-scores[others], HIGH)
        high, rest = others[order[:HIGH]], others[order[HIGH:]]
        low = random.choice(rest, DRAWN, replace=False)
    places = np.concatenate([case.truth, high, low])
    weights = np.ones(len(places), np.float32)
    if len(low):
        weights[-len(low) :] = (len(others) - len(high)) / len(low)
    return places, weights


def _loss(weights: np.ndarray, draw: Draw, first: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean negative log likelihood of what each user liked, summed over users, with its gradient."""
    scores = (draw.features @ weights.astype(np.float32)).astype(np.float64)
    sizes = np.diff(np.append(draw.starts, len(scores)))
    scores -= np.repeat(np.maximum.reduceat(scores, draw.starts), sizes)
    powers = np.exp(scores) * draw.odds
    sums = np.add.reduceat(powers, draw.starts)
    truths = np.add.reduceat(draw.liked.astype(np.float64), draw.starts)
    share = draw.liked / np.repeat(truths, sizes)
    loss = float(np.log(sums).sum() - (share * scores).sum())
    slope = (powers / np.repeat(sums, sizes) - share).astype(np.float32) @ draw.features
    away = weights - first
    return loss + STRENGTH * float(away @ away), slope.astype(np.float64) + 2 * STRENGTH * away


def _fit_empty(window: Window) -> np.ndarray:
    """Return the weights of `ALIKE` and of being new for those of whom nothing is known, float32 [4]."""
    signals, cases = window.signals, window.cases
    raw = signals.of([], window.now)
    features = np.stack([*(relative(raw[name])[0] for name in ALIKE), signals.cold], axis=1).astype(np.float64)
    wanted = np.zeros(len(signals))
    # What people like first is what those like of whom nothing is known; others only where there is none such.
    first = [case for case in cases if not len(case.history.places)]
    chosen = first if len(first) >= LEAST else cases
    for case in chosen:
        wanted[case.truth] += 1 / len(case.truth)
    start = without_data().empty.astype(np.float64)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scores = features @ weights
        top = scores.max()
        powers = np.exp(scores - top)
        away = weights - start
        value = len(chosen) * (np.log(powers.sum()) + top) - wanted @ scores + STRENGTH * away @ away
        slope = (len(chosen) * powers / powers.sum() - wanted) @ features + 2 * STRENGTH * away
        return float(value), slope

    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(ALIKE) + [(None, None)])
    return np.asarray(found.x, np.float32)


def _logistic(draw: Draw, scores: np.ndarray, rounds: int = 30) -> tuple[float, float, float]:
    """Return slope, constant and slope by length of the logit that an item is liked, by Newton's method on the drawn items."""
    rows = np.stack([scores, np.ones(len(scores)), draw.lengths], axis=1).astype(np.float64)
    spread = np.maximum(np.abs(rows).max(axis=0), 1e-9)
    rows /= spread
    rate = (draw.liked.sum() + 1) / (draw.odds.sum() + 2)
    found = np.array([spread[0], np.log(rate / (1 - rate)) - float(np.average(scores, weights=draw.odds)), 0.0])
    for _ in range(rounds):
        probability = 1 / (1 + np.exp(-np.clip(rows @ found, -60, 60)))
        slope = rows.T @ (draw.odds * (draw.liked - probability)) - 1e-6 * found
        curve = (rows * (draw.odds * probability * (1 - probability))[:, None]).T @ rows + 1e-6 * np.eye(3)
        step = np.linalg.solve(curve, slope)
        found = found + step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-9))
        if np.abs(step).max() < 1e-6:
            break
    slope_of, constant, by_length = (found / spread).tolist()
    return max(slope_of, 1e-6), constant, by_length
