"""Bottleneck adapters: a small layer between a sublayer and its residual sum (Houlsby et al. 2019; Pfeiffer et al. 2021).

y + up(gelu(down(y))): it starts as nothing, `up` being zero. It changes what flows, not the weights, so it cannot be merged.
Our own layer: peft has none of this kind.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from .adapted import AdaptedLinear


class Bottleneck(nn.Module):
    """The small layer after one matrix."""

    def __init__(self, linear: nn.Linear, width: int, random: torch.Generator) -> None:
        super().__init__()
        bound = 1 / math.sqrt(linear.out_features)
        self.down = nn.Parameter(torch.empty(width, linear.out_features).uniform_(-bound, bound, generator=random))
        self.down_bias = nn.Parameter(torch.zeros(width))
        self.up = nn.Parameter(torch.zeros(linear.out_features, width))
        self.up_bias = nn.Parameter(torch.zeros(linear.out_features))

    def forward(self, x: torch.Tensor, linear: AdaptedLinear) -> torch.Tensor:
        """Return the output of `linear` for x (..., in), and the small layer's change of it (..., out)."""
        y = linear.plain(x)
        with torch.autocast("cpu", enabled=False):
            down, down_bias, up, up_bias = (
                tensor.to(y.dtype) for tensor in (self.down, self.down_bias, self.up, self.up_bias)
            )
            return y + F.linear(F.gelu(F.linear(y, down, down_bias)), up, up_bias)
