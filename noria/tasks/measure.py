"""Scores of answers against the truth, as everybody computes them: accuracy, macro-F1, strict span F1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def accuracy(truth: Sequence[object], said: Sequence[object]) -> float:
    """Return the share of answers that are right."""
    return float(np.mean([one == other for one, other in zip(truth, said, strict=True)]))


def macro_f1(truth: Sequence[str], said: Sequence[str]) -> float:
    """Return the mean of the labels' F1 over every label that occurs in truth or answers; F1 without hits is 0."""
    names = sorted({*truth, *said})
    place = {name: index for index, name in enumerate(names)}
    table = np.zeros((len(names), len(names)))
    np.add.at(table, ([place[label] for label in truth], [place[label] for label in said]), 1)
    return float(np.mean(f1(np.diag(table), table.sum(axis=0), table.sum(axis=1))))


def f1(hits: np.ndarray, said: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return 2 hits / (said + true), 0 where nothing was said and nothing is true [same shape as the counts]."""
    total = np.asarray(said, dtype=np.float64) + true
    return np.asarray(np.divide(2.0 * np.asarray(hits), total, out=np.zeros_like(total), where=total > 0))


def span_set(spans: Iterable[Mapping[str, Any]]) -> set[tuple[int, int, str]]:
    """Return spans as a set of (start, end, label)."""
    return {(span["start"], span["end"], span["label"]) for span in spans}


def span_counts(
    truth: Sequence[Iterable[Mapping[str, Any]]], said: Sequence[Iterable[Mapping[str, Any]]]
) -> np.ndarray:
    """Return each text's [hits, spans said, spans true], int64 [texts, 3]. A hit has both borders and the label right."""
    rows = []
    for true, given in zip(truth, said, strict=True):
        left, right = span_set(true), span_set(given)
        rows.append((len(left & right), len(right), len(left)))
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def span_scores(counts: np.ndarray) -> dict[str, float]:
    """Return strict micro-averaged f1, precision and recall from `span_counts` (CoNLL-2000 evaluation, conlleval)."""
    hits, said, true = counts.sum(axis=0).tolist()
    return {
        "f1": float(f1(np.array(hits), np.array(said), np.array(true))),
        "precision": hits / said if said else 0.0,
        "recall": hits / true if true else 0.0,
    }
