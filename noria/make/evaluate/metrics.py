"""Whether confidences mean what they say: calibration error, and the confidences that answers come with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from noria.tasks.measure import span_set
from noria.tasks.task import Row


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
    """Return confidence and whether it was right: of every text's label, of every label or span said; none of written text."""
    pairs: list[tuple[float, bool]] = []
    for row, answer in zip(rows, answers, strict=True):
        if "label" in answer:
            pairs.append((answer["score"], answer["label"] == row["label"]))
        elif "labels" in answer and "scores" in answer:
            pairs += [(answer["scores"][label], label in row["labels"]) for label in answer["labels"]]
        elif "spans" in answer:
            true = span_set(row["spans"])
            pairs += [(s["score"], (s["start"], s["end"], s["label"]) in true) for s in answer["spans"]]
    table = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]
