"""How each head is trained: which batches its rows make, which loss they have, and how its weights are judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from noria.core.errors import unknown
from noria.make.tokens.batches import Batch
from noria.make.training.objectives import supervised
from noria.make.training.objectives.language_modeling import causal
from noria.tasks.padding import Padding
from noria.tasks.task import Task

from . import examples
from .examples import Collator, Examples

Loss = Callable[[nn.Module, Batch], tuple[torch.Tensor, float]]
CONTRAST = 0.05
"""Temperature of contrastive learning (Gao et al. 2021, "SimCSE", section 4)."""


@dataclass(frozen=True)
class HeadTraining:
    """How one head is trained."""

    collate: Collator
    loss: Loss
    by_row: bool
    """One target a row. Then every row weighs the same, however many share its step; else every scored token does."""
    by_loss: bool
    """Weights are judged by their loss on valid rows: writing answers to all of them would take too long."""


def training_of_head(task: Task, training: Examples, *, smoothing: float = 0.0, balance: float = 0.0) -> HeadTraining:
    """Return how a task's head is trained.

    Args:
        task: knows its head.
        training: the rows, for the weights of their classes.
        smoothing: label smoothing, where the head has classes or words to choose from.
        balance: weights of the classes of a sequence or vector head, from 0 (every row the same) to 1 (every class the same).

    Raises:
        SettingError: the head is none that can be trained.
    """
    classes: Loss = partial(supervised.classes, smoothing=smoothing, weights=class_weights(task, training, balance))
    heads = {
        "sequence": HeadTraining(examples.texts, classes, by_row=True, by_loss=False),
        "vector": HeadTraining(examples.vectors, classes, by_row=True, by_loss=False),
        "token": HeadTraining(examples.texts, classes, by_row=False, by_loss=False),
        "span": HeadTraining(examples.texts, supervised.spans, by_row=True, by_loss=False),
        "embedding": HeadTraining(
            examples.pairs,
            partial(supervised.contrast, pooling=getattr(task, "pooling", ""), temperature=CONTRAST),
            by_row=True,
            by_loss=False,
        ),
        "seq2seq": HeadTraining(
            examples.written, partial(supervised.written, smoothing=smoothing), by_row=False, by_loss=True
        ),
        "causal": HeadTraining(examples.continued, causal, by_row=False, by_loss=True),
    }
    if task.head not in heads:
        raise unknown("head", task.head, heads)
    return heads[task.head]


def class_weights(task: Task, training: Examples, balance: float) -> torch.Tensor | None:
    """Return a weight for each class, (rows / rows of the class) ** balance, scaled so that the rows' mean weight is 1.

    None where the head has no classes of rows, or `balance` is 0.
    """
    if not balance or task.head not in ("sequence", "vector") or isinstance(training.targets[0], list):
        return None
    counts = np.array([Counter(training.targets).get(place, 0) for place in range(len(task.outputs))], dtype=float)
    weights = (len(training.targets) / np.maximum(counts, 1)) ** balance
    return torch.tensor(weights * counts.sum() / (weights * counts).sum(), dtype=torch.float32)


def objective_of(head: HeadTraining, rows_per_step: float) -> Loss:
    """Return the loss of a head with the weight that the loop divides by.

    A batch of long texts holds fewer rows than one of short texts. Where the loss was divided by the batch's own rows, a
    short text would teach several times less than a long one; dividing by the rows of an average step does not.
    """
    if not head.by_row:
        return head.loss

    def evenly(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, float]:
        loss, _ = head.loss(module, batch)
        return loss, rows_per_step * batch.share

    return evenly


def mean_loss(
    head: HeadTraining, module: nn.Module, valid: Examples, padding: Padding, batches: Sequence[np.ndarray]
) -> tuple[float, float]:
    """Return the loss a scored target over valid rows, in nats, and how many were scored."""
    total, weight = 0.0, 0.0
    for numbers in batches:
        loss, scored = head.loss(module, head.collate(valid, padding, numbers).beside(module))
        total, weight = total + float(loss), weight + scored
    return total / max(weight, 1.0), weight
