"""LoRA and AdaLoRA: a change of low rank to a weight matrix (Hu et al. 2022, equation 3): W + alpha / rank * up @ down.

The layer is our own and not peft's, for two reasons, both tested. Its forward pass adds the change to the weights, not to
every token's output, and multiplies once: on a processor the sum of two small matrices costs a tenth of the plain product,
the side path of two thin products and a sum over all tokens up to a third. And the module stays a plain transformers
model, its adapters among its ordinary parameters, so that checkpoint, optimiser and loop need to know nothing of them.
What is saved loads in peft, and gives the same logits there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from noria.machine import computing

from .adapted import AdaptedLinear, product_type

FEW = 64
"""Tokens up to which a change is computed beside the weights where nothing is learned."""


class WeightChange(nn.Module):
    """What is added to one matrix (out, in): scale * up @ down. The contract of LoRA and AdaLoRA."""

    scale: float

    def factors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return up (out, rank) and down (rank, in)."""
        raise NotImplementedError

    def delta(self) -> torch.Tensor:
        """Return the change (out, in)."""
        up, down = self.factors()
        return self.scale * up @ down

    def forward(self, x: torch.Tensor, linear: nn.Linear) -> torch.Tensor:
        """Return what `linear` with its changed weights makes of `x` (..., in)."""
        if not torch.is_grad_enabled() and x.numel() <= FEW * x.shape[-1]:
            return self._beside(x, linear)
        return changed(x, [(linear, self)])

    def _beside(self, x: torch.Tensor, linear: nn.Linear) -> torch.Tensor:
        """Return the same of a few tokens, as while a text is written: for them to change the weights would be most of the work."""
        dtype = product_type(x)
        up, down = (factor.to(dtype) for factor in self.factors())
        with computing("fp32"):
            bias = None if linear.bias is None else linear.bias.to(dtype)
            weight = linear.rounded(dtype) if isinstance(linear, AdaptedLinear) else linear.weight.to(dtype)
            plain = F.linear(x.to(dtype), weight, bias)
            return plain.add(F.linear(F.linear(x.to(dtype), down), up), alpha=self.scale)


class LowRank(WeightChange):
    """LoRA's change. It starts as none: `up` is zero."""

    def __init__(self, linear: nn.Linear, rank: int, scale: float, random: torch.Generator) -> None:
        super().__init__()
        bound = 1 / math.sqrt(linear.in_features)
        down = torch.empty(rank, linear.in_features).uniform_(-bound, bound, generator=random)
        self.down = nn.Parameter(down)
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))
        self.scale = scale

    def factors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return up (out, rank) and down (rank, in)."""
        return self.up, self.down


def changed(x: torch.Tensor, changes: Sequence[tuple[nn.Linear, WeightChange]]) -> torch.Tensor:
    """Return x (..., in) times the changed matrices, one beside the other (..., sum of outs): one product for all.

    There are gradients for x, up and down, none for the matrices and their biases. The sum of matrix and change is made in
    the weights' own number type and rounded once, as autocast rounds weights that learn: a change far smaller than a
    weight's last bit in bf16 is not lost on it.
    """
    dtype = product_type(x)
    biases: list[torch.Tensor] = [linear.bias for linear, _ in changes if linear.bias is not None]
    with computing("fp32"):
        output: torch.Tensor = _Changed.apply(  # type: ignore[no-untyped-call]
            x.to(dtype),
            torch.cat(biases).to(dtype) if biases else None,
            [linear.weight for linear, _ in changes],
            [part.scale for _, part in changes],
            *(factor for _, part in changes for factor in part.factors()),
        )
        return output


class _Changed(torch.autograd.Function):
    """No gradient of size out x in is ever made, only products with a thin side."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        bias: torch.Tensor | None,
        weights: list[torch.Tensor],
        scales: list[float],
        *factors: torch.Tensor,
    ) -> torch.Tensor:
        ups, downs = factors[::2], factors[1::2]
        rows = [len(weight) for weight in weights]
        merged = torch.empty(sum(rows), weights[0].shape[1], dtype=x.dtype, device=x.device)
        for place, weight, up, down, scale in zip(merged.split(rows), weights, ups, downs, scales, strict=True):
            place.copy_(torch.addmm(weight.to(up.dtype), up, down, alpha=scale))
        ctx.save_for_backward(x, merged, *factors)
        ctx.rows, ctx.scales = rows, scales
        return F.linear(x, merged, bias)

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[Any, ...]:
        x, merged, *factors = ctx.saved_tensors
        ups, downs = factors[::2], factors[1::2]
        slope, flat = slopes[0].flatten(0, -2), x.flatten(0, -2)
        of_x = (slope @ merged).view(x.shape) if ctx.needs_input_grad[0] else None
        ranks = [len(down) for down in downs]
        narrow = (flat @ torch.cat(list(downs)).to(x.dtype).T).split(ranks, 1)
        parts = slope.split(ctx.rows, 1)
        # The thin side first: its transpose is the shape that products of tall matrices are fastest in here.
        of_ups = [(thin.T @ part).T for thin, part in zip(narrow, parts, strict=True)]
        thin = torch.cat([part @ up.to(x.dtype) for part, up in zip(parts, ups, strict=True)], 1)
        of_downs = (thin.T @ flat).split(ranks)
        found = [
            of.to(factor.dtype) * scale
            for pair, own, scale in zip(
                zip(of_ups, of_downs, strict=True), zip(ups, downs, strict=True), ctx.scales, strict=True
            )
            for of, factor in zip(pair, own, strict=True)
        ]
        return (of_x, None, None, None, *found)


BEGIN, END = 0.1, 0.7
"""Shares of the steps between which the budget falls: first the importances settle, last the triplets that are left."""
MEMORY = 0.85
"""Of both averages of the importance (Zhang et al. 2023, section 3.2 and appendix)."""
PULL = 0.1
"""Share of the way to orthonormal that each step pulls left and right."""


class Triplets(WeightChange):
    """The change of one matrix (out, in). It starts as none: the values are zero.

    AdaLoRA (Zhang et al. 2023): a change is left @ diag(values) @ right. Every triplet (a column, a value, a row) has an
    importance; from step to step fewer triplets may keep their value, and the least important of all matrices lose theirs,
    until the mean rank is the one asked for. All of its state (importances, which triplets are kept) lies in buffers, so that
    a run that is killed and resumed prunes the same triplets, where peft keeps it in an object that no checkpoint holds.
    """

    kept: torch.Tensor
    left_mean: torch.Tensor
    left_doubt: torch.Tensor
    values_mean: torch.Tensor
    values_doubt: torch.Tensor
    right_mean: torch.Tensor
    right_doubt: torch.Tensor

    def __init__(self, linear: nn.Linear, rank: int, scale: float, random: torch.Generator) -> None:
        super().__init__()
        rows, columns = linear.out_features, linear.in_features
        rank = min(rank, rows, columns)
        self.left = nn.Parameter(torch.linalg.qr(torch.randn(rows, rank, generator=random))[0])
        self.values = nn.Parameter(torch.zeros(rank))
        self.right = nn.Parameter(torch.linalg.qr(torch.randn(columns, rank, generator=random))[0].T.contiguous())
        # AdamW moves every number by about the rate: a value moves its matrix as fast as a column of LoRA's `up` does.
        self.scale = scale * math.sqrt(rows)
        self.register_buffer("kept", torch.ones(rank, dtype=torch.bool))
        for name, tensor in self.named_parameters():
            self.register_buffer(f"{name}_mean", torch.zeros_like(tensor))
            self.register_buffer(f"{name}_doubt", torch.zeros_like(tensor))

    @property
    def rank(self) -> int:
        """Return how many triplets have a value that may differ from zero."""
        return int(self.kept.sum())

    def factors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return up (out, rank) and down (rank, in)."""
        return self.left * self.values, self.right

    def observe(self) -> None:
        """Take this step's gradients into the averages of sensitivity |w * slope| and of its doubt (equations 9 and 10)."""
        for name, tensor in self.named_parameters():
            if tensor.grad is None:
                continue
            mean, doubt = self.get_buffer(f"{name}_mean"), self.get_buffer(f"{name}_doubt")
            seen = (tensor.detach() * tensor.grad).abs()
            mean.lerp_(seen, 1 - MEMORY)
            doubt.lerp_((seen - mean).abs(), 1 - MEMORY)

    def importances(self) -> torch.Tensor:
        """Return the importance of every triplet (rank): of its value, and the mean of its column and row (equation 7)."""
        left = (self.left_mean * self.left_doubt).mean(0)
        right = (self.right_mean * self.right_doubt).mean(1)
        return self.values_mean * self.values_doubt + left + right

    def orthogonalize(self) -> None:
        """Take the value of what is not kept, and pull left and right towards orthonormal.

        The pull is a step down the penalty |left.T @ left - 1|^2 (equation 4), apart from the loss as AdamW's decay is.
        """
        self.values.mul_(self.kept)
        for factor in (self.left.T, self.right):
            product = factor @ factor.T
            product.diagonal().sub_(1)
            factor.sub_(product @ factor, alpha=PULL / 2)


def budget(step: int, steps: int, first: int, last: int) -> int:
    """Return how many triplets may keep their value after `step` of `steps`: a cubic fall (equation 12)."""
    share = min(1.0, max(0.0, (step - BEGIN * steps) / max(1.0, (END - BEGIN) * steps)))
    return last + round((first - last) * (1 - share) ** 3)


def allocator(parts: Sequence[Triplets], rank: int) -> Callable[[int, int], None]:
    """Return what is to be called after every optimiser step with the steps done and all steps, gradients still there."""
    first = sum(len(part.values) for part in parts)
    last = min(first, rank * len(parts))

    @torch.no_grad()
    def after_step(step: int, steps: int) -> None:
        for part in parts:
            part.observe()
        if BEGIN * steps < step < END * steps + 1:
            importances = torch.cat([part.importances() for part in parts])
            kept = torch.zeros(first, dtype=torch.bool, device=importances.device)
            kept[importances.topk(budget(step, steps, first, last)).indices] = True
            for part, mine in zip(parts, kept.split([len(part.values) for part in parts]), strict=True):
                part.kept.copy_(mine)
        for part in parts:
            part.orthogonalize()

    return after_step
