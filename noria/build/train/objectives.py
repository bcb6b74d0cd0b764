"""Losses on plain text: the next token, hidden tokens, cut spans.

Each is given the module and a batch, and gives the summed loss over the scored targets and how many there were.
"""

from __future__ import annotations

import torch
from torch import nn

from noria.build.tokens.batches import IGNORED, Batch

from . import bert, llama
from .crossentropy import cross_entropy


def causal(module: nn.Module, batch: Batch, *, dropout: float = 0.0) -> tuple[torch.Tensor, int]:
    """Score every next token of documents packed into rows; a document sees nothing of its neighbours.

    Reads `input_ids` (B, T), `targets` (B, T) with -100 where nothing is scored, and `documents` (B, T), the number of
    the document within the row that a position belongs to. The module is a causal model in the Hugging Face form, or an
    LSTM. `dropout` is that of the fast path, while the module trains; another module has its own.
    """
    tensors = batch.tensors
    ids, documents = tensors["input_ids"], tensors["documents"]
    dtype = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
    if hasattr(module, "hidden_states"):
        hidden = module.hidden_states(ids, documents)
    elif llama.applies(module):
        with torch.autocast("cpu", enabled=False):
            rate = dropout if module.training else 0.0
            hidden = llama.hidden_states(module, ids, isolation(documents), dtype, dropout=rate)
    else:
        hidden = module.model(input_ids=ids, attention_mask=isolation(documents), use_cache=False).last_hidden_state
    targets = tensors["targets"].flatten()
    scored = (targets != IGNORED).nonzero().squeeze(1)
    with torch.autocast("cpu", enabled=False):
        loss = cross_entropy(hidden.flatten(0, 1)[scored].to(dtype), module.lm_head.weight, targets[scored])
    return loss, len(scored)


def isolation(documents: torch.Tensor) -> torch.Tensor:
    """Return which positions each position sees: earlier ones of its own document, (B, 1, T, T), True where seen."""
    same = documents[:, :, None] == documents[:, None, :]
    return same.tril()[:, None]


def masked(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, int]:
    """Score the hidden tokens of texts: only their states go through the head that names them.

    Reads `input_ids` and `attention_mask` (B, T), and `targets` (B, T) with -100 where nothing was hidden. The module is
    an encoder with a head for masked language modelling, in the Hugging Face form.
    """
    tensors = batch.tensors
    inputs = {name: tensors[name] for name in ("input_ids", "attention_mask")}
    targets = tensors["targets"].flatten()
    scored = (targets != IGNORED).nonzero().squeeze(1)
    dtype = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
    if bert.plain(module):
        with torch.autocast("cpu", enabled=False):
            hidden = bert.hidden_states(module.bert, inputs, dtype)
    else:
        hidden = module.base_model(**inputs).last_hidden_state
    head = module.cls if hasattr(module, "cls") else module.lm_head
    logits = head(hidden.flatten(0, 1)[scored])
    return nn.functional.cross_entropy(logits.float(), targets[scored], reduction="sum"), len(scored)


def spans(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, int]:
    """Score the spans that were cut out of texts, their sentinels and the end, as the decoder writes them.

    Reads `input_ids` and `attention_mask` (B, T), and `targets` (B, U) with -100 behind a target's end. The module is an
    encoder-decoder in the Hugging Face form.
    """
    tensors = batch.tensors
    logits = module(
        input_ids=tensors["input_ids"], attention_mask=tensors["attention_mask"], use_cache=False,
        decoder_input_ids=shifted(tensors["targets"], module.config),
    ).logits  # fmt: skip
    targets = tensors["targets"].flatten()
    loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), targets, ignore_index=IGNORED, reduction="sum")
    return loss, int((targets != IGNORED).sum())


def shifted(targets: torch.Tensor, config: object) -> torch.Tensor:
    """Return what a decoder reads so that it writes `targets` (B, U): its start token, then all but the last."""
    ids = targets.roll(1, 1)
    ids[:, 0] = config.decoder_start_token_id
    return ids.masked_fill(ids == IGNORED, config.pad_token_id)
