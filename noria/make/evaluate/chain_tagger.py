"""The light tagger that a tagger's model is joined with: a conditional random field, and a dictionary of training names in it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from noria.tasks.chain import BITS, ChainModel, expected, keys_near
from noria.tasks.names import Names
from noria.tasks.tag import Tag
from noria.tasks.task import Features, Row

MOST_BYTES = 16_000_000
"""Of a fitted model: of more, the weights that are smallest are left out."""
FOLDS = 4
"""Parts of the rows: in each, names are looked up that the others know, as it will be in new text."""
LEAST_SEEN = 2
"""Times that something must be seen to be learned from."""
EPOCHS = 2
RATE = 0.1
"""Of AdaGrad (Duchi et al. 2011): as far as the first steps go."""
DECAY = 0.01
"""Of a weight, in every batch that it has a part in."""
BATCH_TOKENS = 8_000


def known_names(rows: Sequence[Row]) -> Names:
    """Return the names of rows {text, spans}, each with its most frequent label.

    A name that the rows themselves leave untagged more often than not is left out.
    """
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for span in row["spans"]:
            labels[row["text"][span["start"] : span["end"]]][span["label"]] += 1
    names = {name: counts.most_common(1)[0][0] for name, counts in labels.items()}
    first = Names.of(names)
    met: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for row in rows:
        true = {(span["start"], span["end"], span["label"]) for span in row["spans"]}
        for start, end, label in first.find(row["text"]):
            met[row["text"][start:end]] += 1
            right[row["text"][start:end]] += (start, end, label) in true
    return Names.of({name: label for name, label in names.items() if 2 * right[name] >= max(1, met[name])})


def fit_chain(
    task: Tag,
    rows: Sequence[Row],
    features: Sequence[Features],
    targets: Sequence[Sequence[int]],
    owners: Sequence[int],
    *,
    epochs: int = EPOCHS,
    rate: float = RATE,
    most_bytes: int = MOST_BYTES,
    seed: int = 0,
) -> ChainModel:
    """Return a chain that tags the windows of rows, trained by its likelihood with AdaGrad.

    Args:
        task: whose codes it gives.
        rows: {text, spans}.
        features, owners: their windows, and the row of each.
        targets: a code for each token of a window.
        epochs: how often all windows are seen.
        rate: of AdaGrad.
        most_bytes: bound on what its arrays take.
        seed: of the order of batches.
    """
    folds = [number * FOLDS // len(rows) for number in range(len(rows))]
    others = [
        known_names([row for row, part in zip(rows, folds, strict=True) if part != fold]) for fold in range(FOLDS)
    ]
    near, truth = [], []
    for window, codes, owner in zip(features, targets, owners, strict=True):
        kept, places = task.tokens(window)
        if kept:
            near.append(keys_near(window.meta["text"], places, others[folds[owner]], task.labels))
            truth.append(np.array(codes)[kept])
    names = known_names(rows)
    size = len(task.outputs)
    counts = np.zeros(1 << BITS, dtype=np.int32)
    for one in near:
        np.add.at(counts, one.ravel(), 1)
    keys = np.flatnonzero(counts >= min(LEAST_SEEN, counts.max())) if near else np.zeros(1, np.int64)
    batches = _batches(keys, near, truth)
    weights, steps = np.zeros((len(keys), size), np.float32), np.zeros((size + 1, size))
    squares, step_squares = np.full_like(weights, 1e-8), np.full_like(steps, 1e-8)
    order = np.random.default_rng(seed)
    for _ in range(epochs):
        for number in order.permutation(len(batches)):
            batch = batches[number]
            slope, step_slope = batch.slopes(weights[batch.columns], steps, task.steps)
            slope += DECAY * weights[batch.columns]
            squares[batch.columns] += slope**2
            weights[batch.columns] -= rate * slope / np.sqrt(squares[batch.columns])
            step_squares += step_slope**2
            steps -= rate * step_slope / np.sqrt(step_squares)
    largest = np.abs(weights).max(axis=1)
    most = min(len(keys), max(1, most_bytes // (4 + 2 * size)))
    chosen = np.sort(np.argpartition(-largest, most - 1)[:most])
    return ChainModel.of_weights(keys[chosen].astype(np.int32), weights[chosen], steps, names, task.labels)


@dataclass(frozen=True)
class _Batch:
    """Windows of like length."""

    columns: np.ndarray
    """What their tokens are known by."""
    table: Any
    """Which token by which, a sparse matrix [tokens, columns]."""
    lengths: np.ndarray
    truth: np.ndarray
    """The codes of all tokens."""

    def slopes(self, weights: np.ndarray, steps: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the slopes of the negative log likelihood, by the weights of its columns and by the steps."""
        inside = np.arange(self.lengths.max()) < self.lengths[:, None]
        scores = np.zeros((*inside.shape, weights.shape[1]))
        scores[inside] = self.table @ weights
        codes = np.zeros(inside.shape, dtype=np.int64)
        codes[inside] = self.truth
        found = expected(scores, steps + allowed, self.lengths)
        slope = found.codes[inside].astype(np.float32)
        slope[np.arange(len(slope)), self.truth] -= 1
        step_slope = found.steps
        goes_on = inside[:, 1:]
        np.add.at(step_slope, (codes[:, :-1][goes_on], codes[:, 1:][goes_on]), -1)
        np.add.at(step_slope[-1], codes[:, 0], -1)
        return np.asarray(self.table.T @ slope), step_slope


def _batches(keys: np.ndarray, near: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> list[_Batch]:
    """Return windows in batches of like length; `keys` are what is learned from, among all that tokens are known by."""
    from scipy.sparse import csr_matrix

    groups: list[list[int]] = []
    for number in sorted(range(len(near)), key=lambda one: -len(near[one])):
        if groups and (len(groups[-1]) + 1) * len(near[groups[-1][0]]) <= BATCH_TOKENS:
            groups[-1].append(number)
        else:
            groups.append([number])
    row = np.full(1 << BITS, -1, dtype=np.int32)
    row[keys] = np.arange(len(keys), dtype=np.int32)
    found, place = [], np.zeros(len(keys), dtype=np.int32)
    for group in groups:
        rows = row[np.concatenate([near[number] for number in group])]
        known = rows >= 0
        used = rows[known]
        here = np.zeros(len(keys), dtype=bool)
        here[used] = True
        columns = np.flatnonzero(here)
        place[columns] = np.arange(len(columns), dtype=np.int32)
        starts = np.concatenate([[0], np.cumsum(known.sum(axis=1))])
        shape = (len(rows), len(columns))
        table = csr_matrix((np.ones(len(used), np.float32), place[used], starts), shape=shape)
        lengths = np.array([len(near[number]) for number in group])
        found.append(_Batch(columns, table, lengths, np.concatenate([truth[number] for number in group])))
    return found
