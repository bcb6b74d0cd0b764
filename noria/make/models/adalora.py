"""AdaLoRA: changes of weight matrices whose ranks find their places (Zhang et al. 2023).

A change is left @ diag(values) @ right. Every triplet (a column, a value, a row) has an importance; from step to step fewer
triplets may keep their value, and the least important of all matrices lose theirs, until the mean rank is the one asked for.
Our own layer: all of its state (importances, which triplets are kept) lies in buffers, so that a run that is killed and
resumed prunes the same triplets, where peft keeps it in an object that no checkpoint holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from .lora import WeightChange

BEGIN, END = 0.1, 0.7
"""Shares of the steps between which the budget falls: first the importances settle, last the triplets that are left."""
MEMORY = 0.85
"""Of both averages of the importance (Zhang et al. 2023, section 3.2 and appendix)."""
PULL = 0.1
"""Share of the way to orthonormal that each step pulls left and right."""


class Triplets(WeightChange):
    """The change of one matrix (out, in). It starts as none: the values are zero."""

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
            kept = torch.zeros(first, dtype=torch.bool)
            kept[importances.topk(budget(step, steps, first, last)).indices] = True
            for part, mine in zip(parts, kept.split([len(part.values) for part in parts]), strict=True):
                part.kept.copy_(mine)
        for part in parts:
            part.orthogonalize()

    return after_step
