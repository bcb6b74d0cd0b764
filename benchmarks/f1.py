"""F1 beside peers, with intervals over texts drawn anew: of several labels the mean over labels, or over all decisions together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np

from .isa import named_here
from .line import Line, machine

DRAWS = 2_000
LEAST = 1e-3
"""F1 that counts as none, so that two that found nothing are equal."""
Mean = Literal["macro", "micro"]


def counted(
    units: Sequence[int], truth: Sequence[Collection[str]], predicted: Sequence[Collection[str]], labels: Sequence[str]
) -> np.ndarray:
    """Return found rightly, found wrongly and missed of each unit and label, [units, labels, 3].

    Args:
        units: of each decision the text that it belongs to: what is drawn anew.
        truth, predicted: the labels of each decision.
        labels: those that are judged.
    """
    place = {unit: at for at, unit in enumerate(dict.fromkeys(units))}
    counts = np.zeros((len(place), len(labels), 3))
    for unit, true, found in zip(units, truth, predicted, strict=True):
        for number, label in enumerate(labels):
            if label in true or label in found:
                kind = 0 if label in true and label in found else 1 if label in found else 2
                counts[place[unit], number, kind] += 1
    return counts


def f1(counts: np.ndarray, mean: Mean) -> np.ndarray:
    """Return 2 TP / (2 TP + FP + FN) of counts [..., labels, 3], over labels or over all of them together, [...]."""
    counts = counts.sum(axis=-2, keepdims=True) if mean == "micro" else counts
    right = 2 * counts[..., 0]
    return np.asarray((right / np.maximum(right + counts[..., 1] + counts[..., 2], 1)).mean(axis=-1))


def compared(
    measure: str,
    ours: np.ndarray,
    peers: Mapping[str, np.ndarray],
    *,
    wanted: float | None = None,
    more: tuple[str, float] | None = None,
    mean: Mean = "macro",
) -> list[Line]:
    """Return a line beside each peer, and those beside what is wanted; 95 % intervals by the bootstrap over units.

    Args:
        measure: what was measured.
        ours: counts of Noria, [units, labels, 3].
        peers: those of each peer, of the same units and labels.
        wanted: F1 that is wanted.
        more: a peer, and how much more than it is wanted.
        mean: how labels come together.
    """
    n = len(ours)
    draws = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(np.float64)

    def values(counts: np.ndarray) -> tuple[float, np.ndarray]:
        again = (draws @ counts.reshape(n, -1)).reshape(DRAWS, *counts.shape[1:])
        return float(f1(counts.sum(axis=0), mean)), f1(again, mean)

    mine, drawn = values(ours)
    beside = {name: values(counts) for name, counts in peers.items()}
    if wanted is not None:
        beside[f"wanted: {wanted:g}"] = (wanted, np.full(DRAWS, wanted))
    if more is not None:
        value, again = beside[more[0]]
        beside[f"wanted: {more[1]:g} more than {more[0]}"] = (value + more[1], again + more[1])
    lines = []
    for name, (value, again) in beside.items():
        low, high = np.quantile(np.maximum(drawn, LEAST) / np.maximum(again, LEAST), (0.025, 0.975))
        ratio = max(mine, LEAST) / max(value, LEAST)
        lines.append(
            Line("monitor", measure, mine, value, named_here(name), "F1", ratio, n, float(low), float(high), machine())
        )
    return lines
