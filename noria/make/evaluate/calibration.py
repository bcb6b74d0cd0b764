"""What valid rows say of a trained model's outputs: how sure they are, and how many spans and labels they leave out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from noria.tasks.classify import Classify
from noria.tasks.tag import Tag
from noria.tasks.task import IGNORED, Features, Row

from .predict import joined

PENALTIES = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
LEASTS = (0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15)


def fit_temperature(logits: Sequence[np.ndarray], targets: Sequence[Any]) -> float:
    """Return the temperature that makes the targets likeliest, between 0.05 and 20 (Guo et al. 2017, section 4.2).

    Args:
        logits: of each text, [labels] or [T, outputs].
        targets: a class for each text, one for every token (-100: not scored), or 0.0 or 1.0 for each of many labels.
    """
    if isinstance(targets[0], list) and targets[0] and isinstance(targets[0][0], float):
        # Many labels: each is a choice of its own between no, at 0, and yes, at its logit.
        flat = np.concatenate([np.asarray(values, dtype=np.float64).ravel() for values in logits])
        logits = [np.stack([np.zeros_like(flat), flat], axis=1)]
        targets = [np.concatenate([np.asarray(target) for target in targets]).astype(np.int64)]
    scores = np.concatenate([np.atleast_2d(values) for values in logits]).astype(np.float64)
    classes = np.concatenate([np.atleast_1d(np.asarray(target)) for target in targets])
    scores, classes = scores[classes != IGNORED], classes[classes != IGNORED]
    scores -= scores.max(axis=1, keepdims=True)
    wanted = scores[np.arange(len(classes)), classes]

    def cost(power: float) -> float:
        inverse = np.exp(-power)
        return float(np.mean(np.log(np.exp(scores * inverse).sum(axis=1)) - wanted * inverse))

    # The cost is convex in 1/temperature, so it has one valley in the logarithm too: golden-section search.
    low, high = np.log(0.05), np.log(20.0)
    golden = (np.sqrt(5) - 1) / 2
    while high - low > 1e-4:
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if cost(left) < cost(right) else (left, high)
    return float(np.exp((low + high) / 2))


def fit_outside_penalty(
    task: Tag, rows: Sequence[Row], features: Sequence[Features], owners: Sequence[int], logits: Sequence[np.ndarray]
) -> float:
    """Return the one of `PENALTIES` with the best span F1 on the rows, the smallest of equals.

    Args:
        task: with its temperature.
        rows: {text, spans}.
        features, owners: windows of the rows, and the row of each.
        logits: of each window, [T, outputs].
    """

    weighed = [task.weigh(one, output) for one, output in zip(features, logits, strict=True)]

    def quality(penalty: float) -> float:
        bold = replace(task, outside_penalty=penalty)
        found = [bold.decide(one, by, scored=False) for one, by in zip(features, weighed, strict=True)]
        predicted = joined(bold, found, owners)
        return next(iter(bold.measures(rows, predicted).values()))

    return max(PENALTIES, key=quality)


def fit_least(task: Classify, rows: Sequence[Row], features: Sequence[Features], logits: Sequence[np.ndarray]) -> float:
    """Return the one of `LEASTS` with the best micro F1 on the rows, the largest of equals.

    Args:
        task: of many labels, with its temperature and its companion.
        rows: {text, labels}.
        features: of the rows.
        logits: of each row, [labels].
    """
    scores = [task.answer(one, output)["scores"] for one, output in zip(features, logits, strict=True)]

    def quality(least: float) -> float:
        predicted = [{"labels": [label for label, score in one.items() if score >= least]} for one in scores]
        return next(iter(task.measures(rows, predicted).values()))

    return max(LEASTS, key=quality)
