"""A model's logits for many texts, in batches of like length, in the order the texts came in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from noria.tasks.task import Answer, Features, Task

if TYPE_CHECKING:
    from torch import nn


def predict(
    module: nn.Module, features: Sequence[Features], *, bf16: bool = False, tokens_per_batch: int = 8192, pad: int = 0
) -> list[np.ndarray]:
    """Return the logits of every text, float32: [labels] of a sequence head, [T, outputs] of a token head.

    Args:
        module: a Hugging Face model with `logits`, in evaluation mode.
        features: the texts.
        bf16: compute matrix products in bf16.
        tokens_per_batch: padded tokens of one forward pass.
        pad: id that fills short texts up; it is masked.
    """
    import torch

    order = sorted(range(len(features)), key=lambda index: len(features[index].ids))
    logits: list[np.ndarray] = [np.empty(0)] * len(features)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        while order:
            longest = len(features[order[-1]].ids)
            count = max(1, tokens_per_batch // longest)
            order, rows = order[:-count], order[-count:]
            ids, mask = padded([features[row].ids for row in rows], pad)
            found = (
                module(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits.float().numpy()
            )
            for row, values in zip(rows, found, strict=True):
                logits[row] = values[: len(features[row].ids)] if values.ndim == 2 else values
    return logits


def padded(ids: Sequence[Sequence[int]], pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ids filled up to the longest, and 1 where they are not filling, both int64 [texts, T]."""
    width = max(len(row) for row in ids)
    table = np.full((len(ids), width), pad, dtype=np.int64)
    mask = np.zeros((len(ids), width), dtype=np.int64)
    for row, values in enumerate(ids):
        table[row, : len(values)] = values
        mask[row, : len(values)] = 1
    return table, mask


def answers(task: Task, features: Sequence[Features], logits: Sequence[np.ndarray]) -> list[Answer]:
    """Return the task's answer to every text."""
    return [task.answer(one, values) for one, values in zip(features, logits, strict=True)]
