"""Cross-entropy over a vocabulary, a few hundred positions at a time: all logits are never held at once.

The gradient is made in the forward pass, where the probabilities are at hand, so nothing of size positions x vocabulary
is kept for the backward pass. On a processor this is less a matter of memory than of time: a chunk stays in the cache.
"""

from __future__ import annotations

from typing import Any

import torch

CHUNK = 2048
"""Positions at a time, at most."""
LOGITS = 1 << 24
"""Logits that are held at once: of a large vocabulary fewer positions are taken at a time."""


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        bias: torch.Tensor | None,
        cap: float | None,
    ) -> torch.Tensor:
        # N positions, D width, V vocabulary
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        of_hidden = torch.empty_like(hidden)
        learns = ctx.needs_input_grad[1]
        of_weight = torch.zeros_like(weight, dtype=torch.float32) if learns else None
        of_bias = None if bias is None else torch.zeros_like(bias, dtype=torch.float32)
        ctx.dtype, weight = weight.dtype, weight.to(hidden.dtype)
        chunk = _rows(weight)
        logits = hidden.new_empty(min(chunk, len(hidden)), len(weight))
        for start in range(0, len(hidden), chunk):
            part, wanted = hidden[start : start + chunk], targets[start : start + chunk]
            slope, right = _slope(part, wanted, weight, bias, cap, logits)
            loss -= right.log().sum()
            if of_bias is not None:
                of_bias += slope.sum(0, dtype=torch.float32)
            torch.mm(slope, weight, out=of_hidden[start : start + chunk])
            if of_weight is not None:
                of_weight += slope.T @ part
        ctx.save_for_backward(of_hidden, of_weight, of_bias)
        return loss

    @staticmethod
    def backward(ctx: Any, *outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        of_hidden, of_weight, of_bias = ctx.saved_tensors
        # A summed loss is what the loop goes backward from: its slope is 1, and scaling would cost a pass each.
        slope = outputs[0]
        if slope != 1.0:
            of_hidden = of_hidden * slope
            of_weight, of_bias = (None if one is None else one * slope for one in (of_weight, of_bias))
        return of_hidden, None if of_weight is None else of_weight.to(ctx.dtype), None, of_bias, None


class _TokenCosts(torch.autograd.Function):
    """What each target costs by itself: its slope of a state is known at once, and multiplied by whatever comes back."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        bias: torch.Tensor | None,
        cap: float | None,
    ) -> torch.Tensor:
        costs = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        of_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        weight, chunk = weight.to(hidden.dtype), _rows(weight)
        logits = hidden.new_empty(min(chunk, len(hidden)), len(weight))
        for start in range(0, len(hidden), chunk):
            part, wanted = hidden[start : start + chunk], targets[start : start + chunk]
            slope, right = _slope(part, wanted, weight, bias, cap, logits)
            costs[start : start + chunk] = -right.log()
            if of_hidden is not None:
                torch.mm(slope, weight, out=of_hidden[start : start + chunk])
        ctx.save_for_backward(of_hidden)
        return costs

    @staticmethod
    def backward(ctx: Any, *outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (of_hidden,) = ctx.saved_tensors
        return of_hidden * outputs[0][:, None].to(of_hidden.dtype), None, None, None, None


def _rows(weight: torch.Tensor) -> int:
    """Return how many positions are taken at a time."""
    return max(64, min(CHUNK, LOGITS // len(weight)))


def _slope(
    part: torch.Tensor,
    wanted: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    cap: float | None,
    logits: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the slope of each position's cost in its logits (N, V), written to `logits`, and the probability of its target (N,)."""
    place = (torch.arange(len(part), device=part.device), wanted)
    # In bf16 too: the softmax is computed in fp32 inside and rounded once, where a second pass would round it.
    slope = torch.mm(part, weight.T, out=logits[: len(part)])
    if bias is not None:
        slope += bias.to(slope.dtype)
    if cap is not None:
        bent = slope.div_(cap).tanh_().clone()
        slope *= cap
    torch._softmax(slope, 1, False, out=slope)
    right = slope[place]
    slope.index_put_(place, right - 1)  # scatter_ in bf16 would copy all of it to fp32 and back
    if cap is not None:
        slope *= 1 - bent.square_()
    # 1e-38 is the smallest number fp32 and bf16 hold in full: a target that far off costs 87 nats, not infinity.
    return slope, right.float().clamp_min(1e-38)


def token_costs(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    cap: float | None = None,
) -> torch.Tensor:
    """Return what each target costs (N,), in nats, with gradients of `hidden` only, whatever the head is; arguments as of `cross_entropy`."""
    found: torch.Tensor = _TokenCosts.apply(hidden, weight, targets, bias, cap)  # type: ignore[no-untyped-call]
    return found


def cross_entropy(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    cap: float | None = None,
) -> torch.Tensor:
    """Return the summed cross-entropy, in nats, of `hidden @ weight.T` against the targets.

    Args:
        hidden: (N, D), fp32 or bf16.
        weight: (V, D), fp32 or bf16; the products are in the number type of `hidden`.
        targets: (N,) each below V.
        bias: (V,) added to the products.
        cap: bound on the size of logits, to which `cap * tanh(logits / cap)` bends them (Gemma 2, 2024, section 2).
    """
    loss: torch.Tensor = _ChunkedCrossEntropy.apply(hidden, weight, targets, bias, cap)  # type: ignore[no-untyped-call]
    return loss
