"""A BERT encoder's forward and backward in few passes over memory: the function that transformers computes, faster on a processor.

Everything stays in the number type of the products, so nothing is converted between them; the three products that read the
same states are one product; scores, softmax and mixing are one autograd function with its backward pass written out; and
where a head reads only the first token, the last layer computes only that token's. Nothing is compiled. A test holds logits
and gradients against transformers' own.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import torch
from torch import nn
from torch.nn import functional as F

from noria.infer import unpadded
from noria.make.models.adapted import AdaptedLinear
from noria.make.models.lora import WeightChange, changed

if TYPE_CHECKING:
    from transformers import (
        BertForQuestionAnswering,
        BertForSequenceClassification,
        BertForTokenClassification,
        BertModel,
        BertPreTrainedModel,
    )
    from transformers.models.bert.modeling_bert import BertEmbeddings, BertLayer

aten = torch.ops.aten


def applies(module: nn.Module) -> TypeGuard[BertPreTrainedModel]:
    """Return whether `run` computes what this module would: a plain BERT whose weights all lie here, and no dropout."""
    return type(module).__name__ in _HEADS and plain(module)


def plain(module: nn.Module) -> TypeGuard[BertPreTrainedModel]:
    """Return whether `hidden_states` computes what the encoder within this module would."""
    return unpadded.plain(module, (nn.Linear, AdaptedLinear))


def run(module: nn.Module, tensors: dict[str, torch.Tensor]) -> Any:
    """Return the module's output for its arguments, by the fast way where it applies.

    Args:
        module: any module; reads whether autocast to bf16 is on.
        tensors: input_ids (B, T), attention_mask (B, T), token_type_ids (B, T): the module's arguments. Or, where it
            applies, the states that its lowest layers give, as `states` (B, T, D), and how many they are, as `below`.
    """
    if not applies(module):
        return module(**tensors)
    dtype = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
    with torch.autocast("cpu", enabled=False):
        return _HEADS[type(module).__name__](module, tensors, dtype)


def hidden_states(
    bert: BertModel, tensors: dict[str, torch.Tensor], dtype: torch.dtype, *, first: bool = False
) -> torch.Tensor:
    """Return the states above the last layer, (B, T, D) in `dtype`; `first` gives those of the first token, (B, 1, D)."""
    mask, below = tensors.get("attention_mask"), int(tensors.get("below", 0))
    if "states" in tensors:
        hidden = tensors["states"].to(dtype)
    else:
        hidden = _embedded(bert.embeddings, tensors["input_ids"], tensors.get("token_type_ids"), dtype)
    unseen = _unseen(mask, dtype)
    layers = _layers(bert)
    for number, layer in enumerate(layers[below:], start=below):
        hidden = _layer(layer, hidden, unseen, first=first and number == len(layers) - 1)
    return hidden


@torch.no_grad()
def lower_states(bert: BertModel, tensors: dict[str, torch.Tensor], dtype: torch.dtype, below: int) -> torch.Tensor:
    """Return the states above the lowest `below` layers, (B, T, D) in `dtype`, for layers that do not learn."""
    hidden = _embedded(bert.embeddings, tensors["input_ids"], tensors.get("token_type_ids"), dtype)
    unseen = _unseen(tensors.get("attention_mask"), dtype)
    for layer in _layers(bert)[:below]:
        hidden = _layer(layer, hidden, unseen, first=False)
    return hidden


@torch.no_grad()
def first_state(layer: BertLayer, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the first token's state above one more layer, (B, D) in float32, from states (B, T, D) and their mask (B, T)."""
    return _layer(layer, states, _unseen(mask, states.dtype), first=True)[:, 0].float()


def _layers(bert: BertModel) -> list[BertLayer]:
    return cast("list[BertLayer]", list(bert.encoder.layer))


def _unseen(mask: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    """Return what is added to scores: a large negative number where a key is only filling."""
    return None if mask is None else torch.zeros(mask.shape, dtype=dtype).masked_fill_(mask == 0, -1e9)[:, None, None]


def _embedded(part: BertEmbeddings, ids: torch.Tensor, types: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor:
    words = F.embedding(ids, part.word_embeddings.weight, part.word_embeddings.padding_idx)
    places = part.position_embeddings.weight[: ids.shape[1]]
    kinds = part.token_type_embeddings.weight[0] if types is None else part.token_type_embeddings(types)
    return _normed(part.LayerNorm, (words + (places + kinds)).to(dtype))


def _layer(layer: BertLayer, hidden: torch.Tensor, unseen: torch.Tensor | None, *, first: bool) -> torch.Tensor:
    attention = layer.attention.self
    parts = (attention.query, attention.key, attention.value)
    mixed: torch.Tensor = _Attend.apply(  # type: ignore[no-untyped-call]
        _joined(parts, hidden), unseen, attention.attention_head_size, 1 if first else hidden.shape[1]
    )
    hidden = hidden[:, :1] if first else hidden
    hidden = _normed(layer.attention.output.LayerNorm, hidden + _product(layer.attention.output.dense, mixed))
    wide = F.gelu(_product(layer.intermediate.dense, hidden))
    return _normed(layer.output.LayerNorm, hidden + _product(layer.output.dense, wide))


def _joined(parts: tuple[nn.Linear, ...], x: torch.Tensor) -> torch.Tensor:
    """Return the products with several matrices, one beside the other."""
    used = [part.adapter for part in parts if isinstance(part, AdaptedLinear)]
    changes = [(part, one) for part, one in zip(parts, used, strict=False) if isinstance(one, WeightChange)]
    if len(changes) == len(parts):
        return changed(x, changes)
    if any(one is not None for one in used):
        return torch.cat([_product(part, x) for part in parts], dim=-1)
    if used:
        weight = torch.cat([part.rounded(x.dtype) for part in parts if isinstance(part, AdaptedLinear)])
    else:
        weight = torch.cat([part.weight for part in parts]).to(x.dtype)
    return F.linear(x, weight, torch.cat([part.bias for part in parts]).to(x.dtype))


def _product(linear: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    if isinstance(linear, AdaptedLinear):
        return cast(torch.Tensor, linear(x))
    return F.linear(x, linear.weight.to(x.dtype), linear.bias.to(x.dtype))


def _normed(norm: nn.LayerNorm, x: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(x, norm.normalized_shape, norm.weight.to(x.dtype), norm.bias.to(x.dtype), norm.eps)


class _Attend(torch.autograd.Function):
    """Masked softmax of scores, mixed values (Vaswani et al. 2017, equation 1). B batch, T time, H heads, W width of a head."""

    @staticmethod
    def forward(ctx: Any, joined: torch.Tensor, unseen: torch.Tensor | None, width: int, queries: int) -> torch.Tensor:
        batch, length, _ = joined.shape
        parts = joined.view(batch, length, 3, -1, width).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0, :, :, :queries] * width**-0.5, parts[1].contiguous(), parts[2].contiguous()
        scores = query @ key.transpose(2, 3)
        share = (scores if unseen is None else scores.add_(unseen)).softmax(-1)
        ctx.save_for_backward(query, key, value, share)
        mixed: torch.Tensor = share @ value
        return mixed.transpose(1, 2).reshape(batch, queries, -1)

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        query, key, value, share = ctx.saved_tensors
        batch, heads, length, width = key.shape
        queries = query.shape[2]
        slope = slopes[0].view(batch, queries, heads, width).transpose(1, 2).contiguous()
        joined = torch.empty(batch, length, 3, heads, width, dtype=slope.dtype)
        parts = joined.permute(2, 0, 3, 1, 4)
        parts[2].copy_(share.transpose(2, 3) @ slope)
        scores = aten._softmax_backward_data(slope @ value.transpose(2, 3), share, -1, share.dtype)
        parts[1].copy_(scores.transpose(2, 3) @ query)
        torch.mul(scores @ key, width**-0.5, out=parts[0, :, :, :queries])
        if queries < length:
            parts[0, :, :, queries:].zero_()
        return joined.view(batch, length, -1), None, None, None


def _sequence(
    module: BertForSequenceClassification, tensors: dict[str, torch.Tensor], dtype: torch.dtype
) -> SimpleNamespace:
    first = hidden_states(module.bert, tensors, dtype, first=True)[:, 0].float()
    pooler = module.bert.pooler
    assert pooler is not None
    return SimpleNamespace(logits=module.classifier(pooler.activation(pooler.dense(first))))


def _token(module: BertForTokenClassification, tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> SimpleNamespace:
    return SimpleNamespace(logits=_product(module.classifier, hidden_states(module.bert, tensors, dtype)))


def _span(module: BertForQuestionAnswering, tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> SimpleNamespace:
    logits = _product(module.qa_outputs, hidden_states(module.bert, tensors, dtype))
    return SimpleNamespace(start_logits=logits[..., 0], end_logits=logits[..., 1])


def _states(module: BertModel, tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> SimpleNamespace:
    return SimpleNamespace(last_hidden_state=hidden_states(module, tensors, dtype))


_HEADS: dict[str, Callable[..., SimpleNamespace]] = {
    "BertForSequenceClassification": _sequence,
    "BertForTokenClassification": _token,
    "BertForQuestionAnswering": _span,
    "BertModel": _states,
}
