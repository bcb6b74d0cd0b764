"""Losses on plain text: causal language modelling.

Each is given the module and a batch, and gives the summed loss over the scored targets and how many there were.
"""

from __future__ import annotations

import torch
from torch import nn

from noria.build.tokens.batches import IGNORED, Batch

from . import llama
from .crossentropy import cross_entropy


def causal(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, int]:
    """Score every next token of documents packed into rows; a document sees nothing of its neighbours.

    Reads `input_ids` (B, T), `targets` (B, T) with -100 where nothing is scored, and `documents` (B, T), the number of
    the document within the row that a position belongs to. The module is a causal model in the Hugging Face form.
    """
    tensors = batch.tensors
    seen = isolation(tensors["documents"])
    dtype = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
    if llama.applies(module):
        with torch.autocast("cpu", enabled=False):
            hidden = llama.hidden_states(module, tensors["input_ids"], seen, dtype)
    else:
        hidden = module.model(input_ids=tensors["input_ids"], attention_mask=seen, use_cache=False).last_hidden_state
    targets = tensors["targets"].flatten()
    scored = (targets != IGNORED).nonzero().squeeze(1)
    with torch.autocast("cpu", enabled=False):
        loss = cross_entropy(hidden.flatten(0, 1)[scored].to(dtype), module.lm_head.weight, targets[scored])
    return loss, len(scored)


def isolation(documents: torch.Tensor) -> torch.Tensor:
    """Return which positions each position sees: earlier ones of its own document, (B, 1, T, T), True where seen."""
    same = documents[:, :, None] == documents[:, None, :]
    return same.tril()[:, None]
