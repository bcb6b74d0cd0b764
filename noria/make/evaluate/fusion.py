"""How much a model and its companion each count in what they answer together: two weights, fitted on valid rows.

chosen = fit_weights(logits, companion_logits, targets)
chosen.weights                # Weights(model=0.62, companion=0.48)
chosen.kept                   # whether together they are better by more than chance
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from noria.tasks.chain import ChainModel, expected
from noria.tasks.tag import Tag
from noria.tasks.task import Features, Weights, softmax

FOLDS = 5
"""Parts of the valid rows: weights fitted on four of them are judged on the fifth."""
LEAST_ROWS = 50
"""Valid rows that weights are fitted to at least; where there are fewer they count by halves."""
LEAST_GAIN = 0.001
"""Nats of a row that joining gains at least: less is worth no second model."""
LARGEST = 20.0
"""A weight at most, as a temperature is at least its inverse."""
TOGETHER = 64
"""Texts that are gone over at once."""
EVEN = Weights(0.5, 0.5)
"""The geometric mean of both models' probabilities."""


@dataclass(frozen=True)
class Fusion:
    """Weights, and what valid rows say of them, each judged by weights that were fitted without it."""

    weights: Weights
    model_loss: float
    """Mean negative log likelihood of the model alone, in nats."""
    companion_loss: float
    """Of the companion alone."""
    loss: float
    """Of both together."""
    kept: bool
    """Whether both lose less than the model alone by more than the standard error; always where the companion loses less than it."""


def fit_weights(model: np.ndarray, companion: np.ndarray, targets: Sequence[Any], *, many: bool = False) -> Fusion:
    """Return the weights that make the targets likeliest, and whether what is joined is better than the model alone.

    Both are logits: their weighted sum's negative log likelihood is convex in the two weights.

    Args:
        model: calibrated logits of the model [rows, labels].
        companion: logits of the companion [rows, labels].
        targets: the place of each row's label; of many labels 1.0 for each that the row has, else 0.0.
        many: whether each label is for itself.
    """
    both = np.stack([np.asarray(model, np.float64), np.asarray(companion, np.float64)], axis=-1)
    truth = np.asarray(targets)
    if many:  # each label is a choice between no, at 0, and yes, at its log odds
        both = np.stack([np.zeros_like(both), both], axis=-2)
        truth = truth.astype(np.int64)
    else:
        both, truth = both[:, None], truth[:, None]
    places = np.arange(len(both)) % FOLDS
    losses = np.zeros((3, len(both)))
    for fold in range(min(FOLDS, len(both))):
        out = places == fold
        for number, free in enumerate(((True, False), (False, True), (True, True))):
            learned = _fitted(both[~out], truth[~out], free) if len(both) >= LEAST_ROWS else _even(free)
            losses[number, out] = _losses(both[out], truth[out], learned)[0]
    weights = _fitted(both, truth, (True, True)) if len(both) >= LEAST_ROWS else _even((True, True))
    gain = losses[0] - losses[2]
    beaten = losses[1].mean() < losses[0].mean()
    sure = len(both) >= LEAST_ROWS and gain.mean() > max(LEAST_GAIN, gain.std(ddof=1) / np.sqrt(len(gain)))
    alone, light, together = losses.mean(axis=1).tolist()
    return Fusion(Weights(*weights.tolist()), alone, light, together, bool(sure or (beaten and gain.mean() > 0)))


def fit_chain_weights(
    task: Tag, chain: ChainModel, features: Sequence[Features], logits: Sequence[np.ndarray], targets: Sequence[Any]
) -> Weights:
    """Return the weights of a tagger's scores and of a chain's that make the codes of valid rows likeliest, a convex problem.

    Args:
        task: calibrated.
        chain: the light tagger.
        features: windows of valid rows.
        logits: of the model for each [T, outputs].
        targets: a code for each token of a window.
    """
    from scipy.optimize import minimize

    made = []
    for window, output, codes in zip(features, logits, targets, strict=True):
        kept, places = task.tokens(window)
        if kept:
            model = np.log(softmax(np.asarray(output)[kept], task.temperature) + 1e-30)
            made.append((np.stack([model, chain(window.meta["text"], places)], axis=-1), np.array(codes)[kept]))
    made.sort(key=lambda one: -len(one[1]))
    groups = [_Padded.of(made[start : start + TOGETHER]) for start in range(0, len(made), TOGETHER)]
    tokens = sum(int(one.lengths.sum()) for one in groups)
    steps = chain.steps.astype(np.float64)

    def cost(weights: np.ndarray) -> tuple[float, np.ndarray]:
        found = [one.losses(weights, steps, task.steps) for one in groups]
        return sum(loss for loss, _ in found) / tokens, np.sum([slope for _, slope in found], axis=0) / tokens

    best = minimize(cost, _even((True, True)), jac=True, method="L-BFGS-B", bounds=[(0.0, LARGEST)] * 2)
    return Weights(*best.x.tolist())


@dataclass(frozen=True)
class _Padded:
    """Texts as one array, the longest first: of B texts and T tokens."""

    scores: np.ndarray
    """Of both models [B, T, C, 2]."""
    codes: np.ndarray
    """True codes [B, T]."""
    lengths: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[tuple[np.ndarray, np.ndarray]]) -> _Padded:
        lengths = np.array([len(codes) for _, codes in texts])
        scores = np.zeros((len(texts), lengths.max(), *texts[0][0].shape[1:]))
        codes = np.zeros(scores.shape[:2], dtype=np.int64)
        for place, (own, true) in enumerate(texts):
            scores[place, : len(true)], codes[place, : len(true)] = own, true
        return cls(scores, codes, lengths)

    def losses(self, weights: np.ndarray, steps: np.ndarray, allowed: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the negative log likelihood of all texts and its slopes by the two weights."""
        both = self.scores @ weights
        found = expected(both, weights[1] * steps + allowed, self.lengths)
        inside = np.arange(both.shape[1]) < self.lengths[:, None]
        true = np.take_along_axis(self.scores, self.codes[..., None, None], axis=2)[:, :, 0] * inside[..., None]
        goes_on = inside[:, 1:]
        walked = (
            steps[self.codes[:, :-1][goes_on], self.codes[:, 1:][goes_on]].sum() + steps[-1, self.codes[:, 0]].sum()
        )
        right = true.sum(axis=(0, 1)) + np.array([0.0, walked])
        known = np.einsum("btc,btcm->m", found.codes * inside[..., None], self.scores)
        known[1] += (found.steps * steps).sum()
        return float(found.log_total.sum() - weights @ right), known - right


def _even(free: tuple[bool, bool]) -> np.ndarray:
    return np.array([EVEN.model, EVEN.companion]) if all(free) else np.array(free, dtype=np.float64)


def _fitted(both: np.ndarray, truth: np.ndarray, free: tuple[bool, bool]) -> np.ndarray:
    from scipy.optimize import minimize

    def cost(weights: np.ndarray) -> tuple[float, np.ndarray]:
        losses, slopes = _losses(both, truth, weights)
        return float(losses.mean()), slopes.mean(axis=0)

    bounds = [(0.0, LARGEST if one else 0.0) for one in free]
    found = minimize(cost, _even(free), jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x)


def _losses(both: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's negative log likelihood, summed over its choices, and its slopes [rows], [rows, 2].

    `both` [rows, choices, classes, 2], `truth` [rows, choices].
    """
    scores = both @ weights
    top = scores.max(axis=-1, keepdims=True)
    powers = np.exp(scores - top)
    total = powers.sum(axis=-1, keepdims=True)
    chosen = np.take_along_axis(scores, truth[..., None], axis=-1)
    losses = (np.log(total) + top - chosen)[..., 0].sum(axis=-1)
    expected = ((powers / total)[..., None] * both).sum(axis=-2)
    right = np.take_along_axis(both, truth[..., None, None], axis=-2)[..., 0, :]
    return losses, (expected - right).sum(axis=1)
