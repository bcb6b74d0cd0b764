"""The halves of a decoder's layer as functions with their backward pass written out; each keeps no more than that needs.

N tokens, D width, F width of the feed-forward, H heads, K heads of keys and values, W width of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from .decoder_attention import Shape
from .joint import Joint
from .llama import _norm_back, _normed

aten = torch.ops.aten
CACHED = 128
"""Tokens whose opened feed-forward, some thousands of numbers each, fits the second-level cache several times."""


class Norm(torch.autograd.Function):
    """Root mean square norm (Zhang and Sennrich 2019, equation 4)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        """Return it, and keep what the way back needs."""
        normed, inverse = _normed(x, epsilon)
        ctx.save_for_backward(normed, inverse, weight)
        return normed * weight.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the slopes of all that was given; None of what does not learn."""
        normed, inverse, weight = ctx.saved_tensors
        of_weight = _of_weight(slopes[0], normed, weight) if ctx.needs_input_grad[1] else None
        return _norm_back(slopes[0] * weight.to(normed.dtype), normed, inverse), of_weight, None


class HeadNorms(torch.autograd.Function):
    """The norm of each head's queries and of its keys, in place, as Qwen3 has it before they are turned."""

    @staticmethod
    def forward(
        ctx: Any, joined: torch.Tensor, query: torch.Tensor, key: torch.Tensor, epsilon: float, shape: Shape
    ) -> torch.Tensor:
        """Return it, and keep what the way back needs."""
        heads = _turned(joined, shape)
        normed, inverse = _normed(heads, epsilon)
        weight = _head_weights(query, key, shape, joined.dtype)
        torch.mul(normed, weight, out=heads)
        ctx.mark_dirty(joined)
        ctx.save_for_backward(normed, inverse, query, key)
        ctx.shape = shape
        return joined

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the slopes of all that was given; None of what does not learn."""
        normed, inverse, query, key = ctx.saved_tensors
        slope, shape = slopes[0].clone(), ctx.shape
        heads = _turned(slope, shape)
        both = [
            (heads[:, : shape.heads], normed[:, : shape.heads]),
            (heads[:, shape.heads :], normed[:, shape.heads :]),
        ]
        found = [
            _of_weight(part, of, weight) if needed else None
            for (part, of), weight, needed in zip(both, (query, key), ctx.needs_input_grad[1:3], strict=True)
        ]
        heads.copy_(_norm_back(heads * _head_weights(query, key, shape, slope.dtype), normed, inverse))
        return slope, *found, None, None


def _turned(joined: torch.Tensor, shape: Shape) -> torch.Tensor:
    return joined[:, : shape.turned * shape.width].view(len(joined), shape.turned, shape.width)


def _head_weights(query: torch.Tensor, key: torch.Tensor, shape: Shape, dtype: torch.dtype) -> torch.Tensor:
    return torch.cat([query.expand(shape.heads, -1), key.expand(shape.key_heads, -1)]).to(dtype)


def _of_weight(slope: torch.Tensor, normed: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (slope * normed).flatten(0, -2).sum(0, dtype=torch.float32).to(weight.dtype)


class Normed(torch.autograd.Function):
    """Products of norm(x): queries, keys and values, or what opens the feed-forward."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, norm: torch.Tensor, epsilon: float, joint: Joint, *tensors: torch.Tensor | None
    ) -> torch.Tensor:
        """Return it, and keep what the way back needs."""
        normed, inverse = _normed(x, epsilon)
        rows = joint.room(len(x), tensors, x.dtype)
        torch.mul(normed, norm.to(x.dtype), out=rows[:, : joint.inputs])
        found = joint.forward(rows, tensors)
        ctx.save_for_backward(normed, inverse, norm, rows[:, joint.inputs :].clone(), *tensors)
        ctx.joint = joint
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the slopes of all that was given; None of what does not learn."""
        normed, inverse, norm, thin, *tensors = ctx.saved_tensors
        weight = norm.to(normed.dtype)
        slope, found = ctx.joint.backward(slopes[0], normed, thin, tensors, ctx.needs_input_grad[4:])
        for number, one in enumerate(found):
            if one is not None and number % 4 in (
                0,
                3,
            ):  # what multiplies the inputs, which are normed times the weight
                one.mul_(norm)
        of_norm = _of_weight(slope, normed, norm) if ctx.needs_input_grad[1] else None
        return _norm_back(slope * weight, normed, inverse), of_norm, None, None, *found


class Added(torch.autograd.Function):
    """x + a product of what attention mixed."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, mixed: torch.Tensor, joint: Joint, *tensors: torch.Tensor | None
    ) -> torch.Tensor:
        """Return it, and keep what the way back needs."""
        rows = joint.room(len(x), tensors, x.dtype)
        rows[:, : joint.inputs] = mixed
        found = joint.forward(rows, tensors).add_(x)
        ctx.save_for_backward(mixed, rows[:, joint.inputs :].clone(), *tensors)
        ctx.joint = joint
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the slopes of all that was given; None of what does not learn."""
        mixed, thin, *tensors = ctx.saved_tensors
        slope, found = ctx.joint.backward(slopes[0], mixed, thin, tensors, ctx.needs_input_grad[3:])
        return slopes[0], slope, None, *found


class Gated(torch.autograd.Function):
    """x + down(silu(gate) * up), of gate and up beside each other (Shazeer 2020, equation 6)."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, opened: torch.Tensor, joint: Joint, *tensors: torch.Tensor | None
    ) -> torch.Tensor:
        """Return it, and keep what the way back needs."""
        gate, up = opened.chunk(2, dim=-1)
        rows = joint.room(len(x), tensors, x.dtype)
        for part in _parts_of(len(x)):
            torch.mul(F.silu(gate[part]), up[part], out=rows[part, : joint.inputs])
        found = joint.forward(rows, tensors).add_(x)
        ctx.save_for_backward(opened, rows[:, joint.inputs :].clone(), *tensors)
        ctx.joint = joint
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the slopes of all that was given; None of what does not learn."""
        opened, thin, *tensors = ctx.saved_tensors
        gate, up = opened.chunk(2, dim=-1)
        bent, mixed = torch.empty_like(gate), torch.empty_like(up)
        for part in _parts_of(len(opened)):
            bent[part] = F.silu(gate[part])
            torch.mul(bent[part], up[part], out=mixed[part])
        slope, found = ctx.joint.backward(slopes[0], mixed, thin, tensors, ctx.needs_input_grad[3:])
        of_opened = torch.empty_like(opened)
        of_gate, of_up = of_opened.chunk(2, dim=-1)
        for part in _parts_of(len(opened)):
            torch.mul(slope[part], bent[part], out=of_up[part])
            aten.silu_backward.grad_input(slope[part] * up[part], gate[part], grad_input=of_gate[part])
        return slopes[0], of_opened, None, *found


def _parts_of(size: int) -> list[slice]:
    """Return slices of tokens of which what a layer opens stays in the second-level cache."""
    return [slice(start, start + CACHED) for start in range(0, size, CACHED)]
