"""Scores as counts a text and what to make of their sums, so that any of them can be resampled; calibration error.

Every measure is a pair: counts [texts, k] that add up over texts, and a statistic of the sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from noria.core.errors import SettingError
from noria.tasks.measure import f1, span_counts
from noria.tasks.task import Answer, Row, Task

from .intervals import Statistic


@dataclass(frozen=True)
class Measure:
    """One score of one system on one set of texts."""

    name: str
    counts: np.ndarray
    """One row a text [texts, k]."""
    statistic: Statistic

    @property
    def value(self) -> float:
        """Return the score on all texts."""
        return float(self.statistic(self.counts.sum(axis=0)[None].astype(np.float64))[0])


def measures_of(task: Task, rows: Sequence[Row], answers: Sequence[Answer]) -> list[Measure]:
    """Return the measures of a task, the one to rank models by first.

    Raises:
        SettingError: the task has none that can be counted by text.
    """
    if task.name == "classify":
        truth, said = [row["label"] for row in rows], [answer["label"] for answer in answers]
        return [
            Measure("accuracy", accuracy_counts(truth, said), ratio),
            Measure("macro F1", label_counts(truth, said), macro_f1),
        ]
    if task.name == "tag":
        counts = span_counts([row["spans"] for row in rows], [answer["spans"] for answer in answers])
        named = [("span F1", micro_f1), ("precision", precision), ("recall", recall)]
        return [Measure(name, counts, statistic) for name, statistic in named]
    raise SettingError("no measures for the task", found=task.name, allowed=("classify", "tag"))


def accuracy_counts(truth: Sequence[object], said: Sequence[object]) -> np.ndarray:
    """Return [right, one] of every text, int64 [texts, 2]."""
    right = np.array([one == other for one, other in zip(truth, said, strict=True)], dtype=np.int64)
    return np.stack([right, np.ones_like(right)], axis=1)


def label_counts(truth: Sequence[str], said: Sequence[str]) -> np.ndarray:
    """Return hits, said and true of every label for every text, int64 [texts, 3 labels]."""
    names = sorted({*truth, *said})
    true, given = np.array(truth)[:, None] == names, np.array(said)[:, None] == names
    return np.concatenate([true & given, given, true], axis=1).astype(np.int64)


def ratio(sums: np.ndarray) -> np.ndarray:
    """Return first count / second count [draws]."""
    return np.asarray(sums[:, 0] / sums[:, 1])


def macro_f1(sums: np.ndarray) -> np.ndarray:
    """Return the mean F1 over labels, from sums of `label_counts`; a label that a draw lacks altogether is left out."""
    hits, said, true = np.split(sums, 3, axis=1)
    present = (said + true) > 0
    return np.asarray(f1(hits, said, true).sum(axis=1) / np.maximum(present.sum(axis=1), 1))


def micro_f1(sums: np.ndarray) -> np.ndarray:
    """Return strict span F1 from sums of [hits, said, true]."""
    return f1(sums[:, 0], sums[:, 1], sums[:, 2])


def precision(sums: np.ndarray) -> np.ndarray:
    """Return hits / said from sums of [hits, said, true], 0 where nothing was said."""
    return np.asarray(sums[:, 0] / np.maximum(sums[:, 1], 1))


def recall(sums: np.ndarray) -> np.ndarray:
    """Return hits / true from sums of [hits, said, true], 0 where nothing is true."""
    return np.asarray(sums[:, 0] / np.maximum(sums[:, 2], 1))


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error: how far confidence is from being right, averaged over equal-width bins.

    Sum over bins of (share of texts) x |mean confidence - accuracy| (Guo et al. 2017, equation 5).

    Args:
        confidence: probability given to each answer [texts].
        right: whether the answer was right [texts].
        bins: how many parts [0, 1] is cut into.
    """
    confidence, right = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def confidences(rows: Sequence[Row], answers: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Return confidence and whether it was right: of every text's label, or of every span said."""
    pairs = []
    for row, answer in zip(rows, answers, strict=True):
        if "label" in answer:
            pairs.append((answer["score"], answer["label"] == row["label"]))
        else:
            true = {(span["start"], span["end"], span["label"]) for span in row["spans"]}
            pairs += [(s["score"], (s["start"], s["end"], s["label"]) in true) for s in answer["spans"]]
    table = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]
