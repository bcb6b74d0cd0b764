"""A Llama's forward and backward in few passes over memory: the function that transformers computes, faster on a processor.

At a few million parameters a processor with a matrix unit spends its time not on products but on everything between
them. So the three stretches between products (norm; rotation, scores and softmax; the gate) are one autograd function
each, with the backward pass written out, everything in the number type of the products, and products that share their
input are one product. Nothing is compiled. A test holds loss and gradients against transformers' own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

aten = torch.ops.aten


def applies(module: nn.Module) -> bool:
    """Return whether `hidden_states` computes what this module would."""
    config = getattr(module, "config", None)
    return (
        getattr(config, "model_type", "") == "llama"
        and config.num_key_value_heads == config.num_attention_heads
        and config.hidden_act == "silu"
        and config.rope_parameters.get("rope_type") == "default"
        and not (config.attention_bias or config.mlp_bias or config.attention_dropout)
    )


def hidden_states(module: nn.Module, ids: torch.Tensor, seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the hidden states above the last norm, (B, T, D), in `dtype`.

    Args:
        module: a Llama with a language model's head, for which `applies`.
        ids: token ids (B, T).
        seen: which positions each position sees (B, 1, T, T).
        dtype: number type of products and of everything between them; weights keep theirs.
    """
    model, config = module.model, module.config
    mask = torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, -1e9)
    hidden = F.embedding(ids, model.embed_tokens.weight).to(dtype)
    cos, sin = _turns(ids.shape[1], config.head_dim, config.rope_parameters["rope_theta"], dtype)
    for layer in model.layers:
        hidden = hidden + _attention(layer.self_attn, _normed(layer.input_layernorm, hidden), mask, cos, sin)
        hidden = hidden + _feed_forward(layer.mlp, _normed(layer.post_attention_layernorm, hidden))
    return _normed(model.norm, hidden)


def _turns(length: int, width: int, base: float, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosine and sine of every position's angles (T, width / 2) (Su et al. 2021, equation 34)."""
    speed = base ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    angles = torch.arange(length, dtype=torch.float32)[:, None] * speed
    return angles.cos().to(dtype), angles.sin().to(dtype)


def _normed(norm: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    return _Norm.apply(hidden, norm.weight.to(hidden.dtype), norm.variance_epsilon)


def _attention(
    attention: nn.Module, hidden: torch.Tensor, mask: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
) -> torch.Tensor:
    parts = (attention.q_proj, attention.k_proj, attention.v_proj)
    joined = F.linear(hidden, torch.cat([part.weight for part in parts]).to(hidden.dtype))
    mixed = _Attend.apply(joined, mask, cos, sin, attention.head_dim)
    return F.linear(mixed, attention.o_proj.weight.to(hidden.dtype))


def _feed_forward(mlp: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    joined = F.linear(hidden, torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]).to(hidden.dtype))
    return F.linear(_Gate.apply(joined), mlp.down_proj.weight.to(hidden.dtype))


class _Norm(torch.autograd.Function):
    """Root mean square norm (Zhang and Sennrich 2019, equation 4)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        wide = x.float()
        inverse = (
            torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        )
        normed = (wide * inverse).to(x.dtype)
        ctx.save_for_backward(normed, inverse, weight)
        return normed * weight

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        normed, inverse, weight = ctx.saved_tensors
        slope = slopes[0]
        product = slope * normed
        of_weight = product.flatten(0, -2).sum(0, dtype=torch.float32).to(weight.dtype)
        along = (product @ weight).div_(slope.shape[-1]).unsqueeze(-1)
        of_x = (slope * weight).addcmul_(normed, along, value=-1).mul_(inverse.to(slope.dtype))
        return of_x, of_weight, None


class _Attend(torch.autograd.Function):
    """Rotated queries and keys, masked softmax, mixed values. B batch, T time, H heads, W width of a head."""

    @staticmethod
    def forward(
        ctx: Any, joined: torch.Tensor, mask: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, width: int
    ) -> torch.Tensor:
        batch, length, _ = joined.shape
        parts = joined.view(batch, length, 3, -1, width).permute(2, 0, 3, 1, 4)
        turned = torch.empty(parts[:2].shape, dtype=joined.dtype)
        _turn(parts[:2], turned, cos, sin)
        query, key, value = turned[0].mul_(width**-0.5), turned[1], parts[2].contiguous()
        share = (query @ key.transpose(2, 3)).add_(mask).softmax(-1)
        ctx.save_for_backward(query, key, value, share, cos, sin)
        return (share @ value).transpose(1, 2).reshape(batch, length, -1)

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor, None, None, None, None]:
        query, key, value, share, cos, sin = ctx.saved_tensors
        batch, heads, length, width = query.shape
        slope = slopes[0].view(batch, length, heads, width).transpose(1, 2).contiguous()
        joined = torch.empty(batch, length, 3, heads, width, dtype=slope.dtype)
        parts = joined.permute(2, 0, 3, 1, 4)
        parts[2].copy_(share.transpose(2, 3) @ slope)
        scores = aten._softmax_backward_data(slope @ value.transpose(2, 3), share, -1, share.dtype)
        turned = torch.empty(2, batch, heads, length, width, dtype=slope.dtype)
        torch.mul(scores @ key, width**-0.5, out=turned[0])
        torch.matmul(scores.transpose(2, 3), query, out=turned[1])
        _turn(turned, parts[:2], cos, -sin)
        return joined.view(batch, length, -1), None, None, None, None


def _turn(x: torch.Tensor, out: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Write `x` (..., T, W), turned by the angles of each position, to `out`."""
    first, second = x.chunk(2, dim=-1)
    out_first, out_second = out.chunk(2, dim=-1)
    torch.mul(first, cos, out=out_first)
    out_first.addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=out_second)
    out_second.addcmul_(first, sin)


class _Gate(torch.autograd.Function):
    """silu(gate) * up (Shazeer 2020, equation 6) of the two joined in the last dimension."""

    @staticmethod
    def forward(ctx: Any, joined: torch.Tensor) -> torch.Tensor:
        gate, up = joined.chunk(2, dim=-1)
        open_ = F.silu(gate)
        ctx.save_for_backward(joined, open_)
        return open_ * up

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> torch.Tensor:
        joined, open_ = ctx.saved_tensors
        slope = slopes[0]
        gate, up = joined.chunk(2, dim=-1)
        out = torch.empty_like(joined)
        of_gate, of_up = out.chunk(2, dim=-1)
        torch.mul(slope, open_, out=of_up)
        aten.silu_backward.grad_input(slope * up, gate, grad_input=of_gate)
        return out
