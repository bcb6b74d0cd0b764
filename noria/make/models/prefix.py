"""Prefix tuning: keys and values that learn, put before those of every text in every attention (Li and Liang 2021; Liu et al. 2022).

They start as the keys and values that the model itself makes of a few words (Li and Liang 2021, section 7.4), so the first
step finds a model that still works. Our own mixing of values: peft hands prefixes over as a cache of earlier tokens, which
shifts positions and needs a wrapper round the model; here each attention holds its own, and encoders, decoders and both
together work alike. A prefix changes what flows, not the weights, so it cannot be merged.
"""

from __future__ import annotations

import copy
from typing import Any, Protocol, cast

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AttentionInterface, PreTrainedConfig, PreTrainedModel

NAME = "noria_prefix"


class Prefix(nn.Module):
    """Keys and values (heads, tokens, width of a head) of one attention; none before the first pass has filled them."""

    def __init__(self) -> None:
        super().__init__()
        self.key = nn.Parameter(torch.empty(0))
        self.value = nn.Parameter(torch.empty(0))

    def fill(self, key: torch.Tensor, value: torch.Tensor) -> None:
        """Start from keys and values (heads, tokens, width)."""
        self.key = nn.Parameter(key.detach().float().clone())
        self.value = nn.Parameter(value.detach().float().clone())


class Holder(Protocol):
    """An attention of transformers that is ready for prefixes."""

    config: PreTrainedConfig
    plain_config: PreTrainedConfig
    is_causal: bool
    training: bool
    prefixes: nn.ModuleDict
    """By name of the adapter."""
    used_prefix: str | None


def held_by(module: nn.Module) -> Holder | None:
    """Return a module as what holds prefixes, where it does."""
    return cast(Holder, module) if hasattr(module, "prefixes") else None


def hold(attention: nn.Module) -> Holder:
    """Make an attention ready for prefixes, and return it."""
    holder = cast(Holder, attention)
    if not hasattr(attention, "prefixes"):
        holder.prefixes = nn.ModuleDict()
        holder.used_prefix = None
        # A configuration of its own: whoever sets the model's attention later does not lose the prefixes.
        holder.plain_config, holder.config = holder.config, copy.copy(holder.config)
        holder.config._attn_implementation = NAME
    return holder


def release(attention: nn.Module) -> None:
    """Make it an ordinary attention again."""
    if holder := held_by(attention):
        holder.config = holder.plain_config
        del holder.prefixes, holder.used_prefix, holder.plain_config


@torch.no_grad()
def fill_from_words(base: PreTrainedModel, tokens: int, random: torch.Generator) -> None:
    """Start all empty prefixes in use from one pass over random words of the vocabulary.

    Args:
        base: a transformers model without its head.
        tokens: length of the prefixes.
        random: draws the words.
    """
    ids = torch.randint(base.config.vocab_size, (1, tokens), generator=random)
    both = {"decoder_input_ids": ids} if getattr(base.config, "is_encoder_decoder", False) else {}
    training = base.training
    base.eval()
    base(input_ids=ids, use_cache=False, **both)
    base.train(training)


def attend(
    module: Holder,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    position_bias: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Return values mixed by keys, prefix first, in the form of transformers' attention functions.

    Args:
        module: the attention.
        query: (B, heads, T, W).
        key, value: (B, heads of keys, S, W).
        attention_mask: (B, 1, T, S) to add, or True where seen; None where all is seen, or all of the past.
        scaling: of the products.
        dropout: of the shares.
        position_bias: (B or 1, heads, T, S) to add.
    """
    length, past = query.shape[2], key.shape[2]
    if attention_mask is None and module.is_causal and length > 1:
        attention_mask = torch.ones(length, past, dtype=torch.bool).tril(past - length)
    before = 0
    name = module.used_prefix
    prefix = cast(Prefix, module.prefixes[name]) if name is not None and name in module.prefixes else None
    if prefix is not None and not len(prefix.key):
        prefix.fill(key[0], value[0])
    elif prefix is not None:
        before = prefix.key.shape[1]
        size = (query.shape[0], -1, -1, -1)  # not len(), which a trace would take for a constant
        key = torch.cat([prefix.key.to(key.dtype).expand(size), key], dim=2)
        value = torch.cat([prefix.value.to(value.dtype).expand(size), value], dim=2)
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if position_bias is not None:
        scores = scores + F.pad(position_bias, (before, 0))
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        scores = scores.masked_fill(~F.pad(attention_mask, (before, 0), value=True), torch.finfo(scores.dtype).min)
    elif attention_mask is not None:
        scores = scores + F.pad(attention_mask, (before, 0))
    shares = F.dropout(scores.softmax(-1), dropout, module.training).to(value.dtype)
    return (shares @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, attend)
