"""A Llama's forward and backward in few passes over memory: the function that transformers computes, faster on a processor.

At a few million parameters a processor with a matrix unit spends its time not on products but on everything between
them. So each half of a layer is one autograd function with the backward pass written out, in the number type of the
products. Products that share their input are one product; the norms' weights are folded into the matrices behind them;
tokens pass in chunks that stay in the cache; scores above the diagonal are not computed. Nothing is compiled. A test
holds loss and gradients against transformers' own.

N tokens of the batch, B batch, T time, D width, H heads, W width of a head, F width of the feed-forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import torch
from torch import nn
from torch.nn import functional as F

from noria.infer.device import place_of

from .llama_attention import Heads, Turns, attend, attend_back

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer

aten = torch.ops.aten
CHUNK = 1024
"""Tokens that pass through a stretch at once: at widths of some hundreds, what they become fits the second-level cache."""


def applies(module: nn.Module) -> TypeGuard[LlamaForCausalLM]:
    """Return whether `hidden_states` computes what this module would: a plain Llama, its matrices whole and not wrapped."""
    config = getattr(module, "config", None)
    return (
        config is not None
        and place_of(module).type == "cpu"
        and getattr(config, "model_type", "") == "llama"
        and type(module).__name__ == "LlamaForCausalLM"
        and config.num_key_value_heads == config.num_attention_heads
        and config.hidden_act == "silu"
        and config.rope_parameters.get("rope_type") == "default"
        and not (config.attention_bias or config.mlp_bias or config.attention_dropout)
        and all(
            type(part) is nn.Linear and type(part.weight) is nn.Parameter
            for layer in cast("LlamaForCausalLM", module).model.layers
            for part in (*_attention_parts(layer), *_feed_forward_parts(layer))
        )
    )


def hidden_states(
    module: LlamaForCausalLM, ids: torch.Tensor, seen: torch.Tensor, dtype: torch.dtype, *, dropout: float = 0.0
) -> torch.Tensor:
    """Return the hidden states above the last norm, (B, T, D), in `dtype`.

    Args:
        module: a Llama with a language model's head, for which `applies`.
        ids: token ids (B, T).
        seen: which positions each position sees (B, 1, T, T); none sees a later one.
        dtype: number type of products and of everything between them; weights keep theirs.
        dropout: share of what each half of a layer adds that is dropped (Vaswani et al. 2017, section 5.4).
    """
    model, config = module.model, module.config
    mask = torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, -1e9)
    hidden = F.embedding(ids, model.embed_tokens.weight).to(dtype)
    base = cast("dict[str, float]", config.rope_parameters)["rope_theta"]
    turns = Turns.of(ids.shape[1], config.num_attention_heads, cast(int, config.head_dim), base)
    for layer in model.layers:
        norm = layer.input_layernorm
        plan = _Plan(norm.variance_epsilon, dropout)
        matrices = [part.weight for part in _attention_parts(layer)]
        hidden = _Attention.apply(hidden, norm.weight, *matrices, mask, turns, plan)  # type: ignore[no-untyped-call]
        matrices = [part.weight for part in _feed_forward_parts(layer)]
        hidden = _FeedForward.apply(hidden, layer.post_attention_layernorm.weight, *matrices, plan)  # type: ignore[no-untyped-call]
    weight = model.norm.weight.to(dtype)
    normed: torch.Tensor = _Norm.apply(hidden, weight, model.norm.variance_epsilon)  # type: ignore[no-untyped-call]
    return normed


def _attention_parts(layer: LlamaDecoderLayer) -> tuple[nn.Linear, ...]:
    return layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj, layer.self_attn.o_proj


def _feed_forward_parts(layer: LlamaDecoderLayer) -> tuple[nn.Linear, ...]:
    return layer.mlp.gate_proj, layer.mlp.up_proj, layer.mlp.down_proj


@dataclass(frozen=True)
class _Plan:
    """What both halves of a layer are told."""

    epsilon: float
    dropout: float


class _Norm(torch.autograd.Function):
    """Root mean square norm (Zhang and Sennrich 2019, equation 4)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        normed, inverse = _normed(x, epsilon)
        ctx.save_for_backward(normed, inverse, weight)
        return normed * weight

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        normed, inverse, weight = ctx.saved_tensors
        slope = slopes[0]
        of_weight = (slope * normed).flatten(0, -2).sum(0, dtype=torch.float32).to(weight.dtype)
        return _norm_back(slope * weight, normed, inverse), of_weight, None


def _normed(x: torch.Tensor, epsilon: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x over its root mean square, and the inverse of that (..., 1)."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    inverse = length.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_().to(x.dtype)
    return x * inverse, inverse


def _norm_back(slope: torch.Tensor, normed: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
    """Return the slope before the norm of the slope behind it, which is overwritten."""
    along = (slope * normed).sum(-1, keepdim=True).div_(slope.shape[-1])
    return slope.addcmul_(normed, along, value=-1).mul_(inverse)


def _folded(matrices: tuple[torch.Tensor, ...], norm: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the matrices below each other, each column times the norm's weight, in the number type of the products."""
    joined = torch.empty(sum(len(matrix) for matrix in matrices), norm.shape[0], dtype=dtype)
    for matrix, part in zip(matrices, joined.split([len(matrix) for matrix in matrices]), strict=True):
        torch.mul(matrix, norm, out=part)
    return joined


def _unfolded(
    slope: torch.Tensor, matrices: tuple[torch.Tensor, ...], norm: torch.Tensor
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Return the slopes of the matrices and of the norm's weight, of that of the folded matrix."""
    slopes = slope.split([len(matrix) for matrix in matrices])
    of_norm = sum((part * matrix).sum(0) for part, matrix in zip(slopes, matrices, strict=True))
    return [part * norm for part in slopes], of_norm


def _kept(shape: torch.Size, dropout: float, dtype: torch.dtype) -> torch.Tensor:
    """Return 0 where dropped, else 1 / (1 - dropout); four 16-bit numbers from each 64 random bits."""
    size = shape.numel()
    bits = torch.empty(-(-size // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:size].view(shape)
    return (bits >= round(dropout * 2**16) - 2**15).to(dtype).mul_(1 / (1 - dropout))


class _FeedForward(torch.autograd.Function):
    """x + down(silu(gate(norm(x))) * up(norm(x))) (Shazeer 2020, equation 6)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        norm: torch.Tensor,
        gate: torch.Tensor,
        up: torch.Tensor,
        down: torch.Tensor,
        plan: _Plan,
    ) -> torch.Tensor:
        joint, last = _folded((gate, up), norm, x.dtype), down.to(x.dtype)
        flat = x.reshape(-1, x.shape[-1])
        normed, inverse = _normed(flat, plan.epsilon)
        out, mixed, saved = torch.empty_like(flat), torch.empty(len(flat), len(gate), dtype=x.dtype), []
        for rows in _chunks(len(flat)):
            joined = normed[rows] @ joint.T
            opened = F.silu(joined[:, : len(gate)])
            torch.mul(opened, joined[:, len(gate) :], out=mixed[rows])
            kept = None
            if plan.dropout:
                added = mixed[rows] @ last.T
                kept = _kept(added.shape, plan.dropout, x.dtype)
                torch.addcmul(flat[rows], added, kept, out=out[rows])
            else:
                torch.addmm(flat[rows], mixed[rows], last.T, out=out[rows])
            saved.append((joined, opened, kept))
        ctx.saved = normed, inverse, mixed, saved
        ctx.weights = norm, gate, up, joint, last
        return out.view(x.shape)

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        normed, inverse, mixed, saved = ctx.saved
        norm, gate, up, joint, last = ctx.weights
        del ctx.saved, ctx.weights  # memory is free for the layers below
        slope = slopes[0].reshape(-1, slopes[0].shape[-1])
        out, of_joined = torch.empty_like(slope), torch.empty(len(slope), len(joint), dtype=slope.dtype)
        added = slope if saved[0][2] is None else torch.empty_like(slope)
        for rows, (joined, opened, kept) in zip(_chunks(len(slope)), saved, strict=True):
            if kept is not None:
                torch.mul(slope[rows], kept, out=added[rows])
            of_mixed = added[rows] @ last
            of_gate, of_up = of_joined[rows].chunk(2, dim=-1)
            torch.mul(of_mixed, opened, out=of_up)
            of_opened = of_mixed.mul_(joined[:, len(gate) :])
            aten.silu_backward.grad_input(of_opened, joined[:, : len(gate)], grad_input=of_gate)
            before = _norm_back(of_joined[rows] @ joint, normed[rows], inverse[rows])
            torch.add(slope[rows], before, out=out[rows])
        (of_gate, of_up), of_norm = _unfolded(of_joined.T @ normed, (gate, up), norm)
        of_down = (added.T @ mixed).float()
        return out.view(slopes[0].shape), of_norm, of_gate, of_up, of_down, None


class _Attention(torch.autograd.Function):
    """x + out(mix of values) for queries, keys and values of norm(x)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        norm: torch.Tensor,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        last: torch.Tensor,
        mask: torch.Tensor,
        turns: Turns,
        plan: _Plan,
    ) -> torch.Tensor:
        ctx.norm, ctx.matrices, ctx.turns = norm, (query, key, value), turns
        matrices = (turns.paired(query), turns.paired(key), value)
        joint, final = _folded(matrices, norm, x.dtype), last.to(x.dtype)
        normed, inverse = _normed(x, plan.epsilon)
        out, mixed, saved = torch.empty_like(x), torch.empty_like(x), []
        for rows in _chunks(len(x), x.shape[1]):
            heads = Heads.of(normed[rows] @ joint.T, turns)
            shares = attend(heads, mask[rows], mixed[rows])
            kept = None
            if plan.dropout:
                added = mixed[rows] @ final.T
                kept = _kept(added.shape, plan.dropout, x.dtype)
                torch.addcmul(x[rows], added, kept, out=out[rows])
            else:
                flat = out[rows].view(-1, x.shape[-1])
                torch.addmm(x[rows].flatten(0, 1), mixed[rows].flatten(0, 1), final.T, out=flat)
            saved.append((heads, shares, kept))
        ctx.saved = normed, inverse, joint, final, mixed, saved
        return out

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        normed, inverse, joint, final, mixed, saved = ctx.saved
        del ctx.saved
        slope = slopes[0].contiguous()
        out, of_joined = torch.empty_like(slope), torch.empty(*slope.shape[:2], len(joint), dtype=slope.dtype)
        added = slope if saved[0][2] is None else torch.empty_like(slope)
        chunks = _chunks(len(slope), slope.shape[1])
        for rows, (heads, shares, kept) in zip(chunks, saved, strict=True):
            if kept is not None:
                torch.mul(slope[rows], kept, out=added[rows])
            attend_back(heads, shares, added[rows] @ final, ctx.turns, of_joined[rows])
            before = _norm_back(of_joined[rows] @ joint, normed[rows], inverse[rows])
            torch.add(slope[rows], before, out=out[rows])
        width = slope.shape[-1]
        of_joint = of_joined.view(-1, len(joint)).T @ normed.view(-1, width)
        of_query, of_key, of_value = of_joint.split([len(matrix) for matrix in ctx.matrices])
        of_joint = torch.cat([ctx.turns.unpaired(of_query), ctx.turns.unpaired(of_key), of_value])
        of_matrices, of_norm = _unfolded(of_joint, ctx.matrices, ctx.norm)
        of_last = (added.view(-1, width).T @ mixed.view(-1, width)).float()
        return out, of_norm, *of_matrices, of_last, None, None, None


def _chunks(size: int, length: int = 1) -> list[slice]:
    """Return slices of rows that hold `CHUNK` tokens at most, `length` a row."""
    chunk = max(1, CHUNK // length)
    return [slice(start, start + chunk) for start in range(0, size, chunk)]
