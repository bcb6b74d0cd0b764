"""Losses on labelled rows: each is given the module and a batch, and gives the summed loss and how much was scored."""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import nn
from torch.nn import functional as F

from noria.make.kernels import bert
from noria.make.tokens.batches import IGNORED, Batch
from noria.tasks.pooling import DEFAULT, modes_of


class _Shifts(Protocol):
    """An encoder-decoder of transformers."""

    def prepare_decoder_input_ids_from_labels(self, *, labels: torch.Tensor) -> torch.Tensor:
        """Return what the decoder reads so that it writes the labels."""


def classes(
    module: nn.Module, batch: Batch, *, smoothing: float = 0.0, weights: torch.Tensor | None = None
) -> tuple[torch.Tensor, int]:
    """Score labels, one a text or one a token; `smoothing` of each target is spread over all classes.

    Reads `labels` (B) or (B, T), -100 not scored, or (B, C) of 0 and 1 where a text has many labels; all other tensors are
    the module's arguments. The module gives an object with `logits` (B, C) or (B, T, C). `weights` (C) multiplies the
    loss of each class's rows.
    """
    tensors = dict(batch.tensors)
    labels = tensors.pop("labels")
    logits = bert.run(module, tensors).logits.float()
    weights = None if weights is None else weights.to(logits.device)
    if labels.is_floating_point():
        wanted = labels.float() * (1 - smoothing) + smoothing / 2
        # One binary question a label; their mean weighs a text like one question.
        loss = F.binary_cross_entropy_with_logits(logits, wanted, weight=weights, reduction="sum") / labels.shape[1]
        return loss, len(labels)
    loss = F.cross_entropy(
        logits.flatten(0, -2),
        labels.flatten(),
        weight=weights,
        ignore_index=IGNORED,
        reduction="sum",
        label_smoothing=smoothing,
    )
    return loss, int((labels != IGNORED).sum())


def spans(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, int]:
    """Score the first and the last token of a span: `labels` (B, 2); padding can be neither."""
    tensors = dict(batch.tensors)
    labels = tensors.pop("labels")
    found = bert.run(module, tensors)
    logits = torch.stack([found.start_logits, found.end_logits], dim=1).float()
    if "attention_mask" in tensors:
        logits = logits.masked_fill(tensors["attention_mask"][:, None] == 0, -1e9)
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum") / 2, len(labels)


def contrast(module: nn.Module, batch: Batch, *, pooling: str, temperature: float) -> tuple[torch.Tensor, int]:
    """Score anchors against all positives and negatives of the batch: each should find its own (InfoNCE, van den Oord et al. 2018).

    Reads the texts in the order anchors, positives, negatives, and `same` (P, texts - P), True where a text reads like the
    row's positive though it is not it. Nearness is the cosine, divided by `temperature`.
    """
    tensors = dict(batch.tensors)
    same = tensors.pop("same")
    states = bert.run(module, tensors).last_hidden_state.float()
    vectors = F.normalize(pooled(states, tensors.get("attention_mask"), pooling), dim=-1)
    anchors = len(same)
    nearness = (vectors[:anchors] @ vectors[anchors:].T / temperature).masked_fill(same, -1e9)
    return F.cross_entropy(nearness, torch.arange(anchors, device=states.device), reduction="sum"), anchors


def pooled(states: torch.Tensor, mask: torch.Tensor | None, pooling: str) -> torch.Tensor:
    """Return one vector a text, (B, modes x D), from hidden states (B, T, D), whichever side is filled: see `tasks.pooling`."""
    mask = torch.ones(states.shape[:2], dtype=torch.long, device=states.device) if mask is None else mask
    return torch.cat([_pooled(states, mask, mode) for mode in modes_of(pooling or DEFAULT)], dim=-1)


def _pooled(states: torch.Tensor, mask: torch.Tensor, mode: str) -> torch.Tensor:
    rows, count = torch.arange(len(states), device=states.device), mask.sum(1, keepdim=True)
    first = mask.argmax(1)
    if mode == "cls":
        return states[rows, first]
    if mode == "lasttoken":
        return states[rows, first + count[:, 0] - 1]
    if mode == "max":
        return states.masked_fill(mask[:, :, None] == 0, float("-inf")).amax(1)
    weights = (mask.cumsum(1) if mode == "weightedmean" else 1) * mask
    divisor = count.sqrt() if mode == "mean_sqrt_len_tokens" else weights.sum(1, keepdim=True)
    return (states * weights[:, :, None]).sum(1) / divisor


def written(module: nn.Module, batch: Batch, *, smoothing: float = 0.0) -> tuple[torch.Tensor, int]:
    """Score every token of what an encoder-decoder should write: `labels` (B, S), -100 not scored."""
    tensors = dict(batch.tensors)
    labels = tensors.pop("labels")
    tensors["decoder_input_ids"] = cast(_Shifts, module).prepare_decoder_input_ids_from_labels(labels=labels)
    logits = module(**tensors, use_cache=False).logits.float()
    loss = F.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
    )
    return loss, int((labels != IGNORED).sum())
