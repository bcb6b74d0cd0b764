"""Cross-entropy over a vocabulary, a few hundred positions at a time: all logits are never held at once.

The gradient is made in the forward pass, where the probabilities are at hand, so nothing of size positions x vocabulary
is kept for the backward pass. On a processor this is less a matter of memory than of time: a chunk stays in the cache.
"""

from __future__ import annotations

from typing import Any

import torch

CHUNK = 2048


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
        of_weight = torch.zeros_like(weight, dtype=torch.float32)
        of_bias = None if bias is None else torch.zeros_like(bias, dtype=torch.float32)
        ctx.dtype, weight = weight.dtype, weight.to(hidden.dtype)
        logits = hidden.new_empty(min(CHUNK, len(hidden)), len(weight))
        for start in range(0, len(hidden), CHUNK):
            part, wanted = hidden[start : start + CHUNK], targets[start : start + CHUNK]
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
            # 1e-38 is the smallest number fp32 and bf16 hold in full: a target that far off costs 87 nats, not infinity.
            loss -= right.float().clamp_min(1e-38).log().sum()
            slope.index_put_(place, right - 1)  # scatter_ in bf16 would copy all of it to fp32 and back
            if cap is not None:
                slope *= 1 - bent.square_()
            if of_bias is not None:
                of_bias += slope.sum(0, dtype=torch.float32)
            torch.mm(slope, weight, out=of_hidden[start : start + CHUNK])
            of_weight += slope.T @ part
        ctx.save_for_backward(of_hidden, of_weight, of_bias)
        return loss

    @staticmethod
    def backward(ctx: Any, *outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        of_hidden, of_weight, of_bias = ctx.saved_tensors
        # A summed loss is what the loop goes backward from: its slope is 1, and scaling would cost a pass each.
        slope = outputs[0]
        if slope == 1.0:
            return of_hidden, of_weight.to(ctx.dtype), None, of_bias, None
        of_bias = None if of_bias is None else of_bias * slope
        return of_hidden * slope, (of_weight * slope).to(ctx.dtype), None, of_bias, None


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
