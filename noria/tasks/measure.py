"""Scores as counts a text and what to make of their sums, so that any of them can be resampled: labels, spans, shares.

Every measure is a pair: counts [texts, k] that add up over texts, and a statistic of the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Statistic = Callable[[np.ndarray], np.ndarray]
"""Summed counts [draws, k] -> score [draws]."""


@dataclass(frozen=True)
class Measure:
    """One score of one system on one set of texts."""

    name: str
    counts: np.ndarray
    """One row a text [texts, k]."""
    statistic: Statistic
    unit: str = ""
    lower_is_better: bool = False

    @property
    def value(self) -> float:
        """Return the score on all texts."""
        return float(self.statistic(self.counts.sum(axis=0)[None].astype(np.float64))[0])

    @property
    def key(self) -> str:
        """Return the name as a key: "macro F1" is macro_f1."""
        return self.name.lower().replace(" ", "_")


def label_measures(truth: Sequence[str], predicted: Sequence[str]) -> list[Measure]:
    """Return accuracy and macro-averaged F1 of one label a text."""
    return [
        Measure("accuracy", accuracy_counts(truth, predicted), ratio),
        Measure("macro F1", label_counts([[one] for one in truth], [[one] for one in predicted]), macro_f1),
    ]


def labels_measures(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> list[Measure]:
    """Return micro-averaged F1, macro-averaged F1 and the share of texts with exactly the right labels (subset accuracy)."""
    counts = label_counts(truth, predicted)
    size = counts.shape[1] // 3
    summed = (
        np.stack([part.sum(axis=1) for part in np.split(counts, 3, axis=1)], axis=1)
        if size
        else np.zeros((len(truth), 3))
    )
    exact = accuracy_counts([set(one) for one in truth], [set(one) for one in predicted])
    return [
        Measure("micro F1", summed, micro_f1),
        Measure("macro F1", counts, macro_f1),
        Measure("all right", exact, ratio),
    ]


def span_measures(
    truth: Sequence[Iterable[Mapping[str, Any]]], predicted: Sequence[Iterable[Mapping[str, Any]]]
) -> list[Measure]:
    """Return strict span F1, precision and recall, micro-averaged (CoNLL-2000 evaluation, conlleval), and the labels' mean F1."""
    counts = span_counts(truth, predicted)
    named = [("span F1", micro_f1), ("precision", precision), ("recall", recall)]
    return [
        *(Measure(name, counts, statistic) for name, statistic in named),
        Measure("macro F1", span_label_counts(truth, predicted), macro_f1),
    ]


def mean_measure(name: str, values: Sequence[float] | np.ndarray, **facts: Any) -> Measure:
    """Return the mean over texts of a number that each text has."""
    column = np.asarray(values, dtype=np.float64)
    return Measure(name, np.stack([column, np.ones_like(column)], axis=1), ratio, **facts)


def accuracy_counts(truth: Sequence[object], predicted: Sequence[object]) -> np.ndarray:
    """Return [right, one] of every text, int64 [texts, 2]."""
    right = np.array([one == other for one, other in zip(truth, predicted, strict=True)], dtype=np.int64)
    return np.stack([right, np.ones_like(right)], axis=1)


def label_counts(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> np.ndarray:
    """Return hits, predicted and true of every label for every text, int64 [texts, 3 labels]; a text may have many labels."""
    names = label_names(truth, predicted)
    place = {name: index for index, name in enumerate(names)}
    true, given = (np.zeros((len(truth), len(names)), dtype=bool) for _ in range(2))
    for table, texts in ((true, truth), (given, predicted)):
        for row, labels in enumerate(texts):
            table[row, [place[label] for label in labels]] = True
    return np.concatenate([true & given, given, true], axis=1).astype(np.int64)


def label_names(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> list[str]:
    """Return the labels that are true or predicted, in the order of `label_counts`."""
    return sorted({label for labels in (*truth, *predicted) for label in labels})


def span_label_names(
    truth: Sequence[Iterable[Mapping[str, Any]]], predicted: Sequence[Iterable[Mapping[str, Any]]]
) -> list[str]:
    """Return the labels of spans that are true or predicted, in the order of `span_label_counts`."""
    return sorted({span["label"] for spans in (*truth, *predicted) for span in spans})


def span_label_counts(
    truth: Sequence[Iterable[Mapping[str, Any]]], predicted: Sequence[Iterable[Mapping[str, Any]]]
) -> np.ndarray:
    """Return hits, predicted and true spans of every label for every text, int64 [texts, 3 labels]; see `span_counts`."""
    place = {name: index for index, name in enumerate(span_label_names(truth, predicted))}
    counts = np.zeros((len(truth), 3, len(place)), dtype=np.int64)
    for row, (true, given) in enumerate(zip(truth, predicted, strict=True)):
        left, right = span_set(true), span_set(given)
        for side, spans in enumerate((left & right, right, left)):
            for _, _, label in spans:
                counts[row, side, place[label]] += 1
    return counts.reshape(len(truth), -1)


def span_set(spans: Iterable[Mapping[str, Any]]) -> set[tuple[int, int, str]]:
    """Return spans as a set of (start, end, label)."""
    return {(span["start"], span["end"], span["label"]) for span in spans}


def span_counts(
    truth: Sequence[Iterable[Mapping[str, Any]]], predicted: Sequence[Iterable[Mapping[str, Any]]]
) -> np.ndarray:
    """Return each text's [hits, spans predicted, spans true], int64 [texts, 3]. A hit has both borders and the label right."""
    rows = []
    for true, given in zip(truth, predicted, strict=True):
        left, right = span_set(true), span_set(given)
        rows.append((len(left & right), len(right), len(left)))
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def f1(hits: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return 2 hits / (predicted + true), 0 where nothing was predicted and nothing is true [same shape as the counts]."""
    total = np.asarray(predicted, dtype=np.float64) + true
    return np.asarray(np.divide(2.0 * np.asarray(hits), total, out=np.zeros_like(total), where=total > 0))


def ratio(sums: np.ndarray) -> np.ndarray:
    """Return first count / second count [draws]; not a number where the second is 0."""
    above, below = np.asarray(sums[:, 0], dtype=np.float64), np.asarray(sums[:, 1], dtype=np.float64)
    return np.divide(above, below, out=np.full_like(below, np.nan), where=below != 0)


def macro_f1(sums: np.ndarray) -> np.ndarray:
    """Return the mean F1 over labels, from sums of `label_counts`; a label that a draw lacks altogether is left out."""
    hits, predicted, true = np.split(sums, 3, axis=1)
    present = (predicted + true) > 0
    return np.asarray(f1(hits, predicted, true).sum(axis=1) / np.maximum(present.sum(axis=1), 1))


def micro_f1(sums: np.ndarray) -> np.ndarray:
    """Return F1 from sums of [hits, predicted, true]."""
    return f1(sums[:, 0], sums[:, 1], sums[:, 2])


def precision(sums: np.ndarray) -> np.ndarray:
    """Return hits / predicted from sums of [hits, predicted, true], 0 where nothing was predicted."""
    return np.asarray(sums[:, 0] / np.maximum(sums[:, 1], 1))


def recall(sums: np.ndarray) -> np.ndarray:
    """Return hits / true from sums of [hits, predicted, true], 0 where nothing is true."""
    return np.asarray(sums[:, 0] / np.maximum(sums[:, 2], 1))
