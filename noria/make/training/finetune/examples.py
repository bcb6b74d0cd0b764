"""Labelled rows as a model sees them, and batches of them: one collator for each kind of head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from noria.make.tokens.batches import IGNORED, Batch, Buckets
from noria.tasks.padding import Padding, padded, text_arrays, within
from noria.tasks.task import Features, Row, Task

Collator = Callable[["Examples", Padding, np.ndarray], Batch]


@dataclass(frozen=True)
class Examples:
    """Rows of one file, each read in one window or more."""

    rows: list[Row]
    features: list[Features]
    """Windows of all rows, in the order of the rows."""
    targets: list[Any]
    """What the head should say of each window."""
    owners: list[int]
    """The row that each window belongs to."""
    lengths: list[int]
    """Tokens of each window: those read, and those written where the head writes."""

    @classmethod
    def of(cls, task: Task, tokenizer: Tokenizer | None, rows: Sequence[Row], max_length: int) -> Examples:
        """Encode rows and their targets; `tokenizer` is None where rows are numbers."""
        features: list[Features] = []
        targets: list[Any] = []
        owners, lengths = [], []
        for number, row in enumerate(rows):
            for window in task.windows(tokenizer, row, max_length):
                target = task.target(row, window)
                others = _others(task, tokenizer, row, max_length) if task.head == "embedding" else []
                features.append(window)
                targets.append(others or target)
                owners.append(number)
                written = len(target) if task.head == "seq2seq" and isinstance(target, list) else 0
                lengths.append(max(1, len(window.ids) + written + sum(len(one.ids) for one in others)))
        return cls(list(rows), features, targets, owners, lengths)

    def some(self, rows: int) -> Examples:
        """Return so many rows at most, evenly over all: a file may stand in the order of its labels."""
        if rows >= len(self.rows):
            return self
        chosen = {place: number for number, place in enumerate(evenly(len(self.rows), rows))}
        kept = [number for number, owner in enumerate(self.owners) if owner in chosen]
        return Examples(
            [self.rows[place] for place in chosen],
            [self.features[number] for number in kept],
            [self.targets[number] for number in kept],
            [chosen[self.owners[number]] for number in kept],
            [self.lengths[number] for number in kept],
        )

    def within(self, tokens: int) -> Examples:
        """Return about as many rows as have no more than `tokens` tokens together, at least one, evenly over all."""
        return self.some(max(1, len(self.rows) * tokens // max(tokens, sum(self.lengths))))


class Augmented:
    """A `BatchSource` of examples whose texts are said a little differently in every epoch after the first.

    Args:
        source: the batches as they are.
        examples: what its rows are numbers of.
        augment: row of the file, its number and the epoch -> the row as it is said then.
        encode: rows -> examples.
        collate: examples and their numbers -> batch.
    """

    def __init__(
        self,
        source: Buckets,
        examples: Examples,
        augment: Callable[[Row, int, int], Row],
        encode: Callable[[list[Row]], Examples],
        collate: Callable[[Examples, np.ndarray], Batch],
    ) -> None:
        self._source, self._examples, self._augment, self._encode, self._collate = (
            source,
            examples,
            augment,
            encode,
            collate,
        )
        self.fingerprint, self.tokens_per_step = f"{source.fingerprint} augmented", source.tokens_per_step
        self.steps_per_epoch = source.steps_per_epoch

    def at(self, step: int) -> list[Batch]:
        """Return the one batch of a step."""
        epoch, numbers = self._source.rows(step)
        if epoch == 0:
            return self._source.at(step)
        owners = [self._examples.owners[number] for number in numbers]
        augmented = self._encode([self._augment(self._examples.rows[owner], owner, epoch) for owner in owners])
        batch = self._collate(augmented, np.arange(len(augmented.features)))
        return [replace(batch, rows=[owners[row] for row in batch.rows])]


def evenly(count: int, most: int) -> list[int]:
    """Return at most so many places of `count`, evenly over all.

    >>> evenly(10, 3), evenly(2, 3)
    ([0, 3, 6], [0, 1])
    """
    return [place * count // most for place in range(most)] if most < count else list(range(count))


def _others(task: Task, tokenizer: Tokenizer | None, row: Row, max_length: int) -> list[Features]:
    """Return a pair's texts after the first, as the model sees them."""
    return [task.features(tokenizer, text, max_length) for text in task.texts(row)[1:]]


def texts(examples: Examples, padding: Padding, numbers: np.ndarray) -> Batch:
    """Return windows with labels: one number a text, one for each of many labels, one a token, or two tokens of a span."""
    chosen = [examples.features[number] for number in numbers]
    targets = [examples.targets[number] for number in numbers]
    arrays = text_arrays(chosen, padding)
    # A list of whole numbers has one a token; one of fractions, one a label; two tokens of a span are a pair.
    per_token = isinstance(targets[0], list) and not any(isinstance(one, float) for one in targets[0])
    width = arrays["input_ids"].shape[1]
    if per_token:
        arrays["labels"] = padded(targets, padding, width=width, filler=IGNORED)[0]
    else:
        arrays["labels"] = np.array(
            [
                tuple(moved(place, one, width, padding) for place in target) if isinstance(target, tuple) else target
                for one, target in zip(chosen, targets, strict=True)
            ]
        )
    return _batch(examples, arrays, numbers)


def moved(place: int, one: Features, width: int, padding: Padding) -> int:
    """Return where a token of a text stands in a row of `width`."""
    return place if place == IGNORED else place + within(len(one.ids), width, padding).start


def vectors(examples: Examples, padding: Padding, numbers: np.ndarray) -> Batch:
    """Return rows of numbers with their labels."""
    arrays = {
        "vectors": np.array([examples.features[number].meta["vector"] for number in numbers], dtype=np.float32),
        "labels": np.array([examples.targets[number] for number in numbers]),
    }
    return _batch(examples, arrays, numbers)


def pairs(examples: Examples, padding: Padding, numbers: np.ndarray) -> Batch:
    """Return anchors, then positives, then the negatives there are, as one batch; `pairs` says how many anchors.

    `same` (P, texts - P) is True where a text that is not a row's own positive reads the same as it: no negative of that row.
    """
    anchors = [examples.features[number] for number in numbers]
    others = [examples.targets[number] for number in numbers]
    candidates = [other[0] for other in others] + [one for other in others for one in other[1:]]
    arrays = text_arrays([*anchors, *candidates], padding)
    words = np.array([one.meta["text"] for one in candidates], dtype=object)
    same = words[: len(anchors), None] == words[None]
    np.fill_diagonal(same, False)
    return _batch(examples, {**arrays, "same": same}, numbers)


def written(examples: Examples, padding: Padding, numbers: np.ndarray) -> Batch:
    """Return source texts and, as labels (B, S), what is to be written from each."""
    arrays = text_arrays([examples.features[number] for number in numbers], padding)
    targets = [examples.targets[number] for number in numbers]
    arrays["labels"] = filled(targets, IGNORED, max(map(len, targets)))
    return _batch(examples, arrays, numbers)


def continued(examples: Examples, padding: Padding, numbers: np.ndarray) -> Batch:
    """Return texts of a causal model as rows: ids, the next token where it is scored, and which positions are of the text."""
    ids = [examples.features[number].ids for number in numbers]
    width = max(map(len, ids))
    targets = filled([examples.targets[number] for number in numbers], IGNORED, width + 1)[:, 1:]
    documents = filled([[0] * len(one) for one in ids], 1, width)
    arrays = {"input_ids": filled(ids, padding.id, width), "targets": targets, "documents": documents}
    return _batch(examples, arrays, numbers)


def filled(rows: Sequence[Sequence[int]], filler: int, width: int) -> np.ndarray:
    """Return rows filled up to one width, int64 (rows, width)."""
    table = np.full((len(rows), width), filler, dtype=np.int64)
    for place, values in enumerate(rows):
        table[place, : len(values)] = values
    return table


def _batch(examples: Examples, arrays: dict[str, np.ndarray], numbers: np.ndarray) -> Batch:
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    rows = [examples.owners[number] for number in numbers]
    return Batch(tensors, rows, sum(examples.lengths[number] for number in numbers))
