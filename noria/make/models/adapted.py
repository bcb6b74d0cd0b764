"""A weight matrix that rests while adapters on it learn: any number of them by name, at most one in use."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from noria.machine import computing


def product_type(x: torch.Tensor) -> torch.dtype:
    """Return the number type of matrix products with `x`: that of autocast where it is on, else its own."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


class AdaptedLinear(nn.Linear):
    """A linear layer whose output is that of the adapter in use, where it has one of that name.

    An adapter is a module called with the input and this layer; where its change can be added to the weights it says so
    by a method `delta()` (out, in). The layer's own parameters keep their names, so the base's state is unchanged.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.adapters = nn.ModuleDict()
        self.used: str | None = None
        self._rounded: tuple[tuple[int, int], torch.Tensor] | None = None

    @property
    def adapter(self) -> nn.Module | None:
        """Return the adapter in use, where this layer has one."""
        if self.used is None or self.used not in self.adapters:
            return None
        return self.adapters[self.used]

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the output (..., out) for an input (..., in)."""
        adapter = self.adapter
        return self.plain(input) if adapter is None else adapter(input, self)

    def plain(self, input: torch.Tensor) -> torch.Tensor:
        """Return what the layer gives without an adapter.

        Products are in the number type of autocast where it is on, else in the input's. Weights at rest are rounded to it
        once, not every step, until they change.
        """
        dtype = product_type(input)
        if dtype == self.weight.dtype or self.weight.requires_grad:
            return F.linear(input, self.weight, self.bias)
        with computing("fp32"):
            return F.linear(input.to(dtype), self.rounded(dtype), None if self.bias is None else self.bias.to(dtype))

    def rounded(self, dtype: torch.dtype) -> torch.Tensor:
        """Return the weights at rest in a number type, made anew only when they have changed."""
        if dtype == self.weight.dtype:
            return self.weight
        state = (self.weight.data_ptr(), self.weight._version)
        if self._rounded is None or self._rounded[0] != state or self._rounded[1].dtype != dtype:
            self._rounded = (state, self.weight.detach().to(dtype))
        return self._rounded[1]

    def bare(self) -> nn.Linear:
        """Return an ordinary linear layer with the same parameters."""
        linear = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        linear.weight, linear.bias = self.weight, self.bias
        return linear


class Bottleneck(nn.Module):
    """The small layer after one matrix.

    y + up(gelu(down(y))) (Houlsby et al. 2019; Pfeiffer et al. 2021): it starts as nothing, `up` being zero. It changes what
    flows, not the weights, so it cannot be merged. Our own layer: peft has none of this kind.
    """

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
        with computing("fp32"):
            down, down_bias, up, up_bias = (
                tensor.to(y.dtype) for tensor in (self.down, self.down_bias, self.up, self.up_bias)
            )
            return y + F.linear(F.gelu(F.linear(y, down, down_bias)), up, up_bias)
